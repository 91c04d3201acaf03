//! What is said to a worker: orders of the control plane, and what workers say to each other. An application
//! that purges purges the caches of all of them.

use std::collections::VecDeque;

use crossbeam_channel::{Sender, TrySendError};

use super::orders::CacheOrder;
use super::sandbox::InstanceId;
use crate::sys::wake::Waker;

/// What is said to a worker.
#[derive(Debug)]
pub(super) enum Word {
    /// An order, and where its answer goes.
    Order(CacheOrder, Sender<Vec<String>>),
    /// An application of the worker `by` purges, and waits for it under a token.
    Purge { by: usize, instance: InstanceId, token: u32, qname: Vec<u8>, subtree: bool },
    /// So many entries were purged for that.
    Purged { instance: InstanceId, token: u32, count: u64 },
}

/// How one worker is spoken to, from any thread.
#[derive(Clone, Debug)]
pub(super) struct Ear {
    pub(super) words: Sender<Word>,
    pub(super) waker: Waker,
}

/// A purge that not all have carried out.
#[derive(Debug)]
struct Purging {
    instance: InstanceId,
    token: u32,
    /// How many have still to say something.
    left: usize,
    count: u64,
}

/// All workers, as one of them knows them. Nobody waits: what does not fit now is said in a later turn.
#[derive(Debug)]
pub(super) struct Peers {
    own: usize,
    ears: Vec<Ear>,
    purging: Vec<Purging>,
    unsaid: VecDeque<(usize, Word)>,
}

impl Peers {
    /// What the worker with the number `own` knows.
    pub(super) fn new(own: usize, ears: Vec<Ear>) -> Self {
        Self { own, ears, purging: Vec::new(), unsaid: VecDeque::new() }
    }

    /// Has all others purge, after `count` entries were purged here. Returns what was purged in all, if there
    /// is nobody to wait for.
    pub(super) fn purge(
        &mut self,
        instance: InstanceId,
        token: u32,
        qname: &[u8],
        subtree: bool,
        count: u64,
    ) -> Option<u64> {
        let own = self.own;
        let others = (0..self.ears.len()).filter(|other| *other != own);
        self.unsaid.extend(
            others.map(|other| {
                (other, Word::Purge { by: own, instance, token, qname: qname.to_vec(), subtree })
            }),
        );
        self.purging.push(Purging { instance, token, left: self.ears.len().saturating_sub(1), count });
        self.say();
        self.over(instance, token)
    }

    /// Says that `count` entries were purged for an application of the worker `by`.
    pub(super) fn purged(&mut self, by: usize, instance: InstanceId, token: u32, count: u64) {
        self.unsaid.push_back((by, Word::Purged { instance, token, count }));
        self.say();
    }

    /// Another one has purged so many. Returns what was purged in all, if it was the last.
    pub(super) fn hear(&mut self, instance: InstanceId, token: u32, count: u64) -> Option<u64> {
        let is_it = |purging: &&mut Purging| (purging.instance, purging.token) == (instance, token);
        let purging = self.purging.iter_mut().find(is_it)?;
        purging.count += count;
        purging.left = purging.left.saturating_sub(1);
        self.over(instance, token)
    }

    fn over(&mut self, instance: InstanceId, token: u32) -> Option<u64> {
        let is_over =
            |purging: &Purging| (purging.instance, purging.token, purging.left) == (instance, token, 0);
        let at = self.purging.iter().position(is_over)?;
        Some(self.purging.swap_remove(at).count)
    }

    /// Says what did not fit before.
    pub(super) fn say(&mut self) {
        for _ in 0..self.unsaid.len() {
            let Some((to, word)) = self.unsaid.pop_front() else { return };
            match self.ears[to].words.try_send(word) {
                Ok(()) => self.ears[to].waker.ring(),
                Err(TrySendError::Full(word)) => self.unsaid.push_back((to, word)),
                // Workers end together: whoever waits for this one is ending, too.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    #[test]
    fn a_purge_is_over_when_every_worker_has_said_so() {
        let (ears, words): (Vec<Ear>, Vec<_>) = (0..3)
            .map(|_| {
                let (words, receiver) = bounded(1);
                (Ear { words, waker: Waker::new().unwrap() }, receiver)
            })
            .unzip();
        let mut peers = Peers::new(1, ears);
        let id = InstanceId(7);
        assert_eq!(peers.purge(id, 1, b"\0", true, 5), None);
        // There is room for one word.
        assert_eq!(peers.purge(id, 2, b"\0", false, 0), None);
        for (token, subtree) in [(1, true), (2, false)] {
            for at in [0, 2] {
                let word = words[at].try_recv().unwrap();
                let Word::Purge { by: 1, instance, token: its, subtree: all, .. } = word else {
                    panic!("{word:?}")
                };
                assert_eq!((instance, its, all), (id, token, subtree));
            }
            peers.say();
        }
        assert!(words[1].try_recv().is_err(), "it purges its own by itself");
        assert_eq!((peers.hear(id, 1, 2), peers.hear(id, 3, 9)), (None, None));
        assert_eq!((peers.hear(id, 1, 10), peers.hear(id, 1, 1)), (Some(17), None));
        assert_eq!((peers.hear(id, 2, 0), peers.hear(id, 2, 0)), (None, Some(0)));
        peers.purged(0, id, 4, 3);
        assert!(matches!(words[0].try_recv(), Ok(Word::Purged { token: 4, count: 3, .. })));

        let mut alone = Peers::new(0, Vec::new());
        assert_eq!(alone.purge(id, 1, b"\0", true, 5), Some(5));
    }
}
