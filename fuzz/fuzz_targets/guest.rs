//! A guest application, from its side of the interface.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../guests.rs"]
mod guests;

fuzz_target!(|bytes: &[u8]| {
    guests::guest(bytes);
});
