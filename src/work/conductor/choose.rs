//! Which server is asked. No I/O, a clock passed in.

use super::random::Random;
use super::server::Server;
use super::wheel::Micros;
use crate::policy::upstream::Choose;

/// A server of an upstream, by its place, and whether the query finds out if it is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) place: usize,
    pub(super) is_probe: bool,
}

/// Which server is asked first, and which one gets a copy whose answer only measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct First {
    pub(super) pick: Pick,
    pub(super) copy: Option<Pick>,
}

/// The servers of an upstream, and how one is chosen.
pub(super) struct Choice<'a> {
    pub(super) choose: Choose,
    pub(super) explore: f32,
    /// By their places: at most 64.
    pub(super) servers: &'a [u32],
    pub(super) known: &'a [Server],
    /// Of the name that is asked for.
    pub(super) hash: u64,
    pub(super) now: Micros,
}

impl Choice<'_> {
    fn server(&self, place: usize) -> &Server {
        &self.known[self.servers[place] as usize]
    }

    /// The best of those that can be asked and are not in `tried`, a bit for each place.
    fn best(&self, tried: u64) -> Option<usize> {
        let count = self.servers.len();
        let ready = (0..count).filter(|&place| tried >> place & 1 == 0 && self.server(place).is_ready());
        // Where the hash says to begin.
        let turn = |place: usize| (place + count - self.hash as usize % count) % count;
        match self.choose {
            Choose::Fastest => ready.min_by_key(|&place| (self.server(place).score(), turn(place))),
            Choose::Order => ready.min_by_key(|&place| (self.server(place).is_poor(), place)),
            Choose::Hash => ready.min_by_key(|&place| (self.server(place).is_poor(), turn(place))),
        }
    }

    fn probe(&self, tried: u64) -> Option<usize> {
        let due = |place: &usize| tried >> place & 1 == 0 && self.server(*place).is_probe_due(self.now);
        (0..self.servers.len()).find(due)
    }

    /// For a new question; `None` if all circuits are open.
    pub(super) fn first(&self, random: &mut Random) -> Option<First> {
        let probe = self.probe(0).map(|place| Pick { place, is_probe: true });
        let Some(best) = self.best(0) else {
            // It is the probe itself.
            return probe.map(|pick| First { pick, copy: None });
        };
        let pick = Pick { place: best, is_probe: false };
        if probe.is_some() {
            // Nobody has to wait for a server that is probably still dead.
            return Some(First { pick, copy: probe });
        }
        if self.servers.len() == 1 || !random.is_in(self.explore) {
            return Some(First { pick, copy: None });
        }
        if self.choose != Choose::Fastest {
            // Only those that are passed over are measured.
            let is_poor = |&place: &usize| self.server(place).is_ready() && self.server(place).is_poor();
            let poor = (0..self.servers.len()).filter(|&place| place != best).find(is_poor);
            return Some(First { pick, copy: poor.map(|place| Pick { place, is_probe: false }) });
        }
        let other = (best + 1 + random.below(self.servers.len() - 1)) % self.servers.len();
        if !self.server(other).is_ready() {
            return Some(First { pick, copy: None });
        }
        let explored = Pick { place: other, is_probe: false };
        let is_near = match (self.server(best).srtt(), self.server(other).srtt()) {
            (Some(best), Some(other)) => other <= 2 * best,
            _ => false,
        };
        Some(if is_near {
            First { pick: explored, copy: None }
        } else {
            First { pick, copy: Some(explored) }
        })
    }

    /// For another try: one that was not asked yet. `None` if no circuit lets a query through.
    pub(super) fn other(&self, tried: u64) -> Option<Pick> {
        let best = self.best(tried).map(|place| Pick { place, is_probe: false });
        best.or_else(|| self.probe(tried).map(|place| Pick { place, is_probe: true }))
    }

    /// When all were asked: any but the `last`, else that one.
    pub(super) fn again(&self, last: usize) -> Option<Pick> {
        let place = self.best(1 << last).or_else(|| self.best(0))?;
        Some(Pick { place, is_probe: false })
    }

    /// Whether a query would be refused.
    pub(super) fn is_down(&self) -> bool {
        self.best(0).is_none() && self.probe(0).is_none()
    }
}
