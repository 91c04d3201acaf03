//! The servers that are measured: our node and bare echoes, each on both datapaths, NSD, Knot and BIND. All
//! serve the same zones, are bound to the same CPU, and write their files to a folder that goes with them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use as112d::sys::sockets::{UdpOptions, bind_udp_group};
use as112d::sys::{Mmsg, Ring, cpu};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use super::bounds::PATIENCE;
use super::common::daemon::{free_port, program};
use super::common::peers::ZoneFile;
use super::common::query;
use super::conf::{command_line, words};
use super::generator::{Judge, is_right};
use super::measure::{cpu_of_group, datagrams_sent, proportional_kib, resident_kib};
use super::netns::Place;
use super::queries::QuerySet;
use super::tools::{find, shown};
use super::{Outcome, fail, pause};

/// How our node and the echo move datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Engine {
    #[value(name = "io_uring")]
    IoUring,
    Mmsg,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Mmsg => "mmsg",
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Our node.
    Ours(Engine),
    /// Our datapath with nothing behind it: the query comes back with QR set. The least a server can cost.
    Echo(Engine),
    Nsd,
    Knot,
    Bind,
    /// Our node with `--xdp`: across a veth pair alone.
    OursInDriver,
    /// Knot with `xdp: listen`.
    KnotInDriver,
}

impl Subject {
    /// Those that take frames from an interface, of which there can be one at a time.
    pub const IN_DRIVER: [Self; 2] = [Self::OursInDriver, Self::KnotInDriver];
    pub const ALL: [Self; 9] = [
        Self::Ours(Engine::IoUring),
        Self::Ours(Engine::Mmsg),
        Self::Echo(Engine::IoUring),
        Self::Echo(Engine::Mmsg),
        Self::Nsd,
        Self::Knot,
        Self::Bind,
        Self::OursInDriver,
        Self::KnotInDriver,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ours(Engine::IoUring) => "as112d io_uring",
            Self::Ours(Engine::Mmsg) => "as112d mmsg",
            Self::Echo(Engine::IoUring) => "echo io_uring",
            Self::Echo(Engine::Mmsg) => "echo mmsg",
            Self::Nsd => "NSD",
            Self::Knot => "Knot DNS",
            Self::Bind => "BIND",
            Self::OursInDriver => "as112d XDP",
            Self::KnotInDriver => "Knot DNS XDP",
        }
    }

    pub fn is_ours(self) -> bool {
        matches!(self, Self::Ours(_))
    }

    pub fn is_echo(self) -> bool {
        matches!(self, Self::Echo(_))
    }

    /// Whether it is a server of others.
    pub fn is_peer(self) -> bool {
        matches!(self, Self::Nsd | Self::Knot | Self::Bind | Self::KnotInDriver)
    }

    /// How its replies are judged.
    pub fn judge(self) -> Judge {
        match self {
            Self::Ours(_) | Self::OursInDriver => Judge::Ours,
            Self::Echo(_) => Judge::Echo,
            Self::Nsd | Self::Knot | Self::Bind | Self::KnotInDriver => Judge::AnyServer,
        }
    }

    /// Why it cannot be measured here, if so: what is missing, and where it comes from.
    pub fn missing(self) -> Option<String> {
        let (program, package) = match self {
            Self::Ours(_) | Self::OursInDriver | Self::Echo(_) => return None,
            Self::Nsd => ("nsd", "nsd"),
            Self::Knot | Self::KnotInDriver => ("knotd", "knot"),
            Self::Bind => ("named", "bind9"),
        };
        let is_missing = find(program).is_none();
        is_missing.then(|| {
            format!("{} is not installed; `{program}` comes with the package {package}", self.name())
        })
    }

    /// What it says of its version.
    pub fn version(self) -> String {
        let (program, argument) = match self {
            Self::Ours(_) | Self::OursInDriver => (program().display().to_string(), "--version"),
            Self::Echo(_) => {
                return concat!("as112d ", env!("CARGO_PKG_VERSION"), ", its datapath").to_owned();
            }
            Self::Nsd => (located("nsd"), "-v"),
            Self::Knot | Self::KnotInDriver => (located("knotd"), "-V"),
            Self::Bind => (located("named"), "-v"),
        };
        let output = Command::new(program).arg(argument).output();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&said).lines().next().unwrap_or("unknown").to_owned()
    }
}

