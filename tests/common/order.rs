//! What must be true of every reply: the order in which a query's faults decide, and what holds of each
//! answer, written a second time and in other words than the server's. A reply that holds no zone data is
//! foretold byte for byte.

#[expect(deprecated, reason = "SipHash-2-4 is what it is wanted for")]
use std::hash::{Hasher as _, SipHasher};
use std::net::{IpAddr, SocketAddr};

use as112d::dns::arrival::{Arrival, Pace, Transport};
use as112d::serve::UpdatePolicy;

use super::decode::{
    ADDITIONAL, ANSWER, AUTHORITY, Message, Record, TYPE_SOA, TYPE_TSIG, name_at, second_opinion,
};
use super::golden::Node;
use super::packet::dissect;

/// What a node was told, as far as replies depend on it.
pub struct Facts {
    /// The apexes, uncompressed and in lower case.
    pub zones: Vec<Vec<u8>>,
    pub edns_udp_size: u16,
    pub nsid: Vec<u8>,
    pub tells_version: bool,
    pub update: UpdatePolicy,
    /// The secrets of cookies where those are on, the current one first.
    pub cookies: Option<Vec<u128>>,
    pub listeners: Vec<SocketAddr>,
    /// Answers depend on the client: its subnet is read and sent back.
    pub reads_subnets: bool,
}

/// What a query must get.
enum Expected {
    Nothing,
    /// These bytes.
    Exactly(Vec<u8>),
    /// One text of class CH, and this OPT.
    Identity(Vec<u8>),
    /// An answer from the zones, and this OPT.
    Answer(Vec<u8>),
}

/// The OPT of a query.
#[derive(Default)]
struct Edns {
    size: u16,
    version: u8,
    dnssec_ok: bool,
    /// Whether options fill the rdata exactly.
    sound: bool,
    nsid: bool,
    keepalive: bool,
    cookie: Option<Vec<u8>>,
    /// All client subnets.
    subnets: Vec<Vec<u8>>,
}

impl Edns {
    /// The same without what would have an option in the reply, but for the client subnet, which every reply
    /// has.
    fn bare(&self) -> Self {
        Self { dnssec_ok: self.dnssec_ok, subnets: self.subnets.clone(), ..Self::default() }
    }
}

/// Whether a client subnet is as RFC 7871, section 6, wants it of a query.
fn is_sound(subnet: &[u8]) -> bool {
    let [0, family @ (1 | 2), source, 0, address @ ..] = subnet else { return false };
    let bits: String = address.iter().map(|octet| format!("{octet:08b}")).collect();
    let source = usize::from(*source);
    source <= [32, 128][usize::from(*family) - 1]
        && bits.len() == source.next_multiple_of(8)
        && !bits[source..].contains('1')
}

/// SipHash-2-4 of the standard library, which has a faster one for itself since.
#[expect(deprecated, reason = "2-4 is what it is asked for")]
fn sip_hash(secret: u128, bytes: &[u8]) -> [u8; 8] {
    let [low, high] = [(secret >> 64) as u64, secret as u64].map(u64::swap_bytes);
    let mut hasher = SipHasher::new_with_keys(low, high);
    hasher.write(bytes);
    hasher.finish().to_le_bytes()
}

const BADCOOKIE: u16 = 23;
const FORMERR: u16 = 1;
const NOTIMP: u16 = 4;
const REFUSED: u16 = 5;
const NOTAUTH: u16 = 9;
const QR: u16 = 0x8000;
const AA: u16 = 0x0400;
const TC: u16 = 0x0200;
const RD: u16 = 0x0100;

/// The order of decisions, for one query.
struct Asked<'a> {
    facts: &'a Facts,
    arrival: &'a Arrival,
    query: &'a [u8],
}

