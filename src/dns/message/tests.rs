use hickory_proto::op::Message as HickoryMessage;
use hickory_proto::serialize::binary::BinDecodable as _;

use super::super::consts::NAME_LEN_MAX;
use super::*;

/// The question of all messages here; the records begin after it.
const QUESTION: &[u8] = b"\x03www\x07Example\x03org\0\0\x01\0\x01";
const RECORDS_AT: usize = 33;
const _: () = assert!(HEADER_LEN + QUESTION.len() == RECORDS_AT);

/// A record: its owner as it stands, the type, the TTL and the rdata.
fn record(owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) -> Vec<u8> {
    let len = (rdata.len() as u16).to_be_bytes();
    [owner, &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &len, rdata].concat()
}

fn opt(options: &[u8]) -> Vec<u8> {
    let len = (options.len() as u16).to_be_bytes();
    [&[0, 0, 41, 4, 208, 0, 0, 0x80, 0][..], &len, options].concat()
}

fn message(flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let counts = sections.map(|records| records.len() as u16);
    let header = [7, flags, 1, counts[0], counts[1], counts[2]].map(u16::to_be_bytes).concat();
    [header, QUESTION.to_vec(), sections.concat().concat()].concat()
}

const RESPONSE: u16 = 0x8180;
/// The name of the question.
const WWW: &[u8] = b"\xC0\x0C";
/// The same without its first label.
const EXAMPLE: &[u8] = b"\xC0\x10";

fn a(ttl: u32) -> Vec<u8> {
    record(WWW, rtype::A, ttl, &[192, 0, 2, 1])
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    let numbers = [1, 2, 3, 4, minimum].map(u32::to_be_bytes).concat();
    record(EXAMPLE, rtype::SOA, ttl, &[b"\x02ns\xC0\x10\xC0\x10", &numbers[..]].concat())
}

/// Reads it, and so does the decoder of another project.
fn read(message: &[u8]) -> Message {
    HickoryMessage::from_bytes(message).expect("another decoder reads it");
    Message::read(message).expect("it is sound")
}

#[test]
fn what_is_to_be_known_is_found() {
    let whole = message(RESPONSE, [&[a(300), a(200)], &[soa(900, 60)], &[a(120), opt(&[])]]);
    let read = read(&whole);
    assert_eq!((read.flags, read.counts, read.rcode()), (RESPONSE, [1, 2, 1, 2], 0));
    assert_eq!(whole[read.question.clone()], *QUESTION);
    let ttls: Vec<u32> = read.ttls.iter().map(|&at| ttl(&whole, at.into()).unwrap()).collect();
    assert_eq!(ttls, [300, 200, 900, 120], "that of OPT is none");
    assert_eq!((read.ttl_min, read.negative_ttl), (Some(120), Some(60)));
    assert!(read.has_answer && !read.has_more_ttls && !read.is_truncated());
    let opt = read.opt.unwrap();
    assert_eq!(opt.span, whole.len() - 11..whole.len());
    assert_eq!((opt.udp_size, opt.extended_rcode, opt.version, opt.dnssec_ok), (1232, 0, 0, true));
    assert_eq!((opt.cookie, opt.subnet, opt.error), (None, None, None));
}

#[test]
fn an_answer_is_one_of_the_type_that_was_asked() {
    let answers = |records: &[Vec<u8>]| read(&message(RESPONSE, [records, &[], &[]])).has_answer;
    let alias = record(WWW, rtype::CNAME, 60, EXAMPLE);
    assert!(!answers(&[]) && !answers(std::slice::from_ref(&alias)));
    assert!(answers(&[alias.clone(), record(EXAMPLE, rtype::A, 60, &[192, 0, 2, 1])]));
    let mut any = message(RESPONSE, [&[alias], &[], &[]]);
    any[RECORDS_AT - 3] = 255;
    assert!(read(&any).has_answer);
    // One of the right type in another section answers nothing.
    assert!(!read(&message(RESPONSE, [&[], &[], &[a(60)]])).has_answer);
}

