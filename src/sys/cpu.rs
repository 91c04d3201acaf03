//! The CPUs that we may use, and pinning a thread to one of them.

use std::io;
use std::thread;

use core_affinity::CoreId;

use crate::limits::CPUS_MAX;

const WORD_BITS: usize = u64::BITS as usize;

/// An affinity mask as the kernel has it: one bit for each CPU.
type Mask = [u64; CPUS_MAX / WORD_BITS];

/// How many threads can run at once: the CPUs of the affinity mask, bounded by the CPU quota of the control
/// group (cpu.max of version 2, cpu.cfs_quota_us of version 1), rounded down; at least one.
#[must_use]
pub fn allowed_parallelism() -> usize {
    let available = thread::available_parallelism().map_or(1, usize::from);
    // The C library's masks end at 1024 CPUs; on a larger host the library falls back to all of them.
    affinity().map_or(available, |cpus| available.min(cpus.len())).max(1)
}

/// Pins the calling thread to one CPU, and reads it back.
///
/// # Errors
///
/// If the CPU does not exist or is not in the process's cpuset.
pub fn pin(cpu: usize) -> io::Result<()> {
    let refused = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    // Beyond it, the C library's macro would write outside of its mask.
    let is_pinned = if cpu < libc::CPU_SETSIZE as usize {
        core_affinity::set_for_current(CoreId { id: cpu })
    } else {
        set_affinity(&[cpu]).is_ok()
    };
    if !is_pinned {
        return Err(refused("it does not exist, or is not in this process's cpuset"));
    }
    if affinity()? != [cpu] {
        return Err(refused("the kernel accepted the request but did not apply it"));
    }
    Ok(())
}

/// Those of `cpus` that a thread of ours can be pinned to, found by trying: an isolated CPU (isolcpus=) is in
/// no process's mask until it asks for it, and only the cpuset bounds what it may ask for.
#[must_use]
pub fn reachable(cpus: &[usize]) -> Vec<usize> {
    if cpus.is_empty() {
        return Vec::new();
    }
    // On a thread of its own, whose mask goes with it. Without a thread, nothing is reachable.
    thread::scope(|scope| {
        let trial = || cpus.iter().copied().filter(|&cpu| pin(cpu).is_ok()).collect();
        thread::Builder::new().spawn_scoped(scope, trial).ok().and_then(|thread| thread.join().ok())
    })
    .unwrap_or_default()
}

/// Lets the calling thread run on these CPUs alone.
fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    let mut mask: Mask = [0; CPUS_MAX / WORD_BITS];
    for &cpu in cpus {
        let word = mask.get_mut(cpu / WORD_BITS).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (cpu % WORD_BITS);
    }
    // SAFETY: the kernel reads the given number of bytes of `mask`, during the call only. It ignores those
    // that its own masks have no room for.
    let result = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of::<Mask>(), mask.as_ptr()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

    /// What `pin` does for CPUs that the C library's masks do not reach, on those that there are.
    #[test]
    fn the_long_mask_does_what_the_short_one_does() {
        for cpu in affinity().unwrap() {
            let seen = thread::spawn(move || set_affinity(&[cpu]).map(|()| affinity().unwrap()));
            assert_eq!(seen.join().unwrap().unwrap(), [cpu]);
        }
        assert_eq!(set_affinity(&[CPUS_MAX]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_reachable_is_found_without_moving_the_caller() {
        let cpus = affinity().unwrap();
        let asked: Vec<usize> = cpus.iter().copied().chain([1023, 8191, usize::MAX]).collect();
        assert_eq!(reachable(&asked), cpus);
        assert_eq!((reachable(&[]), affinity().unwrap()), (vec![], cpus));
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
