//! The empty zones of the answers as the program reads them: names as words from their end, found by hash,
//! and ready tails with their sums.

use std::collections::{HashMap, HashSet};
use std::mem::{offset_of, size_of};

use super::layout::{
    FAR_WORDS, Far, LABELS, NEAR_WORDS, RELOCATIONS, Relocation, SLOT_PROBES, SLOTS, SLOTS_MIN, Set,
    TAIL_LEN_MAX, TAIL_LEN_MIN, TAILS, Tail, ZONES, Zone,
};
use super::memory::{Image, put};
use crate::answer::Answers;
use crate::answer::empty::{EmptyZone, Existing};
use crate::dns::consts::rtype;
use crate::dns::edns::OPT_LEN;
use crate::dns::name::Name;
use crate::stats::labels::SERVICE_OTHER;

/// Bytes of a set.
pub(super) const SET_LEN: usize = size_of::<Set>();

/// What the answers have for the program.
#[derive(Debug)]
pub(super) struct Zones {
    /// The memory of a set.
    pub(super) image: Image,
    /// Zones in it.
    pub(super) taken: usize,
    /// Empty zones that are left to the sockets: they do not fit, or something is below them that is.
    pub(super) left: usize,
    /// The name of one of them.
    pub(super) example: Option<Vec<u8>>,
}

impl Zones {
    /// Those of `answers`. `edns_udp_size` is what an OPT says.
    pub(super) fn new(answers: &Answers, edns_udp_size: u16) -> Self {
        let mut existing: Vec<(usize, Existing<'_>)> = answers
            .existing()
            .map(|existing| (Name::from_wire(existing.name).map_or(0, |name| name.label_count()), existing))
            .collect();
        // What is below a name comes before it.
        existing.sort_by(|(a, _), (b, _)| b.cmp(a));
        let is_ours = |zone: &EmptyZone<'_>| usize::from(zone.labels.service) != SERVICE_OTHER;
        let ours = existing.iter().filter(|(_, one)| one.empty.as_ref().is_some_and(is_ours)).count();
        // Configured zones may be too many for the set; the built-in ones always fit.
        let mut room_for_others = ZONES.saturating_sub(ours);
        let empty = existing.iter().filter(|(_, one)| one.empty.is_some()).count();
        let mut builder = Builder::new(edns_udp_size, empty);
        let mut hides: HashSet<&[u8]> = HashSet::new();
        let (mut taken, mut left, mut example) = (0, 0, None);
        for (labels, Existing { name, empty }) in existing {
            let is_taken = empty.as_ref().is_some_and(|zone| {
                let has_room = is_ours(zone) || room_for_others > 0;
                has_room && !hides.contains(name) && builder.add(name, labels, zone)
            });
            if is_taken {
                taken += 1;
                example.get_or_insert_with(|| name.to_vec());
                let other = empty.as_ref().is_some_and(|zone| !is_ours(zone));
                room_for_others -= usize::from(other);
                continue;
            }
            left += usize::from(empty.is_some());
            // The program does not know names below, and would answer with the zone above.
            for above in suffixes(name).skip(1) {
                if !hides.insert(above) {
                    break;
                }
            }
        }
        Self { image: builder.image, taken, left, example }
    }
}

/// A name in wire form, its parent, and so on to the root.
fn suffixes(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let suffix = rest?;
        let len = usize::from(*suffix.first()?);
        rest = (len > 0).then(|| suffix.get(len + 1..)).flatten();
        Some(suffix)
    })
}

struct Builder {
    image: Image,
    edns_udp_size: u16,
    /// Slots that are used: few for few zones, to stay in a near cache.
    slots: usize,
    zones: usize,
    /// Names that have words elsewhere.
    far: usize,
    name_len_max: u64,
    /// How many labels zones have, the greatest first.
    depths: Vec<u8>,
    /// Tails that were added already, by their contents.
    tails: HashMap<Vec<u8>, u16>,
}

impl Builder {
    /// With room for that many zones, up to the limit.
    fn new(edns_udp_size: u16, zones: usize) -> Self {
        let slots = (4 * zones).next_power_of_two().clamp(SLOTS_MIN, SLOTS);
        let mut image = vec![0; SET_LEN];
        let shift = u64::BITS - slots.ilog2();
        put(&mut image, offset_of!(Set, slots_shift), &u64::from(shift).to_le_bytes());
        let (depths, tails) = (Vec::new(), HashMap::new());
        Self { image, edns_udp_size, slots, zones: 0, far: 0, name_len_max: 0, depths, tails }
    }

