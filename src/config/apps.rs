//! Applications as an operator describes them: a directory with `app.toml` and a module for each.

mod load;
mod manifest;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

pub use load::{Loaded, load, load_all, notes};
use ring::digest::{SHA256, digest};

use super::source::Source;
use super::written::Written as _;
use crate::limits::{APPS_MAX, GUEST_MODULE_LEN_MAX, MANIFEST_LEN_MAX};
use crate::policy::{Guest, Phrase};
use crate::problem::Problem;
use crate::sys::files;
use crate::work::sandbox::settings::Manifest;

/// What a manifest is called.
pub const MANIFEST: &str = "app.toml";

/// The file that documents every key; its lines are the examples in messages.
pub const EXAMPLE: &str = include_str!("../../docs/examples/app.toml");

/// An application that was read, but is not an application yet: nobody has looked into its module.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its module, whole.
    pub module: Vec<u8>,
    /// Where each upstream stands that it may ask.
    forward: Vec<Phrase>,
    /// Where it says that it asks the resolver, if it does.
    resolve: Option<String>,
}

impl Described {
    /// As rules see it; hooks come later.
    #[must_use]
    pub fn guest(&self) -> Guest {
        let Manifest { name, place, router, fallback, limits, .. } = &self.manifest;
        let phrase = |condition: &crate::work::sandbox::settings::Condition| Phrase {
            text: condition.text.clone(),
            place: condition.place.clone(),
        };
        Guest {
            name: name.clone(),
            place: place.clone(),
            router: router.iter().map(phrase).collect(),
            hooks: Vec::new(),
            fallback: *fallback,
            queue: limits.queue,
            forward: self.forward.clone(),
            resolve: self.resolve.clone(),
        }
    }
}

/// The applications in a directory, in the order in which they are numbered.
///
/// # Errors
/// Every mistake in their manifests, and every file that cannot be read.
pub fn read_dir(dir: &Path) -> Result<Vec<Described>, Vec<Problem>> {
    let problem = |message: String| vec![Problem { place: dir.display().to_string(), message }];
    let cannot = |error| problem(format!("cannot be read ({error}); [platform] apps names it"));
    let mut dirs: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.is_dir() && !is_hidden {
            dirs.push(path);
        }
    }
    if dirs.len() > APPS_MAX {
        return Err(problem(format!("has more than {APPS_MAX} applications; remove some")));
    }
    dirs.sort();
    let (mut apps, mut problems) = (Vec::new(), Vec::new());
    for dir in dirs {
        match read(&dir) {
            Ok(app) => apps.push(app),
            Err(mistakes) => problems.extend(mistakes),
        }
    }
    apps.sort_by(|a, b| (a.manifest.order, &a.manifest.name).cmp(&(b.manifest.order, &b.manifest.name)));
    if problems.is_empty() { Ok(apps) } else { Err(problems) }
}

/// The application in this directory.
///
/// # Errors
/// Every mistake in its manifest; if there is none, what is wrong with the file of its module.
pub fn read(dir: &Path) -> Result<Described, Vec<Problem>> {
    let path = dir.join(MANIFEST);
    let place = path.display().to_string();
    let bytes = files::read(&path, MANIFEST_LEN_MAX).map_err(|error| {
        let message = format!("cannot be read ({error}): an application has a manifest; see docs/apps.md");
        vec![Problem { place: place.clone(), message }]
    })?;
    if bytes.len() as u64 > MANIFEST_LEN_MAX {
        let message =
            format!("is longer than {MANIFEST_LEN_MAX} bytes; put long lists into files of their own");
        return Err(vec![Problem { place, message }]);
    }
    let source = Source::of_bytes(place, &path, bytes).map_err(|problem| vec![problem])?;
    let read = manifest::read(&source, dir)?;
    let module = module(&read).map_err(|problem| vec![problem])?;
    let manifest::Read { manifest, forward, resolve, .. } = read;
    Ok(Described { manifest, module, forward, resolve })
}

/// What a manifest's text says, with nothing of the files that it names but what `[config]` reads.
///
/// # Errors
/// Every mistake in it.
pub fn parse(text: &str, dir: &Path) -> Result<Manifest, Vec<Problem>> {
    let source = Source::new(MANIFEST.to_owned(), &dir.join(MANIFEST), text.to_owned());
    manifest::read(&source, dir).map(|read| read.manifest)
}

fn module(read: &manifest::Read) -> Result<Vec<u8>, Problem> {
    let path = &read.manifest.module;
    let problem = |message: String| Problem { place: read.module_place.clone(), message };
    let bytes = files::read(path, GUEST_MODULE_LEN_MAX as u64)
        .map_err(|error| problem(format!("the module {} cannot be read ({error})", path.display())))?;
    if bytes.len() > GUEST_MODULE_LEN_MAX {
        let message = format!("the module {} is longer than {GUEST_MODULE_LEN_MAX} bytes", path.display());
        return Err(problem(message));
    }
    let Some((wanted, place)) = &read.sha256 else { return Ok(bytes) };
    let found = hexadecimal(digest(&SHA256, &bytes).as_ref());
    if found != *wanted {
        let message = format!(
            "the module {} is not the one that is meant: it has {found}; put the right one there, or change \
             `sha256`",
            path.display()
        );
        return Err(Problem { place: place.clone(), message });
    }
    Ok(bytes)
}

/// Whether an application can be called so.
///
/// # Errors
/// Why not, and what to give.
pub fn is_name(text: &str) -> Result<(), String> {
    manifest::Name::read(text).map(drop)
}

/// Bytes as digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
