//! A small network of namespaces: nodes of AS112 and a client, each with a link of its own to a router that
//! runs BIRD and takes what the nodes announce.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::daemon::{Daemon, PATIENCE, program};
use super::skip::skipped;

/// The prefixes of a node of AS112.
pub const PREFIXES: [&str; 4] =
    ["192.175.48.0/24", "2620:4f:8000::/48", "192.31.196.0/24", "2001:4:112::/48"];

/// What makes a fall hold nothing down, so that a test can have many.
pub const NO_HOLD_DOWN: &str = "hold_down = '10ms'\nhold_down_max = '10ms'";

/// What the client's link is called by; those of the nodes are 1 and 2.
const CLIENT: u8 = 9;

/// The network. All that runs in it ends before it.
pub struct Lab {
    router: Namespace,
    client: Namespace,
    pub folder: TempDir,
    _bird: Process,
}

impl Lab {
    /// A router and a client; `None`, said aloud, where that cannot be.
    pub fn new() -> Option<Self> {
        for program in ["bird", "birdc"] {
            if !is_there(program) {
                skipped(&format!("{program} is missing (Debian package bird2)"));
                return None;
            }
        }
        let [router, client] = ["router", "client"].map(Namespace::new);
        let (Some(router), Some(client)) = (router, client) else {
            skipped("networks of one's own take root and ip");
            return None;
        };
        router.sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        router.link(&client, CLIENT);
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("router.conf");
        fs::write(&config, router_configuration()).expect("written");
        let mut command = router.command("bird");
        command.arg("-f").arg("-c").arg(&config).arg("-s").arg(folder.path().join("router.ctl"));
        let bird = Process::spawn(command, &folder.path().join("router.said"));
        Some(Self { router, client, folder, _bird: bird })
    }

    /// A node on a link of its own: its addresses are there, and nothing runs.
    pub fn node(&self, number: u8) -> Node {
        let namespace = Namespace::new(&format!("node{number}")).expect("a third namespace");
        self.router.link(&namespace, number);
        let folder = self.folder.path().join(format!("node{number}"));
        fs::create_dir(&folder).expect("a folder");
        namespace.run(&format!("{} addresses --apply", program().display()));
        Node { namespace, number, folder }
    }

