//! The configuration is read again and again while clients ask as fast as they are answered: no query is
//! lost, and every answer is wholly the old one or wholly the new one.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::daemon::{Daemon, V4, dropped_by_loopback, send_message};
use common::query;

/// Queries that a client has on the way.
const WINDOW: u16 = 32;

/// What the node says of itself, the same letter in three places of one answer.
fn configuration(letter: char) -> String {
    let text = letter.to_string().repeat(40);
    format!("[identity]\nnode = \"{text}\"\nfacility = \"{text}\"\nlocation = \"{text}\"\n")
}

/// The letter that a reply says in every place; nothing if it is no such reply.
fn letter(reply: &[u8]) -> Option<u8> {
    let is_said = |letter: &u8| reply.iter().filter(|byte| *byte == letter).count() >= 80;
    let said: Vec<u8> = b"AB".iter().copied().filter(is_said).collect();
    let other = |letter: u8| if letter == b'A' { b'B' } else { b'A' };
    match said[..] {
        [letter] if !reply.windows(2).any(|two| two == [other(letter); 2]) => Some(letter),
        _ => None,
    }
}

fn hostname(id: u16) -> Vec<u8> {
    let mut query = query("hostname.as112.net.", 16);
    query[..2].copy_from_slice(&id.to_be_bytes());
    query
}

/// How clients fared.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    lost: AtomicU64,
    mixed: AtomicU64,
}

impl Tally {
    fn note(&self, reply: &[u8]) {
        let counter = if letter(reply).is_some() { &self.answered } else { &self.mixed };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks over UDP, always a window full; whoever is not answered for long is lost.
    fn udp(&self, socket: &UdpSocket, stop: &AtomicBool) {
        let mut reply = [0; 1500];
        while !stop.load(Ordering::Relaxed) {
            for id in 0..WINDOW {
                socket.send(&hostname(id)).expect("sent");
            }
            for _ in 0..WINDOW {
                match socket.recv(&mut reply) {
                    Ok(len) => self.note(&reply[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    /// The same over one connection.
    fn tcp(&self, stream: &mut TcpStream, stop: &AtomicBool) {
        let mut reply = vec![0; 65_535];
        while !stop.load(Ordering::Relaxed) {
            for id in 0..WINDOW {
                send_message(stream, &hostname(id));
            }
            for _ in 0..WINDOW {
                let mut prefix = [0; 2];
                stream.read_exact(&mut prefix).expect("a reply");
                let len = usize::from(u16::from_be_bytes(prefix));
                stream.read_exact(&mut reply[..len]).expect("all of it");
                self.note(&reply[..len]);
            }
        }
    }
}

fn reload(control: &Path) {
    let mut stream = UnixStream::connect(control).expect("the control socket");
    stream.write_all(b"as112d 1 reload\n").expect("asked");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    assert!(answer.contains("\"ok\":true"), "{answer}");
}

/// Reloads so many times while four clients of each kind ask.
fn storm(datapath: &str, reloads: usize) {
    let folder = common::folder();
    let (config, control) = (folder.path().join("as112d.toml"), folder.path().join("control"));
    fs::write(&config, configuration('A')).expect("written");
    let paths = [&config, &control].map(|path| path.display().to_string());
    let arguments = ["--shards", "2", "--datapath", datapath, "--config", &paths[0], "--control", &paths[1]];
    let daemon = Daemon::start(&arguments);
    let (tally, stop, dropped) = (Tally::default(), AtomicBool::new(false), dropped_by_loopback());
    thread::scope(|scope| {
        for _ in 0..4 {
            let (socket, mut stream) = (daemon.udp(V4), daemon.tcp(V4));
            let (tally, stop) = (&tally, &stop);
            scope.spawn(move || tally.udp(&socket, stop));
            scope.spawn(move || tally.tcp(&mut stream, stop));
        }
        for round in 0..reloads {
            let (wanted, text) = if round % 2 == 0 { (b'B', 'B') } else { (b'A', 'A') };
            fs::write(&config, configuration(text)).expect("written");
            reload(&control);
            // Whoever asks behind the command gets the new answer, from whichever shard.
            for _ in 0..4 {
                assert_eq!(letter(&daemon.ask_udp(V4, &hostname(1))), Some(wanted), "round {round}");
            }
            let reply = daemon.ask_tcp(V4, &hostname(1)).expect("a reply");
            assert_eq!(letter(&reply), Some(wanted), "round {round}, TCP");
        }
        stop.store(true, Ordering::Relaxed);
    });
    let [answered, lost, mixed] =
        [&tally.answered, &tally.lost, &tally.mixed].map(|counter| counter.load(Ordering::Relaxed));
    println!("{datapath}: {reloads} reloads, {answered} answered, {lost} lost, {mixed} mixed");
    assert!(answered > 10 * reloads as u64, "{answered}");
    let dropped = dropped_by_loopback() - dropped;
    assert!(lost <= dropped && mixed == 0, "{lost} lost, {dropped} by the host; {mixed} mixed");
    assert!(daemon.stop().0.success());
}

#[test]
fn two_hundred_reloads_lose_nothing_and_mix_nothing() {
    storm("auto", 200);
}

#[test]
fn with_mmsg_reloads_lose_nothing_and_mix_nothing() {
    storm("mmsg", 20);
}

/// Many ask for a reload at the same time: each is told the truth of a configuration that was read behind its
/// wish.
#[test]
fn reloads_at_the_same_time_are_all_answered() {
    let folder = common::folder();
    let (config, control) = (folder.path().join("as112d.toml"), folder.path().join("control"));
    fs::write(&config, configuration('A')).expect("written");
    let paths = [&config, &control].map(|path| path.display().to_string());
    let daemon = Daemon::start(&["--config", &paths[0], "--control", &paths[1]]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| reload(&control)));
        }
    });
    fs::write(&config, configuration('B')).expect("written");
    reload(&control);
    assert_eq!(letter(&daemon.ask_udp(V4, &hostname(1))), Some(b'B'));
    assert!(daemon.stop().0.success());
}

/// What is probably a mistake in a zone is served; the log has it after the start and after each reload.
#[test]
fn doubtful_zones_are_served_with_a_warning() {
    let dir = common::folder();
    let (zones, control) = (dir.path().join("zones"), dir.path().join("control"));
    fs::create_dir(&zones).expect("a directory");
    let file = zones.join("example.zone");
    let write = |more: &str| {
        let text = format!("$TTL 1\n@ SOA a.x. b.x. 1 2 3 4 5\n@ NS a.x.\nown MX 1 a.x.\n{more}\n");
        fs::write(&file, text).expect("written");
    };
    write("www.other. A 192.0.2.1");
    let paths = [&zones, &control].map(|path| path.display().to_string());
    let daemon = Daemon::start(&["--zones", &paths[0], "--control", &paths[1]]);
    write("d NS ns.d");
    reload(&control);
    let referral = daemon.ask_udp(V4, &query("x.d.example.", 1));
    assert_eq!((referral[3] & 0x0F, referral[9]), (0, 1), "a referral to one server: {referral:02x?}");
    let mut lines = daemon.announcement.clone();
    let (status, more) = daemon.stop();
    assert!(status.success());
    lines.extend(more);
    let place = format!("{}:5: ", file.display());
    for expected in [
        format!("warning: {place}www.other. is outside the zone example. and is left out"),
        format!("warning: reload: {place}the delegation to ns.d.example. has no glue"),
    ] {
        let count = lines.iter().filter(|line| line.contains(&expected)).count();
        assert_eq!(count, 1, "{expected}: {lines:#?}");
    }
}
