//! dnstap: a query and its reply as two messages (dnstap.proto), AUTH_QUERY and AUTH_RESPONSE. There are some
//! fifteen fields of four kinds, so Protocol Buffers are written by hand.

use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Addresses;
use crate::stats::tap::Tapped;

/// Who tells: in every frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// The program and its version.
    pub version: String,
}

/// Writes frames.
#[derive(Debug)]
pub(super) struct Encoder {
    identity: Identity,
    addresses: Addresses,
    /// The message that is being written, and the frame around it.
    message: Vec<u8>,
    frame: Vec<u8>,
}

/// Numbers of fields of `Dnstap`.
mod dnstap_field {
    pub(super) const IDENTITY: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const MESSAGE: u8 = 14;
    pub(super) const TYPE: u8 = 15;
}

/// Numbers of fields of `Message`.
mod message_field {
    pub(super) const TYPE: u8 = 1;
    pub(super) const SOCKET_FAMILY: u8 = 2;
    pub(super) const SOCKET_PROTOCOL: u8 = 3;
    pub(super) const QUERY_ADDRESS: u8 = 4;
    pub(super) const RESPONSE_ADDRESS: u8 = 5;
    pub(super) const QUERY_PORT: u8 = 6;
    pub(super) const RESPONSE_PORT: u8 = 7;
    pub(super) const QUERY_TIME_SEC: u8 = 8;
    pub(super) const QUERY_TIME_NSEC: u8 = 9;
    pub(super) const QUERY_MESSAGE: u8 = 10;
    pub(super) const RESPONSE_TIME_SEC: u8 = 12;
    pub(super) const RESPONSE_TIME_NSEC: u8 = 13;
    pub(super) const RESPONSE_MESSAGE: u8 = 14;
}

/// The only value of `Dnstap.Type`.
const TYPE_MESSAGE: u64 = 1;

/// Values of `Message.Type`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    AuthQuery = 1,
    AuthResponse = 2,
}

impl Encoder {
    pub(super) fn new(identity: Identity, addresses: Addresses) -> Self {
        Self { identity, addresses, message: Vec::new(), frame: Vec::new() }
    }

    /// Gives the frame of the query to `offer`, and that of the reply, if there was one.
    pub(super) fn encode(&mut self, tapped: &Tapped, mut offer: impl FnMut(&[u8])) {
        self.encode_one(tapped, Kind::AuthQuery);
        offer(&self.frame);
        if tapped.reply_len.is_some() {
            self.encode_one(tapped, Kind::AuthResponse);
            offer(&self.frame);
        }
    }

    fn encode_one(&mut self, tapped: &Tapped, kind: Kind) {
        use message_field::*;
        let Self { identity, addresses, message, frame } = self;
        message.clear();
        let peer = SocketAddr::new(addresses.of(tapped.peer.ip()).ip(), tapped.peer.port());
        number(message, TYPE, kind as u64);
        number(message, SOCKET_FAMILY, if peer.is_ipv4() { 1 } else { 2 });
        number(message, SOCKET_PROTOCOL, tapped.transport as u64 + 1);
        address(message, QUERY_ADDRESS, peer.ip());
        address(message, RESPONSE_ADDRESS, tapped.local.ip());
        number(message, QUERY_PORT, peer.port().into());
        number(message, RESPONSE_PORT, tapped.local.port().into());
        time(message, [QUERY_TIME_SEC, QUERY_TIME_NSEC], tapped.asked);
        match kind {
            Kind::AuthQuery => {
                if let Some(query) = tapped.query() {
                    bytes(message, QUERY_MESSAGE, query);
                }
            }
            Kind::AuthResponse => {
                time(message, [RESPONSE_TIME_SEC, RESPONSE_TIME_NSEC], tapped.answered);
                if let Some(reply) = tapped.reply() {
                    bytes(message, RESPONSE_MESSAGE, reply);
                }
            }
        }
        frame.clear();
        bytes(frame, dnstap_field::IDENTITY, identity.node.as_bytes());
        bytes(frame, dnstap_field::VERSION, identity.version.as_bytes());
        bytes(frame, dnstap_field::MESSAGE, message);
        number(frame, dnstap_field::TYPE, TYPE_MESSAGE);
    }
}

