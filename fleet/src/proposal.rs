//! What is signed and put into the tree. Where more people must sign than are here, it waits at the carrier,
//! in things that never change: what is to be signed, and each signature by the number of its key.

use std::collections::BTreeMap;

use as112d::commands::Failure;
use as112d::limits::{RELEASE_MANIFEST_LEN_MAX, RELEASE_SIGNATURES_LEN_MAX};
use as112d::release::layout::{self, MANIFEST, ROLL, SIGNATURES};
use as112d::release::{Digest, KeyId, Keys, Manifest, Pointer, SignedLine};

use crate::carry::Fault;
use crate::desk::{Desk, cannot, usage};
use crate::roll::Roll;
use crate::sign::Signers;

/// Where what waits for signatures lies.
pub const DRAFTS: &str = "drafts";
/// Lines of a signature.
const SIGNATURE_LINES: usize = 4;
/// What is to be signed.
const CONTENT: &str = "content";

/// Something that is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// The manifest of a release.
    Manifest(Box<Manifest>),
    /// A roll.
    Roll(Box<Roll>),
    /// A pointer.
    Pointer(Box<Pointer>),
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is in the tree.
    Done,
    /// So many more people must sign.
    Waits(usize),
}

impl Proposal {
    /// Reads what is to be signed.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if let Ok(manifest) = Manifest::parse(bytes) {
            return Some(Self::Manifest(Box::new(manifest)));
        }
        let text = str::from_utf8(bytes).ok()?;
        let pointer = || Pointer::parse(text).ok().map(|pointer| Self::Pointer(Box::new(pointer)));
        Roll::parse(text).ok().map(|roll| Self::Roll(Box::new(roll))).or_else(pointer)
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Manifest(manifest) => manifest.to_bytes(),
            Self::Roll(roll) => roll.to_line().into_bytes(),
            Self::Pointer(pointer) => pointer.to_line().into_bytes(),
        }
    }

    /// What it is, in a few words, which are signed with it.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Manifest(manifest) => format!("release {} of {}", manifest.number, manifest.fleet),
            Self::Roll(roll) => format!("roll of {} in {}", roll.release, roll.fleet),
            Self::Pointer(pointer) => {
                let kind = format!("{:?}", pointer.kind).to_lowercase();
                let mut words = format!("pointer of {} in {}: {kind}", pointer.scope, pointer.fleet);
                if let Some(release) = &pointer.release {
                    words.push_str(&format!(" {release}"));
                }
                if pointer.share < 100 {
                    words.push_str(&format!(" for {} %", pointer.share));
                }
                match pointer.drain {
                    Some(0) => words.push_str(", undrained"),
                    Some(seconds) => words.push_str(&format!(", drained for {seconds} s")),
                    None => {}
                }
                words
            }
        }
    }

    /// Who made it, and when, as far as it says that.
    #[must_use]
    pub fn made(&self) -> String {
        match self {
            Self::Manifest(manifest) => manifest.made_at.to_string(),
            Self::Roll(roll) => format!("{} {}", roll.by, roll.made_at),
            Self::Pointer(pointer) => format!("{} {}", pointer.by, pointer.made_at),
        }
    }

    /// The order in which things are put into the tree: a pointer names what is there.
    fn rank(&self) -> u8 {
        match self {
            Self::Manifest(_) => 0,
            Self::Roll(_) => 1,
            Self::Pointer(_) => 2,
        }
    }
}

/// Signs something and puts it into the tree, or leaves it there for others to sign. `new` are the keys that
/// a release is about to bring: they sign it, and the pointers to it, as well.
///
/// # Errors
/// It cannot be signed, or somebody else has changed what it takes the place of.
pub async fn put(
    desk: &Desk,
    signers: &Signers,
    proposal: &Proposal,
    new: Option<&Keys>,
) -> Result<Put, Failure> {
    let bytes = proposal.bytes();
    let digest = Digest::of(&bytes);
    let lists: Vec<&Keys> = [desk.eras.now()].into_iter().chain(new).collect();
    let mut signatures = waiting_signatures(desk, &digest, &bytes, &lists).await?;
    let signed = signers
        .sign(&bytes, &proposal.words(), &lists)
        .map_err(|problem| Failure { problems: vec![problem], code: crate::desk::USAGE })?;
    for (id, signature) in signed {
        signatures.insert(id.to_string(), signature);
    }
    let all: String = signatures.values().map(String::as_str).collect();
    let missing = |keys: &&Keys| {
        let have = keys.signers(&bytes, &all).map_or(0, |by| by.len());
        usize::from(keys.threshold()).saturating_sub(have)
    };
    let missing = lists.iter().map(missing).max().unwrap_or_default();
    if missing > 0 {
        keep(desk, &digest, &bytes, &signatures).await?;
        return Ok(Put::Waits(missing));
    }
    enter(desk, proposal, &bytes, &all).await.map(|()| Put::Done)
}