pub fn located(program: &str) -> String {
    find(program).map_or_else(|| program.to_owned(), |path| path.display().to_string())
}

/// Who counted the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// The server itself.
    Server,
    /// The kernel, of the namespace that the server is alone in.
    Kernel,
    /// The generator: the replies that reached it.
    Generator,
}

/// How a server is started.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub place: &'a Place,
    pub zones: &'a [ZoneFile],
    /// The CPUs of the server. Ours has a shard for each, the peers a thread or process that answers UDP.
    pub cpus: &'a [usize],
    /// Zones of an operator that it serves besides: `z0` and so on, below [`OPERATOR`].
    pub further: usize,
    /// Addresses that it listens on: that of the place, and those that follow. An echo has one.
    pub addresses: usize,
}

impl<'a> Setting<'a> {
    pub fn new(place: &'a Place, zones: &'a [ZoneFile], cpus: &'a [usize]) -> Self {
        Self { place, zones, cpus, further: 0, addresses: 1 }
    }
}

/// Below this name an operator has zones.
pub const OPERATOR: &str = "operator.example";

impl Setting<'_> {
    pub fn cpu_list(&self) -> String {
        self.cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
    }

    /// The addresses, of which this is the first.
    pub fn all_addresses(&self, first: SocketAddr) -> Vec<SocketAddr> {
        let (SocketAddr::V4(first), addresses) = (first, self.addresses as u32) else { return vec![first] };
        let following = |number| Ipv4Addr::from(u32::from(*first.ip()) + number);
        (0..addresses).map(|number| SocketAddr::from((following(number), first.port()))).collect()
    }

    /// The zones, with those of an operator, which have one file in `dir`.
    pub fn all_zones(&self, dir: &Path) -> Outcome<Vec<ZoneFile>> {
        let path = dir.join("zone");
        std::fs::write(
            &path,
            "@ 60 IN SOA ns.example. hostmaster.example. 1 2 3 4 60\n@ 60 IN NS ns.example.\n",
        )?;
        let operators = (0..self.further).map(|number| operators_zone(number, &path));
        Ok(self.zones.iter().cloned().chain(operators).collect())
    }
}

fn operators_zone(number: usize, path: &Path) -> ZoneFile {
    ZoneFile { name: format!("z{number}.{OPERATOR}"), path: path.to_owned() }
}

/// So many of an operator's zones are asked for before a server is said to be there.
const OPERATORS_ASKED: usize = 100;

/// A running server. It and its children are ended when it is dropped.
pub struct Server {
    pub subject: Subject,
    pub address: SocketAddr,
    /// All that it listens on, this one first.
    pub addresses: Vec<SocketAddr>,
    pub command: String,
    /// From its start to its first answer, and until it answered for all its zones.
    pub first_answer: Duration,
    pub all_answers: Duration,
    /// Where its own counters are served.
    counters: SocketAddr,
    is_alone: bool,
    child: Child,
    dir: TempDir,
}

