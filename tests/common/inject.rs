//! System calls that fail: the daemon under strace, which lets a chosen call return an error. Whatever fails,
//! there are three ends: it serves, it refuses to start and says why, or it ends and says why. It never
//! hangs,
//! never panics, and is never there in part.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::common::daemon::{Daemon, PATIENCE, V4, V6, free_port, program, read_message, send_message};
use crate::fault::{honest_query, thread_status, tool, wait_until};

/// What a call may say, the likeliest first.
type Errors = &'static [&'static str];

/// The calls that may fail, and how. A call that the daemon makes and that is not here is a failed test: it
/// must
/// be thought about first.
const CALLS: &[(&str, Errors)] = &[
    ("accept4", &["EMFILE", "ECONNABORTED", "ENOBUFS", "ENOMEM", "EPERM", "EINTR", "EPROTO"]),
    ("access", &["ENOENT"]),
    ("bind", &["EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOMEM"]),
    ("capget", &["EPERM", "EINVAL"]),
    ("clone", &["EAGAIN", "ENOMEM", "EPERM"]),
    ("clone3", &["EAGAIN", "ENOMEM", "EPERM"]),
    // EIO comes of disks alone, and the standard library takes it ill of a folder.
    ("close", &["EINTR"]),
    ("close_range", &["ENOSYS", "ENOMEM"]),
    ("connect", &["ENETUNREACH", "EAGAIN", "EPERM"]),
    ("epoll_create1", &["EMFILE", "ENOMEM"]),
    ("epoll_ctl", &["ENOMEM", "ENOSPC"]),
    ("epoll_wait", &["EINTR"]),
    ("eventfd2", &["EMFILE", "ENOMEM"]),
    ("fcntl", &["EMFILE", "EINVAL"]),
    ("fstat", &["EIO"]),
    ("ftruncate", &["ENOSPC"]),
    ("getdents64", &["ENOENT", "EIO"]),
    ("getrandom", &["EINTR", "ENOSYS"]),
    ("getsockname", &["ENOBUFS"]),
    ("getsockopt", &["ENOPROTOOPT", "ENOMEM"]),
    ("io_uring_enter", &["EINTR", "EAGAIN", "EBUSY", "ENOMEM", "EBADFD", "EPERM"]),
    ("io_uring_register", &["EINVAL", "EPERM", "ENOMEM", "EBUSY", "ENOSYS"]),
    ("io_uring_setup", &["EPERM", "ENOSYS", "ENOMEM", "EINVAL", "EMFILE"]),
    ("ioctl", &["ENOTTY", "EINVAL"]),
    ("landlock_add_rule", &["ENOMEM", "EINVAL"]),
    ("landlock_create_ruleset", &["ENOSYS", "EOPNOTSUPP"]),
    ("landlock_restrict_self", &["EPERM", "E2BIG"]),
    ("listen", &["EADDRINUSE"]),
    ("lseek", &["ESPIPE"]),
    ("madvise", &["ENOMEM", "EINVAL"]),
    ("mkdir", &["EACCES", "ENOSPC"]),
    ("mmap", &["ENOMEM", "EPERM"]),
    ("mprotect", &["ENOMEM"]),
    ("munmap", &["ENOMEM"]),
    ("newfstatat", &["ENOENT", "EACCES"]),
    ("open", &["ENOENT", "EMFILE"]),
    ("openat", &["EMFILE", "EACCES", "ENOENT", "ENFILE", "ENOMEM"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("prctl", &["EINVAL"]),
    ("pread64", &["EIO", "EINTR"]),
    ("prlimit64", &["EPERM"]),
    ("pwrite64", &["ENOSPC", "EIO"]),
    ("read", &["EIO", "EINTR", "EAGAIN"]),
    ("readlinkat", &["ENOENT", "EACCES"]),
    ("recvfrom", &["EINTR", "ECONNRESET", "ENOMEM"]),
    ("recvmmsg", &["EINTR", "EAGAIN", "ECONNREFUSED", "ENOMEM", "EBADF"]),
    ("rt_sigaction", &["EINVAL"]),
    ("sched_getaffinity", &["EPERM", "EINVAL"]),
    ("sched_setaffinity", &["EINVAL", "EPERM"]),
    ("seccomp", &["EINVAL", "EACCES", "ENOMEM"]),
    ("sendmmsg", &["ENOBUFS", "EAGAIN", "ENOMEM", "EPERM", "EHOSTUNREACH", "EINVAL", "EMSGSIZE", "EINTR"]),
    ("sendto", &["EPIPE", "ENOBUFS", "EINTR", "ECONNREFUSED"]),
    ("setgroups", &["EPERM"]),
    ("setpriority", &["EPERM", "EACCES"]),
    ("setresgid", &["EAGAIN", "EPERM"]),
    ("setresuid", &["EAGAIN", "EPERM"]),
    ("setsockopt", &["ENOPROTOOPT", "EPERM", "ENOMEM", "EINVAL"]),
    ("shutdown", &["ENOTCONN"]),
    ("socket", &["EMFILE", "EAFNOSUPPORT", "EPERM", "ENOBUFS"]),
    ("socketpair", &["EMFILE"]),
    ("statx", &["ENOENT", "EACCES", "ENOSYS"]),
    ("sysinfo", &["EPERM"]),
    ("unlink", &["EACCES"]),
    ("write", &["ENOSPC", "EPIPE", "EIO", "EAGAIN", "EINTR"]),
    ("writev", &["EPIPE", "ENOBUFS", "EINTR"]),
];

/// Calls that cannot fail here, or whose failure no program survives: those of the C library and the language
/// around threads and signals.
const LEFT_OUT: &[&str] = &[
    "arch_prctl",
    // The C library's allocator crashes by itself when this fails.
    "brk",
    "execve",
    "exit",
    "exit_group",
    // The C library ends the process by itself when this fails where it joins a thread.
    "futex",
    "geteuid",
    "getpid",
    "gettid",
    "restart_syscall",
    "rseq",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    // Of a structure that is there.
    "uname",
];

/// Calls that get memory. Without it the language ends the process with a line, which is all that can be
/// done.
const MEMORY: [&str; 4] = ["madvise", "mmap", "mprotect", "munmap"];

/// What is done to the daemon.
#[derive(Clone, Debug)]
pub struct Fault {
    pub call: String,
    pub errno: &'static str,
    /// Which of the calls of a thread, in strace's terms: `3`, or `1+2` for every other.
    pub when: String,
    pub datapath: &'static str,
}

impl Fault {
    /// What strace is told.
    pub fn arguments(&self) -> [String; 4] {
        let Self { call, errno, when, .. } = self;
        [
            "-e".to_owned(),
            format!("trace={call}"),
            "-e".to_owned(),
            format!("inject={call}:error={errno}:when={when}"),
        ]
    }

    /// Signals come over a socket of the process's own, whose end is in its hands: that cannot fail so, and
    /// the
    /// library that reads it panics.
    fn is_of_signals(&self) -> bool {
        self.call == "recvfrom" && self.errno != "EINTR"
    }

    /// Whether the daemon may end by this: no memory, or the one call without which a shard is of no use.
    fn is_deadly(&self) -> bool {
        MEMORY.contains(&self.call.as_str())
            || (self.call == "io_uring_enter" && ["EBADFD", "EPERM", "ENOMEM"].contains(&self.errno))
            || (self.call == "recvmmsg" && self.errno == "EBADF")
            || self.is_of_signals()
            || self.is_of_wakers()
    }

    /// Whether the event loop of HTTP may meet it when it wakes itself: by an eventfd, whose write fails with
    /// nothing but EAGAIN and EINTR. strace cannot tell it from a file, and the loop is not made for it.
    fn is_of_wakers(&self) -> bool {
        self.call == "write" && !["EAGAIN", "EINTR"].contains(&self.errno)
    }
}

/// Whether strace can do this here.
pub fn has_strace() -> bool {
    tool("strace -f -qq -o /dev/null -e trace=getpid -e inject=getpid:error=EPERM:when=1 true")
}

//------------ Running under strace ---

/// The daemon below strace, ended when dropped.
pub struct Traced {
    strace: Child,
    pub port: u16,
    http: u16,
    said: Option<JoinHandle<String>>,
}

impl Traced {
    /// Starts it with further arguments.
    pub fn start(options: &[String], further: &[&str]) -> Self {
        let (port, http) = (free_port(), free_port());
        let http_address = format!("127.0.0.1:{http}");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(options).arg("--").arg(program());
        let further = [&["--http", &http_address], further].concat();
        command.args(Daemon::arguments(port, &further));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut strace = command.spawn().expect("strace starts");
        let mut stderr = strace.stderr.take().expect("it was piped");
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self { strace, port, http, said: Some(said) }
    }

    /// The daemon's own id, while it runs.
    fn daemon(&self) -> Option<String> {
        let id = self.strace.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// Its status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.strace.try_wait().expect("it is our child")
    }

    /// Until it answers or has ended; whether it answers.
    pub fn serves(&mut self) -> bool {
        let (mut ended, port) = (false, self.port);
        let answers = wait_until(PATIENCE, || {
            ended = self.ended().is_some();
            ended || answers_udp((V4, port).into(), Duration::from_millis(50))
        });
        assert!(answers.is_some(), "it neither serves nor ends");
        !ended
    }

    /// How it ended, and what it said.
    pub fn end(&mut self, signal: bool) -> (ExitStatus, String) {
        // A supervisor would say it again too: the first signal may be what failed.
        let ended = (0..6).find_map(|_| {
            if let Some(id) = self.daemon().filter(|_| signal) {
                tool(&format!("kill -TERM {id}"));
            }
            wait_until(PATIENCE / 3, || self.ended().is_some())
        });
        assert!(ended.is_some(), "it does not end");
        let said = self.said.take().expect("it is asked once").join().expect("it only reads");
        (self.ended().expect("it has ended"), said)
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(id) = self.daemon().filter(|_| self.ended().is_none()) {
            tool(&format!("kill -KILL {id}"));
        }
        // It may have ended already.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn answers_udp(to: SocketAddr, patience: Duration) -> bool {
    let Ok(socket) = UdpSocket::bind((to.ip(), 0)) else { return false };
    let mut reply = [0; 512];
    socket.connect(to).is_ok()
        && socket.set_read_timeout(Some(patience)).is_ok()
        && socket.send(&honest_query(7)).is_ok()
        && socket.recv(&mut reply).is_ok_and(|len| len == 119 && reply[3] & 0xF == 3)
}

fn answers_tcp(to: SocketAddr, patience: Duration) -> bool {
    let Ok(mut stream) = TcpStream::connect(to) else { return false };
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    send_message(&mut stream, &honest_query(8));
    read_message(&mut stream).is_some_and(|reply| reply.len() == 119)
}

/// Asks for the metrics; whether there was an answer.
fn answers_http(port: u16, patience: Duration) -> bool {
    let Ok(mut stream) = TcpStream::connect((V4, port)) else { return false };
    stream.set_read_timeout(Some(patience)).expect("a time-out");
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.ends_with("ok\n")
}

/// Both families, both transports, and statistics: some failed calls lose a query, none loses all. False if
/// it `ended` instead.
pub fn assert_serves(port: u16, http: Option<u16>, mut ended: impl FnMut() -> bool) -> bool {
    let mut asked = |what: &str, answers: &dyn Fn() -> bool| {
        let until = wait_until(PATIENCE, || ended() || answers());
        assert!(until.is_some(), "no answer over {what}");
    };
    for ip in [V4, V6] {
        let to = SocketAddr::new(ip, port);
        asked("UDP", &|| answers_udp(to, Duration::from_millis(200)));
        asked("TCP", &|| answers_tcp(to, Duration::from_secs(1)));
    }
    if let Some(http) = http {
        asked("HTTP", &|| answers_http(http, Duration::from_secs(1)));
    }
    !ended()
}

/// It said why in words, or there was nobody to tell.
pub fn assert_explained(fault: &Fault, status: ExitStatus, said: &str) {
    let no_memory = ["memory allocation of", "failed to allocate", "Cannot allocate memory"]
        .into_iter()
        .any(|words| said.contains(words));
    if MEMORY.contains(&fault.call.as_str()) && status.signal() == Some(libc::SIGABRT) && no_memory {
        return;
    }
    // Its thread tells what it met; without unwinding the process goes with it.
    if fault.is_of_signals() && status.signal() == Some(libc::SIGABRT) && said.contains("the thread signals")
    {
        return;
    }
    // What it would say is lost as well.
    if fault.is_of_wakers() && status.signal() == Some(libc::SIGABRT) {
        return;
    }
    let is_memory = MEMORY.contains(&fault.call.as_str()) && no_memory;
    assert!(!said.contains("panicked") || fault.is_of_signals() || is_memory, "{said}");
    assert_eq!(status.code(), Some(1), "{status}: {said}");
    let is_mute = fault.call.starts_with("write");
    assert!(is_mute || !said.trim().is_empty(), "it ended without a word");
}

//------------ Trials ---

/// A start under a fault; whether it served in the end.
pub fn at_the_start(fault: &Fault) -> bool {
    let mut options: Vec<String> = ["-o", "/dev/null"].map(str::to_owned).into();
    options.extend(fault.arguments());
    let mut traced = Traced::start(&options, &["--datapath", fault.datapath]);
    if !traced.serves() {
        let (status, said) = traced.end(false);
        assert_explained(fault, status, &said);
        return false;
    }
    // A listener for statistics is no condition for serving DNS. A thread that comes to nothing behind the
    // first answers takes all with it.
    let serves = assert_serves(traced.port, None, || traced.ended().is_some());
    let (status, said) = traced.end(serves);
    if !serves || status.code() != Some(0) {
        assert_explained(fault, status, &said);
    }
    serves
}

/// A fault while the daemon serves, in every other call; whether it lived.
pub fn while_it_serves(fault: &Fault) -> bool {
    let http = free_port();
    let http_address = format!("127.0.0.1:{http}");
    let daemon = Daemon::start(&["--datapath", fault.datapath, "--http", &http_address]);
    // It serves before the last thread is behind its filter; what fails on the way there is a failed start.
    let confined = || thread_status(daemon.id(), "Seccomp").iter().all(|(_, mode)| mode == "2");
    assert!(wait_until(PATIENCE, confined).is_some(), "its threads are confined");
    let all_serve = || answers_http(http, Duration::from_millis(100));
    assert!(wait_until(PATIENCE, all_serve).is_some(), "HTTP is served too");
    let id = daemon.id().to_string();
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-p", &id]).args(fault.arguments());
    let mut strace = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts");
    // It attaches to one thread after the other.
    let untraced = || thread_status(daemon.id(), "TracerPid").iter().any(|(_, tracer)| tracer == "0");
    // What is deadly may be so before strace has them all.
    assert!(wait_until(PATIENCE, || !daemon.lives() || !untraced()).is_some(), "strace attaches");
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        for ip in [V4, V6] {
            answers_udp((ip, daemon.port).into(), Duration::from_millis(30));
        }
        answers_tcp((V4, daemon.port).into(), Duration::from_millis(100));
        answers_http(http, Duration::from_millis(100));
    }
    // It lets go, and the daemon goes on; or it is gone with the daemon, or the daemon a moment later: to
    // panic takes a while.
    tool(&format!("kill -INT {}", strace.id()));
    strace.wait().expect("it is our child");
    if !daemon.lives() || !assert_serves(daemon.port, Some(http), || !daemon.lives()) {
        let (status, said) = daemon.wait();
        let said = said.join("\n");
        // strace replaces the call by none, and when it lets go just then, nobody puts its result in the
        // place of the kernel's. That is its fault, and a trial of nothing.
        if !said.contains("Function not implemented") {
            assert!(fault.is_deadly(), "it ended: {status} {said}");
            assert_explained(fault, status, &said);
        }
        return false;
    }
    let (status, said) = daemon.stop();
    assert!(
        status.code() == Some(0) && !said.iter().any(|line| line.contains("panicked")),
        "{status}: {said:?}"
    );
    true
}

//------------ Which calls there are ---

/// How often the busiest thread makes each call: in the loader alone, and until it serves and has stopped.
pub struct Seen {
    pub loader: BTreeMap<String, usize>,
    pub all: BTreeMap<String, usize>,
}

/// Looks what the daemon calls on this datapath.
///
/// Panics where it calls what no test has thought of.
pub fn look(datapath: &str) -> Seen {
    let file = tempfile::NamedTempFile::new().expect("there is room for a file");
    let path = file.path().to_str().expect("the path is text").to_owned();
    let output =
        Command::new("strace").args(["-f", "-qq", "-o", &path]).arg(program()).arg("--version").output();
    assert!(output.expect("strace starts").status.success());
    let loader = counts(file.path());
    let mut traced = Traced::start(&["-o".into(), path], &["--datapath", datapath]);
    assert!(traced.serves(), "it starts");
    let (port, http) = (traced.port, traced.http);
    assert!(assert_serves(port, Some(http), || traced.ended().is_some()), "it ended");
    assert_eq!(traced.end(true).0.code(), Some(0));
    let all = counts(file.path());
    let known = |call: &&String| !is_known(call);
    let unknown: Vec<&String> = all.keys().filter(known).collect();
    assert!(unknown.is_empty(), "calls that nobody has thought of: {unknown:?}");
    Seen { loader, all }
}

pub fn is_known(call: &str) -> bool {
    LEFT_OUT.contains(&call) || CALLS.iter().any(|(known, _)| *known == call)
}

/// For each call in a recording, how often the thread that makes it most makes it.
fn counts(recording: &Path) -> BTreeMap<String, usize> {
    let text = fs::read_to_string(recording).expect("strace has written it");
    most(of_threads(&text).values())
}

/// How often each thread of a recording makes each call, by the thread's number.
pub fn of_threads(recording: &str) -> BTreeMap<&str, BTreeMap<String, usize>> {
    let mut all = BTreeMap::<&str, BTreeMap<String, usize>>::new();
    for line in recording.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((call, _)) = rest.trim_start().split_once('(') else { continue };
        if call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            *all.entry(thread).or_default().entry(call.to_owned()).or_default() += 1;
        }
    }
    all
}

/// For each call, how often the thread that makes it most makes it.
pub fn most<'a>(threads: impl Iterator<Item = &'a BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    let mut most = BTreeMap::new();
    for (call, &count) in threads.flatten() {
        let entry = most.entry(call.clone()).or_default();
        *entry = count.max(*entry);
    }
    most
}

/// The calls that are seen and may fail, with their errors.
pub fn failing(seen: &Seen) -> impl Iterator<Item = (&'static str, Errors)> {
    CALLS.iter().copied().filter(|(call, _)| seen.all.contains_key(*call))
}

/// Runs a trial and names it when it fails.
pub fn named(fault: &Fault, trial: impl Fn(&Fault) -> bool) -> Result<bool, String> {
    let fault = fault.clone();
    let what = format!("{fault:?}");
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| trial(&fault))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        format!("{what}: {}", text.unwrap_or_default())
    })
}
