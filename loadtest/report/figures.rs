//! Figures from samples: medians over rounds, and how they stand against what we aim at.

use std::collections::BTreeMap;

use super::super::bounds::{ADDRESSES, LOADS, LOSS_MAX, MANY_ZONES};
use super::super::measure::Summary;
use super::super::servers::{Engine, Subject};
use super::growth::{CPU, Figure, MEMORY, P50, P99, START};
use super::{Frames, Grows, Report, Sample, Section};

/// The three servers of others.
const PEERS: [&str; 3] = ["NSD", "Knot DNS", "BIND"];
/// Those whose latency and highest rate are the mark.
const FAST_PEERS: [&str; 2] = ["NSD", "Knot DNS"];
/// The load whose latency is bounded by itself, in percent.
const MIDDLE_LOAD: u64 = 50;
/// The most that a start may take, in milliseconds, and the most memory with one shard, in MiB.
const START_MS_MAX: f64 = 50.0;
const MEMORY_MIB_MAX: f64 = 12.0 + 2.0;

/// What an answer over UDP may cost: how it is measured, and the ratios to [`PEERS`] and a bare echo.
type UdpAims = (Section, &'static str, [f64; 4]);
const UDP_AIMS: [UdpAims; 3] = [
    (Section::Udp, "CPU per query over UDP", [0.84, 0.70, 0.33, 1.03]),
    (Section::Flood, "CPU per query over UDP, flood", [0.84, 0.70, 0.33, 1.03]),
    (Section::Rps, "CPU per query over UDP, client's side elsewhere", [0.82, 0.62, 0.33, 1.03]),
];

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    pub fn words(self) -> String {
        match self {
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::AtLeast(bound) => format!("at least {bound}"),
        }
    }
}

/// One line of the table: a figure of ours, that of another server, and what the ratio has to be.
#[derive(Clone, Debug)]
pub struct Target {
    pub what: String,
    pub unit: &'static str,
    pub ours: (String, Option<Summary>),
    /// Nothing where the figure itself is bounded.
    pub theirs: Option<(String, Option<Summary>)>,
    pub aim: Aim,
}

impl Target {
    /// What is compared with the aim, if it was measured.
    pub fn value(&self) -> Option<f64> {
        let ours = self.ours.1?.median;
        match &self.theirs {
            None => Some(ours),
            Some((_, theirs)) => Some(ours / theirs.filter(|theirs| theirs.median > 0.0)?.median),
        }
    }

    /// Whether the aim is reached; nothing if it was not measured.
    pub fn holds(&self) -> Option<bool> {
        self.value().map(|value| self.aim.holds(value))
    }
}

impl Report {
    /// The servers that have samples in a section, in the order of the report.
    pub fn servers_in(&self, section: Section) -> Vec<&str> {
        let names = self.servers.iter().map(|server| server.name.as_str());
        names.filter(|name| self.of(section, name).next().is_some()).collect()
    }

    /// Microseconds of CPU time for an answer.
    pub fn cpu(&self, section: Section, server: &str) -> Option<Summary> {
        Summary::of(self.of(section, server).filter_map(Sample::cpu_us))
    }

    pub fn best(&self, section: Section, server: &str) -> Option<Summary> {
        let bests = self.bests.iter().filter(|best| best.section == section && best.server == server);
        Summary::of(bests.map(|best| best.rate))
    }

    /// A percentile of the latency at a share of the peers' highest rate, in milliseconds.
    pub fn latency(&self, server: &str, load: u64, percentile: &str) -> Option<Summary> {
        let samples = self.of(Section::Latency, server).filter(|sample| sample.load == Some(load));
        Summary::of(samples.filter_map(|sample| sample.run.latency_ms.get(percentile).copied()))
    }

    /// Whether a server answers at a share of the peers' highest rate. One that drops what would have waited
    /// is no mark for the latency of the others.
    fn keeps_up(&self, server: &str, load: u64) -> bool {
        let samples = self.of(Section::Latency, server).filter(|sample| sample.load == Some(load));
        Summary::of(samples.map(Sample::loss)).is_some_and(|loss| loss.median <= LOSS_MAX)
    }

    /// Nanoseconds of our program in the driver for a frame of a kind.
    pub fn frame_ns(&self, frames: Frames) -> Option<Summary> {
        let times = self.frames.iter().filter(|time| time.frames == frames && time.count > 0);
        Summary::of(times.map(|time| time.ns))
    }

