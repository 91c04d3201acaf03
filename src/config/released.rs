//! The releases in a node's directory: which of them is meant, and whether it may take effect. Others write
//! there: nothing is believed but what is signed, and nobody goes back without a signed word.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use semver::Version;

use super::fleet::Fleet;
use crate::limits::{
    POINTER_LEN_MAX, RELEASE_ERAS_MAX, RELEASE_MANIFEST_LEN_MAX, RELEASE_SIGNATURES_LEN_MAX,
};
use crate::problem::Problem;
use crate::release::manifest::Kind as FileKind;
use crate::release::pointer::Kind;
use crate::release::{
    Code, Eras, File, KeyId, Manifest, Pointer, Pointers, Refused, RelPath, ReleaseName, Scope, Signed,
    Taken, layout,
};
use crate::sys::beneath::Folder;
use crate::sys::trusted::{Broken, Seal, Trust};

/// Which release of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that the node should have.
    Current,
    /// The last one that has proved itself.
    Good,
}

impl Which {
    /// What the link to it is called.
    #[must_use]
    pub const fn link(self) -> &'static str {
        match self {
            Self::Current => layout::CURRENT,
            Self::Good => layout::GOOD,
        }
    }
}

/// What a process knows of the releases that it has had: nobody turns it back. Copies know the same.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    /// The newest pointers that were seen.
    pointers: Pointers,
    /// The release in effect, and since when.
    in_force: Option<(ReleaseName, Instant)>,
    /// The one before.
    before: Option<ReleaseName>,
    /// The highest number that was in effect.
    highest: u64,
}

impl Known {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The release of this name is in effect from now on, or none is.
    pub fn took(&self, name: Option<ReleaseName>, now: Instant) {
        let mut memory = self.memory();
        let before = memory.in_force.map(|(name, _)| name);
        if before == name {
            return;
        }
        memory.highest = memory.highest.max(name.map_or(0, |name| name.number));
        memory.before = before;
        memory.in_force = name.map(|name| (name, now));
    }

    /// Notes the pointers that a directory has, which are verified.
    fn note(&self, fleet: &Fleet, pointers: Vec<(String, Pointer)>) -> Result<(), Refused> {
        let mut memory = self.memory();
        for (place, pointer) in pointers {
            let (scope, serial) = (pointer.scope.clone(), pointer.serial);
            let refused = match memory.pointers.note(&fleet.who, pointer) {
                Taken::New | Taken::Known => continue,
                Taken::Older => {
                    Refused::new(Code::Older, format!("serial {serial}, and a later one of {scope} was seen"))
                }
                Taken::Clash => Refused::new(
                    Code::Replayed,
                    format!(
                        "another pointer of {scope} with the serial {serial} was seen; publish a new one"
                    ),
                ),
                Taken::Foreign => {
                    Refused::new(Code::WrongFleet, format!("it is for {scope}, which this node is not in"))
                }
            };
            return Err(refused.of(place));
        }
        Ok(())
    }

    /// Whether the release `name` may be the current one.
    fn allows(&self, fleet: &Fleet, name: &ReleaseName, now: Instant) -> Result<(), Refused> {
        let memory = self.memory();
        let in_force = memory.in_force.map(|(name, _)| name);
        if in_force == Some(*name) {
            return Ok(());
        }
        let pointer = memory.pointers.effective();
        let bake =
            pointer.and_then(|pointer| pointer.bake).map_or(fleet.bake, |s| Duration::from_secs(s.into()));
        let is_baking = memory.in_force.is_some_and(|(_, since)| now.duration_since(since) <= bake);
        if is_baking && bake > Duration::ZERO && memory.before == Some(*name) {
            return Ok(());
        }
        let Some(pointer) = pointer else {
            let is_same = in_force.is_some_and(|other| other.number == name.number);
            return if is_same {
                let words = format!("another release {} is in effect; publish a new one", name.number);
                Err(Refused::new(Code::Replayed, words))
            } else if name.number < memory.highest {
                let words = format!("release {} was in effect; a pointer must want this one", memory.highest);
                Err(Refused::new(Code::Older, words))
            } else {
                Ok(())
            };
        };
        let scope = &pointer.scope;
        match (pointer.kind, pointer.wanted(&fleet.who), in_force) {
            (_, Some(wanted), _) if wanted == name => Ok(()),
            (_, Some(wanted), _) => {
                let code = if name.number < wanted.number { Code::Older } else { Code::NotAllowed };
                let words =
                    format!("it is {name}, and the pointer of {scope} wants {wanted}; let the agent run");
                Err(Refused::new(code, words))
            }
            (Kind::Hold, _, Some(stays)) => {
                let words =
                    format!("it is {name}, and the pointer of {scope} holds {stays}; publish another");
                Err(Refused::new(Code::NotAllowed, words))
            }
            _ => Ok(()),
        }
    }
}

