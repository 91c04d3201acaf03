//! `as112d learn` as an operator runs it: files of observations go in, a day at a time, and all that is
//! judged is what it writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use as112d::learn::join::{Hit, Join, Terms};
use as112d::learn::observation::{DAY, Observation};
use as112d::learn::ticket::{Key, Network};
use as112d::limits::BEACON_KEY_LEN;
use as112d::nets::places::Places;

use crate::common::daemon::{Configured, program};
use crate::common::skip::skipped;
use crate::world::{CITIES, Kind, POPS, Resolver, World};
use crate::{FIRST, by_file};

/// An operator of the PoPs of the world, who has a database of where its resolvers are.
struct Operator {
    configured: Configured,
}

impl Operator {
    fn new(world: &World, more: &str) -> Self {
        let pop = |(name, north, east): &(&str, f64, f64)| {
            format!("[[pop]]\nname = '{name}'\nat = [{north:?}, {east:?}]\n")
        };
        let pops: String = POPS.iter().map(pop).collect();
        let configured = Configured::new(&format!(
            "{pops}[[map]]\nname = 'world'\nlearned = 'learned.map'\nplaces = 'places.map'\n\
             databases = ['City.mmdb']\nnearest = 1\ndefault = ['sfo']\n{more}"
        ));
        let mut writer = mmdb_writer::Writer::new("City");
        for resolver in &world.resolvers {
            use mmdb_writer::Value::{Double, Map, String};
            let map = |entries: Vec<(&str, mmdb_writer::Value)>| {
                Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            };
            let (_, code, north, east, _) = CITIES[resolver.home];
            let code = code.iter().copied().map(char::from).collect();
            let place = map(vec![
                ("country", map(vec![("iso_code", String(code))])),
                ("location", map(vec![("latitude", Double(north)), ("longitude", Double(east))])),
            ]);
            let network: ipnet::IpNet = resolver.address.into();
            writer.insert_value(network, place).expect("there is room");
        }
        fs::write(configured.path("City.mmdb"), writer.to_bytes().expect("a database")).expect("written");
        fs::create_dir(configured.path("observations")).expect("it is not there");
        Self { configured }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.configured.path(name)).expect("it is there")
    }

    /// What a node has observed.
    fn observe<'a>(&self, name: &str, observations: impl Iterator<Item = &'a Observation>) {
        let lines: String = observations.map(Observation::line).collect();
        fs::write(self.configured.path("observations").join(name), lines).expect("there is room");
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.args(["learn", "--config", &self.configured.config]);
        for (option, name) in [("--observations", "observations"), ("--state", "learned.state")] {
            command.arg(option).arg(self.configured.path(name));
        }
        command
    }

    /// Learns once; what is said of it.
    fn learn(&self, at: u64) -> String {
        let output = self.command().args(["--once", "--at", &at.to_string()]).output().expect("it runs");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && !said.contains("refused"), "{said}");
        said
    }

    /// So many days of a world, each of which is learned at its end; how many resolvers changed.
    fn days(&self, world: &World, days: u64, thin: usize) -> usize {
        let mut changes = 0;
        for day in FIRST..FIRST + days {
            self.observe(&format!("{day}.jsonl"), world.day(day, thin).iter());
            let said = self.learn((day + 1) * DAY);
            let changed = said.lines().filter(|line| line.contains(" -> "));
            changes += changed.filter(|line| !line.trim_start().starts_with(char::is_alphabetic)).count();
        }
        changes
    }
}

