//! The daemon starts, answers at every door, and stops.

mod common;

use common::daemon::{Daemon, V4, V6};
use common::{query, with_opt};

#[test]
fn it_starts_answers_and_stops_on_both_datapaths() {
    for datapath in ["io_uring", "mmsg"] {
        let daemon = Daemon::start(&["--datapath", datapath]);
        assert!(
            daemon.announcement.iter().any(|line| line.starts_with(&format!("datapath: {datapath} ("))),
            "{:?}",
            daemon.announcement
        );
        let query = with_opt(query("1.1.168.192.in-addr.arpa", 12), 1232, &[]);
        for ip in [V4, V6] {
            let reply = daemon.ask_udp(ip, &query);
            assert_eq!((reply.len(), reply[3]), (130, 3));
            assert_eq!(daemon.ask_tcp(ip, &query), Some(reply));
        }
        let (status, said) = daemon.stop();
        assert_eq!(status.code(), Some(0));
        assert_eq!(said, ["stopped after 4 queries"]);
    }
}
