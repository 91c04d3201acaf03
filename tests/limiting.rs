//! What keeps a node from being of use to those who send with the addresses of others: cookies, a rate
//! limit, and a list of networks that get nothing.

mod common;

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use common::daemon::{Configured, Daemon, V4, V6, get, program, read_message, send_message, wait_until};
use common::{query, with_opt};

const FIRST: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
const SECOND: &str = "dd3bdf9344b678b185a6f5cb60fca715";
const SOA: u16 = 6;
const TC: u8 = 0x02;

/// A node whose configuration can be read again.
struct Node {
    configured: Configured,
    daemon: Daemon,
}

impl Node {
    fn start(sections: &str, secrets: &[&str]) -> Self {
        let configured = Configured::new(sections);
        fs::write(configured.path("secrets"), secrets.join("\n")).expect("there is room");
        let control = configured.path("control").display().to_string();
        let daemon = Daemon::start(&[
            "--config",
            &configured.config,
            "--control",
            &control,
            "--http",
            "127.0.0.1:0",
            "--shards",
            "1",
        ]);
        Self { configured, daemon }
    }

    /// Replaces the secrets and has everything read again.
    fn roll(&self, secrets: &[&str]) {
        fs::write(self.configured.path("secrets"), secrets.join("\n")).expect("there is room");
        self.reload(&fs::read_to_string(&self.configured.config).expect("it was written"));
    }

    /// The reply to a query that holds this cookie, and the cookie in it.
    fn ask(&self, cookie: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        let reply = self.daemon.ask_udp(V4, &with_cookie(cookie));
        let found = reply.windows(4).position(|head| head == [0, 10, 0, 24]).map(|at| at + 4);
        (reply.clone(), found.map(|at| reply[at..at + 24].to_vec()))
    }

    /// The cookie that answers this one.
    fn cookie(&self, cookie: &[u8]) -> Vec<u8> {
        self.ask(cookie).1.expect("a cookie")
    }

    /// The value of a series.
    fn counted(&self, series: &str) -> u64 {
        let text = get(self.daemon.http(), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series}\n{text}")).parse().expect("a number")
    }

    /// Has this configuration read.
    fn reload(&self, sections: &str) {
        fs::write(&self.configured.config, sections).expect("there is room");
        let control = self.configured.path("control");
        let reload = Command::new(program()).arg("reload").arg("--control").arg(control).output();
        assert!(reload.expect("it runs").status.success());
    }

    fn over_limit(&self, result: &str) -> u64 {
        self.counted(&format!("as112_queries_over_limit_total{{result=\"{result}\"}}"))
    }

    /// Of so many queries over UDP, those that got the whole answer and those that got a truncated one.
    fn flood(&self, queries: usize) -> (usize, usize) {
        let socket = self.daemon.udp(V4);
        let mut whole = 0;
        for _ in 0..queries {
            socket.send(&query("10.in-addr.arpa", SOA)).expect("sent");
            let mut reply = [0; 1500];
            let len = socket.recv(&mut reply).expect("a reply");
            let is_truncated = reply[2] & TC != 0;
            assert_eq!(is_truncated, len == query("10.in-addr.arpa", SOA).len(), "as long as the query");
            whole += usize::from(!is_truncated);
        }
        (whole, queries - whole)
    }

    fn stop(self) {
        assert!(self.daemon.stop().0.success());
    }
}

fn with_cookie(cookie: &[u8]) -> Vec<u8> {
    let len = cookie.len() as u8;
    with_opt(query("10.in-addr.arpa", SOA), 1232, &[&[0, 10, 0, len], cookie].concat())
}

fn cookies(mode: &str) -> String {
    format!("[answers]\ncookies = '{mode}'\ncookie_secrets = 'secrets'\n")
}

