//! Files that change while they are read: a writer who never rests, and reloads all the while.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::daemon::{Configured, Daemon, PATIENCE, V4, wait_until};
use crate::common::query;
use crate::fault::{argument, beside, pause, reload, report, skipped, thread_status};
use crate::inject::has_strace;

/// Lines between the first and the last mention of a version, as many more or less as it wants: no two
/// versions that follow each other have the same length.
fn filler(version: u32, comment: char) -> String {
    format!("{comment} {}\n", "-".repeat(70)).repeat(40 + (version * 7 % 40) as usize)
}

/// What the node says of itself, and its zone. One that is cut off is wrong, but for an empty one.
fn configuration(version: u32) -> String {
    let filler = filler(version, '#');
    format!(
        "identity = {{ node = 'v{version:07}', facility = 'v{version:07}', location = 'v{version:07}' }}\n\
         zone = [\n{filler}{{ name = 'z.example', file = 'z.zone' }}]\n"
    )
}

/// Two records that must agree, far apart. One that is cut off has no SOA, or one that does not end.
fn zone(version: u32) -> String {
    let filler = filler(version, ';');
    format!(
        "@ 60 IN TXT \"v{version:07}\" first\n{filler}@ 60 IN TXT \"v{version:07}\" last\n\
         @ 60 IN NS ns.example.net.\n@ 60 IN SOA a. b. ( {version} 60 60 60 60 )\n"
    )
}

/// A file that is written again and again, and which versions of it there have been.
struct Racing {
    path: PathBuf,
    text: fn(u32) -> String,
    /// The version that was begun last, and the one that was done last.
    begun: AtomicU32,
    done: AtomicU32,
}

impl Racing {
    fn new(path: PathBuf, text: fn(u32) -> String) -> Self {
        fs::write(&path, text(0)).expect("there is room");
        Self { path, text, begun: AtomicU32::new(0), done: AtomicU32::new(0) }
    }

    /// Writes the next version, each time in another of the ways of editors.
    fn write_next(&self) {
        let version = self.begun.load(Ordering::SeqCst) + 1;
        self.begun.store(version, Ordering::SeqCst);
        let text = (self.text)(version);
        match way(version) {
            Way::InPieces => in_pieces(&self.path, &text),
            Way::Renamed => {
                let new = self.path.with_extension("new");
                fs::write(&new, &text).expect("there is room");
                fs::rename(&new, &self.path).expect("they are in one folder");
            }
            Way::Removed => {
                fs::remove_file(&self.path).expect("it is there");
                // Long enough to be missed by a reader whose disk is slow.
                pause(Duration::from_millis(5));
                in_pieces(&self.path, &text);
            }
        }
        self.done.store(version, Ordering::SeqCst);
    }

    fn begun(&self) -> u32 {
        self.begun.load(Ordering::SeqCst)
    }

    fn done(&self) -> u32 {
        self.done.load(Ordering::SeqCst)
    }
}

/// How editors write.
#[derive(PartialEq)]
enum Way {
    InPieces,
    Renamed,
    Removed,
}

/// How a version is written.
fn way(version: u32) -> Way {
    match version % 4 {
        0 => Way::InPieces,
        1 | 2 => Way::Renamed,
        _ => Way::Removed,
    }
}

/// Truncates a file, and writes it by and by: slowly enough that a part of it is found at rest as well.
fn in_pieces(path: &Path, text: &str) {
    let mut file = File::create(path).expect("there is room");
    for piece in text.as_bytes().chunks(text.len() / 3) {
        pause(Duration::from_millis(1));
        file.write_all(piece).expect("there is room");
    }
}

/// Which version each part of an answer is of; all that is in it, which is one or none.
fn version_in(reply: &[u8]) -> Option<u32> {
    let mentions = reply.windows(9).filter(|window| window[..2] == *b"\x08v");
    let mut versions: Vec<u32> = mentions
        .map(|window| String::from_utf8_lossy(&window[2..]).parse().expect("a version's number"))
        .collect();
    versions.dedup();
    assert!(versions.len() <= 1, "an answer of several versions: {versions:?}");
    versions.pop()
}

/// What a client sees of the configuration and of the zone: their versions.
fn seen(socket: &UdpSocket) -> [Option<u32>; 2] {
    ["hostname.as112.net.", "z.example."].map(|name| {
        let mut reply = [0; 1500];
        socket.send(&query(name, 16)).expect("sent");
        let len = socket.recv(&mut reply).expect("answered");
        version_in(&reply[..len])
    })
}

/// What is served behind a reload is one of the versions that there were while it went on. An empty
/// configuration is one too: then there is no zone, and no version is said.
fn assert_taken(now: [Option<u32>; 2], done: [u32; 2], begun: [u32; 2]) {
    let between = |file: usize| done[file]..=begun[file];
    match now {
        [Some(configuration), Some(zone)] => {
            assert!(between(0).contains(&configuration), "{configuration} of {:?}", between(0));
            assert!(between(1).contains(&zone), "{zone} of {:?}", between(1));
        }
        [None, None] => {
            let was_empty = |version| version > done[0] && way(version) != Way::Renamed;
            assert!(between(0).any(was_empty), "none of {:?} was ever empty", between(0));
        }
        _ => panic!("the configuration of one version, the zone of none: {now:?}"),
    }
}