    /// The same without what the kernel's measuring takes, which is in the time of an empty program alone.
    pub fn program_ns(&self, frames: Frames) -> Option<Summary> {
        let (measuring, all) = (self.frame_ns(Frames::Nothing)?.median, self.frame_ns(frames)?);
        let [median, min, max] = [all.median, all.min, all.max].map(|ns| ns - measuring);
        Some(Summary { median, min, max, ..all })
    }

    pub fn first_answer(&self, server: &str) -> Option<Summary> {
        let starts = self.starts.iter().filter(|start| start.server == server);
        Summary::of(starts.filter_map(|start| start.first_answer_ms))
    }

    pub fn memory_mib(&self, server: &str) -> Option<Summary> {
        let starts = self.starts.iter().filter(|start| start.server == server);
        Summary::of(starts.filter_map(|start| start.resident_kib).map(|kib| kib as f64 / 1024.0))
    }

    /// The median by rate of what was offered: answers a second and p99, for the curve of a section.
    pub fn curve(&self, section: Section, server: &str) -> Vec<(f64, f64)> {
        let mut by_offered: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for sample in self.of(section, server) {
            if let Some(offered) = sample.offered {
                by_offered.entry(offered).or_default().push(sample.rate());
            }
        }
        let medians =
            by_offered.into_iter().filter_map(|(offered, rates)| Some((offered, Summary::of(rates)?)));
        medians.map(|(offered, rate)| (offered as f64, rate.median)).collect()
    }

