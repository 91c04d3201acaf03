//! The queries of one socket that are under way. IDs are given in order, so that the window is a ring, and
//! the oldest query is where it begins.

/// As many as there are IDs.
const LEN: usize = 1 << 16;

/// A query under way: nanoseconds at which it should have been sent, and its number in the set.
#[derive(Clone, Copy, Default)]
struct Opened {
    intended: u64,
    query: u32,
    is_open: bool,
}

pub struct Window {
    ring: Vec<Opened>,
    /// The oldest that may still be open, and the next to be opened; both count on beyond the ring.
    oldest: usize,
    next: usize,
}

impl Window {
    pub fn new() -> Self {
        Self { ring: vec![Opened::default(); LEN], oldest: 0, next: 0 }
    }

    /// Opens a query: its ID, and whether another one that had that ID is lost by it.
    pub fn open(&mut self, intended: u64, query: u32) -> (u16, bool) {
        let slot = self.next % LEN;
        let is_lost = self.ring[slot].is_open;
        self.ring[slot] = Opened { intended, query, is_open: true };
        self.next += 1;
        self.oldest = self.oldest.max(self.next.saturating_sub(LEN));
        (slot as u16, is_lost)
    }

    /// Closes the query with this ID: its time and number. `None` if there is none.
    pub fn close(&mut self, id: u16) -> Option<(u64, u32)> {
        let opened = &mut self.ring[usize::from(id)];
        std::mem::take(&mut opened.is_open).then_some((opened.intended, opened.query))
    }

    /// Closes all that should have been sent before `limit`; returns how many.
    pub fn sweep(&mut self, limit: u64) -> u64 {
        let mut lost = 0;
        while self.oldest < self.next {
            let opened = &mut self.ring[self.oldest % LEN];
            if opened.is_open && opened.intended >= limit {
                break;
            }
            lost += u64::from(std::mem::take(&mut opened.is_open));
            self.oldest += 1;
        }
        lost
    }

    /// Whether nothing is under way, as of the last [`sweep`](Self::sweep).
    pub fn is_empty(&self) -> bool {
        self.oldest == self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_ends_once() {
        let mut window = Window::new();
        let ids: Vec<u16> = (0..10).map(|number| window.open(number, number as u32 + 100).0).collect();
        assert_eq!(window.close(ids[3]), Some((3, 103)));
        assert_eq!(window.close(ids[3]), None, "twice");
        assert_eq!(window.close(77), None, "never opened");
        assert_eq!(window.sweep(5), 4, "0, 1, 2 and 4; 3 was answered");
        assert_eq!(window.close(ids[4]), None, "too late");
        assert!(!window.is_empty());
        for (number, &id) in ids.iter().enumerate().skip(5) {
            assert_eq!(window.close(id), Some((number as u64, number as u32 + 100)));
        }
        assert_eq!(window.sweep(0), 0);
        assert!(window.is_empty());
    }

    #[test]
    fn an_id_that_comes_round_ends_its_query() {
        let mut window = Window::new();
        (0..LEN as u64).for_each(|number| assert!(!window.open(number, 0).1));
        assert_eq!(window.open(9, 1), (0, true));
        assert_eq!(window.close(0), Some((9, 1)));
        assert_eq!(window.open(9, 2), (1, true));
        assert_eq!(window.sweep(u64::MAX), LEN as u64 - 1, "all but the one that was answered");
        assert!(window.is_empty());
    }
}