/// Puts what is signed to its place.
async fn enter(desk: &Desk, proposal: &Proposal, bytes: &[u8], signatures: &str) -> Result<(), Failure> {
    let line = String::from_utf8_lossy(bytes);
    let file = SignedLine { line: &line, signatures }.to_file().into_bytes();
    match proposal {
        Proposal::Manifest(manifest) => {
            let folder = layout::source_release(&Digest::of(bytes));
            // Where keys change, nodes look for the change before they can verify anything after it.
            let era = manifest.keys.as_ref().map(|_| layout::era(desk.eras_there + 1));
            for folder in [Some(folder), era].into_iter().flatten() {
                store(desk, &format!("{folder}/{MANIFEST}"), bytes).await?;
                store(desk, &format!("{folder}/{SIGNATURES}"), signatures.as_bytes()).await?;
            }
            Ok(())
        }
        Proposal::Roll(roll) => {
            let held = desk.roll().await?;
            if held.as_ref().and_then(|held| held.content()).is_some_and(|held| held.serial >= roll.serial) {
                return Err(usage("there is a newer roll; look at `status`, then publish again"));
            }
            swap(desk, ROLL, held.map(|held| held.raw).as_deref(), &file).await
        }
        Proposal::Pointer(pointer) => {
            let pointers = desk.pointers().await?;
            let held = pointers.get(&pointer.scope);
            if let Some(newer) =
                held.and_then(|held| held.content()).filter(|held| held.serial >= pointer.serial)
            {
                return Err(usage(format!(
                    "{} has changed the pointer of {} meanwhile; look at `status`, then try again",
                    newer.by, newer.scope
                )));
            }
            swap(desk, &layout::source_pointer(&pointer.scope), held.map(|held| held.raw.as_slice()), &file)
                .await
        }
    }
}

async fn swap(desk: &Desk, name: &str, old: Option<&[u8]>, new: &[u8]) -> Result<(), Failure> {
    desk.carrier.swap(name, old, new).await.map_err(|fault| cannot(name, &fault))?;
    // What an engine acknowledges is not yet what it keeps.
    let found = desk.read(name, new.len()).await?;
    if found.as_deref() != Some(new) {
        return Err(usage(format!("{name}: it is not what was just written there; try again")));
    }
    Ok(())
}

/// Stores what never changes, and reads it back.
///
/// # Errors
/// The carrier refuses, or has something else by that name.
pub async fn store(desk: &Desk, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    desk.carrier.store(name, bytes).await.map_err(|fault| cannot(name, &fault))?;
    let found = match desk.carrier.read(name, bytes.len() as u64).await {
        Err(Fault::TooLong(_)) => None,
        found => found.map_err(|fault| cannot(name, &fault))?,
    };
    if found.as_deref() != Some(bytes) {
        let words = "the carrier has something else by that name, which never changes; remove it there";
        return Err(usage(format!("{name}: {words}")));
    }
    Ok(())
}

async fn keep(
    desk: &Desk,
    digest: &Digest,
    bytes: &[u8],
    signatures: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let folder = format!("{DRAFTS}/{digest}");
    store(desk, &format!("{folder}/{CONTENT}"), bytes).await?;
    for (id, signature) in signatures {
        // A signature that the same key made before is as good; it has other bytes.
        let name = format!("{folder}/{id}.sig");
        if desk.read(&name, RELEASE_SIGNATURES_LEN_MAX).await?.is_none() {
            store(desk, &name, signature.as_bytes()).await?;
        }
    }
    Ok(())
}

/// The signatures that others have left, as far as they are right.
async fn waiting_signatures(
    desk: &Desk,
    digest: &Digest,
    bytes: &[u8],
    lists: &[&Keys],
) -> Result<BTreeMap<String, String>, Failure> {
    let folder = format!("{DRAFTS}/{digest}");
    let mut found = BTreeMap::new();
    for name in desk.list(&folder).await? {
        let Some(id) = name.strip_suffix(".sig") else { continue };
        let Some(text) = desk.read(&format!("{folder}/{name}"), RELEASE_SIGNATURES_LEN_MAX).await? else {
            continue;
        };
        let Ok(text) = String::from_utf8(text) else { continue };
        // One signature, of the key that it is named after: nothing that only takes up room.
        let is_its = |by: Vec<KeyId>| by.iter().any(|key| key.to_string() == id);
        let is_right = lists.iter().any(|keys| keys.signers(bytes, &text).is_ok_and(is_its));
        if is_right && text.lines().count() == SIGNATURE_LINES {
            found.insert(id.to_owned(), text);
        }
    }
    Ok(found)
}

/// What waits for signatures and still matters, in the order in which it is to be signed. What nobody of the
/// fleet has signed does not wait: whoever can write at the carrier could have left it there.
///
/// # Errors
/// The carrier does not say.
pub async fn waiting(desk: &Desk) -> Result<Vec<Proposal>, Failure> {
    let (pointers, roll) = (desk.pointers().await?, desk.roll().await?);
    let mut found = Vec::new();
    for name in desk.list(DRAFTS).await? {
        let Ok(digest) = name.parse::<Digest>() else { continue };
        let content = desk.read(&format!("{DRAFTS}/{digest}/{CONTENT}"), RELEASE_MANIFEST_LEN_MAX).await?;
        let Some(bytes) = content.filter(|bytes| Digest::of(bytes) == digest) else { continue };
        let Some(proposal) = Proposal::parse(&bytes) else { continue };
        let is_open = match &proposal {
            Proposal::Manifest(manifest) => {
                let name = format!("{}/{SIGNATURES}", layout::source_release(&digest));
                manifest.fleet == desk.fleet && desk.read(&name, RELEASE_SIGNATURES_LEN_MAX).await?.is_none()
            }
            Proposal::Roll(waiting) => {
                let held = roll.as_ref().and_then(|held| held.content());
                waiting.fleet == desk.fleet && held.is_none_or(|held| held.serial < waiting.serial)
            }
            Proposal::Pointer(waiting) => {
                let held = pointers.get(&waiting.scope).and_then(|held| held.content());
                waiting.fleet == desk.fleet && held.is_none_or(|held| held.serial < waiting.serial)
            }
        };
        let signed = waiting_signatures(desk, &digest, &bytes, &[desk.eras.now()]).await?;
        if is_open && !signed.is_empty() {
            found.push(proposal);
        }
    }
    found.sort_by_key(Proposal::rank);
    Ok(found)
}
