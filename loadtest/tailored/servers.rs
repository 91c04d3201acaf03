//! Servers with a map: our node, gdnsd, Knot with mod-geoip, PowerDNS with its backend geoip. All serve
//! example.net, and the empty zone by which it is seen that they answer. And a bare echo, which has neither.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::super::Outcome;
use super::super::common::daemon::{V4, free_port, program};
use super::super::common::{folder, open_up};
use super::super::forward::servers::Server;
use super::super::mutate::Dice;
use super::super::servers::Engine;
use super::super::tools::find;

/// Rules of each family of the large map, and those of the small one, which are of IPv4.
const MANY: usize = 1_000_000;
const FEW: usize = 20_000;
const POPS: usize = 12;
/// The zone by which it is seen that a server answers.
const EMPTY: &str = "10.in-addr.arpa";
const ZONE: &str = "@ 60 SOA ns hostmaster 1 7200 1800 259200 60\n@ 60 NS ns\nns 60 A 192.0.2.1\n";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Our node with the large map: a name that has one address for everybody.
    Static,
    /// The same node: a name of a pool.
    Tailored,
    /// Our node with the small map.
    Few,
    Gdnsd,
    Knot,
    PowerDns,
    /// Our datapath: the query comes back with QR set.
    Echo(Engine),
}

impl Subject {
    pub const ALL: [Self; 8] = [
        Self::Static,
        Self::Tailored,
        Self::Few,
        Self::Gdnsd,
        Self::Knot,
        Self::PowerDns,
        Self::Echo(Engine::IoUring),
        Self::Echo(Engine::Mmsg),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "as112d, 2 x 1,000,000 rules, static name",
            Self::Tailored => "as112d, 2 x 1,000,000 rules",
            Self::Few => "as112d, 20,000 rules",
            Self::Gdnsd => "gdnsd, 20,000 rules",
            Self::Knot => "Knot geoip, 20,000 rules",
            Self::PowerDns => "PowerDNS geoip, 20,000 rules",
            Self::Echo(Engine::IoUring) => "echo io_uring",
            Self::Echo(Engine::Mmsg) => "echo mmsg",
        }
    }

    fn program(self) -> Option<&'static str> {
        match self {
            Self::Gdnsd => Some("gdnsd"),
            Self::Knot => Some("knotd"),
            Self::PowerDns => Some("pdns_server"),
            _ => None,
        }
    }

    pub fn is_there(self) -> bool {
        self.program().is_none_or(|program| find(program).is_some())
    }

    /// Starts it on a CPU, and waits until it answers.
    ///
    /// # Errors
    /// It does not start or answer.
    pub fn start(self, maps: &Maps, cpu: usize) -> Outcome<Server> {
        let dir = folder();
        let address = SocketAddr::new(V4, free_port());
        let here = dir.path();
        let program = match (self, self.program()) {
            (_, Some(name)) => find(name).ok_or_else(|| format!("{name} is not installed"))?,
            (Self::Echo(_), None) => std::env::current_exe()?,
            (_, None) => program(),
        };
        let program = program.display().to_string();
        let own = here.display().to_string();
        let words: Vec<String> = match self {
            Self::Gdnsd => {
                gdnsd(here, address, &maps.rules)?;
                vec![program, "-c".to_owned(), own, "start".to_owned()]
            }
            Self::Knot => {
                knot(here, address, &maps.rules)?;
                vec![program, "-c".to_owned(), format!("{own}/conf")]
            }
            Self::PowerDns => {
                power_dns(here, address, &maps.rules)?;
                vec![program, format!("--config-dir={own}")]
            }
            Self::Echo(engine) => {
                let listen = address.to_string();
                let words = ["echo", "--engine", engine.name(), "--listen", &listen];
                [program].into_iter().chain(words.map(str::to_owned)).collect()
            }
            Self::Static | Self::Tailored | Self::Few => {
                let map = if self == Self::Few { &maps.few } else { &maps.many };
                ours(here, map)?;
                let (conf, listen) = (format!("{own}/as112d.toml"), address.to_string());
                let words = ["run", "--config", &conf, "--listen", &listen, "--shards", "1"];
                let words = [&words[..], &["--http", "off", "--control", "off"]].concat();
                [program].into_iter().chain(words.into_iter().map(str::to_owned)).collect()
            }
        };
        open_up(here);
        Server::spawn(&words, dir, address, cpu)
    }
}

/// The maps, as files of networks, and the rules of the small one.
pub struct Maps {
    many: PathBuf,
    few: PathBuf,
    rules: Vec<(String, usize)>,
}

impl Maps {
    /// # Errors
    /// The files cannot be written.
    pub fn write(dir: &Path) -> Outcome<Self> {
        let mut dice = Dice::new(112);
        let rules = rules(&mut dice, FEW, false);
        let mut all = self::rules(&mut dice, MANY, false);
        all.extend(self::rules(&mut dice, MANY, true));
        let (few, many) = (dir.join("few.txt"), dir.join("many.txt"));
        for (path, rules) in [(&few, &rules), (&many, &all)] {
            let mut text = String::new();
            for (network, pop) in rules {
                writeln!(text, "{network} p{pop}")?;
            }
            fs::write(path, text)?;
        }
        open_up(dir);
        Ok(Self { many, few, rules })
    }
}

/// An address in 2000::/3.
pub fn ipv6(random: u64) -> u128 {
    u128::from(random >> 3 | 1 << 61) << 64
}

