//! Applications change while queries go on, and processes take over from each other: nothing is lost, and
//! every reply is that of a version which was in effect at some moment of its query's life.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::calendar::Calendar;
use crate::common::daemon::{dropped_by_loopback, is_as_shipped, wait_until};
use crate::common::{query, with_opt};
use crate::load::{Tally, open_loop};
use crate::node::{Node, coded, guest};

const A: u16 = 1;
const RCODE: u8 = 9;
const ROUTER: &str = "router = ['qname-suffix in { coded.example }']\n";

/// Queries a second, of both kinds together.
fn rate() -> u32 {
    if is_as_shipped() { 20_000 } else { 1600 }
}

/// A query in two is one of the application's, with EDNS so that the reply says of which version it is.
fn question(number: u64) -> Vec<u8> {
    match number % 2 {
        0 => query(&format!("{}.{}.168.192.in-addr.arpa", number % 251, number % 241), 12),
        _ => with_opt(query(&format!("n{number}.coded.example"), A), 1232, &[]),
    }
}

/// The extended error of a reply: the option that ends it.
fn error(reply: &[u8]) -> Option<u16> {
    let at = reply.windows(4).rposition(|four| four == [0, 15, 0, 2])?;
    Some(u16::from_be_bytes([*reply.get(at + 4)?, *reply.get(at + 5)?]))
}

fn judge(calendar: &Calendar, number: u64, reply: &[u8], at: Instant) -> Result<(), String> {
    let rcode = reply[3] & 0xF;
    let is_right = match number % 2 {
        0 => rcode == 3 && reply[2] & 4 != 0,
        _ => {
            rcode == RCODE
                && error(reply).is_some_and(|version| calendar.had(at, |had| had == usize::from(version)))
        }
    };
    if is_right { Ok(()) } else { Err(format!("rcode {rcode}, error {:?}", error(reply))) }
}

/// Loads a node while `change` runs.
fn loaded(node: &Node, calendar: &Calendar, change: impl FnOnce()) -> Tally {
    let (tally, stop, address) = (Tally::default(), AtomicBool::new(false), node.address());
    thread::scope(|scope| {
        for socket in 0..2_u64 {
            let (tally, stop) = (&tally, &stop);
            // Each asks for names of its own.
            let own = move |number: u64| (number / 2 * 4) + socket * 2 + number % 2;
            scope.spawn(move || {
                let judge = |n, reply: &[u8], at| judge(calendar, own(n), reply, at);
                open_loop(address, rate() / 2, tally, stop, &|n| question(own(n)), &judge);
            });
        }
        thread::park_timeout(Duration::from_millis(500));
        change();
        thread::park_timeout(Duration::from_millis(500));
        stop.store(true, Ordering::Relaxed);
    });
    tally.check();
    tally
}

fn version(number: u16) -> Vec<u8> {
    guest(coded(RCODE, number))
}

#[test]
fn two_hundred_swaps_lose_nothing() {
    let calendar = Calendar::default();
    calendar.begins(0);
    let node = Node::start(&[("coded", ROUTER, version(0))]);
    let dropped = dropped_by_loopback();
    let mut took = Vec::new();
    let tally = loaded(&node, &calendar, || {
        for number in 1..=200 {
            if number % 4 == 0 {
                // One that is broken changes nothing.
                let bad: (&str, Vec<u8>, &str) = match number % 16 {
                    0 => ("router = [", version(number), "app.toml:1:"),
                    4 => ("module = 'other.wasm'\n", version(number), "app.toml:1:10"),
                    8 => (ROUTER, b"no module".to_vec(), "coded.wasm"),
                    _ => ("sha256 = 'ab'\n", version(number), "app.toml:1:10"),
                };
                node.put("coded", bad.0, &bad.1);
                let told = node.fail_to_reload();
                assert!(told.contains(bad.2), "{told}");
            }
            node.put("coded", ROUTER, &version(number));
            calendar.begins(number.into());
            let began = Instant::now();
            node.reload();
            took.push(began.elapsed());
            calendar.is_done();
        }
    });
    took.sort();
    let (asked, lost) = (tally.asked(), tally.lost());
    println!("report: apps_swaps_lost {lost} of {asked}, a reload takes {:?}", took[took.len() / 2]);
    assert!(asked > 4000, "{asked}");
    assert!(lost <= dropped_by_loopback() - dropped, "{lost} of {asked} lost");
    // No fallback, and the last version is the one in effect.
    assert_eq!(node.app("coded")["traps"], 0);
    wait_until("old instances have gone", || node.app("coded")["memory"].as_u64() < Some(512 << 10));
}

#[test]
fn an_upgrade_in_the_middle_of_swaps_loses_nothing() {
    let calendar = Calendar::default();
    calendar.begins(0);
    let node = Node::start(&[("coded", ROUTER, version(0))]);
    let dropped = dropped_by_loopback();
    let tally = loaded(&node, &calendar, || {
        for number in 1..=20 {
            node.put("coded", ROUTER, &version(number));
            calendar.begins(number.into());
            if number % 5 == 0 {
                let answer = node.ask("upgrade");
                assert!(answer["ok"] == true, "{answer}");
                // What was handed over before is answered by the process that took it.
                wait_until("the successor serves alone", || node.ask("reload")["ok"] == true);
            } else {
                wait_until("it is read", || node.ask("reload")["ok"] == true);
            }
            thread::park_timeout(Duration::from_millis(100));
            calendar.is_done();
        }
    });
    let (asked, lost) = (tally.asked(), tally.lost());
    println!("report: apps_upgrades_lost {lost} of {asked}");
    assert!(lost <= dropped_by_loopback() - dropped, "{lost} of {asked} lost");
}

/// How much longer a start takes with 20 applications, and how long a reload that changes one: for a report,
/// as another machine takes another time.
#[test]
fn twenty_applications_start_and_one_of_them_is_reloaded() {
    let apps: Vec<(String, String)> = (0..20)
        .map(|n| (format!("app-{n:02}"), format!("router = ['qname-suffix in {{ a{n}.coded.example }}']\n")))
        .collect();
    let with: Vec<(&str, &str, Vec<u8>)> =
        apps.iter().map(|(name, manifest)| (name.as_str(), manifest.as_str(), version(1))).collect();
    let starts = |apps: &[(&str, &str, Vec<u8>)]| {
        let began = Instant::now();
        let node = Node::start(apps);
        (began.elapsed(), node)
    };
    let (without, _) = starts(&[]);
    let (took, node) = starts(&with);
    assert_eq!(node.ask("apps")["apps"].as_array().map(Vec::len), Some(20));
    node.put("app-07", &apps[7].1, &version(2));
    let began = Instant::now();
    node.reload();
    let reload = began.elapsed();
    println!("report: apps_start_20 {:?} more, a reload of one {reload:?}", took.saturating_sub(without));
    for (n, wanted) in [(6, 1), (7, 2)] {
        let asked = with_opt(query(&format!("x.a{n}.coded.example"), A), 1232, &[]);
        assert_eq!(error(&node.daemon.ask_udp(crate::common::daemon::V4, &asked)), Some(wanted));
    }
}
