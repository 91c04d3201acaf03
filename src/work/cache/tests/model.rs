//! The cache against a model with plain rules, by operations that are chosen by chance; and what it takes.

use std::collections::HashMap;

use super::*;
use crate::dns::consts::rcode;
use crate::serve::tests::Random;

/// What the model knows of a key: all in seconds since the beginning.
#[derive(Default)]
struct Known {
    answer: Option<Kept>,
    looks: u32,
    is_fetched: bool,
    failed_until: f64,
    failures: i32,
    held_until: f64,
}

impl Known {
    fn fail(&mut self, at: f64) {
        if at < self.failed_until {
            return;
        }
        if at - self.failed_until > 60.0 {
            self.failures = 0;
        }
        self.failed_until = at + (5.0 * 2.0_f64.powi(self.failures)).min(60.0);
        self.failures += 1;
        self.held_until = at + 30.0;
    }

    fn put(&mut self, answer: Option<Kept>) {
        *self = Self { answer, ..Self::default() };
    }

    /// What is found, and the first TTL.
    fn look(&mut self, at: f64, stale: f64) -> (Found, u32, u8) {
        let has_failed = at < self.failed_until;
        let none = (if has_failed { Found::Failure } else { Found::Miss }, 0, 0);
        let Some((stored, life, ttl, last)) = self.answer else { return none };
        let age = (at - stored).max(0.0);
        if age < life {
            self.looks += 1;
            let is_wanted = self.looks >= 3 && !self.is_fetched && (life - age) * 10.0 <= life;
            self.is_fetched |= is_wanted;
            #[expect(clippy::cast_sign_loss, reason = "it is 0 at least")]
            let age = age as u32;
            (if is_wanted { Found::Prefetch } else { Found::Fresh }, ttl - age, last)
        } else if age < life + stale {
            let is_held = has_failed || at < self.held_until;
            (if is_held { Found::Held } else { Found::Stale }, 30, last)
        } else {
            none
        }
    }
}

/// What a model keeps of an answer: when it was stored, for how long, its first TTL and its last byte.
type Kept = (f64, f64, u32, u8);

/// Stores a response by chance, and what is to be known of it; nothing if the cache is full.
fn store(
    dice: &mut Random,
    bench: &mut Bench,
    asked: &Key<'_>,
    is_negative: bool,
    at: f64,
) -> Option<Option<Kept>> {
    let (stored, expected, kept) = if is_negative {
        let minimum = dice.pick(&[0, 7, 60]);
        let life = minimum.min(30);
        let kept = (at, life.into(), life, rcode::NXDOMAIN | 0x80);
        (bench.store(asked, NXDOMAIN, &[soa(30, minimum)]), Stored::Negative, kept)
    } else {
        let (ttl, last) = (dice.pick(&[0, 1, 5, 30, 100]), dice.below(200) as u8 + 50);
        let mut records: Vec<Record> = (0..dice.below(4)).map(|_| soa(777, 777)).collect();
        records.insert(0, Record(0, asked.qtype, ttl, vec![3, last, last, last]));
        (bench.store(asked, NOERROR, &records), Stored::Positive, (at, ttl.into(), ttl, last))
    };
    if stored == Stored::No("the cache is full") {
        return None;
    }
    assert_eq!(stored == expected, kept.2 > 0, "{stored:?}");
    Some((kept.2 > 0).then_some(kept))
}