/// What a reload that kept the old version says is wrong: each with the file, and with the line where there
/// is one.
fn assert_told(answer: &Value, files: [&Racing; 2]) {
    let problems = answer["problems"].as_array().expect("there is a list");
    assert!(!problems.is_empty(), "{answer}");
    for problem in problems {
        let [place, message] = ["place", "message"].map(|key| problem[key].as_str().expect("it is text"));
        let behind = files.iter().find_map(|file| place.strip_prefix(argument(&file.path)));
        let behind = behind.unwrap_or_else(|| panic!("none of the files: {answer}"));
        let line = behind.strip_prefix(':').and_then(|place| place.split(':').next());
        let is_line = line.is_some_and(|line| line.parse::<u32>().is_ok_and(|line| line > 0));
        // What is not there, be it the file or a record, has no line; nor has what does not come to rest.
        let of_all = [
            "(No such file",
            "file: No such file",
            "has no SOA",
            "has no NS",
            "it changed while it was read",
        ];
        assert!(is_line || of_all.iter().any(|words| message.contains(words)), "{answer}");
    }
}

/// Says that it is over, however a test ends: its threads are waited for.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has each call that reads one of the files take so many microseconds longer, for as long as this lives. The
/// first thread reads them; the others are left alone.
struct Slow(Child);

impl Slow {
    fn start(daemon: &Daemon, files: [&Racing; 2], microseconds: u32) -> Self {
        let mut command = Command::new("strace");
        command.args(["-qq", "-o", "/dev/null", "-p", &daemon.id().to_string()]);
        command.args(["-e", "trace=read", "-e", &format!("inject=read:delay_exit={microseconds}")]);
        for file in files {
            command.arg("-P").arg(&file.path);
        }
        let slow = Self(command.stdin(Stdio::null()).spawn().expect("strace starts"));
        let is_traced = || thread_status(daemon.id(), "TracerPid").iter().any(|(_, tracer)| tracer != "0");
        wait_until("strace attaches", is_traced);
        slow
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        // The node goes on without it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks for reloads, while the files are written and the node is asked. Where reading is `slow`, so many
/// microseconds a call, much is written between two calls that read one file.
fn race(name: &str, slow: Option<u32>) {
    let node = Configured::new("");
    let config = Racing::new(node.config.clone().into(), configuration);
    let zone = Racing::new(node.path("z.zone"), zone);
    let control = node.path("control");
    let daemon = Daemon::start(&["--config", &node.config, "--control", argument(&control), "--shards", "2"]);
    let (stop, asked, client) = (AtomicBool::new(false), AtomicU32::new(0), daemon.udp(V4));
    let slow = slow.map(|microseconds| Slow::start(&daemon, [&config, &zone], microseconds));
    let (mut taken, mut kept) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                config.write_next();
                zone.write_next();
                // At times there is time to read.
                pause(Duration::from_millis(u64::from(zone.done() % 5) * 4));
            }
        });
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                seen(&client);
                asked.fetch_add(1, Ordering::Relaxed);
                pause(Duration::from_millis(1));
            }
        });
        let _stops = Stops(&stop);
        let socket = daemon.udp(V4);
        let began = Instant::now();
        let both = |taken: u32, kept: u32| taken > 0 && kept > 0;
        while began.elapsed() < Duration::from_secs(3) || !both(taken, kept) && began.elapsed() < PATIENCE {
            let before = seen(&socket);
            let done = [config.done(), zone.done()];
            let answer = reload(&control);
            let begun = [config.begun(), zone.begun()];
            let now = seen(&socket);
            if answer["ok"] == true {
                taken += 1;
                assert_taken(now, done, begun);
            } else {
                kept += 1;
                assert_eq!(now, before, "{answer}");
                assert_told(&answer, [&config, &zone]);
            }
        }
    });
    report(&format!("{name}_asked"), asked.into_inner());
    report(&format!("{name}_versions"), config.done());
    report(&format!("{name}_reloads_taken"), taken);
    report(&format!("{name}_reloads_kept"), kept);
    assert!(taken > 0 && kept > 0);
    drop(slow);
    assert_eq!(reload(&control)["ok"], true, "the writer rests");
    assert_eq!(seen(&daemon.udp(V4)), [Some(config.done()), Some(zone.done())]);
    assert_eq!(daemon.stop().0.code(), Some(0));
}

#[test]
fn a_reload_takes_over_a_whole_version_or_none_whoever_writes_meanwhile() {
    let _turn = beside();
    race("racing_writer", None);
}

#[test]
fn nor_does_a_slow_disk_mix_versions() {
    let _turn = beside();
    if !has_strace() {
        return skipped("there is no strace, or it may not trace here");
    }
    race("racing_writer_slow_disk", Some(2000));
}
