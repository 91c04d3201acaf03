//! What this process may take of the host.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Limits the address space of this process, and of the programs that it becomes, to `len` bytes: what is
/// asked for beyond is refused.
///
/// # Errors
/// If it is limited to less already.
pub fn limit_memory(len: usize) -> io::Result<()> {
    let limit = Some(len as u64);
    Ok(setrlimit(Resource::As, Rlimit { current: limit, maximum: limit })?)
}

/// No image of this process is written when it dies, whoever would take it.
///
/// # Errors
/// If the kernel refuses.
pub fn no_core() -> io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // A program that is given cores is so whatever the limit.
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}
