//! Whatever happens to bytes on their way: nothing panics, and nothing is taken that was not signed.

use super::*;

/// Numbers that look like chance and are the same in each run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    /// Some bytes other than these: a few changed, cut out, put in twice, or the end lost.
    fn spoil(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        while bytes == good {
            for _ in 0..=self.below(3) {
                let at = self.below(bytes.len().max(1));
                let end = (at + 1 + self.below(8)).min(bytes.len());
                match self.below(4) {
                    0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                    1 => bytes.truncate(at),
                    2 if at < end => drop(bytes.drain(at..end)),
                    _ => {
                        let again = bytes[at.min(end)..end].to_vec();
                        bytes.splice(at..at, again);
                    }
                }
            }
        }
        bytes
    }
}

const STEPS: usize = 4000;

#[test]
fn a_manifest_that_was_changed_is_never_taken() {
    let people = [Person::new(), Person::new()];
    let eras = Eras::new(label("as112"), keys(2, &[&people[0], &people[1]]));
    let good = manifest(7).to_bytes();
    let signatures = signed(&good, &[&people[0], &people[1]]);
    assert!(eras.manifest(&good, &signatures).is_ok());
    let mut dice = Dice(112);
    for _ in 0..STEPS {
        assert!(eras.manifest(&dice.spoil(&good), &signatures).is_err());
    }
}

#[test]
fn signatures_that_were_changed_sign_nothing_more() {
    let people = [Person::new(), Person::new()];
    let eras = Eras::new(label("as112"), keys(2, &[&people[0], &people[1]]));
    let good = manifest(7).to_bytes();
    let signatures = signed(&good, &[&people[0], &people[1]]);
    let mut dice = Dice(113);
    let mut taken = 0;
    for _ in 0..STEPS {
        let Ok(spoiled) = String::from_utf8(dice.spoil(signatures.as_bytes())) else { continue };
        // The first comment of a signature is not signed; what is taken is still what was signed, by both.
        if let Ok(read) = eras.manifest(&good, &spoiled) {
            taken += 1;
            assert_eq!(read.by.len(), 2);
        }
    }
    assert!(taken < STEPS / 2, "{taken}");
}

#[test]
fn a_pointer_that_was_changed_is_never_taken() {
    let ann = Person::new();
    let eras = Eras::new(label("as112"), keys(1, &[&ann]));
    let written = pointer("fleet", 3, Some(name(2)));
    let good = file_of(&written, &[&ann]);
    let mut dice = Dice(114);
    for _ in 0..STEPS {
        if let Ok(read) = eras.pointer(&dice.spoil(&good)) {
            assert_eq!(read.content, written);
        }
    }
}

#[test]
fn what_is_parsed_can_be_written_and_is_the_same() {
    let (manifest, line) = (manifest(7).to_bytes(), pointer("fleet", 3, Some(name(2))).to_line());
    let mut dice = Dice(115);
    let (mut manifests, mut pointers) = (0, 0);
    for _ in 0..STEPS {
        if let Ok(read) = Manifest::parse(&dice.spoil(&manifest)) {
            manifests += 1;
            assert_eq!(Manifest::parse(&read.to_bytes()), Ok(read));
        }
        let Ok(spoiled) = String::from_utf8(dice.spoil(line.as_bytes())) else { continue };
        if let Ok(read) = Pointer::parse(&spoiled) {
            pointers += 1;
            assert_eq!(Pointer::parse(&read.to_line()), Ok(read));
        }
    }
    assert!(manifests > 20 && pointers > 20, "{manifests} manifests, {pointers} pointers");
}