#[test]
fn the_world_is_better_by_the_file_that_the_command_writes() {
    let world = World::new(11, 0.15);
    let operator = Operator::new(&world, "");
    operator.days(&world, 14, 1);
    let (gets, base) = (by_file(&operator.read("learned.map"), &world), world.base());
    let learned = |resolver: &Resolver| gets[&resolver.address];
    let before = world.mean(|resolver| usize::from(base[&resolver.address]));
    let (after, best) = (world.mean(learned), world.mean(|resolver| world.best(resolver)));
    let misplaced = world.median(Kind::Misplaced, learned);
    println!(
        "report: by the command: {:.2} of before, {:.3} of the best, {misplaced:.1} ms",
        after / before,
        after / best
    );
    assert!(after <= 0.90 * before && after <= 1.05 * best && misplaced <= 30.0);
    let thin = Operator::new(&world, "");
    let changes = thin.days(&world, 28, 6);
    assert!((1..=25).contains(&changes), "{changes}");
}

#[test]
fn the_command_writes_the_same_bytes_again_and_two_nodes_decide_as_one() {
    let world = World::new(12, 0.15);
    let [one, again, two] = [(), (), ()].map(|()| Operator::new(&world, ""));
    assert_eq!(one.days(&world, 4, 1), again.days(&world, 4, 1));
    for name in ["learned.map", "places.map", "learned.state"] {
        assert_eq!(one.read(name), again.read(name), "{name}");
    }
    for day in FIRST..FIRST + 4 {
        let seen = world.day(day, 1);
        for (node, first) in [("a", 0), ("b", 1)] {
            two.observe(&format!("{node}-{day}.jsonl"), seen.iter().skip(first).step_by(2));
        }
        two.learn((day + 1) * DAY);
    }
    let decided = by_file(&one.read("learned.map"), &world);
    assert_eq!(by_file(&two.read("learned.map"), &world), decided);
    assert_ne!(decided, by_file("", &world));
}

/// Four octets in decimal, and three before a 0, of all that a file holds.
fn addresses(text: &str) -> BTreeSet<[u8; 3]> {
    let words = text.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    words
        .filter_map(|word| word.parse::<Ipv4Addr>().ok())
        .map(|address| {
            let [a, b, c, _] = address.octets();
            [a, b, c]
        })
        .collect()
}

/// Runs it; the most that it held, in bytes.
fn peak(mut command: Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().expect("it runs");
    let mut most = 0;
    while child.try_wait().expect("it is our child").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let held = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        most = held.map_or(most, |held| held << 10);
        thread::park_timeout(Duration::from_millis(2));
    }
    assert!(child.wait().expect("it has ended").success());
    most
}

/// A million beacons of a quarter of a million resolvers, through the very join that a node has.
fn million(mut to: impl FnMut(&Observation)) -> BTreeSet<[u8; 3]> {
    let key = Key::new([7; BEACON_KEY_LEN]);
    let terms = Terms { key: key.clone(), over_tcp: false, places: Places::default() };
    let (mut join, mut clients) = (Join::default(), BTreeSet::new());
    let began = FIRST * DAY + 3600;
    for number in 0..1_000_000_u32 {
        let now = began + u64::from(number / 100);
        let mixed = number.wrapping_mul(0x9E37_79B1);
        let [a, b, c, d] = mixed.to_be_bytes();
        let client = Ipv4Addr::new(100 + a % 100, b, c, d);
        let resolver = IpAddr::from((0x0B00_0000 + mixed.rotate_left(9) % 250_000).to_be_bytes());
        let [e, f, g, h] = number.to_be_bytes();
        let label = key.ticket(now, [e, f, g, h, 0, 0], Network::of(client.into())).to_string().into_bytes();
        join.see(&label, resolver, false, now, &terms);
        let hit = Hit { label, client: client.into(), rtts: BTreeMap::from([("nrt".to_owned(), 9)]) };
        if let Some(observed) = join.hit(hit, now, &terms) {
            // Where databases would say that it is.
            let (_, code, north, east, _) = CITIES[number as usize % CITIES.len()];
            let at = as112d::learn::subject::Degrees::new(north + f64::from(a % 20), east);
            let place = as112d::learn::subject::Place { country: Some(*code), at };
            to(&Observation { place, asn: Some(mixed >> 16), ..observed });
        }
        clients.insert([client.octets()[0], b, c]);
        join.take_fates();
    }
    clients
}

