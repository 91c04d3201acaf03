//! A file of rules.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../rules.rs"]
mod rules;

fuzz_target!(|bytes: &[u8]| {
    rules::rules(bytes);
});
