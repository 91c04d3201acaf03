//! What the program takes, as the kernel measures it.

use std::fs;
use std::process::Command;

use as112d::xdp::Growth;

use super::common::query;
use super::frames::Frame;
use super::may_load;
use super::rig::{Rig, frame, snapshot, with_opt};

/// Lets the kernel measure programs as long as it lives.
struct Measuring;

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";

impl Measuring {
    fn begin() -> Self {
        fs::write(SWITCH, "1").expect("root may");
        Self
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let _ = fs::write(SWITCH, "0");
    }
}

/// Time and runs of all programs of ours, in nanoseconds.
fn measured() -> (u64, u64) {
    let output = Command::new("bpftool").args(["prog", "show", "name", "as112", "--json"]).output();
    let text = String::from_utf8(output.expect("bpftool is there").stdout).expect("text");
    let programs: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let programs = programs.as_array().cloned().unwrap_or_else(|| vec![programs]);
    let sum = |key: &str| programs.iter().filter_map(|program| program[key].as_u64()).sum();
    (sum("run_time_ns"), sum("run_cnt"))
}

#[test]
#[ignore = "measures"]
fn the_program_takes_so_long() {
    if !may_load() {
        return;
    }
    let ptr = query("1.2.3.10.in-addr.arpa", 12);
    let edns = with_opt(query("1.2.168.192.in-addr.arpa", 12), 1232, 0x8000, 0, &[(10, 8)]);
    let cases = [
        ("nothing of ours", Frame { port: 99, ..frame(false, &ptr) }),
        ("IPv4, no EDNS", frame(false, &ptr)),
        ("IPv4, EDNS with a cookie", frame(false, &edns)),
        ("IPv6, EDNS with a cookie", frame(true, &edns)),
    ];
    for growth in [Growth::Anywhere, Growth::Before] {
        let mut rig = Rig::new(snapshot(), growth);
        let _measuring = Measuring::begin();
        for (what, frame) in &cases {
            let frame = frame.bytes();
            let mut best = f64::MAX;
            for _ in 0..10 {
                let before = measured();
                for _ in 0..20_000 {
                    rig.responder.beat();
                    rig.responder.run(&frame).expect("it runs");
                }
                let after = measured();
                best = best.min((after.0 - before.0) as f64 / (after.1 - before.1) as f64);
            }
            println!("report: {growth:?}, {what}: {best:.0} ns");
        }
    }
}
