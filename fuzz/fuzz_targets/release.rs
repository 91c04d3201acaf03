//! The manifest of a release, a pointer, a list of keys.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../releases.rs"]
mod releases;

fuzz_target!(|bytes: &[u8]| {
    releases::releases(bytes);
});
