//! Many zones in one file: a node takes them over while it answers, gives each zone its own answers, and has
//! what the next reading takes in its memory once and not twice. With AS112D_ZONES=1000000 there are so many.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use common::daemon::{Configured, Daemon, PATIENCE, V4, is_as_shipped, wait_until};
use common::query;

const SOA: u16 = 6;
const A: u16 = 1;
const NXDOMAIN: u8 = 3;
/// How long a million zones may take on a machine that is busy.
const READ_MAX: Duration = Duration::from_secs(300);

/// How many zones there are: in a build without optimisation, that is in a second.
fn count() -> u32 {
    let asked = std::env::var("AS112D_ZONES").ok().map(|count| count.parse().expect("a number of zones"));
    asked.unwrap_or(20_000)
}

/// So many zones of three kinds: nothing but a head, the same for all; an address of its own each; and names
/// below.
fn pack(count: u32, serial: u32) -> String {
    let mut text = "$TTL 60\n".to_owned();
    for number in 0..count {
        let _ = writeln!(
            text,
            "$ORIGIN owner{number}.example.\n@ SOA ns.hoster.test. h.hoster.test. {serial} 2 3 4 5\n\
             \tNS ns.hoster.test."
        );
        let _ = match number % 100 {
            0 => writeln!(text, "@ A {}", std::net::Ipv4Addr::from(0x0A00_0000 + number)),
            1 => writeln!(text, "@ A 192.0.2.1\nwww CNAME @"),
            _ => Ok(()),
        };
    }
    text
}

/// The reply to a question; whoever is not answered soon is lost.
fn asked(socket: &UdpSocket, name: &str, qtype: u16) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket.send(&query(name, qtype)).expect("sent");
    let mut reply = [0; 1500];
    let len = socket.recv(&mut reply).unwrap_or_else(|error| panic!("{name}: {error}"));
    reply[..len].to_vec()
}

fn serial_of(reply: &[u8]) -> Option<u32> {
    // The SOA's five numbers are the last of it.
    let numbers = reply.len().checked_sub(20)?;
    (reply[7] == 1).then(|| u32::from_be_bytes(reply[numbers..numbers + 4].try_into().expect("four")))
}

/// What the process has now and had at most, in KiB.
fn memory(daemon: &Daemon) -> [u64; 2] {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("it runs");
    ["VmRSS:", "VmHWM:"].map(|key| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel tells");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    })
}

#[test]
fn a_pack_is_read_while_the_node_answers_and_every_zone_is_there() {
    let count = count();
    let configured = Configured::new("[zones]\npacks = ['owners.zones']\n");
    let write = |count, serial| {
        let new = configured.path("owners.new");
        fs::write(&new, pack(count, serial)).expect("there is room");
        fs::rename(&new, configured.path("owners.zones")).expect("it is there");
    };
    write(10, 1);
    let daemon = configured.start();
    let socket = daemon.udp(V4);
    assert_eq!(serial_of(&asked(&socket, "owner9.example.", SOA)), Some(1));
    assert_eq!(asked(&socket, "owner10.example.", SOA)[3] & 15, 5, "it is refused");

    let last = format!("owner{}.example.", count - 1);
    let mut first_reading = 0;
    for serial in [2, 3] {
        write(count, serial);
        daemon.signal(1);
        let began = Instant::now();
        // Somebody asks all the time, and is answered, be it the old or the new.
        while serial_of(&asked(&socket, &last, SOA)) != Some(serial) {
            assert!(began.elapsed() < READ_MAX, "{:?}", daemon.announcement);
            let known = serial_of(&asked(&socket, "owner9.example.", SOA));
            assert!(known.is_some_and(|known| (serial - 1..=serial).contains(&known)), "{known:?}");
            thread::yield_now();
        }
        if serial == 2 {
            first_reading = memory(&daemon)[0];
        }
    }
    // The old and the new, and what is needed to read it: but no tree of a zone, nor its text.
    let [_, peak] = memory(&daemon);
    assert!(peak < 3 * first_reading + (64 << 10), "{peak} KiB, after the first {first_reading} KiB");
    if is_as_shipped() {
        assert!(first_reading < 60 * 1024 + u64::from(count), "{first_reading} KiB");
    }

    for number in (0..count).step_by(1 + count as usize / 2000).chain([0, 1, 100, 101, count - 1]) {
        let name = format!("owner{number}.example.");
        assert_eq!(serial_of(&asked(&socket, &name, SOA)), Some(3), "{name}");
        let address = asked(&socket, &name, A);
        let expected = match number % 100 {
            0 => Some((0x0A00_0000 + number).to_be_bytes()),
            1 => Some([192, 0, 2, 1]),
            _ => None,
        };
        let found = (address[7] == 1).then(|| address[address.len() - 4..].try_into().expect("four"));
        assert_eq!(found, expected, "{name}");
        let www = asked(&socket, &format!("www.{name}"), A);
        let rcode = if number % 100 == 1 { 0 } else { NXDOMAIN };
        assert_eq!((www[3] & 15, www[7]), (rcode, if rcode == 0 { 2 } else { 0 }), "{name}");
    }

    // A mistake leaves all as it was.
    let broken = pack(count, 4).replacen(" SOA ", " SOB ", 1);
    fs::write(configured.path("owners.zones"), broken).expect("there is room");
    daemon.signal(1);
    let mut said = String::new();
    wait_until("the mistake is told", || {
        said = daemon.next_line();
        said.contains("owners.zones:3:")
    });
    assert_eq!(serial_of(&asked(&socket, &last, SOA)), Some(3));
}
