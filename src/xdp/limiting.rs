//! What the program leaves to the sockets or drops, because of forged sources, rules or clients. It is a part
//! of the set, so it changes at once with the answers.

use std::mem::{offset_of, size_of};

use super::layout::{LISTENERS, Range, Set};
use super::memory::{Image, put};
use crate::serve::snapshot::Snapshot;

/// Puts it into the image of a set.
pub(super) fn put_limits(image: &mut Image, snapshot: &Snapshot) {
    let mut put_word = |at: usize, word: u64| put(image, at, &word.to_le_bytes());
    put_word(offset_of!(Set, passes_all), u64::from(snapshot.rate_limit().is_some()));
    put_word(offset_of!(Set, passes_cookies), u64::from(snapshot.looks_at_cookies()));
    put_word(offset_of!(Set, passes_subnets), u64::from(snapshot.tailor().is_some()));
    put_word(offset_of!(Set, ruled), ruled(snapshot));
    let Some(networks) = snapshot.dropped_networks() else { return };
    // An IPv4 address is a mapped one.
    let mapped = |address: u32| 0xFFFF_0000_0000 | u128::from(address);
    let ipv4 = networks.ipv4().iter().map(|&(first, last)| (mapped(first), mapped(last)));
    let mut ranges: Vec<(u128, u128)> = ipv4.chain(networks.ipv6().iter().copied()).collect();
    ranges.sort_unstable();
    put_word(offset_of!(Set, drops_len), ranges.len() as u64);
    for (index, (first, last)) in ranges.into_iter().enumerate() {
        let at = offset_of!(Set, drops) + index * size_of::<Range>();
        for (half, word) in [first >> 64, first, last >> 64, last].into_iter().enumerate() {
            put_word(at + 8 * half, word as u64);
        }
    }
}

/// A bit for each listener whose queries rules may concern. The program asks no rules.
pub(super) fn ruled(snapshot: &Snapshot) -> u64 {
    let is_ruled = |listener: usize| !snapshot.policy().is_free(listener);
    (0..LISTENERS).fold(0, |ruled, listener| ruled | u64::from(is_ruled(listener)) << listener)
}
