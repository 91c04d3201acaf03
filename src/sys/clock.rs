//! The clock that other programs on the host read as well.

use std::mem::MaybeUninit;

/// CLOCK_MONOTONIC in microseconds, which the service manager compares with its own.
#[must_use]
pub fn monotonic_usec() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel writes one timespec to `now`, which is ours, during the call only.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    debug_assert_eq!(result, 0, "the clock is always there");
    // SAFETY: all zeros are a timespec too.
    let now = unsafe { now.assume_init() };
    now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000
}
