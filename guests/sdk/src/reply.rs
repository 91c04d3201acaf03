//! Replies: a builder that counts, compresses and orders by itself, so that what leaves it is a message.

use alloc::vec::Vec;
use core::fmt;

use crate::message::{u16_at, Message, Section};
use crate::name::Name;
use crate::verdict::Verdict;
use crate::{class, rtype};

/// Farthest place that a compression pointer can name.
const POINTER_TARGET_MAX: usize = 0x3FFF;
/// Places of names that are kept for compression; names after that are written whole more often.
const KNOWN_MAX: usize = 128;

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
/// Sections come in their order, counts are right, and names are compressed where they may be. Whatever cannot
/// be done makes the whole reply [`Verdict::fail`] when it is sent, so the query gets the application's
/// fallback; [`error`](Self::error) tells before. ID, opcode, RD and the question are the query's; OPT, cookies
/// and truncation to what the client can take are the host's.
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

    /// Adds records that were made in advance, and takes their response code and AA. `node` is the suffix of
    /// the qname that they were made for.
    #[must_use]
    pub fn prepared(mut self, prepared: &Prepared, node: Name<'_>) -> Self {
        if self.error.is_none() {
            if let Err(error) = self.try_prepared(prepared, node) {
                self.error = Some(error);
            }
        }
        self
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

    fn try_prepared(&mut self, prepared: &Prepared, node: Name<'_>) -> Result<(), BuildError> {
        self.begin(false)?;
        let qname = Name::trusted(self.query.get(12..self.question_end - 4).unwrap_or_default());
        let ends_there = qname.as_wire().as_ptr_range().end == node.as_wire().as_ptr_range().end;
        if !ends_there || node.len() > qname.len() || node != Name::trusted(&prepared.node) {
            return Err(BuildError::Question);
        }
        let (node_at, records_at) = (self.question_end - 4 - node.len(), self.end);
        for (section, count) in
            [Section::Answer, Section::Authority, Section::Additional].into_iter().zip(prepared.counts)
        {
            if count > 0 {
                self.enter(section)?;
                self.count(section, count)?;
            }
        }
        self.put(&prepared.records)?;
        for pointer in &prepared.pointers {
            let base = if pointer.is_from_node { node_at } else { records_at };
            let target = base + usize::from(pointer.delta);
            if target > POINTER_TARGET_MAX {
                return Err(BuildError::Full);
            }
            let at = records_at + usize::from(pointer.at);
            self.out[at..at + 2].copy_from_slice(&(0xC000 | target as u16).to_be_bytes());
        }
        self.flags = prepared.flags;
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

/// Records that were made in advance for all names that end in one: what most queries get is then one copy
/// and a few pointers, which an interpreter does in a microsecond.
///
/// ```
/// # use as112_guest::{Data, NameBuf, Prepared};
/// let zone: NameBuf = "example.com".parse().unwrap();
/// let servers = Prepared::new(zone.as_name(), |reply| {
///     reply.authoritative().answer(zone.as_name(), 3600, Data::Ns(zone.as_name()))
/// });
/// assert!(servers.is_ok());
/// // Later: `reply.prepared(&servers, suffix).send()`
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    node: Vec<u8>,
    records: Vec<u8>,
    pointers: Vec<Pointer>,
    counts: [u16; 3],
    flags: u16,
}

/// A compression pointer of prepared records.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    /// Where it stands, from the first byte of the records.
    at: u16,
    /// Where it points, from the node's name or from the first byte of the records.
    delta: u16,
    /// Which of the two.
    is_from_node: bool,
}

impl Prepared {
    /// Prepares what `make` adds to a reply about `node`. The reply may have at most 4,096 bytes.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(node: Name<'_>, make: impl FnOnce(Reply<'_>) -> Reply<'_>) -> Result<Self, BuildError> {
        let query = crate::message::query_for(node, rtype::ANY);
        let mut out = alloc::vec![0; 4096];
        Self::of(node, make(Reply::new(&mut out, 0, &query, query.len())))
    }

    #[inline(never)]
    fn of(node: Name<'_>, mut reply: Reply<'_>) -> Result<Self, BuildError> {
        let (len, question_end) = (reply.finish()?, reply.question_end);
        let (counts, flags) = (reply.counts, reply.flags);
        let pointers = pointers(&reply.out[..len], question_end, &counts)?;
        let records = reply.out[question_end..len].to_vec();
        Ok(Self { node: node.as_wire().to_vec(), records, pointers, counts, flags })
    }
}

/// The compression pointers of the records after `question_end`.
fn pointers(message: &[u8], question_end: usize, counts: &[u16; 3]) -> Result<Vec<Pointer>, BuildError> {
    let mut pointers = Vec::new();
    let mut at = question_end;
    for _ in 0..counts.iter().map(|count| u32::from(*count)).sum() {
        at = note_name(message, at, question_end, &mut pointers)?;
        let rtype = u16_at(message, at).ok_or(BuildError::Data)?;
        let rdata_len = u16_at(message, at + 8).ok_or(BuildError::Data)?;
        at += 10;
        let end = at + usize::from(rdata_len);
        let (before, names) = match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => (0, 1),
            rtype::MX => (2, 1),
            rtype::SOA => (0, 2),
            _ => (0, 0),
        };
        at += before;
        for _ in 0..names {
            at = note_name(message, at, question_end, &mut pointers)?;
        }
        at = end;
    }
    Ok(pointers)
}

/// Notes the pointer of the name at `at`, if it has one; where the name ends.
fn note_name(
    message: &[u8],
    mut at: usize,
    question_end: usize,
    pointers: &mut Vec<Pointer>,
) -> Result<usize, BuildError> {
    loop {
        let len = *message.get(at).ok_or(BuildError::Data)?;
        if len == 0 {
            return Ok(at + 1);
        }
        if len < 0xC0 {
            at += 1 + usize::from(len);
            continue;
        }
        let target = usize::from(u16_at(message, at).ok_or(BuildError::Data)? & 0x3FFF);
        let is_from_node = target < question_end;
        let delta = target - if is_from_node { 12 } else { question_end };
        pointers.push(Pointer { at: (at - question_end) as u16, delta: delta as u16, is_from_node });
        return Ok(at + 2);
    }
}
