//! Each system call fails once, with its likeliest error: at the start, and while the daemon serves. The
//! whole matrix is in tests/soak.

use crate::fault::{alone, report, skipped};
use crate::inject::{Fault, at_the_start, failing, has_strace, look, named, while_it_serves};

#[test]
fn each_fails_once() {
    let _turn = alone();
    if !has_strace() {
        return skipped("there is no strace, or it may not trace here");
    }
    let mut failures = Vec::new();
    for datapath in ["auto", "mmsg"] {
        let seen = look(datapath);
        let mut ends = [0; 4];
        for (call, errors) in failing(&seen) {
            let first = 1 + seen.loader.get(call).copied().unwrap_or_default();
            let at = |when| Fault { call: call.to_owned(), errno: errors[0], when, datapath };
            // The loader's own are left alone: without them there is no program.
            if seen.all[call] >= first {
                match named(&at(first.to_string()), at_the_start) {
                    Ok(serves) => ends[usize::from(serves)] += 1,
                    Err(failure) => failures.push(failure),
                }
            }
            match named(&at("1+2".to_owned()), while_it_serves) {
                Ok(lives) => ends[2 + usize::from(lives)] += 1,
                Err(failure) => failures.push(failure),
            }
        }
        report(&format!("syscalls_{datapath}_refused_served_ended_lived"), format!("{ends:?}"));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
