//! The CPUs that we may use, and pinning a thread to one of them.

use std::io;
use std::thread;

use core_affinity::CoreId;

/// CPUs of the largest affinity mask that we read: Linux's own bound (CONFIG_NR_CPUS) is 8192.
const CPUS_MAX: usize = 8192;
const WORD_BITS: usize = u64::BITS as usize;

/// An affinity mask as the kernel has it: one bit for each CPU.
type Mask = [u64; CPUS_MAX / WORD_BITS];

/// How many threads can run at once: the CPUs of the affinity mask, bounded by the CPU quota of the control
/// group (cpu.max of version 2, cpu.cfs_quota_us of version 1), rounded down; at least one.
#[must_use]
pub fn allowed_parallelism() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Pins the calling thread to one CPU, and reads it back.
///
/// # Errors
///
/// If the CPU does not exist, is not in the process's cpuset, or has a number above 1023, which the C
/// library's masks do not reach.
pub fn pin(cpu: usize) -> io::Result<()> {
    let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    // Beyond it, the C library's macro would write outside of its mask.
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(refused("only CPUs 0 to 1023 can be pinned to"));
    }
    if !core_affinity::set_for_current(CoreId { id: cpu }) {
        return Err(refused("it does not exist, or is not in the cpuset of this process"));
    }
    if affinity()? != [cpu] {
        return Err(refused("the kernel took the request and did otherwise"));
    }
    Ok(())
}

/// The CPUs of the calling thread's affinity mask (cpuset, taskset), in order: those that it may be pinned
/// to.
///
/// # Errors
///
/// If the kernel has more CPUs than any kernel has today.
pub fn affinity() -> io::Result<Vec<usize>> {
    let mut mask: Mask = [0; CPUS_MAX / WORD_BITS];
    // SAFETY: the kernel writes at most the given number of bytes to `mask`, and only during the call. The
    // call itself, as the C library's function takes masks of 1024 bits.
    let written =
        unsafe { libc::syscall(libc::SYS_sched_getaffinity, 0, size_of::<Mask>(), mask.as_mut_ptr()) };
    if written < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..CPUS_MAX).filter(|cpu| mask[cpu / WORD_BITS] >> (cpu % WORD_BITS) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_of_the_mask_can_be_pinned_to_and_others_not() {
        let cpus = affinity().unwrap();
        assert!(cpus.len() >= allowed_parallelism());
        assert!(cpus.is_sorted());
        let pinned = |cpu| thread::spawn(move || pin(cpu).map(|()| affinity().unwrap())).join().unwrap();
        for &cpu in &cpus {
            assert_eq!(pinned(cpu).unwrap(), [cpu]);
        }
        for cpu in [1023, 1024, 8191, usize::MAX] {
            assert_eq!(pinned(cpu).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_narrowed_mask_narrows_what_is_available() {
        let first = affinity().unwrap()[0];
        let seen = thread::spawn(move || {
            pin(first).unwrap();
            (affinity().unwrap(), allowed_parallelism())
        });
        assert_eq!(seen.join().unwrap(), (vec![first], 1));
    }
}
