//! The one answer that is made at run time: below a DNAME the qname decides where the answer stands (RFC
//! 6672). It is a chain of tails, each for the name that the record before leads to.

use arrayvec::ArrayVec;

use super::made::Records;
use super::{Answers, Base, Dname, RuleRef, Set, Span, Tail};
use crate::dns::consts::{HEADER_LEN, LABELS_MAX, class, rcode, rtype};
use crate::dns::name::{Name, Walk};
use crate::dns::query::Question;
use crate::dns::reply::Reply;
use crate::limits::CHAIN_LINKS_MAX;

/// Names of a chain: the qname and what each link leads to.
const NAMES_MAX: usize = CHAIN_LINKS_MAX + 1;

/// The bytes of a record between its owner and its rdata.
const FIXED_LEN: usize = 10;

/// How a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The response code: that of the last name.
    pub rcode: u8,
    /// Whether all of it went into the reply. If not, what the reply holds after the question is of no use.
    pub fits: bool,
}

/// What a name has whose answer depends on who asks: the records of a tail, the first of which are turned
/// ([`Reply::turn`]), and others. Without either a chain ends before it.
#[derive(Debug, Default)]
pub struct End<'a> {
    /// The tail.
    pub tail: Option<&'a Tail>,
    /// How its records are turned.
    pub turn: u16,
    /// Records that are made for whoever asks.
    pub records: Option<Records>,
}

/// Appends the whole answer to a name below a DNAME, or at an alias that is followed at run time. The reply
/// may grow to `room` bytes. `ends` says what a set has whose answer depends on who asks.
#[cold]
pub fn follow<'a>(
    answers: &'a Answers,
    reply: &mut Reply<'_>,
    question: &Question,
    over_tcp: bool,
    room: usize,
    mut ends: impl FnMut(&'a Set) -> End<'a>,
) -> Ending {
    let qname = &reply.written()[HEADER_LEN..HEADER_LEN + question.name.len()];
    let Ok(name) = Name::from_wire(qname) else { return Ending { rcode: rcode::FORMERR, fits: false } };
    let mut chain = Chain {
        answers,
        reply,
        room,
        fits: true,
        labels_at: ArrayVec::new(),
        names: ArrayVec::new(),
        dnames: ArrayVec::new(),
    };
    chain.visit(name, HEADER_LEN);
    Ending { rcode: chain.run(question.qtype, over_tcp, &mut ends), fits: chain.fits }
}

struct Chain<'a, 'r, 's> {
    answers: &'a Answers,
    reply: &'r mut Reply<'s>,
    room: usize,
    fits: bool,
    /// The names so far; the last one is to be looked up.
    names: ArrayVec<Name, NAMES_MAX>,
    /// Where each label of the last name, and its root, stands in the packet: after a pointer it continues
    /// elsewhere.
    labels_at: ArrayVec<usize, { LABELS_MAX + 1 }>,
    /// The DNAMEs that are in the reply, and where their targets stand.
    dnames: ArrayVec<(&'a Dname, usize), CHAIN_LINKS_MAX>,
}