/// A release whose manifest is verified. Its files are verified as they are read.
#[derive(Clone, Debug)]
pub struct Release {
    /// What it is known by.
    pub name: ReleaseName,
    /// Which one it is.
    pub which: Which,
    /// The keys that have signed it.
    pub verified_by: Vec<KeyId>,
    /// Where its files lie.
    pub root: PathBuf,
    /// Those that the node takes, and nothing else.
    pub trust: Trust,
    /// Their paths.
    paths: Vec<RelPath>,
    /// Of the fleet, of the colo, of the node.
    configs: Vec<RelPath>,
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<String> = self.verified_by.iter().map(ToString::to_string).collect();
        write!(f, "{}, {} files for this node, signed by {}", self.name, self.paths.len(), by.join(", "))
    }
}

impl Release {
    /// The configurations, each over the one before.
    pub(super) fn configs(&self) -> impl Iterator<Item = PathBuf> {
        self.configs.iter().map(|path| self.root.join(path))
    }

    /// Whether it has this file for the node.
    pub(super) fn has_file(&self, path: &RelPath) -> bool {
        self.paths.binary_search(path).is_ok()
    }

    /// Whether it has files for the node in this directory.
    pub(super) fn has_folder(&self, path: &RelPath) -> bool {
        self.paths.iter().any(|file| file.directories().any(|directory| directory == path.as_str()))
    }

    /// Whether it is to blame for a problem.
    pub(super) fn concerns(&self, problem: &Problem) -> bool {
        names(problem, &self.root)
    }

    /// What is said when files are not what was signed, besides what reading them has led to.
    #[must_use]
    pub fn judged(&self, found: Vec<Problem>) -> Vec<Problem> {
        let broken = self.trust.broken();
        let others = found.into_iter().filter(|problem| !broken.iter().any(|(path, _)| names(problem, path)));
        let told = broken.iter().map(|(path, broken)| Problem {
            place: path.display().to_string(),
            message: format!("{}: {broken}; fetch release {} again", broken.code(), self.name),
        });
        told.chain(others).collect()
    }
}

/// Whether a problem is one of what lies at `path`.
fn names(problem: &Problem, path: &Path) -> bool {
    let path = path.display().to_string();
    problem.place.starts_with(&path) || problem.message.contains(&path)
}

/// The release in the directory of `fleet`; none if there is none yet.
///
/// # Errors
/// Why it may not take effect.
pub fn open(fleet: &Fleet, which: Which, known: &Known) -> Result<Option<Release>, Problem> {
    let reader = Reader { fleet, which };
    reader.open(known).map_err(Problem::from)
}

struct Reader<'a> {
    fleet: &'a Fleet,
    which: Which,
}

