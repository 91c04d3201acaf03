//! A thread that sleeps, and those that wake it: an eventfd and a flag that says whether anybody has to write
//! to it.
//!
//! Whoever gives the sleeper something calls [`ring`](Waker::ring) afterwards: as long as the sleeper is
//! awake, that is a fence and a load.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Wakes one thread. Clones wake the same.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

/// On cache lines of its own: others read the flag at every batch.
#[derive(Debug)]
#[repr(align(128))]
struct Bell {
    event: File,
    is_asleep: AtomicBool,
}

impl Waker {
    /// A waker for a thread that is awake.
    ///
    /// # Errors
    /// No descriptor, or no memory.
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes numbers alone, and touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made `fd`, and nobody else knows it.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(Arc::new(Bell { event: event.into(), is_asleep: AtomicBool::new(false) })))
    }

    /// The thread is about to sleep, until its descriptor is readable or for a time. It may, unless something
    /// came meanwhile: `is_idle` is asked once whoever gives it something from now on will ring. Afterwards
    /// the thread says that it is [`awake`](Self::awake), whether it has slept or not.
    #[must_use]
    pub fn rest(&self, is_idle: impl FnOnce() -> bool) -> bool {
        self.0.is_asleep.store(true, Ordering::Relaxed);
        // With the one in `ring`: either that sees the flag, or this sees what was given.
        fence(Ordering::SeqCst);
        is_idle()
    }

    /// The thread is awake.
    pub fn awake(&self) {
        self.0.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Wakes the thread if it sleeps: it was given something before.
    #[inline]
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.0.is_asleep.load(Ordering::Relaxed) {
            self.write();
        }
    }

    /// The descriptor becomes readable, and again each time where it is watched edge-triggered, as mio does:
    /// nobody has to read from it.
    #[cold]
    #[inline(never)]
    fn write(&self) {
        // It fails only where 2^64 - 2 were not read: then it is readable.
        let _ = (&self.0.event).write(&1_u64.to_ne_bytes());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    use super::*;

    fn poll(waker: &Waker) -> (Poll, Events) {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut SourceFd(&waker.as_raw_fd()), Token(0), Interest::READABLE).unwrap();
        (poll, Events::with_capacity(8))
    }

    fn is_rung(poll: &mut Poll, events: &mut Events) -> bool {
        poll.poll(events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    #[test]
    fn only_who_sleeps_is_rung_and_each_time_that_it_does() {
        let waker = Waker::new().unwrap();
        let (mut poll, mut events) = poll(&waker);
        for _ in 0..3 {
            waker.ring();
            assert!(!is_rung(&mut poll, &mut events), "it is awake");
            assert!(!waker.rest(|| false), "something came: it does not sleep");
            assert!(waker.rest(|| true));
            waker.clone().ring();
            assert!(is_rung(&mut poll, &mut events), "nobody has read the last time");
            waker.awake();
        }
    }

    /// Without the fences a thread would sleep beside what was given to it; here for an hour, were it not for
    /// the time that the whole may take.
    #[test]
    fn nothing_is_given_to_a_sleeper_without_waking_it() {
        const GIVEN: u64 = 20_000;
        let (waker, count) = (Waker::new().unwrap(), AtomicU64::new(0));
        let (mut poll, mut events) = poll(&waker);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut taken = 0;
                while taken < GIVEN {
                    let given = count.load(Ordering::Acquire);
                    if given == taken && waker.rest(|| count.load(Ordering::Acquire) == taken) {
                        poll.poll(&mut events, Some(Duration::from_secs(3600))).unwrap();
                    }
                    waker.awake();
                    taken = given;
                }
            });
            for given in 1..=GIVEN {
                count.store(given, Ordering::Release);
                waker.ring();
                if given % 7 == 0 {
                    thread::yield_now();
                }
            }
        });
    }
}
