//! When a prefix is announced: probes, what the daemon says of itself, and the time go in; what should be
//! announced comes out. No I/O and no clock.
//!
//! An address is down after `fall` failed probes in a row, and up after `rise` good ones. A prefix is
//! announced while all of its addresses are up, the daemon does not drain, and it is not held down. It is
//! held down when it fell: for `hold_down` at first, and for twice as long with each further fall, at most
//! `hold_down_max`; a prefix that stayed up for that long starts again. So one that flaps does so less and
//! less often, and routers elsewhere do not damp it. A drain is not a fall, and holds nothing down.

use std::time::{Duration, Instant};

/// How often what must be seen before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// Failed probes in a row that take an address down.
    pub fall: u32,
    /// Good probes in a row that bring it up.
    pub rise: u32,
    /// How long a prefix that fell is not announced, the first time.
    pub hold_down: Duration,
    /// The longest that it is not, and how long it must stand until the next fall counts as the first.
    pub hold_down_max: Duration,
}

/// What the daemon says of itself over its control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It serves.
    Serving,
    /// It drains, or stops: routes go first.
    Leaving,
    /// It is gone.
    Gone,
}

/// The state of all prefixes of a node.
#[derive(Clone, Debug)]
pub struct State {
    damping: Damping,
    routes: Vec<Route>,
    /// Whether the daemon drains or stops.
    leaving: bool,
}

#[derive(Clone, Debug)]
struct Route {
    addresses: Vec<Address>,
    /// Since when it is announced; `None` while it is not.
    announced: Option<Instant>,
    /// How long it was held down when it fell last.
    hold: Duration,
    /// Until when it is held down.
    held_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Address {
    standing: Standing,
    /// It counts as up because an earlier run has announced it; the first probe is still to come.
    is_adopted: bool,
}

/// Whether something is up, by its probes: only several in a row that say the contrary change that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    is_up: bool,
    /// Probes in a row that said the contrary.
    contrary: u32,
}

impl Standing {
    /// Up, after so many failed probes in a row.
    #[must_use]
    pub const fn up(contrary: u32) -> Self {
        Self { is_up: true, contrary }
    }

    /// Down.
    #[must_use]
    pub const fn down() -> Self {
        Self { is_up: false, contrary: 0 }
    }

    /// Whether it is up.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.is_up
    }

    /// It was probed. `fall` failed probes in a row take it down, `rise` good ones bring it up.
    pub fn probed(&mut self, is_good: bool, fall: u32, rise: u32) {
        self.contrary = if is_good == self.is_up { 0 } else { self.contrary.saturating_add(1) };
        let needed = if self.is_up { fall } else { rise };
        if self.contrary >= needed {
            *self = Self { is_up: !self.is_up, contrary: 0 };
        }
    }
}

impl State {
    /// Prefixes with so many addresses each, all of them down and none announced.
    #[must_use]
    pub fn new(damping: Damping, addresses: impl IntoIterator<Item = usize>) -> Self {
        let route = |count| Route {
            addresses: vec![Address::default(); count],
            announced: None,
            hold: Duration::ZERO,
            held_until: None,
        };
        Self { damping, routes: addresses.into_iter().map(route).collect(), leaving: false }
    }

    /// The same for other settings: a route whose place among the old ones is given stays as it is.
    #[must_use]
    pub fn changed(
        &self,
        damping: Damping,
        routes: impl IntoIterator<Item = (usize, Option<usize>)>,
    ) -> Self {
        let (counts, old): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let mut state = Self { leaving: self.leaving, ..Self::new(damping, counts) };
        for (route, old) in state.routes.iter_mut().zip(old) {
            if let Some(old) = old {
                route.clone_from(&self.routes[old]);
            }
        }
        state
    }

    /// A route is announced already. It stays so if the first probe of each of its addresses is good.
    pub fn adopt(&mut self, route: usize, now: Instant) {
        let adopted = Address { standing: Standing::up(self.damping.fall - 1), is_adopted: true };
        let route = &mut self.routes[route];
        route.addresses.fill(adopted);
        route.announced = Some(now);
    }

    /// Whether every address that counts as up was found to be so.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        !self.routes.iter().flat_map(|route| &route.addresses).any(|address| address.is_adopted)
    }

    /// An address of a route was probed.
    pub fn probed(&mut self, route: usize, address: usize, is_good: bool) {
        self.routes[route].addresses[address].probed(is_good, &self.damping);
    }

    /// The daemon said something, or is gone. Its end counts as a failed probe of everything,
    /// and as all that were needed where it had said that it would leave.
    pub fn told(&mut self, news: News) {
        let addresses = self.routes.iter_mut().flat_map(|route| &mut route.addresses);
        match news {
            News::Serving => self.leaving = false,
            News::Leaving => self.leaving = true,
            News::Gone if self.leaving => {
                addresses.for_each(|address| *address = Address::default());
                self.leaving = false;
            }
            News::Gone => addresses.for_each(|address| address.probed(false, &self.damping)),
        }
    }

    /// What should be announced from now on, by route.
    pub fn settle(&mut self, now: Instant) -> Vec<bool> {
        let Self { damping, routes, leaving } = self;
        routes.iter_mut().map(|route| route.settle(now, *leaving, damping)).collect()
    }

    /// For how long a route will not be announced yet, whatever its probes say.
    #[must_use]
    pub fn held_for(&self, route: usize, now: Instant) -> Option<Duration> {
        self.routes[route].held_until.map(|until| until.saturating_duration_since(now))
    }
}

