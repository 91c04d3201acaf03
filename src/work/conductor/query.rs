//! A query as it goes to a server, and whether what comes back is about it. Bytes in, bytes out.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::dns::consts::{HEADER_LEN, NAME_LEN_MAX, UDP_LEN_MAX, flag, option, rtype};
use crate::dns::u16_at;
use crate::limits::{UPSTREAM_QUERY_LEN_MAX, UPSTREAM_UDP_SIZE};

/// Queries over TLS are a multiple of this long (RFC 8467, section 4.1).
const PADDED_TO: usize = 128;
/// The longest query: see [`write`](Outgoing::write).
const LEN_MAX: usize = HEADER_LEN + NAME_LEN_MAX + 4 + 11 + (4 + 40) + (4 + 4 + 16) + 4 + PADDED_TO;
const _: () = assert!(LEN_MAX <= UPSTREAM_QUERY_LEN_MAX && HEADER_LEN + NAME_LEN_MAX + 4 <= UDP_LEN_MAX);

/// What is asked, as all tries have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// RD, AD, CD: as the header has them.
    pub(super) flags: u16,
    pub(super) dnssec_ok: bool,
    pub(super) subnet: Option<IpNet>,
}

/// What one try adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) id: u16,
    /// In the letter case that the answer must have.
    pub(super) qname: &'a [u8],
    pub(super) asked: &'a Asked,
    /// With an OPT; it has what follows.
    pub(super) has_edns: bool,
    /// Ours and, after it, what the server gave us.
    pub(super) cookie: Option<(&'a [u8; 8], &'a [u8])>,
    pub(super) is_padded: bool,
}

impl Outgoing<'_> {
    /// Writes the query to the beginning of `out`, which has [`UPSTREAM_QUERY_LEN_MAX`] bytes at least, and
    /// returns how many it has.
    pub(super) fn write(&self, out: &mut [u8]) -> usize {
        let mut out = Writer { out, at: 0 };
        let asked = self.asked;
        out.put(&self.id.to_be_bytes());
        out.put(&asked.flags.to_be_bytes());
        out.put(&[0, 1, 0, 0, 0, 0, 0, u8::from(self.has_edns)]);
        out.put(self.qname);
        out.put(&asked.qtype.to_be_bytes());
        out.put(&asked.qclass.to_be_bytes());
        if !self.has_edns {
            return out.at;
        }
        out.put(&[0]);
        out.put(&rtype::OPT.to_be_bytes());
        out.put(&UPSTREAM_UDP_SIZE.to_be_bytes());
        out.put(&[0, 0, if asked.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        let options = out.at;
        if let Some((client, server)) = self.cookie {
            out.option(option::COOKIE, client, server);
        }
        if let Some(subnet) = asked.subnet {
            let bits = subnet.prefix_len();
            let len = usize::from(bits).div_ceil(8);
            match subnet.trunc().addr() {
                IpAddr::V4(ip) => out.option(option::CLIENT_SUBNET, &[0, 1, bits, 0], &ip.octets()[..len]),
                IpAddr::V6(ip) => out.option(option::CLIENT_SUBNET, &[0, 2, bits, 0], &ip.octets()[..len]),
            }
        }
        if self.is_padded {
            let len = (out.at + 4).next_multiple_of(PADDED_TO) - out.at - 4;
            out.option(option::PADDING, &[0; PADDED_TO][..len], &[]);
        }
        let options_len = (out.at - options) as u16;
        out.out[options - 2..options].copy_from_slice(&options_len.to_be_bytes());
        out.at
    }
}

struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// An option with data of two parts.
    fn option(&mut self, code: u16, first: &[u8], second: &[u8]) {
        self.put(&code.to_be_bytes());
        self.put(&((first.len() + second.len()) as u16).to_be_bytes());
        self.put(first);
        self.put(second);
    }
}

/// How the question of a message compares with the one that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// The same, letter by letter.
    Same,
    /// The same, but for the case of letters.
    OtherCase,
    /// There is none, as in errors of servers that have not read further.
    Absent,
    /// Another one, or what cannot be read.
    Other,
}

/// Compares the question of `message`, which has a header.
pub(super) fn question_of(message: &[u8], qname: &[u8], asked: &Asked) -> Question {
    let name_end = HEADER_LEN + qname.len();
    match u16_at(message, 4) {
        Some(1) => {}
        Some(0) => return Question::Absent,
        _ => return Question::Other,
    }
    let (Some(name), qtype, qclass) =
        (message.get(HEADER_LEN..name_end), u16_at(message, name_end), u16_at(message, name_end + 2))
    else {
        return Question::Other;
    };
    // The name that was asked for has no pointers, and is compared with its lengths.
    if qtype != Some(asked.qtype) || qclass != Some(asked.qclass) || !name.eq_ignore_ascii_case(qname) {
        Question::Other
    } else if name == qname {
        Question::Same
    } else {
        Question::OtherCase
    }
}

