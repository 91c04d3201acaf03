//! What was counted, as lines of the log: for whoever asks a node with a signal.

use serde_json::{Map, Value};

use crate::board::Board;
use crate::log::Log;
use crate::stats::counters::QUERIES;

/// Logs a line of what matters most, and one for each family that counted something. Sizes and times are left
/// out.
pub fn tell(board: &Board, log: &Log) {
    let reading = board.read();
    log.each(
        "statistics",
        vec![
            ("node", reading.named.node.as_str().into()),
            ("uptime_seconds", reading.uptime.as_secs().into()),
            ("state", board.life.state().name().into()),
            ("datapath", board.facts.datapath.as_str().into()),
            ("queries", reading.total.sum(QUERIES).into()),
            ("tcp_connections", reading.tcp_connections.into()),
            ("log_lines_lost", log.lost().into()),
        ],
    );
    for family in reading.shown().filter(|family| !family.is_histogram()) {
        let series = reading.series(family, &reading.total).into_iter().filter(|(_, count)| *count > 0);
        let counts: Map<String, Value> =
            series.map(|(labels, count)| (labels.join("/"), count.into())).collect();
        if counts.is_empty() {
            continue;
        }
        let counts = match family.labels {
            [] => counts.into_iter().next().map_or(Value::Null, |(_, count)| count),
            _ => Value::Object(counts),
        };
        log.each("statistics", vec![("family", family.name.into()), ("count", counts)]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::board::tests::board;
    use crate::log::{self, Settings};

    #[test]
    fn what_counted_is_told() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.flush().unwrap();
        let settings = Settings { file: Some(file.path().to_owned()), ..Settings::default() };
        let (log, writer) = log::open(&settings).unwrap();
        tell(&board(), &log);
        drop((log, writer));
        let text = std::fs::read_to_string(file.path()).unwrap();
        for part in [
            " info    statistics node=node-1 uptime_seconds=",
            " state=serving datapath=mmsg queries=8 tcp_connections=3 log_lines_lost=0\n",
            " statistics family=as112_queries_total count={\"direct/tcp/ipv6\":4,\"direct/udp/ipv4\":4}\n",
            " statistics family=as112_tcp_connections_accepted_total count=5\n",
        ] {
            assert!(text.contains(part), "{part}\n---\n{text}");
        }
        assert!(!text.contains("size_bytes") && !text.contains("queries_do"), "{text}");
    }
}