/// However many beacons there were: what is kept has a bound, and nobody is found in it.
#[test]
fn a_million_beacons_are_kept_in_little_room_and_nobody_is_in_it() {
    let world = World::new(13, 0.15);
    let operator = Operator::new(&world, "");
    let file = fs::File::create(operator.configured.path("observations").join("all.jsonl")).expect("written");
    let mut file = BufWriter::new(file);
    let mut observed = 0;
    let clients = million(|observation| {
        observed += 1;
        file.write_all(observation.line().as_bytes()).expect("there is room");
    });
    file.flush().expect("there is room");
    assert!(observed > 900_000, "{observed}");
    let mut command = operator.command();
    command.args(["--once", "--at", &((FIRST + 1) * DAY).to_string()]);
    let (held, state) = (peak(command), operator.read("learned.state"));
    println!("report: {observed} observations: {} MiB held, {} MB kept", held >> 20, state.len() / 1_000_000);
    assert!(state.len() <= 70_000_000 && held <= 400 << 20, "{} kept, {held} held", state.len());
    let folder = Path::new(&operator.configured.config).parent().expect("a directory");
    for name in ["learned.state", "learned.map", "places.map", "observations/all.jsonl"] {
        let text = fs::read_to_string(folder.join(name)).expect("it is there");
        let found: Vec<_> = addresses(&text).intersection(&clients).copied().collect();
        assert!(found.is_empty(), "{name} has {found:?}");
    }
}

/// What it says when it learns once, with this in [confine].
fn confined(world: &World, landlock: &str) -> String {
    let operator = Operator::new(world, &format!("[confine]\nlandlock = '{landlock}'\n"));
    let elsewhere = tempfile::tempdir().expect("a directory");
    let observed = elsewhere.path().join("observed");
    fs::write(&observed, world.day(FIRST, 1)[0].line()).expect("there is room");
    symlink(observed, operator.configured.path("observations").join("link.jsonl")).expect("it is ours");
    let at = ((FIRST + 1) * DAY).to_string();
    let output = operator.command().args(["--once", "--at", &at]).output().expect("it runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What a file of observations leads to is not read, wherever it lies.
#[test]
fn the_learner_reads_where_the_configuration_says_and_nowhere_else() {
    let world = World::new(14, 0.15);
    let free = confined(&world, "off");
    assert!(free.contains("1 observations, 0 malformed"), "{free}");
    let said = confined(&world, "required");
    if said.contains("is required but not available") {
        return skipped("landlock is not available");
    }
    assert!(said.contains("link.jsonl: cannot be read: Permission denied"), "{said}");
}

#[test]
fn the_learner_makes_few_system_calls_and_ends_when_told() {
    let world = World::new(15, 0.15);
    let operator = Operator::new(&world, "[confine]\nseccomp = 'required'\n");
    // Few of them: it leaves the CPUs to everybody else.
    operator.observe("1.jsonl", world.day(FIRST, 1).iter().take(50));
    let mut learner = operator.command().stderr(Stdio::piped()).spawn().expect("it runs");
    let mut lines = BufReader::new(learner.stderr.take().expect("a pipe"));
    let mut said = String::new();
    while !said.contains("map world: ") {
        assert!(lines.read_line(&mut said).expect("text") > 0, "{said}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", learner.id())).expect("it runs");
    let has = |line: &str| status.lines().any(|found| found == line);
    assert!(has("Seccomp:\t2") && has("NoNewPrivs:\t1") && has("Threads:\t1"), "{status}");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(learner.id()).expect("a process"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("it is ours");
    lines.read_to_string(&mut said).expect("text");
    assert_eq!(learner.wait().expect("it ends").signal(), Some(15));
    assert!(said.contains(" observations, 0 malformed; ") && !said.contains("refused"), "{said}");
}
