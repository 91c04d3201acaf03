//! What a node would serve with a release: it is laid into a directory as the agent would do it, signed with
//! a key that exists for this alone, and loaded by the node's own code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use as112d::config::loaded::Loaded;
use as112d::config::{self, Flags};
use as112d::daemon::fleet::answers;
use as112d::problem::Problem;
use as112d::release::layout::{CURRENT, FILES, MANIFEST, RELEASES, SIGNATURES};
use as112d::release::{Digest, Label, Manifest, ReleaseName, Scope, Who};
use as112d::stats::labels::Names;
use as112d::zone::{as112_zones, write_zone};

use crate::settings::Settings;
use crate::sign::new_key;

/// A kind of nodes: those that a release gives the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// How it is called.
    pub name: String,
    /// One of them.
    pub who: Who,
}

/// A name for a node of which nothing is known but its fleet or its colo. Names of nodes are labels of DNS,
/// and this one is not usual.
const ANY: &str = "any-node";

/// The kinds of nodes that a release tells apart: any node, any of each colo, and each node that has files of
/// its own.
///
/// # Panics
/// Never: [`ANY`] is a name.
#[must_use]
pub fn kinds(fleet: &Label, scopes: &[Scope], settings: &Settings) -> Vec<Kind> {
    let any: Label = ANY.parse().expect("it is a name");
    let who = |colo: Option<&Label>, node: &Label| Who {
        fleet: fleet.clone(),
        colo: colo.cloned(),
        node: node.clone(),
    };
    let kind = |name: String, who: Who| Kind { name, who };
    let mut kinds = vec![kind("any node".to_owned(), who(None, &any))];
    for scope in scopes {
        match scope {
            Scope::Fleet => {}
            Scope::Colo(colo) => kinds.push(kind(format!("colo {colo}"), who(Some(colo), &any))),
            Scope::Node(node) => kinds.push(kind(format!("node {node}"), who(settings.colo(node), node))),
        }
    }
    kinds
}

/// What a node would serve.
#[derive(Debug)]
pub struct Served {
    /// The records of each zone, as lines, by its apex.
    pub zones: BTreeMap<String, Vec<String>>,
    /// A hash over all answers, whatever their order.
    pub answers: String,
    /// What is served although it is hardly meant.
    pub warnings: Vec<Problem>,
}

impl Served {
    /// The apexes that a node of AS112 has and this one does not.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        as112_zones().map(|apex| apex.to_string()).filter(|apex| !self.zones.contains_key(apex)).collect()
    }
}

/// Loads a release as a node of this kind would: `files` says where each of its files lies now. `local` is
/// the node's own configuration, if one is given.
///
/// # Errors
/// All that the node would say.
pub fn load(
    manifest: &Manifest,
    files: impl Fn(&as112d::release::RelPath) -> PathBuf,
    who: &Who,
    local: Option<&Path>,
) -> Result<Served, Vec<Problem>> {
    let plain = |error: std::io::Error| Problem::alone(format!("cannot lay the release out: {error}"));
    // New keys would have to sign it, and they are not here.
    let manifest = &Manifest { keys: None, ..manifest.clone() };
    let folder = tempfile::tempdir().map_err(plain)?;
    let root = folder.path().canonicalize().map_err(plain)?;
    let bytes = manifest.to_bytes();
    let name = ReleaseName { number: manifest.number, digest: Digest::of(&bytes) };
    let inside = root.join(RELEASES).join(name.to_string());
    let lay = || -> std::io::Result<()> {
        for file in manifest.parts(who) {
            let place = inside.join(FILES).join(&file.path);
            fs::create_dir_all(as112d::sys::files::folder_of(&place))?;
            let from = files(&file.path);
            // A link costs nothing; between file systems there is none.
            fs::hard_link(&from, &place).or_else(|_| fs::copy(&from, &place).map(drop))?;
        }
        fs::create_dir_all(&inside)?;
        fs::write(inside.join(MANIFEST), &bytes)?;
        std::os::unix::fs::symlink(Path::new(RELEASES).join(name.to_string()), root.join(CURRENT))
    };
    lay().map_err(plain)?;
    let key = sign(&bytes, &inside).map_err(|problem| vec![problem])?;
    let config = own(local, who, &root, &key)?;
    let file = root.join("node.toml");
    fs::write(&file, config).map_err(plain)?;
    read(&file).map_err(|problems| told(problems, &inside.join(FILES), &root, &files))
}

