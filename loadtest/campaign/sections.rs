//! The sections.

use std::time::Duration;

use super::super::Outcome;
use super::super::bounds::{
    CEILING_BEGIN, CEILING_GROWTH, CEILING_MISSES, LOADS, LOSS_MAX, RATE_BEGIN, RATE_MAX, TCP_CONNECTIONS,
};
use super::super::ceiling::{End, Replay, bind, here, mac};
use super::super::frames::Watch;
use super::super::generator::connections;
use super::super::generator::slo::search;
use super::super::measure::whole;
use super::super::netns::{INTERFACE, Namespace, Place};
use super::super::queries::operators_name;
use super::super::report::{Best, FrameTime, Frames, Section, Start};
use super::super::servers::{Engine, Server, Setting, Subject};
use super::super::tools::dnsperf::How;
use super::super::tools::{DNSPERF, FLAME, KXDPGUN, Run, Tool};
use super::Campaign;
use super::drive::Plan;

/// Queries a second of flamethrower: what all servers answer in full.
const FLAME_RATE: u64 = 50_000;
/// Rates of a quick run.
pub(super) const QUICK_RATES: [u64; 2] = [2_000, 4_000];
/// Frames a second for the time of each, and zones of an operator in that.
const FRAMES_RATE: u64 = 100_000;
const OPERATORS_ZONES: usize = 1000;
/// The least share of an offered rate that a generator must have sent for the rate to count.
const SENT_MIN: f64 = 0.97;
/// How late the generator of ours may send, in milliseconds (p99), for the same.
const LATE_MS_MAX: f64 = 5.0;

