//! The program's counts as those of the node: it counts per CPU only what the other counts follow from.

use std::mem::{offset_of, size_of};
use std::sync::atomic::Ordering;

use super::layout::{Cpu, DROPPED_REASON, Kinds};
use crate::limits::XDP_BINS;
use crate::stats::counters::{
    DROPPED, Family, QUERIES_BY_ADDRESS, QUERIES_BY_TYPE, QUERIES_BY_ZONE, QUERY_BYTES, QUERY_SIZES,
    REPLY_BYTES, REPLY_SIZES, Totals, XDP_PASSED,
};
use crate::stats::kinds::Kind;
use crate::stats::labels::{ADDRESS, DROPPED_LISTED, SERVICE, TYPE, ZONE};
use crate::sys::bpf::Shared;

/// Bytes of the state of one CPU.
pub(super) const CPU_LEN: usize = size_of::<Cpu>();

/// Adds up what all CPUs counted.
pub(super) fn totals(cpus: &Shared) -> Totals {
    let mut totals = Totals::default();
    for cpu in cpus.words().chunks_exact(CPU_LEN / 8) {
        let at = |place: usize| cpu[place / 8].load(Ordering::Relaxed);
        add_queries(&mut totals, |index| at(offset_of!(Cpu, kinds) + 8 * index));
        let mut add = |family: &'static Family, len: usize, place: usize| {
            (0..len).for_each(|index| totals.add(family.at([index]), at(place + 8 * index)));
        };
        add(QUERIES_BY_ZONE, ZONE.len, offset_of!(Cpu, zones));
        add(QUERIES_BY_ADDRESS, ADDRESS.len, offset_of!(Cpu, listeners));
        add(QUERIES_BY_TYPE, TYPE.len, offset_of!(Cpu, types));
        // Transport is the first label of what follows, and UDP its first value.
        add(QUERY_BYTES, 1, offset_of!(Cpu, query_bytes));
        add(REPLY_BYTES, 1, offset_of!(Cpu, reply_bytes));
        for bin in 0..XDP_BINS {
            totals.add(QUERY_SIZES.at([0, bin]), at(offset_of!(Cpu, query_bins) + 8 * bin));
            totals.add(REPLY_SIZES.at([0, bin]), at(offset_of!(Cpu, reply_bins) + 8 * bin));
        }
        totals.add(DROPPED.at([DROPPED_LISTED]), at(offset_of!(Cpu, reasons) + 8 * DROPPED_REASON));
        // The first reason is that it was answered.
        for reason in 1..DROPPED_REASON {
            totals.add(XDP_PASSED.at([reason - 1]), at(offset_of!(Cpu, reasons) + 8 * reason));
        }
    }
    totals
}

/// Adds what is counted by kind: `count` has them by place.
fn add_queries(totals: &mut Totals, count: impl Fn(usize) -> u64) {
    let in_service = size_of::<Kinds>() / 8;
    for index in 0..SERVICE.len * in_service {
        let queries = count(index);
        if queries == 0 {
            continue;
        }
        let [service, rest] = [index / in_service, index % in_service];
        let [family, rd, edns, cookie] = [rest / 32, rest / 16 % 2, rest / 4 % 4, rest % 4];
        let (recursion_desired, is_nxdomain) = (rd == 1, true);
        let kind = Kind { service, transport: 0, family, recursion_desired, edns, cookie, is_nxdomain };
        totals.add_kind(kind, queries);
    }
}