/// Signs the manifest with a new key; its public half.
fn sign(bytes: &[u8], folder: &Path) -> Result<String, Problem> {
    let plain = |error: &dyn std::fmt::Display| Problem::plain(format!("cannot sign for a trial: {error}"));
    let (secret, public) = new_key(None)?;
    let key = minisign::SecretKeyBox::from_string(&secret)
        .and_then(minisign::SecretKeyBox::into_unencrypted_secret_key)
        .map_err(|error| plain(&error))?;
    let signature = minisign::sign(None, &key, bytes, None, None).map_err(|error| plain(&error))?;
    fs::write(folder.join(SIGNATURES), signature.into_string()).map_err(|error| plain(&error))?;
    Ok(public.lines().nth(1).unwrap_or_default().to_owned())
}

/// The node's own file: what is given, with the release that is tried.
fn own(local: Option<&Path>, who: &Who, root: &Path, key: &str) -> Result<String, Vec<Problem>> {
    let mut table = match local {
        None => toml::Table::new(),
        Some(local) => {
            let place = local.display().to_string();
            let cannot = |message: String| vec![Problem { place: place.clone(), message }];
            let text = fs::read_to_string(local).map_err(|error| cannot(error.to_string()))?;
            text.parse().map_err(|error: toml::de::Error| cannot(error.message().to_owned()))?
        }
    };
    let mut fleet = toml::Table::new();
    fleet.insert("name".to_owned(), who.fleet.to_string().into());
    if let Some(colo) = &who.colo {
        fleet.insert("colo".to_owned(), colo.to_string().into());
    }
    fleet.insert("node".to_owned(), who.node.to_string().into());
    fleet.insert("dir".to_owned(), root.display().to_string().into());
    fleet.insert("keys".to_owned(), vec![key.to_owned()].into());
    table.insert("fleet".to_owned(), fleet.into());
    Ok(table.to_string())
}

fn read(file: &Path) -> Result<Served, Vec<Problem>> {
    let config = config::load(Some(file), &Flags::default())?;
    let loaded = Loaded::read(&config, &Names::default())?;
    if !loaded.unread.is_empty() {
        return Err(loaded.unread);
    }
    let mut zones = BTreeMap::new();
    for zone in &loaded.zones.zones {
        let mut text = String::new();
        write_zone(zone, &mut text).map_err(|error| Problem::alone(error.to_string()))?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        zones.insert(zone.apex().to_string(), lines);
    }
    let answers = answers(&config, &loaded.snapshot).map_or_else(String::new, |hash| format!("{hash:016x}"));
    Ok(Served { zones, answers, warnings: loaded.zones.warnings })
}

/// The same problems, in the files that were laid out.
fn told(
    problems: Vec<Problem>,
    inside: &Path,
    root: &Path,
    files: &impl Fn(&as112d::release::RelPath) -> PathBuf,
) -> Vec<Problem> {
    let inside = format!("{}/", inside.display());
    let root = format!("{}/", root.display());
    let place = |text: &str| -> String {
        let Some(rest) = text.strip_prefix(&inside) else {
            return text.replace(&inside, "").replace(&root, "");
        };
        let (path, line) = rest.split_once(':').map_or((rest, None), |(path, line)| (path, Some(line)));
        let path = path.parse().map_or_else(|_| PathBuf::from(path), |path| files(&path));
        line.map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()))
    };
    let one = |problem: Problem| Problem {
        place: place(&problem.place),
        message: problem.message.replace(&inside, "").replace(&root, ""),
    };
    problems.into_iter().map(one).collect()
}
