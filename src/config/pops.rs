//! Points of presence, and how it is known whether they are up: `[[pop]]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::announce::ProbeTime;
use super::written::{Count, Given, Label, Mistake, Names, Origin, Written, choice};
use crate::limits::{
    ANNOUNCE_PROBES_MAX, POP_PROBE_EVERY, POP_PROBE_FALL, POP_PROBE_RISE, POP_PROBE_TIMEOUT, POPS_MAX,
};
use crate::pops::{Probe, ProbeTo};
use crate::tailor::spec;

/// A point of presence.
#[derive(Clone, Debug, PartialEq)]
pub struct Pop {
    /// Its name.
    pub name: String,
    /// Where it is: degrees north and east.
    pub at: Option<[f64; 2]>,
    /// How it is known whether it is up.
    pub health: Health,
}

impl Pop {
    /// The file that says whether it is up, if one does.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.health {
            Health::File(file) => Some(file),
            Health::Probe(_) | Health::None => None,
        }
    }

    /// What a map needs of it.
    pub(super) fn placed(&self) -> spec::Pop {
        spec::Pop { name: self.name.clone(), at: self.at }
    }
}

/// How it is known whether a PoP is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is asked now and then.
    Probe(Probe),
    /// A file says so.
    File(PathBuf),
    /// It always is.
    None,
}

/// The port of HTTP.
const HTTP_PORT: u16 = 80;

/// A URL of a probe.
#[derive(Clone, Debug)]
struct Url(SocketAddr, String);

impl Written for Url {
    const EXPECTED: &'static str = "a URL with an address, such as \"http://203.0.113.7/healthz\"";

    fn read(text: &str) -> Result<Self, String> {
        let parts = text.strip_prefix("http://").and_then(|rest| {
            let (at, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let bare = at.trim_start_matches('[').trim_end_matches(']').parse().ok();
            let address = at.parse().ok().or_else(|| Some(SocketAddr::new(bare?, HTTP_PORT)))?;
            let path = if path.is_empty() { "/" } else { path };
            path.bytes().all(|byte| byte.is_ascii_graphic()).then(|| Self(address, path.to_owned()))
        });
        parts.ok_or_else(|| format!("`{text}` is not {}", Self::EXPECTED))
    }
}

/// An address with its port.
#[derive(Clone, Debug)]
struct At(SocketAddr);

impl Written for At {
    const EXPECTED: &'static str = "an address with its port, such as \"203.0.113.7:443\"";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is not {}", Self::EXPECTED))
    }
}

/// Degrees of latitude or longitude.
#[derive(Clone, Copy, Debug)]
struct Degrees(f64);