    /// What we aim at in the driver.
    fn driver_targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let io_uring = Subject::Ours(Engine::IoUring).name();
        let in_driver = Subject::OursInDriver.name();
        for other in [Subject::KnotInDriver.name(), io_uring] {
            targets.push(Target {
                what: "highest rate across a veth pair, XDP".to_owned(),
                unit: "/s",
                ours: (in_driver.to_owned(), self.best(Section::Veth, in_driver)),
                theirs: Some((other.to_owned(), self.best(Section::Veth, other))),
                aim: Aim::AtLeast(2.5),
            });
        }
        let knot = Subject::KnotInDriver.name();
        targets.push(Target {
            what: "answers at the most, XDP".to_owned(),
            unit: "/s",
            ours: (in_driver.to_owned(), self.best(Section::Ceiling, in_driver)),
            theirs: Some((knot.to_owned(), self.best(Section::Ceiling, knot))),
            aim: Aim::AtLeast(4.0),
        });
        for (frames, what, bound) in [
            (Frames::BuiltIn, "XDP program, per frame, without the measuring", 120.0),
            (
                Frames::Operators,
                "XDP program with a thousand configured zones, per frame, without the measuring",
                150.0,
            ),
        ] {
            targets.push(Target {
                what: what.to_owned(),
                unit: "ns",
                ours: (in_driver.to_owned(), self.program_ns(frames)),
                theirs: None,
                aim: Aim::AtMost(bound),
            });
        }
        targets
    }

    /// All that we aim at, whether it was measured or not.
    pub fn targets(&self) -> Vec<Target> {
        let ours = [Engine::IoUring, Engine::Mmsg];
        let mut targets: Vec<Target> = UDP_AIMS
            .iter()
            .flat_map(|aims| ours.into_iter().flat_map(move |engine| self.udp_targets(engine, aims)))
            .collect();
        let io_uring = Subject::Ours(Engine::IoUring).name();
        for peer in FAST_PEERS {
            targets.push(Target {
                what: "highest rate across a veth pair, less than 0.1 % lost".to_owned(),
                unit: "/s",
                ours: (io_uring.to_owned(), self.best(Section::Veth, io_uring)),
                theirs: Some((peer.to_owned(), self.best(Section::Veth, peer))),
                aim: Aim::AtLeast(1.2),
            });
        }
        targets.extend(self.driver_targets());
        for (section, what, bound) in [
            (Section::Tcp, "CPU per query over TCP", 0.55),
            (Section::TcpEach, "CPU per query over TCP, one connection per query", 0.85),
        ] {
            let cheapest = least(PEERS, |peer| self.cpu(section, peer));
            let ours = (io_uring.to_owned(), self.cpu(section, io_uring));
            targets.push(Target {
                what: what.to_owned(),
                unit: "µs",
                ours,
                theirs: Some(cheapest),
                aim: Aim::AtMost(bound),
            });
        }
        targets.push(self.shards_target(io_uring));
        targets.extend(self.zones_targets(io_uring));
        for name in ours.map(|engine| Subject::Ours(engine).name()) {
            targets.extend(self.addresses_targets(name));
            targets.extend(self.latency_targets(name));
        }
        let alone = |what: &str, unit, ours, bound| Target {
            what: what.to_owned(),
            unit,
            ours: (io_uring.to_owned(), ours),
            theirs: None,
            aim: Aim::AtMost(bound),
        };
        for engine in ours {
            let server = Subject::Ours(engine).name();
            let runs: Vec<_> = self.changes.iter().filter(|run| run.server == server).collect();
            let changes = runs.iter().map(|run| run.done).sum::<usize>();
            let lost = runs.iter().map(|run| run.lost as f64).reduce(|sum, lost| sum + lost);
            targets.push(Target {
                ours: (server.to_owned(), Summary::of(lost)),
                ..alone(&format!("queries lost in {changes} reloads and upgrades"), "", None, 0.0)
            });
        }
        targets.push(alone("start to first answer", "ms", self.first_answer(io_uring), START_MS_MAX));
        targets.push(alone("memory after the UDP run", "MiB", self.memory_mib(io_uring), MEMORY_MIB_MAX));
        targets
    }

    fn udp_targets(&self, engine: Engine, aims: &UdpAims) -> Vec<Target> {
        let (section, what, bounds) = aims;
        let ours = Subject::Ours(engine).name();
        let target = |(theirs, bound): (&str, f64)| Target {
            what: (*what).to_owned(),
            unit: "µs",
            ours: (ours.to_owned(), self.cpu(*section, ours)),
            theirs: Some((theirs.to_owned(), self.cpu(*section, theirs))),
            aim: Aim::AtMost(bound),
        };
        let others = PEERS.into_iter().chain([Subject::Echo(engine).name()]);
        others.zip(*bounds).map(target).collect()
    }

    /// Latency with one address and with ten, at half of what the better of the fast peers answers.
    fn addresses_targets(&self, ours: &str) -> Vec<Target> {
        let figures = [("p50", P50.3), ("p99", P99.3)];
        let target = |at: usize, (percentile, figure): (&str, Figure)| Target {
            what: format!("{percentile} at half of a peer's highest rate, addresses: {at}"),
            unit: "ms",
            ours: (ours.to_owned(), self.grown(Grows::Addresses, at, ours, figure)),
            theirs: Some(least(FAST_PEERS, |peer| self.grown(Grows::Addresses, at, peer, figure))),
            aim: Aim::AtMost(1.0),
        };
        ADDRESSES.iter().flat_map(|&at| figures.map(|figure| target(at, figure))).collect()
    }

    /// With as many zones as we compare, against the better of the fast peers.
    fn zones_targets(&self, ours: &str) -> Vec<Target> {
        let figures = [
            ("CPU per query", "µs", CPU.3),
            ("from start until all are answered", "ms", START.3),
            ("memory", "MiB", MEMORY.3),
        ];
        let target = |at: usize, (what, unit, figure): (&str, &'static str, Figure)| Target {
            what: format!("{at} zones: {what}"),
            unit,
            ours: (ours.to_owned(), self.grown(Grows::Zones, at, ours, figure)),
            theirs: Some(least(FAST_PEERS, |peer| self.grown(Grows::Zones, at, peer, figure))),
            aim: Aim::AtMost(0.5),
        };
        MANY_ZONES.into_iter().flat_map(|at| figures.map(|figure| target(at, figure))).collect()
    }

    fn shards_target(&self, ours: &str) -> Target {
        let with = |shards: usize| {
            let samples = self.of(Section::Shards, ours).filter(move |sample| sample.shards == shards);
            Summary::of(samples.filter_map(Sample::cpu_us))
        };
        Target {
            what: "CPU per query, two shards against one".to_owned(),
            unit: "µs",
            ours: ("two shards".to_owned(), with(2)),
            theirs: Some(("one shard".to_owned(), with(1))),
            aim: Aim::AtMost(1.1),
        }
    }

    fn latency_targets(&self, ours: &str) -> Vec<Target> {
        let mut targets = Vec::new();
        for percentile in ["p50", "p99"] {
            targets.push(Target { aim: Aim::AtMost(1.0), ..self.latency_at(ours, MIDDLE_LOAD, percentile) });
            targets.extend(self.latency_target(ours, percentile));
        }
        targets
    }

    fn latency_at(&self, ours: &str, load: u64, percentile: &str) -> Target {
        Target {
            what: format!("{percentile} at {load} % of the peers' highest rate"),
            unit: "ms",
            ours: (ours.to_owned(), self.latency(ours, load, percentile)),
            theirs: Some(least(FAST_PEERS, |peer| {
                self.latency(peer, load, percentile).filter(|_| self.keeps_up(peer, load))
            })),
            aim: Aim::AtMost(1.1),
        }
    }

    /// The load at which we stand worst; one line for all of them if none was measured.
    fn latency_target(&self, ours: &str, percentile: &str) -> Option<Target> {
        let at = |load: u64| self.latency_at(ours, load, percentile);
        let order = |target: &Target| target.value().unwrap_or(f64::MIN);
        let worst = LOADS.map(at).into_iter().max_by(|one, other| order(one).total_cmp(&order(other)))?;
        Some(Target { what: format!("{}, in our worst case", worst.what), ..worst })
    }
}