    /// Adds a zone if it fits.
    fn add(&mut self, name: &[u8], labels: usize, zone: &EmptyZone<'_>) -> bool {
        let is_short = name.len() <= 8 * (NEAR_WORDS + FAR_WORDS) && zone.pointers.len() <= RELOCATIONS;
        if !(1..=LABELS).contains(&labels) || !is_short || self.zones == ZONES {
            return false;
        }
        let words = words(name);
        let hash = hash(&words);
        let Some(slot) = self.free_slot(hash) else { return false };
        let Some(tail) = self.tail(zone) else { return false };
        let (near, far) = words.split_at(NEAR_WORDS.min(words.len()));
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let place = offset_of!(Set, zones) + self.zones * size_of::<Zone>();
        let mut put_in_zone = |at: usize, bytes: &[u8]| put(&mut self.image, place + at, bytes);
        put_in_zone(offset_of!(Zone, words), &bytes(near));
        put_in_zone(offset_of!(Zone, len), &[name.len() as u8]);
        put_in_zone(offset_of!(Zone, service), &[zone.labels.service]);
        put_in_zone(offset_of!(Zone, series), &[zone.labels.zone]);
        put_in_zone(offset_of!(Zone, relocations_len), &[zone.pointers.len() as u8]);
        put_in_zone(offset_of!(Zone, tail), &tail.to_le_bytes());
        put_in_zone(offset_of!(Zone, tail_len), &(zone.records.len() as u16).to_le_bytes());
        put_in_zone(offset_of!(Zone, sums), &sums(zone, self.edns_udp_size));
        put_in_zone(offset_of!(Zone, far), &(self.far as u16).to_le_bytes());
        for (index, pointer) in zone.pointers.iter().enumerate() {
            let at = offset_of!(Zone, relocations) + index * size_of::<Relocation>();
            put_in_zone(at + offset_of!(Relocation, at), &[pointer.at as u8]);
            put_in_zone(at + offset_of!(Relocation, is_from_tail), &[pointer.is_from_records.into()]);
            put_in_zone(at + offset_of!(Relocation, delta), &pointer.delta.to_le_bytes());
        }
        if !far.is_empty() {
            put(&mut self.image, offset_of!(Set, far) + self.far * size_of::<Far>(), &bytes(far));
            self.far += 1;
        }
        self.zones += 1;
        // Other bits of the hash than the slot's place.
        let value = ((hash >> 20) as u32) << 16 | self.zones as u32;
        put(&mut self.image, slot, &value.to_le_bytes());
        self.name_len_max = self.name_len_max.max(name.len() as u64);
        put(&mut self.image, offset_of!(Set, name_len_max), &self.name_len_max.to_le_bytes());
        // Zones come with the greatest number of labels first.
        if self.depths.last() != Some(&(labels as u8)) {
            self.depths.push(labels as u8);
            put(&mut self.image, offset_of!(Set, depths), &self.depths);
        }
        true
    }

    /// The first free slot from the one of `hash` on (linear probing).
    fn free_slot(&self, hash: u64) -> Option<usize> {
        let first = (hash >> (u64::BITS - self.slots.ilog2())) as usize;
        let slots = (first..first + SLOT_PROBES).map(|slot| slot % SLOTS);
        let mut places = slots.map(|slot| offset_of!(Set, slots) + 4 * slot);
        places.find(|&at| self.image[at..at + 4] == [0; 4])
    }

    /// The place of the zone's tail, the records and an OPT after them, among all, if it fits.
    fn tail(&mut self, zone: &EmptyZone<'_>) -> Option<u16> {
        let image = [zone.records, &opt(self.edns_udp_size, false)].concat();
        // The program copies blocks, the last of them at the end.
        if zone.records.len() < TAIL_LEN_MIN || image.len() > TAIL_LEN_MAX {
            return None;
        }
        if let Some(&index) = self.tails.get(&image) {
            return Some(index);
        }
        let index = self.tails.len();
        if index == TAILS {
            return None;
        }
        put(&mut self.image, offset_of!(Set, tails) + index * size_of::<Tail>(), &image);
        self.tails.insert(image, index as u16);
        Some(index as u16)
    }
}

/// The words of a name in lower case, from its end.
fn words(name: &[u8]) -> Vec<u64> {
    let word = |chunk: &[u8]| {
        let mut bytes = [0; 8];
        bytes[8 - chunk.len()..].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    };
    name.rchunks(8).map(word).collect()
}