/// Wire types of Protocol Buffers.
const VARINT: u8 = 0;
const LEN: u8 = 2;
const FIXED32: u8 = 5;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3 | VARINT);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | LEN);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn address(out: &mut Vec<u8>, field: u8, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => bytes(out, field, &ip.octets()),
        IpAddr::V6(ip) => bytes(out, field, &ip.octets()),
    }
}

fn time(out: &mut Vec<u8>, [seconds, nanoseconds]: [u8; 2], at: SystemTime) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    number(out, seconds, since.as_secs());
    out.push(nanoseconds << 3 | FIXED32);
    out.extend(since.subsec_nanos().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::super::thread::tests::tapped;
    use super::*;

    /// The fields of a message: number, wire type, and the value or its bytes.
    fn fields(mut rest: &[u8]) -> Vec<(u8, u64, Vec<u8>)> {
        fn read_varint(rest: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let byte = rest[0];
                *rest = &rest[1..];
                value |= u64::from(byte & 0x7F) << shift;
                if byte < 0x80 {
                    return value;
                }
            }
            unreachable!("a number ends")
        }
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let tag = read_varint(&mut rest) as u8;
            let (value, len) = match tag & 7 {
                VARINT => (read_varint(&mut rest), 0),
                LEN => (0, read_varint(&mut rest) as usize),
                FIXED32 => (0, 4),
                other => panic!("wire type {other}"),
            };
            let (bytes, behind) = rest.split_at(len);
            rest = behind;
            fields.push((tag >> 3, value, bytes.to_vec()));
        }
        fields
    }

    #[test]
    fn numbers_have_seven_bits_to_a_byte() {
        for (value, expected) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xAC, 2])] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_query_is_two_frames_and_one_without_a_reply_is_one() {
        let identity = Identity { node: "node-1".to_owned(), version: "as112d 1".to_owned() };
        let mut encoder = Encoder::new(identity, Addresses::Short);
        let (query, reply) = ([1; 300], [2; 200]);
        let mut frames = Vec::new();
        tapped(&query, Some(&reply), |tapped| {
            encoder.encode(tapped, |frame| frames.push(frame.to_vec()));
        });
        assert_eq!(frames.len(), 2);
        let mut messages = Vec::new();
        for frame in &frames {
            let outer = fields(frame);
            assert_eq!(outer[0], (1, 0, b"node-1".to_vec()));
            assert_eq!(outer[1], (2, 0, b"as112d 1".to_vec()));
            assert_eq!((outer[2].0, &outer[3]), (14, &(15, 1, vec![])));
            messages.push(fields(&outer[2].2));
        }
        let short = [0x20, 1, 0x0D, 0xB8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let common = [
            (2, 2, vec![]),
            (3, 2, vec![]),
            (4, 0, short.to_vec()),
            (5, 0, vec![192, 0, 2, 1]),
            (6, 40_000, vec![]),
            (7, 53, vec![]),
        ];
        for (kind, message) in messages.iter().enumerate() {
            assert_eq!(message[0], (1, kind as u64 + 1, vec![]));
            assert_eq!(message[1..7], common);
            assert_eq!((message[7].0, message[8].0), (8, 9));
        }
        assert_eq!(messages[0][9..], [(10, 0, query.to_vec())]);
        assert_eq!((messages[1][9].0, messages[1][10].0), (12, 13));
        assert_eq!(messages[1][11..], [(14, 0, reply.to_vec())]);

        let mut count = 0;
        tapped(&query, None, |tapped| encoder.encode(tapped, |_| count += 1));
        assert_eq!(count, 1);
    }
}
