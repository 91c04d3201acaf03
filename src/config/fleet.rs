//! `[fleet]`: which fleet the node belongs to, where its releases lie, and whose signatures count. It
//! stands in the node's own file alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::written::{Count, Given, Line, Mistake, Time, Written};
use crate::limits::{BAKE_MAX_SECONDS, LABEL_LEN_MAX, RELEASE_KEYS_MAX};
use crate::release::{Keys, Label, PublicKey, Who};

/// Where an agent keeps releases unless something else is given.
pub const DIR: &str = "/var/lib/as112d/fleet";

/// The fleet of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// What the node is in it.
    pub who: Who,
    /// Where its releases lie.
    pub dir: PathBuf,
    /// Who signs, before any release brings other keys.
    pub keys: Keys,
    /// For how long after a release has taken effect the node may go back by itself, where no pointer says
    /// so.
    pub bake: Duration,
}

impl Fleet {
    /// As it is in effect, with its keys.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let keys: Vec<String> = self.keys.all().iter().map(|key| key.id().to_string()).collect();
        json!({
            "name": self.who.fleet.as_str(),
            "colo": self.who.colo.as_ref().map(Label::as_str),
            "node": self.who.node.as_str(),
            "dir": self.dir,
            "keys": keys,
            "threshold": self.keys.threshold(),
        })
    }
}

impl Written for Label {
    const EXPECTED: &'static str = "a name of lower-case letters, digits and hyphens, such as \"ams1\"";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!(
                "`{text}` is not a name; give 1 to {LABEL_LEN_MAX} lower-case letters, digits and hyphens"
            )
        })
    }
}

impl Written for PublicKey {
    const EXPECTED: &'static str = "a public key such as \"RWQ...\", which `as112d-fleet keygen` prints";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("`{text}` is not {}", Self::EXPECTED))
    }
}

type Bake = Time<0, { BAKE_MAX_SECONDS as u64 * 1000 }>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [fleet] section")]
pub(super) struct FleetSpec {
    name: Option<Given<Label>>,
    colo: Option<Given<Label>>,
    node: Option<Given<Label>>,
    dir: Option<PathBuf>,
    keys: Vec<Given<PublicKey>>,
    threshold: Option<Given<Count<1, RELEASE_KEYS_MAX>>>,
    bake: Option<Given<Bake>>,
    // What the agent alone needs, which reads them from the same file and knows what they may be.
    source: Option<Given<Line>>,
    nkey: Option<PathBuf>,
    user: Option<Given<Line>>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    domain: Option<Given<Line>>,
    min_free: Option<Given<Line>>,
}

impl FleetSpec {
    /// The fleet, if there is one; paths begin in `dir`, and the node is called so where [fleet] does not
    /// say.
    pub(super) fn settings(self, dir: &Path, node: &str, mistakes: &mut Vec<Mistake>) -> Option<Fleet> {
        let others = [
            self.colo.as_ref().map(|given| given.origin),
            self.node.as_ref().map(|given| given.origin),
            self.keys.first().map(|given| given.origin),
            self.threshold.as_ref().map(|given| given.origin),
            self.bake.as_ref().map(|given| given.origin),
            self.source.as_ref().map(|given| given.origin),
        ];
        let Some(Given { value: fleet, origin }) = self.name else {
            if let Some(origin) = others.into_iter().flatten().next() {
                mistakes.push(Mistake::new(origin, "[fleet] has no `name`; name the fleet, or remove this"));
            }
            return None;
        };
        let node = self.node.map_or_else(|| label_of(node), |given| Ok(given.value));
        let threshold = self.threshold.map_or(1, |given| given.value.0);
        let threshold = u8::try_from(threshold).expect("its range ends at a few");
        let keys = Keys::new(threshold, self.keys.into_iter().map(|given| given.value).collect());
        let mut mistake = |words: String| mistakes.push(Mistake::new(origin, format!("[fleet]: {words}")));
        let node = node.map_err(&mut mistake).ok();
        let keys = keys.map_err(|refused| mistake(refused.words)).ok();
        let at = dir.join(self.dir.unwrap_or_else(|| DIR.into()));
        Some(Fleet {
            who: Who { fleet, colo: self.colo.map(|given| given.value), node: node? },
            // What is said of it does not depend on where a command was started.
            dir: std::path::absolute(&at).unwrap_or(at),
            keys: keys?,
            bake: self.bake.map(|given| given.value.0).unwrap_or_default(),
        })
    }
}

/// The name of a node in its fleet, by its own name: the first label of that.
fn label_of(node: &str) -> Result<Label, String> {
    let first = node.split('.').next().unwrap_or_default().to_ascii_lowercase();
    first.parse().map_err(|_| {
        format!("the node's name {node} is not one for a fleet; give `node`, such as \"ams1\", in [fleet]")
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Flags, load};

    /// A key that minisign has made.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn read(text: &str) -> Result<Option<super::Fleet>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!("[identity]\nnode = 'AMS1.example.net'\n{text}");
        std::fs::write(file.path(), text).unwrap();
        let config = load(Some(file.path()), &Flags::default());
        config.map(|config| config.fleet).map_err(|problems| problems[0].to_string())
    }

    #[test]
    fn a_fleet_has_a_name_and_keys() {
        assert_eq!(read("").unwrap(), None);
        assert_eq!(read("[fleet]").unwrap(), None);
        let fleet = read(&format!("[fleet]\nname = 'as112'\nkeys = ['{KEY}']")).unwrap().unwrap();
        assert_eq!((fleet.who.node.as_str(), fleet.who.colo), ("ams1", None));
        assert_eq!((fleet.dir.to_str(), fleet.keys.threshold()), (Some(super::DIR), 1));
        let all = format!(
            "[fleet]\nname = 'as112'\ncolo = 'ams'\nnode = 'one'\ndir = 'fleet'\nkeys = ['{KEY}']\n\
             threshold = 1\nbake = '10s'\nsource = 'dir:/srv'\nnkey = 'a'\nuser = 'b'\npassword_file = 'c'\n\
             ca = 'd'\ndomain = 'e'\nmin_free = '10%'"
        );
        let fleet = read(&all).unwrap().unwrap();
        assert!(fleet.dir.is_absolute() && fleet.dir.ends_with("fleet"));
        assert_eq!((fleet.who.node.as_str(), fleet.bake.as_secs()), ("one", 10));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, message) in [
            ("colo = 'ams'".to_owned(), "4:8: [fleet] has no `name`"),
            ("name = 'A'".to_owned(), "4:8: `A` is not a name; give 1 to 63"),
            ("name = 'a'".to_owned(), "4:8: [fleet]: there is no key"),
            ("name = 'a'\nkeys = ['x']".to_owned(), "5:9: `x` is not a public key"),
            (format!("name = 'a'\nkeys = ['{KEY}']\nthreshold = 2"), "4:8: [fleet]: a threshold of 2"),
            (format!("name = 'a'\nkeys = ['{KEY}', '{KEY}']"), "is there twice"),
            (format!("name = 'a'\nkeys = ['{KEY}']\nnode = 'a.b'"), "6:8: `a.b` is not a name"),
        ] {
            let error = read(&format!("[fleet]\n{text}")).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
