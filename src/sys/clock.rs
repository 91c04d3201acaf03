//! The clock that other programs on the host read as well, and whether it goes right.

use std::io;
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

/// Whether some program keeps the clock right (NTP, PTP), as it has told the kernel.
///
/// # Errors
///
/// If the kernel does not say, as in a container that may not ask.
pub fn is_synchronised() -> io::Result<bool> {
    // Zeroes ask for nothing to be changed.
    let mut state = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: `state` is ours, large enough, and all zeroes are a valid timex; the kernel reads and writes it
    // during the call.
    match unsafe { libc::adjtimex(state.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        state => Ok(state != libc::TIME_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_tells_or_refuses() {
        if let Err(error) = is_synchronised() {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
