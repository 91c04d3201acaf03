//! The labels of what is counted because of clients: subnets, points of presence, identities, beacons.

use super::labels::{Label, Values};
use crate::dns::consts::rtype;
use crate::limits::{POOL_SERIES_MAX, POP_SERIES_MAX};

/// What became of a client's subnet: the values of [`Use`](crate::tailor::Use), and `formerr`.
pub static ECS_RESULT: Label =
    Label::fixed("result", &["none", "used", "unmapped", "private", "zero", "ignored", "formerr"]);
/// The value of [`ECS_RESULT`] for a subnet that nothing depends on.
pub const ECS_IGNORED: u8 = 5;
/// The value of [`ECS_RESULT`] for one that is not sound.
pub const ECS_FORMERR: u8 = 6;
/// How many bits of an address.
pub static BITS: Label = Label { name: "bits", len: 129, values: Values::Numbers };
/// A pool of tailored names.
pub static POOL: Label = Label { name: "pool", len: POOL_SERIES_MAX + 1, values: Values::Pools };
/// A point of presence.
pub static POP: Label = Label { name: "pop", len: POP_SERIES_MAX + 1, values: Values::Pops };
/// What decided: the values of [`Layer`](crate::tailor::Layer), and `all_down`, where no point of presence is
/// up.
pub static TAILORED_LAYER: Label = Label::fixed(
    "by",
    &[
        "networks",
        "places",
        "as",
        "country",
        "continent",
        "nearest",
        "by_hand",
        "learned",
        "default",
        "all_down",
    ],
);
/// See [`TAILORED_LAYER`].
pub const TAILORED_ALL_DOWN: usize = 9;
/// What was asked of an identity.
pub static IDENTITY_TYPE: Label = Label::fixed("type", &["A", "AAAA", "TXT", "other"]);
/// The value of [`IDENTITY_TYPE`] for a type.
#[must_use]
pub const fn identity_value(qtype: u16) -> usize {
    match qtype {
        rtype::A => 0,
        rtype::AAAA => 1,
        rtype::TXT => 2,
        _ => 3,
    }
}
/// What became of the hit of a beacon.
pub static BEACON: Label =
    Label::fixed("result", &["joined", "late", "unknown", "twice", "mac", "network", "full"]);
