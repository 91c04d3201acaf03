//! `[announce]`: which routes there are, and which router is told of them.
//!
//! The prefixes are not configured: a node announces those whose addresses it listens on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::listen;
use super::written::{Count, Given, Line, Mistake, Origin, Text, Time, Written, choice};
use crate::announce::Settings;
use crate::announce::router::Router;
use crate::announce::service::{PREFIXES, Prefix};
use crate::announce::state::Damping;
use crate::limits::{
    ANNOUNCE_CEILING_MS, ANNOUNCE_FALL, ANNOUNCE_FLOOR_MS, ANNOUNCE_HOLD_DOWN, ANNOUNCE_HOLD_DOWN_MAX,
    ANNOUNCE_INTERVAL, ANNOUNCE_PROBES_MAX, ANNOUNCE_RISE, ANNOUNCE_TIMEOUT, COMMAND_WORDS_MAX,
};

/// A time of a probe, or one that follows from probes.
pub type ProbeTime = Time<ANNOUNCE_FLOOR_MS, ANNOUNCE_CEILING_MS>;
type Probes = Count<1, ANNOUNCE_PROBES_MAX>;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [announce] section")]
pub(super) struct Announce {
    router: Option<Given<Kind>>,
    bird_file: PathBuf,
    birdc: Vec<Given<Line>>,
    command: Vec<Given<Line>>,
    interval: Given<ProbeTime>,
    timeout: Given<ProbeTime>,
    fall: Given<Probes>,
    rise: Given<Probes>,
    hold_down: Given<ProbeTime>,
    hold_down_max: Given<ProbeTime>,
}

impl Default for Announce {
    fn default() -> Self {
        let time = |time: Duration| Given::default(Time(time));
        Self {
            router: None,
            bird_file: PathBuf::from("/run/as112d-announce/bird.conf"),
            birdc: vec![Given::default(Text("birdc".to_owned()))],
            command: Vec::new(),
            interval: time(ANNOUNCE_INTERVAL),
            timeout: time(ANNOUNCE_TIMEOUT),
            fall: Given::default(Count(ANNOUNCE_FALL)),
            rise: Given::default(Count(ANNOUNCE_RISE)),
            hold_down: time(ANNOUNCE_HOLD_DOWN),
            hold_down_max: time(ANNOUNCE_HOLD_DOWN_MAX),
        }
    }
}

/// How a router is told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bird,
    Exabgp,
    Command,
}

impl Written for Kind {
    const EXPECTED: &'static str = "\"bird\", \"exabgp\" or \"command\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("bird", Self::Bird), ("exabgp", Self::Exabgp), ("command", Self::Command)])
    }
}

