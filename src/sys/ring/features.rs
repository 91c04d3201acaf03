//! What this kernel's rings have beyond what we need, for an operator to read. What we need is what the
//! self-test tries.

use std::io;

use io_uring::types::Napi;
use io_uring::{IoUring, cqueue, squeue};

/// Something that a ring of ours uses where the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFeature {
    /// The kernel's name for it.
    pub name: &'static str,
    /// The Linux that brought it.
    pub since: &'static str,
    /// Whether this one has it.
    pub is_there: bool,
}

/// What a ring of this host could have. Sets up one of two entries, and takes it down.
///
/// # Errors
///
/// If the kernel refuses to make even that.
pub fn ring_features() -> io::Result<[RingFeature; 3]> {
    let mut builder = IoUring::<squeue::Entry, cqueue::Entry>::builder();
    builder.setup_r_disabled().setup_single_issuer().setup_defer_taskrun();
    let ring = builder.build(2)?;
    let no_sqarray = builder.setup_no_sqarray().build(2).is_ok();
    let napi = ring.submitter().register_napi(&mut Napi::new().set_busy_poll_timeout(1)).is_ok();
    let feature = |name, since, is_there| RingFeature { name, since, is_there };
    Ok([
        feature("NO_SQARRAY", "6.6", no_sqarray),
        feature("NAPI", "6.9", napi),
        feature("NO_IOWAIT", "6.15", ring.params().is_feature_no_iowait()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_rings_tells_what_they_have() {
        match ring_features() {
            Ok(features) => assert!(features.iter().all(|feature| feature.since.starts_with("6."))),
            Err(error) => assert!(super::super::self_test().is_err(), "{error}"),
        }
    }
}
