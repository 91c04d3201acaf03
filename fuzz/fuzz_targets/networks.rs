//! A file of networks, of learned resolvers or of measured places: the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../networks.rs"]
mod networks;

use networks::Kind;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let kind = [Kind::Networks, Kind::Learned, Kind::Places][usize::from(first % 3)];
    networks::networks(bytes, kind);
});
