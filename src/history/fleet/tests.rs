use serde_json::{Value, json};

use super::coverage::{Coverage, known, totals};
use super::*;
use crate::board::tests::board;
use crate::history::History;
use crate::history::asked::sketches;
use crate::history::uniques::UniquesOfDays;
use crate::limits::{FLEET_LABEL_VALUES_MAX, FLEET_MESSAGE_LEN_MAX};
use crate::stats::counters::{QUERIES, QUERIES_BY_ZONE};
use crate::stats::uniques::Uniques;

/// A minute somewhere in 2023, at the beginning of a quarter of an hour.
const BEGAN: u64 = 1_699_999_200;

/// A minute as a node tells it, with so many queries.
fn told(seq: u64, minute: u64, queries: u64) -> Value {
    let counts = json!([
        [QUERIES.name, ["family", "service", "transport"], [["ipv4", "direct", "udp", queries]]],
        [QUERIES_BY_ZONE.name, ["zone"], [["10.in-addr.arpa", queries]]],
    ]);
    json!({"seq": seq, "minute": minute, "seconds": 60, "counts": counts})
}

/// It arrives where it was sent, by a clock that is ahead by so much.
fn heard(node: &str, minute: &Value, arrived: u64, ahead: i64) -> Heard {
    let sent = arrived.checked_add_signed(ahead).unwrap();
    let of = OfMinute::new("e1", minute, "ams", sent).unwrap();
    let text = serde_json::to_vec(&of).unwrap();
    Heard { node: node.to_owned(), arrived, said: Said::read(Kind::Minute, &text).unwrap() }
}

fn open(now: u64) -> (tempfile::TempDir, FleetHistory, Stored) {
    let dir = tempfile::tempdir().unwrap();
    let (history, news) = FleetHistory::open(dir.path(), now).unwrap();
    assert_eq!(news, None);
    let stored = history.reader().unwrap();
    (dir, history, stored)
}

/// What the history has of queries from a time on.
fn queries(stored: &Stored, from: u64) -> u64 {
    let query = "SELECT coalesce(sum(count), 0) FROM history WHERE family = ? AND start >= ?";
    let parameters = rusqlite::params![QUERIES.name, from];
    stored.connection().query_row(query, parameters, |row| row.get(0)).unwrap()
}

