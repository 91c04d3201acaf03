//! The same map in the daemon and in gdnsd, which of the free servers alone computes SCOPE: for every client
//! both give the same PoP and the same SCOPE. `SEED=` chooses another map.
//!
//! Rules and clients are away from special blocks: those are told apart here, and not there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use as112d::nets::file::Network;

use crate::common::daemon::{Daemon, PATIENCE, V4, free_port};
use crate::common::query;
use crate::mutate::Dice;

const SEED: u64 = 7871;
const RULES: [usize; 2] = [20_000, 5_000];
const QUERIES: usize = 20_000;
/// Of the daemon's default only, so that nobody else's list is like it.
const DEFAULT: &str = "p0";
const POPS: usize = 7;
const BATCH: usize = 60;

/// A family: where its rules are, the network on either side of them, how much resolvers say.
struct Family {
    bits: u8,
    first: u128,
    /// As long as this what is within is shared.
    common: u8,
    beside: [(u128, u8); 2],
    source: u8,
}

const V4_RULES: Family = Family {
    bits: 32,
    first: 0x4000_0000,
    common: 3,
    beside: [(0x3F00_0000, 8), (0x6000_0000, 8)],
    source: 24,
};
const V6_RULES: Family = Family {
    bits: 128,
    first: 0x2600 << 112,
    common: 12,
    beside: [(0x25FF << 112, 16), (0x2610 << 112, 16)],
    source: 56,
};

impl Family {
    fn masked(&self, address: u128, len: u8) -> u128 {
        let beyond = self.bits - len;
        address >> beyond << beyond
    }

    fn address(&self, address: u128) -> IpAddr {
        if self.bits == 32 { Ipv4Addr::from(address as u32).into() } else { Ipv6Addr::from(address).into() }
    }

    fn any(&self, dice: &mut Dice) -> u128 {
        let random = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
        let within = random >> (128 - self.bits) >> self.common;
        self.first | within & (u128::MAX >> (128 - self.bits) >> self.common)
    }

    /// Networks that often lie within each other or beside each other, and their lists. The two halves of a
    /// network have different ones: gdnsd makes one of equal halves, and whether they or a rule for the whole
    /// network then count is chance, as it says ("sanitize your nets data beforehand").
    fn rules(&self, dice: &mut Dice, count: usize) -> BTreeMap<(u128, u8), String> {
        let mut rules: BTreeMap<(u128, u8), String> =
            self.beside.iter().map(|beside| (*beside, "p1".to_owned())).collect();
        let mut all: Vec<(u128, u8)> = Vec::new();
        while rules.len() < count {
            // Few are so short that they leave others nothing.
            let shortest = self.common + if dice.once_in(500) { 4 } else { 13 };
            let lengths = usize::from(self.source + 5 - shortest);
            let len = shortest + dice.below(lengths) as u8;
            let mut address = self.any(dice);
            if !all.is_empty() && dice.below(2) == 0 {
                let (near, near_len) = *dice.pick(&all);
                let common = near_len.saturating_sub(dice.below(2) as u8).max(self.common);
                address = self.masked(near, common) | (address ^ self.masked(address, common));
            }
            let network = (self.masked(address, len), len);
            let first = 1 + dice.below(POPS - 1);
            let list = (0..1 + dice.below(2)).map(|at| format!("p{}", 1 + (first + at) % (POPS - 1)));
            let list = list.collect::<Vec<_>>().join(",");
            let beside = (network.0 ^ 1 << (self.bits - len), len);
            if rules.get(&beside) == Some(&list) {
                continue;
            }
            rules.insert(network, list);
            all.push(network);
        }
        rules
    }

    fn clients(&self, dice: &mut Dice, rules: &BTreeMap<(u128, u8), String>, count: usize) -> Vec<Client> {
        let all: Vec<(u128, u8)> = rules.keys().copied().collect();
        let mut client = || {
            let mut address = self.any(dice);
            if dice.below(2) == 0 {
                let (near, len) = *dice.pick(&all);
                let common = len.saturating_sub(dice.below(2) as u8).max(self.common);
                address = self.masked(near, common) | (address ^ self.masked(address, common));
            }
            let address = self.masked(address, self.source);
            Client { address: self.address(address), source: self.source }
        };
        (0..count).map(|_| client()).collect()
    }
}

