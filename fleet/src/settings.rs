//! The publisher's settings: `fleet.toml`, next to what is published. Options take the place of what it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use as112d::limits::BAKE_MAX_SECONDS;
use as112d::problem::Problem;
use as112d::release::{Keys, Label, PublicKey, Scope};
use as112d::sys::files;
use serde::Deserialize;

use crate::carry::{Access, Address};
use crate::limits::{BAKE_DEFAULT, QUORUM_DEFAULT, SETTINGS_LEN_MAX};
use crate::roll::{Stage, To};

/// The name of the file, and where it is looked for: in the directory of the release and in the one of now.
pub const FILE: &str = "fleet.toml";

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Spec {
    fleet: Option<String>,
    at: Option<String>,
    keys: Vec<String>,
    threshold: Option<u8>,
    secret_keys: Vec<PathBuf>,
    sign_with: Vec<String>,
    by: Option<String>,
    access: AccessSpec,
    roll: RollSpec,
    colos: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AccessSpec {
    nkey: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    domain: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RollSpec {
    stages: Option<Vec<String>>,
    bake: Option<String>,
    quorum: Option<u8>,
}

/// How releases of this fleet are rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollPlan {
    /// The stages, each with its time; none if the file says none.
    pub stages: Vec<Stage>,
    /// For how many seconds a node watches itself.
    pub bake: u32,
    /// See [`crate::roll::Roll::quorum`].
    pub quorum: u8,
}

/// The settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The fleet.
    pub fleet: Option<Label>,
    /// Where its tree is.
    pub at: Option<Address>,
    /// How to get in there.
    pub access: Access,
    /// Whose signatures count.
    pub keys: Option<Keys>,
    /// Secret keys of whoever publishes.
    pub secret_keys: Vec<PathBuf>,
    /// Commands that sign.
    pub sign_with: Vec<String>,
    /// Who publishes, for people.
    pub by: Option<String>,
    /// How releases go out.
    pub roll: RollPlan,
    /// The nodes by their colos, where the file lists them.
    pub nodes: Vec<(Label, Label)>,
}

impl Settings {
    /// Reads a file; with none the one in `near` or here, if there is one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(file: Option<&Path>, near: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let usual = [near.unwrap_or_else(|| Path::new(".")).join(FILE), PathBuf::from(FILE)];
        let found = match file {
            Some(file) => Some(file),
            None => usual.iter().map(PathBuf::as_path).find(|file| file.exists()),
        };
        let Some(file) = found else { return Self::from(None, Spec::default()) };
        let place = file.display().to_string();
        let cannot = |message: String| vec![Problem { place: place.clone(), message }];
        let bytes = files::read(file, SETTINGS_LEN_MAX).map_err(|error| cannot(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| cannot("is not UTF-8".to_owned()))?;
        let spec: Spec = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map_or_else(|| place.clone(), |line| format!("{place}:{line}"));
            vec![Problem { place, message: error.message().to_owned() }]
        })?;
        Self::from(Some(file), spec)
    }

    fn from(file: Option<&Path>, spec: Spec) -> Result<Self, Vec<Problem>> {
        let place = file.map(|file| file.display().to_string()).unwrap_or_default();
        // What it names lies next to it.
        let folder = file.map_or_else(|| Path::new(""), files::folder_of);
        let beside = |path: PathBuf| folder.join(path);
        let mut problems = Vec::new();
        let mut wrong = |key: &str, why: &dyn std::fmt::Display| {
            problems.push(Problem { place: place.clone(), message: format!("{key}: {why}") });
        };
        let fleet = parsed("fleet", spec.fleet.as_deref(), &mut wrong);
        let at = parsed("at", spec.at.as_deref(), &mut wrong).map(|at: Address| match at {
            Address::Dir(path) => Address::Dir(beside(path)),
            other => other,
        });
        let count = spec.keys.len();
        let keys: Vec<PublicKey> =
            spec.keys.iter().filter_map(|key| parsed("keys", Some(key), &mut wrong)).collect();
        let threshold = spec.threshold.unwrap_or(1);
        let keys = (count > 0 && keys.len() == count).then(|| Keys::new(threshold, keys));
        let keys = keys.and_then(|keys| keys.map_err(|refused| wrong("keys", &refused)).ok());
        let roll = plan(&spec.roll, &mut wrong);
        let mut nodes = Vec::new();
        for (colo, names) in &spec.colos {
            let Some(colo) = parsed::<Label>("colos", Some(colo), &mut wrong) else { continue };
            let names = names.iter().filter_map(|name| parsed::<Label>("colos", Some(name), &mut wrong));
            nodes.extend(names.map(|name| (name, colo.clone())));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let AccessSpec { nkey, user, password_file, ca, domain } = spec.access;
        let access = Access {
            nkey: nkey.map(beside),
            user,
            password_file: password_file.map(beside),
            ca: ca.map(beside),
            domain,
            name: None,
        };
        let secret_keys = spec.secret_keys.into_iter().map(beside).collect();
        Ok(Self {
            file: file.map(Path::to_path_buf),
            fleet,
            at,
            access,
            keys,
            secret_keys,
            sign_with: spec.sign_with,
            by: spec.by,
            roll,
            nodes,
        })
    }

    /// The colo of a node, where the file says it.
    #[must_use]
    pub fn colo(&self, node: &Label) -> Option<&Label> {
        self.nodes.iter().find(|(name, _)| name == node).map(|(_, colo)| colo)
    }

    /// The colo or the node that gets a release first, if there is one.
    #[must_use]
    pub fn canary(&self) -> Option<Scope> {
        self.roll.stages.iter().find_map(|stage| match &stage.to {
            To::Scope(scope) => Some(scope.clone()),
            To::Share(_) => None,
        })
    }
}