/// The procedure of RFC 9018, section 5: each node of a set gets the new secret as the second, then all as
/// the first, then the old one is taken away. A client keeps its cookie until the last step, whichever node
/// it reaches.
#[test]
fn secrets_are_rolled_at_a_set_of_nodes_and_no_cookie_is_lost() {
    let nodes = [0, 1].map(|_| Node::start(&cookies("on"), &[FIRST]));
    let [one, other] = &nodes;
    let learned = one.cookie(&[7; 8]);
    assert_eq!(learned[..9], [7, 7, 7, 7, 7, 7, 7, 7, 1]);
    for node in &nodes {
        assert_eq!(node.cookie(&learned), learned, "it is fresh at both, and came back");
    }
    one.roll(&[FIRST, SECOND]);
    other.roll(&[FIRST, SECOND]);
    one.roll(&[SECOND, FIRST]);
    let renewed = one.cookie(&learned);
    assert_ne!(renewed, learned, "the current secret has changed");
    assert_eq!(one.cookie(&renewed), renewed);
    assert_ne!(other.cookie(&renewed), renewed, "there it is accepted, and not current");
    assert_eq!(one.counted("as112_server_cookies_total{state=\"unknown\"}"), 0);
    assert_eq!(other.counted("as112_server_cookies_total{state=\"unknown\"}"), 0);
    other.roll(&[SECOND]);
    assert_eq!(other.cookie(&renewed), renewed);
    other.cookie(&learned);
    assert_eq!(other.counted("as112_server_cookies_total{state=\"unknown\"}"), 1, "of the old secret");
    // A file without a secret changes nothing.
    fs::write(other.configured.path("secrets"), "# none\n").expect("there is room");
    other.daemon.signal(libc::SIGHUP);
    assert_eq!(other.cookie(&renewed), renewed);
    nodes.into_iter().for_each(Node::stop);
}

#[test]
fn a_dry_run_of_cookies_counts_and_changes_no_reply() {
    let secret = &[FIRST];
    let [on, dry, off] = ["on", "dry-run", "off"].map(|mode| Node::start(&cookies(mode), secret));
    let learned = on.cookie(&[7; 8]);
    for cookie in [&learned[..], &[7; 8], &[7; 7], &[9; 24]] {
        let (reply, found) = dry.ask(cookie);
        assert_eq!((reply, found), (off.ask(cookie).0, None));
    }
    let of = |state: &str| format!("as112_server_cookies_total{{state=\"{state}\"}}");
    let counted = ["fresh", "absent", "unknown"].map(|state| dry.counted(&of(state)));
    assert_eq!(counted, [1, 1, 1]);
    assert_eq!(dry.counted("as112_queries_cookie_total{state=\"malformed\"}"), 1);
    assert_eq!(off.counted(&of("fresh")), 0);
    [on, dry, off].into_iter().for_each(Node::stop);
}

const NODE: &str = "[identity]\nnode = 'node-1'\n[answers]\n";
/// A second brings two queries, and so many are within the limit at once.
const RATE: &str = "rate_limit = 2\n";

/// Who is over the limit gets TC=1, and comes over TCP.
#[test]
fn a_network_over_its_rate_is_sent_to_tcp_on_every_datapath() {
    for datapath in ["io_uring", "mmsg"] {
        let node = Node::start(&format!("[server]\ndatapath = '{datapath}'\n[answers]\n{RATE}"), &[]);
        let began = Instant::now();
        let (whole, truncated) = node.flood(200);
        // As many more as time has brought.
        let most = 2 + 2 * (began.elapsed().as_secs() as usize + 1);
        assert!((2..=most).contains(&whole), "{datapath}: {whole} in {:?}", began.elapsed());
        assert_eq!(node.over_limit("truncated"), truncated as u64);
        let over_tcp = node.daemon.ask_tcp(V4, &query("10.in-addr.arpa", SOA)).expect("a reply");
        assert_eq!(over_tcp[2] & TC, 0, "TCP has no limit");
        node.stop();
    }
}

/// Each key of a limit, by what comes of it; all are taken over by a reload.
#[test]
fn a_rate_limit_is_changed_by_reload() {
    let node = Node::start(&format!("[answers]\n{RATE}rate_limit_exempt = ['127.0.0.0/8']\n"), &[]);
    assert_eq!(node.flood(50), (50, 0), "exempt");
    assert!(node.over_limit("exempt") > 0);
    node.reload(&format!("{NODE}{RATE}rate_limit_dry_run = true\n"));
    assert_eq!(node.flood(50), (50, 0), "a dry run");
    assert!(node.over_limit("dry_run") > 0);
    assert_eq!((node.over_limit("truncated"), node.over_limit("dropped")), (0, 0));
    node.reload(&format!("{NODE}{RATE}"));
    assert!(node.flood(50).1 > 0);
    node.reload(&format!("{NODE}rate_limit = 'off'\n"));
    assert_eq!(node.flood(50), (50, 0), "off");
    // Of ten over the limit one gets a reply. A liveness query over TCP says that the others get none.
    node.reload(&format!("{NODE}{RATE}rate_limit_slip = 10\n"));
    let socket = node.daemon.udp(V4);
    (0..100).for_each(|_| assert!(socket.send(&query("10.in-addr.arpa", SOA)).is_ok()));
    wait_until("all are counted", || node.over_limit("dropped") >= 80);
    let dropped = node.counted("as112_queries_dropped_total{reason=\"rate_limit\"}");
    assert_eq!(dropped, node.over_limit("dropped"));
    node.stop();
}

