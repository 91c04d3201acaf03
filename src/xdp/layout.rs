//! The memory that the program and the node share, as laid out in `program/responder.h`: these structs are
//! never values; they give the offset of each word.
#![allow(dead_code, reason = "their fields are places")]

use std::mem::{offset_of, size_of};

use crate::limits::{LISTEN_MAX, NETWORKS_MAX};
use crate::stats::labels::{SERVICE, ZONE};

/// Interfaces that one node answers on.
pub(super) const INTERFACES: usize = 8;
/// Slots for addresses.
pub(super) const TARGETS: usize = 256;
/// Probe distance of the hash table of addresses.
pub(super) const TARGET_PROBES: usize = 8;
/// Prefixes that are answered for as a whole.
pub(super) const PREFIXES: usize = 16;
/// Slots for zones, by hash. With four for each, few are far from their place.
pub(super) const SLOTS: usize = 4 * ZONES;
/// Slots that are used at least.
pub(super) const SLOTS_MIN: usize = 64;
/// Probe distance of the hash table of zones.
pub(super) const SLOT_PROBES: usize = 8;
/// Zones of one set.
pub(super) const ZONES: usize = 4096;
/// Different tails of one set.
pub(super) const TAILS: usize = 1024;
/// Ranges of addresses that get nothing.
pub(super) const DROPS: usize = 4096;
/// Labels of a zone's name.
pub(super) const LABELS: usize = 8;
/// Words of a zone's name: in its slot, and elsewhere.
pub(super) const NEAR_WORDS: usize = 4;
pub(super) const FAR_WORDS: usize = 12;
/// Bytes of a tail with its OPT at the most, and of one without at the least.
pub(super) const TAIL_LEN_MAX: usize = 256;
pub(super) const TAIL_LEN_MIN: usize = 32;
/// Words that there are for it.
pub(super) const TAIL_WORDS: usize = 36;
/// Compression pointers of a tail: its owner and the two names of a SOA.
pub(super) const RELOCATIONS: usize = 3;
/// Why a frame was answered (the first) or passed.
pub(super) const REASONS: usize = 20;
/// The last of them: it does not pass either.
pub(super) const DROPPED_REASON: usize = REASONS - 1;
/// Room for every value of the mask that a reason is cut down to, and a qtype likewise.
const REASONS_ROOM: usize = 32;
const TYPES_ROOM: usize = 512;
const SERVICES: usize = 8;
const SERIES: usize = 128;
/// Listeners that are counted; one with this number or more is not answered for.
pub(super) const LISTENERS: usize = 64;
const TYPES: usize = 32;
const BINS: usize = 64;

const _: () = assert!(SERVICE.len <= SERVICES && ZONE.len <= SERIES && LISTEN_MAX <= LISTENERS);
const _: () = assert!(NETWORKS_MAX <= DROPS && DROPS.is_power_of_two());
const _: () = assert!(2 * LISTEN_MAX <= TARGETS && SLOTS.is_power_of_two());
const _: () = assert!(size_of::<Zone>() == 64 && offset_of!(Set, zones).is_multiple_of(64), "a cache line");

#[repr(C)]
pub(super) struct Interface {
    pub(super) mac: u64,
    /// A bit for each VLAN; the first is for frames without a tag.
    pub(super) vlans: [u64; 4096 / 64],
}

#[repr(C)]
pub(super) struct Target {
    pub(super) address: [u64; 2],
    /// In network order.
    pub(super) port: u32,
    pub(super) listener: u32,
}

#[repr(C)]
pub(super) struct Prefix {
    pub(super) address: [u64; 2],
    pub(super) mask: [u64; 2],
    pub(super) port: u32,
    pub(super) listener: u32,
}

#[repr(C)]
pub(super) struct Control {
    pub(super) is_serving: u64,
    pub(super) alive_until: u64,
    pub(super) set: u64,
    pub(super) sample: u64,
    pub(super) prefixes_len: u64,
    pub(super) own: u64,
    pub(super) ports_max: u64,
    pub(super) types: [u8; TYPES_ROOM],
    pub(super) interfaces: [Interface; INTERFACES],
    pub(super) targets: [Target; TARGETS],
    pub(super) prefixes: [Prefix; PREFIXES],
    pub(super) ports: [u64; 65_536 / 64],
}

#[repr(C)]
pub(super) struct Zone {
    pub(super) words: [u64; NEAR_WORDS],
    pub(super) len: u8,
    pub(super) service: u8,
    pub(super) series: u8,
    pub(super) relocations_len: u8,
    pub(super) tail: u16,
    pub(super) tail_len: u16,
    pub(super) sums: [u16; 3],
    pub(super) far: u16,
    pub(super) relocations: [Relocation; RELOCATIONS],
    unused: u32,
}

#[repr(C)]
pub(super) struct Relocation {
    pub(super) at: u8,
    pub(super) is_from_tail: u8,
    pub(super) delta: u16,
}

#[repr(C)]
pub(super) struct Tail {
    pub(super) words: [u64; TAIL_WORDS],
}

#[repr(C)]
pub(super) struct Far {
    pub(super) words: [u64; FAR_WORDS],
}

#[repr(C)]
pub(super) struct Range {
    pub(super) first: [u64; 2],
    pub(super) last: [u64; 2],
}

#[repr(C)]
pub(super) struct Set {
    pub(super) passes_all: u64,
    pub(super) passes_cookies: u64,
    pub(super) passes_subnets: u64,
    pub(super) ruled: u64,
    pub(super) drops_len: u64,
    pub(super) depths: u64,
    pub(super) slots_shift: u64,
    pub(super) name_len_max: u64,
    pub(super) slots: [u32; SLOTS],
    pub(super) zones: [Zone; ZONES],
    pub(super) far: [Far; ZONES],
    pub(super) tails: [Tail; TAILS],
    pub(super) drops: [Range; DROPS],
}

/// Family, RD, EDNS (none, without DO, with it, nothing), cookie (none, and as `labels::COOKIE`).
pub(super) type Kinds = [[[[u64; 4]; 4]; 2]; 2];

#[repr(C)]
pub(super) struct Cpu {
    pub(super) busy: u64,
    tick: u64,
    to_sample: u64,
    pub(super) query_bytes: u64,
    pub(super) reply_bytes: u64,
    notes: [u64; 7],
    head_first: u64,
    pub(super) reasons: [u64; REASONS_ROOM],
    pub(super) listeners: [u64; LISTENERS],
    pub(super) types: [u64; TYPES],
    pub(super) query_bins: [u64; BINS],
    pub(super) reply_bins: [u64; BINS],
    pub(super) zones: [u64; SERIES],
    pub(super) kinds: [Kinds; SERVICES],
    far: [u64; 2 * FAR_WORDS],
    unused: [u64; 11],
}
