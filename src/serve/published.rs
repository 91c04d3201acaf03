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
        // Acquire: what the thread has answered from older snapshots is behind us.
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
        following.free();
        true
    }

    /// Frees the old snapshots that no thread still has. To be called now and then: those that waited for
    /// queries when the last one was published had not switched.
    pub fn settle(&self) {
        self.following.lock().unwrap_or_else(PoisonError::into_inner).free();
    }
}

impl Following {
    /// Who has none of a snapshot that is not the newest cannot get one: nobody else has what is ours alone.
    /// A thread that rests keeps the one that it has, and none of those that came after it.
    fn free(&mut self) {
        self.old.retain(|old| Arc::strong_count(old) > 1);
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
    fn who_rests_keeps_one_snapshot_however_many_come_after_it() {
        let published = Published::new(named("first"));
        let mut follower = published.follow();
        let held = Arc::downgrade(&follower.snapshot);
        follower.rest();
        let passed_over: Vec<_> = (0..3)
            .map(|next| {
                assert!(published.publish(named(&next.to_string()), Duration::ZERO));
                Arc::downgrade(&published.newest())
            })
            .collect();
        published.settle();
        let are_there = |wanted: &[bool]| {
            let found: Vec<bool> = passed_over.iter().map(|old| old.upgrade().is_some()).collect();
            assert_eq!(found, wanted);
        };
        are_there(&[false, false, true]);
        assert!(held.upgrade().is_some());
        follower.refresh();
        published.settle();
        are_there(&[false, false, true]);
        assert!(held.upgrade().is_none());
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
