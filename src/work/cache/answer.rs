//! An answer that is kept: a whole message, and the places of its TTLs.

use super::settings::Settings;
use crate::dns::consts::{HEADER_LEN, TTL_MAX, flag};
use crate::dns::message::Message;

/// Milliseconds since the cache has begun.
pub(super) type Millis = u64;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Two bytes with the number of TTLs, two for the place of each in the message, the message.
    bytes: Box<[u8]>,
    /// When it was stored.
    stored: Millis,
    /// How many seconds it is fresh.
    lifetime: u32,
    /// How often it was asked for, as far as that is counted.
    pub(super) hits: u8,
    /// Somebody was told to fetch it again.
    pub(super) is_fetched: bool,
}

/// How fresh an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Its time has not passed.
    Fresh,
    /// Nor has it, but a tenth of it is left at the most.
    Late,
    /// It has, but not yet so long ago that the answer is good for nothing.
    Stale,
    /// It is good for nothing.
    Over,
}

impl Answer {
    /// Packs `message`, whose OPT was taken out. TTLs are between `least` and `most`.
    pub(super) fn new(
        message: &[u8],
        read: &Message,
        lifetime: u32,
        (least, most): (u32, u32),
        stored: Millis,
    ) -> Self {
        let mut bytes = Vec::with_capacity(2 + 2 * read.ttls.len() + message.len());
        bytes.extend_from_slice(&(read.ttls.len() as u16).to_ne_bytes());
        bytes.extend(read.ttls_without_opt().flat_map(u16::to_ne_bytes));
        bytes.extend_from_slice(message);
        let mut answer = Self { bytes: bytes.into(), stored, lifetime, hits: 0, is_fetched: false };
        let (places, message) = answer.parts_mut();
        for place in places.iter() {
            let place = usize::from(u16::from_ne_bytes(*place));
            if let Some(ttl) = message.get_mut(place..place + 4).and_then(<[u8]>::first_chunk_mut) {
                *ttl = u32::from_be_bytes(*ttl).max(least).min(most).to_be_bytes();
            }
        }
        // The ID is another one each time, and what comes from a cache is not authoritative.
        let flags = u16::from_be_bytes([message[2], message[3]]) & !flag::AA;
        message[..2].fill(0);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        answer
    }

    fn parts(&self) -> (&[[u8; 2]], &[u8]) {
        let places_len = 2 * usize::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]));
        let (places, message) = self.bytes[2..].split_at(places_len);
        (places.as_chunks().0, message)
    }

    fn parts_mut(&mut self) -> (&mut [[u8; 2]], &mut [u8]) {
        let places_len = 2 * usize::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]));
        let (places, message) = self.bytes[2..].split_at_mut(places_len);
        (places.as_chunks_mut().0, message)
    }

    /// Bytes on the heap.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The response code.
    pub(super) fn rcode(&self) -> u16 {
        u16::from(self.parts().1[3]) & flag::RCODE
    }

    /// Whole seconds since it was stored.
    pub(super) fn age(&self, now: Millis) -> u64 {
        now.saturating_sub(self.stored) / 1000
    }

    /// Seconds for which it is fresh.
    pub(super) fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// When its time passes.
    pub(super) fn ends(&self) -> Millis {
        self.stored.saturating_add(u64::from(self.lifetime) * 1000)
    }

    pub(super) fn freshness(&self, settings: &Settings, now: Millis) -> Freshness {
        let ends = self.ends();
        if now < ends {
            let is_late = (ends - now).saturating_mul(10) <= u64::from(self.lifetime) * 1000;
            if is_late { Freshness::Late } else { Freshness::Fresh }
        } else if u128::from(now - ends) < settings.stale.as_millis() {
            Freshness::Stale
        } else {
            Freshness::Over
        }
    }

    /// Writes it with what is left of its TTLs.
    pub(super) fn write(&self, now: Millis, out: &mut Vec<u8>) {
        let age = self.age(now).min(TTL_MAX.into()) as u32;
        self.write_with(out, |ttl| ttl.saturating_sub(age));
    }

    /// Writes it with this TTL, and no word of having been validated: the signatures' time may have passed
    /// too.
    pub(super) fn write_stale(&self, ttl: u32, out: &mut Vec<u8>) {
        self.write_with(out, |_| ttl);
        if let Some(low) = out.get_mut(3) {
            *low &= !(flag::AD as u8);
        }
    }

    fn write_with(&self, out: &mut Vec<u8>, change: impl Fn(u32) -> u32) {
        let (places, message) = self.parts();
        debug_assert!(out.is_empty() && message.len() >= HEADER_LEN);
        out.extend_from_slice(message);
        for place in places {
            let place = usize::from(u16::from_ne_bytes(*place));
            if let Some(ttl) = out.get_mut(place..place + 4).and_then(<[u8]>::first_chunk_mut) {
                *ttl = change(u32::from_be_bytes(*ttl)).to_be_bytes();
            }
        }
    }
}
