//! What stands in the file reaches what it is for: a running node gets each key of its configuration changed
//! and reads it again. Then it is in force, or named as what a restart takes over; nothing is passed over.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::daemon::{Configured, Daemon, PATIENCE, V4, free_port, get, program, wait_until};
use common::{query, question, with_opt};
use serde_json::{Value, json};

/// What is seen once a key has changed.
enum Seen {
    /// A restart takes it over, and the reload calls it so.
    Restart(&'static str),
    /// This query gets another reply, and the one that it had when the file is as it was.
    Reply(fn() -> Vec<u8>),
    /// The same, and a restart takes it over elsewhere, which the reload names.
    ReplyButFor(fn() -> Vec<u8>, &'static str),
    /// So it is with what else can be seen of the node.
    Sight(fn(&Node) -> String),
    /// The file has a mistake: the key is for nothing else.
    Refused(&'static str),
    /// It is for a process of its own, such as `as112d announce`; the node goes on as it was.
    Elsewhere,
    /// It is of something that this node does not have.
    InForce,
    /// A restart takes it over, unless the program was built without what it is for.
    RestartIfBuilt(&'static str),
}

use Seen::{Elsewhere, InForce, Refused, Reply, ReplyButFor, Restart, RestartIfBuilt, Sight};

/// A key, the line that changes it, and what is seen then.
type Row = (&'static str, &'static str, Seen);

/// One row for each key.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("server.listen", "listen = ['127.0.0.9:5300']", Restart("[server] listen")),
    ("server.shards", "shards = 2", Restart("[server] shards")),
    ("server.cpus", "cpus = 'physical'", Restart("[server] cpus")),
    ("server.steer", "steer = 'hash'", Restart("[server] steer")),
    ("server.busy_poll", "busy_poll = 50", Restart("[server] busy_poll")),
    ("server.datapath", "datapath = 'mmsg'", Restart("[server] datapath")),
    ("server.edns_udp_size", "edns_udp_size = 800", Reply(|| with_opt(name(EMPTY, SOA), 4096, &[]))),
    ("server.user", "user = 'nobody'", Restart("[server] user")),
    ("server.rcvbuf", "rcvbuf = '1MiB'", Restart("[server] rcvbuf")),
    ("server.sndbuf", "sndbuf = '1MiB'", Restart("[server] sndbuf")),
    ("server.drain_time", "drain_time = '10m'", Sight(Node::drained)),
    ("server.drop", "drop = ['127.0.0.0/8']", Sight(Node::answers_over_tcp)),
    (
        "identity.node",
        "node = 'other.example'",
        ReplyButFor(|| name(HOSTNAME, TXT), "[identity] node in [export] and [dnstap]"),
    ),
    ("identity.facility", "facility = 'Elsewhere'", Reply(|| name(HOSTNAME, TXT))),
    ("identity.location", "location = 'Nowhere'", Reply(|| name(HOSTNAME, TXT))),
    ("identity.loc", "loc = '38 43 0.000 N 9 8 0.000 W 10.00m'", Reply(|| name(HOSTNAME, LOC))),
    ("identity.extra_txt", "extra_txt = ['more']", Reply(|| name(HOSTNAME, TXT))),
    ("identity.unique_ip", "unique_ip = ['192.0.2.1']", Reply(|| name(HOSTNAME, TXT))),
    ("identity.nsid", "nsid = 'another'", Reply(|| with_opt(name(EMPTY, SOA), 1232, &NSID))),
    ("identity.version_txt", "version_txt = 'one'", Reply(|| question(b"\x07version\x04bind\0", TXT, CH))),
    ("identity.hostname_soa_mname", "hostname_soa_mname = 'm.example'", Reply(|| name(HOSTNAME, SOA))),
    ("identity.hostname_soa_rname", "hostname_soa_rname = 'r.example'", Reply(|| name(HOSTNAME, SOA))),
    ("tcp.connections_max", "connections_max = 100", Restart("[tcp]")),
    ("tcp.connections_per_address_max", "connections_per_address_max = 10", Restart("[tcp]")),
    ("tcp.message_timeout", "message_timeout = '3s'", Restart("[tcp]")),
    ("tcp.idle_timeout", "idle_timeout = '3s'", Restart("[tcp]")),
    ("tcp.write_timeout", "write_timeout = '3s'", Restart("[tcp]")),
    ("tcp.drain_timeout", "drain_timeout = '3s'", Restart("[tcp]")),
    ("tcp.buffers_max", "buffers_max = '32MiB'", Restart("[tcp]")),
    ("zones.direct", "direct = false", Reply(|| name(EMPTY, SOA))),
    ("zones.dname", "dname = false", Reply(|| name("empty.as112.arpa", SOA))),
    ("zones.special_use", "special_use = false", Reply(|| name("home.arpa", SOA))),
    ("zones.dir", "dir = 'more'", Reply(|| name("more.example", SOA))),
    ("zones.packs", "packs = ['absent.zones']", Refused("absent.zones")), // tests/packs.rs has the rest
    ("zone.name", "name = 'moved.example'", Reply(|| name("moved.example", SOA))),
    ("zone.file", "file = 'second.zone'", Reply(|| name("named.example", TXT))),
    ("zone.template", "template = 'dr-empty'", Reply(|| name("template.example", SOA))),
    ("zone.force", "force = false", Refused("in-addr.arpa")),
    ("answers.update", "update = 'notimp'", Reply(update)),
    ("answers.cookies", "cookies = 'on'", Sight(Node::sends_cookies)),
    ("answers.cookie_secrets", "cookie_secrets = 'absent'\ncookies = 'on'", Refused("absent")),
    ("answers.rate_limit", "rate_limit = 'off'", Sight(Node::limiting)),
    ("answers.rate_limit_dry_run", "rate_limit_dry_run = true", Sight(Node::limiting)),
    ("answers.rate_limit_slip", "rate_limit_slip = 2", Sight(Node::limiting)),
    ("answers.rate_limit_ipv4_prefix", "rate_limit_ipv4_prefix = 32", Sight(Node::limiting)),
    ("answers.rate_limit_ipv6_prefix", "rate_limit_ipv6_prefix = 48", Sight(Node::limiting)),
    ("answers.rate_limit_exempt", "rate_limit_exempt = ['192.0.2.0/24']", Sight(Node::limiting)),
    ("pop.name", "name = 'lax'", Refused("sfo")),
    // `nearest` looks at it, see below.
    ("pop.at", "at = [10, 10]", InForce),
    ("pop.health", "health = 'none'", Refused("probe")),
    ("pop.probe", "probe = { tcp = '127.0.0.1:1' }", Elsewhere),
    ("pop.file", "file = 'others.health'", Elsewhere),
    ("map.name", "name = 'earth'", Refused("world")),
    ("map.networks", "networks = ['others.txt']", Reply(|| subnet(name(TAILORED, A)))),
    ("map.resolvers", "resolvers = ['others.txt']", Reply(|| name(TAILORED, A))),
    ("map.learned", "learned = 'others.txt'", Reply(|| name(TAILORED, A))),
    ("map.places", "places = 'others.map'", Reply(|| name(TAILORED, A))),
    ("map.databases", "databases = ['absent.mmdb']", Refused("absent.mmdb")),
    // The database knows of no AS.
    ("map.as", "as = { 64501 = ['nrt'] }", InForce),
    ("map.country", "country = { PT = ['nrt'] }", Reply(|| name(TAILORED, A))),
    ("map.continent", "continent = { EU = ['nrt'] }", Reply(|| name(TAILORED, A))),
    ("map.nearest", "nearest = 1", Reply(|| name(TAILORED, A))),
    ("map.default", "default = ['nrt']", Reply(|| name(TAILORED, A))),
    ("map.ecs", "ecs = 'ignore'", Reply(|| subnet(name(TAILORED, A)))),
    ("pool.name", "name = 'cdn'", InForce),
    ("pool.map", "map = 'other'", Reply(|| name(TAILORED, A))),
    ("pool.names", "names = ['else.own.example']", Reply(|| name(TAILORED, A))),
    ("pool.ttl", "ttl = '7s'", Reply(|| name(TAILORED, A))),
    // What comes of weights is in src/tailor/.
    ("pool.spread", "spread = 'first'", Refused("weighted")),
    ("pool.addresses", "addresses = {sfo = ['192.0.2.7'], nrt = ['192.0.2.8']}", Reply(|| name(TAILORED, A))),
    ("pool.weights", "weights = { nrt = 2 }", InForce),
    ("identity_zone.names", "names = ['me.own.example']", Reply(|| name("me.own.example", A))),
    ("identity_zone.ttl", "ttl = '7s'", Reply(|| name(WHO, A))),
    ("identity_zone.map", "map = 'world'", Sight(Node::says_pop)),
    ("beacons.zone", "zone = 'c.own.example'", Sight(Node::page)),
    ("beacons.key_file", "key_file = 'other.key'", InForce), // tests/learning has what comes of it
    ("beacons.trusted", "trusted = ['127.0.0.1']", InForce),
    ("beacons.verify", "verify = 'tcp'", Reply(|| name("x.b.own.example", A))),
    ("beacons.targets", "targets = { sfo = 'https://sfo.example.net/' }", Sight(Node::page)),
    ("beacons.sample_every", "sample_every = 1", Sight(Node::page)),
    ("beacons.observations", "observations = 'elsewhere'", Restart("[beacons] observations")),
    ("beacons.state", "state = 'other.state'", Elsewhere),
    ("platform.workers", "workers = 2", Restart("[platform] workers")),
    ("platform.jobs", "jobs = 2048", Restart("[platform] jobs")),
    ("platform.share", "share = 128", Restart("[platform] share")),
    // What comes of this, and of most of the cache, is in tests/platform.
    ("platform.query_timeout", "query_timeout = '3s'", InForce),
    ("platform.colo", "colo = 'elsewhere'", Reply(|| name("colo.example", SOA))),
    ("platform.rules", "rules = 'others.d'", Reply(|| name("rules.example", SOA))),
    ("platform.apps", "apps = 'others.apps'", Reply(|| name("app.example", SOA))),
    ("cache.size", "size = '8MiB'", Restart("[cache] size")),
    ("cache.ttl_min", "ttl_min = '1s'", InForce),
    ("cache.ttl_max", "ttl_max = '1h'", InForce),
    ("cache.negative_ttl_max", "negative_ttl_max = '1m'", InForce),
    ("cache.failure_ttl", "failure_ttl = '1s'", InForce),
    ("cache.stale", "stale = '0s'", InForce),
    ("cache.stale_after", "stale_after = '1s'", InForce),
    ("cache.stale_ttl", "stale_ttl = '1s'", InForce),
    ("cache.prefetch", "prefetch = false", InForce),
    // What comes of each is in tests/platform.
    ("upstream.name", "name = 'other'", Refused("lan")),
    ("upstream.servers", "servers = ['127.0.0.1:53']", Sight(Node::upstreams)),
    ("upstream.over", "over = 'tcp'", Refused("tls_name")),
    ("upstream.tls_name", "tls_name = 'other.example'", Sight(Node::upstreams)),
    ("upstream.tls_ca", "tls_ca = 'absent.pem'", Refused("absent.pem")),
    ("upstream.choose", "choose = 'order'", Sight(Node::upstreams)),
    ("upstream.timeout", "timeout = '1s'", Sight(Node::upstreams)),
    ("upstream.tries", "tries = 2", Sight(Node::upstreams)),
    ("upstream.explore", "explore = 0", Sight(Node::upstreams)),
    ("upstream.case_randomization", "case_randomization = false", Sight(Node::upstreams)),
    ("upstream.cookies", "cookies = false", Sight(Node::upstreams)),
    ("upstream.ecs", "ecs = 'pass'", Sight(Node::upstreams)),
    ("route.name", "name = 'renamed'", Sight(|node| node.ask("rules")["rules"].to_string())),
    ("route.when", "when = 'qname = elsewhere.example'", Reply(|| name("routed.example", SOA))),
    ("route.then", "then = 'answer YXDOMAIN'", Reply(|| name("routed.example", SOA))),
    ("route.allow", "allow = ['192.0.2.0/24']", Reply(|| name("routed.example", SOA))),
    (
        "route.fallback_action",
        "fallback_action = 'native'",
        Sight(|node| node.ask("rules")["rules"].to_string()),
    ),
    ("resolver.enabled", "enabled = true", RestartIfBuilt("[resolver]")),
    ("resolver.address", "address = '127.0.0.1:5355'", Restart("[resolver]")),
    ("resolver.hints", "hints = 'absent'", InForce),
    ("resolver.memory", "memory = '512MiB'", InForce),
    ("trace.to", "to = 'file:traces.json'", Restart("[trace]")),
    ("trace.sample_every", "sample_every = 2", InForce),
    ("http.listen", "listen = 'off'", Restart("[http]")),
    ("http.public", "public = '127.0.0.1:0'", Restart("[http]")),
    ("http.allowed_hosts", "allowed_hosts = ['n.example']", Restart("[http]")),
    ("http.node_view", "node_view = 'everywhere'", Restart("[http]")),
    ("history.dir", "dir = 'other'", Restart("[history] dir")),
    ("sources.sample_every", "sample_every = 2", Restart("[sources] sample_every")),
    // It is read; what is done with it, see below.
    ("sources.databases", "databases = ['absent.mmdb']", Refused("absent.mmdb")),
    ("export.rssac002", "rssac002 = 'rssac002'", Restart("[export]")),
    ("export.dsc", "dsc = 'dsc'", Restart("[export]")),
    ("export.dsc_format", "dsc_format = 'json'", Restart("[export]")),
    ("log.level", "level = 'debug'", Sight(|node| node.ask("status")["log_level"].to_string())),
    ("log.format", "format = 'json'", Restart("[log]")),
    ("log.file", "file = 'node.log'", Restart("[log]")),
    ("query_log.sample_every", "sample_every = 2", Restart("[query_log]")),
    ("query_log.file", "file = 'others.log'", Restart("[query_log]")),
    ("query_log.addresses", "addresses = 'whole'", Restart("[query_log]")),
    ("dnstap.to", "to = 'unix:other.sock'", Restart("[dnstap]")),
    ("dnstap.sample_every", "sample_every = 2", Restart("[dnstap]")),
    ("dnstap.addresses", "addresses = 'whole'", Restart("[dnstap]")),
    ("xdp.interfaces", "interfaces = ['lo']", Restart("[xdp]")),
    ("xdp.mode", "mode = 'generic'", Restart("[xdp]")),
    ("xdp.prefixes", "prefixes = ['127.0.0.0/8']", Restart("[xdp]")),
    ("xdp.vlans", "vlans = [7]", Restart("[xdp]")),
    ("xdp.sample", "sample = 2", Restart("[xdp]")),
    ("control.path", "path = 'other'", Restart("[control] path")),
    ("announce.router", "router = 'exabgp'", Refused("listen")),
    ("announce.bird_file", "bird_file = '/run/other.conf'", Elsewhere),
    ("announce.birdc", "birdc = ['birdc', '-v']", Elsewhere),
    ("announce.command", "command = ['other']", Elsewhere),
    ("announce.interval", "interval = '1s'", Elsewhere),
    ("announce.timeout", "timeout = '200ms'", Elsewhere),
    ("announce.fall", "fall = 3", Elsewhere),
    ("announce.rise", "rise = 3", Elsewhere),
    ("announce.hold_down", "hold_down = '20s'", Elsewhere),
    ("announce.hold_down_max", "hold_down_max = '10m'", Elsewhere),
    ("confine.landlock", "landlock = 'off'", Restart("[confine]")),
    ("confine.seccomp", "seccomp = 'off'", Restart("[confine]")),
];

/// One that signs itself, for nobody.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBdDCCARugAwIBAgIUNUI8DeZWdKu0V9V9afSz9XR7+sowCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjkxODA1MjBaGA8yMTI2MTEwNTE4MDUy\n\
MFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNZH\n\
JkoLHku/QHOqkZgToqZ80JWhDykNjJkTl5l5U1R6htawoRnz5QWbUqKWD6M/jHNK\n\
f9nAs6qE4d3pmMDG7a+jUzBRMB0GA1UdDgQWBBQ5ycQmKwQoT1umBHv8gFQLLEyW\n\
3TAfBgNVHSMEGDAWgBQ5ycQmKwQoT1umBHv8gFQLLEyW3TAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0cAMEQCIDKYMa3cpDprgtm660pMi3ZT96W1end2LWLx\n\
jZvR30LvAiAsW3GwenwXLNmbNDQMNvDfbRS41fK3sfka8crXgVqrlA==\n\
-----END CERTIFICATE-----\n";

/// The sections that may be repeated.
const BLOCKS: [&str; 6] = ["zone", "pop", "map", "pool", "upstream", "route"];

/// Says who the node is.
const HOSTNAME: &str = "hostname.as112.net";
/// Names whose answers depend on the client.
const TAILORED: &str = "www.own.example";
const WHO: &str = "who.own.example";
/// One of the zones that every node has.
const EMPTY: &str = "10.in-addr.arpa";
const A: u16 = 1;
const SOA: u16 = 6;
const TXT: u16 = 16;
const LOC: u16 = 29;
/// Class CHAOS.
const CH: u16 = 3;
/// The option in an OPT that asks for the NSID (RFC 5001).
const NSID: [u8; 4] = [0, 3, 0, 0];

fn name(name: &str, qtype: u16) -> Vec<u8> {
    query(name, qtype)
}

/// The same from a resolver that says for which network it asks (RFC 7871): 11.0.0.0/24.
fn subnet(query: Vec<u8>) -> Vec<u8> {
    with_opt(query, 1232, &[0, 8, 0, 7, 0, 1, 24, 0, 11, 0, 0])
}

/// An update (RFC 2136) of a zone of ours, with nothing in it.
fn update() -> Vec<u8> {
    let mut packet = name(EMPTY, SOA);
    packet[2] = 5 << 3;
    packet
}

/// A configuration that has each key of the blocks that are repeated.
fn base(port: u16) -> String {
    format!(
        "[server]\nlisten = ['127.0.0.1:{port}']\nshards = 1\n[http]\nlisten = '127.0.0.1:0'\n\
         [control]\npath = 'control'\n[query_log]\nsample_every = 1000\nfile = 'queries.log'\n\
         [dnstap]\nto = 'unix:dnstap.sock'\n\
         [answers]\ncookie_secrets = 'secrets'\nrate_limit = 1000000\n\
         [platform]\ncolo = 'here'\nrules = 'rules.d'\napps = 'apps.d'\nworkers = 1\n\
         [[upstream]]\nname = 'lan'\nservers = ['127.0.0.1:9']\nchoose = 'hash'\ntimeout = '2s'\n\
         tries = 4\nexplore = 0.1\ncase_randomization = true\ncookies = true\necs = '24/56'\n\
         [[upstream]]\nname = 'dot'\nservers = ['127.0.0.1:9']\nover = 'tls'\n\
         tls_name = 'dns.example'\ntls_ca = 'ca.pem'\n\
         [[route]]\nname = 'routed'\nwhen = 'qname = routed.example'\nthen = 'answer NOTIMP'\n\
         allow = ['127.0.0.0/8']\nfallback_action = 'refuse'\n\
         [[pop]]\nname = 'sfo'\nhealth = 'probe'\nprobe = {{ tcp = '127.0.0.1:9' }}\n\
         [[pop]]\nname = 'nrt'\nat = [35.76, 140.39]\nhealth = 'file'\nfile = 'pops.health'\n\
         [[map]]\nname = 'world'\nnetworks = ['networks.txt']\nresolvers = ['resolvers.txt']\n\
         learned = 'learned.map'\nplaces = 'places.map'\ndatabases = ['city.mmdb']\n\
         as = {{ 64500 = ['nrt'] }}\ncountry = {{ NO = ['nrt'] }}\ncontinent = {{ AF = ['nrt'] }}\n\
         nearest = 0\ndefault = ['sfo']\necs = 'use'\n\
         [[map]]\nname = 'other'\ndefault = ['nrt']\n\
         [[pool]]\nname = 'web'\nmap = 'world'\nnames = ['www.own.example']\nttl = '60s'\n\
         spread = 'weighted'\nweights = {{ sfo = 1, nrt = 1 }}\n\
         addresses = {{ sfo = ['192.0.2.1'], nrt = ['192.0.2.2'] }}\n\
         [identity_zone]\nnames = ['who.own.example']\n\
         [beacons]\nzone = 'b.own.example'\nkey_file = 'beacon.key'\n\
         [[zone]]\nname = 'named.example'\nfile = 'first.zone'\n\
         [[zone]]\nname = 'own.example'\nfile = 'own.zone'\n\
         [[zone]]\nname = 'template.example'\ntemplate = 'dd-empty'\n\
         [[zone]]\nname = 'in-addr.arpa'\ntemplate = 'dd-empty'\nforce = true\n"
    )
}

/// A node all of whose configuration is in its file.
struct Node {
    configured: Configured,
    base: String,
    daemon: Daemon,
}

impl Node {
    fn start() -> Self {
        let port = free_port();
        let base = base(port);
        let configured = Configured::new(&base);
        let base = fs::read_to_string(&configured.config).expect("it was written");
        let zone = |text: &str| {
            format!(
                "@ 60 IN SOA a. b. 1 60 60 60 60\n@ 60 IN NS ns.example.net.\n@ 60 IN TXT {text}\n\
                 *.b 60 IN A 192.0.2.80\n*.c 60 IN A 192.0.2.80\n"
            )
        };
        for (file, key) in [("beacon.key", "7"), ("other.key", "8")] {
            fs::write(configured.path(file), key.repeat(32)).expect("there is room");
        }
        for name in ["first", "second", "own"] {
            fs::write(configured.path(&format!("{name}.zone")), zone(name)).expect("there is room");
        }
        for (file, text) in [
            ("networks.txt", "11.0.0.0/8 nrt\n"),
            ("resolvers.txt", "192.0.2.0/24 nrt\n"),
            ("others.map", "country:PT nrt\n"),
        ] {
            fs::write(configured.path(file), text).expect("there is room");
        }
        let place = json!({ "country": { "iso_code": "PT" }, "continent": { "code": "EU" },
                            "location": { "latitude": 38.7, "longitude": -9.1 } });
        write_database(&configured.path("city.mmdb"), "City", &place);
        fs::write(configured.path("others.txt"), "127.0.0.0/8 nrt\n11.0.0.0/9 nrt\n").expect("there is room");
        fs::write(configured.path("secrets"), "0".repeat(32)).expect("there is room");
        fs::write(configured.path("ca.pem"), CERTIFICATE).expect("there is room");
        for (dir, text) in [
            (
                "rules.d",
                "colo = here and qname = colo.example answer NOTIMP\nqname = rules.example refuse\n\
                         qname = asked.example and src in { 127.0.0.0/8 } forward upstream lan\n",
            ),
            ("others.d", "qname = rules.example answer NOTIMP\n"),
        ] {
            fs::create_dir(configured.path(dir)).expect("there is room");
            fs::write(configured.path(dir).join("10.rules"), text).expect("there is room");
        }
        for (dir, rcode) in [("apps.d", 4), ("others.apps", 5)] {
            // What it says of every query is this response code.
            let module = format!(
                "(module (memory (export \"memory\") 2) (func (export \"as112_abi\") (result i32) \
                 (i32.const 1)) (func (export \"as112_area\") (result i32) (i32.const 1024)) \
                 (func (export \"as112_start\") (param i32) (result i32) (i32.const 0)) \
                 (func (export \"as112_event\") (param i32 i32 i32) (result i64) (i64.const {})))",
                2 | rcode << 8
            );
            let dir = configured.path(dir).join("coded");
            fs::create_dir_all(&dir).expect("there is room");
            fs::write(dir.join("coded.wasm"), wat::parse_str(module).expect("WAT")).expect("there is room");
            fs::write(dir.join("app.toml"), "router = ['qname = app.example']\n").expect("there is room");
        }
        fs::create_dir(configured.path("more")).expect("there is room");
        fs::write(configured.path("more/more.example.zone"), zone("more")).expect("there is room");
        let mut command = Command::new(program());
        command.args(["run", "--config", &configured.config]);
        let daemon = Daemon::spawn(command, port);
        Self { configured, base, daemon }
    }

    /// What the node answers to a word on its control socket.
    fn ask(&self, word: &str) -> Value {
        answer(self.send(word))
    }

    fn send(&self, word: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.configured.path("control")).expect("the control socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        writeln!(stream, "as112d 1 {word}").expect("asked");
        stream
    }

    /// Reads this configuration; what the node says of that.
    fn reload(&self, text: &str) -> Value {
        fs::write(&self.configured.config, text).expect("there is room");
        self.ask("reload")
    }

    /// The reply to a query.
    fn asked(&self, query: &[u8]) -> String {
        format!("{:?}", self.daemon.ask_udp(V4, query))
    }

    /// With this configuration `look` sees something else, and with the old one the same again. The reload
    /// names what takes a `restart` besides.
    fn differs(&self, key: &str, text: &str, restart: &[&str], look: impl Fn(&Self) -> String) {
        let before = look(self);
        let answer = self.reload(text);
        assert!(answer["ok"] == true && answer["need_restart"] == json!(restart), "{key}: {answer}");
        assert_ne!(look(self), before, "{key} is in force");
        assert!(is_in_force(&self.reload(&self.base)));
        assert_eq!(look(self), before, "{key} is as it was");
    }

    /// The upstreams as rules have them.
    fn upstreams(&self) -> String {
        self.ask("rules")["upstreams"].to_string()
    }

    /// Whether a query over TCP gets an answer.
    fn answers_over_tcp(&self) -> String {
        self.daemon.ask_tcp(V4, &name(EMPTY, SOA)).is_some().to_string()
    }

    /// Whether who asks for itself is told its PoP.
    fn says_pop(&self) -> String {
        let reply = self.daemon.ask_udp(V4, &name(WHO, TXT));
        reply.windows(8).any(|eight| eight == b"\x03pop\x03sfo").to_string()
    }

    /// What a page gets to send beacons with.
    fn page(&self) -> String {
        let [script, ticket] = ["/beacon.js", "/beacon/ticket"].map(|path| get(self.daemon.http(), path));
        let ticket: Value = serde_json::from_str(&ticket).expect("JSON");
        format!("{script}{}{}", &ticket["name"].as_str().expect("a name")[26..], ticket["targets"])
    }

    /// What is done about forged sources; tests/limiting.rs has what comes of it.
    fn limiting(&self) -> String {
        self.ask("status")["limiting"].to_string()
    }

    /// Whether a client's cookie gets the server's, which holds the time.
    fn sends_cookies(&self) -> String {
        let cookie = [&[0, 10, 0, 8][..], &[7; 8]].concat();
        let reply = self.daemon.ask_udp(V4, &with_opt(name(EMPTY, SOA), 1232, &cookie));
        reply.windows(4).any(|four| four == [0, 10, 0, 24]).to_string()
    }

    /// Whether a drain is over at once.
    fn drained(&self) -> String {
        let draining = self.send("drain");
        wait_until("it drains", || self.ask("status")["state"] == "draining");
        assert_eq!(self.ask("undrain")["ok"], true);
        answer(draining)["ok"].to_string()
    }
}

/// Whether a reload has put everything in force.
fn is_in_force(answer: &Value) -> bool {
    answer["ok"] == true && answer["need_restart"] == json!([])
}

fn answer(stream: UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).expect("JSON")
}

/// A configuration in which the first line of this key is another, or has one more at the end of the section.
fn changed(base: &str, key: &str, line: &str) -> String {
    let (section, key) = key.split_once('.').expect("a section and a key");
    let header = if BLOCKS.contains(&section) { format!("[[{section}]]") } else { format!("[{section}]") };
    let (mut lines, mut here, mut is_done) = (Vec::new(), false, false);
    for old in base.lines() {
        here = if old.starts_with('[') { old == header } else { here };
        let is_it = !is_done && here && old.split(" = ").next() == Some(key);
        is_done |= is_it;
        lines.push(if is_it { line } else { old });
    }
    if !is_done {
        let at = lines.iter().position(|old| *old == header).map_or_else(
            || {
                lines.push(&header);
                lines.len()
            },
            |at| at + 1,
        );
        lines.insert(at, line);
    }
    lines.join("\n")
}

/// Every key that there is, as `as112d config show` has them, and those of blocks that are repeated.
fn keys(config: &str) -> BTreeSet<String> {
    let output = Command::new(program()).args(["config", "show", "--effective", "--config", config]).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut keys, mut section) = (BTreeSet::new(), String::new());
    for line in String::from_utf8(output.stdout).expect("it is text").lines() {
        if let Some(rest) = line.strip_prefix('[') {
            section = rest.trim_matches(['[', ']']).to_owned();
            continue;
        }
        // One that nobody gave and that has no default stands in a comment.
        let text = line.strip_prefix("# ").unwrap_or(line);
        let word = text.split_once(" = ").or_else(|| text.split_once(" is not set"));
        if let Some((key, _)) = word.filter(|_| !section.is_empty()) {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

/// Changes the key of a row, and looks.
fn check(node: &Node, (key, line, seen): &Row) {
    let text = changed(&node.base, key, line);
    match seen {
        Restart(name) => {
            let answer = node.reload(&text);
            assert_eq!(answer["need_restart"], json!([name]), "{key}: {answer}");
            assert_eq!(node.ask("status")["configuration"]["need_restart"], json!([name]), "{key}");
        }
        Reply(query) => node.differs(key, &text, &[], |node| node.asked(&query())),
        ReplyButFor(query, name) => node.differs(key, &text, &[name], |node| node.asked(&query())),
        Sight(look) => node.differs(key, &text, &[], look),
        Refused(fragment) => {
            let answer = node.reload(&text);
            assert!(answer["ok"] == false && answer.to_string().contains(fragment), "{key}: {answer}");
        }
        RestartIfBuilt(name) => {
            let answer = node.reload(&text);
            let is_built = !answer.to_string().contains("built without");
            assert!(!is_built || answer["need_restart"] == json!([name]), "{key}: {answer}");
        }
        Elsewhere | InForce => {
            let answer = node.reload(&text);
            assert!(is_in_force(&answer), "{key}: {answer}");
        }
    }
}

#[test]
fn each_key_is_in_force_after_a_reload_or_named() {
    let rows: BTreeSet<String> = ROWS.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(keys(&Node::start().configured.config), rows, "a row of the table for each key");
    // A reload waits for idle shards to make a turn: some nodes beside each other wait for less.
    let of_node = |rows: &[Row]| {
        let node = Node::start();
        rows.iter().for_each(|row| check(&node, row));
        assert!(is_in_force(&node.reload(&node.base)));
        assert!(node.daemon.stop().0.success());
    };
    let nodes = ROWS.chunks(ROWS.len().div_ceil(4));
    thread::scope(|scope| nodes.for_each(|rows| drop(scope.spawn(move || of_node(rows)))));
}

/// A level that somebody has set by hand stays, unless the file says another than it did.
#[test]
fn a_level_set_by_hand_stays_until_the_file_says_another() {
    let node = Node::start();
    let level = || node.ask("status")["log_level"].as_str().expect("a name").to_owned();
    assert_eq!((node.ask("verbosity error")["ok"].as_bool(), level()), (Some(true), "error".to_owned()));
    node.reload(&node.base);
    assert_eq!(level(), "error");
    node.reload(&changed(&node.base, "log.level", "level = 'warning'"));
    assert_eq!(level(), "warning");
}

/// A database of one country, in which all of 127/8 is.
fn database(path: &Path, country: &str) {
    write_database(path, "Country", &json!({ "country": { "iso_code": country } }));
}

/// A database of one record, of all of 127/8.
fn write_database(path: &Path, kind: &str, record: &Value) {
    let mut writer = mmdb_writer::Writer::new(kind);
    let loopback: ipnet::IpNet = "127.0.0.0/8".parse().expect("a network");
    writer.insert(loopback, record).expect("a record");
    fs::write(path, writer.to_bytes().expect("a database")).expect("there is room");
}

/// Whoever puts a newer database in the place of the old one reloads, and sources are looked up in that.
#[test]
fn sources_are_looked_up_in_the_databases_of_the_last_reload() {
    let configured = Configured::new(
        "[history]\ndir = 'past'\n[sources]\nsample_every = 1\ndatabases = ['places.mmdb']\n",
    );
    let (places, control) = (configured.path("places.mmdb"), configured.path("control"));
    database(&places, "PT");
    let control_word = control.display().to_string();
    let daemon = Daemon::start(&["--config", &configured.config, "--control", &control_word]);
    let newer = configured.path("newer.mmdb");
    database(&newer, "NO");
    fs::rename(newer, places).expect("renamed");
    let reload = Command::new(program()).args(["reload", "--control", &control_word]).output();
    assert!(reload.expect("it runs").status.success());
    (0..5).for_each(|_| drop(daemon.ask_udp(V4, &name(EMPTY, SOA))));
    assert!(daemon.stop().0.success());
    let db = rusqlite::Connection::open(configured.path("past/history.sqlite")).expect("a history");
    let query = "SELECT labels ->> 'country', count FROM history WHERE family = 'as112_sources_by_country'";
    let mut query = db.prepare(query).expect("the view is there");
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let found: Vec<(String, u64)> = rows.map(|row| row.expect("a name and a number")).collect();
    assert_eq!(found, [("NO".to_owned(), 5)]);
}
