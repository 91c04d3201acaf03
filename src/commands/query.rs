//! `as112d query NAME TYPE`: one query, answered as `run` would answer it, without a network.

use std::fmt::Write as _;
use std::net::IpAddr;

use domain::base::iana::Class;
use domain::base::opt::ClientSubnet;
use domain::base::{Message, MessageBuilder, Name, Rtype};

use crate::cli::{QueryClass, QueryOptions};
use crate::config;
use crate::config::loaded::compile;
use crate::daemon::why;
use crate::limits::{EDNS_UDP_SIZE_MAX, SLOT_PAYLOAD_LEN, TCP_REPLY_LEN_MAX};
use crate::problem::Problem;
use crate::serve::{Verdict, serve};
use crate::stats::account::Account;
use crate::stats::labels::Names;
use crate::zone;

/// Loads everything as `run` would, answers the query, and prints the reply in dig's style.
///
/// # Errors
/// All that would keep `run` from starting, a name or type that does not exist, and that there is no reply.
pub fn query(options: &QueryOptions) -> Result<String, Vec<Problem>> {
    let mut config = config::load(options.config.config.as_deref(), &options.config.flags())?;
    if let Some(colo) = &options.colo {
        config.platform.colo.clone_from(colo);
    }
    let (_, snapshot) = compile(&config, &Names::default())?;
    let arrival = why::arrival(&config, options.tcp, options.from, options.to).map_err(Problem::alone)?;
    let answer = |slot: &mut [u8], len| serve(&snapshot, &arrival, slot, len, &mut Account::default());
    let reply = ask(options, answer).map_err(Problem::alone)?;
    Ok(reply + &hint(options).unwrap_or_default())
}

/// Puts the query into a slot, has it answered there, and prints what then is in it.
fn ask(options: &QueryOptions, answer: impl FnOnce(&mut [u8], usize) -> Verdict) -> Result<String, String> {
    let packet = packet(options)?;
    let mut slot = vec![0; if options.tcp { TCP_REPLY_LEN_MAX } else { SLOT_PAYLOAD_LEN }];
    slot[..packet.len()].copy_from_slice(&packet);
    match answer(&mut slot, packet.len()) {
        Verdict::Reply(len) => shown(&slot[..len]),
        Verdict::Drop => Err("the server gives no reply to this query; ask for another".to_owned()),
        Verdict::HandOff(_) => {
            Err("a rule sends this query to a worker, which may ask others; `--why` says which".to_owned())
        }
    }
}

/// The reply in dig's style.
pub(super) fn shown(reply: &[u8]) -> Result<String, String> {
    print(reply).ok_or_else(|| "the reply does not parse: this is a defect of as112d; report it".to_owned())
}

/// The query as a packet: unless it is to be otherwise no recursion desired, and EDNS with our own size.
pub(super) fn packet(options: &QueryOptions) -> Result<Vec<u8>, String> {
    let (name, rtype) = match (options.reverse, &options.name, &options.rtype) {
        (Some(address), ..) => (reverse(address), "PTR"),
        (None, Some(name), Some(rtype)) => (name.clone(), rtype.as_str()),
        _ => return Err("give a name and a type, or -x and an address".to_owned()),
    };
    let qname = zone::name_from_text(&name)
        .map_err(|message| format!("{message}; give a name as 1.0.0.10.in-addr.arpa"))?;
    let qname = Name::from_slice(qname.as_wire()).expect("a Name is well formed");
    let qtype: Rtype = rtype
        .parse()
        .map_err(|_| format!("`{rtype}` is not a type; give one such as PTR, SOA or TYPE65280"))?;
    let qclass = match options.class {
        QueryClass::In => Class::IN,
        QueryClass::Ch => Class::CH,
    };
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_rd(options.rd);
    builder.header_mut().set_cd(options.cd);
    let mut builder = builder.question();
    builder.push((qname, qtype, qclass)).expect("a Vec has room for a question");
    if options.no_edns {
        return Ok(builder.finish());
    }
    let mut builder = builder.additional();
    let opt = builder.opt(|opt| {
        opt.set_udp_payload_size(EDNS_UDP_SIZE_MAX as u16);
        opt.set_dnssec_ok(options.dnssec);
        if options.nsid {
            opt.client_nsid()?;
        }
        options.subnet.map_or(Ok(()), |subnet| {
            let bits = subnet.prefix_len();
            opt.push(&ClientSubnet::new(bits, 0, subnet.trunc().addr()))
        })
    });
    opt.expect("a Vec has room for an OPT record");
    Ok(builder.finish())
}

