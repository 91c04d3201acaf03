//! A node with a route and a worker: each system call of its start fails once, and then those of the worker
//! while it works, with each error. The worker never ends, native queries notice nothing, and no job is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::daemon::V4;
use crate::common::query;
use crate::fault::{alone, report, skipped, thread_status, tool, wait_until};
use crate::inject::{
    self, Fault, Traced, assert_explained, assert_serves, failing, has_strace, is_known, most, named,
    of_threads,
};
use crate::node::{Answer, NXDOMAIN, Node, SERVFAIL, Setup, ask_within};
use crate::upstream::{Reply, Seen, Upstream, truth};

const A: u16 = 1;
/// Queries that may be with the worker at a time.
const JOBS: usize = 64;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls of a worker that works, and how each may fail: those for the sockets to upstreams and clients, the
/// event loop, the eventfd that wakes it, and connections.
const CALLS: &[(&str, &[&str])] = &[
    ("bind", &["EADDRINUSE", "EACCES", "ENOMEM"]),
    ("close", &["EINTR"]),
    ("connect", &["ENETUNREACH", "EAGAIN", "EPERM", "ECONNREFUSED", "ETIMEDOUT"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("getpeername", &["ENOTCONN", "ENOBUFS"]),
    ("getsockopt", &["ENOMEM"]),
    ("read", &["EINTR", "EAGAIN", "ECONNRESET"]),
    ("readv", &["EINTR", "EAGAIN", "ECONNRESET"]),
    ("recvfrom", &["EINTR", "EAGAIN", "ECONNRESET", "ENOMEM"]),
    ("recvmmsg", &["EINTR", "EAGAIN", "ECONNREFUSED", "ENOMEM", "EHOSTUNREACH"]),
    ("recvmsg", &["EINTR", "EAGAIN", "ENOMEM"]),
    ("sendmmsg", &["ENOBUFS", "EAGAIN", "ENOMEM", "EPERM", "EHOSTUNREACH", "EINVAL", "EMSGSIZE", "EINTR"]),
    ("sendto", &["EPIPE", "EAGAIN", "ENOBUFS", "EINTR", "ECONNRESET"]),
    ("setsockopt", &["ENOMEM", "EPERM"]),
    ("shutdown", &["ENOTCONN"]),
    ("socket", &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"]),
    ("write", &["EAGAIN", "EINTR", "EPIPE"]),
    ("writev", &["EAGAIN", "EINTR", "EPIPE"]),
];

/// Calls that fail in no way that a program could do something about: time, memory and its ends, and those
/// of a C library around threads.
const LEFT_OUT: &[&str] =
    &["clock_gettime", "futex", "madvise", "mmap", "mprotect", "munmap", "restart_syscall"];

/// What is cut over UDP comes over a connection; what is slow comes late.
fn script(seen: &Seen) -> Vec<Reply> {
    match &seen.name()[..3] {
        "cut" if !seen.over_tcp => vec![seen.reply().cut()],
        "slo" => vec![seen.truth().after(Duration::from_millis(300))],
        _ => vec![seen.truth()],
    }
}

fn setup(server: &Upstream) -> Setup {
    Setup::new()
        .platform(&format!("jobs = {JOBS}\nshare = {JOBS}"))
        .upstream("up", &[server.address], "timeout = '400ms'")
        .route("all", "qname-suffix in { example }", "forward upstream up", "")
}

/// Whether a name gets its true answer, however often that takes.
fn forwards(to: SocketAddr, name: &str, is_over: &mut dyn FnMut() -> bool) -> bool {
    let mut number = 0;
    let answers = wait_until(PATIENCE, || {
        number += 1;
        let name = format!("{name}{number}.example");
        let (answer, _) = ask_within(to, &query(&name, A), Duration::from_secs(3));
        is_over() || answer.is_some_and(|answer| answer.address() == Some(truth(&name)))
    });
    assert!(answers.is_some(), "{name} is not forwarded");
    !is_over()
}

//------------ The start ---

/// The calls of a start, by how often the worker makes each; and how often others do at most.
fn look(further: &[&str]) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text").to_owned();
    let mut traced = Traced::start(&["-s".into(), "16".into(), "-o".into(), path], further);
    assert!(traced.serves(), "it starts");
    assert_eq!(traced.end(true).0.code(), Some(0));
    let text = fs::read_to_string(file.path()).expect("strace has written it");
    let is_worker = |line: &&str| line.contains("PR_SET_NAME, \"worker-0\"");
    let worker = text.lines().find(is_worker).and_then(|line| line.split(' ').next()).expect("there is one");
    let mut threads = of_threads(&text);
    let own = threads.remove(worker).expect("it was seen");
    (own, most(threads.values()))
}

#[test]
fn each_call_of_a_start_with_a_worker_fails_once() {
    let _turn = alone();
    if !has_strace() {
        return skipped("there is no strace, or it may not trace here");
    }
    let server = Upstream::start(script);
    let folder = setup(&server).folder();
    let config = folder.path().join("as112d.toml").display().to_string();
    let further = ["--datapath", "mmsg", "--config", &config];
    let (own, others) = look(&further);
    let unknown: Vec<&String> = own.keys().filter(|call| !is_known(call)).collect();
    assert!(unknown.is_empty(), "calls that nobody has thought of: {unknown:?}");
    let (mut failures, mut ends) = (Vec::new(), [0; 2]);
    let loader = inject::look("mmsg").loader;
    let seen = inject::Seen { loader, all: own };
    for (call, errors) in failing(&seen) {
        // Its first call and its last, which others may make too, and the first that no other makes; but none
        // that the loader makes, without which there is no program.
        let (count, of_loader) = (seen.all[call], seen.loader.get(call).copied().unwrap_or_default());
        let alone = 1 + others.get(call).copied().unwrap_or_default();
        let times =
            [1 + of_loader, alone, count].into_iter().filter(|&time| time <= count && time > of_loader);
        for time in times.collect::<BTreeSet<usize>>() {
            // A kernel that has had it, has it.
            for errno in errors.iter().filter(|errno| **errno != "ENOSYS").take(2) {
                let fault = Fault { call: call.to_owned(), errno, when: time.to_string(), datapath: "mmsg" };
                let trial = |fault: &Fault| start(fault, &further);
                match named(&fault, trial) {
                    Ok(serves) => ends[usize::from(serves)] += 1,
                    Err(failure) => failures.push(failure),
                }
            }
        }
    }
    report("workers_refused_served", format!("{ends:?}"));
    assert!(ends[0] + ends[1] > 10, "{others:?}");
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A start with a fault; whether it served in the end.
fn start(fault: &Fault, further: &[&str]) -> bool {
    let mut options: Vec<String> = ["-o", "/dev/null"].map(str::to_owned).into();
    options.extend(fault.arguments());
    let mut traced = Traced::start(&options, further);
    if !traced.serves() {
        let (status, said) = traced.end(false);
        assert_explained(fault, status, &said);
        return false;
    }
    let port = traced.port;
    let serves = assert_serves(port, None, || traced.ended().is_some())
        && forwards((V4, port).into(), "a", &mut || traced.ended().is_some());
    let (status, said) = traced.end(serves);
    if !serves || status.code() != Some(0) {
        assert_explained(fault, status, &said);
    }
    serves
}

//------------ While it works ---

/// The calls of a worker that works.
fn calls_of_a_worker() -> Vec<String> {
    let server = Upstream::start(script);
    let node = setup(&server).start();
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text").to_owned();
    let strace = attach(&node, &["-o".into(), path]);
    load(&node, 1);
    detach(strace);
    let text = fs::read_to_string(file.path()).expect("strace has written it");
    // Of one thread, so without its number.
    let call = |line: &str| line.split_once('(').map(|(call, _)| call.to_owned());
    let mut calls: Vec<String> = text.lines().filter_map(call).collect();
    calls.sort();
    calls.dedup();
    calls
}

/// The worker's thread.
fn worker(node: &Node) -> String {
    let process = node.process();
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs").filter_map(Result::ok);
    let name = |task: &fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
    let mut workers = tasks.filter(|task| name(task).trim() == "worker-0");
    workers.next().expect("there is a worker").file_name().into_string().expect("a number")
}

fn attach(node: &Node, options: &[String]) -> std::process::Child {
    let process = node.process();
    let is_confined = || thread_status(process, "Seccomp").iter().all(|(_, mode)| mode == "2");
    assert!(wait_until(PATIENCE, is_confined).is_some(), "its threads are confined");
    let mut command = Command::new("strace");
    command.args(["-qq", "-p", &worker(node)]).args(options);
    let strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts");
    let is_traced = || {
        let status = thread_status(process, "TracerPid");
        !node.daemon.lives() || status.iter().any(|(name, tracer)| name == "worker-0" && tracer != "0")
    };
    assert!(wait_until(PATIENCE, is_traced).is_some(), "strace attaches");
    strace
}

fn detach(mut strace: std::process::Child) {
    tool(&format!("kill -INT {}", strace.id()));
    strace.wait().expect("it is our child");
}

/// Queries to be forwarded, which may fail, and native ones, which may not.
fn load(node: &Node, round: usize) {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(node.address()).expect("connected");
    socket.set_nonblocking(true).expect("it does not wait");
    let (began, mut number, mut reply) = (Instant::now(), 0, [0; 4096]);
    while began.elapsed() < Duration::from_millis(250) {
        number += 1;
        for kind in ["a", "cut"] {
            // A busy machine may not take it.
            let _ = socket.send(&query(&format!("{kind}{round}-{number}.example"), A));
        }
        let native = node.ask(&format!("{number}.1.168.192.in-addr.arpa"), 12);
        assert_eq!(native.rcode, NXDOMAIN);
        while let Ok(len) = socket.recv(&mut reply) {
            let answer = Answer::of(&reply[..len]);
            assert!([0, SERVFAIL].contains(&answer.rcode), "{answer:?}");
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
}

/// All jobs are there: as many slow queries as there are jobs are taken at once, and are answered.
fn assert_whole(node: &Node, round: usize) {
    let refused = || node.metrics().sum("work_refused_total", &["=\"pool\""]);
    forwards(node.address(), &format!("w{round}-"), &mut || false);
    let is_whole = |attempt: usize| {
        let before = refused();
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(node.address()).expect("connected");
        socket.set_read_timeout(Some(Duration::from_millis(2500))).expect("a time-out");
        for number in 0..JOBS {
            socket.send(&query(&format!("slow{round}-{attempt}-{number}.example"), A)).expect("sent");
        }
        let mut reply = [0; 4096];
        let is_right = |len: usize, reply: &[u8]| Answer::of(&reply[..len]).address().is_some();
        let right = (0..JOBS).filter(|_| socket.recv(&mut reply).is_ok_and(|len| is_right(len, &reply)));
        let right = right.count();
        let refused = refused() - before;
        (right == JOBS && refused == 0).then_some(()).ok_or((right, refused))
    };
    // Jobs of the load may still be on their way, and a busy machine loses datagrams.
    let mut last = None;
    let whole = (0..8).any(|attempt| is_whole(attempt).map_err(|found| last = Some(found)).is_ok());
    assert!(whole, "right and refused for want of jobs: {last:?} of {JOBS}");
}

/// How much a node has counted of what its worker could not do.
fn counted(node: &Node) -> u64 {
    let metrics = node.metrics();
    let lost = metrics.sum("worker_replies_lost_total", &[]);
    let bad = ["unreachable", "timeout", "late", "malformed"];
    lost + bad
        .map(|trial| metrics.sum("upstream_queries_total", &[&format!("=\"{trial}\"")]))
        .iter()
        .sum::<u64>()
}

fn trial(fault: &Fault) -> bool {
    let server = Upstream::start(script);
    let node = setup(&server).start();
    forwards(node.address(), "first", &mut || false);
    let before = counted(&node);
    let strace =
        attach(&node, &[&["-o".to_owned(), "/dev/null".to_owned()][..], &fault.arguments()].concat());
    load(&node, 1);
    detach(strace);
    assert!(node.daemon.lives(), "it has ended");
    assert_whole(&node, 2);
    // A lost packet is counted. What is only later for it costs nothing.
    if fault.call == "sendmmsg" && fault.errno != "EINTR" {
        assert!(wait_until(PATIENCE, || counted(&node) > before).is_some(), "nothing is counted");
    }
    true
}

#[test]
fn each_call_of_a_worker_fails_in_each_way() {
    let _turn = alone();
    if !has_strace() {
        return skipped("there is no strace, or it may not trace here");
    }
    let calls = calls_of_a_worker();
    let known = |call: &str| LEFT_OUT.contains(&call) || CALLS.iter().any(|(known, _)| *known == call);
    let unknown: Vec<&String> = calls.iter().filter(|call| !known(call)).collect();
    assert!(unknown.is_empty(), "calls that nobody has thought of: {unknown:?}");
    let seen = |call: &str| calls.iter().any(|seen| seen == call);
    for heart in ["epoll_wait", "recvmmsg", "sendmmsg", "socket", "connect"] {
        assert!(seen(heart), "{heart} is not among {calls:?}");
    }
    let (mut failures, mut trials) = (Vec::new(), 0);
    for (call, errors) in CALLS.iter().filter(|(call, _)| seen(call)) {
        for errno in *errors {
            let fault = Fault { call: (*call).to_owned(), errno, when: "1+2".to_owned(), datapath: "mmsg" };
            trials += 1;
            failures.extend(named(&fault, trial).err());
        }
    }
    report("workers_faults", format!("{trials} trials of {calls:?}"));
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
