//! Data become bytes. Zones are compiled into ready *tails*: the records after the question, for every owner
//! and type. At run time one lookup finds the tail for (zone suffix, qtype); it is copied after the question
//! and its compression pointers are relocated.
//!
//! Three things move from query to query, and a relocation counts from one of them (`Base`): the place of
//! the owner that matched (it depends on the length of the qname), the place of the name that was looked up,
//! and the tail itself. Only what stands below a DNAME is put together at run time, by [`dname`].

mod compile;
pub mod dname;
pub mod empty;
mod tail;
mod tree;

use std::ops::Range;

use crate::dns::consts::rtype;
use crate::dns::name::{Walk, hash, is_but_for_case};
use crate::dns::reply::Reply;
use crate::stats::account::ZoneLabels;

pub use compile::Extent;

/// What a relocation counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Base {
    /// The first byte of the owner that matched: a suffix of the name that was looked up.
    Node = 0,
    /// The first byte of the tail.
    Tail = 1,
    /// The first byte of the name that was looked up.
    Name = 2,
}

/// A compression pointer within a tail.
#[derive(Clone, Copy, Debug)]
struct Relocation {
    /// Where it stands, from the tail's first byte.
    at: u16,
    /// Where it points, from its base.
    delta: u16,
    base: Base,
}

/// A range of one of the arenas of [`Answers`].
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }
}

/// The records after a question, ready to be copied.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    bytes: Span,
    relocations: Span,
    /// Bytes that the records take. More than `bytes` holds when no message could carry them: they are not
    /// kept.
    len: u32,
    /// Answer, authority and additional records.
    counts: [u16; 3],
    /// The response code.
    pub rcode: u8,
    /// Whether the answer is authoritative: all but referrals are.
    pub authoritative: bool,
}

impl Tail {
    /// Bytes that the records take.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks: an empty tail is copied like any other")]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// The index of a tail.
#[derive(Clone, Copy, Debug)]
struct TailId(u32);

/// The tails of one owner, or of all names below it that do not exist.
#[derive(Debug)]
pub struct Set {
    /// Pairs of type and tail in `Answers::types`, in ascending order.
    types: Span,
    /// For every other type.
    other: TailId,
    /// For ANY over UDP and over TCP (RFC 8482).
    any: [TailId; 2],
    /// The owner is an alias, and this its record alone.
    link: Option<Link>,
    /// Following the alias may come back to this set, so where it ends depends on the name.
    looped: bool,
}

/// A CNAME as one link of a chain that is followed at run time.
#[derive(Clone, Copy, Debug)]
struct Link {
    record: TailId,
    /// The target's wire form in `Answers::bytes`.
    target: Span,
}

/// A DNAME (RFC 6672).
#[derive(Debug)]
pub struct Dname {
    /// Its record; the target is the last thing in it.
    record: TailId,
    /// The target's wire form in `Answers::bytes`.
    target: Span,
    /// TTL of the CNAMEs made from it.
    ttl: u32,
}

/// What a name that exists has for itself and for the names below it that do not exist.
#[derive(Debug)]
struct Node {
    hash: u64,
    /// The name's wire form in `Answers::bytes`, in lower case.
    name: Span,
    zone: ZoneLabels,
    /// Its zone is empty: it has no other name.
    is_empty_zone: bool,
    exact: Set,
    below: Rule,
}

/// What decides the answer.
#[derive(Debug)]
pub enum Rule {
    /// Ready tails.
    Set(Set),
    /// A redirection, followed at run time.
    Dname(Dname),
}

/// What a lookup found.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where the owner that matched begins, counted from the first byte of the name.
    pub node_start: usize,
    /// How the zone is counted.
    pub zone: ZoneLabels,
    /// What decides the answer.
    pub rule: RuleRef<'a>,
}

/// A borrowed [`Rule`].
#[derive(Clone, Copy, Debug)]
pub enum RuleRef<'a> {
    /// Ready tails.
    Set(&'a Set),
    /// A redirection, followed at run time.
    Dname(&'a Dname),
}

/// Everything that we answer, compiled. Immutable.
#[derive(Debug)]
pub struct Answers {
    /// Open addressing by hash: an index into `nodes` plus one, or 0.
    table: Box<[u32]>,
    nodes: Vec<Node>,
    /// How many labels nodes have, from the most to the fewest, each number once: suffixes of other lengths
    /// need no probe.
    depths: Vec<u8>,
    types: Vec<(u16, TailId)>,
    tails: Vec<Tail>,
    relocations: Vec<Relocation>,
    bytes: Vec<u8>,
}

impl Answers {
    /// Finds what decides the answer for the name at `at` in `packet`, whose walk is `walk`: its longest
    /// suffix that exists.
    #[inline]
    #[must_use]
    pub fn find(&self, packet: &[u8], at: usize, walk: &Walk) -> Option<Found<'_>> {
        let name = &packet[at..at + walk.len()];
        let labels = walk.labels();
        for &depth in &self.depths {
            let depth = usize::from(depth);
            if depth > labels {
                continue;
            }
            let node_start = walk.suffix_start(depth);
            let suffix = &name[node_start..];
            if let Some(node) = self.probe(hash(packet, at + node_start, suffix.len()), suffix) {
                let rule = match &node.below {
                    _ if depth == labels => RuleRef::Set(&node.exact),
                    Rule::Set(set) => RuleRef::Set(set),
                    Rule::Dname(dname) => RuleRef::Dname(dname),
                };
                return Some(Found { node_start, zone: node.zone, rule });
            }
        }
        None
    }

    /// The node of that name, which hashes to `hash`.
    #[inline]
    fn probe(&self, hash: u64, name: &[u8]) -> Option<&Node> {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        // The table is at most half full, so that an empty place ends every probe.
        loop {
            let node = &self.nodes[(self.table[at] as usize).checked_sub(1)?];
            if node.hash == hash && is_but_for_case(&self.bytes[node.name.range()], name) {
                return Some(node);
            }
            at = (at + 1) & mask;
        }
    }

    /// The tail for a type. `over_tcp` matters to ANY alone.
    #[inline]
    #[must_use]
    pub fn select(&self, set: &Set, qtype: u16, over_tcp: bool) -> &Tail {
        let id = if qtype == rtype::ANY {
            set.any[usize::from(over_tcp)]
        } else {
            let types = &self.types[set.types.range()];
            types.iter().find(|(rtype, _)| *rtype == qtype).map_or(set.other, |(_, tail)| *tail)
        };
        &self.tails[id.0 as usize]
    }

    /// Appends a tail to a reply. `name_at` is where the name that was looked up stands in the packet,
    /// `node_at` the owner that matched. The caller has made sure that it fits.
    #[inline]
    pub fn write(&self, reply: &mut Reply<'_>, tail: &Tail, node_at: usize, name_at: usize) {
        let tail_at = reply.end();
        reply.append(&self.bytes[tail.bytes.range()], tail.counts);
        let bases = [node_at, tail_at, name_at];
        for relocation in &self.relocations[tail.relocations.range()] {
            let target = bases[relocation.base as usize] + usize::from(relocation.delta);
            reply.write_pointer(tail_at + usize::from(relocation.at), target);
        }
    }
}

impl Set {
    /// Whether the alias at this owner must be followed at run time for this type.
    #[inline]
    #[must_use]
    pub fn is_followed_at_run_time(&self, qtype: u16) -> bool {
        self.looped && qtype != rtype::CNAME && qtype != rtype::ANY
    }
}