#[derive(Clone, Copy, Debug)]
struct Client {
    address: IpAddr,
    source: u8,
}

impl Client {
    /// The option that a resolver sends for it.
    fn option(&self) -> Vec<u8> {
        let (family, octets) = match self.address {
            IpAddr::V4(address) => (1, address.octets().to_vec()),
            IpAddr::V6(address) => (2, address.octets().to_vec()),
        };
        let octets = &octets[..usize::from(self.source / 8)];
        [&[0, 8, 0, 4 + octets.len() as u8, 0, family, self.source, 0][..], octets].concat()
    }

    fn query(&self, id: u16) -> Vec<u8> {
        let mut packet = query("www.example.net", 1);
        packet[..2].copy_from_slice(&id.to_be_bytes());
        packet[11] = 1;
        let option = self.option();
        packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, option.len() as u8]);
        packet.extend(option);
        packet
    }

    /// The last octet of the address in a reply, and SCOPE.
    fn answer(&self, reply: &[u8]) -> (u8, u8) {
        let after = |pattern: &[u8]| {
            let at = reply.windows(pattern.len()).position(|bytes| bytes == pattern);
            at.unwrap_or_else(|| panic!("{self:?}: {pattern:?} is not in {reply:?}")) + pattern.len()
        };
        let address = after(&[0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        let option = self.option();
        (reply[address + 3], reply[after(&option[..7])])
    }
}

/// What a server gives each client.
fn ask(server: SocketAddr, clients: &[Client]) -> Vec<(u8, u8)> {
    let socket = UdpSocket::bind((V4, 0)).expect("a socket");
    socket.connect(server).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut answers = vec![None; clients.len()];
    let mut buffer = [0; 4096];
    for (batch, of_batch) in clients.chunks(BATCH).enumerate() {
        let first = batch * BATCH;
        for (at, client) in of_batch.iter().enumerate() {
            socket.send(&client.query((first + at) as u16)).expect("sent");
        }
        for _ in of_batch {
            let len = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{server}: {error}"));
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            let at = first + usize::from(id.wrapping_sub(first as u16));
            answers[at] = Some(clients[at].answer(&buffer[..len]));
        }
    }
    answers.into_iter().map(|answer| answer.expect("each has a reply")).collect()
}

/// A running gdnsd; it ends with this.
struct Gdnsd(Child);

impl Drop for Gdnsd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Gdnsd {
    fn start(dir: &Path, rules: &[(String, String)]) -> (Self, SocketAddr) {
        let server = SocketAddr::new(V4, free_port());
        let (mut nets, mut dcmap) = (String::new(), String::new());
        for (network, list) in rules {
            writeln!(nets, "{network} => [ {} ]", list.replace(',', ", ")).expect("it takes text");
        }
        for pop in 0..POPS {
            write!(dcmap, " p{pop} => 198.51.100.{pop}").expect("it takes text");
        }
        for below in ["zones", "geoip", "run"] {
            fs::create_dir(dir.join(below)).expect("a directory");
        }
        fs::write(dir.join("geoip/nets"), nets).expect("it is written");
        let zone =
            "@ SOA ns hostmaster 1 7200 1800 259200 900\n@ NS ns\nns A 192.0.2.1\nwww 60 DYNA geoip!web\n";
        fs::write(dir.join("zones/example.net"), zone).expect("it is written");
        let pops = (0..POPS).map(|pop| format!("p{pop}")).collect::<Vec<_>>().join(", ");
        let configuration = format!(
            "options => {{ listen => [ {server} ], run_dir => {0}/run, state_dir => {0}/run }}\n\
             plugins => {{ geoip => {{\n\
             maps => {{ m => {{ datacenters => [ {pops} ], nets => {0}/geoip/nets }} }}\n\
             resources => {{ web => {{ map => m, dcmap => {{{dcmap} }} }} }}\n}} }}\n",
            dir.display()
        );
        fs::write(dir.join("config"), configuration).expect("it is written");
        let said = fs::File::create(dir.join("said")).expect("a file");
        let mut command = Command::new("gdnsd");
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/sbin")).arg("-c").arg(dir).arg("start");
        command.stdin(Stdio::null()).stdout(said.try_clone().expect("a second handle")).stderr(said);
        let gdnsd = Self(command.process_group(0).spawn().expect("gdnsd starts"));
        gdnsd.wait(server, dir);
        (gdnsd, server)
    }

    fn wait(&self, server: SocketAddr, dir: &Path) {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(server).expect("connected");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a time-out");
        let (soa, deadline) = (query("example.net", 6), Instant::now() + PATIENCE);
        let mut reply = [0; 4096];
        while socket.send(&soa).and_then(|_| socket.recv(&mut reply)).is_err() {
            let said = fs::read_to_string(dir.join("said")).unwrap_or_default();
            assert!(Instant::now() < deadline, "gdnsd is silent; it said: {said}");
        }
    }
}

/// The daemon with these rules.
fn daemon(dir: &Path, rules: &[(String, String)]) -> Daemon {
    let networks = rules.iter().map(|(network, list)| format!("{network} {list}\n")).collect::<String>();
    fs::write(dir.join("networks.txt"), networks).expect("it is written");
    let zone = "@ 60 SOA ns hostmaster 1 7200 1800 259200 900\n@ 60 NS ns\nns 60 A 192.0.2.1\n";
    fs::write(dir.join("example.net.zone"), zone).expect("it is written");
    let mut configuration = "[[zone]]\nname = \"example.net\"\nfile = \"example.net.zone\"\n".to_owned();
    let mut addresses = Vec::new();
    for pop in 0..POPS {
        writeln!(configuration, "[[pop]]\nname = \"p{pop}\"").expect("it takes text");
        addresses.push(format!("p{pop} = [\"198.51.100.{pop}\"]"));
    }
    write!(
        configuration,
        "[[map]]\nname = \"m\"\nnetworks = [\"networks.txt\"]\ndefault = [\"{DEFAULT}\"]\n\
         [[pool]]\nname = \"web\"\nmap = \"m\"\nnames = [\"www.example.net\"]\naddresses = {{ {} }}\n",
        addresses.join(", ")
    )
    .expect("it takes text");
    let path = dir.join("as112d.toml");
    fs::write(&path, configuration).expect("it is written");
    Daemon::start(&["--config", path.to_str().expect("ASCII")])
}

#[test]
#[ignore = "needs gdnsd; tests/run installs it"]
fn every_client_gets_the_pop_and_the_scope_that_gdnsd_gives() {
    let seed = std::env::var("SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    let mut dice = Dice::new(seed);
    let (mut rules, mut clients) = (Vec::new(), Vec::new());
    for (family, count) in [&V4_RULES, &V6_RULES].into_iter().zip(RULES) {
        let of_family = family.rules(&mut dice, count);
        clients.extend(family.clients(&mut dice, &of_family, QUERIES));
        let text = |((address, len), list): (&(u128, u8), &String)| {
            (format!("{}/{len}", family.address(*address)), list.clone())
        };
        rules.extend(of_family.iter().map(text));
    }
    let dir = crate::common::folder();
    let (gdnsd, server) = Gdnsd::start(dir.path(), &rules);
    let daemon = daemon(dir.path(), &rules);
    let (ours, theirs) = (ask(daemon.address(V4), &clients), ask(server, &clients));
    let mut seen = BTreeMap::new();
    for ((client, ours), theirs) in clients.iter().zip(&ours).zip(&theirs) {
        let holds = |(network, _): &&(String, String)| {
            Network::read(network).is_ok_and(|network| network.holds(client.address).is_some())
        };
        let told = || rules.iter().filter(holds).collect::<Vec<_>>();
        assert_eq!(
            ours,
            theirs,
            "{client:?}: PoP and SCOPE of ours and gdnsd's by {:?}; SEED={seed}",
            told()
        );
        *seen.entry(*ours).or_insert(0) += 1;
    }
    assert!(seen.len() > 100, "many PoPs with many lengths: {seen:?}");
    let of_default = seen.iter().filter(|((pop, _), _)| *pop == 0).map(|(_, count)| count).sum::<usize>();
    assert!(of_default > 100, "clients of whom nothing is known: {seen:?}");
    drop(gdnsd);
    assert_eq!(daemon.stop().0.code(), Some(0));
}
