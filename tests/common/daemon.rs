//! The daemon as a black box: started, asked, ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything that should happen at once may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// What a daemon, its launcher and their successors have in their environment.
const FAMILY: &str = "AS112D_TEST_FAMILY";

/// A running daemon. It is killed when dropped, if it has not ended before.
pub struct Daemon {
    child: Child,
    family: String,
    /// The port on 127.0.0.1 and ::1.
    pub port: u16,
    /// What it printed until it served.
    pub announcement: Vec<String>,
    lines: Receiver<String>,
}

impl Daemon {
    /// Starts the daemon on 127.0.0.1 and ::1 with further arguments, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, |_| {})
    }

    /// As [`start`](Self::start); `prepare` may change the command, as by a `pre_exec`.
    pub fn start_with(arguments: &[&str], prepare: impl Fn(&mut Command)) -> Self {
        let port = free_port();
        let mut command = Command::new(program());
        command.args(Self::arguments(port, arguments));
        prepare(&mut command);
        Self::spawn(command, port)
    }

    /// The command line of a daemon on `port` of 127.0.0.1 and ::1, with further arguments.
    pub fn arguments(port: u16, further: &[&str]) -> Vec<String> {
        let listen = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
        let mut arguments = vec!["run", "--listen", &listen[0], "--listen", &listen[1]];
        if !further.contains(&"--shards") && !further.contains(&"--cpus") {
            arguments.extend(["--shards", "1"]);
        }
        // Many daemons run at once, and only one can have the default address.
        if !further.contains(&"--http") {
            arguments.extend(["--http", "off"]);
        }
        if !further.contains(&"--control") {
            arguments.extend(["--control", "off"]);
        }
        arguments.extend(further);
        arguments.into_iter().map(str::to_owned).collect()
    }

    /// Starts a command that names its addresses itself, and waits until it serves.
    pub fn spawn(mut command: Command, port: u16) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let family = format!("{FAMILY}={}-{number}", std::process::id());
        command.env(FAMILY, &family[FAMILY.len() + 1..]);
        let mut child =
            command.stderr(Stdio::piped()).stdin(Stdio::null()).spawn().expect("the daemon starts");
        let stderr = BufReader::new(child.stderr.take().expect("it was piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut daemon = Self { child, family, port, announcement: Vec::new(), lines };
        loop {
            match daemon.lines.recv_timeout(PATIENCE) {
                Ok(line) => daemon.announcement.push(line),
                Err(_) => panic!("the daemon does not serve; it said: {:#?}", daemon.announcement),
            }
            // The last one, where nobody looks on.
            if daemon.announcement.last().is_some_and(|line| line.starts_with("control: ")) {
                return daemon;
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs: its parent has not been told of its end, and it is no corpse.
    pub fn lives(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.id()));
        status.is_ok_and(|status| !status.contains(") Z "))
    }

    pub fn address(&self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, self.port)
    }

    /// Where it serves HTTP, as it said.
    pub fn http(&self) -> SocketAddr {
        let line = self.announcement.iter().find_map(|line| line.strip_prefix("web: http://"));
        let (address, _) = line.and_then(|line| line.split_once('/')).expect("it says where");
        address.parse().expect("an address")
    }

    /// A UDP socket that is connected to the daemon.
    pub fn udp(&self, ip: IpAddr) -> UdpSocket {
        let socket = UdpSocket::bind((ip, 0)).expect("a socket");
        socket.connect(self.address(ip)).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        socket
    }

    /// A TCP connection to the daemon.
    pub fn tcp(&self, ip: IpAddr) -> TcpStream {
        let stream = TcpStream::connect(self.address(ip)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        stream
    }

    /// The reply to one query over UDP.
    pub fn ask_udp(&self, ip: IpAddr, query: &[u8]) -> Vec<u8> {
        let socket = self.udp(ip);
        socket.send(query).expect("sent");
        let mut reply = vec![0; 65_535];
        let len = socket.recv(&mut reply).expect("a reply");
        reply.truncate(len);
        reply
    }

    /// The reply to one query over TCP; `None` when the daemon closes instead.
    pub fn ask_tcp(&self, ip: IpAddr, query: &[u8]) -> Option<Vec<u8>> {
        let mut stream = self.tcp(ip);
        send_message(&mut stream, query);
        read_message(&mut stream)
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: i32) {
        let id = self.id().to_string();
        let status = Command::new("kill").args([format!("-{signal}"), id]).status().expect("kill runs");
        assert!(status.success(), "the daemon is there to be signalled");
    }

    /// The next line that it prints, from the one behind the announcement on.
    pub fn next_line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says something")
    }

    /// Kills all that has come of this daemon: a launcher may start one more meanwhile.
    pub fn end_family(&self) {
        let began = Instant::now();
        while let Some(process) = processes().find(|process| is_of(*process, &self.family)) {
            // It may end by itself at this moment, and one that hangs in the kernel does not end.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            if began.elapsed() > PATIENCE {
                break;
            }
        }
    }

    /// Ends the daemon with SIGTERM; gives its exit status and what it printed since it served.
    pub fn stop(self) -> (ExitStatus, Vec<String>) {
        self.signal(15);
        self.wait()
    }

    /// Waits for the end of a daemon that ends by itself; how it did.
    pub fn ended(&mut self) -> ExitStatus {
        wait_until("the daemon ends", || !self.lives());
        self.child.wait().expect("it is our child")
    }

    /// Waits for the end of a daemon that was told to end; as [`stop`](Self::stop).
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().expect("the daemon ends");
        let said: Vec<String> = self.lines.iter().collect();
        // Each thread does its work with the system calls that it kept.
        assert!(!said.iter().any(|line| line.contains("system calls refused by seccomp: ")), "{said:?}");
        (status, said)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A test that fails may leave successors, and launchers that wait for them, which no test knows.
        if std::thread::panicking() {
            self.end_family();
        }
    }
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").expect("the kernel tells").filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a process that runs has this in its environment.
fn is_of(process: i32, family: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == family.as_bytes())
}

