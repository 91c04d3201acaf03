//! Replies of an upstream, each with its length before it.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "each target uses a part")]
#[path = "../bodies.rs"]
mod bodies;
#[path = "../upstream.rs"]
mod upstream;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let replies = std::iter::from_fn(|| {
        let (&[high, low], after) = rest.split_first_chunk()?;
        let (reply, after) = after.split_at(after.len().min(u16::from_be_bytes([high, low]).into()));
        rest = after;
        Some(reply)
    });
    upstream::replies(replies);
});
