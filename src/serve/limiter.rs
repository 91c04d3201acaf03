//! A rate limit for each network of clients, and the table of the networks that ask most.
//!
//! A network has an allowance that fills by itself: so many queries a second, and as many at once as a second
//! brings. What a network has used is one number, the time at which its allowance is full again (the generic
//! cell rate algorithm); what is over the limit uses nothing, so a network gets its rate whatever else it
//! sends.
//!
//! The table is a cache of networks, eight to a line of the processor's. A network that finds no place takes
//! that of the one in its line that has used least, and begins with a full allowance. So whoever is forgotten
//! gets more than the limit, never less: ten million forged sources make the table forget, but what they
//! forget is the networks that ask little, which the limit is not for. The secret of the hash keeps a sender
//! from choosing networks that share a line.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use ipnet::IpNet;

use super::networks::Networks;
use crate::dns::arrival::Pace;
use crate::limits::RATE_LIMIT_LINES;

/// Networks of a line.
const WAYS: usize = 8;
/// Nanoseconds of a tick.
const TICK_NS: u64 = 64;
const TICKS_PER_SECOND: u64 = 1_000_000_000 / TICK_NS;
const _: () = assert!(TICKS_PER_SECOND * TICK_NS == 1_000_000_000);
/// The low bits of a word of the table are a time in ticks, modulo 19 hours; the others tell networks of a
/// line apart.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;
const _: () = assert!(RATE_LIMIT_LINES.is_power_of_two() && RATE_LIMIT_LINES <= 1 << TIME_BITS);

/// What is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Queries a second of one network that one shard answers.
    pub per_second: u32,
    /// Limits nothing, and counts.
    pub dry_run: bool,
    /// One in this many queries over the limit gets a truncated reply, which sends a resolver to TCP.
    pub slip: u32,
    /// Bits of an IPv4 network, at most 32.
    pub ipv4_prefix: u8,
    /// Bits of an IPv6 network, at most 64.
    pub ipv6_prefix: u8,
    /// Networks without a limit.
    pub exempt: Vec<IpNet>,
}

/// The limit, as shards need it.
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// Ticks that one query uses.
    step: u64,
    ipv4_mask: u32,
    ipv6_mask: u64,
    dry_run: bool,
    slip: u32,
    exempt: Networks,
}

impl RateLimit {
    /// For these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            step: (TICKS_PER_SECOND / u64::from(settings.per_second.max(1))).max(1),
            ipv4_mask: u32::MAX.checked_shl(32 - u32::from(settings.ipv4_prefix.min(32))).unwrap_or(0),
            ipv6_mask: u64::MAX.checked_shl(64 - u32::from(settings.ipv6_prefix.min(64))).unwrap_or(0),
            dry_run: settings.dry_run,
            slip: settings.slip.max(1),
            exempt: Networks::new(&settings.exempt),
        }
    }

    /// A number for the network of an address. Those of IPv4 have a bit that no address of IPv6 in use has.
    #[inline]
    fn network(&self, address: IpAddr) -> u64 {
        match address.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits() & self.ipv4_mask) | 1 << 63,
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64 & self.ipv6_mask,
        }
    }

    /// What is used of the allowance that is full again at `time`, in ticks. A time that has passed, however
    /// long ago, and one that no network can have reached, are a full allowance.
    #[inline]
    const fn used(time: u64, now: u64) -> u64 {
        let used = time.wrapping_sub(now) & TIME;
        if used <= TICKS_PER_SECOND { used } else { 0 }
    }
}

/// The networks that ask most, of one shard.
#[derive(Debug)]
pub struct Limiter {
    words: Vec<u64>,
    /// Where the first line of the processor's begins.
    first: usize,
    secret: [u64; 2],
    began: Instant,
    /// Ticks since then.
    now: u64,
    /// Queries over the limit until one slips.
    to_slip: u32,
}

/// The place of a network in the table, and what its query gets.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What it gets.
    pub pace: Pace,
    at: usize,
    /// The word there once the query is charged.
    charged: u64,
}

impl Default for Limiter {
    fn default() -> Self {
        // Zeros that nobody has touched take no memory: without a limit there is none of it.
        let words = vec![0_u64; RATE_LIMIT_LINES * WAYS + WAYS - 1];
        let first = words.as_ptr().align_offset(WAYS * size_of::<u64>()).min(WAYS - 1);
        let random = RandomState::new();
        let secret = [random.hash_one(0), random.hash_one(1) | 1];
        Self { words, first, secret, began: Instant::now(), now: 0, to_slip: 0 }
    }
}

impl Limiter {
    /// Bytes of one.
    #[must_use]
    pub const fn memory_len() -> usize {
        size_of::<Self>() + (RATE_LIMIT_LINES * WAYS + WAYS - 1) * size_of::<u64>()
    }

    /// It is `now`: to be called once per batch.
    #[inline]
    pub fn tick(&mut self, now: Instant) {
        let passed = now.duration_since(self.began);
        self.now = passed.as_secs() * TICKS_PER_SECOND + u64::from(passed.subsec_nanos()) / TICK_NS;
    }

