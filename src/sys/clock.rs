//! Whether the clock of this host goes right.

use std::io;
use std::mem::MaybeUninit;

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
