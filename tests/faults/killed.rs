//! A node that is killed with nothing said before, under a supervisor that starts it again.

use crate::common::daemon::PATIENCE;
use crate::fault::{LENIENCY, alone, report};
use crate::supervised::{AWAY_MAX, kill_again_and_again};

#[test]
fn killed_again_and_again_it_is_back_each_time() {
    let _turn = alone();
    for datapath in ["io_uring", "mmsg"] {
        let mut kills = 0..6;
        let mut gaps = kill_again_and_again(datapath, || kills.next().is_some());
        assert_eq!(gaps.len(), 6);
        gaps.sort_unstable();
        let [median, longest] = [gaps[3], gaps[5]];
        report(&format!("killed_{datapath}_longest_gap_ms"), longest.as_millis());
        assert!(median < LENIENCY * AWAY_MAX && longest < PATIENCE, "{datapath}: {gaps:?}");
    }
}