/// The hash that the program makes of a name's words.
fn hash(words: &[u64]) -> u64 {
    const NEAR: [u64; NEAR_WORDS] =
        [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53, 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];
    let far = (0..FAR_WORDS as u64).map(|index| NEAR[0] + (index << 33));
    let products = words.iter().zip(NEAR.into_iter().chain(far)).map(|(word, by)| word.wrapping_mul(by));
    products.fold(0, u64::wrapping_add)
}

/// An OPT without options.
fn opt(udp_size: u16, is_dnssec_ok: bool) -> [u8; OPT_LEN] {
    let [type_high, type_low] = rtype::OPT.to_be_bytes();
    let [size_high, size_low] = udp_size.to_be_bytes();
    [0, type_high, type_low, size_high, size_low, 0, 0, u8::from(is_dnssec_ok) << 7, 0, 0, 0]
}

/// The sums of the records alone, with an OPT after them, and with one with DO.
fn sums(zone: &EmptyZone<'_>, edns_udp_size: u16) -> Vec<u8> {
    let with_opt = |is_dnssec_ok: bool| sum(&[zone.records, &opt(edns_udp_size, is_dnssec_ok)].concat());
    let sums = [sum(zone.records), with_opt(false), with_opt(true)];
    sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

/// The ones' complement sum (RFC 1071) of 16-bit words, in the machine's order of bytes.
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or_default()]));
    let mut sum: u64 = words.map(u64::from).sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Record, Service, ZoneSet};

    fn zone(name: &str, more: &[&str]) -> crate::zone::Zone {
        let apex = crate::zone::name_from_text(name).unwrap();
        let record =
            |owner: Name, rtype, rdata: &[u8]| Record { owner, rtype, ttl: 60, rdata: rdata.to_vec() };
        let soa = [&b"\x02ns\0\x01m\0"[..], &[0; 20]].concat();
        let mut records =
            vec![record(apex.clone(), rtype::SOA, &soa), record(apex.clone(), rtype::NS, b"\x02ns\0")];
        records.extend(
            more.iter().map(|label| record(apex.prepend(label.as_bytes()).unwrap(), rtype::TXT, b"\0")),
        );
        crate::zone::Zone::new(&apex, Service::Configured, &records)
    }

    fn zones(zones: Vec<crate::zone::Zone>) -> (usize, usize) {
        let (answers, _) =
            Answers::compile(&ZoneSet { zones, ..ZoneSet::default() }, &mut Vec::new()).unwrap();
        let zones = Zones::new(&answers, 1232);
        assert_eq!(zones.image.len(), SET_LEN);
        (zones.taken, zones.left)
    }

    #[test]
    fn what_the_program_would_miss_hides_what_is_above_it() {
        assert_eq!(zones(vec![zone("a.test", &[]), zone("b.a.test", &[])]), (2, 0));
        assert_eq!(zones(vec![zone("a.test", &[]), zone("b.a.test", &["www"]), zone("test", &[])]), (0, 2));
        let deep = "1.2.3.4.5.6.7.8.test";
        assert_eq!(zones(vec![zone(deep, &[]), zone("8.test", &[]), zone("7.8.test", &["x"])]), (0, 2));
        assert_eq!(zones(vec![zone(&deep[2..], &[]), zone("8.test", &[])]), (2, 0));
    }

    #[test]
    fn zones_over_the_bounds_are_left_to_the_sockets() {
        let many = (0..ZONES + 10).map(|number| zone(&format!("z{number}.test"), &[])).collect();
        let (taken, left) = zones(many);
        assert_eq!(taken + left, ZONES + 10);
        assert!((ZONES - 8..=ZONES).contains(&taken), "{taken}");
        let long = ["x"; 3].map(|label| label.repeat(60)).join(".");
        assert_eq!(zones(vec![zone(&long, &[])]), (0, 1));
        assert_eq!(zones(vec![zone(".", &[])]), (0, 1));
    }

    #[test]
    fn names_are_read_from_their_end() {
        let name = b"\x02ab\x05empty\x05as112\x04arpa\0";
        let words = words(name);
        assert_eq!(words.len(), 3);
        assert_eq!(words[0].to_le_bytes(), *b"12\x04arpa\0");
        assert_eq!(words[2].to_le_bytes(), *b"\0\0\0\x02ab\x05e");
        assert_ne!(hash(&words), hash(&super::words(b"\x02ac\x05empty\x05as112\x04arpa\0")));
        assert_eq!(sum(b"\x01\x02\x03"), 0x0201 + 3);
        assert_eq!(sum(&[0xFF; 4]), 0xFFFF);
    }
}
