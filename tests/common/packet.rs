//! Packets as text that people read and write: a small language of bytes, and replies dissected into it.
//!
//! | written | bytes |
//! |---|---|
//! | `12 34`, `1234` | as they stand |
//! | `"text"` | its bytes |
//! | `name(a.b.arpa)`, `name(.)` | a name in wire form; `\065` is a byte by its decimal number |
//! | `labels(a.b)` | the same without the root, for a pointer to follow |
//! | `[ ... ]` | the length in 16 bits, then what stands between |
//! | `( ... )` | what stands between, to be repeated |
//! | `00 * 20` | what stands before, 20 times |
//! | `; ...` | nothing: a comment to the end of the line |

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::decode::{Header, Reader, Record, TYPE_OPT, TYPE_TSIG, name_at};

/// The bytes that `text` says.
///
/// # Errors
/// What cannot be read.
pub fn read(text: &str) -> Result<Vec<u8>, String> {
    let text: Vec<char> = text.chars().collect();
    let mut parser = Parser { text: &text, at: 0 };
    parser.sequence(None)
}

struct Parser<'t> {
    text: &'t [char],
    at: usize,
}

impl Parser<'_> {
    /// Items up to `close`, or to the end.
    fn sequence(&mut self, close: Option<char>) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut last = Vec::new();
        loop {
            self.skip_blank();
            let Some(&next) = self.text.get(self.at) else {
                return close.map_or(Ok(bytes), |close| Err(format!("no {close} follows")));
            };
            if Some(next) == close {
                self.at += 1;
                return Ok(bytes);
            }
            if next == '*' {
                self.at += 1;
                self.skip_blank();
                let word = self.word();
                let count: usize = word.parse().map_err(|_| format!("`{word}` is no count"))?;
                let once = bytes.len() - last.len();
                bytes.truncate(once);
                (0..count).for_each(|_| bytes.extend_from_slice(&last));
                last.clear();
                continue;
            }
            last = self.item(next)?;
            bytes.extend_from_slice(&last);
        }
    }

    fn item(&mut self, first: char) -> Result<Vec<u8>, String> {
        match first {
            '"' => {
                self.at += 1;
                Ok(self.until('"')?.into_bytes())
            }
            '[' => {
                self.at += 1;
                let inner = self.sequence(Some(']'))?;
                let len = u16::try_from(inner.len()).map_err(|_| "[ ] holds over 65535 bytes".to_owned())?;
                Ok([&len.to_be_bytes()[..], &inner].concat())
            }
            '(' => {
                self.at += 1;
                self.sequence(Some(')'))
            }
            _ => {
                let word = self.word();
                if self.text.get(self.at) == Some(&'(') && matches!(&word[..], "name" | "labels") {
                    self.at += 1;
                    let mut wire = labels(&self.until(')')?)?;
                    wire.extend((word == "name").then_some(0));
                    return Ok(wire);
                }
                hex(&word)
                    .ok_or_else(|| format!("`{word}` is neither pairs of hexadecimal digits nor a word"))
            }
        }
    }

    fn skip_blank(&mut self) {
        while let Some(&next) = self.text.get(self.at) {
            if next == ';' {
                while self.text.get(self.at).is_some_and(|&next| next != '\n') {
                    self.at += 1;
                }
            } else if next.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|next| !next.is_ascii_alphanumeric()).unwrap_or(rest.len()).max(1);
        self.at += len.min(rest.len());
        rest.iter().take(len).collect()
    }

    fn until(&mut self, end: char) -> Result<String, String> {
        let rest = &self.text[self.at..];
        let len = rest.iter().position(|&next| next == end).ok_or_else(|| format!("no {end} follows"))?;
        self.at += len + 1;
        Ok(rest[..len].iter().collect())
    }
}

