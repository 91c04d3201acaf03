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
pub mod made;
mod tail;
mod tree;

use std::ops::Range;

use crate::dns::consts::{LABELS_MAX, rtype};
use crate::dns::name::{Walk, is_but_for_case};
use crate::dns::reply::{BLOCK_LEN, Head, PlainReply, Reply};
use crate::dns::suffix::{Beginnings, ENDING_LEN, Ending, Known, ending, suffix_hash};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// The header of a reply with them. All but referrals are authoritative.
    pub head: Head,
}

impl Tail {
    /// Records of the answer section.
    #[must_use]
    pub fn answers(&self) -> usize {
        usize::from(self.head.counts()[0])
    }

    /// Bytes that the records take.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "nobody asks: an empty tail is copied like any other")]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// The index of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TailId(u32);

/// How the answers of a [`Set`] come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are ready.
    Plain,
    /// It is an alias, and where it ends is known at run time: following it may come back to this set, or
    /// ends at a name whose answer depends on who asks.
    Followed {
        /// See [`Kind::Beacon`].
        is_beacon: bool,
    },
    /// Addresses, and all sets for ANY, have a tail for each variant of a pool; the rest is ready.
    Tailored {
        /// The pool, by its place in [`ZoneSet::pools`](crate::zone::ZoneSet::pools).
        pool: u16,
        /// See [`Kind::Beacon`].
        is_beacon: bool,
    },
    /// Addresses and TXT say who asks; the rest is ready.
    Identity,
    /// They are ready, and that somebody asks is to be noted.
    Beacon,
}

impl Kind {
    /// Whether it is to be noted that somebody asks.
    #[must_use]
    pub fn is_beacon(self) -> bool {
        matches!(
            self,
            Self::Beacon | Self::Followed { is_beacon: true } | Self::Tailored { is_beacon: true, .. }
        )
    }
}

/// The tails of a tailored name for one type: one for each variant of its pool, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Variants(TailId);

/// The tails of one owner, or of all names below it that do not exist.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Pairs of type and tail in `Answers::types`, in ascending order.
    types: Span,
    /// For every other type.
    other: TailId,
    /// For ANY over UDP and over TCP (RFC 8482).
    any: [TailId; 2],
    /// The owner is an alias, and this its record alone.
    link: Option<Link>,
    kind: Kind,
}

// A set was as large before there were kinds.
const _: () = assert!(size_of::<Set>() == 40);

/// A CNAME as one link of a chain that is followed at run time.
#[derive(Clone, Copy, Debug)]
struct Link {
    record: TailId,
    /// The target's wire form in `Answers::bytes`.
    target: Span,
    /// It is in the zone of its alias.
    is_within: bool,
}

/// A DNAME (RFC 6672).
#[derive(Clone, Copy, Debug)]
pub struct Dname {
    /// Its record; the target is the last thing in it.
    record: TailId,
    /// The target's wire form in `Answers::bytes`.
    target: Span,
    /// TTL of the CNAMEs made from it.
    ttl: u32,
}

/// What a name that exists has for itself and for the names below it that do not exist.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// The name's wire form in `Answers::bytes`, in lower case.
    name: Span,
    /// As it is found.
    known: Known,
    zone: ZoneLabels,
    /// Its zone is empty: it has no other name.
    is_empty_zone: bool,
    exact: Set,
    below: Rule,
}

/// What decides the answer.
#[derive(Clone, Copy, Debug)]
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
    /// Open addressing by hash: an index into `nodes` plus one, or 0. Its length is a power of two.
    table: Box<[u32]>,
    /// From this bit of a hash on is its place in it.
    shift: u32,
    nodes: Vec<Node>,
    /// How many labels nodes have, a bit for each number: suffixes of other lengths need no probe.
    depths: u128,
    /// What those with few labels begin with, by how many they have; and those with more.
    beginnings: [Beginnings; Walk::NEAR + 2],
    types: Vec<(u16, TailId)>,
    tails: Vec<Tail>,
    relocations: Vec<Relocation>,
    /// After the last tail is a block that nobody reads anything of.
    bytes: Vec<u8>,
}