    /// The prefixes that the router has a way to, and the way.
    pub fn routes(&self) -> Vec<(&'static str, String)> {
        let route = |prefix: &'static str| {
            let text = self
                .router
                .run(&format!("ip -{} route show {prefix}", if prefix.contains(':') { 6 } else { 4 }));
            (!text.trim().is_empty()).then(|| (prefix, text.trim().to_owned()))
        };
        PREFIXES.into_iter().filter_map(route).collect()
    }

    /// Waits until the router has these prefixes and no others; how long that took.
    pub fn wait_for_routes(&self, prefixes: &[&str]) -> Duration {
        self.wait_for(&format!("{prefixes:?}"), |routes| {
            routes.iter().map(|(prefix, _)| *prefix).eq(prefixes.iter().copied())
        })
    }

    /// Waits until all prefixes lead to one node.
    pub fn wait_for_way(&self, node: &Node) -> Duration {
        let [v4, v6] = [node.v4(2), node.v6(2)];
        self.wait_for(&format!("all to {v4}"), |routes| {
            routes.len() == 4 && routes.iter().all(|(_, way)| way.contains(&v4) || way.contains(&v6))
        })
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&[(&'static str, String)]) -> bool) -> Duration {
        let begin = Instant::now();
        loop {
            let routes = self.routes();
            if is_so(&routes) {
                return begin.elapsed();
            }
            if begin.elapsed() > 6 * PATIENCE {
                panic!("{what} should be there, and are {routes:?}; {}", self.said());
            }
            pause();
        }
    }

    /// How many withdrawals the router has received from the nodes.
    pub fn withdrawals(&self) -> u64 {
        let socket = self.folder.path().join("router.ctl");
        let text = self.router.run(&format!("birdc -s {} show protocols all", socket.display()));
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("Import withdraws:"));
        let received = lines.map(|line| line.split_whitespace().next().expect("a column"));
        received.map(|count| count.parse::<u64>().expect("a number")).sum()
    }

    /// What everything in the network has said.
    pub fn said(&self) -> String {
        let files = |folder: &Path| {
            fs::read_dir(folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .collect::<Vec<_>>()
        };
        let mut all = files(self.folder.path());
        all.extend(all.clone().iter().flat_map(|folder| files(folder)));
        all.retain(|path| path.extension().is_some_and(|extension| extension == "said"));
        let text =
            |path: &PathBuf| format!("{}:\n{}", path.display(), fs::read_to_string(path).unwrap_or_default());
        all.iter().map(text).collect()
    }

    /// A command that runs where the client is.
    pub fn client(&self, program: impl AsRef<OsStr>) -> Command {
        self.client.command(program)
    }
}

/// A node of AS112.
pub struct Node {
    namespace: Namespace,
    number: u8,
    /// Its files.
    pub folder: PathBuf,
}

impl Node {
    /// Writes its configuration file; the routes are announced as `announce` says.
    pub fn configure(&self, announce: &str) {
        self.configure_for("as112", announce);
    }

    /// The same of a node that listens on the addresses of one service.
    pub fn configure_for(&self, service: &str, announce: &str) {
        let number = self.number;
        let server = format!(
            "[server]\nlisten = ['{service}']\nshards = 1\ndrain_time = '1s'\n[http]\nlisten = 'off'\n"
        );
        let control = format!("[control]\npath = '{}/control'\n", self.folder.display());
        let identity = format!("[identity]\nnode = 'node{number}'\n");
        self.write("as112d.toml", &format!("{server}{control}{identity}[announce]\n{announce}\n"));
    }

    /// Starts the daemon.
    pub fn daemon(&self) -> Daemon {
        let mut command = self.namespace.command(program());
        command.arg("run").arg("--config").arg(self.folder.join("as112d.toml"));
        Daemon::spawn(command, 53)
    }

    /// Starts a program with its words and environment; what it says goes to a file of its name.
    pub fn start(&self, name: &str, line: &str, environment: &[(&str, &str)]) -> Process {
        let mut words = line.split_whitespace();
        let mut command = self.namespace.command(words.next().expect("a program"));
        command.args(words).envs(environment.iter().copied());
        Process::spawn(command, &self.folder.join(format!("{name}.said")))
    }

    /// Runs words to their end; what they printed.
    pub fn run(&self, line: &str) -> String {
        self.namespace.run(line)
    }

    /// Starts `as112d announce`, as its unit does: with a directory that stays.
    pub fn announce(&self) -> Process {
        let config = self.folder.join("as112d.toml");
        let runtime = self.folder.display().to_string();
        self.start(
            "announce",
            &format!("{} announce --config {}", program().display(), config.display()),
            &[("RUNTIME_DIRECTORY", &runtime)],
        )
    }

    /// `[announce]` for BIRD of this node.
    pub fn for_bird(&self, further: &str) -> String {
        let folder = self.folder.display();
        let birdc = format!("['birdc', '-s', '{folder}/bird.ctl']");
        format!("router = 'bird'\nbird_file = '{folder}/bird.conf'\nbirdc = {birdc}\n{further}")
    }

    /// BIRD of this node as in the example, and the announcer that tells it.
    pub fn with_bird(&self, further: &str) -> (Process, Process) {
        let folder = self.folder.display();
        self.configure(&self.for_bird(further));
        // Under another name: what it includes is bird*.conf of this folder.
        let config = self.write("main", &self.adapted("bird.conf"));
        let bird = self.start("bird", &format!("bird -f -c {} -s {folder}/bird.ctl", config.display()), &[]);
        (bird, self.announce())
    }

    /// A command to the running node, which has to go well.
    pub fn ask(&self, command: &str) {
        self.run(&format!("{} {command} --control {}/control", program().display(), self.folder.display()));
    }

    /// Waits until `announce` has said something for so many times.
    pub fn wait_until_said(&self, text: &str, times: usize) {
        let begin = Instant::now();
        let said = || fs::read_to_string(self.folder.join("announce.said")).unwrap_or_default();
        while said().matches(text).count() < times {
            assert!(
                begin.elapsed() < 3 * PATIENCE,
                "it should say: {text}, {times} times; it said: {}",
                said()
            );
            pause();
        }
    }

    /// A file of docs/examples/routes/.
    pub fn original(&self, name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/routes").join(name)
    }

    /// The text of a file of docs/examples/routes/, with the addresses and paths of this node.
    pub fn adapted(&self, name: &str) -> String {
        let folder = self.folder.display().to_string();
        let mut text = fs::read_to_string(self.original(name)).expect("an example");
        for (theirs, ours) in [
            ("203.0.113.1", self.v4(1)),
            ("203.0.113.2", self.v4(2)),
            ("2001:db8:1::1", self.v6(1)),
            ("2001:db8:1::2", self.v6(2)),
            ("/etc/as112d/as112d.toml", format!("{folder}/as112d.toml")),
            ("/run/as112d-announce", folder.clone()),
            ("/run/as112d", folder.clone()),
            ("/run/anycast-healthchecker", folder.clone()),
            ("/var/lib/anycast-healthchecker", folder.clone()),
            ("/var/log/anycast-healthchecker", folder.clone()),
            ("birdc configure", format!("birdc -s {folder}/bird.ctl configure")),
            ("/usr/bin/as112d", program().display().to_string()),
        ] {
            text = text.replace(theirs, &ours);
        }
        text
    }

    /// Writes a file of this node.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// Waits for a file of this node that a program writes, which ends so.
    pub fn wait_for_file(&self, name: &str, end: &str) {
        let begin = Instant::now();
        let is_whole = |text: String| text.trim_end().ends_with(end);
        while !fs::read_to_string(self.folder.join(name)).is_ok_and(is_whole) {
            assert!(begin.elapsed() < PATIENCE, "there is no whole {name}");
            pause();
        }
    }

    /// The IDs of the processes of `as112d` here that run a command.
    pub fn processes(&self, subcommand: &str) -> Vec<u32> {
        let pids = printed(Command::new("ip").args(["netns", "pids", &self.namespace.0]));
        let runs = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0);
            words.next().is_some_and(|first| first.ends_with(b"as112d"))
                && words.next() == Some(subcommand.as_bytes())
        };
        pids.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(runs).collect()
    }

    /// Waits until no process runs a command of `as112d` here.
    pub fn wait_for_no(&self, subcommand: &str) {
        let begin = Instant::now();
        while !self.processes(subcommand).is_empty() {
            assert!(begin.elapsed() < PATIENCE, "{subcommand} still runs");
            pause();
        }
    }

    /// An address of its link: 1 is the router's, 2 its own.
    fn v4(&self, host: u8) -> String {
        v4(self.number, host)
    }

    fn v6(&self, host: u8) -> String {
        v6(self.number, host)
    }
}