fn hex(word: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        word.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

/// Labels in wire form. Nothing stops a name from being too long: packets may hold such.
fn labels(text: &str) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    for label in text.trim_end_matches('.').split('.').filter(|_| text != ".") {
        let mut bytes = Vec::new();
        let mut rest = label.as_bytes();
        while let Some((&first, behind)) = rest.split_first() {
            let (byte, behind) = match (first, behind.split_at_checked(3)) {
                (b'\\', Some((number, behind))) => {
                    let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
                    (number.ok_or_else(|| format!("`{label}` has an escape that is no \\ddd"))?, behind)
                }
                _ => (first, behind),
            };
            bytes.push(byte);
            rest = behind;
        }
        match bytes.len() {
            len @ 1..=63 => wire.push(len as u8),
            len => return Err(format!("`{label}` has {len} bytes; a label has 1 to 63")),
        }
        wire.extend(bytes);
    }
    Ok(wire)
}

/// `packet` in the language of [`read`]: header, questions and records, each below a comment that says it in
/// words. What does not parse stands at the end as bytes.
pub fn dissect(packet: &[u8]) -> String {
    let mut out = Dissection(String::new());
    let mut reader = Reader::new(packet);
    let mut done = 0;
    if let Err(reason) = out.message(packet, &mut reader, &mut done) {
        out.comment(&format!("the rest is damaged: {reason}"));
    } else if done < packet.len() {
        out.comment("bytes behind the last record");
    }
    out.bytes(&[&packet[done..]]);
    out.0
}

struct Dissection(String);

impl Dissection {
    /// Dissects as long as all is sound; `done` is where that ends.
    fn message(&mut self, packet: &[u8], reader: &mut Reader<'_>, done: &mut usize) -> Result<(), String> {
        let header = reader.header()?;
        self.comment(&format!("{}; {} bytes in all", header_text(&header), packet.len()));
        let words: Vec<&[u8]> = packet[..12].chunks(2).collect();
        self.bytes(&words);
        *done = 12;
        for _ in 0..header.counts[0] {
            let question = reader.question()?;
            let qtype = type_name(question.qtype);
            let qclass = class_name(question.qclass);
            self.comment(&format!("question: {} {qclass} {qtype}", name_text(&question.name)));
            let end = question.span.end;
            self.bytes(&[&packet[*done..end - 4], &packet[end - 4..end - 2], &packet[end - 2..end]]);
            *done = end;
        }
        for (section, title) in ["answer", "authority", "additional"].into_iter().enumerate() {
            for _ in 0..header.counts[section + 1] {
                let record = reader.record(section)?;
                self.comment(&format!("{title}: {}", record_text(packet, &record)));
                let Record { span, fixed, rdata, .. } = record;
                let ends = [span.start, fixed, fixed + 2, fixed + 4, fixed + 8, rdata.start, rdata.end];
                let fields: Vec<&[u8]> = ends.windows(2).map(|pair| &packet[pair[0]..pair[1]]).collect();
                self.bytes(&fields);
                *done = span.end;
            }
        }
        Ok(())
    }

    fn comment(&mut self, text: &str) {
        writeln!(self.0, "; {text}").expect("a String takes all");
    }

    /// Fields of bytes, broken into lines. Long runs of one byte are written as a repetition.
    fn bytes(&mut self, fields: &[&[u8]]) {
        const WIDTH: usize = 100;
        const RUN_MIN: usize = 16;
        let mut words = Vec::new();
        for field in fields {
            let mut word = String::new();
            for run in field.chunk_by(|a, b| a == b) {
                if run.len() >= RUN_MIN {
                    words.extend([std::mem::take(&mut word), format!("{:02x} * {}", run[0], run.len())]);
                    continue;
                }
                for byte in run {
                    if word.len() >= 64 {
                        words.push(std::mem::take(&mut word));
                    }
                    write!(word, "{byte:02x}").expect("a String takes all");
                }
            }
            words.push(word);
        }
        let mut line = String::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                writeln!(self.0, "{line}").expect("a String takes all");
                line.clear();
            }
            line.extend((!line.is_empty()).then_some(' '));
            line.push_str(word);
        }
        if !line.is_empty() {
            writeln!(self.0, "{line}").expect("a String takes all");
        }
    }
}