impl Campaign<'_> {
    pub(super) fn section(&mut self, section: Section) -> Outcome<()> {
        match section {
            Section::Start => self.starts(),
            Section::Udp => self.dnsperf_rounds(section, How::Udp),
            Section::Flood => self.flood_rounds(),
            Section::Rps => self.steered(),
            Section::Mix => self.dnsperf_rounds(section, How::Binary),
            Section::Tcp => self.dnsperf_rounds(section, How::Tcp),
            Section::TcpEach => match Namespace::alone() {
                // Connections by the hundred thousand fill the table in which a host's firewall tracks them.
                Ok(namespace) => namespace.inside(|| self.tcp_each()),
                Err(error) => {
                    self.skip(format!(
                        "tcpeach: namespaces: {error}; what the host's firewall tracks counts too"
                    ));
                    self.tcp_each()
                }
            },
            Section::Flame => self.flame_rounds(),
            Section::Ramp => self.ramp(),
            Section::Latency => self.latency(),
            Section::Shards => self.shards(),
            Section::Veth => self.veth(),
            Section::Ceiling => self.ceiling(),
            Section::Growth => self.growth(),
            Section::Changes => self.changes(),
        }
    }

    /// Those that do more than to echo datagrams.
    pub(super) fn real(&self) -> Vec<Subject> {
        self.subjects.iter().copied().filter(|subject| !subject.is_echo()).collect()
    }

    /// How long one run of our own generator lasts.
    pub(super) fn duration(&self) -> Duration {
        if self.is_quick { self.trial } else { Duration::from_secs(self.seconds) }
    }

    /// Whether a tool is there; what is missing is named.
    fn has(&mut self, tool: Tool, section: Section) -> bool {
        let is_there = tool.find().is_some();
        if !is_there {
            let name = format!("{section:?}").to_lowercase();
            self.skip(format!("{name}: {} is not installed; it comes with {}", tool.program, tool.origin));
        }
        is_there
    }

    /// Drives each server once in each round.
    fn rounds(
        &mut self,
        section: Section,
        servers: &[Server],
        drive: impl Fn(&Self, &Server) -> Outcome<Run>,
    ) -> Outcome<()> {
        for round in 0..self.rounds {
            for server in self.order(round, servers.len()).map(|index| &servers[index]) {
                self.step(&format!(
                    "{section:?}, round {} of {}: {}",
                    round + 1,
                    self.rounds,
                    server.subject.name()
                ))?;
                self.sample(server, Plan::new(section, round), |campaign| drive(campaign, server))?;
            }
        }
        Ok(())
    }

    fn dnsperf_rounds(&mut self, section: Section, how: How) -> Outcome<()> {
        if !self.has(DNSPERF, section) {
            return Ok(());
        }
        // An echo does not know TCP, and its replies to updates are none.
        let subjects = if how == How::Udp { self.subjects.clone() } else { self.real() };
        let servers = self.start(&subjects, &Place::loopback())?;
        self.rounds(section, &servers, |campaign, server| campaign.dnsperf(server, how))?;
        if section == Section::Udp {
            for server in servers.iter().filter(|server| !server.subject.is_echo()) {
                let resident_kib = Some(server.resident_kib());
                self.report.starts.push(Start {
                    server: server.subject.name().to_owned(),
                    round: 0,
                    first_answer_ms: None,
                    resident_kib,
                });
            }
        }
        Ok(())
    }

    fn flood_rounds(&mut self) -> Outcome<()> {
        let servers = self.start(&self.subjects.clone(), &Place::loopback())?;
        let duration = self.duration();
        self.rounds(Section::Flood, &servers, |campaign, server| {
            campaign.flood(server, &campaign.ordinary, duration)
        })
    }

    /// As over UDP, but that the client's side of the kernel works on the generator's CPU. On a loopback it
    /// works where a reply is sent otherwise, for the server's account.
    fn steered(&mut self) -> Outcome<()> {
        match Namespace::steered(self.generator_cpu) {
            Ok(namespace) => namespace.inside(|| self.dnsperf_rounds(Section::Rps, How::Udp)),
            Err(error) => {
                self.skip(format!("rps: {error}; a network namespace needs root"));
                Ok(())
            }
        }
    }

    fn flame_rounds(&mut self) -> Outcome<()> {
        if !self.has(FLAME, Section::Flame) {
            return Ok(());
        }
        let servers = self.start(&self.real(), &Place::loopback())?;
        let rate = if self.is_quick { QUICK_RATES[0] } else { FLAME_RATE };
        self.rounds(Section::Flame, &servers, |campaign, server| campaign.flame(server, rate))
    }

    fn tcp_each(&mut self) -> Outcome<()> {
        let servers = self.start(&self.real(), &Place::loopback())?;
        let duration = self.duration();
        self.rounds(Section::TcpEach, &servers, |campaign, server| {
            let (target, judge) = (server.address, server.subject.judge());
            let harvest = connections::run(
                target,
                &campaign.ordinary,
                TCP_CONNECTIONS,
                duration,
                connections::PATIENCE,
                judge,
                campaign.stop,
            )?;
            let command = format!("loadtest generate --target {target} --tcp-connections {TCP_CONNECTIONS}");
            Ok(Run::of(&harvest, command))
        })
    }

    /// Starts each server anew in each round, and ends it when it has answered.
    fn starts(&mut self) -> Outcome<()> {
        let subjects = self.real();
        for round in 0..self.rounds {
            for index in self.order(round, subjects.len()) {
                let subject = subjects[index];
                self.step(&format!("Start, round {} of {}: {}", round + 1, self.rounds, subject.name()))?;
                let (place, cpus) = (Place::loopback(), [self.server_cpu]);
                let server = Server::start(subject, &Setting::new(&place, &self.zones, &cpus))?;
                let first_answer_ms = Some(server.first_answer.as_secs_f64() * 1e3);
                self.note(&server);
                self.report.starts.push(Start {
                    server: subject.name().to_owned(),
                    round,
                    first_answer_ms,
                    resident_kib: None,
                });
            }
        }
        Ok(())
    }

    /// Searches each server's highest rate in each round; what is tried on the way is the curve.
    pub(super) fn best_rates(
        &mut self,
        section: Section,
        servers: &[Server],
        drive: impl Fn(&Self, &Server, u64) -> Outcome<Run>,
    ) -> Outcome<()> {
        for round in 0..self.rounds {
            for server in self.order(round, servers.len()).map(|index| &servers[index]) {
                let name = server.subject.name();
                self.step(&format!("{section:?}, round {} of {}: {name}", round + 1, self.rounds))?;
                let mut best = 0.0_f64;
                // The least rate that failed, and whether it was for the generator alone.
                let mut failed: Option<(u64, bool)> = None;
                let mut trial = |campaign: &mut Self, rate: u64| -> Outcome<bool> {
                    let plan = Plan::new(section, round).offering(rate);
                    let sample = campaign.sample(server, plan, |campaign| drive(campaign, server, rate))?;
                    let has_kept = sample.loss() <= LOSS_MAX;
                    let lag = sample.run.latency_ms.get("late sending p99").copied().unwrap_or_default();
                    let is_sent = sample.run.sent as f64 >= SENT_MIN * rate as f64 * sample.run.seconds
                        && lag < LATE_MS_MAX;
                    if !(has_kept && is_sent) && failed.is_none_or(|(least, _)| rate <= least) {
                        failed = Some((rate, has_kept));
                    }
                    if has_kept {
                        best = best.max(sample.rate());
                    }
                    Ok(has_kept && is_sent)
                };
                if self.is_quick {
                    // kxdpgun takes a second at least, and as long again to begin.
                    let rates = if section == Section::Veth { &QUICK_RATES[..1] } else { &QUICK_RATES };
                    rates.iter().try_for_each(|rate| trial(self, *rate).map(drop))?;
                } else {
                    let known = self.report_best(section, name);
                    let (begin, growth) = known.map_or((RATE_BEGIN, 2.0), |rate| (whole(rate * 0.95), 1.1));
                    search(begin, growth, |rate| trial(self, rate))?;
                }
                let (server, is_generator_bound) = (name.to_owned(), failed.is_some_and(|(_, alone)| alone));
                self.report.bests.push(Best { section, server, round, rate: best, is_generator_bound });
            }
        }
        Ok(())
    }

    /// The median of the highest rates found so far.
    pub(super) fn report_best(&self, section: Section, name: &str) -> Option<f64> {
        self.report.best(section, name).map(|summary| summary.median).filter(|rate| *rate > 0.0)
    }

    fn ramp(&mut self) -> Outcome<()> {
        let servers = self.start(&self.subjects.clone(), &Place::loopback())?;
        let duration = self.trial;
        self.best_rates(Section::Ramp, &servers, |campaign, server, rate| {
            campaign.own(server, rate, duration)
        })
    }

    fn veth(&mut self) -> Outcome<()> {
        if !self.has(KXDPGUN, Section::Veth) {
            return Ok(());
        }
        let Some(namespace) = self.namespace() else { return Ok(()) };
        // A quick run shows that it works, with one of ours and one other.
        let mut subjects = self.subjects.clone();
        if self.is_quick {
            subjects.retain(|subject| [Subject::Ours(Engine::IoUring), Subject::Knot].contains(subject));
        }
        let servers = self.start(&subjects, &namespace.place())?;
        let interface = &namespace.interface;
        self.best_rates(Section::Veth, &servers, |campaign, server, rate| {
            campaign.kxdpgun(server, interface, rate)
        })?;
        drop(servers);
        self.in_driver(&namespace)
    }

    /// A network namespace, where we may make one.
    fn namespace(&mut self) -> Option<Namespace> {
        let made = Namespace::make();
        made.map_err(|error| {
            let why = "a network namespace needs root, so only the loopback is measured";
            self.skip(format!("veth: {error}; {why}"));
        })
        .ok()
    }

    /// What servers in the driver answer at the most.
    fn ceiling(&mut self) -> Outcome<()> {
        let Some(namespace) = self.namespace() else { return Ok(()) };
        let place = namespace.place();
        let duration = self.trial;
        // Knot comes last, as it leaves its program attached.
        for subject in Subject::IN_DRIVER {
            if let Some(why) = subject.missing() {
                self.skip(why);
                continue;
            }
            let servers = self.start(&[subject], &place)?;
            let Some(server) = servers.first() else { continue };
            let our_end =
                End { mac: mac(&namespace.interface, &here())?, address: (namespace.ours(), 0).into() };
            let their_end = End { mac: mac(INTERFACE, &place.before)?, address: server.address };
            let mut replay = Replay::new(&namespace.interface, our_end, their_end, &self.ordinary)?;
            let bound = bind(INTERFACE, &place.before, self.server_cpu, false)
                .and_then(|()| bind(&namespace.interface, &here(), self.generator_cpu, true));
            // In a PID namespace the kernel's threads are not to be seen, and where nothing is measured it
            // does not matter who has which CPU.
            if let Err(error) = bound
                && !self.is_quick
            {
                self.skip(format!("ceiling: {error}"));
                return Ok(());
            }
            for round in 0..self.rounds {
                let (mut rate, mut best, mut misses) = (CEILING_BEGIN, 0.0_f64, 0);
                while rate <= RATE_MAX && misses < CEILING_MISSES {
                    let name = subject.name();
                    self.step(&format!("Ceiling, round {} of {}: {name}, {rate}/s", round + 1, self.rounds))?;
                    let plan = Plan::new(Section::Ceiling, round).offering(rate);
                    let sample =
                        self.sample(server, plan, |campaign| replay.run(rate, duration, campaign.stop))?;
                    let answers = sample.run.answered as f64 / sample.run.seconds;
                    misses = if answers > best { 0 } else { misses + 1 };
                    best = best.max(answers);
                    rate = whole(rate as f64 * CEILING_GROWTH);
                    if self.is_quick {
                        break;
                    }
                }
                let is_generator_bound = misses < CEILING_MISSES;
                let (section, server) = (Section::Ceiling, subject.name().to_owned());
                self.report.bests.push(Best { section, server, round, rate: best, is_generator_bound });
            }
        }
        Ok(())
    }

    /// Those that take frames from the interface, which has one program: one server after the other.
    fn in_driver(&mut self, namespace: &Namespace) -> Outcome<()> {
        let interface = &namespace.interface;
        match Watch::begin() {
            Ok(watch) => self.frames(namespace, &watch)?,
            Err(error) => self.skip(format!("cost of the XDP program: {error}")),
        }
        // Knot comes last, as it leaves its program attached.
        for subject in Subject::IN_DRIVER {
            if let Some(why) = subject.missing() {
                self.skip(why);
                continue;
            }
            let servers = self.start(&[subject], &namespace.place())?;
            self.best_rates(Section::Veth, &servers, |campaign, server, rate| {
                campaign.kxdpgun(server, interface, rate)
            })?;
        }
        Ok(())
    }

    /// What our program takes for a frame of each kind.
    fn frames(&mut self, namespace: &Namespace, watch: &Watch) -> Outcome<()> {
        let (place, cpus, zones) = (namespace.place(), [self.server_cpu], self.zones.clone());
        for round in 0..self.rounds {
            let (ns, count) = watch.nothing()?;
            let ns = ns as f64 / count.max(1) as f64;
            self.report.frames.push(FrameTime { frames: Frames::Nothing, round, count, ns });
        }
        let operators = tempfile::NamedTempFile::new()?;
        let name = |n: usize| format!("{} PTR D\n", operators_name(n, n % OPERATORS_ZONES));
        std::fs::write(&operators, (0..self.report.queries).map(name).collect::<String>())?;
        for (further, kinds) in
            [(0, &[Frames::Passing, Frames::BuiltIn][..]), (OPERATORS_ZONES, &[Frames::Operators])]
        {
            let setting = Setting { further, ..Setting::new(&place, &zones, &cpus) };
            let server = Server::start(Subject::OursInDriver, &setting)?;
            for round in 0..self.rounds {
                for &frames in kinds {
                    self.step(&format!("Frames, round {} of {}: {frames:?}", round + 1, self.rounds))?;
                    let (mut queries, mut target) = (&*self.files.text_for_kxdpgun, server.address);
                    match frames {
                        // The discard protocol, which nobody speaks there.
                        Frames::Passing => target.set_port(9),
                        Frames::BuiltIn | Frames::Nothing => {}
                        Frames::Operators => queries = operators.path(),
                    }
                    let before = watch.look()?;
                    self.kxdpgun_with(queries, target, &namespace.interface, FRAMES_RATE)?;
                    let after = watch.look()?;
                    let count = after.1 - before.1;
                    let ns = (after.0 - before.0) as f64 / count.max(1) as f64;
                    self.report.frames.push(FrameTime { frames, round, count, ns });
                }
            }
        }
        Ok(())
    }

    /// The rate that loads are shares of: the better of NSD's and Knot's highest, or ours where neither is.
    fn mark(&mut self) -> Outcome<f64> {
        if self.is_quick {
            return Ok(QUICK_RATES[1] as f64);
        }
        let is_known = |campaign: &Self| {
            campaign
                .real()
                .iter()
                .any(|subject| campaign.report_best(Section::Ramp, subject.name()).is_some())
        };
        if !is_known(self) {
            self.ramp()?;
        }
        let best = |subjects: &[Subject]| {
            let rates = subjects.iter().filter_map(|subject| self.report_best(Section::Ramp, subject.name()));
            rates.reduce(f64::max)
        };
        let mark = best(&[Subject::Nsd, Subject::Knot]).or_else(|| best(&self.real()));
        Ok(mark.unwrap_or(RATE_BEGIN as f64))
    }

    fn latency(&mut self) -> Outcome<()> {
        let mark = self.mark()?;
        let servers = self.start(&self.real(), &Place::loopback())?;
        let duration = self.duration();
        for round in 0..self.rounds {
            for load in LOADS {
                let rate = whole(mark * load as f64 / 100.0);
                for server in self.order(round, servers.len()).map(|index| &servers[index]) {
                    let name = server.subject.name();
                    self.step(&format!(
                        "Latency at {load} %, round {} of {}: {name}",
                        round + 1,
                        self.rounds
                    ))?;
                    let plan = Plan { load: Some(load), ..Plan::new(Section::Latency, round).offering(rate) };
                    self.sample(server, plan, |campaign| campaign.own(server, rate, duration))?;
                }
            }
        }
        Ok(())
    }

    /// One shard and two at the same rate.
    fn shards(&mut self) -> Outcome<()> {
        if self.server_cpu == self.generator_cpu {
            self.skip("shards: there is only one CPU".to_owned());
            return Ok(());
        }
        let (rate, duration) = (whole(self.mark()? / 4.0), self.duration());
        let both = [self.server_cpu, self.generator_cpu];
        let ours: Vec<Subject> = self.subjects.iter().copied().filter(|subject| subject.is_ours()).collect();
        let (place, mut servers) = (Place::loopback(), Vec::new());
        for subject in ours {
            for shards in [1, 2] {
                let setting = Setting::new(&place, &self.zones, &both[..shards]);
                servers.push((shards, Server::start(subject, &setting)?));
            }
        }
        for round in 0..self.rounds {
            for (shards, server) in self.order(round, servers.len()).map(|index| &servers[index]) {
                self.step(&format!("Shards, round {} of {}: {shards}", round + 1, self.rounds))?;
                let plan = Plan { shards: *shards, ..Plan::new(Section::Shards, round).offering(rate) };
                self.sample(server, plan, |campaign| campaign.own(server, rate, duration))?;
                self.note(server);
            }
        }
        Ok(())
    }
}