/// The name below which the PTR record of an address is.
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0xF, octet >> 4]);
            let labels: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            format!("{labels}ip6.arpa")
        }
    }
}

/// What to say to somebody who asks for the name `192.168.1.1`.
fn hint(options: &QueryOptions) -> Option<String> {
    let address: IpAddr = options.name.as_ref()?.trim_end_matches('.').parse().ok()?;
    Some(format!(";; {address} is an address: `as112d query -x {address}` asks for its PTR record\n"))
}

/// The reply in dig's style; `None` when it does not parse.
fn print(reply: &[u8]) -> Option<String> {
    let message = Message::from_octets(reply).ok()?;
    // The printer takes it for granted that every section begins where the one before it ends.
    let mut additional = message.additional().ok()?;
    if additional.any(|record| record.is_err()) {
        return None;
    }
    let mut out = String::new();
    let mut questions = message.question().flatten();
    for line in message.display_dig_style().to_string().lines() {
        // Two lines are not as dig has them: flags as a truth value, and the class after the type.
        let edns = message.opt().filter(|_| line.starts_with("; EDNS: version"));
        let is_question =
            line.starts_with("; ") && ["\tIN", "\tCH"].iter().any(|class| line.ends_with(class));
        let question = if is_question { questions.next() } else { None };
        let _ = match (edns, question) {
            (Some(opt), _) => {
                let flags = if opt.dnssec_ok() { " do" } else { "" };
                let (version, size) = (opt.version(), opt.udp_payload_size());
                writeln!(out, "; EDNS: version: {version}, flags:{flags}; udp: {size}")
            }
            (None, Some(asked)) => {
                writeln!(out, ";{}.\t{}\t{}", asked.qname(), asked.qclass(), asked.qtype())
            }
            _ => writeln!(out, "{line}"),
        };
    }
    Some(format!("{out}\n;; MSG SIZE  rcvd: {}\n", reply.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ConfigOptions;

    fn options(name: &str, rtype: &str) -> QueryOptions {
        QueryOptions {
            config: ConfigOptions::default(),
            name: Some(name.to_owned()),
            rtype: Some(rtype.to_owned()),
            reverse: None,
            class: QueryClass::In,
            tcp: false,
            nsid: false,
            dnssec: false,
            rd: false,
            cd: false,
            no_edns: false,
            subnet: None,
            from: None,
            to: None,
            colo: None,
            why: false,
            cache: Vec::new(),
            outcome: Vec::new(),
            rcode: Vec::new(),
            rtt: None,
            json: false,
            batch: None,
            live: false,
            control: None,
        }
    }

    #[test]
    fn query_is_what_was_asked_for() {
        let plain = packet(&options("1.10.IN-addr.arpa.", "ptr")).unwrap();
        let expected = b"\0\0\0\0\0\x01\0\0\0\0\0\x01\x011\x0210\x07IN-addr\x04arpa\0\0\x0c\0\x01\
                         \0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(plain, expected);

        let mut full = options(".", "TYPE65280");
        (full.class, full.nsid, full.dnssec) = (QueryClass::Ch, true, true);
        let expected =
            b"\0\0\0\0\0\x01\0\0\0\0\0\x01\0\xff\0\0\x03\0\0\x29\x04\xd0\0\0\x80\0\0\x04\0\x03\0\0";
        assert_eq!(packet(&full).unwrap(), expected);

        let mut asked = options("a", "A");
        (asked.rd, asked.cd, asked.no_edns) = (true, true, true);
        assert_eq!(packet(&asked).unwrap(), b"\0\0\x01\x10\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
        (asked.no_edns, asked.subnet) = (false, "192.0.2.129/25".parse().ok());
        let subnet = b"\0\x08\0\x08\0\x01\x19\0\xC0\0\x02\x80";
        assert!(packet(&asked).unwrap().ends_with(subnet), "{:x?}", packet(&asked));
    }

    #[test]
    fn an_address_is_asked_for_by_its_name() {
        let asked = |address: &str| {
            packet(&QueryOptions {
                name: None,
                rtype: None,
                reverse: address.parse().ok(),
                ..options("x", "A")
            })
        };
        assert_eq!(asked("192.168.1.2"), packet(&options("2.1.168.192.in-addr.arpa", "PTR")));
        let v6 = format!("1.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(asked("2001:db8::1"), packet(&options(&v6, "PTR")));
        assert!(hint(&options("192.168.1.2", "PTR")).unwrap().contains("query -x 192.168.1.2"));
        assert_eq!(hint(&options("2.1.168.192.in-addr.arpa", "PTR")), None);
    }

    #[test]
    fn edns_and_the_question_are_as_dig_has_them() {
        let mut asked = options("1.10.in-addr.arpa", "PTR");
        let echo = |asked: &QueryOptions| ask(asked, |_, len| Verdict::Reply(len)).unwrap();
        let text = echo(&asked);
        assert!(text.contains("; EDNS: version: 0, flags:; udp: 1232\n"), "{text}");
        assert!(text.contains("\n;1.10.in-addr.arpa.\tIN\tPTR\n"), "{text}");
        (asked.class, asked.dnssec) = (QueryClass::Ch, true);
        let text = echo(&asked);
        assert!(text.contains("flags: do;") && text.contains("\n;1.10.in-addr.arpa.\tCH\tPTR\n"), "{text}");
    }

    #[test]
    fn bad_names_and_types_say_what_to_write() {
        let message = packet(&options("a..b", "A")).unwrap_err();
        assert!(
            message.starts_with("`a..b` ") && message.ends_with("give a name as 1.0.0.10.in-addr.arpa"),
            "{message}"
        );
        assert_eq!(
            packet(&options("a", "WHAT")).unwrap_err(),
            "`WHAT` is not a type; give one such as PTR, SOA or TYPE65280"
        );
    }

    #[test]
    fn reply_is_what_the_answer_left_in_the_slot() {
        let mut asked = options("example.com", "TXT");
        let text = ask(&asked, |slot, len| {
            assert_eq!(slot.len(), SLOT_PAYLOAD_LEN);
            // Response, authoritative, one answer with a pointer to the question, no OPT.
            slot[2] = 0x84;
            slot[7] = 1;
            slot[11] = 0;
            let record = b"\xC0\x0C\0\x10\0\x01\0\0\0\x3c\0\x03\x02hi";
            let at = len - 11;
            slot[at..at + record.len()].copy_from_slice(record);
            Verdict::Reply(at + record.len())
        });
        let text = text.unwrap();
        for fragment in
            ["rcode: NOERROR", "flags: QR AA", "ANSWER: 1", "example.com. 60 IN TXT \"hi\"", "rcvd: 44"]
        {
            assert!(text.contains(fragment), "{fragment}:\n{text}");
        }

        asked.tcp = true;
        let dropped = ask(&asked, |slot, _| {
            assert_eq!(slot.len(), TCP_REPLY_LEN_MAX);
            Verdict::Drop
        });
        assert!(dropped.unwrap_err().starts_with("the server gives no reply"));
    }

    #[test]
    fn damaged_replies_are_told_from_good_ones() {
        for len in [0, 11, 20] {
            let message = ask(&options("example.com", "A"), |_, _| Verdict::Reply(len)).unwrap_err();
            assert!(message.starts_with("the reply does not parse"), "{message}");
        }
        // The query itself parses; without its last byte its OPT record does not.
        let echo = |cut: usize| ask(&options("example.com", "A"), |_, len| Verdict::Reply(len - cut));
        assert!(echo(0).is_ok() && echo(1).is_err());
    }
}
