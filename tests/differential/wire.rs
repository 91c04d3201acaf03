//! A reply as it is compared: names in lower case and whole, OPT and TSIG apart from the other records.

use std::fmt;

use as112d::dns::consts::{HEADER_LEN, flag, option, rtype};
use domain::base::iana::Rtype;

/// The flags that a reply may differ in; QR and the opcode are looked at elsewhere.
const FLAGS: u16 = flag::AA | flag::TC | flag::RD | 0x00F0;

/// A decoded reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    pub opcode: u8,
    /// All twelve bits.
    pub rcode: u16,
    /// AA, TC, RD, RA, Z, AD and CD, where they stand.
    pub flags: u16,
    /// The question section, byte for byte.
    pub question: Vec<u8>,
    /// Answer, authority and additional records, OPT and TSIG excepted, in the order of the packet.
    pub sections: [Vec<Record>; 3],
    pub opt: Option<Opt>,
    pub tsig: Option<Record>,
}

/// A record whose names are not compressed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// In lower case.
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    /// Names in it in lower case.
    pub rdata: Vec<u8>,
}

/// What an OPT says that can be compared. The sizes are each server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opt {
    pub version: u8,
    /// DO, and Z, which is zero.
    pub flags: u16,
    /// Code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// The place where a packet ends too early or makes no sense, and what stands there.
