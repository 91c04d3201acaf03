//! Who may publish: public keys, how many of them must have signed, and the check of signatures.
//!
//! Keys and signatures are minisign's: anybody can check a release with that program alone. Several
//! signatures stand one after the other, of four lines each. Only its present kind is taken, in which the
//! bytes are hashed first (BLAKE2b).

use std::fmt;
use std::str::FromStr;

use domain::utils::base64;
use minisign_verify::{Error, Signature};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::refused::{Code, Refused, shown};
use crate::limits::{RELEASE_KEYS_MAX, RELEASE_SIGNATURES_LEN_MAX, RELEASE_SIGNATURES_MAX};

/// Lines of one signature: two comments, each with what stands below it.
const SIGNATURE_LINES: usize = 4;
/// Bytes of a public key: its kind, its number, and Ed25519's 32 bytes.
const KIND_LEN: usize = 2;
/// See [`KIND_LEN`].
const NUMBER_LEN: usize = 8;

/// The number of a key, as minisign shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; NUMBER_LEN]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A public key: the second line of a file that minisign writes, `RWQ...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    id: KeyId,
    /// What is compared: the same 32 bytes with another number are the same key.
    curve: Vec<u8>,
}

impl PublicKey {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }
}

impl FromStr for PublicKey {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let bad = || {
            let words = format!(
                "`{}` is not a public key: the second line of the file that `as112d-fleet keygen` or \
                 `minisign -G` wrote, RWQ...",
                shown(text)
            );
            Refused::new(Code::BadSignature, words)
        };
        let key = minisign_verify::PublicKey::from_base64(text).map_err(|_| bad())?;
        let bytes: Vec<u8> = base64::decode(text).map_err(|_| bad())?;
        let (number, curve) =
            bytes.get(KIND_LEN..).and_then(|rest| rest.split_first_chunk::<NUMBER_LEN>()).ok_or_else(bad)?;
        Ok(Self { key, id: KeyId(*number), curve: curve.to_vec() })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: Vec<u8> = b"Ed".iter().chain(&self.id.0).chain(&self.curve).copied().collect();
        f.write_str(&base64::encode_string(&bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The keys of a fleet, and how many different ones must have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Keys {
    threshold: u8,
    keys: Vec<PublicKey>,
}

/// How they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    threshold: u8,
    keys: Vec<PublicKey>,
}

impl TryFrom<Written> for Keys {
    type Error = Refused;

    fn try_from(Written { threshold, keys }: Written) -> Result<Self, Refused> {
        Self::new(threshold, keys)
    }
}

impl Keys {
    /// These keys, of which so many must have signed.
    ///
    /// # Errors
    /// There are none or too many, one is there twice, or more must sign than there are.
    pub fn new(threshold: u8, keys: Vec<PublicKey>) -> Result<Self, Refused> {
        if keys.is_empty() {
            let words = "there is no key; name at least one public key, which `as112d-fleet keygen` makes";
            return Err(Refused::new(Code::Missing, words));
        }
        if keys.len() > RELEASE_KEYS_MAX {
            let words = format!("{} keys; a fleet has at most {RELEASE_KEYS_MAX}", keys.len());
            return Err(Refused::new(Code::TooMany, words));
        }
        if !(1..=keys.len()).contains(&usize::from(threshold)) {
            let words = format!(
                "a threshold of {threshold} with {} keys; it is at least 1 and at most that",
                keys.len()
            );
            return Err(Refused::new(Code::NotAllowed, words));
        }
        for (at, key) in keys.iter().enumerate() {
            if keys[..at].iter().any(|known| known.curve == key.curve || known.id == key.id) {
                let words =
                    format!("the key {} is there twice: one person would count for two; remove one", key.id);
                return Err(Refused::new(Code::NotAllowed, words));
            }
        }
        Ok(Self { threshold, keys })
    }

    /// How many must have signed.
    #[must_use]
    pub fn threshold(&self) -> u8 {
        self.threshold
    }

    /// The keys.
    #[must_use]
    pub fn all(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Which keys have signed these bytes: at least as many as must. What others have signed does not count.
    ///
    /// # Errors
    /// There are too few, or a signature is not one, or is of a key of these but not over these bytes.
    pub fn verify(&self, bytes: &[u8], signatures: &str) -> Result<Vec<KeyId>, Refused> {
        let by = self.signers(bytes, signatures)?;
        if by.len() < usize::from(self.threshold) {
            let known: Vec<String> = self.keys.iter().map(|key| key.id.to_string()).collect();
            let words = format!(
                "signed by {} of the keys {}, and {} must; somebody else has to sign the same bytes, or \
                 the list of keys is not the fleet's",
                by.len(),
                known.join(", "),
                self.threshold
            );
            return Err(Refused::new(Code::TooFewSignatures, words));
        }
        Ok(by)
    }

    /// Which keys have signed these bytes, however many.
    ///
    /// # Errors
    /// A signature is not one, or is of a key of these but not over these bytes.
    pub fn signers(&self, bytes: &[u8], signatures: &str) -> Result<Vec<KeyId>, Refused> {
        let mut by = Vec::new();
        for text in split(signatures)? {
            let bad = |why: &str| {
                let words = format!("a signature {why}; it was changed on its way, or is of another file");
                Refused::new(Code::BadSignature, words)
            };
            let signature = Signature::decode(&text).map_err(|_| bad("is not one"))?;
            for key in &self.keys {
                match key.key.verify(bytes, &signature, false) {
                    Err(Error::UnexpectedKeyId) => {}
                    Err(_) => return Err(bad(&format!("of the key {} is wrong", key.id))),
                    Ok(()) if by.contains(&key.id) => {}
                    Ok(()) => by.push(key.id),
                }
            }
        }
        Ok(by)
    }
}

/// The signatures of a text, one by one.
fn split(signatures: &str) -> Result<Vec<String>, Refused> {
    if signatures.len() > RELEASE_SIGNATURES_LEN_MAX {
        let words = format!(
            "signatures of {} bytes; at most {RELEASE_SIGNATURES_LEN_MAX} are read",
            signatures.len()
        );
        return Err(Refused::new(Code::TooLarge, words));
    }
    let lines: Vec<&str> = signatures.lines().collect();
    if lines.len() > SIGNATURE_LINES * RELEASE_SIGNATURES_MAX {
        let words =
            format!("more than {RELEASE_SIGNATURES_MAX} signatures; leave out those that nobody needs");
        return Err(Refused::new(Code::TooMany, words));
    }
    Ok(lines.chunks(SIGNATURE_LINES).map(|lines| lines.join("\n")).collect())
}
