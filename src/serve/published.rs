//! The snapshot that is served now, and how the serving threads switch to a newer one.
//!
//! A thread compares one generation number once a turn, and switches when it has changed. It never frees a
//! snapshot: the publisher keeps the old one until every thread has switched. A thread that waits for queries
//! switches before its next answer, so whoever publishes need not wait for it to wake.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::snapshot::Snapshot;
use crate::limits::PUBLISH_LOOK;

/// Where the newest snapshot is found.
#[derive(Debug)]
pub struct Published {
    newest: ArcSwap<Snapshot>,
    /// How many there have been before it.
    generation: AtomicU64,
    /// The threads that serve, and the old snapshots that some of them may still use.
    following: Mutex<Following>,
}

#[derive(Debug, Default)]
struct Following {
    seen: Vec<Arc<Seen>>,
    old: Vec<Arc<Snapshot>>,
}

/// What others see of a thread: written by it alone, on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Seen {
    /// The generation that it serves.
    generation: AtomicU64,
    /// It answers nothing before it has looked for a newer one.
    is_resting: AtomicBool,
}

impl Seen {
    fn is_behind(&self, generation: u64) -> bool {
        // Acquire: the thread's reads of old snapshots happen before those are freed.
        self.generation.load(Ordering::Acquire) < generation
    }
}

/// The generation of a thread that has ended.
const GONE: u64 = u64::MAX;

impl Published {
    /// Begins with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self {
            newest: ArcSwap::from_pointee(snapshot),
            generation: AtomicU64::new(0),
            following: Mutex::default(),
        })
    }

    /// The newest snapshot.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        self.newest.load_full()
    }

    /// A handle for one more serving thread.
    #[must_use]
    pub fn follow(self: &Arc<Self>) -> Follower {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        // The lock keeps publishers out: generation and snapshot belong together.
        let generation = self.generation.load(Ordering::Acquire);
        let seen = Seen { generation: AtomicU64::new(generation), is_resting: AtomicBool::new(false) };
        let seen = Arc::new(seen);
        following.seen.retain(|seen| seen.generation.load(Ordering::Relaxed) != GONE);
        following.seen.push(Arc::clone(&seen));
        let (snapshot, published) = (self.newest(), Arc::clone(self));
        Follower { snapshot, generation, is_resting: false, seen, published }
    }

    /// Publishes `snapshot`, and waits until every answer is made from it, at most for `patience`. Returns
    /// whether that was in time; a late thread switches in its next turn.
    pub fn publish(&self, mut snapshot: Snapshot, patience: Duration) -> bool {
        let began = Instant::now();
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        // Only publishers change it, and the lock lets in one at a time.
        snapshot.serial = self.generation.load(Ordering::Relaxed) as u32 + 1;
        let old = self.newest.swap(Arc::new(snapshot));
        following.old.push(old);
        // Release: a thread that sees the new generation finds the new snapshot.
        let generation = self.generation.fetch_add(1, Ordering::Release) + 1;
        let is_late =
            |seen: &Arc<Seen>| seen.is_behind(generation) && !seen.is_resting.load(Ordering::Acquire);
        while following.seen.iter().any(is_late) {
            if began.elapsed() >= patience {
                return false;
            }
            thread::park_timeout(PUBLISH_LOOK);
        }
        self.free(&mut following);
        true
    }

    /// Frees old snapshots if every thread has switched by now. To be called now and then: those that waited
    /// for queries when the last one was published had not.
    pub fn settle(&self) {
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        if !following.old.is_empty() {
            self.free(&mut following);
        }
    }

    fn free(&self, following: &mut Following) {
        let generation = self.generation.load(Ordering::Relaxed);
        if !following.seen.iter().any(|seen| seen.is_behind(generation)) {
            following.old.clear();
        }
    }
}

/// A serving thread's handle: the newest snapshot as of its last [`refresh`](Self::refresh).
#[derive(Debug)]
pub struct Follower {
    snapshot: Arc<Snapshot>,
    generation: u64,
    is_resting: bool,
    seen: Arc<Seen>,
    published: Arc<Published>,
}

