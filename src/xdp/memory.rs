//! Shared memory: images of it are made as bytes, and stored as words.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::bpf::Shared;

/// The bytes of a struct, as they are laid out in memory.
pub(super) type Image = Vec<u8>;

/// Writes bytes into an image.
pub(super) fn put(image: &mut Image, at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Stores an image that begins at `at`, word by word.
pub(super) fn store(shared: &Shared, at: usize, image: &[u8]) {
    let words = &shared.words()[at / 8..];
    for (word, bytes) in words.iter().zip(image.as_chunks::<8>().0) {
        word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
    }
}

/// The word at a place in bytes.
pub(super) fn word(shared: &Shared, at: usize) -> &AtomicU64 {
    &shared.words()[at / size_of::<u64>()]
}

/// As the program does it.
pub(super) fn mix(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 32)
}
