//! Terms: the comparisons of all rules, as they are made at run time.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::classes::{Class, Classes};
use super::facts::{Cached, Facts, Outcome, Tags};
use super::language::{FieldId, IPV4, IPV6};
use super::tree::Op;

/// The fields whose values are put into classes before rules are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Name = 0,
    Src = 1,
    Dst = 2,
}

impl Dimension {
    pub(super) const ALL: [Self; 3] = [Self::Name, Self::Src, Self::Dst];
}

/// The class of a query in each [`Dimension`].
pub(super) type Place = [Class; Dimension::ALL.len()];

/// A number compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    /// It is below 64, and its bit is set.
    Bits(u64),
    /// It is one of these, which are sorted.
    Sorted(Box<[u64]>),
    Compared(Op, u64),
}

impl Numbers {
    #[inline]
    pub(super) fn has(&self, number: u64) -> bool {
        match self {
            Self::Bits(bits) => number < 64 && bits >> number & 1 == 1,
            Self::Sorted(sorted) => sorted.binary_search(&number).is_ok(),
            Self::Compared(op, than) => match op {
                Op::In => number == *than,
                Op::Less => number < *than,
                Op::Greater => number > *than,
                Op::AtMost => number <= *than,
                Op::AtLeast => number >= *than,
            },
        }
    }
}

impl Numbers {
    /// The numbers that are named.
    pub(super) fn values(&self) -> Vec<u64> {
        match self {
            Self::Bits(bits) => (0..64).filter(|number| bits >> number & 1 == 1).collect(),
            Self::Sorted(sorted) => sorted.to_vec(),
            Self::Compared(_, than) => Vec::from([*than]),
        }
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Check {
    /// A field that is a number, or is not known.
    Number(FieldId, Numbers),
    /// A list of a dimension.
    List(Dimension, u32),
    /// One of these tags.
    Tags(u64),
    /// A share: the first number of the second.
    Sample(u32, u32),
    /// The same for every query of this node.
    Constant(bool),
}

/// A comparison.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) check: Check,
    /// It is true when the check is not.
    pub(super) is_negated: bool,
    pub(super) field: FieldId,
    /// As it is written.
    pub(super) text: String,
}

/// What is asked about: facts, and what has been looked up of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) place: Place,
    pub(super) tags: Tags,
}

impl Term {
    #[inline]
    pub(super) fn holds(&self, asked: &Asked<'_>, classes: &[Classes; 3]) -> bool {
        let is_so = match &self.check {
            Check::Number(field, numbers) => {
                number(*field, asked.facts).is_some_and(|number| numbers.has(number))
            }
            Check::List(dimension, list) => {
                let dimension = *dimension as usize;
                classes[dimension].holds(asked.place[dimension], *list)
            }
            Check::Tags(bits) => asked.tags.0 & bits != 0,
            Check::Sample(some, all) => is_chosen(asked.facts, *some, *all),
            Check::Constant(is_so) => *is_so,
        };
        is_so != self.is_negated
    }
}

/// The number that a field is, if it is known.
#[inline]
pub(super) fn number(field: FieldId, facts: &Facts<'_>) -> Option<u64> {
    let later = &facts.later;
    Some(match field {
        FieldId::Listener => facts.listener as u64,
        FieldId::Transport => facts.is_tcp.into(),
        FieldId::Family if facts.src.ip().to_canonical().is_ipv4() => IPV4,
        FieldId::Family => IPV6,
        FieldId::Opcode => facts.opcode.into(),
        FieldId::QnameLabels => facts.qname.labels() as u64,
        FieldId::Qtype => facts.qtype.into(),
        FieldId::Qclass => facts.qclass.into(),
        FieldId::Rd => facts.recursion_desired.into(),
        FieldId::Do => facts.dnssec_ok.into(),
        FieldId::Edns => facts.has_edns.into(),
        FieldId::Ecs => facts.has_ecs.into(),
        FieldId::Country => u16::from_be_bytes(later.country?).into(),
        FieldId::Asn => later.asn?.into(),
        FieldId::Rcode => later.rcode?.into(),
        FieldId::Outcome => match later.outcome? {
            Outcome::Ok => 0,
            Outcome::Timeout => 1,
            Outcome::Refused => 2,
            Outcome::Bad => 3,
        },
        FieldId::Upstream => later.upstream?.into(),
        FieldId::Rtt => later.rtt?.as_micros() as u64,
        FieldId::Cache => match later.cache? {
            Cached::Hit => 0,
            Cached::Stale => 1,
            Cached::Miss => 2,
        },
        FieldId::Phase
        | FieldId::Colo
        | FieldId::Node
        | FieldId::Dst
        | FieldId::Src
        | FieldId::Qname
        | FieldId::QnameSuffix
        | FieldId::Tag
        | FieldId::App
        | FieldId::Sample => return None,
    })
}

/// Whether a query is in a sample: by a hash of the client's address and the name, thus always or
/// never. FNV-1a over the bytes of the address and of the name in lower case, then MurmurHash3's fmix64, as
/// the last bytes of a name are often the same.
pub(super) fn is_chosen(facts: &Facts<'_>, some: u32, all: u32) -> bool {
    let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let mut hash = 0xCBF2_9CE4_8422_2325;
    hash = match facts.src.ip().to_canonical() {
        IpAddr::V4(address) => address.octets().into_iter().fold(hash, add),
        IpAddr::V6(address) => address.octets().into_iter().fold(hash, add),
    };
    hash = facts.name().iter().map(u8::to_ascii_lowercase).fold(hash, add);
    hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ hash >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^= hash >> 33;
    hash % u64::from(all.max(1)) < some.into()
}