/// A client without a cookie in a network over its rate gets BADCOOKIE for it, and with ours the answer.
#[test]
fn a_valid_cookie_is_above_the_limit() {
    let node = Node::start(&[&cookies("on"), RATE].concat(), &[FIRST]);
    assert!(node.flood(50).1 > 0);
    let (refused, cookie) = node.ask(&[7; 8]);
    assert_eq!(refused[3] & 0xF, 23 & 0xF, "the low bits of BADCOOKIE");
    let cookie = cookie.expect("a cookie to come back with");
    for _ in 0..50 {
        let (reply, found) = node.ask(&cookie);
        assert_eq!((reply[2] & TC, reply[3] & 0xF), (0, 0));
        assert_eq!(found.as_deref(), Some(&cookie[..]));
    }
    assert_eq!(node.over_limit("badcookie"), 1);
    assert!(node.over_limit("cookie") > 0);
    node.stop();
}

/// Datagrams get no reply and connections are closed, those that are open as well; others are answered.
#[test]
fn networks_of_the_drop_list_get_nothing_on_any_datapath() {
    for datapath in ["io_uring", "mmsg"] {
        let identity = "[identity]\nnode = 'node-1'\n";
        let server = format!("[server]\ndatapath = '{datapath}'\n");
        let node = Node::start(&server, &[]);
        let asked = query("10.in-addr.arpa", SOA);
        let (udp, mut open) = (node.daemon.udp(V4), node.daemon.tcp(V4));
        let dropped = || node.counted("as112_queries_dropped_total{reason=\"drop_list\"}");
        let is_answered = |open: &mut TcpStream| {
            send_message(open, &asked);
            read_message(open).is_some()
        };
        assert!(is_answered(&mut open));
        node.reload(&format!("{identity}{server}drop = ['192.0.2.0/24', '127.0.0.0/8']\n"));
        (0..3).for_each(|_| assert_eq!(udp.send(&asked).expect("sent"), asked.len()));
        wait_until("they are counted", || dropped() == 3);
        assert!(!is_answered(&mut open), "an open connection is closed");
        assert_eq!(node.daemon.ask_tcp(V4, &asked), None, "a new one too");
        wait_until("they are counted", || dropped() == 5);
        assert_eq!(node.daemon.ask_udp(V6, &asked)[..2], asked[..2], "::1 is in no network of the list");
        node.reload(&format!("{identity}{server}"));
        assert_eq!(node.daemon.ask_udp(V4, &asked)[..2], asked[..2]);
        let mut reply = [0; 64];
        udp.set_nonblocking(true).expect("a socket can be that");
        assert!(udp.recv(&mut reply).is_err(), "what was dropped gets no reply later");
        node.stop();
    }
}

/// What dig and kdig make of it: they find our cookie good, and send it back.
#[test]
#[ignore = "needs dig and kdig; tests/run installs them"]
fn dig_and_kdig_find_the_cookie_good() {
    let node = Node::start(&cookies("on"), &[FIRST]);
    let port = node.daemon.port.to_string();
    let printed = |program: &str, ip: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(["-p", &port, ip, "10.in-addr.arpa", "SOA"]).args(arguments);
        let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains("NOERROR"), "{text}");
        text
    };
    let after = |text: &str, word: &str| {
        let rest = text.split_once(word).unwrap_or_else(|| panic!("{word}: {text}")).1;
        rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>()
    };
    for ip in [V4, V6].map(|ip| format!("@{ip}")) {
        for over in ["+notcp", "+tcp"] {
            let first = printed("dig", &ip, &["+cookie", over]);
            assert!(first.contains("(good)"), "{first}");
            let cookie = after(&first, "COOKIE: ");
            assert_eq!(cookie.len(), 48, "{first}");
            let again = printed("dig", &ip, &[&format!("+cookie={cookie}"), over]);
            assert!(again.contains(&format!("COOKIE: {cookie} (good)")), "{again}");
            let kdig = printed("kdig", &ip, &[&format!("+cookie={cookie}"), over]);
            assert!(kdig.to_lowercase().contains(&cookie.to_lowercase()), "{kdig}");
        }
    }
    node.stop();
}
