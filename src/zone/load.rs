//! From what the operator wants to a checked [`ZoneSet`], or to every mistake on the way.

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::builtin::{self, Card, Hostname};
use super::check::check;
use super::contents::Contents;
use super::file::read_file;
use super::pack::{self, Part};
use super::records::Records;
use super::special;
use super::{
    Apexes, Identity, Record, Service, Zone, ZoneEntry, ZoneOptions, ZoneSet, ZoneSource, name_from_text,
};
use crate::dns::name::Name;
use crate::limits::{ZONE_PROBLEMS_MAX, ZONES_MAX};
use crate::problem::Problem;

/// Reads and checks every zone that `options` asks for, and the hostname zones, which are always served.
///
/// # Errors
/// Every mistake that was found, in the order of the zones.
pub fn load(options: &ZoneOptions) -> Result<ZoneSet, Vec<Problem>> {
    let mut loader = Loader { addressed: special::addressed(&options.specials), ..Loader::default() };
    if options.direct {
        for name in builtin::direct() {
            loader.builtin(&name, Service::Direct, "direct", builtin::dd_empty);
        }
    }
    if options.dname {
        loader.builtin(builtin::DNAME, Service::Dname, "dname", builtin::dr_empty);
    }
    loader.hostnames(&options.identity);
    if options.special_use {
        for name in builtin::SPECIAL_USE {
            loader.builtin(name, Service::Special, "special_use", builtin::dd_empty);
        }
    }
    if loader.has_room_for(options.entries.len(), "") {
        options.entries.iter().for_each(|entry| loader.entry(entry));
    }
    if let Some(dir) = &options.dir {
        loader.dir(dir);
    }
    options.packs.iter().for_each(|path| loader.pack(path));
    if !options.specials.is_empty() {
        loader.set.pools.clone_from(&options.pools);
        let problems = special::check(&mut loader.set, &options.specials);
        // Without all zones nobody knows which names are in none.
        if loader.problems.is_empty() {
            loader.problems = problems;
        }
    }
    if loader.problems.is_empty() { Ok(loader.set) } else { Err(loader.problems) }
}

#[derive(Default)]
struct Loader {
    /// Of a zone with mistakes it has the apex alone: then nobody gets it.
    set: ZoneSet,
    apexes: Apexes,
    /// Who asked for each zone of the set.
    askers: Vec<Asker>,
    /// What zones hold: those that hold the same share it.
    records: hashbrown::HashSet<Records>,
    /// The names of the packs.
    packs: Vec<String>,
    /// The files that zones were read from.
    read: HashSet<PathBuf>,
    /// Names that have addresses which no zone holds, in lower case.
    addressed: HashSet<Vec<u8>>,
    problems: Vec<Problem>,
}

/// Who asked for a zone.
enum Asker {
    /// A switch of this name.
    Switch(&'static str),
    /// Nobody needs to.
    Nobody,
    /// The configuration, or a directory, at this place.
    Place(Box<str>),
    /// A pack, by its number, at this line.
    Pack(u32, u32),
}

impl Loader {
    /// A zone whose records are compiled in. `key` is the switch that turns it off.
    fn builtin(&mut self, name: &str, service: Service, key: &'static str, records: fn(&Name) -> Contents) {
        let apex = builtin_name(name);
        self.add(&apex, service, Asker::Switch(key), records(&apex));
    }

    fn hostnames(&mut self, identity: &Identity) {
        let card = Card::new(identity);
        for zone in [Hostname::Net, Hostname::Arpa] {
            let apex = builtin_name(zone.name());
            match &card {
                Ok(card) => {
                    self.add(&apex, Service::Hostname, Asker::Nobody, card.fill(zone, &apex));
                }
                Err(_) => self.push(&apex, Service::Hostname, Asker::Nobody, &[]),
            }
        }
        self.problems.extend(card.err().into_iter().flatten());
    }

    fn entry(&mut self, entry: &ZoneEntry) {
        match name_from_text(&entry.name) {
            Ok(apex) => {
                let asker = Asker::Place(entry.place.as_str().into());
                self.configured(&apex, entry.force, asker, || match &entry.source {
                    ZoneSource::File(path) => read_file(path, &apex),
                    ZoneSource::DdEmpty => builtin::dd_empty(&apex),
                    ZoneSource::DrEmpty => builtin::dr_empty(&apex),
                });
            }
            Err(message) => self.refuse(&entry.place, message),
        }
    }

