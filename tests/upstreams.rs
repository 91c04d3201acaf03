//! The exchange with real servers as upstreams: what comes through it equals what they say when they are
//! asked directly, over UDP, TCP and TLS. `SEED=` chooses other queries, `QUERIES=` how many for each way.

#[path = "common/mod.rs"]
mod common;
#[path = "common/mutate.rs"]
#[allow(dead_code, reason = "only its dice are used")]
mod mutate;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use as112d::dns::message;
use as112d::policy::facts::Outcome;
use as112d::policy::upstream::{Choose, Ecs, Over, Roots, Upstream};
use as112d::stats::counters::{Totals, UPSTREAM_FORGED, UPSTREAM_QUERIES};
use as112d::stats::labels::{TRIAL_ANSWERED, TRIAL_TRUNCATED};
use as112d::stats::ledger::{Ledger, LedgerSettings, Stream, ledger};
use as112d::work::conductor::{Ask, Asked, Conductor, Waiter};
use common::daemon::{V4, free_port, read_message, send_message};
use mio::{Events, Poll};
use mutate::Dice;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

/// Servers start on a busy host, and certificates are made there.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many are asked for each way, unless `QUERIES` says otherwise.
const QUERIES: usize = 1000;
/// Queries on their way at a time: servers answer them from buffers of a usual size.
const AT_A_TIME: usize = 50;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nsd,
    Knot,
    Bind,
    Unbound,
}

/// A running server. It ends when it is dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    /// Where it speaks TLS, if it does.
    tls: SocketAddr,
    _dir: TempDir,
}

