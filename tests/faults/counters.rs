//! Counters near the end of 32 bits.

use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;

use crate::common::daemon::{Configured, Daemon, V4, get, program, wait_until};
use crate::fault::{beside, honest_query, ping_pong};

/// What the history says that was counted before.
const BEFORE: u64 = (1 << 32) - 10;

/// What each honest query over UDP is counted in.
const SERIES: [&str; 4] = [
    "as112_queries_total{service=\"direct\",transport=\"udp\",family=\"ipv4\"} ",
    "as112_queries_by_type_total{type=\"PTR\"} ",
    "as112_responses_total{rcode=\"NXDOMAIN\"} ",
    "as112_query_size_bytes_count{transport=\"udp\"} ",
];

/// The values of the series, as /metrics has them.
fn counted(daemon: &Daemon) -> [u64; SERIES.len()] {
    let metrics = get(daemon.http(), "/metrics");
    SERIES.map(|series| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{series}:\n{metrics}"))
    })
}

/// The sum of the numbers in a part of /stats.json.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(map) => map.values().map(sum).sum(),
        value => value.as_u64().unwrap_or_else(|| panic!("no whole number: {value}")),
    }
}

#[test]
fn they_go_on_across_the_end_of_32_bits() {
    let _turn = beside();
    for datapath in ["io_uring", "mmsg"] {
        let node = Configured::new(&format!("[server]\ndatapath = '{datapath}'\n[history]\ndir = 'past'\n"));
        let daemon = node.start();
        assert_eq!(ping_pong(&daemon.udp(V4), 1).len(), 1);
        assert_eq!(daemon.stop().0.code(), Some(0));

        // That one query becomes very many.
        let db = Connection::open(node.path("past").join("history.sqlite")).expect("it opens");
        let changed = db.execute("UPDATE totals SET total = ? WHERE total = 1", [BEFORE]).expect("it fits");
        assert!(changed >= SERIES.len(), "{changed} counters");
        drop(db);

        let daemon = node.start();
        let socket = daemon.udp(V4);
        for more in 0..=20 {
            if more > 0 {
                socket.send(&honest_query(more)).expect("sent");
                assert_eq!(socket.recv(&mut [0; 512]).expect("answered"), 119);
            }
            // What is counted is seen once its batch is over.
            let expected = [BEFORE + u64::from(more); SERIES.len()];
            wait_until("the query is counted", || counted(&daemon) == expected);
        }
        let stats: Value = serde_json::from_str(&get(daemon.http(), "/stats.json")).expect("JSON");
        for part in ["queries", "queries_by_type", "responses"] {
            assert_eq!(sum(&stats["counters"][part]), BEFORE + 20, "{datapath}, {part}");
        }
        let url = format!("http://{}", daemon.http());
        let output = Command::new(program()).args(["stats", "--url", &url]).output().expect("it runs");
        let screen = String::from_utf8(output.stdout).expect("it is text");
        assert!(screen.contains(&format!("   {} in total; ", BEFORE + 20)), "{screen}");
        assert_eq!(daemon.stop().0.code(), Some(0));

        let daemon = node.start();
        assert_eq!(counted(&daemon), [BEFORE + 20; SERIES.len()], "{datapath}: and so after a restart");
        assert_eq!(daemon.stop().0.code(), Some(0));
    }
}