type Damage = (usize, &'static str);

impl Reply {
    /// A reply without records.
    pub fn empty(opcode: u8, rcode: u16) -> Self {
        let (question, sections) = (Vec::new(), [const { Vec::new() }; 3]);
        Self { opcode, rcode, flags: 0, question, sections, opt: None, tsig: None }
    }

    /// Reads a packet to its last byte.
    pub fn decode(packet: &[u8]) -> Result<Self, Damage> {
        let word = |at| u16_at(packet, at);
        let flags = word(2)?;
        let mut reply = Self::empty((flags >> 11) as u8 & 0xF, flags & 0xF);
        reply.flags = flags & FLAGS;
        let mut at = HEADER_LEN;
        for _ in 0..word(4)? {
            at = name(packet, at)?.1 + 4;
        }
        reply.question = packet.get(HEADER_LEN..at).ok_or((at, "the question is cut short"))?.to_vec();
        for section in 0..3 {
            for _ in 0..word(6 + 2 * section)? {
                let (record, end) = record(packet, at)?;
                at = end;
                match record.rtype {
                    rtype::OPT if reply.opt.is_some() => return Err((at, "a second OPT")),
                    rtype::OPT => {
                        reply.rcode |= (record.ttl >> 24 << 4) as u16;
                        reply.opt = Some(opt(&record)?);
                    }
                    rtype::TSIG => reply.tsig = Some(record),
                    _ => reply.sections[section].push(record),
                }
            }
        }
        if at == packet.len() { Ok(reply) } else { Err((at, "bytes behind the last record")) }
    }

    /// The same reply with its sections as sets: in order, and without those records twice that stand there
    /// twice. Of the options, what NSID says and the code of an extended error remain.
    pub fn compared(&self) -> Self {
        let mut reply = self.clone();
        for section in &mut reply.sections {
            section.sort_unstable();
            section.dedup();
        }
        if let Some(opt) = &mut reply.opt {
            opt.options.retain(|(code, _)| [option::NSID, option::EDE].contains(code));
            for (_, data) in opt.options.iter_mut().filter(|(code, _)| *code == option::EDE) {
                data.truncate(2);
            }
        }
        reply
    }

    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

fn u16_at(packet: &[u8], at: usize) -> Result<u16, Damage> {
    let bytes = packet.get(at..at + 2).ok_or((at, "cut short"))?;
    Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// The name at `at`, whole and in lower case, and the offset behind it.
fn name(packet: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), Damage> {
    let mut name = Vec::new();
    let mut end = None;
    loop {
        let len = *packet.get(at).ok_or((at, "a name is cut short"))?;
        match len {
            0 => {
                name.push(0);
                return Ok((name, end.unwrap_or(at + 1)));
            }
            1..=63 => {
                let label = packet.get(at..=at + usize::from(len)).ok_or((at, "a label is cut short"))?;
                name.extend(label.to_ascii_lowercase());
                at += label.len();
            }
            0xC0.. => {
                let target = usize::from(u16_at(packet, at)? & 0x3FFF);
                if target >= at {
                    return Err((at, "a pointer that does not go backward"));
                }
                end = end.or(Some(at + 2));
                at = target;
            }
            _ => return Err((at, "a label of a type that is not in use")),
        }
        if name.len() > 254 {
            return Err((at, "a name over 255 bytes"));
        }
    }
}

/// The record at `at`, and the offset behind it.
fn record(packet: &[u8], at: usize) -> Result<(Record, usize), Damage> {
    let (owner, fixed) = name(packet, at)?;
    let (rtype, class) = (u16_at(packet, fixed)?, u16_at(packet, fixed + 2)?);
    let ttl = u32::from(u16_at(packet, fixed + 4)?) << 16 | u32::from(u16_at(packet, fixed + 6)?);
    let start = fixed + 10;
    let end = start + usize::from(u16_at(packet, fixed + 8)?);
    if end > packet.len() {
        return Err((at, "rdata is cut short"));
    }
    let (before, names) = layout(rtype);
    let mut rdata = packet[start..(start + before).min(end)].to_vec();
    let mut rest = start + before;
    for _ in 0..names {
        let (name, behind) = name(&packet[..end], rest)?;
        rdata.extend(name);
        rest = behind;
    }
    rdata.extend(&packet[rest.min(end)..end]);
    Ok((Record { owner, rtype, class, ttl, rdata }, end))
}

/// Bytes before the first name of the rdata, and how many names stand there: of the types that may be
/// compressed (RFC 3597, section 4), and of DNAME and SRV, whose names have a case all the same.
fn layout(rtype: u16) -> (usize, usize) {
    match rtype {
        2..=5 | 7..=9 | rtype::PTR | rtype::DNAME => (0, 1),
        rtype::SOA | 14 | 17 => (0, 2),
        rtype::MX | 18 | 21 | 36 => (2, 1),
        rtype::SRV => (6, 1),
        rtype::TSIG => (0, 1),
        _ => (0, 0),
    }
}

fn opt(record: &Record) -> Result<Opt, Damage> {
    if record.owner != [0] {
        return Err((0, "an OPT that is not the root's"));
    }
    let mut options = Vec::new();
    let mut at = 0;
    while at < record.rdata.len() {
        let data = at + 4..at + 4 + usize::from(u16_at(&record.rdata, at + 2)?);
        let code = u16_at(&record.rdata, at)?;
        at = data.end;
        options.push((code, record.rdata.get(data).ok_or((at, "an option is cut short"))?.to_vec()));
    }
    Ok(Opt { version: (record.ttl >> 16) as u8, flags: record.ttl as u16, options })
}

/// A name in presentation form.
pub fn text(name: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = name;
    while let [len @ 1..=63, tail @ ..] = rest {
        let (label, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        for &byte in label {
            match byte {
                b'.' | b'\\' => text.extend(['\\', char::from(byte)]),
                b'!'..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text.push('.');
        rest = tail;
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

impl fmt::Debug for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opcode, rcode, flags, question, sections: [answer, authority, additional], opt, tsig } =
            self;
        write!(out, "opcode {opcode} rcode {rcode} flags {flags:#05x} question of {} bytes", question.len())?;
        if let Some(Opt { version, flags, options }) = opt {
            write!(out, ", OPT version {version} flags {flags:#06x}")?;
            options.iter().try_for_each(|(code, data)| write!(out, " {code}={}", data.escape_ascii()))?;
        }
        write!(out, "\n  answer {answer:#?}\n  authority {authority:#?}\n  additional {additional:#?}")?;
        tsig.iter().try_for_each(|tsig| write!(out, "\n  {tsig:?}"))
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {} CLASS{} {} ",
            text(&self.owner),
            self.ttl,
            self.class,
            Rtype::from_int(self.rtype)
        )?;
        match layout(self.rtype) {
            (before, 1..) => write!(out, "{:?} {}", &self.rdata[..before], text(&self.rdata[before..])),
            _ => write!(out, "{}", self.rdata.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_followed_and_lowered() {
        let packet = b"\0\0\x84\0\0\x01\0\x01\0\0\0\0\x01A\x01b\0\0\x0f\0\x01\
                       \xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x06\0\x0a\x01M\xc0\x0e";
        let reply = Reply::decode(packet).unwrap();
        assert_eq!(reply.question, b"\x01A\x01b\0\0\x0f\0\x01");
        let [mx] = &reply.sections[0][..] else { panic!("{reply:?}") };
        assert_eq!(
            (&mx.owner[..], mx.ttl, &mx.rdata[..]),
            (&b"\x01a\x01b\0"[..], 60, &b"\0\x0a\x01m\x01b\0"[..])
        );
        for len in HEADER_LEN..packet.len() {
            assert!(Reply::decode(&packet[..len]).is_err(), "{len}");
        }
        assert_eq!(Reply::decode(&[&packet[..], &[0]].concat()), Err((39, "bytes behind the last record")));
    }
}