    /// A zone that the operator configured.
    fn configured(&mut self, apex: &Name, force: bool, asker: Asker, contents: impl FnOnce() -> Contents) {
        if is_too_broad(apex) && !force {
            let message = format!(
                "serving {apex} would hide every zone below it; if you mean it, \
                 give it a [[zone]] of its own with force = true"
            );
            return self.refuse(&self.place(&asker), message);
        }
        if let Some(reverse) = reverse_of(apex) {
            let message =
                format!("{apex} is served as a name; for the reverse zone of addresses write {reverse}");
            self.warn(Problem { place: self.place(&asker), message });
        }
        if let Some(reason) = self.taken(apex) {
            return self.refuse(&self.place(&asker), format!("the zone {apex} {reason}"));
        }
        self.add(apex, Service::Configured, asker, contents());
    }

    /// The zones of the pack at `path`.
    fn pack(&mut self, path: &Path) {
        let (name, number) = (path.display().to_string(), self.packs.len() as u32);
        self.packs.push(name.clone());
        let is_enough = self.problems.len() + ZONE_PROBLEMS_MAX;
        let mut each = |Part { apex, line, contents }: Part| {
            let has_room = self.has_room_for(1, &format!("{name}:{line}"));
            if has_room {
                self.configured(&apex, false, Asker::Pack(number, line), || contents);
            }
            has_room && self.problems.len() < is_enough
        };
        let read = pack::open(path).and_then(|mut file| {
            let done = pack::read(&name, &mut file, &mut each);
            done.and_then(|()| file.into_inner().check(&name))
        });
        self.problems.extend(read.err().into_iter().flatten());
        if self.problems.len() >= is_enough {
            self.refuse(&name, "too many errors: fix these first, the rest was not read".to_owned());
        }
    }

