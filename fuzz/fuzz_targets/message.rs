//! A response of an upstream.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target uses a part")]
#[path = "../bodies.rs"]
mod bodies;

fuzz_target!(|bytes: &[u8]| {
    bodies::message(bytes);
});