/// A daemon whose standard streams are a terminal's, that of script(1).
pub struct Terminal {
    script: Child,
    control: String,
    lines: Receiver<String>,
}

impl Terminal {
    /// Starts the daemon with these arguments, of which one says that it is controlled at `control`.
    pub fn start(arguments: &[&str], control: &str) -> Self {
        let line = format!("exec {} {}", program().display(), arguments.join(" "));
        let mut script = Command::new("script")
            .args(["--quiet", "--command", &line, "/dev/null"])
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) is part of every system");
        let stdout = BufReader::new(script.stdout.take().expect("it was piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { script, control: control.to_owned(), lines }
    }

    /// What it prints, up to a line that begins so.
    pub fn lines_until(&self, last: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| !line.starts_with(last)) {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line.trim_end().to_owned()),
                Err(_) => panic!("no {last}; it said: {lines:#?}"),
            }
        }
        lines
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already, and script ends with it.
        let _ = Command::new(program()).args(["shutdown", "--control", &self.control]).output();
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A folder with a configuration, for daemons that serve HTTP.
pub struct Configured {
    folder: tempfile::TempDir,
    pub config: String,
}

impl Configured {
    /// One whose node is node-1, with more sections.
    pub fn new(sections: &str) -> Self {
        let folder = super::folder();
        let path = folder.path().join("as112d.toml");
        std::fs::write(&path, format!("[identity]\nnode = 'node-1'\n{sections}")).expect("there is room");
        let config = path.display().to_string();
        Self { folder, config }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start(&self) -> Daemon {
        Daemon::start(&["--config", &self.config, "--http", "127.0.0.1:0"])
    }
}

/// The body of a good answer over HTTP.
pub fn get(http: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(http).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {head}");
    body.to_owned()
}

/// Looks until it is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Names the program as it is shipped.
const SHIPPED: &str = "AS112D_BIN";

/// The program under test: the one that was built with the tests, or as it is shipped.
pub fn program() -> PathBuf {
    let built = assert_cmd::cargo::cargo_bin!("as112d").to_path_buf();
    std::env::var_os(SHIPPED).map_or(built, PathBuf::from)
}

/// Whether it is the one that is shipped.
pub fn is_as_shipped() -> bool {
    std::env::var_os(SHIPPED).is_some()
}

/// Packets dropped before any socket saw them: the loopback's way leads through a queue of each CPU,
/// which runs over where somebody sends faster than the CPU takes from it. Those of this network alone count,
/// whoever it was.
pub fn dropped_by_loopback() -> u64 {
    let devices = std::fs::read_to_string("/proc/thread-self/net/dev").expect("the kernel tells");
    let loopback = devices.lines().find_map(|line| line.trim_start().strip_prefix("lo:"));
    let dropped = loopback.expect("there is a loopback").split_whitespace().nth(3);
    dropped.expect("bytes, packets, errors, drops").parse().expect("a number")
}

/// A port that is free for UDP and TCP on 127.0.0.1 and ::1: none that the kernel hands out to clients, and
/// none that this process has had before.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let number = std::process::id().wrapping_mul(100) + TRIED.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + number % COUNT) as u16;
        let is_free = [V4, V6]
            .iter()
            .all(|ip| UdpSocket::bind((*ip, port)).is_ok() && TcpListener::bind((*ip, port)).is_ok());
        if is_free {
            return port;
        }
    }
    panic!("no port is free");
}

/// Writes a message with its length before it.
pub fn send_message(stream: &mut TcpStream, message: &[u8]) {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    // A daemon that has closed by then is seen by the read that follows.
    let _ = stream.write_all(&framed);
}

/// Reads a message; `None` when the connection ends instead.
pub fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut message).ok()?;
    Some(message)
}