impl Asked<'_> {
    fn word(&self, at: usize) -> Option<u16> {
        let bytes = self.query.get(at..at + 2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn expected(&self) -> Expected {
        let header: Option<Vec<u16>> = (0..6).map(|index| self.word(index * 2)).collect();
        let Some(header) = header else { return Expected::Nothing };
        if header[1] & QR != 0 || self.comes_from_no_client() {
            return Expected::Nothing;
        }
        let is_update = match header[1] >> 11 & 0xF {
            0 => false,
            5 => true,
            _ => return self.exactly(NOTIMP, None, &[], &[]),
        };
        let sections = [header[3], header[4], header[5]];
        let lone_record = header[2] == 0 && sections == [0, 0, 1] && self.query.len() <= 2048;
        if lone_record
            && let Some((Some(edns), _)) = self.walk(12, sections)
            && edns.sound
        {
            return self.lone_opt(&edns);
        }
        let end = match self.question_end() {
            Some(end) if header[2] == 1 => end,
            _ => return self.exactly(FORMERR, None, &[], &[]),
        };
        if is_update {
            return match self.facts.update {
                UpdatePolicy::Refused => self.exactly(REFUSED, Some(end), &[], &[]),
                UpdatePolicy::Notimp => self.exactly(NOTIMP, Some(end), &[], &[]),
                UpdatePolicy::Drop => Expected::Nothing,
            };
        }
        match self.walk(end, sections) {
            Some((edns, tsig)) if self.query.len() <= 2048 => self.query(end, edns.as_ref(), tsig.as_deref()),
            _ => self.exactly(FORMERR, Some(end), &[], &[]),
        }
    }

    /// From the version of EDNS on.
    fn query(&self, end: usize, edns: Option<&Edns>, tsig: Option<&[u8]>) -> Expected {
        let question = Some(end);
        match edns {
            Some(Edns { version: 1.., dnssec_ok, .. }) => {
                let opt = self.opt(&Edns { dnssec_ok: *dnssec_ok, ..Edns::default() }, 1, None);
                return self.exactly(0, question, &opt, &[]);
            }
            Some(edns) if !edns.sound => return self.exactly(FORMERR, question, &[], &[]),
            Some(edns) if self.has_malformed_cookie(edns) => {
                return self.exactly(FORMERR, question, &self.opt(&edns.bare(), 0, None), &[]);
            }
            _ => {}
        }
        if let Some(expected) = self.over_limit(question, edns) {
            return expected;
        }
        if let Some(edns) = edns.filter(|edns| self.has_unsound_subnet(edns)) {
            return self.exactly(FORMERR, question, &self.opt(edns, 0, None), &[]);
        }
        let opt = |error| edns.map_or_else(Vec::new, |edns| self.opt(edns, 0, error));
        if let Some(tsig) = tsig {
            let fits = end + tsig.len() + opt(None).len() <= self.room(edns);
            let (flag, tsig) = if fits { (0, tsig) } else { (TC, &[][..]) };
            return self.exactly(NOTAUTH | flag, question, &opt(None), tsig);
        }
        let qtype = self.word(end - 4).expect("the question is sound");
        let name = self.query[12..end - 4].to_ascii_lowercase();
        match self.word(end - 2).expect("the question is sound") {
            1 if qtype == 251 || qtype == 252 => self.exactly(REFUSED, question, &opt(None), &[]),
            1 if self.is_ours(&name) => Expected::Answer(opt(None)),
            1 => self.exactly(REFUSED, question, &opt(Some(20)), &[]),
            3 if qtype == 16 && self.says_who(&name) => Expected::Identity(opt(None)),
            _ => self.exactly(REFUSED, question, &opt(None), &[]),
        }
    }

    /// What a query gets because its network is over its rate; nothing if that changes nothing.
    fn over_limit(&self, question: Option<usize>, edns: Option<&Edns>) -> Option<Expected> {
        let cookie = edns.and_then(|edns| self.cookie(edns));
        if cookie.as_ref().is_some_and(|(_, is_valid)| *is_valid) {
            return None;
        }
        match self.arrival.pace {
            Pace::Within | Pace::DryRun | Pace::Exempt => return None,
            Pace::Drop => return Some(Expected::Nothing),
            Pace::Slip => {}
        }
        let (rcode, extended) = if cookie.is_some() { (BADCOOKIE & 0xF, 1) } else { (TC, 0) };
        let bare = edns.map(|edns| Edns { cookie: edns.cookie.clone(), ..edns.bare() });
        let opt = bare.map_or_else(Vec::new, |edns| self.opt(&edns, extended, None));
        Some(self.exactly(rcode, question, &opt, &[]))
    }

    /// No question but an OPT: with a cookie, the client asks for one.
    fn lone_opt(&self, edns: &Edns) -> Expected {
        if self.has_malformed_cookie(edns) {
            return self.exactly(FORMERR, None, &self.opt(&edns.bare(), 0, None), &[]);
        }
        let cookie = self.cookie(edns);
        let is_limited = matches!(self.arrival.pace, Pace::Slip | Pace::Drop)
            && cookie.as_ref().is_none_or(|(_, is_valid)| !is_valid);
        if is_limited && self.arrival.pace == Pace::Drop {
            return Expected::Nothing;
        }
        let short = Edns { cookie: edns.cookie.clone(), ..edns.bare() };
        let edns = if is_limited { &short } else { edns };
        match cookie {
            _ if self.has_unsound_subnet(edns) => self.exactly(FORMERR, None, &self.opt(edns, 0, None), &[]),
            None => self.exactly(FORMERR, None, &self.opt(edns, 0, None), &[]),
            Some((_, false)) if edns.cookie.as_ref().is_some_and(|cookie| cookie.len() > 8) => {
                self.exactly(BADCOOKIE & 0xF, None, &self.opt(edns, (BADCOOKIE >> 4) as u8, None), &[])
            }
            Some(_) => self.exactly(0, None, &self.opt(edns, 0, None), &[]),
        }
    }

    fn has_unsound_subnet(&self, edns: &Edns) -> bool {
        self.facts.reads_subnets && !edns.subnets.iter().all(|subnet| is_sound(subnet))
    }

    fn has_malformed_cookie(&self, edns: &Edns) -> bool {
        let is_malformed = |cookie: &Vec<u8>| !matches!(cookie.len(), 8 | 16..=40);
        self.facts.cookies.is_some() && edns.cookie.as_ref().is_some_and(is_malformed)
    }

    /// The cookie of the reply, and whether that of the query was ours and valid.
    fn cookie(&self, edns: &Edns) -> Option<(Vec<u8>, bool)> {
        let (secrets, cookie) = (self.facts.cookies.as_ref()?, edns.cookie.as_ref()?);
        let address = match self.arrival.peer.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let hash = |secret: &u128, head: &[u8]| sip_hash(*secret, &[head, &address].concat());
        let now = self.arrival.unix_time;
        let age = || i64::from(now) - i64::from(u32::from_be_bytes(cookie[12..16].try_into().expect("four")));
        let made_with = (cookie.len() == 24 && cookie[8] == 1)
            .then(|| secrets.iter().position(|secret| hash(secret, &cookie[..16]) == cookie[16..]))
            .flatten()
            .filter(|_| (-300..=3600).contains(&age()));
        if made_with == Some(0) && age() <= 1800 {
            return Some((cookie.clone(), true));
        }
        let head = [&cookie[..8], &[1, 0, 0, 0], &now.to_be_bytes()].concat();
        Some(([&head[..], &hash(&secrets[0], &head)].concat(), made_with.is_some()))
    }

    fn comes_from_no_client(&self) -> bool {
        let peer = self.arrival.peer;
        self.arrival.transport == Transport::Udp
            && (matches!(peer.port(), 0 | 7 | 13 | 17 | 19 | 37 | 464)
                || peer == self.arrival.local
                || self.facts.listeners.contains(&peer))
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        let mut at = 0;
        loop {
            if self.facts.zones.iter().any(|zone| *zone == name[at..]) {
                return true;
            }
            if name[at] == 0 {
                return false;
            }
            at += 1 + usize::from(name[at]);
        }
    }

    fn says_who(&self, name: &[u8]) -> bool {
        matches!(name, b"\x02id\x06server\0" | b"\x08hostname\x04bind\0")
            || self.facts.tells_version
                && matches!(name, b"\x07version\x04bind\0" | b"\x07version\x06server\0")
    }

    /// A reply without zone data. The flags of `rcode` may hold TC.
    fn exactly(&self, rcode: u16, question: Option<usize>, opt: &[u8], tsig: &[u8]) -> Expected {
        let flags = self.word(2).expect("the header is whole");
        let kept = if flags & 0x7800 == 0 { RD } else { 0x7800 };
        let additional = u16::from(!opt.is_empty()) + u16::from(!tsig.is_empty());
        let words = [QR | flags & kept | rcode, u16::from(question.is_some()), 0, 0, additional];
        let mut reply = self.query[..2].to_vec();
        reply.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        reply.extend(&self.query[12..question.unwrap_or(12)]);
        reply.extend(opt);
        reply.extend(tsig);
        Expected::Exactly(reply)
    }

    /// The OPT of the reply; one of BADVERS has no options because `edns` then asks for none.
    fn opt(&self, edns: &Edns, extended_rcode: u8, error: Option<u16>) -> Vec<u8> {
        let mut options = Vec::new();
        let mut option = |code: u16, data: &[u8]| {
            options.extend(code.to_be_bytes());
            options.extend((data.len() as u16).to_be_bytes());
            options.extend(data);
        };
        if edns.nsid {
            option(3, &self.facts.nsid);
        }
        // Of several the first.
        let subnet = edns.subnets.first().filter(|_| self.facts.reads_subnets);
        if let Some(subnet) = subnet.filter(|_| !self.has_unsound_subnet(edns)) {
            option(8, subnet);
        }
        match self.arrival.transport {
            Transport::Tcp { keepalive } if edns.keepalive => option(11, &keepalive.to_be_bytes()),
            _ => {}
        }
        if let Some(error) = error {
            option(15, &error.to_be_bytes());
        }
        if let Some((cookie, _)) = self.cookie(edns) {
            option(10, &cookie);
        }
        let mut opt = vec![0, 0, 41];
        opt.extend(self.facts.edns_udp_size.to_be_bytes());
        opt.extend([extended_rcode, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
        opt.extend((options.len() as u16).to_be_bytes());
        opt.extend(options);
        opt
    }

    /// Bytes that a reply may have.
    fn room(&self, edns: Option<&Edns>) -> usize {
        match (self.arrival.transport, edns) {
            (Transport::Tcp { .. }, _) => 65_535,
            (Transport::Udp, None) => 512,
            (Transport::Udp, Some(edns)) => usize::from(edns.size.max(512).min(self.facts.edns_udp_size)),
        }
    }

    fn question_end(&self) -> Option<usize> {
        let mut at = 12;
        while *self.query.get(at)? != 0 {
            at += 1 + usize::from(Some(self.query[at]).filter(|len| *len < 64)?);
        }
        let (name_len, end) = (at + 1 - 12, at + 5);
        (name_len <= 255 && end <= self.query.len()).then_some(end)
    }

    /// Passes the records from `at` on. Gives the OPT, and the TSIG that a reply to the TSIG holds.
    fn walk(&self, mut at: usize, sections: [u16; 3]) -> Option<(Option<Edns>, Option<Vec<u8>>)> {
        let (mut edns, mut tsig) = (None, None);
        for (section, count) in sections.into_iter().enumerate() {
            for _ in 0..count {
                let owner = at;
                let (fixed, points) = self.pass_owner(at)?;
                let (rtype, class) = (self.word(fixed)?, self.word(fixed + 2)?);
                let rdata = fixed + 10;
                at = rdata + usize::from(self.word(fixed + 8)?);
                if at > self.query.len() || tsig.is_some() {
                    return None;
                }
                match rtype {
                    41 if edns.is_some() || section != 2 || self.query[owner] != 0 => return None,
                    41 => edns = Some(self.edns(fixed, at)),
                    250 if points || section != 2 || class != 255 => return None,
                    250 => tsig = Some(self.bad_key(owner, rdata, at)?),
                    _ => {}
                }
            }
        }
        Some((edns, tsig))
    }

    /// The offset behind an owner, and whether it ends in a pointer.
    fn pass_owner(&self, start: usize) -> Option<(usize, bool)> {
        let mut at = start;
        loop {
            let len = *self.query.get(at)?;
            match len {
                0 => return Some((at + 1, false)),
                1..=63 => at += 1 + usize::from(len),
                0xC0.. => return self.query.get(at + 1).map(|_| (at + 2, true)),
                _ => return None,
            }
            if at - start > 254 {
                return None;
            }
        }
    }

    fn edns(&self, fixed: usize, end: usize) -> Edns {
        let mut edns = Edns {
            size: self.word(fixed + 2).expect("the record is whole"),
            version: self.query[fixed + 5],
            dnssec_ok: self.query[fixed + 6] & 0x80 != 0,
            ..Edns::default()
        };
        let mut at = fixed + 10;
        while at + 4 <= end {
            let code = self.word(at);
            edns.nsid |= code == Some(3);
            edns.keepalive |= code == Some(11);
            let data = at + 4;
            at = data + usize::from(self.word(at + 2).expect("it is inside"));
            if code == Some(8) {
                edns.subnets.extend(self.query.get(data..at).map(<[u8]>::to_vec));
            }
            if code == Some(10) && edns.cookie.is_none() {
                edns.cookie = self.query.get(data..at).map(<[u8]>::to_vec);
            }
        }
        edns.sound = at == end;
        edns
    }

    /// The TSIG with BADKEY that answers the one with these parts (RFC 8945, section 5.2.1).
    fn bad_key(&self, owner: usize, rdata: usize, end: usize) -> Option<Vec<u8>> {
        let (behind_algorithm, points) = self.pass_owner(rdata)?;
        let mac_len = usize::from(self.word(behind_algorithm + 8)?);
        let behind_mac = behind_algorithm + 10 + mac_len;
        let other_len = usize::from(self.word(behind_mac + 4)?);
        if points || behind_mac + 6 + other_len != end {
            return None;
        }
        let (algorithm_len, time) = (behind_algorithm - rdata, behind_algorithm..behind_algorithm + 8);
        let mut record = self.query[owner..rdata - 2].to_vec();
        let ttl_at = record.len() - 4;
        record[ttl_at..].fill(0);
        record.extend((algorithm_len as u16 + 16).to_be_bytes());
        record.extend(&self.query[rdata..behind_algorithm]);
        record.extend(&self.query[time]);
        record.extend([0, 0]);
        record.extend(&self.query[behind_mac..behind_mac + 2]);
        record.extend([0, 17, 0, 0]);
        Some(record)
    }

    /// Whether `reply` is what the query must get.
    fn judge(&self, reply: Option<&[u8]>) -> Result<(), String> {
        let (opt, is_identity) = match (self.expected(), reply) {
            (Expected::Nothing, None) => return Ok(()),
            (Expected::Nothing, Some(_)) => return Err("there must be no reply".to_owned()),
            (_, None) => return Err("there must be a reply".to_owned()),
            (Expected::Exactly(bytes), Some(reply)) if bytes == reply => return Ok(()),
            (Expected::Exactly(bytes), Some(_)) => {
                return Err(format!("the reply must be\n{}", dissect(&bytes)));
            }
            (Expected::Identity(opt), Some(_)) => (opt, true),
            (Expected::Answer(opt), Some(_)) => (opt, false),
        };
        let reply = reply.expect("those without were judged above");
        let message = Message::decode(reply)?;
        // For whom it holds is for others to judge.
        let opt = if is_identity {
            opt
        } else {
            with_scope_of(opt, message.opt().map(|opt| &reply[opt.span.clone()]))
        };
        self.judge_frame(&message, reply, &opt)?;
        if message.header.has(TC) {
            return require(message.records.len() == usize::from(!opt.is_empty()), "TC with records");
        }
        if is_identity { judge_identity(&message) } else { self.judge_answer(&message, reply) }
    }

    /// Header, question, OPT and size.
    fn judge_frame(&self, message: &Message, reply: &[u8], opt: &[u8]) -> Result<(), String> {
        let asked = self.word(2).expect("the header is whole");
        let header = message.header;
        require(reply[..2] == self.query[..2], "another ID")?;
        require(header.flags & !(AA | TC | 0xF) == QR | asked & RD, "wrong flags")?;
        require(matches!(header.rcode(), 0 | 3 | 6), "an rcode that is no answer's")?;
        require(message.questions.len() == 1, "no question")?;
        let span = message.questions[0].span.clone();
        require(reply[span.clone()] == self.query[span.clone()], "another question")?;
        require(Some(span.end) == self.question_end(), "another question")?;
        match message.opt() {
            Some(record) => require(reply[record.span.clone()] == *opt && reply.ends_with(opt), "wrong OPT")?,
            None => require(opt.is_empty(), "no OPT")?,
        }
        require(message.records.iter().all(|record| record.rtype != TYPE_TSIG), "TSIG")?;
        let sections = [header_word(self.query, 6), header_word(self.query, 8), header_word(self.query, 10)];
        let (edns, _) = self.walk(span.end, sections).expect("the query is sound");
        require(reply.len() <= self.room(edns.as_ref()), "too long")
    }

    /// Sections that fit each other, and a chain of answers that begins at the question.
    fn judge_answer(&self, message: &Message, reply: &[u8]) -> Result<(), String> {
        let is_soa = |record: &&Record| record.rtype == TYPE_SOA;
        let count = |section| message.section(section).count();
        let authority_is_soa = message.section(AUTHORITY).any(|record| is_soa(&record));
        let is_referral = count(AUTHORITY) > 0 && !authority_is_soa;
        require(!authority_is_soa || count(AUTHORITY) == 1, "more than the SOA")?;
        require(message.section(AUTHORITY).all(|r| is_soa(&r) || r.rtype == 2), "authority of neither kind")?;
        match (message.header.rcode(), message.header.has(AA)) {
            (0, false) => require(is_referral && count(ANSWER) == 0, "AA is missing")?,
            (_, false) => return Err("AA is missing".to_owned()),
            (3, true) => require(authority_is_soa, "NXDOMAIN without SOA")?,
            (6, true) => require(count(AUTHORITY) == 0, "YXDOMAIN with authority")?,
            (_, true) => require(count(ANSWER) > 0 || authority_is_soa, "AA with nothing")?,
        }
        for record in message.section(AUTHORITY).filter(is_soa) {
            let minimum = &reply[record.rdata.end - 4..record.rdata.end];
            require(record.ttl <= minimum.iter().fold(0, |n, &b| n << 8 | u32::from(b)), "the SOA's TTL")?;
        }
        let is_glue = |record: &Record| record.rtype == 41 || is_referral && matches!(record.rtype, 1 | 28);
        require(message.section(ADDITIONAL).all(is_glue), "additional records")?;
        let real = |record: &&Record| record.rtype != 41;
        require(message.records.iter().filter(real).all(|record| record.class == 1), "another class")?;
        let question = &message.questions[0];
        let mut name = question.name.to_ascii_lowercase();
        let mut redirections: Vec<Vec<u8>> = Vec::new();
        for record in message.section(ANSWER) {
            let owner = record.owner.to_ascii_lowercase();
            if record.rtype == 39 && owner != name {
                require(name.ends_with(&owner), "a DNAME that is not above the name")?;
                redirections.push(owner);
                continue;
            }
            require(owner == name, "an answer to another name")?;
            // A CNAME that was asked for ends a chain, one that is made of a DNAME never does.
            let is_made = redirections.iter().any(|above| owner.ends_with(above));
            if record.rtype == 5 && (is_made || !matches!(question.qtype, 5 | 255)) {
                name = name_at(reply, record.rdata.start).0.to_ascii_lowercase();
            }
        }
        Ok(())
    }
}

/// An OPT whose client subnet, if it has one, has the SCOPE of that in `other`.
fn with_scope_of(mut opt: Vec<u8>, other: Option<&[u8]>) -> Vec<u8> {
    let mut at = 11;
    while at + 4 <= opt.len() {
        let scope_at = at + 4 + 3;
        if opt[at..at + 2] == [0, 8]
            && let Some(scope) = other.and_then(|other| other.get(scope_at))
        {
            opt[scope_at] = *scope;
        }
        at += 4 + usize::from(header_word(&opt, at + 2));
    }
    opt
}

fn judge_identity(message: &Message) -> Result<(), String> {
    let header = message.header;
    require(header.flags & (AA | 0xF) == 0 && header.counts[1..3] == [1, 0], "no single text")?;
    let text = &message.records[0];
    require((text.rtype, text.class, text.ttl) == (16, 3, 0), "no TXT of class CH with TTL 0")?;
    require(text.owner == message.questions[0].name, "another owner")
}

fn header_word(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Asks a node and judges every reply.
pub struct Judge<'n> {
    node: &'n Node,
    /// How the next query comes in.
    pub arrival: Arrival,
    slot: Vec<u8>,
    /// Replies judged.
    pub asked: usize,
}

impl<'n> Judge<'n> {
    pub fn new(node: &'n Node, arrival: Arrival) -> Self {
        Self { node, arrival, slot: Vec::new(), asked: 0 }
    }

    /// The reply to `query`, which has been found true.
    ///
    /// # Panics
    /// When something is not true of it.
    pub fn ask(&mut self, query: &[u8]) -> Option<&[u8]> {
        let len = self.node.ask_in(&mut self.slot, &self.arrival, query);
        let reply = len.map(|len| &self.slot[..len]);
        self.asked += 1;
        let asked = Asked { facts: &self.node.facts, arrival: &self.arrival, query };
        // The second decoder reads it too.
        let verdict =
            asked.judge(reply).and_then(|()| reply.map_or(Ok(()), |reply| second_opinion(reply).map(drop)));
        if let Err(reason) = verdict {
            let reply = reply.map_or_else(|| "nothing\n".to_owned(), dissect);
            panic!("{reason}\nthe query\n{}the reply\n{reply}", dissect(query));
        }
        reply
    }
}