/// The server with the least median.
fn least<const N: usize>(
    names: [&str; N],
    figure: impl Fn(&str) -> Option<Summary>,
) -> (String, Option<Summary>) {
    let measured = names.iter().filter_map(|name| Some((*name, figure(name)?)));
    // A time too short to be seen is none to compare with.
    let measured = measured.filter(|(_, summary)| summary.median > 0.0);
    let found = measured.min_by(|one, other| one.1.median.total_cmp(&other.1.median));
    found.map_or_else(|| (names.join(" or "), None), |(name, summary)| (name.to_owned(), Some(summary)))
}

#[cfg(test)]
pub mod tests {
    use super::super::super::measure::Limit;
    use super::super::super::servers::Counted;
    use super::super::super::tools::Run;
    use super::super::{Best, FrameTime, Grown, ServerFacts, Start};
    use super::*;

    fn sample(section: Section, server: &str, round: usize, cost_us: f64) -> Sample {
        let latency_ms = [("p50", 0.1), ("p99", cost_us / 10.0), ("p99.9", 1.0)];
        Sample {
            section,
            server: server.to_owned(),
            round,
            shards: 1,
            offered: Some(1000 + round as u64 % 2),
            load: (section == Section::Latency).then_some(50),
            run: Run {
                sent: 1_000_000,
                answered: 999_000,
                seconds: 2.0,
                latency_ms: latency_ms.map(|(name, value)| (name.to_owned(), value)).into(),
                ..Run::default()
            },
            served: 1_000_000,
            counted: Counted::Server,
            server_cpu: cost_us,
            server_user: cost_us / 10.0,
            generator_cpu: 1.0,
            server_busy: 1.0,
            generator_busy: 0.5,
            limit: Limit::Server,
        }
    }

    /// Ours costs 2 us, NSD 4, Knot 3, an echo 1.9.
    pub fn report() -> Report {
        let servers = [("as112d io_uring", 2.0), ("echo io_uring", 1.9), ("NSD", 4.0), ("Knot DNS", 3.0)];
        let mut report = Report { rounds: 3, ..Report::default() };
        for (name, cost) in servers {
            let facts = ServerFacts {
                name: name.to_owned(),
                version: "1".to_owned(),
                command: "run".to_owned(),
                configuration: Some("a <file>".to_owned()),
            };
            report.servers.push(facts);
            for round in 0..3 {
                for section in [Section::Udp, Section::Latency, Section::Ramp] {
                    report.samples.push(sample(section, name, round, cost + round as f64 / 100.0));
                }
                let rate = 1e6 / cost;
                let server = name.to_owned();
                report.bests.push(Best {
                    section: Section::Ramp,
                    server,
                    round,
                    rate,
                    is_generator_bound: false,
                });
                let (first_answer_ms, resident_kib) = (Some(cost * 10.0), Some(10_240));
                report.starts.push(Start { server: name.to_owned(), round, first_answer_ms, resident_kib });
            }
        }
        report.grown = grown();
        report
    }

