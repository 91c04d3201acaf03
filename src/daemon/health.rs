//! How the node fares, for whoever compares that before and after a release: counts since it started.

use serde_json::{Value, json};

use crate::board::Board;
use crate::stats::counters::{DROPPED, QUERIES, RESPONSES, SOCKET_DROPS, Totals};
use crate::stats::labels::RCODE_NUMBERS;

/// FORMERR, SERVFAIL and REFUSED.
const FAILURES: [u16; 3] = [1, 2, 5];

/// The counts. What the node leaves unanswered on purpose, by a rule or a limit, counts as answered: whether
/// it should do so is not for counts to say.
pub(super) fn health(board: &Board) -> Value {
    let mut totals = Totals::default();
    board.blocks().for_each(|block| totals += &block.read_own());
    let by_rcode = RCODE_NUMBERS.iter().zip(RESPONSES.of(&totals));
    let failed: u64 = by_rcode.filter(|(rcode, _)| FAILURES.contains(rcode)).map(|(_, count)| count).sum();
    let [cpu_seconds, rss, ..] = board.process.read();
    json!({
        "received": totals.sum(QUERIES),
        "answered": totals.sum(RESPONSES) + totals.sum(DROPPED),
        "failed": failed,
        "dropped": totals.sum(SOCKET_DROPS),
        "cpu_seconds": cpu_seconds,
        "rss": rss,
    })
}