fn header_text(header: &Header) -> String {
    const FLAGS: [(u16, &str); 8] = [
        (0x8000, "QR"),
        (0x0400, "AA"),
        (0x0200, "TC"),
        (0x0100, "RD"),
        (0x0080, "RA"),
        (0x0040, "Z"),
        (0x0020, "AD"),
        (0x0010, "CD"),
    ];
    let mut text = rcode_name(header.rcode());
    if header.opcode() != 0 {
        write!(text, ", opcode {}", header.opcode()).expect("a String takes all");
    }
    text.push(',');
    for (_, name) in FLAGS.into_iter().filter(|&(flag, _)| header.has(flag)) {
        write!(text, " {name}").expect("a String takes all");
    }
    let [questions, answers, authority, additional] = header.counts;
    write!(text, "; {questions} question, {answers} answer, {authority} authority, {additional} additional")
        .expect("a String takes all");
    text
}

/// Owner, TTL, class, type and rdata in presentation form.
fn record_text(packet: &[u8], record: &Record) -> String {
    let &Record { rtype, class, ttl, .. } = record;
    let rdata = rdata_text(packet, record);
    if rtype == TYPE_OPT {
        let [extended_rcode, version, flags @ ..] = ttl.to_be_bytes();
        let flags = match u16::from_be_bytes(flags) {
            0 => String::new(),
            0x8000 => ", DO".to_owned(),
            other => format!(", flags {other:04x}"),
        };
        let name = match extended_rcode << 4 | packet[3] & 0xF {
            16 => " (BADVERS)",
            23 => " (BADCOOKIE)",
            _ => "",
        };
        return format!(
            "{} OPT, size {class}, extended rcode {extended_rcode}{name}, version {version}{flags}{rdata}",
            name_text(&record.owner)
        );
    }
    format!("{} {ttl} {} {} {rdata}", name_text(&record.owner), class_name(class), type_name(rtype))
}

fn rdata_text(packet: &[u8], record: &Record) -> String {
    let Record { rtype, rdata, .. } = record;
    let bytes = &packet[rdata.clone()];
    let name = |at: usize| name_text(&name_at(packet, at).0);
    match *rtype {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).expect("it was decoded")).to_string(),
        28 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).expect("it was decoded")).to_string(),
        2 | 5 | 12 | 39 => name(rdata.start),
        15 => format!("{} {}", u16_at(bytes, 0), name(rdata.start + 2)),
        33 => format!(
            "{} {} {} {}",
            u16_at(bytes, 0),
            u16_at(bytes, 2),
            u16_at(bytes, 4),
            name(rdata.start + 6)
        ),
        6 => {
            let (mname, end) = name_at(packet, rdata.start);
            let (rname, end) = name_at(packet, end);
            let numbers = packet[end..rdata.end].chunks(4);
            let numbers: Vec<String> = numbers
                .map(|four| four.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)).to_string())
                .collect();
            format!("{} {} {}", name_text(&mname), name_text(&rname), numbers.join(" "))
        }
        16 => {
            let mut texts = Vec::new();
            let mut at = 0;
            while at < bytes.len() {
                let end = at + 1 + usize::from(bytes[at]);
                texts.push(text(&bytes[at + 1..end]));
                at = end;
            }
            texts.join(" ")
        }
        TYPE_OPT => options_text(bytes),
        TYPE_TSIG => tsig_text(packet, rdata.start),
        _ => format!("\\# {} {}", bytes.len(), digits(bytes)),
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn options_text(mut bytes: &[u8]) -> String {
    let mut out = String::new();
    while !bytes.is_empty() {
        let (code, len) = (u16_at(bytes, 0), usize::from(u16_at(bytes, 2)));
        let data = &bytes[4..4 + len];
        bytes = &bytes[4 + len..];
        let option = match (code, len) {
            (3, _) => format!("NSID {}", text(data)),
            (10, _) => format!("cookie {}", digits(data)),
            (11, 2) => format!("keepalive {}", u16_at(data, 0)),
            (15, 2..) => format!("EDE {} {}", u16_at(data, 0), text(&data[2..])),
            _ => format!("option {code} of {len} bytes"),
        };
        write!(out, ", {option}").expect("a String takes all");
    }
    out
}