fn number(stored: &Stored, query: &str) -> u64 {
    stored.connection().query_row(query, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_minute_counts_once_in_whatever_order_it_comes() {
    let (dir, mut history, stored) = open(BEGAN);
    let minute = |number: u64| told(number, BEGAN + 60 * number, 10 * number);
    let now = BEGAN + 400;
    let first = [heard("a", &minute(1), now, 0), heard("b", &minute(1), now, 0)];
    let taken = history.take(&first, now).unwrap();
    assert_eq!(taken, Taken { minutes: 2, ..Taken::default() });
    // One is repeated at once, one later; one comes before the one that goes before it.
    let more = [3, 2, 2, 1].map(|number| heard("a", &minute(number), now + 90, 0));
    assert_eq!(history.take(&more, now + 90).unwrap(), Taken { minutes: 2, repeated: 2, ..Taken::default() });
    assert_eq!(queries(&stored, 0), 10 + 10 + 20 + 30);
    assert_eq!((queries(&stored, BEGAN + 120), queries(&stored, BEGAN + 180)), (50, 30));
    // The same from another history of the node is another minute.
    let mut other = heard("a", &minute(1), now, 0);
    if let Said::Minute(of, _) = &mut other.said {
        of.epoch = "e2".to_owned();
    }
    assert_eq!(history.take(&[other], now).unwrap().minutes, 1);
    drop(history);
    let (mut history, _) = FleetHistory::open(dir.path(), now).unwrap();
    assert_eq!(history.take(&more, now).unwrap(), Taken { repeated: 4, ..Taken::default() });
    assert_eq!(history.last_heard("a").unwrap(), Some(("e1".to_owned(), 3)));
    assert_eq!(queries(&stored, 0), 80);
    let of = |node| totals(&stored, node).unwrap().into_iter().filter(|row| row.1 == QUERIES.name);
    assert_eq!(of(None).map(|row| (row.0, row.3)).collect::<Vec<_>>(), [("ams".to_owned(), 80)]);
    assert_eq!(of(Some("b")).map(|row| (row.0, row.3)).collect::<Vec<_>>(), [("b".to_owned(), 10)]);
    assert_eq!(history.totals().unwrap().total.sum(QUERIES), 80);
    assert!(FleetHistory::open(dir.path(), now).is_err(), "one process writes it");
}

#[test]
fn a_clock_that_is_off_by_a_day_counts_when_it_was() {
    let (_dir, mut history, stored) = open(BEGAN);
    let day = i64::try_from(DAY).unwrap();
    let now = BEGAN + 70;
    let ahead = heard("ahead", &told(1, BEGAN + DAY, 5), now, day);
    let behind = heard("behind", &told(1, BEGAN - DAY, 7), now, -day);
    // Late by what a carrier may take: that says nothing of a clock.
    let late = heard("late", &told(1, BEGAN, 9), now + 90, -90);
    assert_eq!(history.take(&[ahead, behind, late], now + 90).unwrap().minutes, 3);
    let minute = format!("SELECT sum(count) FROM counts WHERE resolution = 60 AND start = {BEGAN}");
    assert_eq!((number(&stored, &minute), queries(&stored, 0)), (2 * 21, 21));
    let ahead: Vec<i64> = known(&stored, now).unwrap().iter().map(|node| node.ahead).collect();
    assert_eq!(ahead, [day, -day, 0]);
    // What is too old, or of a time that is yet to come, is no minute of a clock that is right.
    let old = BEGAN - FLEET_MINUTE_AGE_MAX;
    let late = [old, BEGAN + 3600].map(|start| heard("late", &told(start / 60, start, 1), now, 0));
    assert_eq!(history.take(&late, now).unwrap(), Taken { late: 2, ..Taken::default() });
    assert_eq!(queries(&stored, 0), 21);
}

#[test]
fn who_is_missing_is_named_and_not_guessed() {
    let (_dir, mut history, stored) = open(BEGAN);
    let until = BEGAN + 900;
    let mut all = Vec::new();
    for number in 0..15 {
        let minute = told(number + 1, BEGAN + 60 * number, 1);
        all.push(heard("whole", &minute, BEGAN + 60 * number + 62, 0));
        let mut cut = minute.clone();
        // Killed in the 5th minute, and there again 20 s before its end.
        cut["seconds"] = if number == 4 { 20 } else { 60 }.into();
        all.push(heard("killed", &cut, BEGAN + 60 * number + 62, 0));
    }
    history.take(&all, until).unwrap();
    let report = json!({"node": "silent", "colo": "lis", "has": "41-abcdef12"}).to_string();
    let said = Said::read(Kind::Report, report.as_bytes()).unwrap();
    history.take(&[Heard { node: "silent".to_owned(), arrived: BEGAN, said }], until).unwrap();
    let coverage = Coverage::of(&stored, (BEGAN, until)).unwrap().unwrap();
    assert_eq!(
        coverage.to_string(),
        "1 of 3 nodes, 65.1 % of node minutes; missing: silent; in part: killed (95.5 %)"
    );
    assert_eq!((coverage.minutes(), coverage.seconds()), ((30, 45), (1760, 2700)));
    let killed = coverage.nodes.iter().find(|node| node.name == "killed").unwrap();
    assert_eq!((killed.seconds, killed.expected, killed.queries, killed.until), (860, 900, 15, until));
    // Over a long time days are looked at, and a node is expected since it was there.
    let coverage = Coverage::of(&stored, (until - 60 * DAY, until)).unwrap().unwrap();
    assert_eq!(coverage.seconds(), (1760, 2700));
    // A month later they were taken down, it seems.
    let later = until + 31 * DAY;
    assert_eq!(Coverage::of(&stored, (BEGAN, later)).unwrap().unwrap().nodes, []);
    let (node, _) = History::in_memory(&Names::default(), 1, BEGAN).unwrap();
    assert_eq!(Coverage::of(&node.reader().unwrap(), (BEGAN, until)).unwrap(), None);
}

#[test]
fn who_asks_two_nodes_is_one_source() {
    let (_dir, mut history, stored) = open(BEGAN);
    let day = BEGAN / DAY;
    let sketch = |node: &str, hosts: std::ops::Range<u32>, arrived: u64, ahead: i64| {
        let of = arrived.checked_add_signed(ahead).unwrap() / DAY;
        let thread = Uniques::new(of);
        hosts.for_each(|host| thread.see(std::net::Ipv4Addr::from_bits(0x0A00_0000 + host).into()));
        let mut days = UniquesOfDays::default();
        days.gather(&thread, of);
        let answer = json!({"day": of, "sketches": sketches(&days, of)});
        let sent = arrived.checked_add_signed(ahead).unwrap();
        let of = OfSketches::new(&answer, "ams", sent).unwrap();
        let said = Said::read(Kind::Sketches, &serde_json::to_vec(&of).unwrap()).unwrap();
        Heard { node: node.to_owned(), arrived, said }
    };
    let estimate = |stored: &Stored, day: u64| {
        number(stored, &format!("SELECT sources FROM uniques WHERE day = {} AND kind = 'ipv4'", day * DAY))
    };
    let both = [sketch("a", 0..6000, BEGAN, 0), sketch("b", 4000..10_000, BEGAN, 0)];
    history.take(&both, BEGAN).unwrap();
    let union = estimate(&stored, day);
    assert!((9700..10_300).contains(&union), "{union}");
    // Again, in another order, and from one whose clock is a day ahead: nothing is new.
    let again = [both[1].clone(), sketch("c", 0..10_000, BEGAN, DAY.cast_signed())];
    assert_eq!(history.take(&again, BEGAN).unwrap(), Taken::default());
    assert!((9700..10_300).contains(&estimate(&stored, day)));
    assert_eq!(number(&stored, "SELECT count(*) FROM uniques"), 3, "three kinds, one day");
    // Two days later the day is settled.
    let later = BEGAN + 2 * DAY;
    let late = sketch("d", 20_000..30_000, BEGAN, 0);
    assert_eq!(history.take(&[late], later).unwrap(), Taken { late: 1, ..Taken::default() });
}

#[test]
fn names_without_a_bound_become_other_and_nothing_is_lost() {
    let (_dir, mut history, stored) = open(BEGAN);
    let most = FLEET_LABEL_VALUES_MAX as u64;
    let zones: Vec<Value> = (0..most + 50).map(|zone| json!([format!("z{zone}.example"), 1])).collect();
    let counts =
        json!([[QUERIES_BY_ZONE.name, ["zone"], zones], ["as112_of_another_version", ["x"], [["y", 3]]]]);
    let minute = json!({"seq": 1, "minute": BEGAN, "seconds": 60, "counts": counts});
    history.take(&[heard("a", &minute, BEGAN + 60, 0)], BEGAN + 60).unwrap();
    let of = |what: &str| {
        number(
            &stored,
            &format!("SELECT {what} FROM counts JOIN series ON id = series WHERE resolution = 60"),
        )
    };
    assert_eq!((of("count(*)"), of("sum(count)")), (most + 1, most + 50));
}

#[test]
fn what_is_malformed_is_refused_with_a_reason() {
    let good = told(1, BEGAN, 1);
    let message = |change: &dyn Fn(&mut Value)| {
        let mut message = serde_json::to_value(OfMinute::new("e1", &good, "ams", BEGAN).unwrap()).unwrap();
        change(&mut message);
        Said::read(Kind::Minute, message.to_string().as_bytes())
    };
    assert!(message(&|_| {}).is_ok());
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 8] = [
        (|of| of["format"] = 2.into(), "its format is 2, this program knows 1"),
        (|of| of["seconds"] = 90_000.into(), "`epoch` or `seconds` is out of bounds"),
        (|of| of["epoch"] = "".into(), "`epoch` or `seconds` is out of bounds"),
        (|of| of["minute"] = u64::MAX.into(), "`seq`, `minute` or `sent` is out of bounds"),
        (|of| of["seq"] = (-1).into(), "invalid value: integer `-1`, expected u64"),
        (|of| of["counts"] = json!([["a", [], [[1_u64 << 60]]]]), "a: a row is not [values, count]"),
        (|of| of["counts"] = Value::Null, "`counts` is not a list"),
        (|of| of["epoch"] = "e".repeat(FLEET_MESSAGE_LEN_MAX).into(), "it has "),
    ];
    for (change, why) in changes {
        let error = message(&change).unwrap_err();
        assert!(error.starts_with(why), "{error}: {why}");
    }
    let registers = json!({"ipv4": "A", "ipv6": "A", "ipv6_64": "A"});
    let sketches = json!({"format": 1, "sent": BEGAN, "day": 19_675, "sketches": registers}).to_string();
    let error = Said::read(Kind::Sketches, sketches.as_bytes()).unwrap_err();
    assert_eq!(error, "`sketches` has not 16384 registers of each kind");
    for wrong in ["7", "{", "[]"] {
        assert!(Said::read(Kind::Report, wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// What a node counts gets to the fleet, over a restart in the middle of a minute and minutes that nobody
/// asked for.
#[test]
fn a_nodes_minutes_are_a_fleets() {
    let (_dir, mut fleet, stored) = open(BEGAN);
    let board = board();
    let dir = tempfile::tempdir().unwrap();
    let names = board.named.load().counted.clone();
    let open_node = |now| History::open(dir.path(), &names, board.shards.len(), now).unwrap().0;
    let count = |queries| board.shards[0].counters[0].add(QUERIES.at([0, 0, 0]), queries);
    let store =
        |history: &mut History, now| history.store(&board, &[], &UniquesOfDays::default(), now).unwrap();
    let mut node = open_node(BEGAN);
    store(&mut node, BEGAN + 60);
    let told = |node: &History, after| node.minutes(after).unwrap();
    let first = told(&node, 0);
    assert_eq!(first["minutes"].as_array().unwrap().len(), 1);
    assert_eq!(first["minutes"][0]["seconds"], 60);
    // 20 s later it is stopped, and starts again: both parts of the minute have entries of their own.
    count(7);
    store(&mut node, BEGAN + 80);
    let asked_meanwhile = told(&node, 0);
    drop(node);
    let mut node = open_node(BEGAN + 85);
    count(5);
    store(&mut node, BEGAN + 120);
    store(&mut node, BEGAN + 180);
    let answer = told(&node, 0);
    let minutes = answer["minutes"].as_array().unwrap();
    let starts: Vec<_> =
        minutes.iter().map(|of| (of["minute"].as_u64().unwrap() - BEGAN, &of["seconds"])).collect();
    assert_eq!(starts, [(0, &json!(60)), (60, &json!(20)), (60, &json!(35)), (120, &json!(60))]);
    assert_eq!(minutes[..2], asked_meanwhile["minutes"].as_array().unwrap()[..], "entries never change");
    assert_eq!(answer["epoch"], first["epoch"]);
    let last = minutes[3]["seq"].as_u64().unwrap();
    assert_eq!(
        (answer["head"].as_u64(), told(&node, last)["minutes"].as_array().unwrap().len()),
        (Some(last), 0)
    );
    assert_eq!(
        told(&node, minutes[1]["seq"].as_u64().unwrap())["minutes"].as_array().unwrap()[..],
        minutes[2..]
    );
    let epoch = answer["epoch"].as_str().unwrap();
    let now = BEGAN + 200;
    for part in [asked_meanwhile["minutes"].as_array().unwrap(), minutes] {
        let heard: Vec<Heard> = part
            .iter()
            .map(|minute| {
                let of = OfMinute::new(epoch, minute, "ams", now).unwrap();
                let said = Said::read(Kind::Minute, &serde_json::to_vec(&of).unwrap()).unwrap();
                Heard { node: "n".to_owned(), arrived: now, said }
            })
            .collect();
        fleet.take(&heard, now).unwrap();
    }
    // 8 were counted by the board itself before.
    assert_eq!(queries(&stored, 0), 8 + 7 + 5);
    let coverage = Coverage::of(&stored, (BEGAN, BEGAN + 180)).unwrap().unwrap();
    assert_eq!((coverage.seconds(), coverage.whole()), ((175, 180), 0));
    // Two days later their rows are quarters of an hour, and nobody hears of them.
    node.trust(BEGAN + 3 * DAY);
    store(&mut node, BEGAN + 3 * DAY);
    assert_eq!(told(&node, 0)["minutes"], json!([]));
}
