//! Whose signatures count when: the keys that the node's own file names, and those that releases brought.
//!
//! A release that carries a list of keys is signed by enough of the keys before *and* enough of the new ones.
//! Releases after it, and all pointers, are signed by the new ones. Those up to it stay with the keys before:
//! a rollback to them needs a new pointer, and so a new key.

use super::digest::Digest;
use super::keys::{KeyId, Keys};
use super::manifest::Manifest;
use super::pointer::Pointer;
use super::refused::{Code, Refused};
use super::scope::Label;
use super::signed::SignedLine;
use crate::limits::RELEASE_ERAS_MAX;

/// Something that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// What it says.
    pub content: T,
    /// What it is known by: the hash of the bytes that are signed.
    pub digest: Digest,
    /// The keys that have signed it.
    pub by: Vec<KeyId>,
}

/// The keys of a fleet over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eras {
    fleet: Label,
    /// Those of the node's own file.
    local: Keys,
    /// The number of the release that brought a list, and the list; numbers grow.
    later: Vec<(u64, Keys)>,
}

impl Eras {
    /// Only the keys that the node's own file names.
    #[must_use]
    pub fn new(fleet: Label, local: Keys) -> Self {
        Self { fleet, local, later: Vec::new() }
    }

    /// Those keys, and the lists of these manifests, each with its signatures, in their order. Where the
    /// node's own file has one of the lists, it begins there.
    ///
    /// # Errors
    /// One of them is not what follows the one before.
    pub fn chain<'a>(
        fleet: Label,
        local: Keys,
        manifests: impl IntoIterator<Item = (&'a [u8], &'a str)>,
    ) -> Result<Self, Refused> {
        let manifests: Vec<_> = manifests.into_iter().take(RELEASE_ERAS_MAX + 1).collect();
        let brings = |bytes: &[u8]| Manifest::parse(bytes).ok().and_then(|manifest| manifest.keys);
        let start = manifests.iter().rposition(|(bytes, _)| brings(bytes).as_ref() == Some(&local));
        let mut eras = Self::new(fleet, local);
        for (bytes, signatures) in &manifests[start.map_or(0, |at| at + 1)..] {
            eras.advance(bytes, signatures)?;
        }
        Ok(eras)
    }

    /// The keys that count now.
    #[must_use]
    pub fn now(&self) -> &Keys {
        self.later.last().map_or(&self.local, |(_, keys)| keys)
    }

    /// How often they have changed since those of the node's own file.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.later.len()
    }

    /// The keys that sign the release of this number.
    #[must_use]
    pub fn of(&self, number: u64) -> &Keys {
        let brought = self.later.iter().rev().find(|(last, _)| *last < number);
        brought.map_or(&self.local, |(_, keys)| keys)
    }

    /// Takes the list of keys of a manifest, which counts from now on.
    ///
    /// # Errors
    /// It is not signed as it must be, carries no keys, or is older than the list that counts now.
    pub fn advance(&mut self, bytes: &[u8], signatures: &str) -> Result<(), Refused> {
        if self.later.len() >= RELEASE_ERAS_MAX {
            let words =
                format!("keys changed {RELEASE_ERAS_MAX} times; name the present ones in [fleet] keys");
            return Err(Refused::new(Code::TooMany, words));
        }
        self.now().verify(bytes, signatures)?;
        let manifest = self.read(bytes)?;
        let Some(keys) = manifest.keys else {
            let words = format!(
                "release {} carries no keys; remove it from where changes of keys are",
                manifest.number
            );
            return Err(Refused::new(Code::Missing, words));
        };
        if self.later.last().is_some_and(|(last, _)| *last >= manifest.number) {
            let words = format!("release {} carries keys, and newer ones are known", manifest.number);
            return Err(Refused::new(Code::Older, words));
        }
        keys.verify(bytes, signatures)?;
        self.later.push((manifest.number, keys));
        Ok(())
    }

    /// Reads a manifest that is signed by the keys of its number; where it carries keys, by enough of those
    /// too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn manifest(&self, bytes: &[u8], signatures: &str) -> Result<Signed<Manifest>, Refused> {
        // Only what some key of the fleet has signed is parsed; which keys it takes is known afterwards.
        let lists = || self.later.iter().rev().map(|(_, keys)| keys).chain([&self.local]);
        if let Err(refused) = self.now().verify(bytes, signatures)
            && !lists().any(|keys| keys.verify(bytes, signatures).is_ok())
        {
            return Err(refused);
        }
        let manifest = self.read(bytes)?;
        let by = self.of(manifest.number).verify(bytes, signatures)?;
        if let Some(keys) = &manifest.keys {
            keys.verify(bytes, signatures)?;
        }
        Ok(Signed { content: manifest, digest: Digest::of(bytes), by })
    }

    /// Reads a pointer that is signed by the keys that count now.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn pointer(&self, file: &[u8]) -> Result<Signed<Pointer>, Refused> {
        let signed = SignedLine::parse(file)?;
        let by = signed.verify(self.now())?;
        let pointer = Pointer::parse(signed.line)?;
        self.is_ours(&pointer.fleet)?;
        Ok(Signed { content: pointer, digest: signed.digest(), by })
    }

    fn read(&self, bytes: &[u8]) -> Result<Manifest, Refused> {
        let manifest = Manifest::parse(bytes)?;
        self.is_ours(&manifest.fleet)?;
        Ok(manifest)
    }

    fn is_ours(&self, fleet: &Label) -> Result<(), Refused> {
        if *fleet == self.fleet {
            return Ok(());
        }
        let words = format!(
            "it is of the fleet {fleet}, and this is {}; [fleet] name and source must agree",
            self.fleet
        );
        Err(Refused::new(Code::WrongFleet, words))
    }
}