impl Follower {
    /// Switches to a newer snapshot, if there is one. Not to be called while an answer is being made.
    #[inline]
    pub fn refresh(&mut self) {
        if std::mem::take(&mut self.is_resting) {
            self.seen.is_resting.store(false, Ordering::Relaxed);
        }
        if self.published.generation.load(Ordering::Acquire) != self.generation {
            self.change_over();
        }
    }

    /// Nothing is answered from here on before [`refresh`](Self::refresh) is called again. Not for a thread
    /// that has to see each snapshot: one that rests may pass some over.
    #[inline]
    pub fn rest(&mut self) {
        if !std::mem::replace(&mut self.is_resting, true) {
            // Release: what was answered until now is behind us for whoever sees it.
            self.seen.is_resting.store(true, Ordering::Release);
        }
    }

    /// The snapshot that it serves, for users that keep it after it was replaced.
    #[must_use]
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    #[cold]
    #[inline(never)]
    fn change_over(&mut self) {
        // The generation first: with a snapshot newer than it, the next call merely switches again.
        self.generation = self.published.generation.load(Ordering::Acquire);
        self.snapshot = self.published.newest();
        self.seen.generation.store(self.generation, Ordering::Release);
    }
}

impl Deref for Follower {
    type Target = Snapshot;

    #[inline]
    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.seen.generation.store(GONE, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;

    use super::*;
    use crate::serve::snapshot::tests::named;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn name(snapshot: &Snapshot) -> &str {
        str::from_utf8(&snapshot.nsid).unwrap()
    }

    #[test]
    fn publishing_waits_for_those_who_serve_and_frees_nothing_before() {
        let published = Published::new(named("first"));
        let mut follower = published.follow();
        assert!(!published.publish(named("second"), Duration::ZERO), "the follower has not looked");
        assert_eq!(name(&follower), "first");
        let (first, second) = (Arc::downgrade(&follower.snapshot), Arc::downgrade(&published.newest()));
        follower.refresh();
        assert_eq!(name(&follower), "second");
        assert!(first.upgrade().is_some(), "a thread that serves frees nothing");
        let (go, gone) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(published.publish(named("third"), PATIENCE));
                go.send(()).unwrap();
            });
            while gone.recv_timeout(Duration::from_millis(1)).is_err() {
                follower.refresh();
            }
        });
        assert_eq!(name(&follower), "third");
        assert!(first.upgrade().is_none() && second.upgrade().is_none());
        drop(follower);
        assert!(published.publish(named("fourth"), Duration::ZERO), "who has ended is not waited for");
    }

    #[test]
    fn who_rests_is_not_waited_for_and_keeps_what_it_serves() {
        let published = Published::new(named("first"));
        let mut follower = published.follow();
        let first = Arc::downgrade(&follower.snapshot);
        follower.rest();
        assert!(published.publish(named("second"), Duration::ZERO));
        published.settle();
        assert!(first.upgrade().is_some() && name(&follower) == "first");
        follower.refresh();
        assert_eq!(name(&follower), "second");
        assert!(!published.publish(named("third"), Duration::ZERO), "it answers");
        assert!(first.upgrade().is_some(), "nobody has looked since it has switched");
        follower.refresh();
        published.settle();
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn what_is_seen_is_wholly_old_or_wholly_new_and_never_older() {
        let published = Published::new(named("0"));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let (mut follower, mut last) = (published.follow(), 0);
                    while !over.load(Ordering::Relaxed) {
                        follower.refresh();
                        let seen = name(&follower).parse::<u32>().unwrap();
                        assert!(seen >= last, "{seen} after {last}");
                        last = seen;
                    }
                });
            }
            for next in 1..500 {
                assert!(published.publish(named(&next.to_string()), PATIENCE));
            }
            over.store(true, Ordering::Relaxed);
        });
    }
}
