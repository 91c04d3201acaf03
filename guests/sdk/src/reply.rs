//! Replies: a builder that counts, compresses and orders by itself, so that what leaves it is a message.

mod prepared;

use alloc::vec::Vec;
use core::fmt;

use crate::message::{u16_at, Message, Section};
use crate::name::Name;
use crate::verdict::Verdict;
use crate::{class, rtype};

pub use prepared::Prepared;

/// Farthest place that a compression pointer can name.
const POINTER_TARGET_MAX: usize = 0x3FFF;
/// Places of names that are kept for compression; names after that are written whole more often.
const KNOWN_MAX: usize = 128;

/// The longest datagram that a node sends.
const DATAGRAM_LEN_MAX: usize = 1232;

/// Bits of the header's second word.
const QR: u16 = 0x8000;
const OPCODE_AND_RD: u16 = 0x7900;
const AA: u16 = 0x0400;

/// The data of a record.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// An IPv4 address.
    A([u8; 4]),
    /// An IPv6 address.
    Aaaa([u8; 16]),
    /// A name server.
    Ns(Name<'a>),
    /// An alias's target.
    Cname(Name<'a>),
    /// The name of an address.
    Ptr(Name<'a>),
    /// Where a subtree leads.
    Dname(Name<'a>),
    /// A mail exchange, and its preference.
    Mx(u16, Name<'a>),
    /// The start of authority.
    Soa(Soa<'a>),
    /// Strings of at most 255 bytes each.
    Txt(&'a [&'a [u8]]),
    /// Another type, and its data in wire form. Names in those of the types above are compressed all the
    /// same.
    Other(u16, &'a [u8]),
}

/// The data of a SOA record.
#[derive(Clone, Copy, Debug)]
pub struct Soa<'a> {
    /// The primary server.
    pub mname: Name<'a>,
    /// The mailbox of who is responsible.
    pub rname: Name<'a>,
    /// The serial number.
    pub serial: u32,
    /// Seconds between a secondary's looks.
    pub refresh: u32,
    /// Seconds until it tries again.
    pub retry: u32,
    /// Seconds after which it gives up.
    pub expire: u32,
    /// The TTL of negative answers.
    pub minimum: u32,
}

/// Why a reply cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// It has no room.
    Full,
    /// A record of an earlier section after one of a later section.
    Order,
    /// The data are not those of the type, or the type is not one of records.
    Data,
    /// What is copied answers another question, or is prepared for another name.
    Question,
}

impl BuildError {
    /// What is wrong, in a few words.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Full => "the reply has no room",
            Self::Order => "sections are out of order",
            Self::Data => "the data are not those of the type",
            Self::Question => "it is for another question",
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// A reply in the making: header, question, records.
///
/// Sections come in their order, counts are right, and names are compressed where they may be. Whatever
/// cannot be done makes the whole reply [`Verdict::fail`] when it is sent, so the query gets the
/// application's fallback; [`error`](Self::error) tells before. ID, opcode, RD and the question are the
/// query's; OPT, cookies and truncation to what the client can take are the host's.
///
/// ```
/// # use as112_guest::{App, Data, Query, Reply, Start, StartError, Verdict, mock::Host, query_for, rtype};
/// struct Hello;
/// impl App for Hello {
///     fn start(_: &mut Start<'_>) -> Result<Self, StartError> {
///         Ok(Self)
///     }
///     fn query(&mut self, query: Query<'_>, reply: Reply<'_>) -> Verdict {
///         reply.answer(query.qname(), 60, Data::Txt(&[b"hello"])).send()
///     }
/// }
/// let mut host = Host::<Hello>::start("{}").unwrap();
/// let name = "hello.example".parse::<as112_guest::NameBuf>().unwrap();
/// let outcome = host.query(&query_for(name.as_name(), rtype::TXT));
/// assert!(outcome.reply().unwrap().ends_with(b"\x05hello"));
/// ```
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut [u8],
    /// The query.
    query: &'a [u8],
    question_end: usize,
    /// Bytes of the reply so far that the area holds.
    held: usize,
    end: usize,
    counts: [u16; 3],
    section: Section,
    flags: u16,
    /// Places of labels at which names begin that may be pointed to.
    known: Vec<u16>,
    error: Option<BuildError>,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(out: &'a mut [u8], held: usize, query: &'a [u8], question_end: usize) -> Self {
        Self {
            out,
            query,
            question_end,
            held,
            end: 0,
            counts: [0; 3],
            section: Section::Answer,
            flags: 0,
            known: Vec::new(),
            error: None,
        }
    }

    /// The reply so far, in the phases `response`, `reply` and `done`. It is gone once something is added.
    #[must_use]
    pub fn so_far(&self) -> Option<Message<'_>> {
        if self.end > 0 {
            return None;
        }
        Message::parse(self.out.get(..self.held)?).ok()
    }

    /// Sets the response code.
    #[must_use]
    pub fn rcode(mut self, rcode: u8) -> Self {
        self.flags = self.flags & !0xF | u16::from(rcode & 0xF);
        self
    }

    /// Sets AA, which leaves the host where the manifest has `authoritative`.
    #[must_use]
    pub fn authoritative(mut self) -> Self {
        self.flags |= AA;
        self
    }

    /// Adds a record to the answer.
    #[must_use]
    pub fn answer(self, owner: Name<'_>, ttl: u32, data: Data<'_>) -> Self {
        self.record(Section::Answer, owner, ttl, data)
    }

    /// Adds a record to the authority section.
    #[must_use]
    pub fn authority(self, owner: Name<'_>, ttl: u32, data: Data<'_>) -> Self {
        self.record(Section::Authority, owner, ttl, data)
    }

    /// Adds a record to the additional section.
    #[must_use]
    pub fn additional(self, owner: Name<'_>, ttl: u32, data: Data<'_>) -> Self {
        self.record(Section::Additional, owner, ttl, data)
    }

    /// Adds a record. Its class is that of the question.
    #[must_use]
    #[inline(never)]
    pub fn record(mut self, section: Section, owner: Name<'_>, ttl: u32, data: Data<'_>) -> Self {
        if self.error.is_none() {
            if let Err(error) = self.try_record(section, owner, ttl, data) {
                self.error = Some(error);
            }
        }
        self
    }

    /// Adds the records of a message that answers the same question, and takes its response code and AA.
    #[must_use]
    pub fn copy(mut self, message: &Message<'_>) -> Self {
        if self.error.is_none() {
            if let Err(error) = self.try_copy(message) {
                self.error = Some(error);
            }
        }
        self
    }

    /// Makes it one that sends the client to TCP: over UDP a client gets header and question, with TC.
    ///
    /// TC is the host's, which cuts what does not fit. So this is a reply that never fits a datagram; do not
    /// send it over TCP.
    #[must_use]
    pub fn truncated(self) -> Self {
        // Types from 65,280 on are for private use, and mean nothing to anybody.
        self.answer(Name::ROOT, 0, Data::Other(65_280, &[0; DATAGRAM_LEN_MAX]))
    }

    /// What is wrong with it, if anything is.
    #[must_use]
    pub fn error(&self) -> Option<BuildError> {
        self.error
    }

    /// The reply is made.
    pub fn send(mut self) -> Verdict {
        match self.finish() {
            Ok(len) => Verdict::reply(len),
            Err(_) => Verdict::fail(),
        }
    }

    /// Writes the header; gives the reply's length.
    fn finish(&mut self) -> Result<usize, BuildError> {
        self.begin(false)?;
        if let Some(error) = self.error {
            return Err(error);
        }
        let query_flags = u16_at(self.query, 2).unwrap_or(0);
        let flags = QR | query_flags & OPCODE_AND_RD | self.flags;
        let [answers, authority, additional] = self.counts;
        let header = self.out.get_mut(2..12).ok_or(BuildError::Full)?;
        for (bytes, word) in header.chunks_exact_mut(2).zip([flags, 1, answers, authority, additional]) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        Ok(self.end)
    }

    /// Writes header and question before what comes first after them; with `learns`, so that names can point
    /// to the question's.
    fn begin(&mut self, learns: bool) -> Result<(), BuildError> {
        if self.end == 0 {
            let question = self.query.get(..self.question_end).ok_or(BuildError::Question)?;
            self.out.get_mut(..self.question_end).ok_or(BuildError::Full)?.copy_from_slice(question);
            self.end = self.question_end;
        }
        if learns && self.known.is_empty() {
            let mut at = 12;
            while let Some(len @ 1..=63) = self.query.get(at).copied() {
                self.known.push(at as u16);
                at += 1 + usize::from(len);
            }
        }
        Ok(())
    }

    fn enter(&mut self, section: Section) -> Result<(), BuildError> {
        if section < self.section {
            return Err(BuildError::Order);
        }
        self.section = section;
        Ok(())
    }

    fn count(&mut self, section: Section, more: u16) -> Result<(), BuildError> {
        let count = &mut self.counts[section as usize];
        *count = count.checked_add(more).ok_or(BuildError::Full)?;
        Ok(())
    }

    fn try_record(
        &mut self,
        section: Section,
        owner: Name<'_>,
        ttl: u32,
        data: Data<'_>,
    ) -> Result<(), BuildError> {
        self.begin(true)?;
        self.enter(section)?;
        let rclass = match u16_at(self.query, self.question_end - 2) {
            Some(class::ANY) | None => class::IN,
            Some(class) => class,
        };
        self.name(owner)?;
        self.put(&data.rtype().to_be_bytes())?;
        self.put(&rclass.to_be_bytes())?;
        self.put(&ttl.to_be_bytes())?;
        let len_at = self.end;
        self.put(&[0; 2])?;
        self.data(data)?;
        let len = u16::try_from(self.end - len_at - 2).map_err(|_| BuildError::Full)?;
        self.out[len_at..len_at + 2].copy_from_slice(&len.to_be_bytes());
        self.count(section, 1)
    }

    fn data(&mut self, data: Data<'_>) -> Result<(), BuildError> {
        match data {
            Data::A(address) => self.put(&address),
            Data::Aaaa(address) => self.put(&address),
            Data::Ns(name) | Data::Cname(name) | Data::Ptr(name) => self.name(name),
            // Receivers that do not know the type could not follow a pointer (RFC 3597, section 4).
            Data::Dname(name) => self.put(name.as_wire()),
            Data::Mx(preference, name) => {
                self.put(&preference.to_be_bytes())?;
                self.name(name)
            }
            Data::Soa(soa) => {
                self.name(soa.mname)?;
                self.name(soa.rname)?;
                for number in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
                    self.put(&number.to_be_bytes())?;
                }
                Ok(())
            }
            Data::Txt([]) => Err(BuildError::Data),
            Data::Txt(strings) => strings.iter().try_for_each(|string| {
                self.put(&[u8::try_from(string.len()).map_err(|_| BuildError::Data)?])?;
                self.put(string)
            }),
            Data::Other(rtype, rdata) => self.other(rtype, rdata),
        }
    }

    fn other(&mut self, rtype: u16, rdata: &[u8]) -> Result<(), BuildError> {
        let (before, names) = match rtype {
            0 | rtype::OPT | 128..=255 => return Err(BuildError::Data),
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => return self.put(rdata),
        };
        self.put(rdata.get(..before).ok_or(BuildError::Data)?)?;
        let mut at = before;
        for _ in 0..names {
            let name = Name::at(rdata, at).map_err(|_| BuildError::Data)?;
            at += name.len();
            self.name(name)?;
        }
        let rest = &rdata[at..];
        if rest.len() == if rtype == rtype::SOA { 20 } else { 0 } {
            self.put(rest)
        } else {
            Err(BuildError::Data)
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BuildError> {
        let end = self.end + bytes.len();
        self.out.get_mut(self.end..end).ok_or(BuildError::Full)?.copy_from_slice(bytes);
        self.end = end;
        Ok(())
    }

    /// Writes a name, from where it is known already as a pointer.
    fn name(&mut self, name: Name<'_>) -> Result<(), BuildError> {
        for suffix in name.suffixes() {
            let label = match suffix.first() {
                None => break,
                Some(label) => label,
            };
            if let Some(at) = self.known.iter().find(|at| self.stands_at(usize::from(**at), suffix)) {
                return self.put(&(0xC000 | at).to_be_bytes());
            }
            if self.end <= POINTER_TARGET_MAX && self.known.len() < KNOWN_MAX {
                self.known.push(self.end as u16);
            }
            self.put(&[label.len() as u8])?;
            self.put(label)?;
        }
        self.put(&[0])
    }

    /// Whether the name at `at` of what has been written is `name`.
    fn stands_at(&self, mut at: usize, name: Name<'_>) -> bool {
        for suffix in name.suffixes() {
            // A pointer leads to something earlier, which was written without one or with another.
            while let Some(target) = u16_at(&self.out[..self.end], at).filter(|word| *word >= 0xC000) {
                at = usize::from(target & 0x3FFF);
            }
            let len = usize::from(*self.out.get(at).unwrap_or(&0));
            let written = self.out.get(at + 1..at + 1 + len).unwrap_or_default();
            if !written.eq_ignore_ascii_case(suffix.first().unwrap_or_default()) || at >= self.end {
                return false;
            }
            at += 1 + len;
        }
        true
    }

    fn try_copy(&mut self, message: &Message<'_>) -> Result<(), BuildError> {
        // Its pointers count from its beginning, so the question has to be as long.
        let question = self.query.get(12..self.question_end).ok_or(BuildError::Question)?;
        let theirs = message.as_bytes().get(12..message.question_end()).unwrap_or_default();
        if self.end > 0 || !question.eq_ignore_ascii_case(theirs) {
            return Err(BuildError::Question);
        }
        self.begin(false)?;
        self.put(&message.as_bytes()[self.question_end..])?;
        for record in message.records() {
            self.enter(record.section)?;
            self.count(record.section, 1)?;
        }
        let flags = u16_at(message.as_bytes(), 2).unwrap_or(0);
        self.flags = flags & (AA | 0xF);
        Ok(())
    }
}

impl Data<'_> {
    fn rtype(&self) -> u16 {
        match self {
            Self::A(_) => rtype::A,
            Self::Aaaa(_) => rtype::AAAA,
            Self::Ns(_) => rtype::NS,
            Self::Cname(_) => rtype::CNAME,
            Self::Ptr(_) => rtype::PTR,
            Self::Dname(_) => rtype::DNAME,
            Self::Mx(..) => rtype::MX,
            Self::Soa(_) => rtype::SOA,
            Self::Txt(_) => rtype::TXT,
            Self::Other(rtype, _) => *rtype,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::query_for;
    use crate::name;

    const NAME: Name<'static> = name!("www.example.com");

    /// What `make` makes of a reply about `NAME`, in so many bytes.
    fn made<'a>(
        out: &'a mut [u8],
        query: &'a [u8],
        make: impl FnOnce(Reply<'a>) -> Reply<'a>,
    ) -> Result<usize, BuildError> {
        make(Reply::new(out, 0, query, query.len())).finish()
    }

    fn build(make: impl FnOnce(Reply<'_>) -> Reply<'_>) -> Result<Vec<u8>, BuildError> {
        let (mut out, query) = (vec![0xEE; 65_536], query_for(NAME, rtype::MX));
        let len = made(&mut out, &query, make)?;
        out.truncate(len);
        Ok(out)
    }

    #[test]
    fn names_are_compressed_and_counts_are_right() {
        let soa = Soa {
            mname: name!("ns.example.com"),
            rname: name!("Example.com"),
            serial: 1,
            refresh: 2,
            retry: 3,
            expire: 4,
            minimum: 5,
        };
        let reply = build(|reply| {
            reply
                .authoritative()
                .answer(NAME, 60, Data::Mx(10, name!("mail.example.com")))
                .answer(NAME, 60, Data::Mx(20, name!("mail.example.org")))
                .authority(name!("example.com"), 60, Data::Soa(soa))
                .additional(name!("mail.example.org"), 60, Data::A([192, 0, 2, 1]))
        })
        .unwrap();
        let message = Message::parse(&reply).unwrap();
        assert!(message.is_authoritative() && message.rcode() == 0);
        assert_eq!(reply[4..12], [0, 1, 0, 2, 0, 1, 0, 1]);
        let records: Vec<_> = message.records().collect();
        let owner = |at: usize| records[at].owner().unwrap().as_name().to_string();
        assert_eq!((owner(0), owner(2)), ("www.example.com.".into(), "example.com.".into()));
        assert_eq!(records[0].name(2).unwrap().as_name(), name!("mail.example.com"));
        assert_eq!(records[0].rdata(), [&[0, 10, 4][..], b"mail", &[0xC0, 16]].concat());
        assert_eq!(records[1].rdata(), [&[0, 20, 4][..], b"mail\x07example\x03org\0"].concat());
        assert_eq!(records[2].rdata()[..7], [&[2][..], b"ns", &[0xC0, 16, 0xC0, 16]].concat());
        assert_eq!((owner(3), records[3].rdata()), ("mail.example.org.".into(), &[192, 0, 2, 1][..]));
    }

    #[test]
    fn what_would_be_malformed_is_not_made() {
        let long = [0; 256];
        let name = NAME.as_wire();
        type Make<'m> = &'m dyn Fn(Reply<'_>) -> Reply<'_>;
        let cases: [(BuildError, Make<'_>); 9] = [
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Txt(&[]))),
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Txt(&[&long]))),
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Other(rtype::OPT, &[]))),
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Other(rtype::ANY, &[]))),
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Other(rtype::NS, &name[1..]))),
            (BuildError::Data, &|reply| reply.answer(NAME, 0, Data::Other(rtype::SOA, name))),
            (BuildError::Full, &|reply| reply.answer(NAME, 0, Data::Other(99, &[0; 65_536]))),
            (BuildError::Order, &|reply| {
                reply.authority(NAME, 0, Data::Ns(NAME)).answer(NAME, 0, Data::Ns(NAME))
            }),
            // The first mistake counts, whatever comes after it.
            (BuildError::Data, &|reply| {
                reply.answer(NAME, 0, Data::Txt(&[])).answer(NAME, 0, Data::Ns(NAME))
            }),
        ];
        for (number, (error, make)) in cases.iter().enumerate() {
            assert_eq!(build(make), Err(*error), "{number}");
        }
    }

    #[test]
    fn a_reply_has_the_room_that_there_is() {
        let query = query_for(NAME, rtype::A);
        let whole = query.len() + 16;
        for len in 0..=whole {
            let mut out = vec![0; len];
            let len = made(&mut out, &query, |reply| reply.answer(NAME, 0, Data::A([0; 4])));
            assert_eq!(len.is_ok(), out.len() == whole);
        }
    }

    #[test]
    fn what_is_copied_answers_the_same_question() {
        let answer = build(|reply| reply.rcode(3).authoritative().answer(NAME, 9, Data::Ns(NAME))).unwrap();
        let message = Message::parse(&answer).unwrap();
        let copy = build(|reply| reply.copy(&message)).unwrap();
        assert_eq!(copy[2..], answer[2..]);
        let other = query_for(name!("www.example.org"), rtype::MX);
        let mut out = [0; 512];
        let other = made(&mut out, &other, |reply| reply.copy(&message));
        assert_eq!(other, Err(BuildError::Question));
    }

    /// Adds NXDOMAIN, and two records of which one points to the other.
    fn add(reply: Reply<'_>) -> Reply<'_> {
        let zone = name!("example.com");
        let reply = reply.rcode(3).authoritative().authority(zone, 60, Data::Ns(name!("ns.example.com")));
        reply.authority(zone, 60, Data::Ns(name!("a.ns.example.com")))
    }

    #[test]
    fn prepared_records_are_those_of_a_reply_for_every_length_of_the_name() {
        let zone = name!("example.com");
        let prepared = Prepared::new(zone, add).unwrap();
        for labels in 0..100 {
            let wire = [&b"\x01x".repeat(labels)[..], zone.as_wire()].concat();
            let qname = Name::from_wire(&wire).unwrap();
            let query = query_for(qname, rtype::A);
            let (mut built, mut copied) = (vec![0; 1024], vec![0; 1024]);
            let len = made(&mut built, &query, add).unwrap();
            let asked = Name::from_wire(&query[12..query.len() - 4]).unwrap();
            let suffix = asked.suffixes().nth(labels).unwrap();
            let reply = Reply::new(&mut copied, 0, &query, query.len());
            assert_eq!(reply.try_prepared(&prepared, suffix), Some(len));
            assert_eq!(built[..len], copied[..len]);
            // Not for another name, nor for a suffix that is not the query's own.
            let reply = Reply::new(&mut copied, 0, &query, query.len());
            assert_eq!(reply.try_prepared(&prepared, suffix.parent().unwrap()), None);
            let reply = Reply::new(&mut copied, 0, &query, query.len());
            assert_eq!(reply.try_prepared(&prepared, zone), None);
        }
    }
}
