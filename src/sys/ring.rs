//! The io_uring datapath: one ring for each shard, its sockets, and its slots.
//!
//! | file | what it knows |
//! |---|---|
//! | `driver.rs` | what to arm, lend, send and recycle; no unsafe code |
//! | `slots.rs` | the memory of the slots, and the owner of each |
//! | `kernel.rs` | what the driver needs of a kernel |
//! | `uring.rs` | the real kernel, and the proof of when a slot may go back |
//! | [`sim`] | a kernel that misbehaves on purpose, for tests; and a quiet one, for benches |
//! | `self_test.rs` | whether this host's ring does what we rely on |
//! | `features.rs` | what it has beyond that |

use std::fmt;
use std::io;

mod datapath;
mod driver;
mod features;
mod kernel;
mod self_test;
#[doc(hidden)]
pub mod sim;
mod slots;
mod uring;

pub use datapath::Ring;
pub use features::{RingFeature, ring_features};
pub use self_test::{SelfTest, self_test};

/// The one step of the set-up that only some ask for.
const NAPI: &str = "IORING_REGISTER_NAPI";

/// Why there is no ring to be used.
#[derive(Debug)]
pub enum RingError {
    /// The kernel refused a step of the set-up.
    Refused {
        /// The system call, or its operation.
        step: &'static str,
        /// What it said.
        error: io::Error,
    },
    /// The ring works otherwise than we rely on.
    Untrusted {
        /// What was tried and did not come out.
        trial: &'static str,
    },
}

impl RingError {
    /// What an operator can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        let Self::Refused { step, error } = self else {
            return "this kernel's io_uring has a bug; update the kernel";
        };
        if *step == NAPI {
            return "busy polling with io_uring needs Linux 6.9 or later";
        }
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "set sysctl kernel.io_uring_disabled=0 (or 1, with the node in kernel.io_uring_group), and \
                 allow io_uring in the container's seccomp profile"
            }
            Some(libc::ENOSYS | libc::EOPNOTSUPP) => {
                "the kernel lacks io_uring, or the container's seccomp profile blocks it"
            }
            Some(libc::ENOMEM) => "raise LimitMEMLOCK, or the memory limit of the container",
            Some(libc::EINVAL) => "the kernel is too old: Linux 6.1 or later is needed",
            Some(libc::EMFILE | libc::ENFILE) => "raise LimitNOFILE",
            _ => "io_uring cannot be used on this host",
        }
    }
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { step, error } => write!(f, "{step}: {error}; {}", self.hint()),
            Self::Untrusted { trial } => write!(f, "self-test failed: {trial}; {}", self.hint()),
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { error, .. } => Some(error),
            Self::Untrusted { .. } => None,
        }
    }
}
