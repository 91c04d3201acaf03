//! A thousand agents at one hub, simulated in one process: the code is theirs, only the nodes are not there.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use as112d_fleet::carry::Access;
use serde_json::Value;

use crate::common::daemon::{PATIENCE, is_as_shipped};
use crate::common::hub::Hub;
use crate::publisher::token;
use crate::site::{Publisher, Site};

const AGENTS: u64 = 1000;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many agents have reported that they want this release.
fn told(publisher: &Publisher, release: &str) -> usize {
    let reports = publisher.wait(publisher.carrier.reports()).expect("the hub tells");
    let wants = |text: &[u8]| serde_json::from_slice(text).map(|report: Value| report["wants"] == release);
    reports.iter().filter(|said| wants(&said.text).unwrap_or_default()).count()
}

#[test]
fn a_thousand_are_told_and_leave_nothing_behind() {
    let hub = Hub::start("");
    let publisher = Publisher::new(&hub.url(), &Access::default());
    let first = publisher.release(1, &crate::site::saying(&token()));
    publisher.want(1, &first);
    // What a thousand disks do is not the question here.
    let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let site = Site::within(memory, "sim", &format!("{}\nsource = '{}'", publisher.keys(), hub.url()));
    let before = hub.rss();
    let mut command = Command::new(crate::site::program());
    command.args(["agent", "--simulate", &AGENTS.to_string(), "--config"]).arg(site.file());
    let agents = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"));
    let until = |release: &str, patience: Duration| {
        let began = Instant::now();
        loop {
            let count = told(&publisher, release);
            if count as u64 == AGENTS {
                return began.elapsed();
            }
            assert!(began.elapsed() < patience, "{count} of {AGENTS} were told");
        }
    };
    let up = until(&first.to_string(), PATIENCE * 12);
    let each = hub.rss().saturating_sub(before) / AGENTS;
    let second = publisher.release(2, &crate::site::saying(&token()));
    publisher.want(2, &second);
    let took = until(&second.to_string(), PATIENCE * 3);
    let cpu = hub.cpu();
    std::thread::park_timeout(Duration::from_secs(5));
    let idle = (hub.cpu() - cpu).as_secs_f64() / 5.0;
    eprintln!(
        "report: {AGENTS} agents up in {up:?}, told in {took:?}; the hub has {} KiB for each, idle {idle:.3}",
        each >> 10
    );
    // Without optimisation a thousand signatures alone take seconds.
    let most = Duration::from_secs(if is_as_shipped() { 5 } else { 30 });
    assert!(took < most && each < 96 << 10 && idle < 0.1, "{took:?}, {each} bytes each, idle {idle}");
    assert_eq!(hub.consumers(), 0);
    drop(agents);
    assert_eq!(hub.consumers(), 0);
}