    /// What a query from `address` gets, unless it has a valid cookie. It is to be charged if it is answered.
    #[inline]
    pub fn look(&mut self, limit: &RateLimit, address: IpAddr) -> Claim {
        let product = u128::from(limit.network(address) ^ self.secret[0]) * u128::from(self.secret[1]);
        let hash = product as u64 ^ (product >> 64) as u64;
        let tag = hash & !TIME;
        let line_at = self.first + (hash as usize & (RATE_LIMIT_LINES - 1)) * WAYS;
        let Some(line) = self.words.get(line_at..).and_then(<[u64]>::first_chunk::<WAYS>) else {
            return Claim { pace: Pace::Within, at: usize::MAX, charged: 0 };
        };
        let mut way = WAYS;
        for (at, word) in line.iter().enumerate() {
            if word & !TIME == tag {
                way = at;
            }
        }
        let used = match line.get(way) {
            Some(word) => RateLimit::used(*word, self.now),
            None => {
                way = self.least_used(line);
                0
            }
        };
        let charged = tag | (self.now + used + limit.step) & TIME;
        let is_over = used + limit.step > TICKS_PER_SECOND;
        let pace = if is_over { self.over(limit, address) } else { Pace::Within };
        Claim { pace, at: line_at + way, charged }
    }

    /// The network of a line that has used least.
    #[inline]
    fn least_used(&self, line: &[u64; WAYS]) -> usize {
        let used = line.iter().map(|word| RateLimit::used(*word, self.now)).enumerate();
        used.min_by_key(|(_, used)| *used).map_or(0, |(way, _)| way)
    }

    #[cold]
    fn over(&mut self, limit: &RateLimit, address: IpAddr) -> Pace {
        if limit.exempt.contains(address) {
            return Pace::Exempt;
        }
        if limit.dry_run {
            return Pace::DryRun;
        }
        if self.to_slip == 0 {
            self.to_slip = limit.slip - 1;
            return Pace::Slip;
        }
        self.to_slip -= 1;
        Pace::Drop
    }

