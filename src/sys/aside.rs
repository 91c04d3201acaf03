//! What may never return, such as a look at a directory of a network file system that is gone, done by a child
//! process: a thread that the kernel holds could not be ended, would keep this process from dropping its
//! privileges, and from ending.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::time::{Duration, Instant};

use super::launcher::close_others;
use super::passing::Passage;
use super::process;

/// Bytes of an answer: an error's text.
const ANSWER_LEN_MAX: usize = 8 << 10;

/// What a child found: a descriptor, or why there is none.
pub type Answer = Result<Option<OwnedFd>, String>;

/// Does `work` with each of `items` in a process of its own, all at once; `None` for those that have not
/// answered `within` that time. Where this process has threads already a child would not be whole: the work
/// is done here.
pub fn each<T>(items: &[T], within: Duration, work: impl Fn(&T) -> Answer) -> Vec<Option<Answer>> {
    let is_alone = process::threads() == 1;
    let asked: Vec<Option<Passage>> =
        items.iter().map(|item| is_alone.then(|| ask(item, &work)).flatten()).collect();
    let until = Instant::now() + within;
    let answers = asked.into_iter().zip(items).map(|(child, item)| match child {
        Some(child) => {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let parcel = child.receive(ANSWER_LEN_MAX, Some(left)).ok()?;
            Some(match parcel.bytes.as_slice() {
                [] => Ok(parcel.descriptors.into_iter().next()),
                error => Err(String::from_utf8_lossy(error).into_owned()),
            })
        }
        None => Some(work(item)),
    });
    answers.collect()
}

/// Starts a child that answers over the line that is returned. It is nobody's child in the end: whoever
/// collects orphans collects it, whenever that may be.
fn ask<T>(item: &T, work: &impl Fn(&T) -> Answer) -> Option<Passage> {
    let (here, there) = Passage::pair().ok()?;
    // SAFETY: this is the only thread, so the child is as whole as its parent. It never returns from here.
    match unsafe { libc::fork() } {
        -1 => None,
        0 => {
            // SAFETY: as above; this one ends at once, and its child when it has answered.
            if unsafe { libc::fork() } == 0 {
                answer(&there, item, work);
            }
            // SAFETY: ends this process at once, without the destructors and buffers of its parent.
            unsafe { libc::_exit(0) }
        }
        child => {
            // SAFETY: nothing is written; the child ends by itself, with no more to do than to have a child.
            while unsafe { libc::waitpid(child, ptr::null_mut(), 0) } < 0
                && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
            {}
            Some(here)
        }
    }
}

fn answer<T>(line: &Passage, item: &T, work: &impl Fn(&T) -> Answer) {
    // It may hang for good: no socket may stay open by that, and nobody may wait for the end of its output.
    close_others(line.as_fd().as_raw_fd().cast_unsigned());
    for standard in 0..3 {
        // SAFETY: plain numbers, and nothing of this process uses them: it ends without a word.
        unsafe { libc::close(standard) };
    }
    let found = panic::catch_unwind(AssertUnwindSafe(|| work(item)));
    let found = found.unwrap_or_else(|_| Err("it panicked".to_owned()));
    let descriptors: Vec<BorrowedFd<'_>> = found.iter().flatten().map(AsFd::as_fd).collect();
    let error = found.as_ref().err().map_or("", String::as_str);
    // Nobody may wait any more.
    let _ = line.send(error.as_bytes(), &descriptors);
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn where_there_are_threads_the_work_is_done_here() {
        let answers = each(&[1, 2], Duration::from_secs(1), |item| match item {
            1 => File::open("/dev/null").map(|file| Some(file.into())).map_err(|error| error.to_string()),
            _ => Err("no".to_owned()),
        });
        assert!(
            matches!(&answers[0], Some(Ok(Some(_)))) && matches!(&answers[1], Some(Err(no)) if no == "no")
        );
    }
}