impl Written for Degrees {
    const EXPECTED: &'static str = "degrees such as 35.76";
    const INTEGER: bool = true;
    const FRACTION: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        let degrees = text.parse().ok().filter(|degrees| (-180.0..=180.0).contains(degrees));
        degrees.map(Self).ok_or_else(|| format!("`{text}` is out of range; give degrees from -180 to 180"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Probe,
    File,
    None,
}

impl Written for Kind {
    const EXPECTED: &'static str = "\"probe\", \"file\" or \"none\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("probe", Self::Probe), ("file", Self::File), ("none", Self::None)])
    }
}

type Probes = Count<1, ANNOUNCE_PROBES_MAX>;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { tcp = \"203.0.113.7:443\" }")]
struct ProbeSpec {
    http: Option<Given<Url>>,
    tcp: Option<Given<At>>,
    every: Option<Given<ProbeTime>>,
    timeout: Option<Given<ProbeTime>>,
    fall: Option<Given<Probes>>,
    rise: Option<Given<Probes>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a [[pop]] block")]
pub(super) struct PopSpec {
    name: Given<Label>,
    at: Option<Spanned<Vec<Given<Degrees>>>>,
    health: Option<Given<Kind>>,
    probe: Option<Spanned<ProbeSpec>>,
    file: Option<PathBuf>,
}

/// All PoPs. Paths begin in `dir`; what seems to be absent is, if the file was read whole.
pub(super) fn pops(
    specs: Vec<PopSpec>,
    dir: &Path,
    read_whole: bool,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Pop> {
    if let Some(one) = specs.get(POPS_MAX) {
        mistakes.push(Mistake::new(one.name.origin, format!("more than {POPS_MAX} PoPs; remove some")));
    }
    let mut names = Names::new("PoP");
    let mut all = Vec::new();
    for spec in specs.into_iter().take(POPS_MAX) {
        names.take(&spec.name, mistakes);
        let at = spec.at.and_then(|at| place(&at, read_whole, mistakes));
        let Given { value: Label(name), origin } = spec.name;
        let given = spec
            .health
            .unwrap_or_else(|| Given::default(if spec.probe.is_some() { Kind::Probe } else { Kind::None }));
        let mut mistake = |origin, message: String| mistakes.push(Mistake::new(origin, message));
        if spec.file.is_some() && given.value != Kind::File {
            mistake(origin, format!("`file` of the PoP {name} is for `health = \"file\"`; remove one"));
        }
        let health = match (given.value, spec.probe) {
            (Kind::Probe, Some(probe)) => {
                let origin = Origin::File(probe.span().start);
                probe.into_inner().probe(origin, read_whole, mistakes).map_or(Health::None, Health::Probe)
            }
            (Kind::Probe, None) => {
                if read_whole {
                    let message = "nothing says how the PoP is probed; give `probe`, such as \
                                   { tcp = \"203.0.113.7:443\" }";
                    mistake(given.origin, message.to_owned());
                }
                Health::None
            }
            (_, Some(probe)) => {
                let message = "`probe` is for `health = \"probe\"`; remove one of the two";
                mistake(Origin::File(probe.span().start), message.to_owned());
                Health::None
            }
            (Kind::File, None) => Health::File(dir.join(spec.file.unwrap_or_else(|| HEALTH_FILE.into()))),
            (Kind::None, None) => Health::None,
        };
        all.push(Pop { name, at, health });
    }
    all
}

/// The file that says which PoPs are up, unless another is named.
const HEALTH_FILE: &str = "pops.health";

/// Where a PoP is.
fn place(
    given: &Spanned<Vec<Given<Degrees>>>,
    read_whole: bool,
    mistakes: &mut Vec<Mistake>,
) -> Option<[f64; 2]> {
    match given.get_ref().as_slice() {
        [north, _] if north.value.0.abs() > 90.0 => {
            let message = format!(
                "{} is not a latitude, which comes first and is from -90 to 90; swap the two?",
                north.value.0
            );
            mistakes.push(Mistake::new(north.origin, message));
            None
        }
        [north, east] => Some([north.value.0, east.value.0]),
        _ => {
            if read_whole {
                let message = "`at` is two numbers, degrees north and degrees east; give both";
                mistakes.push(Mistake::new(Origin::File(given.span().start), message));
            }
            None
        }
    }
}

impl ProbeSpec {
    fn probe(self, origin: Origin, read_whole: bool, mistakes: &mut Vec<Mistake>) -> Option<Probe> {
        let to = match (self.http, self.tcp) {
            (Some(http), None) => ProbeTo::Http(http.value.0, http.value.1),
            (None, Some(tcp)) => ProbeTo::Tcp(tcp.value.0),
            (None, None) if !read_whole => return None,
            _ => {
                mistakes.push(Mistake::new(origin, "a probe is of `http` or of `tcp`; give one of the two"));
                return None;
            }
        };
        let time = |given: Option<Given<ProbeTime>>, usual| given.map_or(usual, |given| given.value.0);
        let count = |given: Option<Given<Probes>>, usual| given.map_or(usual, |given| given.value.0 as u32);
        let late = self.timeout.as_ref().map(|timeout| timeout.origin);
        let probe = Probe {
            to,
            every: time(self.every, POP_PROBE_EVERY),
            timeout: time(self.timeout, POP_PROBE_TIMEOUT),
            fall: count(self.fall, POP_PROBE_FALL),
            rise: count(self.rise, POP_PROBE_RISE),
        };
        if probe.timeout > probe.every {
            let message = "`timeout` is longer than `every`: a probe would meet the next one; shorten it";
            mistakes.push(Mistake::new(late.unwrap_or(origin), message));
        }
        Some(probe)
    }
}