    /// Ours and NSD with more zones and addresses: what they cost, take to start and need grows with them.
    fn grown() -> Vec<Grown> {
        let mut all = Vec::new();
        for round in 0..3 {
            for (grows, at) in [(Grows::Zones, 24), (Grows::Zones, 100_000), (Grows::Addresses, 10)] {
                for (server, cost) in [("as112d io_uring", 2.0), ("NSD", 4.0)] {
                    all.push(Grown {
                        grows,
                        at,
                        server: server.to_owned(),
                        round,
                        first_answers_ms: at as f64,
                        memory_kib: 10_240,
                        cpu_us: Some(cost + (round + 1) as f64 / 10.0),
                        rate: 1e6 / cost,
                        server_busy: 1.0,
                        latency_ms: [("p50", 0.02), ("p99", 0.5)]
                            .map(|(name, ms)| (name.to_owned(), ms))
                            .into(),
                    });
                }
            }
        }
        all
    }

    #[test]
    fn ratios_are_of_medians_and_judged() {
        let report = report();
        let targets = report.targets();
        let find = |what: &str, theirs: &str| {
            let matches = |target: &&Target| {
                target.what.contains(what)
                    && target.ours.0 == "as112d io_uring"
                    && target.theirs.as_ref().is_none_or(|(name, _)| name == theirs)
            };
            targets.iter().find(matches).unwrap()
        };
        let nsd = find("UDP", "NSD");
        assert!((nsd.value().unwrap() - 2.01 / 4.01).abs() < 1e-9);
        assert_eq!(nsd.holds(), Some(true));
        assert_eq!(find("UDP", "echo io_uring").holds(), Some(false), "2.01 is 1.05 of 1.91");
        assert_eq!(find("UDP", "BIND").holds(), None, "it was not measured");
        assert_eq!(find("p99", "Knot DNS").holds(), Some(true));
        assert_eq!(find("100000 zones: CPU", "NSD").value(), Some(2.2 / 4.2));
        assert_eq!(find("100000 zones: memory", "NSD").holds(), Some(false), "it is as much");
        assert_eq!(find("p99 at half of a peer's highest rate, addresses: 10", "NSD").value(), Some(1.0));
        assert_eq!(find("flood", "NSD").holds(), None);
        assert_eq!(find("p99 at 50 % of the peers' highest rate", "Knot DNS").aim, Aim::AtMost(1.0));
        assert_eq!(find("start to", "").holds(), Some(true));
        assert_eq!(find("memory after", "").value(), Some(10.0));
        assert!(
            Aim::AtLeast(1.2).holds(1.3) && !Aim::AtLeast(1.2).holds(1.1) && !Aim::AtMost(1.0).holds(1.1)
        );
    }

    #[test]
    fn a_peer_that_loses_is_no_mark_for_latency() {
        let mut report = report();
        let mark =
            |report: &Report| report.latency_target("as112d io_uring", "p99").unwrap().theirs.unwrap().0;
        assert_eq!(mark(&report), "Knot DNS");
        for sample in &mut report.samples {
            if sample.server == "Knot DNS" {
                sample.served -= 2 * sample.served / 1000;
            }
        }
        assert_eq!(mark(&report), "NSD");
    }

    #[test]
    fn what_measuring_takes_is_not_the_programs() {
        let frame = |frames, ns| FrameTime { frames, round: 0, count: 1, ns };
        let mut report = Report { frames: vec![frame(Frames::BuiltIn, 180.0)], ..Report::default() };
        assert!(report.program_ns(Frames::BuiltIn).is_none(), "what it takes is unknown");
        report.frames.extend([frame(Frames::Nothing, 50.0), frame(Frames::Nothing, 60.0)]);
        assert_eq!(report.program_ns(Frames::BuiltIn).map(|ns| (ns.median, ns.max)), Some((125.0, 125.0)));
        let targets = report.targets();
        let ours = targets.iter().find(|target| target.what.starts_with("XDP program, per frame"));
        assert_eq!(ours.and_then(Target::holds), Some(false), "at most 120 are aimed at");
    }

    #[test]
    fn samples_become_figures() {
        let report = report();
        let udp = &report.samples[0];
        assert!((udp.cpu_us().unwrap() - 2.0).abs() < 1e-9);
        assert!((udp.rate() - 500_000.0).abs() < 1e-6);
        assert!(udp.loss().abs() < 1e-9 && (udp.disagreement() - 0.001).abs() < 1e-9);
        assert_eq!(report.servers_in(Section::Veth), Vec::<&str>::new());
        assert_eq!(report.servers_in(Section::Udp).len(), 4);
        let curve = report.curve(Section::Ramp, "NSD");
        assert_eq!(curve.iter().map(|point| point.0).collect::<Vec<_>>(), [1000.0, 1001.0]);
    }
}