/// What a text says, or what is wrong with it.
fn parsed<T>(key: &str, text: Option<&str>, wrong: &mut dyn FnMut(&str, &dyn std::fmt::Display)) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text?.parse().map_err(|error| wrong(key, &error)).ok()
}

fn plan(spec: &RollSpec, wrong: &mut dyn FnMut(&str, &dyn std::fmt::Display)) -> RollPlan {
    let bake = match spec.bake.as_deref().map(seconds) {
        None => BAKE_DEFAULT.as_secs() as u32,
        Some(Ok(bake)) if bake <= BAKE_MAX_SECONDS => bake,
        Some(Ok(_)) => {
            wrong("roll.bake", &format!("at most {BAKE_MAX_SECONDS} seconds"));
            0
        }
        Some(Err(why)) => {
            wrong("roll.bake", &why);
            0
        }
    };
    let stages = spec.stages.iter().flatten();
    let stages = stages.filter_map(|to| Some(Stage { to: parsed("roll.stages", Some(to), wrong)?, bake }));
    RollPlan { stages: stages.collect(), bake, quorum: spec.quorum.unwrap_or(QUORUM_DEFAULT) }
}

/// A time as operators write it (`90s`, `5m`, `1h 30m`, `2d`), in whole seconds.
///
/// # Errors
/// It is not one.
pub fn seconds(text: &str) -> Result<u32, String> {
    let span: Result<jiff::Span, _> = text.parse();
    let time = span.ok().and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok());
    time.and_then(|time| u32::try_from(time.as_secs()).ok())
        .ok_or_else(|| format!("`{text}` is not a time; write 90s, 5m or 1h"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    fn read(text: &str) -> Result<Settings, Vec<Problem>> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        Settings::read(None, Some(folder.path())).inspect(|settings| {
            assert_eq!(settings.file.as_ref().unwrap(), &folder.path().join(FILE));
        })
    }

    #[test]
    fn a_file_says_what_operators_would_repeat() {
        let settings = read(&format!(
            "fleet = \"as112\"\nat = \"dir:tree\"\nkeys = [\"{KEY}\"]\nsecret_keys = [\"ann.key\", \"/k\"]\n\
             [roll]\nstages = [\"colo/ams\", \"10%\", \"all\"]\nbake = \"1m 30s\"\n\
             [colos]\nams = [\"ams1\", \"ams2\"]\n"
        ))
        .unwrap();
        assert_eq!(settings.fleet.as_ref().unwrap().as_str(), "as112");
        assert!(
            matches!(&settings.at, Some(Address::Dir(path)) if path.ends_with("tree") && path.is_absolute())
        );
        assert_eq!(settings.keys.as_ref().unwrap().threshold(), 1);
        assert!(settings.secret_keys[0].is_absolute() && settings.secret_keys[1] == Path::new("/k"));
        assert_eq!((settings.roll.stages.len(), settings.roll.bake, settings.roll.quorum), (3, 90, 95));
        assert_eq!(settings.canary().unwrap().to_string(), "colo/ams");
        assert_eq!(settings.colo(&"ams2".parse().unwrap()).unwrap().as_str(), "ams");
        assert_eq!(settings.colo(&"fra1".parse().unwrap()), None);
        let nothing = read("").unwrap();
        assert!(nothing.fleet.is_none() && nothing.keys.is_none() && nothing.canary().is_none());
        assert_eq!(nothing.roll.bake, 300);
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, place, message) in [
            ("flet = \"x\"", ":1", "unknown field `flet`"),
            ("\n\nfleet = 7", ":3", "invalid type"),
            ("fleet = \"AS112\"", "", "fleet: not-allowed: `AS112` is not a name"),
            ("at = \"ftp://x\"", "", "at: `ftp://x`: "),
            ("keys = [\"x\"]", "", "keys: bad-signature: `x` is not a public key"),
            (&format!("keys = [\"{KEY}\"]\nthreshold = 2"), "", "keys: not-allowed: a threshold of 2"),
            ("[roll]\nbake = \"soon\"", "", "roll.bake: `soon` is not a time; write 90s, 5m or 1h"),
            ("[roll]\nbake = \"30h\"", "", "roll.bake: at most 86400 seconds"),
            ("[roll]\nstages = [\"half\"]", "", "roll.stages: not-allowed: `half` is not a stage"),
            ("[colos]\nams = [\"a.b\"]", "", "colos: not-allowed: `a.b` is not a name"),
        ] {
            let problems = read(text).unwrap_err();
            let [problem] = problems.as_slice() else { panic!("{text}: {problems:?}") };
            assert!(problem.place.ends_with(&format!("{FILE}{place}")), "{problem}");
            assert!(problem.message.starts_with(message), "{problem}");
        }
    }
}