fn tsig_text(packet: &[u8], at: usize) -> String {
    let (algorithm, at) = name_at(packet, at);
    let time = packet[at..at + 6].iter().fold(0u64, |time, &byte| time << 8 | u64::from(byte));
    let mac_len = usize::from(u16_at(packet, at + 8));
    let behind = at + 10 + mac_len;
    let error = match u16_at(packet, behind + 2) {
        17 => "BADKEY".to_owned(),
        other => other.to_string(),
    };
    format!(
        "{} time {time} fudge {} MAC of {mac_len} bytes, original ID {:04x}, error {error}, \
         other data of {} bytes",
        name_text(&algorithm),
        u16_at(packet, at + 6),
        u16_at(packet, behind),
        u16_at(packet, behind + 4)
    )
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// A string in quotes; of a long one, the beginning.
fn text(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 48;
    let shown = escape(&bytes[..bytes.len().min(SHOWN_MAX)]);
    if bytes.len() > SHOWN_MAX {
        format!("\"{shown}...\" ({} bytes)", bytes.len())
    } else {
        format!("\"{shown}\"")
    }
}

/// A name in presentation form; of a long one, the beginning and the end.
pub fn name_text(wire: &[u8]) -> String {
    const SHOWN_MAX: usize = 100;
    let mut out = String::new();
    let mut rest = wire;
    while let Some((len, behind)) = rest.split_first().filter(|(len, _)| **len > 0) {
        let (label, behind) = behind.split_at(usize::from(*len));
        write!(out, "{}.", escape(label).replace('.', "\\046")).expect("a String takes all");
        rest = behind;
    }
    if out.is_empty() {
        out.push('.');
    }
    if out.len() > SHOWN_MAX {
        out = format!("{}...{} ({} bytes)", &out[..40], &out[out.len() - 40..], wire.len());
    }
    out
}

fn escape(bytes: &[u8]) -> String {
    let shown = |&byte: &u8| match byte {
        b'"' | b'\\' | b';' | 0..=31 | 127.. => format!("\\{byte:03}"),
        _ => char::from(byte).to_string(),
    };
    bytes.iter().map(shown).collect()
}

fn type_name(rtype: u16) -> String {
    const NAMES: [(u16, &str); 23] = [
        (1, "A"),
        (2, "NS"),
        (5, "CNAME"),
        (6, "SOA"),
        (12, "PTR"),
        (13, "HINFO"),
        (15, "MX"),
        (16, "TXT"),
        (24, "SIG"),
        (28, "AAAA"),
        (29, "LOC"),
        (33, "SRV"),
        (39, "DNAME"),
        (41, "OPT"),
        (43, "DS"),
        (48, "DNSKEY"),
        (249, "TKEY"),
        (250, "TSIG"),
        (251, "IXFR"),
        (252, "AXFR"),
        (253, "MAILB"),
        (254, "MAILA"),
        (255, "ANY"),
    ];
    NAMES
        .iter()
        .find(|(number, _)| *number == rtype)
        .map_or_else(|| format!("TYPE{rtype}"), |(_, name)| (*name).to_owned())
}

fn class_name(class: u16) -> String {
    match class {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        254 => "NONE".to_owned(),
        255 => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

fn rcode_name(rcode: u16) -> String {
    match rcode {
        0 => "NOERROR".to_owned(),
        1 => "FORMERR".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        4 => "NOTIMP".to_owned(),
        5 => "REFUSED".to_owned(),
        6 => "YXDOMAIN".to_owned(),
        9 => "NOTAUTH".to_owned(),
        other => format!("rcode {other}"),
    }
}
