//! Seeded input for fuzzing: packets by a grammar, and any bytes by mutation.

/// Numbers that look like chance and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Bytes that mean something in packets: lengths at their edges, pointers, label types, types and classes.
const BYTES: [u8; 16] = [0, 1, 2, 6, 12, 28, 39, 41, 63, 64, 0x7F, 0x80, 0xC0, 0xFA, 0xFE, 0xFF];

/// One of `corpus`, damaged up to four times; at times not at all. `words` are put in as they are.
pub fn mutated(dice: &mut Dice, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = dice.pick(corpus).clone();
    for _ in 0..dice.below(5) {
        mutate(dice, &mut bytes, corpus, words);
    }
    bytes
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&[u8]]) {
    let at = dice.below(bytes.len() + 1);
    let until = (at + 1 + dice.below(16)).min(bytes.len());
    match dice.below(9) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, *dice.pick(&BYTES)),
        2 => drop(bytes.drain(at..until)),
        3 => {
            let again = bytes[at..until].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            // The end of another one behind the beginning of this.
            let other = dice.pick(corpus);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[dice.below(other.len() + 1)..]);
        }
        5 if !words.is_empty() => {
            let word = dice.pick(words).to_vec();
            bytes.splice(at..at, word);
        }
        6 => bytes.extend((0..dice.below(300)).map(|_| 0_u8)),
        _ => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = match dice.below(3) {
                    0 => *byte ^ 1 << dice.below(8),
                    1 => *dice.pick(&BYTES),
                    _ => dice.roll() as u8,
                };
            }
        }
    }
}

/// Names that lead somewhere: our zones, their edges, the operator's zone, and elsewhere; in wire form.
const SUFFIXES: [&[u8]; 15] = [
    b"\x0210\x07in-addr\x04arpa\0",
    b"\x03168\x03192\x07in-addr\x04arpa\0",
    b"\x0216\x03172\x07in-addr\x04arpa\0",
    b"\x05empty\x05as112\x04arpa\0",
    b"\x08hostname\x05as112\x03net\0",
    b"\x08hostname\x05as112\x04arpa\0",
    b"\x04home\x04arpa\0",
    b"\x02id\x06server\0",
    b"\x07version\x04bind\0",
    b"\x07in-addr\x04arpa\0",
    b"\x07example\x03com\0",
    b"\x03dna\x07example\x03com\0",
    b"\x03far\x07example\x03com\0",
    b"\x01s\x07example\x03com\0",
    b"\0",
];

/// Labels below them; those of the operator's zone among them.
const LABELS: [&[u8]; 16] = [
    b"1", b"255", b"www", b"wild", b"a", b"ent", b"deep", b"loop", b"chain", b"cname", b"dna", b"sub", b"*",
    b"\0", b"big", b"\xFF.\\",
];

const TYPES: [u16; 24] =
    [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 41, 43, 46, 47, 48, 0, 128, 249, 250, 251, 252, 255, 256, 65535];

/// A packet that is mostly sound.
pub fn packet(dice: &mut Dice) -> Vec<u8> {
    let mut packet = vec![dice.roll() as u8, dice.roll() as u8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    if dice.once_in(8) {
        packet[2] = dice.roll() as u8 & 0x7F;
        packet[3] = dice.roll() as u8;
    }
    name(dice, &mut packet);
    packet.extend(dice.pick(&TYPES).to_be_bytes());
    let class = if dice.once_in(4) { *dice.pick(&[0, 3, 4, 254, 255, 65535]) } else { 1_u16 };
    packet.extend(class.to_be_bytes());
    if dice.once_in(8) {
        let section = *dice.pick(&[7, 9, 11]);
        packet[section] += 1;
        name(dice, &mut packet);
        packet.extend([0, *dice.pick(&BYTES), 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
    }
    if !dice.once_in(3) {
        opt(dice, &mut packet);
    }
    if dice.once_in(16) {
        tsig(dice, &mut packet);
    }
    packet
}

fn name(dice: &mut Dice, packet: &mut Vec<u8>) {
    let labels = if dice.once_in(20) { dice.below(130) } else { dice.below(4) };
    for _ in 0..labels {
        let label = *dice.pick(&LABELS);
        packet.push(label.len() as u8);
        packet.extend(label);
    }
    if dice.once_in(20) {
        packet.push(63);
        packet.extend([b'x'; 63]);
    }
    let start = packet.len();
    packet.extend(*dice.pick(&SUFFIXES));
    if dice.once_in(3) {
        packet[start..].make_ascii_uppercase();
    }
}

fn opt(dice: &mut Dice, packet: &mut Vec<u8>) {
    packet[11] += 1;
    let size = *dice.pick(&[0_u16, 511, 512, 513, 1232, 1233, 4096, 65535]);
    let version = u8::from(dice.once_in(12));
    packet.extend([0, 0, 41]);
    packet.extend(size.to_be_bytes());
    packet.extend([0, version, *dice.pick(&[0, 0x80, 0xFF]), 0]);
    let mut options = Vec::new();
    for _ in 0..dice.below(4) {
        let len = dice.below(41);
        options.extend(dice.pick(&[3_u16, 8, 9, 10, 11, 12, 15, 65001]).to_be_bytes());
        options.extend((len as u16).to_be_bytes());
        options.extend((0..len).map(|_| dice.roll() as u8));
    }
    packet.extend((options.len() as u16).to_be_bytes());
    packet.extend(options);
}

fn tsig(dice: &mut Dice, packet: &mut Vec<u8>) {
    packet[11] += 1;
    let mac_len = dice.below(65);
    packet.extend(b"\x03key\x07example\0\0\xFA\0\xFF\0\0\0\0");
    packet.extend(((13 + 16 + mac_len) as u16).to_be_bytes());
    packet.extend(b"\x0Bhmac-sha256\0\0\0\x65\0\0\0\x01\x2C");
    packet.extend((mac_len as u16).to_be_bytes());
    packet.extend((0..mac_len).map(|_| dice.roll() as u8));
    packet.extend([packet[0], packet[1], 0, 0, 0, 0]);
}
