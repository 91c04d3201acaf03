//! What strangers say of beacons.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../beacons.rs"]
mod beacons;

fuzz_target!(|bytes: &[u8]| {
    beacons::ticket(bytes);
    beacons::body(bytes);
    beacons::observation(bytes);
    beacons::state(bytes);
});