impl Announce {
    /// What to announce of a node that listens on `listeners`; `None` without a router. Paths are relative to
    /// `dir`.
    pub(super) fn resolve(
        self,
        listeners: &[SocketAddr],
        dir: &Path,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Settings> {
        let Given { value: kind, origin } = self.router?;
        let (hold_down, hold_down_max) = (self.hold_down.value.0, self.hold_down_max.value.0);
        if hold_down > hold_down_max {
            let message = "`hold_down` is longer than `hold_down_max`; shorten it";
            // Of the two, one was given.
            mistakes.push(Mistake::new(self.hold_down.origin.max(self.hold_down_max.origin), message));
        }
        let birdc = words(self.birdc, "birdc", "birdc = [\"birdc\"]", origin, mistakes);
        let router = match kind {
            Kind::Bird => Router::Bird { file: dir.join(self.bird_file), birdc },
            Kind::Exabgp => Router::Exabgp,
            Kind::Command => {
                let example = "command = [\"/etc/as112d/gobgp\"]";
                Router::Command(words(self.command, "command", example, origin, mistakes))
            }
        };
        let count = |Given { value: Count(count), .. }| u32::try_from(count).expect("its range ends at 1000");
        Some(Settings {
            routes: routes(listeners, origin, mistakes),
            router,
            interval: self.interval.value.0,
            timeout: self.timeout.value.0,
            damping: Damping { fall: count(self.fall), rise: count(self.rise), hold_down, hold_down_max },
        })
    }
}

/// The words of a command, at least one.
fn words(
    given: Vec<Given<Line>>,
    key: &str,
    example: &str,
    origin: Origin,
    mistakes: &mut Vec<Mistake>,
) -> Vec<String> {
    if let Some(one) = given.get(COMMAND_WORDS_MAX) {
        let message = format!("`{key}` has more than {COMMAND_WORDS_MAX} words; put them in a script");
        mistakes.push(Mistake::new(one.origin, message));
    }
    if given.is_empty() {
        mistakes
            .push(Mistake::new(origin, format!("`{key}` names no program; give one such as `{example}`")));
    }
    given.into_iter().map(|word| word.value.0).collect()
}

/// Each prefix with those of its addresses, on port 53, that are listened on, and those that are not.
fn by_prefix(
    listeners: &[SocketAddr],
) -> impl Iterator<Item = (ipnet::IpNet, Vec<SocketAddr>, Vec<SocketAddr>)> {
    PREFIXES.into_iter().map(|Prefix { net, addresses, .. }| {
        let all = addresses.iter().map(|&address| SocketAddr::new(address, 53));
        let is_covered =
            |address: &SocketAddr| listeners.iter().any(|&listener| listen::covers(listener, *address));
        let (covered, missing) = all.partition(is_covered);
        (net, covered, missing)
    })
}

/// The prefixes whose addresses are all listened on.
#[must_use]
pub fn served(listeners: &[SocketAddr]) -> Vec<ipnet::IpNet> {
    by_prefix(listeners).filter(|(_, _, missing)| missing.is_empty()).map(|(net, _, _)| net).collect()
}

/// The prefixes whose addresses are all listened on, on port 53. One of which some are would draw queries
/// that nobody answers.
fn routes(
    listeners: &[SocketAddr],
    origin: Origin,
    mistakes: &mut Vec<Mistake>,
) -> Vec<(ipnet::IpNet, Vec<SocketAddr>)> {
    let mut routes = Vec::new();
    let mut is_incomplete = false;
    for (net, covered, missing) in by_prefix(listeners) {
        if missing.is_empty() {
            routes.push((net, covered));
        } else if !covered.is_empty() {
            is_incomplete = true;
            let message = format!(
                "{net} would be announced, but {} is not in `listen`; list all of its addresses, as \
                 \"as112-direct\" does",
                missing[0].ip()
            );
            mistakes.push(Mistake::new(origin, message));
        }
    }
    if routes.is_empty() && !is_incomplete {
        let message = "`listen` has no service address, so there is nothing to announce; add \
                       \"as112\", \"as112-direct\" or \"as112-dname\", with port 53";
        mistakes.push(Mistake::new(origin, message));
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of the text of a section; the mistakes.
    fn resolved(text: &str, listeners: &[&str]) -> (Option<Settings>, Vec<String>) {
        let listeners: Vec<SocketAddr> =
            listeners.iter().flat_map(|text| listen::Listen::read(text).unwrap().0).collect();
        let mut mistakes = Vec::new();
        let announce: Announce = toml::from_str(text).unwrap();
        let settings = announce.resolve(&listeners, Path::new("/etc"), &mut mistakes);
        (settings, mistakes.into_iter().map(|mistake| mistake.message).collect())
    }

    #[test]
    fn what_is_listened_on_is_announced() {
        let nets = |listeners: &[&str]| {
            let (settings, mistakes) = resolved("router = 'exabgp'", listeners);
            assert_eq!(mistakes, [""; 0]);
            let settings = settings.unwrap();
            assert!(settings.routes.iter().all(|(_, at)| at.iter().all(|at| at.port() == 53)));
            settings.routes.iter().map(|(net, at)| format!("{net} {}", at.len())).collect::<Vec<_>>()
        };
        let all = ["192.175.48.0/24 3", "2620:4f:8000::/48 3", "192.31.196.0/24 1", "2001:4:112::/48 1"];
        assert_eq!(nets(&["as112"]), all);
        assert_eq!(nets(&["0.0.0.0", "::", "192.0.2.1:54"]), all);
        assert_eq!(nets(&["as112-dname", "192.0.2.53"]), all[2..]);
        assert_eq!(nets(&["192.175.48.1", "192.175.48.6", "192.175.48.42"]), all[..1]);
    }

    #[test]
    fn what_is_listened_on_whole_is_served() {
        let nets = |listeners: &[&str]| {
            let listeners: Vec<SocketAddr> =
                listeners.iter().flat_map(|text| listen::Listen::read(text).unwrap().0).collect();
            served(&listeners).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(nets(&["as112-dname", "192.175.48.1"]), ["192.31.196.0/24", "2001:4:112::/48"]);
        assert_eq!(nets(&["as112:5300", "127.0.0.1"]), [""; 0]);
    }

    #[test]
    fn mistakes_say_what_to_give() {
        for (text, listeners, told) in [
            (
                "router = 'exabgp'",
                &["127.0.0.1"][..],
                "`listen` has no service address, so there is nothing to announce",
            ),
            (
                "router = 'exabgp'",
                &["as112:5300"],
                "`listen` has no service address, so there is nothing to announce",
            ),
            ("router = 'bird'", &["192.175.48.1"], "192.175.48.0/24 would be announced, but 192.175.48.6 is"),
            ("router = 'command'", &["as112"], "`command` names no program; give one such as `command = ["),
            ("router = 'bird'\nbirdc = []", &["as112"], "`birdc` names no program"),
            ("router = 'bird'\nhold_down = '6m'", &["as112"], "`hold_down` is longer than `hold_down_max`"),
        ] {
            let (_, mistakes) = resolved(text, listeners);
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(told), "{text}: {mistakes:?}");
        }
        assert_eq!(resolved("", &["127.0.0.1"]), (None, vec![]), "without a router nothing is announced");
        let many = format!("router = 'command'\ncommand = [{}]", "'a',".repeat(33));
        assert!(resolved(&many, &["as112"]).1[0].starts_with("`command` has more than 32 words"));
    }

    #[test]
    fn each_router_has_its_settings() {
        let router = |text: &str| resolved(text, &["as112"]).0.unwrap().router;
        let bird = |file: &str, birdc: &[&str]| Router::Bird {
            file: file.into(),
            birdc: birdc.iter().copied().map(str::to_owned).collect(),
        };
        assert_eq!(router("router = 'bird'"), bird("/run/as112d-announce/bird.conf", &["birdc"]));
        let text = "router = 'bird'\nbird_file = 'bird/as112'\nbirdc = ['birdc', '-s', '/run/x']";
        assert_eq!(router(text), bird("/etc/bird/as112", &["birdc", "-s", "/run/x"]));
        let command = router("router = 'command'\ncommand = ['a', 'b']");
        assert_eq!(command, Router::Command(vec!["a".to_owned(), "b".to_owned()]));
        let text = "router = 'exabgp'\ninterval = '1s'\ntimeout = '20ms'\nfall = 3\nrise = 1\n\
                    hold_down = '1s'\nhold_down_max = '8s'";
        let settings = resolved(text, &["as112"]).0.unwrap();
        let seconds = Duration::from_secs;
        assert_eq!((settings.interval, settings.timeout), (seconds(1), Duration::from_millis(20)));
        let damping = Damping { fall: 3, rise: 1, hold_down: seconds(1), hold_down_max: seconds(8) };
        assert_eq!(settings.damping, damping);
    }
}
