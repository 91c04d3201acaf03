//! The timers of questions: to set one and to stop it take the same few steps however many there are, and no
//! memory but what was there at the start.
//!
//! A timer hangs in the slot of its time, some milliseconds wide; one that is further away than the wheel
//! goes round hangs in the slot of now plus one turn, and is set again when that comes.

/// Microseconds since the conductor was made.
pub type Micros = u64;

/// The width of a slot, as a power of two of microseconds: 4 ms, a fifth of the shortest time-out.
const WIDTH: u32 = 12;
/// Slots: two seconds, which nearly all time-outs are within.
const SLOTS: usize = 512;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    /// The slot that it hangs in, or [`NONE`].
    slot: u32,
}

/// Timers, by the numbers of what they are for.
#[derive(Debug)]
pub struct Wheel {
    firsts: [u32; SLOTS],
    /// A bit for each slot in which something hangs.
    used: [u64; SLOTS / 64],
    links: Vec<Link>,
    /// All slots before this one are done: counted from the beginning of time, not round.
    done: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// Bytes for each timer.
    pub const LEN: usize = size_of::<Link>();

    /// None is set.
    #[must_use]
    pub const fn new() -> Self {
        Self { firsts: [NONE; SLOTS], used: [0; SLOTS / 64], links: Vec::new(), done: 0 }
    }

    /// Sets the timer of `number`, whether or not it was set.
    pub fn set(&mut self, number: u32, at: Micros) {
        self.stop(number);
        if number as usize >= self.links.len() {
            self.links.resize(number as usize + 1, Link { before: NONE, after: NONE, slot: NONE });
        }
        // The slot in which its time lies is over when all of it is, so nothing is early.
        let turn = (at >> WIDTH).clamp(self.done, self.done + SLOTS as u64 - 1);
        let slot = turn as usize % SLOTS;
        let first = std::mem::replace(&mut self.firsts[slot], number);
        if let Some(link) = self.links.get_mut(first as usize) {
            link.before = number;
        }
        self.links[number as usize] = Link { before: NONE, after: first, slot: slot as u32 };
        self.used[slot / 64] |= 1 << (slot % 64);
    }

    /// Stops the timer of `number`, if it is set.
    pub fn stop(&mut self, number: u32) {
        let Some(link) = self.links.get_mut(number as usize) else { return };
        let Link { before, after, slot } = *link;
        if slot == NONE {
            return;
        }
        link.slot = NONE;
        let slot = slot as usize;
        match self.links.get_mut(before as usize) {
            Some(link) => link.after = after,
            None => self.firsts[slot] = after,
        }
        if let Some(link) = self.links.get_mut(after as usize) {
            link.before = before;
        }
        if self.firsts[slot] == NONE {
            self.used[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Stops one timer whose slot is over, and says which. A clock that goes back makes nothing due.
    pub fn pop(&mut self, now: Micros) -> Option<u32> {
        let over = now >> WIDTH;
        while self.done < over {
            let slot = self.done as usize % SLOTS;
            let first = self.firsts[slot];
            if first != NONE {
                self.stop(first);
                return Some(first);
            }
            // Nothing hangs further away than one turn.
            self.done = match self.next_used() {
                Some(used) => used.min(over),
                None => over,
            };
        }
        None
    }

    /// When the next slot is over in which something hangs.
    #[must_use]
    pub fn next(&self) -> Option<Micros> {
        self.next_used().map(|slot| (slot + 1) << WIDTH)
    }

    /// The first slot from `done` on in which something hangs.
    fn next_used(&self) -> Option<u64> {
        let start = self.done as usize % SLOTS;
        let mut at = 0;
        while at < SLOTS {
            let slot = (start + at) % SLOTS;
            let word = self.used[slot / 64] >> (slot % 64);
            if word != 0 {
                let ahead = at + word.trailing_zeros() as usize;
                return (ahead < SLOTS).then_some(self.done + ahead as u64);
            }
            at += 64 - slot % 64;
        }
        // The word that `start` is in was looked at from there on.
        let before = self.used[start / 64] & !(u64::MAX << (start % 64));
        let ahead = SLOTS - start % 64 + before.trailing_zeros() as usize;
        (before != 0).then_some(self.done + ahead as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::work::conductor::random::Random;

    /// Against a sorted map: nothing is early, nothing is later than a slot, and what was stopped never
    /// comes.
    #[test]
    fn timers_come_in_their_time_whatever_the_clock_does() {
        for seed in 0..20 {
            let mut random = Random::from_seed(seed);
            let (mut wheel, mut model) = (Wheel::new(), BTreeMap::<u32, Micros>::new());
            // What is set while the clock is back waits until it is where it was.
            let mut overdue = BTreeMap::<u32, Micros>::new();
            let (mut now, mut latest) = (0, 0);
            for _ in 0..20_000 {
                match random.below(8) {
                    0..=3 => {
                        let (number, ahead) = (random.below(300) as u32, random.below(2_000_000) as u64);
                        wheel.set(number, now + ahead);
                        model.insert(number, now + ahead);
                        overdue.insert(number, latest.max(now + ahead));
                    }
                    4 => {
                        let number = random.below(300) as u32;
                        wheel.stop(number);
                        model.remove(&number);
                    }
                    5 => now = u64::saturating_sub(now, random.below(50_000) as u64),
                    6 => now += random.below(20_000) as u64,
                    _ => now += [0, 1, 3_000_000][random.below(3)],
                }
                while let Some(number) = wheel.pop(now) {
                    let at = model.remove(&number).unwrap();
                    assert!(at <= now, "early");
                }
                let width = 1 << WIDTH;
                latest = latest.max(now);
                assert!(model.keys().all(|number| overdue[number] + width >= now), "late");
                match (wheel.next(), model.values().min()) {
                    (None, None) => {}
                    // A clock that went back lets timers hang where the wheel stands, which is later.
                    (Some(next), Some(_)) => assert!(next > (now >> WIDTH) << WIDTH),
                    (next, first) => panic!("{next:?} {first:?}"),
                }
            }
        }
    }

    #[test]
    fn a_time_beyond_the_wheel_comes_round_early_and_is_set_again_by_its_owner() {
        let mut wheel = Wheel::new();
        wheel.set(7, 3_600_000_000);
        let first = wheel.next().unwrap();
        assert!(first <= (SLOTS as u64) << WIDTH);
        assert_eq!(wheel.pop(first), Some(7));
        assert_eq!(wheel.next(), None);
    }
}
