//! A stream of bytes to a TCP server in this process.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target uses a part")]
#[path = "../bodies.rs"]
mod bodies;

fuzz_target!(|bytes: &[u8]| {
    bodies::tcp_stream(bytes, bodies::tcp_server());
});
