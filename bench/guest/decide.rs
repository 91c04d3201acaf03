//! A decision about a query: which zone its name is in, and what the answer is. The same source is compiled
//! natively and as a guest.

const fn hash(name: &[u8], from: usize) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut at = from;
    while at < name.len() {
        let letter = name[at];
        let lower = if letter >= b'A' && letter <= b'Z' { letter | 0x20 } else { letter };
        hash = (hash ^ lower as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    hash
}

const ZONES: [&[u8]; 20] = [
    b"\x0210\x07in-addr\x04arpa\0",
    b"\x0216\x03172\x07in-addr\x04arpa\0",
    b"\x0217\x03172\x07in-addr\x04arpa\0",
    b"\x0218\x03172\x07in-addr\x04arpa\0",
    b"\x0219\x03172\x07in-addr\x04arpa\0",
    b"\x0220\x03172\x07in-addr\x04arpa\0",
    b"\x0221\x03172\x07in-addr\x04arpa\0",
    b"\x0222\x03172\x07in-addr\x04arpa\0",
    b"\x0223\x03172\x07in-addr\x04arpa\0",
    b"\x0224\x03172\x07in-addr\x04arpa\0",
    b"\x0225\x03172\x07in-addr\x04arpa\0",
    b"\x0226\x03172\x07in-addr\x04arpa\0",
    b"\x0227\x03172\x07in-addr\x04arpa\0",
    b"\x0228\x03172\x07in-addr\x04arpa\0",
    b"\x0229\x03172\x07in-addr\x04arpa\0",
    b"\x0230\x03172\x07in-addr\x04arpa\0",
    b"\x0231\x03172\x07in-addr\x04arpa\0",
    b"\x03168\x03192\x07in-addr\x04arpa\0",
    b"\x03254\x03169\x07in-addr\x04arpa\0",
    b"\x07example\x03com\0",
];
/// The zone that the guest passes.
const PASSED: usize = 19;
const PLACES: usize = 64;
static TABLE: [u8; PLACES] = {
    let mut table = [0; PLACES];
    let mut zone = 0;
    while zone < ZONES.len() {
        let mut place = hash(ZONES[zone], 0) as usize % PLACES;
        while table[place] != 0 {
            place = (place + 1) % PLACES;
        }
        table[place] = zone as u8 + 1;
        zone += 1;
    }
    table
};

/// An SOA: TTL, length, two names, five numbers.
const SOA: &[u8] = b"\x00\x06\x00\x01\x00\x09\x3a\x80\x00\x34\x08prisoner\x04iana\x03org\x00\
    \x0ahostmaster\xc0\x00\x00\x00\x00\x01\x00\x09\x3a\x80\x00\x00\x03\x84\x00\x09\x3a\x80\x00\x09\x3a\x80";

/// What becomes of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Pass,
    /// A reply of so many bytes.
    Reply(usize),
    Refuse,
}

/// Decides; a reply is written into `reply`.
#[inline]
pub fn decide(query: &[u8], reply: &mut [u8]) -> Decision {
    let mut starts = [0_u8; 32];
    let (mut labels, mut at) = (0, 12);
    loop {
        let len = match query.get(at) {
            Some(len) if *len < 64 && labels < 32 && at < 256 => *len as usize,
            _ => return Decision::Refuse,
        };
        if len == 0 {
            break;
        }
        starts[labels] = at as u8;
        labels += 1;
        at += 1 + len;
    }
    let end = at + 1;
    if query.len() < end + 4 {
        return Decision::Refuse;
    }
    let name = &query[..end];
    for start in &starts[..labels] {
        let start = *start as usize;
        let mut place = hash(name, start) as usize % PLACES;
        while TABLE[place] != 0 {
            let zone = TABLE[place] as usize - 1;
            let known = ZONES[zone];
            if known.len() == end - start
                && known
                    .iter()
                    .zip(&name[start..])
                    .all(|(known, letter)| *known == letter.to_ascii_lowercase())
            {
                return if zone == PASSED { Decision::Pass } else { answer(query, start, end + 4, reply) };
            }
            place = (place + 1) % PLACES;
        }
    }
    Decision::Refuse
}

fn answer(query: &[u8], apex: usize, question_end: usize, reply: &mut [u8]) -> Decision {
    let len = question_end + 2 + SOA.len();
    if reply.len() < len {
        return Decision::Refuse;
    }
    reply[..question_end].copy_from_slice(&query[..question_end]);
    reply[2] = 0x84 | query[2] & 1;
    reply[3] = 3;
    reply[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    reply[question_end] = 0xC0;
    reply[question_end + 1] = apex as u8;
    reply[question_end + 2..len].copy_from_slice(SOA);
    // The second name of the SOA ends as the first does, after their first labels.
    let mname = question_end + 12;
    let pointer = 0xC000 | (mname as u16 + 9);
    reply[mname + 30..mname + 32].copy_from_slice(&pointer.to_be_bytes());
    Decision::Reply(len)
}
