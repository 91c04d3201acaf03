//! A node with the program on an interface: two network namespaces with a veth pair between them.
//!
//! In native mode the client's end has a program, too, which passes everything: without one the kernel drops
//! all that is sent back to it. It is our own, of a second node that nobody asks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::common::daemon::{Daemon, PATIENCE, program};
use super::{may_load, skipped};

const NODE: [&str; 2] = ["198.18.112.1", "2001:db8:112::1"];
const CLIENT: [&str; 2] = ["198.18.112.2", "2001:db8:112::2"];

/// Until the node has looked at its host again, which it does each ten seconds.
const LOOK: Duration = Duration::from_secs(40);

fn run(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{line}: {error}"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}: {told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// Two namespaces and what is between them; gone when dropped.
struct Net {
    node: String,
    client: String,
    folder: tempfile::TempDir,
}

impl Net {
    /// Makes it, if all that it takes is there.
    fn make(name: &str) -> Option<Self> {
        if !may_load() {
            return None;
        }
        for tool in ["ip -V", "ethtool --version", "dig -v", "kdig -V", "dnsperf -h", "kxdpgun -V"] {
            let words: Vec<&str> = tool.split(' ').collect();
            if Command::new(words[0]).args(&words[1..]).output().is_err() {
                skipped(&format!("there is no {}", words[0]));
                return None;
            }
        }
        let id = std::process::id();
        let net = Self {
            node: format!("as112x-{name}-{id}-n"),
            client: format!("as112x-{name}-{id}-c"),
            folder: tempfile::tempdir().expect("a folder"),
        };
        let (node, client) = (&net.node, &net.client);
        run(&format!("ip netns add {node}"));
        run(&format!("ip netns add {client}"));
        run(&format!("ip -n {node} link add vs type veth peer name vc netns {client}"));
        for (netns, end, addresses) in [(node, "vs", NODE), (client, "vc", CLIENT)] {
            run(&format!("ip -n {netns} link set lo up"));
            run(&format!("ip -n {netns} addr add {}/24 dev {end}", addresses[0]));
            run(&format!("ip -n {netns} addr add {}/64 dev {end} nodad", addresses[1]));
            run(&format!("ip -n {netns} link set {end} up"));
            // A program sees no hint of a checksum that is still to be made.
            run(&format!("ip netns exec {netns} ethtool -K {end} tx off"));
        }
        Some(net)
    }

    fn command(&self, netns: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", netns]).arg(program);
        command
    }

    /// The node, with further arguments. It has HTTP on the loopback of its namespace.
    fn node(&self, further: &[&str]) -> Daemon {
        let mut command = self.command(&self.node, &program());
        let control = self.control();
        command.args([
            "run",
            "--listen",
            &format!("{}:53", NODE[0]),
            "--listen",
            &format!("[{}]:53", NODE[1]),
        ]);
        command.args(["--shards", "1", "--http", "127.0.0.1:9112", "--control"]).arg(control).args(further);
        let node = Daemon::spawn(command, 53);
        // It says what it serves before the driver answers, and takes orders after that.
        self.status();
        node
    }

    /// What the node says of itself once it takes orders.
    fn status(&self) -> Value {
        let text =
            run(&format!("{} status --json --control {}", program().display(), self.control().display()));
        serde_json::from_str(&text).expect("JSON")
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("control")
    }

    /// The node with the program in native mode, and what else its configuration says.
    fn native(&self, further: &str) -> Daemon {
        let config = self.write(&format!("{further}\n[xdp]\ninterfaces = ['vs']\nmode = 'native'\n"));
        self.node(&["--config", &config])
    }

    /// Writes the configuration; where it is.
    fn write(&self, text: &str) -> String {
        let path = self.folder.path().join("as112d.toml");
        fs::write(&path, text).expect("written");
        path.display().to_string()
    }

    /// What makes the client's end take what is sent back.
    fn catcher(&self) -> Daemon {
        let mut command = self.command(&self.client, &program());
        let config = self.folder.path().join("catcher.toml");
        fs::write(&config, "[xdp]\ninterfaces = ['vc']\nmode = 'native'\n").expect("written");
        command.args(["run", "--listen", "127.0.0.1:5300", "--shards", "1", "--config"]).arg(&config);
        command.args(["--http", "off", "--control", "off"]);
        let catcher = Daemon::spawn(command, 5300);
        let told = &catcher.announcement;
        assert!(told.iter().any(|line| line.starts_with("xdp: vc (native)")), "{told:?}");
        catcher
    }

    /// Runs a client.
    fn client(&self, line: &str) -> String {
        run(&format!("ip netns exec {} {line}", self.client))
    }

    /// Runs something where the node is.
    fn node_runs(&self, line: &str) -> String {
        run(&format!("ip netns exec {} {line}", self.node))
    }

    fn start_client(&self, line: &str) -> Child {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = self.command(&self.client, Path::new(words[0]));
        command.args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    /// What the node tells of itself.
    fn stats(&self) -> Value {
        let text = run(&format!(
            "ip netns exec {} {} stats --json --url http://127.0.0.1:9112",
            self.node,
            program().display()
        ));
        serde_json::from_str(&text).expect("JSON")
    }

    /// Queries that the driver and the sockets have answered, once both together are `expected`.
    fn answered(&self, expected: u64) -> [u64; 2] {
        let begin = Instant::now();
        loop {
            let stats = self.stats();
            let by = &stats["datapath_queries"];
            let sockets = stats["datapath"].as_str().expect("a datapath");
            let answered = ["xdp", sockets].map(|datapath| by[datapath].as_u64().expect("a count"));
            if answered.iter().sum::<u64>() >= expected || begin.elapsed() > PATIENCE {
                assert_eq!(answered.iter().sum::<u64>(), expected, "{by}");
                return answered;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    /// Whether a program is on the node's end.
    fn is_attached(&self) -> bool {
        run(&format!("ip -n {} link show dev vs", self.node)).contains("prog/xdp")
    }

    fn queries(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("queries");
        fs::write(&path, text).expect("written");
        path
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for netns in [&self.node, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", netns]).output();
        }
    }
}

/// Names below the built-in zones, and a few that are elsewhere.
fn mixed_queries() -> (String, u64) {
    let mut text = String::new();
    let mut below = 0;
    for number in 0..1000_u32 {
        let (a, b) = (number % 250, number / 4);
        let zones = ["10.in-addr.arpa", "168.192.in-addr.arpa", "20.172.in-addr.arpa", "empty.as112.arpa"];
        if number % 20 == 0 {
            text.push_str("hostname.as112.net TXT\n");
        } else {
            text.push_str(&format!("{a}.{b}.{} PTR\n", zones[number as usize % 4]));
            below += 1;
        }
    }
    (text, below)
}

/// A number that a tool prints behind `label`.
fn figure(told: &str, label: &str) -> u64 {
    let line =
        told.lines().find_map(|line| line.trim().strip_prefix(label)).unwrap_or_else(|| panic!("{told}"));
    let number = line.trim().split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{told}"))
}

/// dig, kdig and dnsperf get all answers, whoever makes them, and the counters add up; in the driver and in
/// the stack.
#[test]
fn clients_get_every_answer_and_the_counters_add_up() {
    for mode in ["native", "generic"] {
        let Some(net) = Net::make(mode) else { return };
        let config = net.write(&format!("[xdp]\nmode = '{mode}'\nsample = 0\n"));
        let node = net.node(&["--xdp", "vs", "--config", &config]);
        let line = format!("xdp: vs ({mode}) for 22 zones");
        assert!(node.announcement.contains(&line), "{:?}", node.announcement);
        let _catcher = net.catcher();
        let mut sent = 0;
        for address in NODE {
            let told = net.client(&format!("dig +time=5 +tries=1 @{address} 1.2.3.10.in-addr.arpa PTR"));
            assert!(told.contains("status: NXDOMAIN") && told.contains("prisoner.iana.org"), "{told}");
            let told = net.client(&format!("kdig +timeout=5 +retry=0 +edns @{address} a.home.arpa AAAA"));
            assert!(told.contains("status: NXDOMAIN") && told.contains("EDNS PSEUDOSECTION"), "{told}");
            let told = net.client(&format!("dig +time=5 +tries=1 +nsid @{address} 1.2.3.10.in-addr.arpa"));
            assert!(told.contains("status: NXDOMAIN") && told.contains("NSID"), "{told}");
            sent += 3;
        }
        assert_eq!(net.answered(sent), [4, 2], "who asks for NSID is answered by the sockets");
        let (text, below) = mixed_queries();
        let queries = net.queries(&text);
        for (address, extra) in [(NODE[0], ""), (NODE[1], "-e")] {
            let line = format!("dnsperf -s {address} -d {} -n 5 -c 8 -q 50 {extra}", queries.display());
            let told = net.client(line.trim());
            assert_eq!(figure(&told, "Queries completed:"), 5000, "{told}");
            assert_eq!(figure(&told, "Queries lost:"), 0, "{told}");
        }
        let expected = [4 + 2 * 5 * below, 2 + 2 * 5 * (1000 - below)];
        assert_eq!(net.answered(sent + 10_000), expected, "{mode}");
        // By TCP as ever.
        let told = net.client(&format!("dig +tcp +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[0]));
        assert!(told.contains("status: NXDOMAIN"), "{told}");
        assert!(net.is_attached());
        assert_eq!(node.stop().0.code(), Some(0));
        assert!(!net.is_attached(), "nothing stays on the interface");
    }
}

/// A container, as it is made: nobody has a program at the other end, and checksums are left to be made
/// there. In native mode all that is sent back would be lost.
#[test]
fn a_peer_without_a_program_gets_every_answer() {
    let Some(net) = Net::make("plain") else { return };
    net.client("ethtool -K vc tx on");
    let config = net.write("[xdp]\ninterfaces = ['vs']\nsample = 0\n");
    let node = net.node(&["--config", &config]);
    let told = &node.announcement;
    assert!(told.iter().any(|line| line == "xdp: vs (generic) for 22 zones"), "{told:?}");
    let cannot_know = "whether a NIC sends its replies shows only when another host asks";
    assert!(told.iter().any(|line| line.ends_with(cannot_know)), "{told:?}");
    let queries = net.queries(&(0..30).map(|n| format!("{n}.2.3.10.in-addr.arpa PTR\n")).collect::<String>());
    let told = net.client(&format!("dnsperf -s {} -d {} -n 1", NODE[0], queries.display()));
    assert_eq!((figure(&told, "Queries completed:"), figure(&told, "Queries lost:")), (30, 0), "{told}");
    assert_eq!(net.answered(30), [30, 0]);
    drop(node);
}

/// What the driver took and did not send is counted, and that it may come to this is said at the start.
#[test]
fn what_the_driver_loses_is_counted() {
    let Some(net) = Net::make("lost") else { return };
    let node = net.native("");
    let told = &node.announcement;
    assert!(told.iter().any(|line| line.starts_with("xdp: vs is a veth: in native mode")), "{told:?}");
    let lost = || net.stats()["counters"]["xdp_lost"].as_u64().expect("a count");
    assert_eq!(lost(), 0);
    let line = format!("dig +time=1 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[0]);
    let ask = || {
        let mut words = line.split(' ');
        let program = words.next().expect("a program");
        net.command(&net.client, Path::new(program)).args(words).output().expect("dig runs").status.success()
    };
    // The peer drops what it gets once its ring has gone to sleep.
    let asked = (0..5).filter(|_| !ask()).count() as u64;
    assert!(asked > 0, "nothing is lost here");
    let begin = Instant::now();
    while lost() == 0 && begin.elapsed() < LOOK {
        thread::park_timeout(Duration::from_millis(200));
    }
    assert_eq!(lost(), asked, "{}", net.node_runs("ethtool -S vs"));
    drop(node);
}

/// The host changes under the node: the interface gets another MAC, and an address is taken off it.
#[test]
fn a_changed_host_is_noticed() {
    let Some(net) = Net::make("host") else { return };
    let node = net.node(&["--xdp", "vs", "--config", &net.write("[xdp]\nsample = 0\n")]);
    let ask = |server: &str| {
        let line = format!("dig +time=1 +tries=1 @{server} 1.2.3.10.in-addr.arpa");
        let mut command = net.command(&net.client, Path::new("dig"));
        command.args(line.split(' ').skip(1)).output().expect("dig runs").status.success()
    };
    let in_the_driver = || net.stats()["datapath_queries"]["xdp"].as_u64().expect("a count");
    let until = |what: &str, is_so: &mut dyn FnMut() -> bool| {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < LOOK, "{what}");
            thread::park_timeout(Duration::from_millis(200));
        }
    };
    until("it answers", &mut || ask(NODE[0]) && in_the_driver() > 0);
    net.node_runs("ip link set vs address 02:00:00:00:11:22");
    net.client("ip neigh flush all");
    let before = in_the_driver();
    // By the sockets first, which lose nothing.
    until("it answers at its new MAC", &mut || {
        assert!(ask(NODE[0]));
        in_the_driver() > before
    });
    // Another node has the address now: this one's driver must not answer for it any more.
    net.node_runs(&format!("ip addr del {}/24 dev vs", NODE[0]));
    net.client(&format!("ip neigh replace {} lladdr 02:00:00:00:11:22 dev vc", NODE[0]));
    until("it is silent", &mut || !ask(NODE[0]));
    net.node_runs(&format!("ip addr add {}/24 dev vs", NODE[0]));
    let before = in_the_driver();
    until("it answers again", &mut || ask(NODE[0]) && in_the_driver() > before);
    drop(node);
}

/// Frames from the generator that needs no socket, as fast as it goes: each is answered.
#[test]
fn a_generator_in_the_driver_gets_every_answer() {
    let Some(net) = Net::make("kxdp") else { return };
    let node = net.native("");
    let queries = net.queries(&mixed_queries().0);
    let told = net.client(&format!("kxdpgun -t 3 -Q 20000 -b 16 -i {} -I vc {}", queries.display(), NODE[0]));
    let (sent, received) = (figure(&told, "total queries:"), figure(&told, "total replies:"));
    assert!(sent > 1000, "{told}");
    assert_eq!(received, sent, "{told}");
    let [xdp, sockets] = net.answered(sent);
    assert!(xdp > sockets, "{xdp} and {sockets}");
    drop(node);
}

/// The node changes its answers under load, and none is lost; and when it is killed, the sockets of another
/// have everything at once.
#[test]
fn reloads_and_kill_under_load_lose_nothing() {
    let Some(net) = Net::make("load") else { return };
    let server = |size: u32| format!("[server]\nedns_udp_size = {size}\n");
    let node = net.native(&server(1232));
    let write =
        |size: u32| net.write(&format!("{}[xdp]\ninterfaces = ['vs']\nmode = 'native'\n", server(size)));
    let _catcher = net.catcher();
    let queries = net.queries(&mixed_queries().0);
    let load =
        net.start_client(&format!("dnsperf -s {} -d {} -l 8 -e -c 4 -q 40", NODE[0], queries.display()));
    let control = net.control().display().to_string();
    for round in 0..20 {
        write(700 + round);
        run(&format!("{} reload --control {control}", program().display()));
        let told = net.client(&format!("dig +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[1]));
        assert!(told.contains(&format!("udp: {}", 700 + round)), "round {round}: {told}");
    }
    let told = String::from_utf8(load.wait_with_output().expect("it ends").stdout).expect("text");
    assert_eq!(figure(&told, "Queries lost:"), 0, "{told}");
    assert_eq!(figure(&told, "Queries completed:"), figure(&told, "Queries sent:"), "{told}");
    let [xdp, sockets] = net.answered(figure(&told, "Queries sent:") + 20);
    assert!(xdp > sockets, "{xdp} and {sockets}");

    // A drain sends everything to the sockets, and the end of it brings it back.
    let program = program().display().to_string();
    run(&format!("{program} drain --control {control}"));
    let told = net.client(&format!("dig +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[0]));
    assert!(told.contains("status: NXDOMAIN"), "{told}");
    assert_eq!(net.answered(xdp + sockets + 1), [xdp, sockets + 1]);
    run(&format!("{program} undrain --control {control}"));

    // Killed under load, the program goes with the process.
    let mut load =
        net.start_client(&format!("dnsperf -s {} -d {} -l 3 -c 4 -q 40", NODE[0], queries.display()));
    thread::park_timeout(Duration::from_secs(1));
    node.signal(9);
    let begin = Instant::now();
    while net.is_attached() {
        assert!(begin.elapsed() < Duration::from_secs(2), "the program outlives its process");
    }
    load.wait().expect("it ends");
    let second = net.node(&[]);
    let told = net.client(&format!("dig +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[0]));
    assert!(told.contains("status: NXDOMAIN"), "{told}");
    assert_eq!(second.stop().0.code(), Some(0));
}

/// A second program is refused in one line, and so is an interface that is not there; the sockets serve.
#[test]
fn what_cannot_be_had_is_one_line_and_the_sockets_serve() {
    let Some(net) = Net::make("line") else { return };
    let first = net.node(&["--xdp", "vs"]);
    let mut command = net.command(&net.node, &program());
    command.args(["run", "--listen", "127.0.0.1:5301", "--shards", "1", "--http", "off", "--control", "off"]);
    command.args(["--xdp", "vs", "--xdp", "nowhere", "--xdp", "lo"]);
    let second = Daemon::spawn(command, 5301);
    let said = |start: &str| second.announcement.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(said("xdp: not on vs: another XDP program is attached"), 1, "{:?}", second.announcement);
    assert_eq!(said("xdp: not on nowhere: no such interface"), 1, "{:?}", second.announcement);
    assert_eq!(said("xdp: not on lo: not an Ethernet interface"), 1, "{:?}", second.announcement);
    assert_eq!(second.stop().0.code(), Some(0));
    assert!(net.is_attached(), "the first one's stays");
    drop(first);
}

/// Without any rights left, once the program is attached: the memory that it shares is enough for a reload.
#[test]
fn an_ordinary_user_goes_on_with_it() {
    let Some(net) = Net::make("user") else { return };
    let server = |size: u32| format!("[server]\nuser = 'nobody'\nedns_udp_size = {size}\n");
    let write =
        |size: u32| net.write(&format!("{}[xdp]\ninterfaces = ['vs']\nmode = 'native'\n", server(size)));
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("ours");
    open(net.folder.path());
    let node = net.native(&server(1232));
    let _catcher = net.catcher();
    let status = fs::read_to_string(format!("/proc/{}/status", node.id())).expect("it lives");
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    let program = program().display().to_string();
    let control = net.control().display().to_string();
    let ask = |size: u32| {
        let told = net.client(&format!("dig +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa PTR", NODE[0]));
        assert!(told.contains("status: NXDOMAIN") && told.contains(&format!("udp: {size}")), "{told}");
    };
    ask(1232);
    for size in 900..903 {
        write(size);
        run(&format!("{program} reload --control {control}"));
        ask(size);
    }
    assert_eq!(net.answered(4), [4, 0]);
    let refused = &net.stats()["confined"]["refused_syscalls"];
    assert_eq!(*refused, serde_json::json!([]), "what it needs it may");
    // The successor is started by one who has the rights still.
    write(800);
    run(&format!("{program} upgrade --control {control}"));
    net.status();
    ask(800);
    ask(800);
    assert_eq!(net.answered(6), [6, 0], "it answers in the driver");
    run(&format!("{program} shutdown --control {control}"));
    drop(node);
}

/// A successor has its program in the place of the one before, and the counters go on.
#[test]
fn an_upgrade_replaces_the_program_in_place() {
    let Some(net) = Net::make("up") else { return };
    let node = net.native("");
    let _catcher = net.catcher();
    let ask = || {
        let told = net.client(&format!("dig +time=5 +tries=1 @{} 1.2.3.10.in-addr.arpa", NODE[0]));
        assert!(told.contains("status: NXDOMAIN"), "{told}");
    };
    ask();
    assert_eq!(net.answered(1), [1, 0]);
    let program = program().display().to_string();
    let queries = net.queries(&mixed_queries().0);
    let load = net.start_client(&format!("dnsperf -s {} -d {} -l 6 -c 4 -q 40", NODE[0], queries.display()));
    for _ in 0..3 {
        run(&format!("{program} upgrade --control {}", net.control().display()));
        assert!(net.is_attached());
    }
    let told = String::from_utf8(load.wait_with_output().expect("it ends").stdout).expect("text");
    assert_eq!(figure(&told, "Queries lost:"), 0, "{told}");
    let [xdp, sockets] = net.answered(1 + figure(&told, "Queries sent:"));
    assert!(xdp > sockets, "{xdp} and {sockets}");
    ask();
    let status = net.status();
    run(&format!("{program} shutdown --control {}", net.control().display()));
    assert_eq!(status["xdp"], serde_json::json!(["vs (native)"]), "{status}");
    let begin = Instant::now();
    while net.is_attached() && begin.elapsed() < PATIENCE {
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!net.is_attached());
    drop(node);
}