impl<'a> Chain<'a, '_, '_> {
    /// Follows links until a name has an answer, a loop closes or the links are used up; gives the response
    /// code.
    fn run(&mut self, qtype: u16, over_tcp: bool, ends: &mut impl FnMut(&'a Set) -> End<'a>) -> u8 {
        loop {
            let name = self.names[self.names.len() - 1].clone();
            let Ok(walk) = Walk::new(name.as_wire(), 0) else { return rcode::NOERROR };
            let Some(found) = self.answers.find(name.as_wire(), 0, walk) else { return rcode::NOERROR };
            let is_last = self.names.is_full();
            let target_at = match found.rule {
                RuleRef::Dname(_) if is_last => return rcode::NOERROR,
                RuleRef::Dname(dname) => match self.dname(&name, dname, found.node_start) {
                    // The CNAME that was made is what was asked for.
                    Some(_) if qtype == rtype::CNAME => return rcode::NOERROR,
                    Some(next) => next,
                    None => return rcode::YXDOMAIN,
                },
                RuleRef::Set(set) => {
                    let is_alias = qtype != rtype::CNAME && qtype != rtype::ANY;
                    match set.link.filter(|_| is_alias) {
                        Some(_) if is_last => return rcode::NOERROR,
                        Some(link) => self.append_cname(set, link.target, found.node_start),
                        None if set.is_plain() => {
                            let tail = self.answers.select(set, qtype, over_tcp);
                            self.tail(tail, found.node_start);
                            return tail.head.rcode();
                        }
                        None => return self.end(&ends(set), found.node_start),
                    }
                }
            };
            let (target, at) = target_at;
            if self.names.contains(&target) {
                return rcode::NOERROR;
            }
            self.visit(target, at);
        }
    }

    /// Makes `name`, which stands at `at` in the packet, the one to be looked up.
    fn visit(&mut self, name: Name, at: usize) {
        self.labels_at.clear();
        if self.fits {
            self.labels_at = labels_at(self.reply.written(), at);
        }
        self.names.push(name);
    }

    /// The DNAME, unless the reply holds it already, and the CNAME made from it. Gives the new name and its
    /// place; `None` when the name would be too long.
    fn dname(&mut self, name: &Name, dname: &'a Dname, node_start: usize) -> Option<(Name, usize)> {
        let target = &self.answers.bytes[dname.target.range()];
        let written = self.dnames.iter().find(|(known, _)| std::ptr::eq(*known, dname)).map(|(_, at)| *at);
        let target_at = written.unwrap_or_else(|| {
            self.tail(&self.answers.tails[dname.record.0 as usize], node_start);
            let at = self.reply.end() - if self.fits { target.len() } else { 0 };
            self.dnames.push((dname, at));
            at
        });
        let prefix = &name.as_wire()[..node_start];
        let mut wire = ArrayVec::<u8, 512>::new();
        wire.extend(prefix.iter().chain(target).copied());
        let new_name = Name::from_wire(&wire).ok()?;

        let mut record = ArrayVec::<u8, 512>::new();
        let rdata_len = (prefix.len() + 2) as u16;
        record.extend([0; 2]);
        record.extend(rtype::CNAME.to_be_bytes());
        record.extend(class::IN.to_be_bytes());
        record.extend(dname.ttl.to_be_bytes());
        record.extend(rdata_len.to_be_bytes());
        record.extend(prefix.iter().copied());
        record.extend([0; 2]);
        let at = self.reply.end();
        if self.reserve(record.len()) {
            self.reply.append(&record, [1, 0, 0]);
            self.reply.write_pointer(at, self.labels_at[0]);
            self.reply.write_pointer(at + record.len() - 2, target_at);
        }
        Some((new_name, at + 2 + FIXED_LEN))
    }

    /// One CNAME of a zone. Gives its target and the target's place.
    fn append_cname(&mut self, set: &Set, target: Span, node_start: usize) -> (Name, usize) {
        let record = set.link.expect("the caller has seen the link").record;
        let at = self.reply.end();
        self.tail(&self.answers.tails[record.0 as usize], node_start);
        let target = &self.answers.bytes[target.range()];
        // The owner of a link is a pointer, or the root alone.
        let owner_len = if self.names[self.names.len() - 1].as_wire().len() == 1 { 1 } else { 2 };
        (Name::from_wire(target).expect("checked when the zone was loaded"), at + owner_len + FIXED_LEN)
    }

    /// The end of the chain, at the last name; gives the response code.
    fn end(&mut self, end: &End<'_>, node_start: usize) -> u8 {
        if let Some(tail) = end.tail {
            let at = self.reply.end();
            self.tail(tail, node_start);
            if self.fits {
                self.reply.turn(at, tail.answers(), end.turn);
            }
        }
        if let Some(records) = &end.records
            && self.reserve(records.len())
        {
            records.write(self.reply, self.labels_at[0]);
        }
        end.tail.map_or(rcode::NOERROR, |tail| tail.head.rcode())
    }

    /// Appends a tail for the last name, whose suffix at `node_start` matched.
    fn tail(&mut self, tail: &Tail, node_start: usize) {
        if !self.reserve(tail.len()) {
            return;
        }
        let tail_at = self.reply.end();
        self.reply.append(&self.answers.bytes[tail.bytes.range()], tail.head.counts());
        for relocation in &self.answers.relocations[tail.relocations.range()] {
            let delta = usize::from(relocation.delta);
            let target = match relocation.base {
                Base::Tail => tail_at + delta,
                Base::Node => self.label_at(node_start + delta),
                Base::Name => self.label_at(delta),
            };
            self.reply.write_pointer(tail_at + usize::from(relocation.at), target);
        }
    }

    /// Where the label that begins at `offset` of the last name stands in the packet.
    fn label_at(&self, offset: usize) -> usize {
        let name = &self.names[self.names.len() - 1];
        let len = name.as_wire().len();
        let label = name.suffixes().position(|suffix| len - suffix.len() == offset);
        self.labels_at[label.expect("relocations aim at labels")]
    }

    /// Whether `len` bytes more fit; once something did not, nothing does.
    fn reserve(&mut self, len: usize) -> bool {
        self.fits &= self.reply.end() + len <= self.room;
        self.fits
    }
}

/// Where each label of the name at `at`, and its root, stands. The packet is our own work: its pointers go
/// backward.
fn labels_at(packet: &[u8], mut at: usize) -> ArrayVec<usize, { LABELS_MAX + 1 }> {
    let mut places = ArrayVec::new();
    loop {
        let len = packet[at];
        if len >= 0xC0 {
            let target = usize::from(len & 0x3F) << 8 | usize::from(packet[at + 1]);
            debug_assert!(target < at, "a pointer of our own goes backward");
            at = target;
            continue;
        }
        places.push(at);
        if len == 0 {
            return places;
        }
        at += usize::from(len) + 1;
    }
}
