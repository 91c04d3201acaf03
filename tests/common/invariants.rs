//! What is true of every reply, whatever was asked: written from the RFCs alone, sharing no code with the
//! server.

use std::ops::Range;

const OPT: u16 = 41;
const TSIG: u16 = 250;
/// The largest UDP reply of a node at its defaults.
const EDNS_UDP_SIZE: usize = 1232;

/// A record: its section (0 to 2), type, and where it and its rdata stand.
struct Record {
    section: usize,
    rtype: u16,
    whole: Range<usize>,
    rdata: Range<usize>,
}

/// Checks a reply to `query`, which came over TCP or else UDP. A query is given in full; the server may have
/// read less.
///
/// # Errors
/// The first thing that is not as it must be.
pub fn check(query: &[u8], reply: &[u8], over_tcp: bool) -> Result<(), String> {
    let ensure = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    ensure(query.len() >= 12 && query[2] & 0x80 == 0, "a reply to what is no query")?;
    ensure(reply.len() >= 12, "shorter than a header")?;
    ensure(reply[..2] == query[..2], "another ID")?;
    ensure(reply[2] & 0x80 != 0, "QR is not set")?;
    ensure(reply[2] & 0x78 == query[2] & 0x78, "another opcode")?;
    ensure(reply[3] & 0xF0 == 0, "RA, Z, AD or CD is set")?;
    let is_query = query[2] & 0x78 == 0;
    ensure(reply[2] & 1 == if is_query { query[2] & 1 } else { 0 }, "RD is not that of the query")?;

    let questions = word(reply, 4)?;
    ensure(questions <= 1, "more than one question")?;
    let question_end = if questions == 1 { name_end(reply, 12)? + 4 } else { 12 };
    ensure(
        reply.get(12..question_end).is_some_and(|question| query[12..].starts_with(question)),
        "another question",
    )?;
    let records = records(reply, question_end)?;
    ensure(records.last().map_or(question_end, |record| record.whole.end) == reply.len(), "trailing bytes")?;
    for record in &records {
        names_within(reply, record)?;
    }
    let of_type = |rtype| records.iter().filter(move |record| record.rtype == rtype);
    ensure(of_type(TSIG).all(|tsig| tsig.section == 2 && tsig.whole.end == reply.len()), "TSIG is not last")?;
    ensure(of_type(OPT).count() <= 1, "two OPT")?;
    let opt = of_type(OPT).next();
    let rcode =
        usize::from(reply[3] & 0xF) | opt.map_or(0, |opt| usize::from(reply[opt.rdata.start - 6]) << 4);

    let asked = self::records(query, 12 + if questions == 1 { question_end - 12 } else { 0 });
    let asked_opt = asked.ok().and_then(|records| records.into_iter().find(|record| record.rtype == OPT));
    if let Some(opt) = opt {
        let asked_opt = asked_opt.as_ref().ok_or("an OPT that was not asked for")?;
        ensure(
            opt.section == 2 && reply[opt.whole.start] == 0,
            "OPT is misplaced, or its owner is not the root",
        )?;
        let at = opt.rdata.start;
        ensure(word(reply, at - 8)? == EDNS_UDP_SIZE, "OPT says another size")?;
        let dnssec_ok = query[asked_opt.rdata.start - 4] & 0x80;
        ensure(reply[at - 5..at - 2] == [0, dnssec_ok, 0], "OPT has another version, DO, or Z")?;
    }
    // NOERROR, NXDOMAIN, REFUSED, YXDOMAIN, NOTAUTH and BADVERS are said of what was read to its end.
    let read_whole = is_query && matches!(rcode, 0 | 3 | 5 | 6 | 9 | 16);
    ensure(!read_whole || opt.is_some() == asked_opt.is_some(), "OPT is missing")?;
    let authoritative = reply[2] & 4 != 0;
    ensure(!authoritative || matches!(rcode, 0 | 3 | 6), "AA with an error")?;
    let truncated = reply[2] & 2 != 0;
    ensure(!truncated || records.iter().all(|record| record.rtype == OPT), "TC with records")?;
    ensure(!truncated || !over_tcp, "TC over TCP")?;

    if !matches!(rcode, 0 | 3 | 6 | 16) {
        let extra: usize = of_type(OPT).chain(of_type(TSIG)).map(|record| record.whole.len()).sum();
        ensure(reply.len() - extra <= query.len(), "an error longer than what it answers")?;
    }
    let room = match &asked_opt {
        _ if over_tcp => 65_535,
        Some(asked) if opt.is_some() => word(query, asked.rdata.start - 8)?.clamp(512, EDNS_UDP_SIZE),
        _ => 512,
    };
    ensure(reply.len() <= room, "longer than the client can take")
}

/// The records behind the question, as many as the counts say.
fn records(packet: &[u8], mut at: usize) -> Result<Vec<Record>, String> {
    let mut records = Vec::new();
    for section in 0..3 {
        for _ in 0..word(packet, 6 + 2 * section)? {
            let fixed = owner_end(packet, at)?;
            let rdata = fixed + 10..fixed + 10 + word(packet, fixed + 8)?;
            if rdata.end > packet.len() {
                return Err("a record that is cut short".to_owned());
            }
            let rtype = word(packet, fixed)? as u16;
            records.push(Record { section, rtype, whole: at..rdata.end, rdata: rdata.clone() });
            at = rdata.end;
        }
    }
    Ok(records)
}

/// The owner and the names in the rdata of the types that have such: whole, and the rdata filled exactly.
fn names_within(packet: &[u8], record: &Record) -> Result<(), String> {
    name_end(packet, record.whole.start)?;
    let (before, names, after) = match record.rtype {
        2 | 5 | 12 | 39 => (0, 1, 0),
        6 => (0, 2, 20),
        15 => (2, 1, 0),
        33 => (6, 1, 0),
        _ => return Ok(()),
    };
    let mut at = record.rdata.start + before;
    for _ in 0..names {
        at = name_end(packet, at)?;
    }
    if at + after == record.rdata.end { Ok(()) } else { Err(format!("rdata of type {}", record.rtype)) }
}

/// The offset behind the name at `at`, whose pointers must lead to earlier names, and which is at most 255
/// bytes.
fn name_end(packet: &[u8], at: usize) -> Result<usize, String> {
    let end = owner_end(packet, at)?;
    let (mut at, mut earliest, mut len) = (at, at, 0);
    loop {
        let label = usize::from(*packet.get(at).ok_or("a name that is cut short")?);
        if label >= 0xC0 {
            at = word(packet, at)? & 0x3FFF;
            if at >= earliest || at < 12 {
                return Err("a pointer that does not lead back".to_owned());
            }
            earliest = at;
            continue;
        }
        len += label + 1;
        if len > 255 {
            return Err("a name of over 255 bytes".to_owned());
        }
        if label == 0 {
            return Ok(end);
        }
        at += label + 1;
    }
}

/// The offset behind the labels at `at`, up to the root or one pointer, which is not followed.
fn owner_end(packet: &[u8], mut at: usize) -> Result<usize, String> {
    loop {
        match *packet.get(at).ok_or("a name that is cut short")? {
            0 => return Ok(at + 1),
            label @ 1..64 => at += usize::from(label) + 1,
            192.. => return Ok(at + 2),
            _ => return Err("a label of no known kind".to_owned()),
        }
    }
}

fn word(packet: &[u8], at: usize) -> Result<usize, String> {
    let bytes = packet.get(at..at + 2).ok_or("a packet that is cut short")?;
    Ok(usize::from(bytes[0]) << 8 | usize::from(bytes[1]))
}