/// Random networks of /8 to /24 and of /20 to /56, half of them /24 and /48, each once; and the PoP of each.
fn rules(dice: &mut Dice, count: usize, of_ipv6: bool) -> Vec<(String, usize)> {
    let mut seen = HashSet::new();
    let mut rules = Vec::new();
    while rules.len() < count {
        let network = if of_ipv6 {
            let len = if dice.below(2) == 0 { 48 } else { 20 + dice.below(37) };
            format!("{}/{len}", Ipv6Addr::from(ipv6(dice.roll()) >> (128 - len) << (128 - len)))
        } else {
            let len = if dice.below(2) == 0 { 24 } else { 8 + dice.below(17) };
            format!("{}/{len}", Ipv4Addr::from(dice.roll() as u32 >> (32 - len) << (32 - len)))
        };
        if seen.insert(network.clone()) {
            rules.push((network, dice.below(POPS)));
        }
    }
    rules
}

/// What each PoP has, as `write` puts it.
fn pops(write: impl Fn(usize) -> String, between: &str) -> String {
    (0..POPS).map(write).collect::<Vec<_>>().join(between)
}

fn ours(dir: &Path, map: &Path) -> Outcome<()> {
    fs::write(dir.join("example.net.zone"), format!("{ZONE}plain 60 A 198.51.100.1\n"))?;
    let text = format!(
        "[[zone]]\nname = 'example.net'\nfile = 'example.net.zone'\n{}\n\
         [[map]]\nname = 'm'\nnetworks = ['{}']\ndefault = ['p0']\n\
         [[pool]]\nname = 'web'\nmap = 'm'\nnames = ['www.example.net']\naddresses = {{ {} }}\n",
        pops(|pop| format!("[[pop]]\nname = 'p{pop}'"), "\n"),
        map.display(),
        pops(|pop| format!("p{pop} = ['198.51.100.{pop}']"), ", ")
    );
    Ok(fs::write(dir.join("as112d.toml"), text)?)
}

fn gdnsd(dir: &Path, address: SocketAddr, rules: &[(String, usize)]) -> Outcome<()> {
    for below in ["zones", "geoip", "run"] {
        fs::create_dir(dir.join(below))?;
    }
    let mut nets = String::new();
    for (network, pop) in rules {
        writeln!(nets, "{network} => p{pop}")?;
    }
    fs::write(dir.join("geoip/nets"), nets)?;
    fs::write(dir.join("zones/example.net"), format!("{ZONE}www 60 DYNA geoip!web\n"))?;
    fs::write(dir.join("zones").join(EMPTY), ZONE)?;
    let text = format!(
        "options => {{ listen => [ {address} ], udp_threads => 1, tcp_threads => 1,\n\
         run_dir => {0}/run, state_dir => {0}/run }}\n\
         plugins => {{ geoip => {{\nmaps => {{ m => {{ datacenters => [ {1} ], nets => {0}/geoip/nets }} }}\n\
         resources => {{ web => {{ map => m, dcmap => {{ {2} }} }} }}\n}} }}\n",
        dir.display(),
        pops(|pop| format!("p{pop}"), ", "),
        pops(|pop| format!("p{pop} => 198.51.100.{pop}"), " ")
    );
    Ok(fs::write(dir.join("config"), text)?)
}

fn knot(dir: &Path, address: SocketAddr, rules: &[(String, usize)]) -> Outcome<()> {
    let mut geo = "www.example.net:\n".to_owned();
    for (network, pop) in rules {
        writeln!(geo, "  - net: {network}\n    A: 198.51.100.{pop}")?;
    }
    fs::write(dir.join("geo.conf"), geo)?;
    fs::write(dir.join("example.net.zone"), format!("{ZONE}www 60 A 198.51.100.0\n"))?;
    fs::write(dir.join("empty.zone"), ZONE)?;
    let text = format!(
        "server:\n  rundir: {0}\n  listen: {1}@{2}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  edns-client-subnet: on\n\
         database:\n  storage: {0}\n\
         mod-geoip:\n  - id: m\n    config-file: {0}/geo.conf\n    ttl: 60\n    mode: subnet\n\
         zone:\n  - domain: example.net\n    file: {0}/example.net.zone\n    module: mod-geoip/m\n  \
         - domain: {EMPTY}\n    file: {0}/empty.zone\n",
        dir.display(),
        address.ip(),
        address.port()
    );
    Ok(fs::write(dir.join("conf"), text)?)
}

fn power_dns(dir: &Path, address: SocketAddr, rules: &[(String, usize)]) -> Outcome<()> {
    let soa = |zone: &str| {
        format!("      - soa: ns.{zone} hostmaster.{zone} 1 7200 1800 259200 60\n      - ns: ns.{zone}\n")
    };
    let mut zones = format!(
        "domains:\n- domain: {EMPTY}\n  ttl: 60\n  records:\n    {EMPTY}:\n{}  services: {{}}\n\
         - domain: example.net\n  ttl: 60\n  records:\n    example.net:\n{}{}\n  \
         services:\n    www.example.net:\n      default: ['p0.example.net']\n",
        soa(EMPTY),
        soa("example.net"),
        pops(|pop| format!("    p{pop}.example.net:\n      - a: 198.51.100.{pop}"), "\n")
    );
    for (network, pop) in rules {
        writeln!(zones, "      {network}: ['p{pop}.example.net']")?;
    }
    fs::write(dir.join("zones.yaml"), zones)?;
    let text = format!(
        "launch=geoip\ngeoip-zones-file={0}/zones.yaml\ngeoip-database-files=\nedns-subnet-processing=yes\n\
         local-address={1}\nlocal-port={2}\nsocket-dir={0}\ndaemon=no\nguardian=no\nreceiver-threads=1\n\
         distributor-threads=1\nlog-dns-details=no\nloglevel=3\nsecurity-poll-suffix=\n",
        dir.display(),
        address.ip(),
        address.port()
    );
    Ok(fs::write(dir.join("pdns.conf"), text)?)
}