impl Server {
    /// Starts a server and waits until it answers for each zone.
    ///
    /// # Errors
    /// It cannot be started, ends, or does not answer; with what it said.
    pub fn start(subject: Subject, setting: &Setting) -> Outcome<Self> {
        let dir = TempDir::new()?;
        let ip = setting.place.ip;
        let (address, counters) = (SocketAddr::new(ip, free_port()), SocketAddr::new(ip, free_port()));
        let own = command_line(subject, setting, dir.path(), address, counters)?;
        let bound = words(&["taskset", "--cpu-list", &setting.cpu_list()]);
        let words = [setting.place.before.clone(), bound, own].concat();
        let said = std::fs::File::create(dir.path().join("said"))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let (line, began) = (shown(&command), Instant::now());
        // A group of its own: NSD forks, and what it forked must end too and counts as its work.
        let child = command.process_group(0).spawn().map_err(|error| format!("{line}: {error}"))?;
        let is_alone = setting.place.is_alone;
        let mut server = Self {
            subject,
            address,
            addresses: setting.all_addresses(address),
            command: line,
            first_answer: Duration::ZERO,
            all_answers: Duration::ZERO,
            counters,
            is_alone,
            child,
            dir,
        };
        // Of an operator's zones some, and the last: it may load them in any order, but not all but these.
        let operators = (0..setting.further).step_by(1 + setting.further / OPERATORS_ASKED);
        let operators = operators.chain(setting.further.checked_sub(1));
        let operators = operators.map(|number| operators_zone(number, Path::new("")));
        for zone in setting.zones.iter().cloned().chain(operators) {
            server.wait_for(&zone, began)?;
            if server.first_answer.is_zero() {
                server.first_answer = began.elapsed();
            }
        }
        server.all_answers = began.elapsed();
        Ok(server)
    }

