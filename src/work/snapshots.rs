//! The snapshots that jobs may be of: the newest, and those that were replaced a moment ago.

use std::sync::Arc;
use std::time::Instant;

use crate::limits::{WORK_SNAPSHOT_KEPT, WORK_SNAPSHOTS_MAX};
use crate::serve::published::Follower;
use crate::serve::snapshot::Snapshot;

#[derive(Debug)]
pub(super) struct Snapshots {
    follower: Follower,
    newest: Arc<Snapshot>,
    /// Older ones, and when each was replaced.
    kept: Vec<(Instant, Arc<Snapshot>)>,
}

impl Snapshots {
    pub(super) fn new(follower: Follower) -> Self {
        let newest = Arc::clone(follower.current());
        Self { follower, newest, kept: Vec::with_capacity(WORK_SNAPSHOTS_MAX) }
    }

    pub(super) fn newest(&self) -> &Arc<Snapshot> {
        &self.newest
    }

    /// Takes a newer snapshot, if there is one: whether there was. None is passed over, as whoever publishes
    /// waits for a worker: there may be jobs of each. Those whose jobs are all late are let go.
    pub(super) fn refresh(&mut self, now: Instant) -> bool {
        self.follower.refresh();
        let is_newer = !Arc::ptr_eq(&self.newest, self.follower.current());
        if is_newer {
            if self.kept.len() == WORK_SNAPSHOTS_MAX {
                self.kept.remove(0);
            }
            let old = std::mem::replace(&mut self.newest, Arc::clone(self.follower.current()));
            self.kept.push((now, old));
        }
        if !self.kept.is_empty() {
            self.kept.retain(|(replaced, _)| now.saturating_duration_since(*replaced) < WORK_SNAPSHOT_KEPT);
        }
        is_newer
    }

    /// The snapshot with this serial, unless it is too old.
    pub(super) fn find(&self, serial: u32) -> Option<&Arc<Snapshot>> {
        let kept = self.kept.iter().rev().map(|(_, snapshot)| snapshot);
        std::iter::once(&self.newest).chain(kept).find(|snapshot| snapshot.serial() == serial)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::published::Published;
    use crate::serve::snapshot::tests::snapshot;

    #[test]
    fn what_was_replaced_is_kept_until_its_jobs_are_late() {
        let published = Published::new(snapshot(|_, _| {}).unwrap());
        let mut snapshots = Snapshots::new(published.follow());
        let begun = Instant::now();
        assert!(!snapshots.refresh(begun));
        let first = snapshots.newest().serial();
        // The publisher does not wait for a thread that is this one.
        published.publish(snapshot(|_, _| {}).unwrap(), Duration::ZERO);
        assert!(snapshots.find(first + 1).is_none(), "it was not looked for yet");
        assert!(snapshots.refresh(begun));
        for serial in [first, first + 1] {
            assert_eq!(snapshots.find(serial).map(|snapshot| snapshot.serial()), Some(serial));
        }
        assert!(!snapshots.refresh(begun + WORK_SNAPSHOT_KEPT));
        assert!(snapshots.find(first).is_none(), "nobody is still waiting for it");
        assert_eq!(snapshots.find(first + 1).map(|snapshot| snapshot.serial()), Some(first + 1));
    }

    #[test]
    fn reloads_without_end_keep_a_bounded_number() {
        let published = Published::new(snapshot(|_, _| {}).unwrap());
        let mut snapshots = Snapshots::new(published.follow());
        let now = Instant::now();
        for _ in 0..2 * WORK_SNAPSHOTS_MAX {
            published.publish(snapshot(|_, _| {}).unwrap(), Duration::ZERO);
            snapshots.refresh(now);
        }
        let newest = snapshots.newest().serial();
        assert_eq!(snapshots.kept.len(), WORK_SNAPSHOTS_MAX);
        assert!(snapshots.find(newest - 1).is_some(), "the oldest went");
    }
}
