//! The empty zones of the answers as the program reads them: names as words from their end, found by hash,
//! and ready tails with their sums.

use std::collections::{HashMap, HashSet};
use std::mem::{offset_of, size_of};

use super::layout::{
    LABELS, NAME_WORDS, RELOCATIONS, SLOT_PROBES, SLOTS, SLOTS_MIN, Set, TAIL_LEN_MAX, TAIL_LEN_MIN, TAILS,
    Tail, ZONES, Zone,
};
use super::memory::{Image, mix, put};
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
    name_len_max: u64,
    /// How many labels zones have, the greatest first.
    depths: Vec<u8>,
    /// Tails that were added already, by their contents.
    tails: HashMap<Image, u32>,
}

impl Builder {
    /// With room for that many zones, up to the limit.
    fn new(edns_udp_size: u16, zones: usize) -> Self {
        let slots = (4 * zones).next_power_of_two().clamp(SLOTS_MIN, SLOTS);
        let mut image = vec![0; SET_LEN];
        put(&mut image, offset_of!(Set, slots_mask), &(slots as u64 - 1).to_le_bytes());
        let (depths, tails) = (Vec::new(), HashMap::new());
        Self { image, edns_udp_size, slots, zones: 0, name_len_max: 0, depths, tails }
    }

    /// Adds a zone if it fits.
    fn add(&mut self, name: &[u8], labels: usize, zone: &EmptyZone<'_>) -> bool {
        if !(1..=LABELS).contains(&labels) || name.len() > 8 * NAME_WORDS || self.zones == ZONES {
            return false;
        }
        let (words, hash) = words_and_hash(name);
        let Some(slot) = self.free_slot(hash) else { return false };
        let Some(tail) = self.tail(zone) else { return false };
        let at = offset_of!(Set, zones) + self.zones * size_of::<Zone>();
        put(&mut self.image, at + offset_of!(Zone, len), &(name.len() as u16).to_le_bytes());
        put(&mut self.image, at + offset_of!(Zone, service), &[zone.labels.service]);
        put(&mut self.image, at + offset_of!(Zone, series), &[zone.labels.zone]);
        put(&mut self.image, at + offset_of!(Zone, tail), &tail.to_le_bytes());
        for (index, word) in words.iter().enumerate() {
            put(&mut self.image, at + offset_of!(Zone, words) + 8 * index, &word.to_le_bytes());
        }
        self.name_len_max = self.name_len_max.max(name.len() as u64);
        put(&mut self.image, offset_of!(Set, name_len_max), &self.name_len_max.to_le_bytes());
        self.zones += 1;
        let value = ((hash >> 48 << 16) as u32) | self.zones as u32;
        put(&mut self.image, slot, &value.to_le_bytes());
        // Zones come with the greatest number of labels first.
        if self.depths.last() != Some(&(labels as u8)) {
            self.depths.push(labels as u8);
            put(&mut self.image, offset_of!(Set, depths), &self.depths);
        }
        true
    }

    /// The first free slot from the one of `hash` on (linear probing).
    fn free_slot(&self, hash: u64) -> Option<usize> {
        let slots = (0..SLOT_PROBES).map(|probe| (hash as usize).wrapping_add(probe) % self.slots);
        let mut places = slots.map(|slot| offset_of!(Set, slots) + 4 * slot);
        places.find(|&at| self.image[at..at + 4] == [0; 4])
    }

    /// The place of the zone's tail among all, if it fits.
    fn tail(&mut self, zone: &EmptyZone<'_>) -> Option<u32> {
        let image = tail_image(zone, self.edns_udp_size)?;
        if let Some(&index) = self.tails.get(&image) {
            return Some(index);
        }
        let index = self.tails.len();
        if index == TAILS {
            return None;
        }
        put(&mut self.image, offset_of!(Set, tails) + index * size_of::<Tail>(), &image);
        self.tails.insert(image, index as u32);
        Some(index as u32)
    }
}

/// The words of a name in lower case, from its end, and the hash that the program makes of them.
fn words_and_hash(name: &[u8]) -> (Vec<u64>, u64) {
    let mut hash = 0;
    let (mut words, mut last) = (Vec::new(), 0);
    for chunk in name.rchunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        let word = u64::from_le_bytes(bytes);
        words.push(word);
        match chunk.len() {
            8 => hash = mix(hash ^ word),
            _ => last = word,
        }
    }
    (words, mix(hash ^ last ^ ((name.len() as u64) << 56)))
}

/// A [`Tail`]: the records, the OPT after them, and their sums.
fn tail_image(zone: &EmptyZone<'_>, edns_udp_size: u16) -> Option<Image> {
    let records = zone.records;
    let len = records.len() + OPT_LEN;
    // The program copies blocks, the last of them at the end.
    if records.len() < TAIL_LEN_MIN || len > TAIL_LEN_MAX || zone.pointers.len() > RELOCATIONS {
        return None;
    }
    let [type_high, type_low] = rtype::OPT.to_be_bytes();
    let [size_high, size_low] = edns_udp_size.to_be_bytes();
    let opt = [0, type_high, type_low, size_high, size_low, 0, 0, 0, 0, 0, 0];
    let opt_do = [0, type_high, type_low, size_high, size_low, 0, 0, 0x80, 0, 0, 0];
    let sums = [sum(records), sum(&[records, &opt].concat()), sum(&[records, &opt_do].concat())];
    let mut image = vec![0; size_of::<Tail>()];
    put(&mut image, offset_of!(Tail, len), &(records.len() as u16).to_le_bytes());
    put(&mut image, offset_of!(Tail, relocations_len), &(zone.pointers.len() as u16).to_le_bytes());
    put(&mut image, offset_of!(Tail, edns_len), &(OPT_LEN as u16).to_le_bytes());
    for (index, sum) in sums.iter().enumerate() {
        put(&mut image, offset_of!(Tail, sums) + 2 * index, &sum.to_le_bytes());
    }
    for (index, pointer) in zone.pointers.iter().enumerate() {
        let words = [pointer.at, pointer.delta, u16::from(pointer.is_from_records), 0];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        put(&mut image, offset_of!(Tail, relocations) + 8 * index, &bytes);
    }
    put(&mut image, offset_of!(Tail, words), &[records, &opt].concat());
    Some(image)
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
        crate::zone::Zone { apex, service: Service::Configured, records }
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
        let (words, hash) = words_and_hash(b"\x02ab\x05empty\x05as112\x04arpa\0");
        assert_eq!(words.len(), 3);
        assert_eq!(words[0].to_le_bytes(), *b"12\x04arpa\0");
        assert_eq!(words[2].to_le_bytes()[..5], *b"\x02ab\x05e");
        assert_ne!(hash, words_and_hash(b"\x02ac\x05empty\x05as112\x04arpa\0").1);
        assert_eq!(sum(b"\x01\x02\x03"), 0x0201 + 3);
        assert_eq!(sum(&[0xFF; 4]), 0xFFFF);
    }
}