/// Operations in which time passes, and at times passes backwards. With `small` entries must make room, and
/// then what is missing is no fault; everything else is as the model has it.
fn against_a_model(seed: u64, size: usize, names: usize, is_small: bool) {
    const STALE: f64 = 500.0;
    let mut dice = Random::seeded(seed);
    let mut bench = Bench::new(|settings| {
        settings.size = size;
        settings.stale = Duration::from_secs_f64(STALE);
    });
    let wires: Vec<Vec<u8>> =
        (0..names).map(|number| wire(&format!("n{number}.z{}.org", number % 7))).collect();
    let mut model: HashMap<(usize, u16, bool), Known> = HashMap::new();
    let (epoch, mut at) = (bench.now, 0.0_f64);
    bench.cache.look(&key(&wires[0]), epoch, &mut bench.out);
    let (mut seen, mut missing) = ([0_u32; 6], 0);
    for step in 0..60_000 {
        at = (at + dice.pick(&[0.0, 0.0, 0.0, 0.25, 0.25, 1.0, 2.0, -1.0])).max(0.0);
        if dice.below(2000) == 0 {
            at += 1000.0;
        }
        bench.now = epoch + Duration::from_secs_f64(at);
        let number = dice.below(names).min(dice.below(names));
        let qtype = dice.pick(&[rtype::A, rtype::TXT]);
        let dnssec_ok = dice.below(2) == 0;
        let asked = Key { qtype, dnssec_ok, ..key(&wires[number]) };
        let known = model.entry((number, qtype, dnssec_ok)).or_default();
        match dice.below(12) {
            0..7 => {
                let expected = known.look(at, STALE);
                let found = bench.look(&asked);
                if is_small && found == Found::Miss && expected.0 != Found::Miss {
                    *known = Known::default();
                    missing += 1;
                } else {
                    assert_eq!(found, expected.0, "step {step}");
                    seen[found as usize] += 1;
                    if !bench.out.is_empty() {
                        assert_eq!(ttls(&bench.out)[0], expected.1, "step {step}");
                        assert!(bench.out.contains(&expected.2), "step {step}");
                    }
                }
            }
            kind @ 7..10 => match store(&mut dice, &mut bench, &asked, kind == 9, at) {
                Some(answer) => known.put(answer),
                None => {
                    assert!(is_small, "step {step}: there is room");
                    *known = Known::default();
                }
            },
            10 if dice.below(40) == 0 => {
                let subtree = dice.below(2) == 0;
                let zone = wire(&format!("z{}.org", number % 7));
                bench.cache.purge(if subtree { &zone } else { &wires[number] }, subtree);
                let is_gone = |of: usize| if subtree { of % 7 == number % 7 } else { of == number };
                model.retain(|(of, ..), _| !is_gone(*of));
            }
            10 => {
                // Of a key that is not there nothing is noted; for the model that makes no difference but
                // here.
                if known.answer.is_some() || known.failures > 0 {
                    known.held_until = at + 30.0;
                }
                bench.cache.stale_tried(&asked, bench.now);
            }
            _ => {
                known.fail(at);
                bench.cache.fail(&asked, bench.now);
            }
        }
        assert!(bench.cache.bytes() <= size, "step {step}: {} bytes", bench.cache.bytes());
        // What had to make room is not known any more.
        if is_small && bench.cache.take_evicted() > 0 {
            model.retain(|&(number, qtype, dnssec_ok), _| {
                let key = Key { qtype, dnssec_ok, ..key(&wires[number]) };
                Probe::new(&key).is_some_and(|probe| bench.cache.table.contains_key(&probe))
            });
        }
    }
    assert!(is_small || seen.iter().all(|&times| times > 50), "all of it was seen: {seen:?}");
    assert!(missing < 10_000, "it keeps something");
}

#[test]
fn it_does_what_a_model_does() {
    for seed in 1..4 {
        against_a_model(seed, 4 << 20, 12, false);
    }
}

#[test]
fn it_does_so_when_entries_make_room() {
    for seed in 4..6 {
        against_a_model(seed, 20 << 10, 60, true);
    }
}

#[test]
fn bytes_stay_within_the_size_whatever_comes() {
    for size in [4 << 10, 64 << 10, 1 << 20, 3 << 20, 5_000_000] {
        let mut dice = Random::seeded(size as u64);
        let mut bench = Bench::new(|settings| settings.size = size);
        let map = bench.cache.table.memory_used().map;
        let mut evicted = 0;
        for number in 0..40_000_u32 {
            let qname = wire(&format!("{}.org", if dice.below(3) == 0 { number } else { number % 100 }));
            let key = key(&qname);
            match dice.below(4) {
                0 => bench.cache.fail(&key, bench.now),
                1 => {
                    let long = Record(2, rtype::TXT, 60, vec![b'x'; dice.below(3000)]);
                    bench.store(&key, NOERROR, &[a(60, 1), long]);
                }
                2 => drop(bench.store(&key, NXDOMAIN, &[soa(60, 60)])),
                _ => drop(bench.look(&key)),
            }
            evicted += bench.cache.take_evicted();
            assert!(bench.cache.bytes() <= size, "{number}: {} of {size}", bench.cache.bytes());
        }
        let used = bench.cache.table.memory_used();
        assert_eq!(used.map, map, "the map was large enough from the start");
        let slots = used.entries / SLOT_LEN;
        assert_eq!(slots * SLOT_LEN, used.entries);
        assert!(slots >= bench.cache.entries() && evicted > 0);
        assert!(bench.cache.bytes() > size / 2, "{} of {size} are used", bench.cache.bytes());
    }
}
