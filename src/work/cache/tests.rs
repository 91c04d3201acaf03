mod model;
mod rules;

use std::time::{Duration, Instant};

use super::*;
use crate::dns::consts::{class, rtype};

/// The name `text` on the wire.
fn wire(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}

fn key(qname: &[u8]) -> Key<'_> {
    Key {
        view: 1,
        qname,
        qtype: rtype::A,
        qclass: class::IN,
        dnssec_ok: false,
        checking_disabled: false,
        subnet: None,
    }
}

/// A record of the section with this number; its owner is the name that was asked for, unless it is a SOA.
struct Record(usize, u16, u32, Vec<u8>);

fn a(ttl: u32, last: u8) -> Record {
    Record(0, rtype::A, ttl, vec![192, 0, 2, last])
}

fn soa(ttl: u32, minimum: u32) -> Record {
    let numbers = [1, 2, 3, 4, minimum].map(u32::to_be_bytes).concat();
    Record(1, rtype::SOA, ttl, [vec![0, 0], numbers].concat())
}

const NOERROR: u16 = 0x8180;
const NXDOMAIN: u16 = 0x8183;

/// A response to `key` with an OPT, as a server sends it.
fn response(key: &Key<'_>, flags: u16, records: &[Record]) -> Vec<u8> {
    let mut sections: [(u16, Vec<u8>); 3] = Default::default();
    for Record(section, rtype, ttl, rdata) in records {
        let (count, bytes) = &mut sections[*section];
        *count += 1;
        let owner: &[u8] = if *rtype == rtype::SOA { &[0] } else { &[0xC0, 12] };
        let fixed =
            [&rtype.to_be_bytes()[..], &[0, 1], &ttl.to_be_bytes(), &(rdata.len() as u16).to_be_bytes()];
        *bytes = [&bytes[..], owner, &fixed.concat(), rdata].concat();
    }
    sections[2].0 += 1;
    sections[2].1.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    let counts = sections.each_ref().map(|(count, _)| *count);
    let header = [0x1234, flags, 1, counts[0], counts[1], counts[2]].map(u16::to_be_bytes).concat();
    let fixed = [key.qtype.to_be_bytes(), key.qclass.to_be_bytes()].concat();
    [header, key.qname.to_vec(), fixed, sections.map(|(_, bytes)| bytes).concat()].concat()
}

/// The TTLs of an answer, in their order.
fn ttls(answer: &[u8]) -> Vec<u32> {
    let read = Message::read(answer).expect("what is given is sound");
    assert_eq!(read.opt, None);
    let at = |at: &u16| answer[usize::from(*at)..].first_chunk().copied().expect("it is there");
    read.ttls.iter().map(|place| u32::from_be_bytes(at(place))).collect()
}

/// A cache, a clock, and what was found last.
struct Bench {
    cache: Cache,
    now: Instant,
    out: Vec<u8>,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { size: 1 << 20, ..Settings::default() };
        change(&mut settings);
        // Clocks may also jump back: there is something before the beginning.
        let now = Instant::now() + Duration::from_secs(1_000_000);
        Self { cache: Cache::new(&settings), now, out: b"what was there before".to_vec() }
    }

    fn pass(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    fn look(&mut self, key: &Key<'_>) -> Found {
        let found = self.cache.look(key, self.now, &mut self.out);
        let has_answer = !matches!(found, Found::Failure | Found::Miss);
        assert_eq!(self.out.is_empty(), !has_answer, "{found:?}");
        assert!(!has_answer || self.out[..2] == [0, 0], "the ID is that of nobody");
        found
    }

    fn store(&mut self, key: &Key<'_>, flags: u16, records: &[Record]) -> Stored {
        self.cache.store(key, &response(key, flags, records), None, self.now)
    }
}
