//! Rdata between presentation form and wire form, with the `domain` crate.

use domain::base::iana::Rtype;
use domain::base::name::{Name as DomainName, ParsedName};
use domain::base::rdata::{ComposeRecordData, ParseRecordData};
use domain::base::zonefile_fmt::{DisplayKind, ZonefileFmt};
use domain::dep::octseq::Parser;
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

use super::loc;
use crate::dns::consts::rtype;
use crate::dns::name::Name;

/// Rdata as the crate knows it, borrowed from its wire form.
type Parsed<'a> = ZoneRecordData<&'a [u8], ParsedName<&'a [u8]>>;

/// Why the crate did not read a record.
#[derive(Debug)]
pub(super) struct Refusal {
    /// How many bytes of the line had been read.
    pub(super) read: usize,
    /// The crate's own words.
    pub(super) message: String,
}

/// The uncompressed rdata of the one record in `line`, which ends with a line feed. Names are completed by
/// `origin`.
pub(super) fn from_line(line: &[u8], origin: &Name) -> Result<Vec<u8>, Refusal> {
    let mut file = Zonefile::from(line);
    let origin = DomainName::from_octets(origin.as_wire().to_vec().into());
    file.set_origin(origin.expect("a Name is well formed"));
    let record = match file.next_entry() {
        Ok(Some(Entry::Record(record))) => record,
        Ok(_) => return Err(Refusal { read: line.len(), message: "no record".to_owned() }),
        Err(error) => return Err(refusal(&error.to_string(), line.len())),
    };
    let mut rdata = Vec::new();
    record.data().compose_rdata(&mut rdata).expect("a vector grows as needed");
    Ok(rdata)
}

/// The crate tells the place of an error in its text alone: `line:column: message`. It is where reading
/// stopped: on the second line, when it had passed all `len` bytes of the first.
fn refusal(text: &str, len: usize) -> Refusal {
    let mut parts = text.splitn(3, ':');
    let (line, column, message) = (parts.next(), parts.next(), parts.next());
    let column = column.filter(|_| line == Some("1")).and_then(|column| column.parse::<usize>().ok());
    Refusal {
        read: column.map_or(len, |column| column - 1),
        message: message.map_or(text, str::trim_start).to_owned(),
    }
}

/// Whether `rdata` is what a record of this type holds, its names whole and uncompressed. Types that nobody
/// here knows may hold anything (RFC 3597).
pub(super) fn is_well_formed(rtype: u16, rdata: &[u8]) -> bool {
    if rtype == rtype::LOC {
        return loc::to_text(rdata).is_some();
    }
    // A pointer, or an empty label where two dots touched, does not survive being read and written again.
    let is_empty_txt = rtype == rtype::TXT && rdata.is_empty();
    rdata.len() <= usize::from(u16::MAX)
        && !is_empty_txt
        && parse(rtype, rdata).is_some_and(|data| {
            let mut again = Vec::with_capacity(rdata.len());
            data.compose_rdata(&mut again).is_ok() && again == rdata
        })
}

/// The form in which equal rdata are equal bytes: letter case in the names of the older types folded (RFC
/// 4034, section 6.2).
pub(super) fn canonical(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(rdata.len());
    match parse(rtype, rdata).map(|data| data.compose_canonical_rdata(&mut canonical)) {
        Some(Ok(())) => canonical,
        _ => rdata.to_vec(),
    }
}

/// The presentation form on one line, or the generic one of RFC 3597 where there is no form that reads back
/// to the same bytes.
pub(super) fn to_text(rtype: u16, rdata: &[u8]) -> String {
    let text = match rtype {
        rtype::LOC => loc::to_text(rdata),
        _ => match parse(rtype, rdata) {
            None | Some(ZoneRecordData::Unknown(_)) => None,
            Some(data) => Some(data.display_zonefile(DisplayKind::Simple).to_string()),
        },
    };
    match text {
        Some(text) if rtype == rtype::LOC || reads_back(rtype, &text, rdata) => text,
        _ => generic(rdata),
    }
}