fn v4(link: u8, host: u8) -> String {
    format!("10.112.{link}.{host}")
}

fn v6(link: u8, host: u8) -> String {
    format!("fd00:112:{link}::{host}")
}

/// The router takes the prefixes of AS112 from two nodes and puts them into its kernel's table.
fn router_configuration() -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 1; }}\n\
         protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n\
         protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}\n",
        v4(CLIENT, 1)
    );
    for link in [1, 2] {
        for (family, address) in [("ipv4", v4 as fn(u8, u8) -> String), ("ipv6", v6)] {
            let (ours, theirs) = (address(link, 1), address(link, 2));
            text += &format!(
                "protocol bgp node{link}_{family} {{\n  \
                 local {ours} as 64500;\n  neighbor {theirs} as 112;\n  \
                 connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 2;\n  \
                 {family} {{ import where bgp_path ~ [= 112 =]; export none; }};\n}}\n"
            );
        }
    }
    text
}

#[expect(clippy::disallowed_methods, reason = "a routing table tells nobody that it changed")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}

//------------ Namespaces and processes ---

/// A network namespace that goes when it is dropped.
pub struct Namespace(pub String);

impl Namespace {
    /// `None` where there can be none.
    pub fn new(role: &str) -> Option<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("as112d-{}-{number}-{role}", std::process::id());
        let made = Command::new("ip").args(["netns", "add", &name]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let namespace = Self(name);
        namespace.sh("echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad; \
             echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; ip link set lo up");
        Some(namespace)
    }

    /// A link to another, which gets its way out by us.
    fn link(&self, other: &Self, number: u8) {
        self.run(&format!("ip link add to{number} type veth peer name uplink netns {}", other.0));
        for (namespace, device, host) in [(self, format!("to{number}"), 1), (other, "uplink".to_owned(), 2)] {
            namespace.run(&format!("ip address add {}/24 dev {device}", v4(number, host)));
            namespace.run(&format!("ip address add {}/64 dev {device} nodad", v6(number, host)));
            namespace.run(&format!("ip link set {device} up"));
        }
        other.run(&format!("ip route add default via {}", v4(number, 1)));
        other.run(&format!("ip -6 route add default via {}", v6(number, 1)));
    }

    /// A command that runs here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.env("PATH", path()).args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// Runs words to their end; what they printed.
    pub fn run(&self, line: &str) -> String {
        printed(&mut self.line(line))
    }

    /// A command of the words of a line.
    pub fn line(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().expect("a program"));
        command.args(words);
        command
    }

    /// Runs a script to its end; what it printed.
    pub fn sh(&self, script: &str) -> String {
        printed(self.command("sh").args(["-e", "-c", script]))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

/// What a command prints, which must end well.
pub fn printed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("the command runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A process that is killed when it is dropped, if it has not ended before.
pub struct Process(Child);

impl Process {
    pub fn spawn(mut command: Command, said: &Path) -> Self {
        let said = fs::File::options().create(true).append(true).open(said).expect("a file");
        command.stdin(Stdio::piped()).stdout(said.try_clone().expect("a second handle")).stderr(said);
        Self(command.spawn().expect("the program starts"))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "it is there to be signalled");
    }

    /// Ends it with SIGTERM; whether it ended well.
    pub fn stop(self) -> bool {
        self.end("TERM")
    }

    /// Ends it with a signal; whether it ended well.
    pub fn end(self, signal: &str) -> bool {
        self.signal(signal);
        self.ended()
    }

    /// Waits for its end; whether it ended well.
    pub fn ended(mut self) -> bool {
        self.0.wait().expect("it ends").success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where Debian has servers and their tools.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin:/usr/lib/frr", std::env::var("PATH").unwrap_or_default())
}

/// Whether a program can be run.
pub fn is_there(program: &str) -> bool {
    path().split(':').any(|folder| Path::new(folder).join(program).exists())
}