impl Server {
    fn start(kind: Kind, zone: &str, certificates: &Path) -> Self {
        let dir = common::folder();
        std::fs::write(dir.path().join("zone"), zone).expect("the zone is written");
        let [port, tls] = [free_port(), free_port()];
        let (program, text) = configuration(kind, dir.path(), certificates, port, tls);
        std::fs::write(dir.path().join("conf"), text).expect("the configuration is written");
        let said = std::fs::File::create(dir.path().join("said")).expect("a file");
        let paths = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command.env("PATH", format!("{paths}:/usr/sbin:/usr/local/sbin"));
        match kind {
            Kind::Nsd | Kind::Unbound => command.arg("-d"),
            Kind::Bind => command.args(["-g", "-n", "1"]),
            Kind::Knot => &mut command,
        };
        command.arg("-c").arg(dir.path().join("conf")).stdin(Stdio::null());
        command.stdout(said.try_clone().expect("a second handle")).stderr(said);
        let child = command.process_group(0).spawn();
        let child = child.unwrap_or_else(|error| panic!("{program} starts: {error}"));
        let [address, tls] = [port, tls].map(|port| SocketAddr::new(V4, port));
        let server = Self { child, address, tls, _dir: dir };
        let began = Instant::now();
        let ready = || {
            ask_udp(server.address, &common::query("test.example", 6), Duration::from_millis(50))
                .is_some_and(|reply| reply[3] & 0xF == 0 && reply[7] == 1)
        };
        while !ready() {
            let said = std::fs::read_to_string(server._dir.path().join("said")).unwrap_or_default();
            assert!(began.elapsed() < PATIENCE, "{kind:?} does not serve; it said: {said}");
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// The program, and what it is told.
fn configuration(kind: Kind, dir: &Path, certificates: &Path, port: u16, tls: u16) -> (&'static str, String) {
    let (dir, tls_dir) = (dir.display(), certificates.display());
    match kind {
        Kind::Nsd => (
            "nsd",
            format!(
                "server:\n ip-address: 127.0.0.1@{port}\n ip-address: 127.0.0.1@{tls}\n server-count: 1\n \
                 username: \"\"\n chroot: \"\"\n database: \"\"\n zonesdir: \"{dir}\"\n \
                 zonelistfile: \"{dir}/list\"\n xfrdfile: \"{dir}/state\"\n xfrdir: \"{dir}\"\n \
                 pidfile: \"{dir}/pid\"\n ipv4-edns-size: 1232\n rrl-ratelimit: 0\n \
                 rrl-whitelist-ratelimit: 0\n tls-port: {tls}\n tls-service-key: \"{tls_dir}/key.pem\"\n \
                 tls-service-pem: \"{tls_dir}/cert.pem\"\nremote-control:\n control-enable: no\n\
                 zone:\n name: test.example\n zonefile: \"{dir}/zone\"\n"
            ),
        ),
        Kind::Knot => (
            "knotd",
            format!(
                "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{dir}\"\n  udp-workers: 1\n  \
                 tcp-workers: 1\n  background-workers: 1\n  udp-max-payload: 1232\ndatabase:\n  \
                 storage: \"{dir}\"\ntemplate:\n  - id: default\n    storage: \"{dir}\"\n    \
                 zonefile-sync: -1\n    journal-content: none\n    global-module: mod-cookies\n\
                 mod-cookies:\n  - id: default\nzone:\n  - domain: test.example\n    file: \"{dir}/zone\"\n"
            ),
        ),
        Kind::Bind => (
            "named",
            format!(
                "tls own {{ key-file \"{tls_dir}/key.pem\"; cert-file \"{tls_dir}/cert.pem\"; }};\n\
                 options {{ directory \"{dir}\"; pid-file \"{dir}/pid\"; session-keyfile none; \
                 listen-on port {port} {{ 127.0.0.1; }}; listen-on port {tls} tls own {{ 127.0.0.1; }}; \
                 listen-on-v6 {{ none; }}; recursion no; edns-udp-size 1232; max-udp-size 1232; \
                 minimal-responses yes; notify no; rrset-order {{ order none; }}; }};\n\
                 controls {{ }};\nzone \"test.example\" {{ type primary; file \"{dir}/zone\"; }};\n"
            ),
        ),
        Kind::Unbound => (
            "unbound",
            format!(
                "server:\n interface: 127.0.0.1@{port}\n interface: 127.0.0.1@{tls}\n tls-port: {tls}\n \
                 tls-service-key: \"{tls_dir}/key.pem\"\n tls-service-pem: \"{tls_dir}/cert.pem\"\n \
                 num-threads: 1\n chroot: \"\"\n username: \"\"\n directory: \"{dir}\"\n \
                 pidfile: \"{dir}/pid\"\n use-syslog: no\n edns-buffer-size: 1232\n max-udp-size: 1232\n \
                 module-config: iterator\n local-zone: example. nodefault\n\
                 remote-control:\n control-enable: no\n\
                 auth-zone:\n name: test.example\n zonefile: \"{dir}/zone\"\n for-downstream: yes\n \
                 for-upstream: no\n"
            ),
        ),
    }
}

/// A zone with a bit of everything: names by number, aliases, a wildcard, a delegation, sets that need TCP.
fn zone() -> String {
    let mut text = String::from(
        "$ORIGIN test.example.\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\n\
         ns A 192.0.2.53\n@ MX 10 mail\nmail A 192.0.2.25\nmail AAAA 2001:db8::25\n*.wild TXT \"wild\"\n\
         below NS ns.below\nns.below A 192.0.2.54\nempty.non.terminal A 192.0.2.1\n\
         _sip._udp SRV 1 2 5060 mail\n@ CAA 0 issue \"ca.example\"\n",
    );
    for number in 0..200 {
        let _ =
            writeln!(text, "h{number} A 192.0.2.{}\nh{number} AAAA 2001:db8::{number:x}", number % 250 + 1);
        let _ = writeln!(
            text,
            "a{number} CNAME h{number}\nt{number} TXT \"text {number}\" \"{}\"",
            "x".repeat(number)
        );
    }
    for number in 0..20 {
        for string in 0..20 {
            let _ = writeln!(text, "big{number} TXT \"{string} {}\"", "y".repeat(200));
        }
    }
    text
}

/// What is asked.
#[derive(Clone, Debug)]
struct Query {
    qname: Vec<u8>,
    qtype: u16,
    dnssec_ok: bool,
    recursion_desired: bool,
    checking_disabled: bool,
}

impl Query {
    fn random(random: &mut Dice, kind: Kind) -> Self {
        let number = random.below(250);
        let name = match random.below(12) {
            0 | 1 => format!("h{number}.test.example"),
            2 => format!("a{number}.test.example"),
            3 => format!("t{number}.test.example"),
            4 => format!("big{}.test.example", number % 25),
            5 => format!("n{number}.wild.test.example"),
            // Unbound would follow the delegation, which leads nowhere.
            6 if kind != Kind::Unbound => format!("n{number}.below.test.example"),
            7 => "non.terminal.test.example".to_owned(),
            8 => "test.example".to_owned(),
            9 => "_sip._udp.test.example".to_owned(),
            10 => "H1.TEST.example".to_owned(),
            _ => format!("no{number}.such.test.example"),
        };
        // Nor does it know the DS of its zone: its parent does.
        let ds = if kind == Kind::Unbound { 1 } else { 43 };
        let types = [1, 28, 16, 15, 2, 6, 5, 33, 257, 12, 48, ds, 255, 65, 0xFF00];
        let wire = common::query(&name, 1);
        Self {
            qname: wire[12..wire.len() - 4].to_vec(),
            qtype: types[random.below(types.len())],
            dnssec_ok: random.below(3) == 0,
            recursion_desired: random.below(2) == 0,
            checking_disabled: random.below(4) == 0,
        }
    }

    /// As a client sends it.
    fn packet(&self, id: u16) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend([u8::from(self.recursion_desired), if self.checking_disabled { 0x10 } else { 0 }]);
        out.extend([0, 1, 0, 0, 0, 0, 0, 1]);
        out.extend(&self.qname);
        out.extend(self.qtype.to_be_bytes());
        out.extend([0, 1, 0, 0, 41, 4, 208, 0, 0, if self.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        out
    }
}

fn ask_udp(server: SocketAddr, packet: &[u8], timeout: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(timeout)).expect("a time-out");
    let mut reply = vec![0; 65_535];
    let len = socket.send(packet).and_then(|_| socket.recv(&mut reply)).unwrap_or(0);
    reply.truncate(len);
    (len >= 12).then_some(reply)
}

/// What the server says to whoever asks it.
fn directly(server: SocketAddr, query: &Query) -> Vec<u8> {
    let packet = query.packet(7);
    let reply = ask_udp(server, &packet, PATIENCE).expect("it answers");
    if reply[2] & 2 == 0 {
        return reply;
    }
    let mut stream = TcpStream::connect(server).expect("connected");
    send_message(&mut stream, &packet);
    read_message(&mut stream).expect("it answers")
}

/// The conductor, and a loop around it.
struct Rig {
    conductor: Conductor,
    poll: Poll,
    ledger: Ledger,
    stream: Stream,
}

impl Rig {
    fn new(server: SocketAddr, over: Over) -> Self {
        let poll = Poll::new().expect("epoll");
        let now = Instant::now();
        let mut conductor = Conductor::new(poll.registry(), 16, now).expect("memory");
        let upstream = Upstream {
            name: "peer".to_owned(),
            servers: vec![server],
            over,
            choose: Choose::Fastest,
            // A server on a busy host is not given up for being slow.
            timeout: Duration::from_secs(20),
            tries: 5,
            explore: 0.0,
            case_randomization: true,
            cookies: true,
            ecs: Ecs::Strip,
        };
        conductor.take(0, &[upstream], &|_, place| place, now);
        let (ledger, stream) = ledger(&LedgerSettings::default());
        Self { conductor, poll, ledger, stream }
    }

    /// What comes of each query, by its place.
    fn ask(&mut self, queries: &[Query]) -> BTreeMap<usize, (Outcome, Vec<u8>)> {
        let (mut done, mut next) = (BTreeMap::new(), 0);
        let mut events = Events::with_capacity(64);
        let began = Instant::now();
        let patience = PATIENCE * (1 + queries.len() / QUERIES) as u32;
        while done.len() < queries.len() {
            assert!(began.elapsed() < patience, "{} of {}: {:?}", done.len(), queries.len(), self.conductor);
            let now = Instant::now();
            while next < queries.len() && next - done.len() < AT_A_TIME {
                let query = &queries[next];
                let ask = Ask {
                    upstream: 0,
                    qname: &query.qname,
                    qtype: query.qtype,
                    qclass: 1,
                    recursion_desired: query.recursion_desired,
                    checking_disabled: query.checking_disabled,
                    authentic_data: false,
                    dnssec_ok: query.dnssec_ok,
                    subnet: None,
                    deadline: now + PATIENCE,
                    is_alone: false,
                    is_once: false,
                };
                let asked = self.conductor.ask_of(0, &ask, Waiter(next as u32), now, &mut self.ledger);
                assert!(matches!(asked, Asked::Waiting | Asked::Joined), "{asked:?}");
                next += 1;
            }
            self.conductor.flush(now, &mut self.ledger);
            let wait = self.conductor.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => panic!("{error}"),
                _ => {}
            }
            let now = Instant::now();
            for event in &events {
                let (readable, writable) = (event.is_readable(), event.is_writable());
                self.conductor.ready(event.token().0, readable, writable, now, &mut self.ledger);
            }
            self.conductor.tick(now, &mut self.ledger);
            self.conductor.finished(&mut |finished| {
                for waiter in finished.waiters {
                    let what = (finished.outcome, finished.message.to_vec());
                    assert!(done.insert(waiter.0 as usize, what).is_none(), "told twice");
                }
            });
        }
        done
    }

    fn totals(&mut self) -> Totals {
        self.ledger.end_batch();
        let mut totals = Totals::default();
        self.stream.counters.read(&mut totals);
        totals
    }
}

/// A certificate for `dns.example`, and the authority that signed it.
fn certificates(directory: &Path) {
    std::fs::write(directory.join("leaf"), "subjectAltName=DNS:dns.example\n").expect("written");
    let run = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output();
        let output = output.expect("openssl runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"));
    run(&format!("req {key} -keyout key.pem -out request -subj /CN=dns.example"));
    run("x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf -out cert.pem");
    common::open_up(directory);
}

const fn name(over: &Over) -> &'static str {
    match over {
        Over::Udp => "UDP",
        Over::Tcp => "TCP",
        Over::Tls { .. } => "TLS",
    }
}