    /// The query was answered: its network has used as much.
    #[inline]
    pub fn charge(&mut self, claim: &Claim) {
        if let Some(word) = self.words.get_mut(claim.at) {
            *word = claim.charged;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::serve::tests::Random;

    fn settings() -> Settings {
        let exempt = vec!["203.0.113.0/24".parse().unwrap()];
        Settings { per_second: 100, dry_run: false, slip: 1, ipv4_prefix: 24, ipv6_prefix: 56, exempt }
    }

    /// A limiter and its clock.
    struct Bench {
        limiter: Limiter,
        limit: RateLimit,
        now: Instant,
    }

    impl Bench {
        fn new(change: impl FnOnce(&mut Settings)) -> Self {
            let mut settings = settings();
            change(&mut settings);
            let limiter = Limiter::default();
            Self { now: limiter.began, limiter, limit: RateLimit::new(&settings) }
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.limiter.tick(self.now);
        }

        /// A query that is answered if it is within the limit.
        fn ask(&mut self, address: impl Into<IpAddr>) -> Pace {
            let claim = self.limiter.look(&self.limit, address.into());
            if claim.pace == Pace::Within {
                self.limiter.charge(&claim);
            }
            claim.pace
        }

        /// How many of so many queries at once are within the limit.
        fn within(&mut self, address: &str, queries: usize) -> usize {
            let address: IpAddr = address.parse().unwrap();
            (0..queries).filter(|_| self.ask(address) == Pace::Within).count()
        }
    }

    #[test]
    fn a_network_has_its_rate_and_a_second_of_it_at_once() {
        let mut bench = Bench::new(|_| ());
        assert_eq!(bench.within("192.0.2.1", 1000), 100);
        assert_eq!(bench.within("192.0.2.200", 1000), 0, "of the same network");
        assert_eq!(bench.within("::ffff:192.0.2.7", 1000), 0, "mapped");
        assert_eq!(bench.within("192.0.3.1", 1000), 100, "another network");
        assert_eq!(bench.within("2001:db8::1", 1000), 100);
        assert_eq!(bench.within("2001:db8:0:ff::1", 1000), 0, "of the same /56");
        assert_eq!(bench.within("2001:db8:0:100::1", 1000), 100);
        bench.pass(Duration::from_millis(500));
        assert_eq!(bench.within("192.0.2.1", 1000), 50, "what is refused uses nothing");
        for _ in 0..1000 {
            bench.pass(Duration::from_millis(10));
            assert_eq!(bench.within("192.0.2.1", 7), 1);
        }
        // After an hour, a day, and the time at which the ticks begin anew.
        for hours in [1, 24, 19] {
            bench.pass(Duration::from_secs(hours * 3600 + 1955));
            assert_eq!(bench.within("192.0.2.1", 1000), 100);
        }
    }

    #[test]
    fn every_rate_is_kept_to_a_few_in_a_hundred() {
        for rate in [1, 3, 999, 12_345, 1_000_000] {
            let mut bench = Bench::new(|settings| settings.per_second = rate);
            let mut within = 0;
            bench.within("192.0.2.1", 1_100_000);
            for _ in 0..1000 {
                bench.pass(Duration::from_millis(10));
                within += bench.within("192.0.2.1", rate.div_ceil(50) as usize);
            }
            let (by_second, rate) = (within as f64 / 10.0, f64::from(rate));
            assert!((0.99 * rate..1.05 * rate + 0.1).contains(&by_second), "{rate}: {by_second}");
        }
    }

    #[test]
    fn what_is_over_the_limit_slips_or_is_dropped_and_some_are_exempt() {
        let mut bench = Bench::new(|settings| settings.slip = 3);
        assert_eq!(bench.within("192.0.2.1", 100), 100);
        let of: IpAddr = "192.0.2.1".parse().unwrap();
        let paces = [0; 6].map(|_| bench.ask(of));
        assert_eq!(paces, [Pace::Slip, Pace::Drop, Pace::Drop, Pace::Slip, Pace::Drop, Pace::Drop]);
        assert_eq!(bench.within("203.0.113.1", 101), 100);
        assert_eq!(bench.ask("203.0.113.1".parse::<IpAddr>().unwrap()), Pace::Exempt);
        let mut bench = Bench::new(|settings| settings.dry_run = true);
        assert_eq!(bench.within("192.0.2.1", 100), 100);
        assert_eq!(bench.ask(of), Pace::DryRun);
    }

    #[test]
    fn prefixes_are_as_long_as_configured() {
        let mut bench = Bench::new(|settings| (settings.ipv4_prefix, settings.ipv6_prefix) = (32, 64));
        for one in ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"] {
            assert_eq!(bench.within(one, 1000), 100, "{one}");
        }
        let mut bench = Bench::new(|settings| (settings.ipv4_prefix, settings.ipv6_prefix) = (8, 32));
        for (first, second) in [("10.0.0.1", "10.255.0.1"), ("2001:db8::1", "2001:db8:ffff::1")] {
            assert_eq!((bench.within(first, 1000), bench.within(second, 1000)), (100, 0));
        }
    }

    /// Ten million forged sources in ten seconds, and beside them resolvers below the limit, one of them at
    /// nine tenths of it; and one network that queries are forged in the name of.
    #[test]
    fn ten_million_forged_sources_harm_no_honest_one_and_hide_no_target() {
        const FORGED: usize = 10_000_000;
        const ROUNDS: usize = 1000;
        let mut bench = Bench::new(|settings| settings.per_second = 1000);
        let mut random = Random::new();
        let honest: Vec<IpAddr> = (0..200).map(|n| IpAddr::from([192, 0, n, 1])).collect();
        let busy = IpAddr::from([198, 51, 100, 1]);
        let target = IpAddr::from([203, 0, 112, 1]);
        let (mut asked, mut refused, mut reflected) = (0, 0, 0);
        for _ in 0..ROUNDS {
            bench.pass(Duration::from_millis(10));
            for _ in 0..FORGED / ROUNDS / 10 {
                for _ in 0..9 {
                    bench.ask((random.below(1 << 32) as u32).to_be_bytes());
                }
                // Of a million queries a second one in ten is in the name of the target.
                reflected += u32::from(bench.ask(target) == Pace::Within);
            }
            let of_busy = (0..9).map(|_| busy);
            for source in honest.iter().copied().chain(of_busy) {
                asked += 1;
                refused += u32::from(bench.ask(source) != Pace::Within);
            }
        }
        assert_eq!(asked, 209 * ROUNDS);
        assert!(refused as usize * 100 < asked, "{refused} of {asked}");
        // Ten seconds of its rate, and a second at once.
        assert!((10_000..=11_100).contains(&reflected), "{reflected}");
    }

    /// More networks at the limit than there are places: each is limited or not, and nobody else is.
    #[test]
    fn a_full_table_limits_nobody_who_is_below_the_limit() {
        let mut bench = Bench::new(|settings| settings.per_second = 2);
        let networks = 2 * (RATE_LIMIT_LINES * WAYS) as u32;
        for round in 0..4 {
            for network in 0..networks {
                let limited = bench.ask((network << 8).to_be_bytes()) != Pace::Within;
                assert!(!limited || round >= 2, "two at once are within the limit");
            }
        }
    }

    #[test]
    fn the_table_begins_on_a_line_and_is_of_the_size_that_is_told() {
        let limiter = Limiter::default();
        assert_eq!(&raw const limiter.words[limiter.first] as usize % 64, 0);
        let words = limiter.words.len();
        assert!(limiter.first + RATE_LIMIT_LINES * WAYS <= words);
        assert_eq!(Limiter::memory_len(), size_of::<Limiter>() + words * 8);
        assert_ne!(limiter.secret, Limiter::default().secret, "each has a secret of its own");
    }
}
