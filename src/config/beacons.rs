//! Beacons, by which a node learns where the users of resolvers are: `[beacons]`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use super::answers::networks;
use super::maps::Table;
use super::pops::Pop;
use super::written::{Count, Given, Label, Line, Mistake, Origin, Text, Written, choice, octets};
use crate::dns::consts::NAME_LEN_MAX;
use crate::learn::ticket::{Key, NONCE_LEN};
use crate::limits::{BEACON_KEY_FILE_LEN_MAX, BEACON_SAMPLE_EVERY, POPS_MAX, SAMPLE_EVERY_MAX};
use crate::problem::Problem;
use crate::sys::files;
use crate::zone::{self, Special, SpecialEntry, SpecialKind};

/// Beacons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beacons {
    /// The names of tickets are below this one.
    pub zone: String,
    /// The file of the key that makes tickets ours.
    pub key_file: PathBuf,
    /// Proxies, whose word for the address of a client counts.
    pub trusted: Vec<IpNet>,
    /// Only resolvers whose address is proven count: those that ask again over TCP.
    pub over_tcp: bool,
    /// What a page measures, by PoP.
    pub targets: Vec<(String, String)>,
    /// One view of a page in so many sends a beacon.
    pub sample_every: usize,
    /// The directory of what is observed.
    pub observations: PathBuf,
    /// The file that `as112d learn` keeps what it knows in.
    pub state: PathBuf,
}

impl Beacons {
    /// Reads the key.
    ///
    /// # Errors
    /// What is wrong with its file.
    pub fn key(&self) -> Result<Key, Problem> {
        let problem = |message: String| Problem { place: self.key_file.display().to_string(), message };
        let bytes = files::read(&self.key_file, BEACON_KEY_FILE_LEN_MAX)
            .map_err(|error| problem(format!("cannot be read ({error}); [beacons] key_file names it")))?;
        let key = octets(bytes.trim_ascii()).and_then(|key| key.try_into().ok()).ok_or_else(|| {
            problem("is not a key; give 32 hexadecimal digits, from `openssl rand -hex 16`".to_owned())
        })?;
        Ok(Key::new(key))
    }

    /// Whether a proxy's word for the address of its client counts.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address.to_canonical()))
    }
}

/// How the address of a resolver is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verify {
    None,
    Tcp,
}

impl Written for Verify {
    const EXPECTED: &'static str = "\"none\" or \"tcp\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("none", Self::None), ("tcp", Self::Tcp)])
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [beacons] section")]
pub(super) struct BeaconsSpec {
    zone: Option<Given<Line>>,
    key_file: Option<Given<Line>>,
    trusted: Vec<Given<IpNet>>,
    verify: Given<Verify>,
    targets: Table<Label, Given<Line>>,
    sample_every: Given<Count<1, SAMPLE_EVERY_MAX>>,
    observations: PathBuf,
    state: PathBuf,
}

impl Default for BeaconsSpec {
    fn default() -> Self {
        Self {
            zone: None,
            key_file: None,
            trusted: Vec::new(),
            verify: Given::default(Verify::None),
            targets: Table::default(),
            sample_every: Given::default(Count(BEACON_SAMPLE_EVERY)),
            observations: PathBuf::from("observations"),
            state: PathBuf::from("learned.state"),
        }
    }
}

impl BeaconsSpec {
    /// Beacons, and the name that they are below, if there are any. Paths begin in `dir`.
    pub(super) fn settings(
        self,
        dir: &Path,
        pops: &[Pop],
        place: &dyn Fn(Origin) -> String,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<(Beacons, SpecialEntry)> {
        let mut mistake = |origin, message: String| mistakes.push(Mistake::new(origin, message));
        if let Some((name, _)) = self.targets.0.get(POPS_MAX) {
            mistake(name.origin, format!("`targets` has more than {POPS_MAX} PoPs; remove some"));
        }
        for (Given { value: Label(name), origin }, _) in &self.targets.0 {
            if pops.iter().all(|pop| pop.name != *name) {
                mistake(*origin, format!("no [[pop]] is named `{name}`; name one that there is"));
            }
        }
        for (_, Given { value: Text(url), origin }) in &self.targets.0 {
            if !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) {
                mistake(*origin, format!("`{url}` is not a URL; give one such as https://nrt.example.net/"));
            }
        }
        let Given { value: Text(text), origin } = self.zone?;
        let name = zone::name_from_text(&text);
        let name = name.and_then(|name| match name.as_wire().len() + NONCE_LEN < NAME_LEN_MAX {
            true => Ok(name),
            false => Err("is too long for the names of tickets below it".to_owned()),
        });
        let name =
            name.map_err(|message| mistake(origin, format!("{message}; give one such as b.example.net")));
        let Some(key_file) = self.key_file else {
            let message = "beacons need a key, the same at all nodes that share the zone; name its file with \
                           `key_file`";
            mistake(origin, message.to_owned());
            return None;
        };
        let trusted = networks("trusted", &self.trusted, mistakes);
        let special = Special { name: name.ok()?, is_wildcard: false, kind: SpecialKind::Beacon };
        let targets = self.targets.0.into_iter().map(|(name, url)| (name.value.0, url.value.0));
        let beacons = Beacons {
            zone: text.trim_end_matches('.').to_ascii_lowercase(),
            key_file: dir.join(key_file.value.0),
            trusted,
            over_tcp: self.verify.value == Verify::Tcp,
            targets: targets.collect(),
            sample_every: self.sample_every.value.0,
            observations: dir.join(self.observations),
            state: dir.join(self.state),
        };
        Some((beacons, SpecialEntry { special, place: place(origin) }))
    }
}
