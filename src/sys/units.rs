//! In what the kernel counts. The C library has it from the start of the process: other ways read
//! /proc/self/auxv before Linux 6.4, which a process that has dropped root may not open.

/// Bytes of a page of memory.
#[must_use]
pub fn page_len() -> usize {
    // SAFETY: asks for a number.
    let len = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(len).expect("there are pages")
}

/// Ticks of a second of CPU time.
#[must_use]
pub fn ticks_per_second() -> u32 {
    // SAFETY: asks for a number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u32::try_from(ticks).expect("time is counted")
}
