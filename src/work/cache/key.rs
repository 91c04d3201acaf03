//! What answers are kept by.

use std::hash::{Hash, Hasher};

use arrayvec::ArrayVec;
use ipnet::IpNet;
use quick_cache::Equivalent;

use crate::dns::consts::NAME_LEN_MAX;

/// What an answer is asked for by.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Whose answers: a number of the upstream.
    pub view: u32,
    /// The name, uncompressed, in any case.
    pub qname: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The CD bit.
    pub checking_disabled: bool,
    /// What is sent of the client's address, if anything is (RFC 7871).
    pub subnet: Option<IpNet>,
}

/// Bytes before the name: view, type, class, bits.
const FIXED_LEN: usize = 9;
const DNSSEC_OK: u8 = 1;
const CHECKING_DISABLED: u8 = 2;

/// A key on the stack, in the form in which keys are compared. It is without the subnet: an entry has the
/// answers for all of them.
pub(super) struct Probe(ArrayVec<u8, { FIXED_LEN + NAME_LEN_MAX }>);

/// A key in the cache.
#[derive(Debug)]
pub(super) struct Kept(Box<[u8]>);

impl Probe {
    /// `None` for a name that is too long.
    pub(super) fn new(key: &Key<'_>) -> Option<Self> {
        let mut bytes = ArrayVec::new();
        let dnssec_ok = if key.dnssec_ok { DNSSEC_OK } else { 0 };
        let checking_disabled = if key.checking_disabled { CHECKING_DISABLED } else { 0 };
        bytes.try_extend_from_slice(&key.view.to_be_bytes()).ok()?;
        bytes.try_extend_from_slice(&key.qtype.to_be_bytes()).ok()?;
        bytes.try_extend_from_slice(&key.qclass.to_be_bytes()).ok()?;
        bytes.push(dnssec_ok | checking_disabled);
        bytes.try_extend_from_slice(key.qname).ok()?;
        bytes[FIXED_LEN..].make_ascii_lowercase();
        Some(Self(bytes))
    }

    /// The name, in lower case.
    pub(super) fn qname(&self) -> &[u8] {
        &self.0[FIXED_LEN..]
    }

    pub(super) fn to_kept(&self) -> Kept {
        Kept(self.0.as_slice().into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Kept {
    /// The name, in lower case.
    pub(super) fn qname(&self) -> &[u8] {
        &self.0[FIXED_LEN..]
    }

    /// The key, without the subnet.
    pub(super) fn key(&self) -> Key<'_> {
        let [v0, v1, v2, v3, t0, t1, c0, c1, bits] = *self.0.first_chunk().expect("all keys begin like this");
        Key {
            view: u32::from_be_bytes([v0, v1, v2, v3]),
            qname: self.qname(),
            qtype: u16::from_be_bytes([t0, t1]),
            qclass: u16::from_be_bytes([c0, c1]),
            dnssec_ok: bits & DNSSEC_OK != 0,
            checking_disabled: bits & CHECKING_DISABLED != 0,
            subnet: None,
        }
    }
}

impl Hash for Probe {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Kept {}

impl Equivalent<Kept> for Probe {
    fn equivalent(&self, key: &Kept) -> bool {
        self.0[..] == key.0[..]
    }
}