    /// Every `*.zone` file of `dir`, in the order of their names.
    fn dir(&mut self, dir: &Path) {
        let refusal = |error: std::io::Error| {
            format!("cannot read the zone directory: {error}; check the path and its permissions")
        };
        let paths: Result<Vec<PathBuf>, _> =
            fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut paths = match paths {
            Ok(paths) => paths,
            Err(error) => return self.refuse(&dir.display().to_string(), refusal(error)),
        };
        // Hidden files are what editors and package managers leave there.
        paths.retain(|path| !file_name(path).starts_with(b"."));
        paths.sort();
        let (paths, others): (Vec<_>, Vec<_>) =
            paths.into_iter().partition(|path| file_name(path).ends_with(b".zone"));
        if !self.has_room_for(paths.len(), &dir.display().to_string()) {
            return;
        }
        for path in paths {
            let place = path.display().to_string();
            let stem =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".zone"));
            let apex = match stem {
                Some(stem) if !stem.is_empty() => name_from_text(stem),
                _ => Err("the file name is not a zone name".to_owned()),
            };
            match apex {
                Ok(apex) => {
                    let asker = Asker::Place(place.as_str().into());
                    self.configured(&apex, false, asker, || read_file(&path, &apex));
                }
                Err(message) => {
                    self.refuse(&place, format!("{message}; name it after its apex, as in example.com.zone"));
                }
            }
        }
        self.passed_over(dir, others);
    }

    /// Says which files of a directory of zones are in none.
    fn passed_over(&mut self, dir: &Path, mut others: Vec<PathBuf>) {
        others.retain(|path| !self.read.contains(path) && path.is_file());
        let [first, ..] = others.as_slice() else { return };
        let first = String::from_utf8_lossy(file_name(first));
        let which = match others.len() {
            1 => format!("{first} does not end in .zone"),
            count => format!("{count} files do not end in .zone, such as {first}"),
        };
        let message = format!("{which}: only files such as example.com.zone are served");
        self.warn(Problem { place: dir.display().to_string(), message });
    }

    /// Whether so many zones more may be served; otherwise says so.
    fn has_room_for(&mut self, count: usize, place: &str) -> bool {
        let fits = self.set.zones.len() + count <= ZONES_MAX;
        if !fits {
            self.refuse(place, format!("{count} more zones exceed the limit of {ZONES_MAX}"));
        }
        fits
    }

    /// What serves `apex` already, if anything does, as the end of a sentence.
    fn taken(&self, apex: &Name) -> Option<String> {
        let earlier = self.apexes.get(&self.set.zones, apex.as_wire())?;
        let by = match &self.askers[earlier] {
            Asker::Switch(key) => {
                return Some(format!("is built in; remove this zone, or set {key} = false in [zones]"));
            }
            Asker::Nobody => {
                return Some("is built in and always served; set its contents in [identity]".to_owned());
            }
            asker => self.place(asker),
        };
        let by = if by.is_empty() { "another zone".to_owned() } else { by };
        Some(format!("is configured by {by}; remove one of the two"))
    }

    /// Where it was asked for.
    fn place(&self, asker: &Asker) -> String {
        match asker {
            Asker::Switch(_) | Asker::Nobody => String::new(),
            Asker::Place(place) => place.to_string(),
            Asker::Pack(pack, line) => format!("{}:{line}", self.packs[*pack as usize]),
        }
    }

    fn add(&mut self, apex: &Name, service: Service, asker: Asker, contents: Contents) {
        // Of a directory all others are of interest.
        let others = contents.files.iter().filter(|file| !file.ends_with(".zone"));
        self.read.extend(others.map(PathBuf::from));
        let records = match check(apex, contents, &self.addressed) {
            Ok((records, warnings)) => {
                warnings.into_iter().for_each(|warning| self.warn(warning));
                records
            }
            Err(problems) => {
                self.problems.extend(problems);
                Vec::new()
            }
        };
        self.push(apex, service, asker, &records);
    }

    fn push(&mut self, apex: &Name, service: Service, asker: Asker, records: &[Record]) {
        let mut zone = Zone::new(apex, service, records);
        match self.records.get(&zone.records) {
            Some(records) => zone.records = records.clone(),
            None => _ = self.records.insert(zone.records.clone()),
        }
        self.set.zones.push(zone);
        self.askers.push(asker);
        self.apexes.insert(&self.set.zones, self.set.zones.len() - 1);
    }

    fn warn(&mut self, warning: Problem) {
        if self.set.warnings.len() < ZONE_PROBLEMS_MAX {
            self.set.warnings.push(warning);
        } else if self.set.warnings.len() == ZONE_PROBLEMS_MAX {
            self.set.warnings.push(Problem::plain("too many warnings about zones: the rest is not shown"));
        }
    }

    fn refuse(&mut self, place: &str, message: String) {
        self.problems.push(Problem { place: place.to_owned(), message });
    }
}

fn file_name(path: &Path) -> &[u8] {
    path.file_name().map_or(b"", |name| name.as_encoded_bytes())
}

fn builtin_name(name: &str) -> Name {
    name_from_text(name).expect("the names that are built in are names")
}

/// The reverse zone of what was written as an address or a prefix. Zeros at the end of an IPv4 address that
/// has no length do not count.
fn reverse_of(apex: &Name) -> Option<String> {
    // Whatever is an address ends in a number or has a colon.
    apex.labels().last().filter(|last| last[0].is_ascii_digit() || last.contains(&b':'))?;
    let text = apex.to_string();
    let text = text.strip_suffix('.')?;
    let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
    let len: Option<usize> = len.map(str::parse).transpose().ok()?;
    let join = |labels: Vec<String>, tree: &str| {
        labels.into_iter().rev().chain([tree.to_owned()]).collect::<Vec<_>>().join(".")
    };
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => {
            let octets = address.octets();
            let significant = octets.iter().rposition(|&octet| octet != 0).map_or(0, |at| at + 1);
            let count = len.map_or(significant, |len| len / 8).min(octets.len());
            join(octets[..count].iter().map(u8::to_string).collect(), "in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 0xF]);
            let count = len.unwrap_or(128) / 4;
            join(nibbles.take(count).map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    })
}

/// The names above everything that the reverse tree and the special-use zones hold: nobody serves them by
/// intent.
fn is_too_broad(apex: &Name) -> bool {
    apex.label_count() <= 2
        && [".", "arpa", "in-addr.arpa", "ip6.arpa"].into_iter().any(|broad| *apex == builtin_name(broad))
}