impl Route {
    fn settle(&mut self, now: Instant, leaving: bool, damping: &Damping) -> bool {
        self.held_until = self.held_until.filter(|until| *until > now);
        // One of which nothing is asked any more is to be withdrawn.
        let is_healthy =
            !self.addresses.is_empty() && self.addresses.iter().all(|address| address.standing.is_up);
        let wanted = is_healthy && !leaving && self.held_until.is_none();
        match self.announced {
            None if wanted => self.announced = Some(now),
            Some(since) if !wanted => {
                self.announced = None;
                if !is_healthy {
                    let has_stood = now.saturating_duration_since(since) >= damping.hold_down_max;
                    let longer = if has_stood { Duration::ZERO } else { self.hold.saturating_mul(2) };
                    self.hold = longer.max(damping.hold_down).min(damping.hold_down_max);
                    self.held_until = Some(now + self.hold);
                }
            }
            _ => {}
        }
        wanted
    }
}

impl Address {
    fn probed(&mut self, is_good: bool, damping: &Damping) {
        self.is_adopted = false;
        self.standing.probed(is_good, damping.fall, damping.rise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAMPING: Damping = Damping {
        fall: 2,
        rise: 5,
        hold_down: Duration::from_secs(10),
        hold_down_max: Duration::from_secs(60),
    };

    /// A state of one route with one address, and a clock.
    struct Bench {
        state: State,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { state: State::new(DAMPING, [1]), now: Instant::now() }
        }

        /// One that has just been announced.
        fn announced() -> Self {
            let mut bench = Self::new();
            assert_eq!(bench.probes(true, 5), "....A");
            bench
        }

        /// Probes, one a second; whether it is announced behind each.
        fn probes(&mut self, is_good: bool, count: usize) -> String {
            let mut probe = || {
                self.state.probed(0, 0, is_good);
                let announced = self.settle();
                self.now += SECOND;
                if announced { 'A' } else { '.' }
            };
            std::iter::repeat_with(&mut probe).take(count).collect()
        }

        fn told(&mut self, news: News) -> bool {
            self.state.told(news);
            self.settle()
        }

        fn settle(&mut self) -> bool {
            self.state.settle(self.now)[0]
        }

        /// Takes it down and lets it come back; the seconds for which it was gone.
        fn flap(&mut self) -> usize {
            assert_eq!(self.probes(false, 2), "A.");
            let gone = (0..1000).take_while(|_| self.probes(true, 1) == ".").count();
            // It fell a second before the first of them.
            gone + 1
        }
    }

    #[test]
    fn it_takes_five_good_probes_to_rise_and_two_bad_ones_to_fall() {
        let mut bench = Bench::new();
        assert_eq!(bench.probes(true, 4), "....");
        assert_eq!(bench.probes(false, 1), ".");
        assert_eq!(bench.probes(true, 6), "....AA", "five in a row");
        assert_eq!(bench.probes(false, 1) + &bench.probes(true, 1), "AA");
        assert_eq!(bench.probes(false, 3), "A..", "two in a row");
    }

    #[test]
    fn what_fell_is_held_down_for_longer_each_time_up_to_the_most() {
        let mut bench = Bench::announced();
        let gone: Vec<usize> = (0..6).map(|_| bench.flap()).collect();
        assert_eq!(gone, [10, 20, 40, 60, 60, 60]);
        assert_eq!(bench.probes(true, 60), "A".repeat(60));
        assert_eq!(bench.flap(), 10, "it has stood for the longest hold-down");
    }

    #[test]
    fn a_hold_down_that_is_over_leaves_the_probes_to_decide() {
        let mut bench = Bench::announced();
        bench.probes(false, 2);
        assert_eq!(bench.state.held_for(0, bench.now), Some(9 * SECOND));
        assert_eq!(bench.probes(false, 20), ".".repeat(20));
        assert_eq!(bench.probes(true, 5), "....A");
        assert_eq!(bench.state.held_for(0, bench.now), None);
    }

    #[test]
    fn a_drain_withdraws_at_once_and_its_end_announces_at_once() {
        let mut bench = Bench::announced();
        assert!(!bench.told(News::Leaving));
        assert_eq!(bench.probes(true, 10), ".".repeat(10));
        assert!(bench.told(News::Serving));
        assert_eq!(bench.flap(), 10, "a drain was no fall");
    }

    #[test]
    fn the_end_of_a_daemon_is_a_failed_probe() {
        let mut bench = Bench::announced();
        assert!(bench.told(News::Gone));
        assert_eq!(bench.probes(false, 1), ".", "with the one that follows at once it is two");
        // One that has a successor answers the probe that follows.
        let mut bench = Bench::announced();
        assert!(bench.told(News::Gone));
        assert_eq!(bench.probes(true, 1), "A");
    }

    #[test]
    fn the_end_of_one_that_was_leaving_takes_everything_down_and_is_no_fall() {
        let mut bench = Bench::announced();
        bench.told(News::Leaving);
        assert!(!bench.told(News::Gone));
        assert_eq!(bench.probes(true, 5), "....A", "not held down, but it must rise");
        // A restart in which the daemon is not there at first.
        bench.told(News::Leaving);
        bench.told(News::Gone);
        assert_eq!(bench.probes(false, 3), "...");
        assert!(!bench.told(News::Serving));
        assert_eq!(bench.probes(true, 5), "....A");
    }

    #[test]
    fn what_was_announced_before_stays_if_its_first_probes_are_good() {
        for (answers, is_kept) in [([true; 3], true), ([true, true, false], false)] {
            let (mut state, now) = (State::new(DAMPING, [3, 1]), Instant::now());
            state.adopt(0, now);
            assert_eq!((state.settle(now), state.is_judged()), (vec![true, false], false));
            for (address, is_good) in answers.into_iter().enumerate() {
                assert!(!state.is_judged(), "{address} was not probed yet");
                state.probed(0, address, is_good);
            }
            assert!(state.is_judged());
            assert_eq!(state.settle(now), [is_kept, false]);
            assert_eq!(state.held_for(0, now).is_some(), !is_kept, "it fell");
            // From then on it takes as many bad ones as ever.
            state.probed(0, 0, false);
            assert_eq!(state.settle(now), [is_kept, false]);
        }
    }

    #[test]
    fn other_settings_leave_a_route_as_it_is() {
        let mut bench = Bench::announced();
        bench.told(News::Leaving);
        let mut state =
            bench.state.changed(Damping { rise: 1, ..DAMPING }, [(2, None), (1, Some(0)), (0, None)]);
        assert_eq!(state.settle(bench.now), [false; 3]);
        state.told(News::Serving);
        assert_eq!(state.settle(bench.now), [false, true, false], "one without addresses is not announced");
        (0..2).for_each(|address| state.probed(0, address, true));
        assert_eq!(state.settle(bench.now), [true, true, false]);
    }

    #[test]
    fn each_route_stands_for_itself_and_needs_all_of_its_addresses() {
        let mut state = State::new(DAMPING, [3, 1]);
        let now = Instant::now();
        for _ in 0..5 {
            (0..3).for_each(|address| state.probed(0, address, true));
            state.probed(1, 0, true);
        }
        assert_eq!(state.settle(now), [true, true]);
        for _ in 0..2 {
            state.probed(0, 2, false);
        }
        assert_eq!(state.settle(now), [false, true]);
        state.told(News::Leaving);
        assert_eq!(state.settle(now), [false, false]);
    }

    #[test]
    fn whatever_happens_it_is_announced_only_while_all_is_well() {
        let mut seed: u64 = 112;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let mut bench = Bench::new();
        let (mut bad, mut leaving, mut was) = (0_u32, false, false);
        let (mut fell, mut falls) = (None::<Instant>, 0);
        for _ in 0..20_000 {
            match random(40) {
                0 => (leaving, _) = (true, bench.state.told(News::Leaving)),
                1 => (leaving, _) = (false, bench.state.told(News::Serving)),
                2 => {
                    bench.state.told(News::Gone);
                    bad = if leaving { DAMPING.fall } else { bad + 1 };
                    leaving = false;
                }
                number => {
                    let is_good = number > 5;
                    bench.state.probed(0, 0, is_good);
                    bad = if is_good { 0 } else { bad + 1 };
                }
            }
            bench.now += Duration::from_millis(random(1000));
            let is = bench.settle();
            assert!(!(is && (leaving || bad >= DAMPING.fall)), "it is announced and should not be");
            if was && !is && !leaving {
                (fell, falls) = (Some(bench.now), falls + 1);
            }
            if is && !was {
                let held = fell.map_or(Duration::MAX, |fell| bench.now - fell);
                assert!(held >= DAMPING.hold_down, "it came back after {held:?}");
            }
            was = is;
        }
        assert!(falls > 10, "{falls}");
    }
}
