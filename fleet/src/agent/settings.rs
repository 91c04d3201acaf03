//! What an agent is told: `[fleet]` in the node's own file. What else is in that file may be as wrong as it
//! likes: an agent brings what mends it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use as112d::config;
use as112d::limits::{BAKE_MAX_SECONDS, CONFIG_LEN_MAX};
use as112d::problem::Problem;
use as112d::release::{Keys, Label, PublicKey, Who};
use as112d::sys::files;
use serde::Deserialize;

use super::node::Node;
use crate::carry::{Access, Address};
use crate::settings::seconds;

/// Where releases lie unless something else is given.
const DIR: &str = "/var/lib/as112d/fleet";

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the node is in its fleet.
    pub who: Who,
    /// Where its releases lie.
    pub dir: PathBuf,
    /// Who signs, before any release brings other keys.
    pub keys: Keys,
    /// Where the fleet's tree is.
    pub source: Address,
    /// How to get in.
    pub access: Access,
    /// For how long a release is on trial where its pointer does not say.
    pub bake: Duration,
    /// How much of the disk stays free, in percent.
    pub min_free: u64,
    /// Whom to tell.
    pub node: Node,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    identity: Identity,
    fleet: Fleet,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identity {
    node: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Fleet {
    name: Option<Label>,
    colo: Option<Label>,
    node: Option<Label>,
    dir: Option<PathBuf>,
    keys: Vec<PublicKey>,
    threshold: Option<u8>,
    source: Option<String>,
    nkey: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    domain: Option<String>,
    bake: Option<String>,
    min_free: Option<String>,
}

impl Settings {
    /// Reads `[fleet]` of the node's file, and where the node is controlled.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn read(path: &Path) -> Result<Self, Vec<Problem>> {
        let place = path.display().to_string();
        let wrong = |message: String| vec![Problem { place: place.clone(), message }];
        let bytes = files::read(path, CONFIG_LEN_MAX).map_err(|error| wrong(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
        let Document { identity, fleet } =
            toml::from_str(&text).map_err(|error| wrong(error.to_string().trim().replace('\n', " ")))?;
        let (control, _) = config::doors_in(path)?;
        let node = Node::At(control.candidates());
        let here = files::folder_of(path);
        fleet.settings(identity.node, here, node).map_err(|message| wrong(format!("[fleet]: {message}")))
    }
}

impl Fleet {
    fn settings(self, identity: Option<String>, here: &Path, node: Node) -> Result<Settings, String> {
        let fleet = self.name.ok_or("it has no `name`; name the fleet")?;
        let own = match self.node {
            Some(name) => name,
            None => label_of(&identity.map_or_else(host_name, Ok)?)?,
        };
        let keys = Keys::new(self.threshold.unwrap_or(1), self.keys).map_err(|refused| refused.words)?;
        let source = self.source.ok_or("it has no `source`; say where the fleet's tree is")?.parse()?;
        let from_here = |path: PathBuf| here.join(path);
        let access = Access {
            nkey: self.nkey.map(from_here),
            user: self.user,
            password_file: self.password_file.map(from_here),
            ca: self.ca.map(from_here),
            domain: self.domain,
            name: Some(own.to_string()),
        };
        if access.user.is_some() != access.password_file.is_some() {
            return Err("`user` and `password_file` belong together".to_owned());
        }
        let bake = self.bake.map_or(Ok(0), |text| seconds(&text)).map_err(|why| format!("bake: {why}"))?;
        let bake = Duration::from_secs(bake.min(BAKE_MAX_SECONDS).into());
        Ok(Settings {
            who: Who { fleet, colo: self.colo, node: own },
            dir: from_here(self.dir.unwrap_or_else(|| DIR.into())),
            keys,
            source,
            access,
            bake,
            min_free: self.min_free.map_or(Ok(10), |text| share(&text))?,
            node,
        })
    }
}

/// The name of a node in its fleet, by its own name: the first label of that.
fn label_of(node: &str) -> Result<Label, String> {
    let first = node.split('.').next().unwrap_or_default().to_ascii_lowercase();
    first.parse().map_err(|_| format!("`{node}` is not a name for a fleet; give `node`, such as \"ams1\""))
}

fn host_name() -> Result<String, String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    let name =
        name.map_err(|error| format!("the host has no name ({error}); give `node`, such as \"ams1\""))?;
    Ok(name.trim().to_owned())
}

/// A share such as `10%`.
fn share(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
    number
        .filter(|number| *number < 100)
        .ok_or_else(|| format!("min_free = \"{text}\": give a share of the disk, such as \"10%\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn read(text: &str) -> Result<Settings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        Settings::read(file.path()).map_err(|problems| problems[0].message.clone())
    }

    #[test]
    fn it_is_read_whatever_else_is_wrong() {
        let settings = read(&format!(
            "[server]\nlisten = 7\n[identity]\nnode = 'AMS1.example.net'\n[control]\npath = 'socket'\n\
             [fleet]\nname = 'as112'\ncolo = 'ams'\nkeys = ['{KEY}']\nsource = 'nats://hub'\nnkey = 'seed'\n\
             bake = '5m'\nmin_free = '5%'"
        ))
        .unwrap();
        assert_eq!((settings.who.node.as_str(), settings.who.scopes().count()), ("ams1", 3));
        assert_eq!(settings.source, Address::Nats("nats://hub".to_owned()));
        assert!(settings.access.nkey.is_some_and(|path| path.is_absolute()));
        assert_eq!((settings.bake.as_secs(), settings.min_free), (300, 5));
        assert_eq!(settings.access.name.as_deref(), Some("ams1"));
        assert!(matches!(settings.node, Node::At(paths) if paths.len() == 1 && paths[0].ends_with("socket")));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let keys = format!("keys = ['{KEY}']");
        for (text, message) in [
            (String::new(), "no `name`"),
            ("name = 'a'".to_owned(), "there is no key"),
            (format!("name = 'a'\n{keys}"), "no `source`"),
            (format!("name = 'a'\n{keys}\nsource = '/srv'"), "write dir:PATH"),
            (format!("name = 'a'\n{keys}\nsource = 'dir:/srv'\nuser = 'a'"), "belong together"),
            (format!("name = 'a'\n{keys}\nsource = 'dir:/srv'\nbake = 'x'"), "[fleet]: bake: "),
            (format!("name = 'a'\n{keys}\nsource = 'dir:/srv'\nmin_free = '100%'"), "such as \"10%\""),
            (format!("name = 'a'\n{keys}\nsources = 'dir:/srv'"), "unknown field `sources`"),
        ] {
            let error = read(&format!("[identity]\nnode = 'a'\n[fleet]\n{text}")).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
