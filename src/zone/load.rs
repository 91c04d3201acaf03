//! From what the operator wants to a checked [`ZoneSet`], or to every mistake on the way.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::builtin::{self, Card, Hostname};
use super::check::check;
use super::contents::Contents;
use super::file::read_file;
use super::{Identity, Service, Zone, ZoneEntry, ZoneOptions, ZoneSet, ZoneSource, name_from_text};
use crate::dns::name::Name;
use crate::limits::{ZONE_PROBLEMS_MAX, ZONES_MAX};
use crate::problem::Problem;

/// Reads and checks every zone that `options` asks for, and the hostname zones, which are always served.
///
/// # Errors
/// Every mistake that was found, in the order of the zones.
pub fn load(options: &ZoneOptions) -> Result<ZoneSet, Vec<Problem>> {
    let mut loader = Loader::default();
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
    if loader.problems.is_empty() { Ok(loader.set) } else { Err(loader.problems) }
}

#[derive(Default)]
struct Loader {
    set: ZoneSet,
    /// What serves each apex (in lower case) already, as the end of a sentence.
    taken: HashMap<Vec<u8>, String>,
    /// The files that zones were read from.
    read: HashSet<PathBuf>,
    problems: Vec<Problem>,
}

impl Loader {
    /// A zone whose records are compiled in. `key` is the switch that turns it off.
    fn builtin(&mut self, name: &str, service: Service, key: &str, records: fn(&Name) -> Contents) {
        let apex = builtin_name(name);
        self.take(&apex, format!("is built in; remove this zone, or set {key} = false in [zones]"));
        self.add(apex.clone(), service, records(&apex));
    }

    fn hostnames(&mut self, identity: &Identity) {
        let card = Card::new(identity);
        for zone in [Hostname::Net, Hostname::Arpa] {
            let apex = builtin_name(zone.name());
            self.take(&apex, "is built in and always served; set its contents in [identity]".to_owned());
            if let Ok(card) = &card {
                self.add(apex.clone(), Service::Hostname, card.fill(zone, &apex));
            }
        }
        self.problems.extend(card.err().into_iter().flatten());
    }

    fn entry(&mut self, entry: &ZoneEntry) {
        match name_from_text(&entry.name) {
            Ok(apex) => self.configured(&apex, &entry.source, entry.force, &entry.place),
            Err(message) => self.refuse(&entry.place, message),
        }
    }

    /// A zone that the operator configured at `place`.
    fn configured(&mut self, apex: &Name, source: &ZoneSource, force: bool, place: &str) {
        if is_too_broad(apex) && !force {
            let message = format!(
                "serving {apex} would hide every zone below it; if you mean it, \
                 give it a [[zone]] of its own with force = true"
            );
            return self.refuse(place, message);
        }
        if let Some(reverse) = reverse_of(apex) {
            let message =
                format!("{apex} is served as a name; for the reverse zone of addresses write {reverse}");
            self.warn(Problem { place: place.to_owned(), message });
        }
        let by = if place.is_empty() { "another zone".to_owned() } else { place.to_owned() };
        if let Some(reason) = self.take(apex, format!("is configured by {by}; remove one of the two")) {
            return self.refuse(place, format!("the zone {apex} {reason}"));
        }
        let contents = match source {
            ZoneSource::File(path) => read_file(path, apex),
            ZoneSource::DdEmpty => builtin::dd_empty(apex),
            ZoneSource::DrEmpty => builtin::dr_empty(apex),
        };
        self.add(apex.clone(), Service::Configured, contents);
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
                Ok(apex) => self.configured(&apex, &ZoneSource::File(path), false, &place),
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
        let fits = self.taken.len() + count <= ZONES_MAX;
        if !fits {
            self.refuse(place, format!("{count} more zones exceed the limit of {ZONES_MAX}"));
        }
        fits
    }

    /// Marks `apex` as served. What served it before, if anything did.
    fn take(&mut self, apex: &Name, by: String) -> Option<String> {
        let key = apex.to_lowercase().as_wire().to_vec();
        if let Some(earlier) = self.taken.get(&key) {
            return Some(earlier.clone());
        }
        self.taken.insert(key, by);
        None
    }

    fn add(&mut self, apex: Name, service: Service, contents: Contents) {
        self.read.extend(contents.files.iter().map(PathBuf::from));
        match check(&apex, contents) {
            Ok((records, warnings)) => {
                self.set.zones.push(Zone { apex, service, records });
                warnings.into_iter().for_each(|warning| self.warn(warning));
            }
            Err(problems) => self.problems.extend(problems),
        }
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
    [".", "arpa", "in-addr.arpa", "ip6.arpa"].into_iter().any(|broad| *apex == builtin_name(broad))
}
