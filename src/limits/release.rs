//! Bounds of releases, and of what says which one a node should have.

use super::{CONFIG_LEN_MAX, PACK_LEN_MAX, ZONE_FILE_LEN_MAX};

/// Files of a release: twenty times what the largest fleets have as zone files. Who has more zones has packs.
pub const RELEASE_FILES_MAX: usize = 16 << 10;
/// Bytes of a manifest: as many files, each with a path of 200 bytes, written for people.
pub const RELEASE_MANIFEST_LEN_MAX: usize = 8 << 20;
const _: () = assert!(RELEASE_MANIFEST_LEN_MAX / RELEASE_FILES_MAX >= 512);
/// Bytes of one of its files: the largest that a node would read.
pub const RELEASE_FILE_LEN_MAX: u64 = PACK_LEN_MAX;
const _: () = assert!(RELEASE_FILE_LEN_MAX >= ZONE_FILE_LEN_MAX && RELEASE_FILE_LEN_MAX >= CONFIG_LEN_MAX);
/// Bytes of all of its files: nodes keep three releases, on disks of virtual machines.
pub const RELEASE_LEN_MAX: u64 = 2 << 30;
const _: () = assert!(RELEASE_LEN_MAX >= RELEASE_FILE_LEN_MAX);
/// Bytes of a path within a release, and of one of its parts, which is Linux's own bound.
pub const RELEASE_PATH_LEN_MAX: usize = 512;
/// See [`RELEASE_PATH_LEN_MAX`].
pub const RELEASE_PATH_PART_LEN_MAX: usize = 255;

/// Characters of the name of a fleet, a colo or a node: one label of DNS, one token of a subject.
pub const LABEL_LEN_MAX: usize = 63;

/// Public keys of a fleet: the people who may publish, each of whom has one.
pub const RELEASE_KEYS_MAX: usize = 16;
/// Signatures next to what they are for. While keys change, those of the list before and the one after sign.
pub const RELEASE_SIGNATURES_MAX: usize = 2 * RELEASE_KEYS_MAX;
/// Bytes of all of them. One takes some 300, of which the trusted comment may be longer.
pub const RELEASE_SIGNATURES_LEN_MAX: usize = 32 << 10;
const _: () = assert!(RELEASE_SIGNATURES_LEN_MAX / RELEASE_SIGNATURES_MAX >= 1 << 10);
/// Changes of the keys that a node follows: one in each month of twenty years.
pub const RELEASE_ERAS_MAX: usize = 240;

/// Bytes of the line of a pointer, or of a roll, which is signed.
pub const SIGNED_LINE_LEN_MAX: usize = 16 << 10;
/// Bytes of the file of one, or of its value in a store.
pub const POINTER_LEN_MAX: usize = SIGNED_LINE_LEN_MAX + 1 + RELEASE_SIGNATURES_LEN_MAX;
/// Characters of a reason, which is for people.
pub const REASON_LEN_MAX: usize = 400;
/// Characters of who has made something, and when, as they say it.
pub const MADE_LEN_MAX: usize = 100;
/// Seconds for which a node may watch itself after it took a release: a day has all of its hours.
pub const BAKE_MAX_SECONDS: u32 = 86_400;
/// Seconds for which a node may be drained: 30 days. Who wants longer withdraws it from the fleet.
pub const DRAIN_MAX_SECONDS: u32 = 30 * 86_400;

/// Files and directories of a node's directory that `as112d doctor` looks at: some releases as they usually
/// are.
pub const RELEASE_FOLDER_LOOKED_AT_MAX: usize = 10_000;