/// The second 16-bit word of a query's header.
pub(super) fn header_flags(recursion_desired: bool, authentic_data: bool, checking_disabled: bool) -> u16 {
    let bit = |is_set: bool, bit: u16| if is_set { bit } else { 0 };
    bit(recursion_desired, flag::RD) | bit(authentic_data, flag::AD) | bit(checking_disabled, flag::CD)
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::Message;
    use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

    use super::*;

    const QNAME: &[u8] = b"\x01A\x07eXample\x00";

    fn asked() -> Asked {
        let subnet = Some("192.0.2.0/23".parse().unwrap());
        Asked { qtype: 12, qclass: 1, flags: header_flags(true, true, true), dnssec_ok: true, subnet }
    }

    fn written(outgoing: &Outgoing<'_>) -> (Vec<u8>, Message) {
        let mut out = vec![0xFF; UPSTREAM_QUERY_LEN_MAX];
        let len = outgoing.write(&mut out);
        out.truncate(len);
        let message = Message::from_vec(&out).unwrap();
        (out, message)
    }

    #[test]
    fn a_query_has_what_was_asked_and_nothing_else() {
        let asked = asked();
        let mut outgoing = Outgoing {
            id: 0x1234,
            qname: QNAME,
            asked: &asked,
            has_edns: true,
            cookie: Some((&[7; 8], &[9; 32])),
            is_padded: false,
        };
        let (bytes, message) = written(&outgoing);
        assert_eq!(&bytes[..12], b"\x12\x34\x01\x30\0\x01\0\0\0\0\0\x01");
        assert_eq!(&bytes[12..27], b"\x01A\x07eXample\0\0\x0c\0\x01");
        let edns = message.edns.unwrap();
        assert!(edns.flags().dnssec_ok && edns.max_payload() == 1232 && edns.version() == 0);
        let Some(EdnsOption::Subnet(subnet)) = edns.option(EdnsCode::Subnet) else { panic!("no subnet") };
        assert_eq!((subnet.addr().to_string(), subnet.source_prefix()), ("192.0.2.0".to_owned(), 23));
        let Some(EdnsOption::Unknown(10, cookie)) = edns.option(EdnsCode::Cookie) else {
            panic!("no cookie")
        };
        assert_eq!(cookie[..], [[7; 8].as_slice(), &[9; 32]].concat());
        outgoing.is_padded = true;
        assert_eq!(written(&outgoing).0.len(), 128, "padded to a block");
        outgoing.has_edns = false;
        let (bytes, message) = written(&outgoing);
        assert!(bytes.len() == 27 && message.edns.is_none());
    }

    #[test]
    fn the_longest_query_fits() {
        let mut qname = [[63].as_slice(), &[b'x'; 63]].concat().repeat(3);
        qname.extend([61]);
        qname.extend([b'x'; 61]);
        qname.push(0);
        assert_eq!(qname.len(), NAME_LEN_MAX);
        let asked = Asked { subnet: Some("2001:db8::1/128".parse().unwrap()), ..asked() };
        let cookie = Some((&[7; 8], [9; 32].as_slice()));
        let outgoing =
            Outgoing { id: 1, qname: &qname, asked: &asked, has_edns: true, cookie, is_padded: true };
        assert_eq!(written(&outgoing).0.len(), 384);
    }

    #[test]
    fn questions_are_compared_to_the_letter() {
        let asked = asked();
        let message = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\0\x01A\x07eXample\0\0\x0c\0\x01".to_vec();
            change(&mut bytes);
            question_of(&bytes, QNAME, &asked)
        };
        assert_eq!(message(&|_| {}), Question::Same);
        assert_eq!(message(&|bytes| bytes[13] = b'a'), Question::OtherCase);
        assert_eq!(message(&|bytes| bytes[13] = b'b'), Question::Other);
        assert_eq!(message(&|bytes| bytes[24] = 1), Question::Other);
        assert_eq!(message(&|bytes| bytes[26] = 3), Question::Other);
        assert_eq!(message(&|bytes| bytes[5] = 2), Question::Other);
        assert_eq!(message(&|bytes| bytes[5] = 0), Question::Absent);
        for len in 12..27 {
            assert_eq!(message(&|bytes| bytes.truncate(len)), Question::Other, "{len}");
        }
    }
}
