//! The manifest of an application.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../manifests.rs"]
mod manifests;

fuzz_target!(|bytes: &[u8]| {
    manifests::manifests(bytes);
});