impl Reader<'_> {
    fn open(&self, known: &Known) -> Result<Option<Release>, Refused> {
        let Some((folder, target)) = self.target()? else {
            return match known.memory().in_force {
                Some((name, _)) if self.which == Which::Current => {
                    let words = format!("it is gone, and {name} is in effect; let the agent run");
                    Err(Refused::new(Code::Missing, words).of(self.at(layout::CURRENT)))
                }
                _ => Ok(None),
            };
        };
        let eras = self.eras(&folder)?;
        let signed = self.manifest(&folder, &target, &eras)?;
        let name = ReleaseName { number: signed.content.number, digest: signed.digest };
        let place = self.at(self.which.link());
        if Path::new(&layout::release(&name)) != target {
            let words = format!("it leads to {}, and {name} is there", target.display());
            return Err(Refused::new(Code::WrongHash, words).of(place));
        }
        let program = Version::parse(env!("CARGO_PKG_VERSION")).expect("packages have such versions");
        signed.content.fits(&program).map_err(|refused| refused.of(&place))?;
        if self.which == Which::Current {
            known.note(self.fleet, self.pointers(&folder, &eras)?)?;
            known.allows(self.fleet, &name, Instant::now()).map_err(|refused| refused.of(&place))?;
        }
        self.release(&folder, &target, name, signed).map(Some)
    }

    fn at(&self, path: &str) -> String {
        self.fleet.dir.join(path).display().to_string()
    }

    /// The directory, and where in it the link leads; nothing if either is not there.
    fn target(&self) -> Result<Option<(Folder, PathBuf)>, Refused> {
        let place = || self.at(self.which.link());
        let folder = match Folder::open(&self.fleet.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| refused(&Broken::of(&error)).of(self.fleet.dir.display()))?,
        };
        let target = match folder.link(Path::new(self.which.link())) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let words =
                    format!("it is not a link to a release ({error}); remove it, and let the agent run");
                return Err(Refused::new(Code::NotAFile, words).of(place()));
            }
            Ok(target) => target,
        };
        let mut parts = target.components();
        let is_release = parts.next() == Some(Component::Normal(layout::RELEASES.as_ref()))
            && matches!(parts.next(), Some(Component::Normal(_)))
            && parts.next().is_none();
        if !is_release {
            let words = format!("it leads to `{}`, which is not a release", target.display());
            return Err(Refused::new(Code::BadPath, words).of(place()));
        }
        Ok(Some((folder, target)))
    }

    /// A file of the directory, if it is there.
    fn read(&self, folder: &Folder, path: &Path, len_max: usize) -> Result<Option<Vec<u8>>, Refused> {
        let mut bytes = Vec::new();
        let read = folder.file(path).and_then(|file| file.take(len_max as u64 + 1).read_to_end(&mut bytes));
        let place = || self.at(&path.display().to_string());
        match read {
            Ok(_) if bytes.len() > len_max => {
                let words = format!("it has more than the {len_max} bytes that are read");
                Err(Refused::new(Code::TooLarge, words).of(place()))
            }
            Ok(_) => Ok(Some(bytes)),
            Err(error) => match Broken::of(&error) {
                Broken::Missing => Ok(None),
                broken => Err(refused(&broken).of(place())),
            },
        }
    }

    /// The manifest in this directory of a release, and the signatures over it.
    fn signed(&self, folder: &Folder, at: &Path) -> Result<Option<(Vec<u8>, String)>, Refused> {
        let (manifest, signatures) = (at.join(layout::MANIFEST), at.join(layout::SIGNATURES));
        let Some(bytes) = self.read(folder, &manifest, RELEASE_MANIFEST_LEN_MAX)? else { return Ok(None) };
        let text = self.read(folder, &signatures, RELEASE_SIGNATURES_LEN_MAX)?;
        let text = text.ok_or_else(|| {
            Refused::new(Code::TooFewSignatures, "there are no signatures; fetch the release again")
        });
        let place = self.at(&signatures.display().to_string());
        let text = text.and_then(|text| {
            String::from_utf8(text).map_err(|_| Refused::new(Code::BadSignature, "it is not text"))
        });
        Ok(Some((bytes, text.map_err(|refused| refused.of(place))?)))
    }

    /// Whose signatures count.
    fn eras(&self, folder: &Folder) -> Result<Eras, Refused> {
        let mut manifests = Vec::new();
        for number in 1..=RELEASE_ERAS_MAX + 1 {
            match self.signed(folder, Path::new(&layout::era(number)))? {
                Some(signed) => manifests.push(signed),
                None => break,
            }
        }
        let manifests = manifests.iter().map(|(bytes, signatures)| (&bytes[..], &signatures[..]));
        Eras::chain(self.fleet.who.fleet.clone(), self.fleet.keys.clone(), manifests)
            .map_err(|refused| refused.of(self.at(layout::ERAS)))
    }

    fn manifest(&self, folder: &Folder, at: &Path, eras: &Eras) -> Result<Signed<Manifest>, Refused> {
        let place = self.at(&at.join(layout::MANIFEST).display().to_string());
        let found = self.signed(folder, at)?;
        let (bytes, signatures) = found.ok_or_else(|| {
            Refused::new(Code::Missing, "the manifest is not there; fetch the release again").of(&place)
        })?;
        eras.manifest(&bytes, &signatures).map_err(|refused| refused.of(place))
    }

    /// The pointers of the directory, each with its place.
    fn pointers(&self, folder: &Folder, eras: &Eras) -> Result<Vec<(String, Pointer)>, Refused> {
        let mut pointers = Vec::new();
        for scope in self.fleet.who.scopes() {
            let path = layout::pointer(&scope);
            let Some(bytes) = self.read(folder, Path::new(&path), POINTER_LEN_MAX)? else { continue };
            let place = self.at(&path);
            let signed = eras.pointer(&bytes).map_err(|refused| refused.of(&place))?;
            pointers.push((place, signed.content));
        }
        Ok(pointers)
    }

    fn release(
        &self,
        folder: &Folder,
        at: &Path,
        name: ReleaseName,
        signed: Signed<Manifest>,
    ) -> Result<Release, Refused> {
        let parts: Vec<&File> = signed.content.parts(&self.fleet.who).collect();
        let seal =
            |file: &File| (PathBuf::from(file.path.as_str()), Seal { len: file.len, sha256: file.sha256.0 });
        let seals: BTreeMap<PathBuf, Seal> = parts.iter().map(|file| seal(file)).collect();
        let below = at.join(layout::FILES);
        let root = self.fleet.dir.join(&below);
        let opened = folder.folder(&below);
        let files = opened.map_err(|error| refused(&Broken::of(&error)).of(root.display()))?;
        let mut configs: Vec<&&File> = parts.iter().filter(|file| file.kind == FileKind::Config).collect();
        configs.sort_by_key(|file| match file.scope {
            Scope::Fleet => 0,
            Scope::Colo(_) => 1,
            Scope::Node(_) => 2,
        });
        Ok(Release {
            name,
            which: self.which,
            verified_by: signed.by,
            trust: Trust::sealed(root.clone(), files, seals),
            root,
            configs: configs.into_iter().map(|file| file.path.clone()).collect(),
            paths: parts.iter().map(|file| file.path.clone()).collect(),
        })
    }
}

/// The same in the words of releases.
fn refused(broken: &Broken) -> Refused {
    let code = Code::ALL.into_iter().find(|code| code.word() == broken.code()).unwrap_or(Code::Missing);
    Refused::new(code, format!("{broken}; let the agent fetch it again"))
}
