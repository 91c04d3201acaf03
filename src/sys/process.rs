//! Processes that we have started.

use std::{fs, io};

/// Kills a process that was started as the leader of a group of its own, and all that it started there.
/// Only for one that nobody has waited for yet: until then its number is not reused.
///
/// # Errors
///
/// If the group does not exist, or it is not ours to kill.
pub fn kill_group(leader: u32) -> io::Result<()> {
    let group = libc::pid_t::try_from(leader).ok().filter(|&group| group > 1);
    let group = group.ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: plain numbers; the group is positive, so that it is that group and never all processes.
    if unsafe { libc::killpg(group, libc::SIGKILL) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many threads this process has; one where the kernel does not say.
#[must_use]
pub fn threads() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:")?.trim().parse().ok());
    count.unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_group_ends_with_all_that_is_in_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo started; wait"]).process_group(0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let mut said = [0; 8];
        stdout.read_exact(&mut said).unwrap();
        kill_group(child.id()).unwrap();
        // The pipe ends when the last of the group that holds it has ended.
        assert_eq!(stdout.read(&mut said).unwrap(), 0);
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(kill_group(0).is_err() && kill_group(1).is_err() && kill_group(u32::MAX).is_err());
    }
}