impl Answers {
    /// Finds what decides the answer for the name at `at` in `packet`, whose walk is `walk`: its longest
    /// suffix that exists.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, packet: &[u8], at: usize, walk: Walk) -> Option<Found<'_>> {
        let (labels, len) = (walk.labels(), walk.len());
        let mut short = None;
        let ending = ending(packet, at + len, &mut short);
        if labels > Walk::NEAR
            && let Some(found) = self.find_far(packet, at, walk, ending)
        {
            return Some(found);
        }
        let mut depths = self.depths as u32 & ((2 << labels.min(Walk::NEAR)) - 1);
        while depths != 0 {
            let depth = depths.ilog2() as usize;
            let start = walk.near_start(depth);
            if may_begin(&self.beginnings[depth % 8], packet, at + start)
                && let Some(node) = self.node(ending, packet, at + start, len - start)
            {
                return Some(node.found(start, depth == labels));
            }
            depths ^= 1 << depth;
        }
        None
    }

    /// The same among suffixes of more labels than a walk has at hand.
    #[cold]
    #[inline(never)]
    fn find_far(&self, packet: &[u8], at: usize, walk: Walk, ending: &Ending) -> Option<Found<'_>> {
        let (labels, len) = (walk.labels(), walk.len());
        let mut depths = self.depths & (u128::MAX >> (LABELS_MAX - labels)) & (u128::MAX << (Walk::NEAR + 1));
        let (mut start, mut left) = (0, labels);
        while depths != 0 {
            let depth = depths.ilog2() as usize;
            depths ^= 1 << depth;
            while left > depth {
                start += usize::from(packet[at + start]) + 1;
                left -= 1;
            }
            if may_begin(&self.beginnings[Walk::NEAR + 1], packet, at + start)
                && let Some(node) = self.node(ending, packet, at + start, len - start)
            {
                return Some(node.found(start, depth == labels));
            }
        }
        None
    }

    /// The node whose name is the `len` bytes at `at` in `packet`, of a name with that ending.
    #[inline(always)]
    fn node(&self, ending: &Ending, packet: &[u8], at: usize, len: usize) -> Option<&Node> {
        let mut place = (suffix_hash(ending, packet, at, len) >> self.shift) as usize;
        // The table is never full: an empty place ends every probe.
        loop {
            place &= self.table.len() - 1;
            let node = &self.nodes[(self.table[place] as usize).checked_sub(1)?];
            if node.name.len as usize == len
                && node.known.ends(ending)
                && (len <= ENDING_LEN || self.is_whole(node, &packet[at..at + len]))
            {
                return Some(node);
            }
            place += 1;
        }
    }

    /// Whether a node has this name, of which an ending holds only a part.
    #[cold]
    #[inline(never)]
    fn is_whole(&self, node: &Node, name: &[u8]) -> bool {
        is_but_for_case(&self.bytes[node.name.range()], name)
    }

    /// The tail for a type. `over_tcp` matters to ANY alone.
    #[inline(always)]
    #[must_use]
    pub fn select(&self, set: &Set, qtype: u16, over_tcp: bool) -> &Tail {
        let id = match qtype {
            rtype::ANY => set.any[usize::from(over_tcp)],
            // Below a name there is mostly one answer.
            _ if set.types.len == 0 => set.other,
            _ => {
                let types = &self.types[set.types.range()];
                types.iter().find(|(rtype, _)| *rtype == qtype).map_or(set.other, |(_, tail)| *tail)
            }
        };
        &self.tails[id.0 as usize]
    }

    /// The tails of a tailored name for a type, where they differ; `None` where all clients get the same.
    #[must_use]
    pub fn variants(&self, set: &Set, qtype: u16, over_tcp: bool) -> Option<Variants> {
        let types = &self.types[set.types.range()];
        let is_address = |rtype: u16| matches!(rtype, rtype::A | rtype::AAAA);
        let [any_udp, any_tcp] = set.any;
        let first = match qtype {
            _ if !matches!(set.kind, Kind::Tailored { .. }) => None,
            rtype::ANY if over_tcp && any_tcp != any_udp => Some(any_tcp),
            // It has the SOA, where there is one, else the lowest type.
            rtype::ANY => {
                let has_soa = types.iter().any(|(rtype, _)| *rtype == rtype::SOA);
                types.first().filter(|(rtype, _)| is_address(*rtype) && !has_soa).map(|_| any_udp)
            }
            _ if is_address(qtype) => {
                types.iter().find(|(rtype, _)| *rtype == qtype).map(|(_, first)| *first)
            }
            _ => None,
        };
        first.map(Variants)
    }

    /// One of them.
    #[must_use]
    pub fn variant(&self, variants: Variants, number: u16) -> &Tail {
        let first = variants.0.0 as usize;
        self.tails.get(first + usize::from(number)).unwrap_or(&self.tails[first])
    }

    /// Appends a tail to a reply. `name_at` is where the name that was looked up stands in the packet,
    /// `node_at` the owner that matched. The caller has made sure that it fits.
    #[inline]
    pub fn write(&self, reply: &mut Reply<'_>, tail: &Tail, node_at: usize, name_at: usize) {
        let tail_at = reply.end();
        reply.append(&self.bytes[tail.bytes.range()], tail.head.counts());
        self.relocate(tail, [node_at, tail_at, name_at], |at, target| reply.write_pointer(at, target));
    }

    /// The same of the reply to a plain query.
    #[inline(always)]
    pub fn write_plain(&self, reply: &mut PlainReply<'_>, tail: &Tail, node_at: usize, name_at: usize) {
        let (tail_at, start) = (reply.end(), tail.bytes.start as usize);
        match self.bytes.get(start..start + BLOCK_LEN).and_then(<[u8]>::first_chunk) {
            Some(block) if tail.len() <= BLOCK_LEN => reply.append_block(block, tail.len()),
            _ => reply.append(&self.bytes[tail.bytes.range()]),
        }
        self.relocate(tail, [node_at, tail_at, name_at], |at, target| reply.write_pointer(at, target));
    }

    /// Gives the compression pointers of a tail to `write_pointer`: where they stand, and where they lead.
    /// The places that [`Base`] names stand in its order.
    #[inline(always)]
    fn relocate(&self, tail: &Tail, bases: [usize; 3], mut write_pointer: impl FnMut(usize, usize)) {
        for relocation in &self.relocations[tail.relocations.range()] {
            let target = bases[relocation.base as usize] + usize::from(relocation.delta);
            write_pointer(bases[Base::Tail as usize] + usize::from(relocation.at), target);
        }
    }
}

/// Whether one of the names of a kind may be what begins at `at`.
#[inline(always)]
fn may_begin(beginnings: &Beginnings, packet: &[u8], at: usize) -> bool {
    let beginning = packet.get(at..at + 4).and_then(<[u8]>::first_chunk);
    beginning.is_none_or(|bytes| beginnings.may_have(*bytes))
}

impl Node {
    /// As what was found, of a name that has it from `node_start` on, or `is_it`.
    #[inline(always)]
    fn found(&self, node_start: usize, is_it: bool) -> Found<'_> {
        let rule = match &self.below {
            _ if is_it => RuleRef::Set(&self.exact),
            Rule::Set(set) => RuleRef::Set(set),
            Rule::Dname(dname) => RuleRef::Dname(dname),
        };
        Found { node_start, zone: self.zone, rule }
    }
}

impl Set {
    /// Whether its answers are ready, whatever is asked.
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind == Kind::Plain
    }

    /// How its answers come about.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
}