    /// Asks for a zone's SOA until the answer is there.
    fn wait_for(&mut self, zone: &ZoneFile, began: Instant) -> Outcome<()> {
        /// How long one query waits for its answer: the precision of the time to the first.
        const LOOK: Duration = Duration::from_micros(200);
        /// What it said last is enough to know why.
        const SAID_LINES: usize = 5;
        let (socket, soa) = (client(self.address)?, query(&zone.name, 6));
        socket.set_nonblocking(true)?;
        let is_echo = self.subject.is_echo();
        let mut reply = [0; 2048];
        loop {
            // A port that nobody has bound yet is an error here, and no reason to stop.
            let _ = socket.send(&soa);
            pause(LOOK);
            while let Ok(len) = socket.recv(&mut reply) {
                let is_answer = len > 12 && reply[2] & 4 != 0 && reply[7] == 1;
                if is_answer || is_echo && reply[2] & 0x80 != 0 {
                    return Ok(());
                }
            }
            let has_ended = self.child.try_wait()?.is_some();
            if has_ended || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(self.dir.path().join("said")).unwrap_or_default();
                let said: Vec<&str> = said.lines().rev().take(SAID_LINES).collect();
                let said = said.into_iter().rev().collect::<Vec<_>>().join("; ");
                let how = if has_ended { "ended" } else { "does not answer" };
                return fail(format!("{} {how}; {}: {said}", self.subject.name(), self.command));
            }
        }
    }

    /// Waits until it has no more to do than a little, if that is soon: some go on after they answer, with
    /// many zones for as long again.
    pub fn settle(&self) {
        const LOOK: Duration = Duration::from_millis(200);
        const LITTLE: f64 = 0.02;
        let used = || {
            let (user, system) = self.cpu_seconds();
            user + system
        };
        let (began, mut before) = (Instant::now(), used());
        while began.elapsed() < PATIENCE {
            pause(LOOK);
            let now = used();
            if now - before <= LITTLE {
                return;
            }
            before = now;
        }
    }

    /// The configuration that was written for it, if it has one.
    pub fn configuration(&self) -> Option<String> {
        std::fs::read_to_string(self.dir.path().join("conf")).ok()
    }

    /// Where it is controlled, if it is ours.
    pub fn control(&self) -> PathBuf {
        self.dir.path().join("control")
    }

    /// Its process group.
    pub fn group(&self) -> u32 {
        self.child.id()
    }

    /// Seconds of CPU time that it has used, outside the kernel and in it.
    pub fn cpu_seconds(&self) -> (f64, f64) {
        cpu_of_group(self.group())
    }

    pub fn resident_kib(&self) -> u64 {
        resident_kib(self.group())
    }

    /// What NSD's processes have in common counts once in it.
    pub fn proportional_kib(&self) -> u64 {
        proportional_kib(self.group())
    }

    /// How many answers it has given, as far as anybody but the generator knows.
    pub fn answered(&self) -> Option<(u64, Counted)> {
        let own = match self.subject {
            Subject::Ours(_) | Subject::OursInDriver => self.counters_of_ours(),
            Subject::Nsd => self.counters_of_nsd(),
            Subject::Bind => self.counters_of_bind(),
            // Knot counts answers with a module that would cost it time; an echo counts nothing.
            Subject::Knot | Subject::Echo(_) => None,
            // The kernel sees none of these.
            Subject::KnotInDriver => return None,
        };
        let kernel = || datagrams_sent(self.group()).filter(|_| self.is_alone);
        own.map(|count| (count, Counted::Server)).or_else(|| Some((kernel()?, Counted::Kernel)))
    }

    fn counters_of_ours(&self) -> Option<u64> {
        let document = get_json(self.counters, "/stats.json")?;
        let responses = document["counters"]["responses"].as_object()?;
        Some(responses.values().filter_map(Value::as_u64).sum())
    }

    fn counters_of_nsd(&self) -> Option<u64> {
        let mut control = Command::new(find("nsd-control")?);
        let output =
            control.arg("-c").arg(self.dir.path().join("conf")).arg("stats_noreset").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let count = |label: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(label)).and_then(|count| count.parse().ok())
        };
        Some(count("num.queries=")? - count("num.dropped=")?)
    }

    fn counters_of_bind(&self) -> Option<u64> {
        get_json(self.counters, "/json/v1/server")?["nsstats"]["Response"].as_u64()
    }

    /// Asks it some queries, one after the other, and judges the answers.
    ///
    /// # Errors
    /// With the first that is wrong or missing.
    pub fn check(&self, queries: &QuerySet, count: usize) -> Outcome<()> {
        let socket = client(self.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut reply = [0; 4096];
        for index in 0..count.min(queries.len()) {
            let (packet, expected) = queries.get(index);
            let mut packet = packet.to_vec();
            packet[..2].copy_from_slice(&(index as u16).to_be_bytes());
            socket.send(&packet)?;
            let got = socket.recv(&mut reply).map(|len| &reply[..len]);
            let is_right = got.as_ref().is_ok_and(|got| {
                got.starts_with(&packet[..2]) && is_right(&packet, &expected, got, self.subject.judge())
            });
            if !is_right {
                return fail(format!(
                    "{}: query {packet:02x?} got {got:02x?}, not {expected:?}",
                    self.subject.name()
                ));
            }
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let id = Pid::from_raw(self.group().cast_signed());
        // The first process ends what it has forked, and waits for it. It may be gone already.
        let _ = kill(id, Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            pause(Duration::from_millis(5));
        }
        let _ = killpg(id, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

fn client(server: SocketAddr) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect(server)?;
    Ok(socket)
}

/// A JSON document over HTTP.
fn get_json(server: SocketAddr, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect_timeout(&server, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    // HTTP/1.0 has no chunks, and the connection ends with the document.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

/// Serves as a bare echo, until `stop`.
///
/// # Errors
/// The address cannot be bound, or the datapath cannot be had.
pub fn echo(engine: Engine, address: SocketAddr, stop: &AtomicBool) -> Outcome<()> {
    const TICK: Duration = Duration::from_millis(100);
    let slots = as112d::limits::RING_SLOTS;
    let sockets = bind_udp_group(address, 1, &UdpOptions::default())?;
    if let [only] = cpu::affinity()?[..] {
        cpu::pin(only)?;
    }
    let mut answer = |arrived: &as112d::sys::Arrived, slot: &mut [u8]| {
        // A header's worth, and no reply itself: two echoes would never end.
        let is_query = arrived.len >= 12 && slot[2] & 0x80 == 0;
        is_query.then(|| {
            slot[2] |= 0x80;
            arrived.len
        })
    };
    match engine {
        Engine::IoUring => {
            let mut ring = Ring::new(sockets, slots, 0).map_err(|error| error.to_string())?;
            while !stop.load(Ordering::Relaxed) {
                ring.turn(TICK, &mut answer)?;
            }
            ring.end(&mut answer)?;
        }
        Engine::Mmsg => {
            let mut mmsg = Mmsg::new(sockets)?;
            while !stop.load(Ordering::Relaxed) {
                mmsg.turn(TICK, &mut answer)?;
            }
            mmsg.end(&mut answer)?;
        }
    }
    Ok(())
}
