//! The manifest: which files a release has, and what they hash to.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::keys::Keys;
use super::path::RelPath;
use super::refused::{Code, Refused};
use super::scope::{Label, Scope, Who};
use super::words::Words;
use crate::limits::{
    MADE_LEN_MAX, RELEASE_FILE_LEN_MAX, RELEASE_FILES_MAX, RELEASE_LEN_MAX, RELEASE_MANIFEST_LEN_MAX,
};

/// The format that this program reads and writes.
pub const FORMAT: u32 = 1;
/// The name of the one file of each scope that is laid over a node's own configuration.
pub const CONFIG: &str = "config.toml";

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Settings that are laid over those of the node.
    Config,
    /// A zone file.
    Zone,
    /// A file of many zones.
    Pack,
    /// Networks, names or places: what a `[[map]]`, a list or a database is read from.
    Map,
    /// Rules.
    Rules,
    /// Part of an application.
    App,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where it lies.
    pub path: RelPath,
    /// Its bytes.
    pub len: u64,
    /// What they hash to.
    pub sha256: Digest,
    /// What it is for.
    pub kind: Kind,
    /// Who takes it.
    #[serde(rename = "for")]
    pub scope: Scope,
}

/// What a release consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Whose release it is.
    pub fleet: Label,
    /// Which one: greater than that of all before.
    pub number: u64,
    /// The manifest of the release before, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When it was made, for people: no node decides by it.
    pub made_at: Words<MADE_LEN_MAX>,
    /// The oldest program that can serve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<Version>,
    /// The keys that sign from now on, if they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// The files, by path.
    pub files: Vec<File>,
}

/// Enough of any manifest to say why it cannot be read.
#[derive(Deserialize)]
struct Any {
    format: u32,
}

impl Manifest {
    /// Reads a manifest. Its signatures are the caller's matter, and are to be checked first.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > RELEASE_MANIFEST_LEN_MAX {
            let words =
                format!("a manifest of {} bytes; at most {RELEASE_MANIFEST_LEN_MAX} are read", bytes.len());
            return Err(Refused::new(Code::TooLarge, words));
        }
        let manifest: Self = json(bytes, "manifest")?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The bytes that are signed.
    ///
    /// # Panics
    /// Never: all that it has can be written as JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("keys are texts, and nothing in it can fail");
        bytes.push(b'\n');
        bytes
    }

    /// What is wrong with it, besides its form. Whoever makes one asks before it is signed.
    ///
    /// # Errors
    /// See [`Manifest::parse`].
    pub fn check(&self) -> Result<(), Refused> {
        let refuse = |code, words: String| Err(Refused::new(code, words));
        if self.format != FORMAT {
            let words =
                format!("a manifest of format {}, and this program reads {FORMAT}; upgrade it", self.format);
            return refuse(Code::UnknownFormat, words);
        }
        if self.number == 0 {
            return refuse(Code::NotAllowed, "release 0: they are numbered from 1".to_owned());
        }
        if self.files.len() > RELEASE_FILES_MAX {
            let words = format!(
                "{} files; a release has at most {RELEASE_FILES_MAX}: put zones into packs",
                self.files.len()
            );
            return refuse(Code::TooMany, words);
        }
        let mut total = 0_u64;
        for file in &self.files {
            file.check()?;
            total = total.saturating_add(file.len);
        }
        if total > RELEASE_LEN_MAX {
            let words = format!("its files have {total} bytes; at most {RELEASE_LEN_MAX} are taken");
            return refuse(Code::TooLarge, words);
        }
        for [one, next] in self.files.array_windows() {
            if one.path >= next.path {
                let words = format!(
                    "{} stands after {}: files are in the order of their paths, each once",
                    next.path, one.path
                );
                return refuse(Code::BadPath, words);
            }
        }
        for file in &self.files {
            if let Some(file_too) = file.path.directories().find(|directory| self.file(directory).is_some()) {
                let words = format!("{} lies in {file_too}, which is a file", file.path);
                return refuse(Code::BadPath, words);
            }
        }
        Ok(())
    }

    /// The file at this path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&File> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path));
        at.ok().map(|at| &self.files[at])
    }

    /// The files that a node takes: those of the fleet, of its colo and of itself.
    pub fn parts<'a>(&'a self, who: &'a Who) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(|file| who.has(&file.scope))
    }

    /// Whether this program can serve it.
    ///
    /// # Errors
    /// It is too old.
    pub fn fits(&self, program: &Version) -> Result<(), Refused> {
        match &self.min_version {
            Some(needed) if needed > program => {
                let words = format!(
                    "release {} needs as112d {needed}, and this is {program}; upgrade it",
                    self.number
                );
                Err(Refused::new(Code::NeedsVersion, words))
            }
            _ => Ok(()),
        }
    }
}

impl File {
    fn check(&self) -> Result<(), Refused> {
        let Self { path, len, scope, kind, .. } = self;
        if *len > RELEASE_FILE_LEN_MAX {
            let words = format!("it has {len} bytes; at most {RELEASE_FILE_LEN_MAX} are taken");
            return Err(Refused::new(Code::TooLarge, words).of(path));
        }
        let place = path.scope()?;
        if place != *scope {
            let words = format!("it is for {scope}, and lies where files for {place} do; move it");
            return Err(Refused::new(Code::NotAllowed, words).of(path));
        }
        if (*kind == Kind::Config) != is_config(path, scope) {
            let words =
                format!("the configuration of a scope, and nothing else, is its `{CONFIG}`; rename it");
            return Err(Refused::new(Code::NotAllowed, words).of(path));
        }
        Ok(())
    }
}

/// Whether the file at this path is the configuration of its scope.
fn is_config(path: &RelPath, scope: &Scope) -> bool {
    let above = if *scope == Scope::Fleet { 0 } else { 2 };
    path.parts().skip(above).eq([CONFIG])
}

/// Reads JSON of the format that this program knows.
pub(super) fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice::<Any>(bytes) {
        Ok(Any { format }) if format != FORMAT => {
            let words = format!("a {what} of format {format}, and this program reads {FORMAT}; upgrade it");
            Refused::new(Code::UnknownFormat, words)
        }
        _ => Refused::new(Code::UnknownFormat, format!("not a {what}: {error}")),
    })
}

/// What a release is known by: its number for people, and the hash of its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseName {
    /// The manifest's number.
    pub number: u64,
    /// The hash of the manifest's bytes.
    pub digest: Digest,
}

impl fmt::Display for ReleaseName {
    /// `41-abcdef12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.number, self.digest.short())
    }
}
