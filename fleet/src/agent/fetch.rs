//! A release on its way to a node: its manifest, the keys that count for it, its objects, and the folder that
//! is made of them.

use std::time::Duration;

use as112d::limits::{RELEASE_MANIFEST_LEN_MAX, RELEASE_SIGNATURES_LEN_MAX};
use as112d::release::{Digest, File, Manifest, Refused, ReleaseName, Who, layout};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rand::RngExt as _;

use super::core::Trouble;
use super::folder::{Folder, Signed};
use super::keys::KeyRing;
use crate::carry::{Carrier, Fault};
use crate::limits::{LARGE_LEN, OBJECTS_AT_ONCE, SPREAD_MAX};

/// What fetching takes.
#[derive(Debug)]
pub struct Fetch<'a> {
    /// Where from.
    pub carrier: &'a Carrier,
    /// Where to.
    pub folder: &'a Folder,
    /// Whose signatures count.
    pub keys: &'a KeyRing,
    /// For whom.
    pub who: &'a Who,
    /// The program that will serve it.
    pub program: &'a semver::Version,
    /// How much of the disk stays free, in percent.
    pub min_free: u64,
    /// Releases that must stay.
    pub needed: &'a [ReleaseName],
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Away(text) => Self::Away(text),
            fault => Self::Refused(fault.to_string()),
        }
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.to_string())
    }
}

impl Fetch<'_> {
    /// Fetches a release, and makes its folder. With `again`, objects that are there are hashed again.
    ///
    /// # Errors
    /// Why it is not there.
    pub async fn release(&self, name: &ReleaseName, again: bool) -> Result<(), Trouble> {
        let (signed, manifest) = self.manifest(name).await?;
        manifest.fits(self.program)?;
        let mut parts: Vec<&File> = manifest.parts(self.who).collect();
        // Two files with the same bytes are one object.
        parts.sort_unstable_by_key(|file| file.sha256);
        parts.dedup_by_key(|file| file.sha256);
        parts.retain(|file| !self.folder.has(&file.sha256, file.len, again));
        self.make_room(&parts)?;
        let fetches = stream::iter(parts.into_iter().map(|file| self.object(file, again)));
        fetches.buffer_unordered(OBJECTS_AT_ONCE).try_collect::<()>().await?;
        self.folder.build(name, &signed, &manifest, self.who)
    }

    async fn manifest(&self, name: &ReleaseName) -> Result<(Signed, Manifest), Trouble> {
        let signed = match self.folder.manifest(name) {
            Some(signed) => signed,
            None => self.signed(&format!("{}/{}", layout::RELEASES, name.digest)).await?,
        };
        let found = Digest::of(&signed.manifest);
        if found != name.digest {
            let words = format!("wrong-hash: the manifest of {name} hashes to {}", found.short());
            return Err(Trouble::Refused(words));
        }
        let manifest = self.keys.manifest(&signed, self.carrier, self.folder).await?;
        if manifest.number != name.number {
            let words = format!(
                "not-allowed: the pointer says {name}, and the manifest is number {}",
                manifest.number
            );
            return Err(Trouble::Refused(words));
        }
        Ok((signed, manifest))
    }

    /// A manifest and its signatures in a folder of the source.
    async fn signed(&self, folder: &str) -> Result<Signed, Trouble> {
        read_signed(self.carrier, folder).await?.ok_or_else(|| {
            Trouble::Away(format!("missing: the source does not have {folder}; publish it again"))
        })
    }

    /// That there is room for these files, and `min_free` besides.
    fn make_room(&self, files: &[&File]) -> Result<(), Trouble> {
        let needed: u64 = files.iter().map(|file| file.len).sum();
        let is_enough = || {
            let (free, of) =
                self.folder.room().map_err(|error| super::folder::trouble(self.folder.root(), &error))?;
            let least = of / 100 * self.min_free;
            if free >= least.saturating_add(needed) {
                return Ok(());
            }
            Err(Trouble::Disk(format!(
                "disk: {}: {needed} bytes are to come, {free} are free, and {}% of {of} stay so; make room",
                self.folder.root().display(),
                self.min_free
            )))
        };
        if is_enough().is_ok() {
            return Ok(());
        }
        let awaited: Vec<Digest> = files.iter().map(|file| file.sha256).collect();
        // Releases that are only history go first.
        self.folder.prune(self.needed, &awaited, self.needed.len())?;
        is_enough()
    }

    async fn object(&self, file: &File, again: bool) -> Result<(), Trouble> {
        let File { len, sha256, path, .. } = file;
        if *len > LARGE_LEN && !again {
            let spread = rand::rng().random_range(Duration::ZERO..SPREAD_MAX);
            tokio::time::sleep(spread).await;
        }
        let mut partial = self.folder.partial(sha256, *len)?;
        let name = layout::object(sha256);
        let fetched = self.carrier.fetch(&name, &mut partial).await;
        match fetched {
            Ok(true) if partial.is_whole() => self.folder.keep(partial, sha256),
            Ok(true) => {
                let have = partial.have();
                partial.restart()?;
                Err(Trouble::Refused(format!("short: {path}: it has {have} bytes of {len} there")))
            }
            Ok(false) => {
                Err(Trouble::Away(format!("missing: the source does not have {path} ({})", sha256.short())))
            }
            Err(fault @ Fault::TooLong(_)) => {
                partial.restart()?;
                Err(Trouble::Refused(format!("long: {path}: {fault}")))
            }
            Err(Fault::Away(text)) => Err(Trouble::Away(format!("{path}: {text}"))),
            Err(fault) => Err(Trouble::Refused(format!("{path}: {fault}"))),
        }
    }
}

/// A manifest and its signatures in a folder of a source, if they are there.
pub(super) async fn read_signed(carrier: &Carrier, folder: &str) -> Result<Option<Signed>, Trouble> {
    let read = async |name: &str, len_max: usize| {
        carrier.read(&format!("{folder}/{name}"), len_max as u64).await.map_err(Trouble::from)
    };
    let Some(manifest) = read(layout::MANIFEST, RELEASE_MANIFEST_LEN_MAX).await? else { return Ok(None) };
    let Some(signatures) = read(layout::SIGNATURES, RELEASE_SIGNATURES_LEN_MAX).await? else {
        return Ok(None);
    };
    let signatures = String::from_utf8(signatures).map_err(|_| {
        Trouble::Refused(format!("bad-signature: {folder}/{}: it is not text", layout::SIGNATURES))
    })?;
    Ok(Some(Signed { manifest, signatures }))
}

/// Where a source has the pointer of a scope, below the fleet's folder.
#[must_use]
pub fn pointer_name(scope: &as112d::release::Scope) -> String {
    format!("{}/{scope}", layout::POINTERS)
}