/// `\# length hex` (RFC 3597, section 5).
pub(super) fn generic(rdata: &[u8]) -> String {
    use std::fmt::Write;

    let mut text = format!("\\# {}", rdata.len());
    for (at, byte) in rdata.iter().enumerate() {
        let space = if at == 0 { " " } else { "" };
        write!(text, "{space}{byte:02x}").expect("a String takes every byte");
    }
    text
}

fn reads_back(rtype: u16, text: &str, rdata: &[u8]) -> bool {
    let line = format!(". 0 IN {} {text}\n", Rtype::from_int(rtype));
    from_line(line.as_bytes(), &Name::root()).is_ok_and(|again| again == rdata)
}

/// The rdata as the crate knows it; `None` when it does not parse or something is left over.
fn parse(rtype: u16, rdata: &[u8]) -> Option<Parsed<'_>> {
    let mut parser = Parser::from_ref(rdata);
    let data = Parsed::parse_rdata(Rtype::from_int(rtype), &mut parser).ok()??;
    (parser.remaining() == 0).then_some(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::name_from_text;

    fn read(line: &str) -> Result<Vec<u8>, Refusal> {
        from_line(line.as_bytes(), &name_from_text("example").unwrap())
    }

    #[test]
    fn names_are_completed_and_keep_their_letters() {
        assert_eq!(read(". 0 IN MX 10 Mail\n").unwrap(), b"\0\x0a\x04Mail\x07example\0");
        assert_eq!(read(". 0 IN MX 10 Mail.\n").unwrap(), b"\0\x0a\x04Mail\0");
    }

    #[test]
    fn a_refusal_says_how_far_it_read() {
        for (line, read_len, message) in [
            (". 0 IN A 192.0.2.256\n", 21, "expected IPv4 address"),
            (". 0 IN MX ten mail\n", 11, "expected decimal number"),
            (". 0 IN MX 10\n", 13, "unexpected end of entry"),
            (". 0 IN A 192.0.2.1 2\n", 19, "trailing tokens"),
        ] {
            let refusal = read(line).unwrap_err();
            assert_eq!((refusal.read, refusal.message.as_str()), (read_len, message), "{line}");
        }
    }

    #[test]
    fn damaged_rdata_is_told() {
        for (rtype, rdata, good) in [
            (rtype::A, &b"\xC0\x00\x02\x01"[..], true),
            (rtype::A, b"\xC0\x00\x02", false),
            (rtype::A, b"\xC0\x00\x02\x01\x01", false),
            (rtype::NS, b"\x01a\0", true),
            (rtype::NS, b"\x01a", false),
            (rtype::NS, b"\x01a\0\x01b\0", false),
            (rtype::NS, b"\x01a\xC0\x00", false),
            (rtype::MX, b"\0\x01\x01a\0", true),
            (rtype::TXT, b"", false),
            (rtype::TXT, b"\x02a", false),
            (rtype::LOC, b"\0", false),
            (65_280, b"", true),
            (65_280, b"\xC0\x00", true),
        ] {
            assert_eq!(is_well_formed(rtype, rdata), good, "type {rtype} {rdata:02x?}");
        }
    }

    #[test]
    fn only_the_names_of_older_types_are_folded() {
        assert_eq!(canonical(rtype::NS, b"\x01A\0"), b"\x01a\0");
        assert_eq!(canonical(rtype::MX, b"AB\x01A\0"), b"AB\x01a\0");
        assert_eq!(canonical(rtype::TXT, b"\x01A"), b"\x01A");
        assert_eq!(canonical(65_280, b"A"), b"A");
    }

    #[test]
    fn rdata_prints_or_is_generic() {
        for (rtype, rdata, text) in [
            (rtype::A, &b"\xC0\x00\x02\x01"[..], "192.0.2.1"),
            (rtype::NS, b"\x03n.s\0", r"n\.s."),
            (rtype::TXT, b"\x03a\"b\0\x01\xFF", r#""a\"b" "" "\255""#),
            (65_280, b"", r"\# 0"),
            (65_280, b"\x01\xAB", r"\# 2 01ab"),
            (rtype::A, b"\x01", r"\# 1 01"),
        ] {
            assert_eq!(to_text(rtype, rdata), text);
        }
    }
}