#[test]
fn a_ttl_with_the_top_bit_is_zero() {
    for (ttl, counts) in [(0, 0), (1, 1), (TTL_MAX, TTL_MAX), (TTL_MAX + 1, 0), (u32::MAX, 0)] {
        let read = Message::read(&message(RESPONSE, [&[a(ttl)], &[], &[]])).unwrap();
        assert_eq!(read.ttl_min, Some(counts), "{ttl}: RFC 2181, section 8");
        let read = Message::read(&message(RESPONSE, [&[], &[soa(9, ttl)], &[]])).unwrap();
        assert_eq!(read.negative_ttl, Some(counts.min(9)), "{ttl}");
    }
    assert_eq!(read(&message(RESPONSE, [&[], &[], &[]])).ttl_min, None);
}

#[test]
fn options_are_found_and_must_fill_their_record() {
    let options = [
        &[0, 3, 0, 1, b'x'][..],
        &[0, 10, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        &[0, 8, 0, 7, 0, 1, 24, 16, 198, 51, 100],
        &[0, 15, 0, 6, 0, 22, b't', b'e', b'x', b't'],
        &[0, 15, 0, 2, 0, 3],
    ]
    .concat();
    let whole = message(RESPONSE | 3, [&[], &[], &[opt(&options)]]);
    let found = read(&whole).opt.unwrap();
    let cookie = found.cookie.unwrap();
    assert_eq!(whole[usize::from(cookie.at)..][..usize::from(cookie.len)], options[9..25]);
    assert_eq!(found.error, Some(22), "the first one");
    let subnet = found.subnet.unwrap();
    assert_eq!((subnet.source, subnet.scope), (24, 16));
    assert_eq!(subnet.scope_net(), "198.51.0.0/16".parse().unwrap());
    assert_eq!(subnet.net(200), "198.51.100.0/32".parse().unwrap());
    let mut bad_version = whole;
    let at = found.span.start + 5;
    bad_version[at] = 1;
    assert_eq!(Message::read(&bad_version).unwrap().rcode(), 16 + 3);
    let wrong: [&[u8]; 9] = [
        &[0],
        &[0, 3, 0],
        &[0, 3, 0, 1],
        // RFC 7871, section 6: the address has as many bytes as its bits need, and no bit beyond them.
        &[0, 8, 0, 3, 0, 1, 24],
        &[0, 8, 0, 6, 0, 1, 24, 0, 198, 51],
        &[0, 8, 0, 8, 0, 1, 24, 0, 198, 51, 100, 0],
        &[0, 8, 0, 7, 0, 1, 23, 0, 198, 51, 101],
        &[0, 8, 0, 9, 0, 1, 33, 0, 198, 51, 100, 1, 1],
        &[0, 8, 0, 7, 0, 1, 24, 33, 198, 51, 100],
    ];
    for options in wrong {
        assert!(Message::read(&message(RESPONSE, [&[], &[], &[opt(options)]])).is_err(), "{options:?}");
    }
    let unknown = Message::read(&message(RESPONSE, [&[], &[], &[opt(&[0, 8, 0, 4, 0, 9, 0, 0])]]));
    assert_eq!(unknown.unwrap().opt.unwrap().subnet, None);
}

#[test]
fn an_opt_stands_once_among_the_additional_records_and_is_of_the_root() {
    for sections in [
        [&[opt(&[])][..], &[], &[]],
        [&[], &[opt(&[])], &[]],
        [&[], &[], &[opt(&[]), opt(&[])]],
        [&[], &[], &[record(WWW, rtype::OPT, 0, &[])]],
    ] {
        assert!(Message::read(&message(RESPONSE, sections)).is_err());
    }
}

#[test]
fn every_cut_and_every_count_is_noticed() {
    let whole = message(RESPONSE, [&[a(300)], &[soa(900, 60)], &[a(120), opt(&[0, 3, 0, 0])]]);
    read(&whole);
    for len in 0..whole.len() {
        assert!(Message::read(&whole[..len]).is_err(), "cut to {len}");
    }
    assert!(Message::read(&[&whole[..], &[0]].concat()).is_err(), "a byte is left over");
    for count in [5, 7, 9, 11] {
        for more in [whole[count] - 1, whole[count] + 1, 200] {
            let mut wrong = whole.clone();
            wrong[count] = more;
            assert!(Message::read(&wrong).is_err(), "{more} at {count}");
        }
    }
    let mut too_long = vec![a(1)];
    too_long.push(record(WWW, 65_280, 1, &vec![0; 65_535 - RECORDS_AT - 16 - 12]));
    assert!(Message::read(&message(RESPONSE, [&too_long, &[], &[]])).is_ok());
    too_long.push(a(1));
    assert!(Message::read(&message(RESPONSE, [&too_long, &[], &[]])).is_err());
}

#[test]
fn pointers_lead_backwards_and_to_names() {
    let with_owner = |owner: &[u8]| {
        Message::read(&message(RESPONSE, [&[record(owner, rtype::A, 1, &[192, 0, 2, 1])], &[], &[]]))
    };
    assert!(with_owner(b"\xC0\x0C").is_ok() && with_owner(b"\x01a\xC0\x18").is_ok());
    let wrong: [(&str, &[u8]); 8] = [
        ("to itself", &[0xC0, RECORDS_AT as u8]),
        ("forward", &[0xC0, RECORDS_AT as u8 + 2]),
        ("to a label of the same part", &[1, b'a', 0xC0, RECORDS_AT as u8]),
        ("into the header", b"\xC0\x00"),
        ("to the header's last byte", b"\xC0\x0B"),
        ("out of the message", b"\xFF\xFF"),
        ("label type 1", b"\x41a\0"),
        ("label type 2", b"\x81a\0"),
    ];
    for (what, owner) in wrong {
        assert!(with_owner(owner).is_err(), "{what}");
    }
    // What it leads to ends before it begins: in the rdata of one record is a label that would end in the
    // next one.
    let text = record(WWW, 65_280, 1, b"\x01a\x0B");
    let at = ((RECORDS_AT + text.len() - 3) as u16 | 0xC000).to_be_bytes();
    for (owner, is_sound) in [(at.to_vec(), false), (b"\xC0\x0C".to_vec(), true)] {
        let next = record(&owner, rtype::A, 1, &[192, 0, 2, 1]);
        let whole = message(RESPONSE, [&[text.clone(), next, a(1)], &[], &[]]);
        assert_eq!(Message::read(&whole).is_ok(), is_sound);
    }
    // A loop needs a pointer that leads forward; one in rdata does too.
    let alias =
        |rdata: &[u8]| Message::read(&message(RESPONSE, [&[record(WWW, rtype::CNAME, 1, rdata)], &[], &[]]));
    assert!(alias(b"\x01a\xC0\x0C").is_ok());
    for rdata in [&b"\xC0\x2D"[..], b"\x01a\xC0\x2D", b"", b"\x01a", b"\x01a\xC0\x0Cx", b"\x01a\0x"] {
        assert!(alias(rdata).is_err(), "{rdata:?}");
    }
}

#[test]
fn a_name_has_255_bytes_however_it_is_put_together() {
    // A chain of records: each owner is a label of 9 bytes before the name of the one before.
    let mut records = Vec::new();
    let (mut at, mut before, mut len) = (RECORDS_AT, 12_u16, QUESTION.len() - 4);
    loop {
        let owner = [b"\x09123456789", &(before | 0xC000).to_be_bytes()[..]].concat();
        records.push(record(&owner, rtype::A, 1, &[192, 0, 2, 1]));
        len += 10;
        let is_sound = Message::read(&message(RESPONSE, [&records, &[], &[]])).is_ok();
        assert_eq!(is_sound, len <= NAME_LEN_MAX, "{len}");
        if len > NAME_LEN_MAX {
            break;
        }
        before = at as u16;
        at += owner.len() + 14;
    }
}

#[test]
fn rdata_is_as_its_type_has_it() {
    let read = |rtype: u16, rdata: &[u8]| {
        Message::read(&message(RESPONSE, [&[record(WWW, rtype, 1, rdata)], &[], &[]])).is_ok()
    };
    let good: [(u16, &[u8]); 18] = [
        (rtype::NS, b"\x02ns\xC0\x10"),
        (rtype::MD, WWW),
        (rtype::MF, WWW),
        (rtype::MB, WWW),
        (rtype::MG, WWW),
        (rtype::MR, WWW),
        (rtype::PTR, b"\0"),
        (rtype::DNAME, b"\x02ns\0"),
        (rtype::MINFO, b"\xC0\x0C\xC0\x10"),
        (rtype::RP, b"\xC0\x0C\0"),
        (rtype::MX, b"\0\x0A\x04mail\xC0\x10"),
        (rtype::AFSDB, b"\0\x01\xC0\x0C"),
        (rtype::RT, b"\0\x01\xC0\x0C"),
        (rtype::KX, b"\0\x01\x01a\0"),
        (rtype::PX, b"\0\x01\xC0\x0C\xC0\x10"),
        (rtype::SRV, b"\0\x01\0\x02\0\x35\xC0\x0C"),
        (rtype::NAPTR, b"\0\x01\0\x02\x01S\x03SIP\0\xC0\x0C"),
        (rtype::SOA, b"\xC0\x0C\xC0\x1012345678901234567890"),
    ];
    for (rtype, rdata) in good {
        assert!(read(rtype, rdata), "{rtype}");
        assert!(!read(rtype, &[rdata, &[0]].concat()), "{rtype}: a byte more");
        assert!(!read(rtype, &rdata[..rdata.len() - 1]), "{rtype}: a byte less");
        assert!(!read(rtype, b""), "{rtype}: nothing");
    }
    // After the names of these stands what has any length.
    assert!(read(rtype::SIG, b"123456789012345678\xC0\x0Csignature") && !read(rtype::SIG, b"12345"));
    assert!(read(rtype::NXT, b"\xC0\x0C\x40") && !read(rtype::NXT, b"\xC0"));
    // In other types there is no pointer, whatever it looks like (RFC 3597, section 4).
    assert!(read(rtype::TXT, b"\x02\xFF\xFF") && read(65_280, b"\xFF\xFF") && read(rtype::NSEC, b"\xFF"));
    assert!(!read(rtype::NAPTR, b"\0\x01\0\x02\x01S\x0FSIP"), "a text that ends outside");
}

#[test]
fn so_many_ttls_are_noted() {
    let full = vec![a(9); TTLS_MAX];
    assert!(!Message::read(&message(RESPONSE, [&full, &[], &[opt(&[])]])).unwrap().has_more_ttls);
    let read = Message::read(&message(RESPONSE, [&full, &[a(2)], &[opt(&[])]])).unwrap();
    assert_eq!((read.has_more_ttls, read.ttl_min, read.ttls.len()), (true, Some(2), TTLS_MAX));
}

#[test]
fn the_opt_is_taken_out_and_pointers_stay_right() {
    let extra = |owner: &[u8], rdata: &[u8]| record(owner, rtype::NS, 77, rdata);
    let opt = opt(&[0, 3, 0, 1, b'x']);
    let at = (RECORDS_AT + a(1).len() + opt.len()) as u16;
    let to = |at: u16| (at | 0xC000).to_be_bytes();
    let first = extra(b"\x03new\xC0\x10", b"\x04host\xC0\x10");
    // The rdata of `first`: 6 bytes of owner and 10 of fields before it.
    let host_at = at + 16;
    let cases: [(&str, Vec<Vec<u8>>); 5] = [
        ("none", vec![]),
        ("last", vec![opt.clone()]),
        ("before what leads to before it", vec![opt.clone(), extra(WWW, EXAMPLE)]),
        ("before what leads behind it", vec![opt.clone(), first.clone(), extra(&to(at), &to(host_at))]),
        (
            "before what leads behind it by labels and in another type",
            vec![
                opt,
                first,
                extra(&[b"\x01a", &to(at)[..]].concat(), &[b"\x01b", &to(host_at)[..]].concat()),
                record(&to(at), rtype::MX, 5, &[&[0, 1][..], &to(host_at)].concat()),
            ],
        ),
    ];
    for (what, additional) in cases {
        let whole = message(RESPONSE, [&[a(300)], &[], &additional]);
        let read = read(&whole);
        let mut out = b"what was there before".to_vec();
        without_opt(&whole, &read, &mut out).unwrap();
        let again = self::read(&out);
        assert_eq!(again.opt, None, "{what}");
        assert_eq!(out.len(), whole.len() - read.opt.as_ref().map_or(0, |opt| opt.span.len()), "{what}");
        assert!(same(&whole, &out), "{what}");
        assert_eq!(read.ttls_without_opt().collect::<Vec<_>>(), again.ttls[..], "{what}");
    }
}

#[test]
fn an_opt_stays_if_names_cannot_be_kept_without_it() {
    // The OPT has a name in an option, and a record after it makes use of that.
    let opt = opt(&[0, 3, 0, 3, 1, b'x', 0]);
    let name_at = (RECORDS_AT + opt.len() - 3) as u16 | 0xC000;
    let into = record(&name_at.to_be_bytes(), rtype::NS, 1, WWW);
    let whole = message(RESPONSE, [&[], &[], &[opt.clone(), into]]);
    let mut out = Vec::new();
    assert_eq!(without_opt(&whole, &Message::read(&whole).unwrap(), &mut out), Err(Damaged));
    // A name in bytes of a type without names, which ends with a pointer: that is not moved.
    let text_at = (RECORDS_AT + opt.len()) as u16;
    let text = record(b"\x01t\0", 65_280, 1, &[b"\x01y", &(text_at | 0xC000).to_be_bytes()[..]].concat());
    let into = record(&((text_at + 13) | 0xC000).to_be_bytes(), rtype::NS, 1, WWW);
    let whole = message(RESPONSE, [&[], &[], &[opt, text, into]]);
    let read = Message::read(&whole).expect("that is sound");
    assert_eq!(without_opt(&whole, &read, &mut out), Err(Damaged));
}

#[test]
fn the_same_is_said_in_other_words() {
    let mx = |rdata: &[u8]| record(WWW, rtype::MX, 5, rdata);
    let one = message(RESPONSE, [&[a(300), mx(b"\0\x01\x02mx\xC0\x10")], &[soa(9, 9)], &[opt(&[])]]);
    let full = b"\x03WWW\x07eXAMPLE\x03org\0";
    let other = message(
        RESPONSE | flag::AA,
        [
            &[
                record(full, rtype::MX, 7, b"\0\x01\x02MX\x07example\x03ORG\0"),
                record(full, rtype::A, 1, &[192, 0, 2, 1]),
                record(full, rtype::A, 2, &[192, 0, 2, 1]),
            ],
            &[soa(1, 9)],
            &[],
        ],
    );
    assert!(same(&one, &other), "order, repetition, TTL, OPT, case and compression do not matter");
    let differ = |sections: [&[Vec<u8>]; 3], flags: u16| {
        assert!(!same(&one, &message(flags, sections)));
        assert!(!same(&message(flags, sections), &one));
    };
    let mx = mx(b"\0\x01\x02mx\xC0\x10");
    differ([&[a(300), mx.clone()], &[soa(9, 9)], &[]], RESPONSE | 3);
    differ([&[a(300)], &[soa(9, 9)], &[]], RESPONSE);
    differ([&[a(300), mx.clone()], &[], &[soa(9, 9)]], RESPONSE);
    differ([&[a(300), mx.clone()], &[soa(9, 8)], &[]], RESPONSE);
    let elsewhere = record(EXAMPLE, rtype::A, 5, &[192, 0, 2, 1]);
    differ([&[elsewhere, mx], &[soa(9, 9)], &[]], RESPONSE);
    let text = |text: &[u8]| message(RESPONSE, [&[record(WWW, rtype::TXT, 5, text)], &[], &[]]);
    assert!(!same(&text(b"\x01a"), &text(b"\x01A")), "case is that of names only");
    // The high bits of the code are in the OPT.
    let mut bad_version = message(RESPONSE, [&[], &[], &[opt(&[])]]);
    let plain = message(RESPONSE, [&[], &[], &[]]);
    assert!(same(&bad_version, &plain));
    let at = bad_version.len() - 6;
    bad_version[at] = 1;
    assert!(!same(&bad_version, &plain));
    assert!(same(b"damaged", b"damaged") && !same(b"damaged", b"Damaged") && !same(b"damaged", &plain));
}
