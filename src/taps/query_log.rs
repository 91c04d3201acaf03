//! A line of the query log: what was asked, by whom, and what came of it.

use domain::base::Rtype;
use domain::base::iana::{Class, Rcode};
use serde_json::Value;

use super::Addresses;
use crate::dns::consts::HEADER_LEN;
use crate::dns::name::Name;
use crate::dns::u16_at;
use crate::stats::labels::{Names, OPCODE, TRANSPORT};
use crate::stats::tap::Tapped;

/// What there is to say of a query. What it does not have, or what is too long to have been copied, is not
/// among that.
pub(super) fn fields(tapped: &Tapped, addresses: Addresses) -> Vec<(&'static str, Value)> {
    let names = Names::default();
    let mut fields: Vec<(&'static str, Value)> = vec![
        ("client", addresses.of(tapped.peer.ip()).to_string().into()),
        ("server", tapped.local.to_string().into()),
        ("transport", names.value(&TRANSPORT, tapped.transport).into()),
    ];
    if let Some(query) = tapped.query() {
        if let Some(flags) = u16_at(query, 2) {
            fields.push(("opcode", names.value(&OPCODE, usize::from(flags >> 11 & 0xF)).into()));
        }
        if let Some((name, qtype, qclass)) = question(query) {
            fields.push(("name", name.to_string().into()));
            fields.push(("type", Rtype::from_int(qtype).to_string().into()));
            fields.push(("class", Class::from_int(qclass).to_string().into()));
        }
    }
    if let Some(flags) = tapped.reply().and_then(|reply| u16_at(reply, 2)) {
        fields.push(("rcode", Rcode::masked_from_int(flags as u8).to_string().into()));
    }
    fields.push(("query_bytes", tapped.query_len.into()));
    fields.push(("reply_bytes", tapped.reply_len.into()));
    fields
}

/// Name, type and class of the one question of a query.
fn question(query: &[u8]) -> Option<(Name, u16, u16)> {
    if u16_at(query, 4)? != 1 {
        return None;
    }
    let name = Name::from_wire(query.get(HEADER_LEN..)?).ok()?;
    let end = HEADER_LEN + name.as_wire().len();
    Some((name, u16_at(query, end)?, u16_at(query, end + 2)?))
}

#[cfg(test)]
mod tests {
    use super::super::thread::tests::tapped;
    use super::*;

    fn told(query: &[u8], reply: Option<&[u8]>) -> Vec<String> {
        let mut told = Vec::new();
        tapped(query, reply, |tapped| {
            let fields = fields(tapped, Addresses::Short).into_iter();
            told = fields.map(|(name, value)| format!("{name}={value}")).collect();
        });
        told
    }

    #[test]
    fn a_query_is_told() {
        let query =
            b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x011\x011\x03168\x03192\x07in-addr\x04arpa\0\0\x0c\0\x01";
        let told = told(query, Some(b"\x12\x34\x85\x03\0\x01\0\0\0\x01\0\0"));
        assert_eq!(
            told,
            [
                "client=\"2001:db8:1::/48\"",
                "server=\"192.0.2.1:53\"",
                "transport=\"tcp\"",
                "opcode=\"QUERY\"",
                "name=\"1.1.168.192.in-addr.arpa.\"",
                "type=\"PTR\"",
                "class=\"IN\"",
                "rcode=\"NXDOMAIN\"",
                "query_bytes=42",
                "reply_bytes=12",
            ]
        );
    }

    #[test]
    fn what_is_no_query_is_told_as_far_as_it_goes() {
        // Twelve bytes and no question; a question that is cut; a type that has no name.
        assert_eq!(told(&[0; 12], None)[3..], ["opcode=\"QUERY\"", "query_bytes=12", "reply_bytes=null"]);
        let cut = b"\0\0\x28\0\0\x01\0\0\0\0\0\0\x05ab";
        assert_eq!(told(cut, None)[3..], ["opcode=\"UPDATE\"", "query_bytes=15", "reply_bytes=null"]);
        let odd = b"\0\0\0\0\0\x01\0\0\0\0\0\0\0\xff\0\x01\0";
        assert_eq!(told(odd, None)[4..7], ["name=\".\"", "type=\"TYPE65280\"", "class=\"CLASS256\""]);
    }
}