fn compare(kind: Kind) {
    let keys = common::folder();
    certificates(keys.path());
    let server = Server::start(kind, &zone(), keys.path());
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(112);
    let count = std::env::var("QUERIES").ok().and_then(|count| count.parse().ok()).unwrap_or(QUERIES);
    println!("SEED={seed} QUERIES={count}");
    let mut random = Dice::new(seed);
    let mut overs = vec![(Over::Udp, server.address), (Over::Tcp, server.address)];
    if kind != Kind::Knot {
        let authority = CertificateDer::from_pem_file(keys.path().join("ca.pem")).expect("an authority");
        let roots = Roots(Arc::new(vec![authority.to_vec()]));
        overs.push((Over::Tls { name: "dns.example".to_owned(), ca: None, roots }, server.tls));
    }
    for (over, address) in overs {
        let queries: Vec<Query> = (0..count).map(|_| Query::random(&mut random, kind)).collect();
        let mut rig = Rig::new(address, over.clone());
        let through = rig.ask(&queries);
        let mut codes = BTreeMap::<u8, usize>::new();
        for (place, query) in queries.iter().enumerate() {
            let (outcome, answer) = &through[&place];
            let directly = directly(server.address, query);
            assert_eq!(*outcome, Outcome::Ok, "{kind:?} {query:?}");
            let is_same = message::same(answer, &directly) && answer[2..4] == directly[2..4];
            assert!(is_same, "{kind:?} over {over:?}: {query:?}\n{answer:02x?}\n{directly:02x?}");
            *codes.entry(answer[3] & 0xF).or_default() += 1;
        }
        println!("report: upstreams_equal {kind:?} over {}: {count}, codes {codes:?}", name(&over));
        let totals = rig.totals();
        let tried = |trial| totals.get(UPSTREAM_QUERIES.at([0, trial]));
        assert!(tried(TRIAL_ANSWERED) > count as u64 / 2, "equal ones at a time are one");
        assert_eq!(totals.sum(UPSTREAM_FORGED), 0, "{kind:?} repeats letter case and cookies");
        assert_eq!(tried(TRIAL_TRUNCATED) > 0, over == Over::Udp, "{kind:?}: some need TCP");
        if let Over::Tls { roots, .. } = over {
            let wrong = Over::Tls { name: "other.example".to_owned(), ca: None, roots };
            let refused = Rig::new(address, wrong).ask(&queries[..1]);
            assert_eq!(refused[&0].0, Outcome::Refused, "the certificate is for another name");
        }
    }
}

#[test]
fn through_the_conductor_nsd_says_what_it_says_directly() {
    compare(Kind::Nsd);
}

#[test]
fn through_the_conductor_knot_says_what_it_says_directly() {
    compare(Kind::Knot);
}

#[test]
fn through_the_conductor_bind_says_what_it_says_directly() {
    compare(Kind::Bind);
}

#[test]
fn through_the_conductor_unbound_says_what_it_says_directly() {
    compare(Kind::Unbound);
}
