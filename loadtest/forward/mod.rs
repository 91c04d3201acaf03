//! Forwarders beside each other: our node, dnsdist, Unbound, Knot with mod-dnsproxy, with one upstream on the
//! generator's CPU; and what it costs our node to hand a query over. Rounds are interleaved, each run has a
//! server that was just started, and CPU time is that of all threads.

pub mod loads;
pub mod servers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;

use super::bounds::{ROUNDS_MAX, SECONDS_MAX};
use super::common::daemon::{V4, program};
use super::generator::Harvest;
use super::measure::Summary;
use super::{Outcome, at_most, fail, pause};
use loads::{Cost, Dnsperf, steady};
use servers::{Server, Subject};

/// Names that are asked for once: more than any run gets to.
const NAMES: usize = 1_500_000;
/// Names that caches have.
const KNOWN: usize = 1000;
/// Queries a second with an upstream that never answers.
const SILENT: u64 = 50_000;

#[derive(Args)]
pub struct ForwardOptions {
    /// Interleaved rounds; an odd number has a median
    #[arg(long, default_value_t = 7, value_parser = at_most(ROUNDS_MAX))]
    rounds: usize,
    /// Seconds of one run
    #[arg(long, default_value_t = 3, value_parser = at_most(SECONDS_MAX as usize))]
    seconds: usize,
    /// The parts to run
    #[arg(long, value_delimiter = ',', default_value = "forward,cache,hand-over,latency,silent")]
    parts: Vec<String>,
    /// The program that is the upstream, an as112d; without it the one that is measured
    #[arg(long, value_name = "PATH")]
    upstream: Option<PathBuf>,
    /// A program that ours is compared with as it answers by itself: an as112d of before
    #[arg(long, value_name = "PATH")]
    before: Option<PathBuf>,
    /// Without our node: the peers alone
    #[arg(long)]
    peers_only: bool,
    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The CPU of the generator and the upstream
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

/// Figures by what they are and whose, in the order of rounds.
#[derive(Default)]
pub struct Figures(BTreeMap<(String, &'static str), Vec<f64>>);

struct Campaign<'a> {
    options: &'a ForwardOptions,
    files: tempfile::TempDir,
    figures: Figures,
    stop: &'a AtomicBool,
}

/// Runs the parts and prints a table.
///
/// # Errors
/// A server or a tool does not start or work.
pub fn run(options: &ForwardOptions, stop: &AtomicBool) -> Outcome<()> {
    if super::tools::DNSPERF.find().is_none() {
        return fail("dnsperf is not installed");
    }
    let files = tempfile::tempdir()?;
    fs::write(files.path().join("once"), names(0, NAMES))?;
    fs::write(files.path().join("known"), names(NAMES, KNOWN))?;
    fs::write(files.path().join("silent"), "silent.example A\n")?;
    let mut campaign = Campaign { options, files, figures: Figures::default(), stop };
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        campaign.round(round)?;
    }
    print!("{}", campaign.figures.table());
    Ok(())
}

/// Names below 10.in-addr.arpa in an order without locality.
fn names(from: usize, count: usize) -> String {
    let mut text = String::new();
    for n in from..from + count {
        let [_, b, c, d] = ((n as u32).wrapping_mul(2_654_435_761) >> 8).to_be_bytes();
        let _ = writeln!(text, "{d}.{c}.{b}.10.in-addr.arpa PTR");
    }
    text
}

impl Campaign<'_> {
    fn has(&self, part: &str) -> bool {
        self.options.parts.iter().any(|given| given == part)
    }

    fn round(&mut self, round: usize) -> Outcome<()> {
        use Subject::{Dnsdist, DnsdistCache, Dnsproxy, Forward, ForwardUnkept, HandedOver, Native};
        let upstream = self.options.upstream.clone().unwrap_or_else(program);
        let upstream = Server::upstream(&upstream, self.options.generator_cpu)?;
        let parts: [(&str, &str, &str, &[Subject]); 3] = [
            ("forward", "forwarded", "once", &[Forward, ForwardUnkept, Dnsdist, Subject::Unbound, Dnsproxy]),
            ("cache", "from the cache", "known", &[Forward, DnsdistCache, Subject::Unbound]),
            (
                "hand-over",
                "answered",
                "known",
                &[Subject::Before, Native, Subject::NativeBesideRules, HandedOver],
            ),
        ];
        for (part, what, file, subjects) in parts {
            if !self.has(part) {
                continue;
            }
            for turn in 0..subjects.len() {
                let subject = subjects[(turn + round) % subjects.len()];
                let is_ours = subject.name().starts_with("as112d");
                let is_wanted = subject != Subject::Before || self.options.before.is_some();
                if is_wanted && subject.is_there() && !(self.options.peers_only && is_ours) {
                    self.saturated(what, file, subject, upstream.address)?;
                }
            }
        }
        if self.has("latency") && !self.options.peers_only {
            for subject in [Native, HandedOver] {
                self.latency(subject, upstream.address)?;
            }
        }
        if self.has("silent") && !self.options.peers_only {
            self.silent()?;
        }
        Ok(())
    }

    fn start(&self, subject: Subject, upstream: SocketAddr) -> Outcome<Server> {
        let server = match (subject, &self.options.before) {
            (Subject::Before, Some(before)) => Server::upstream(before, self.options.server_cpu)?,
            _ => Server::start(subject, upstream, self.options.server_cpu)?,
        };
        // What a start does after its first answer.
        pause(Duration::from_millis(500));
        Ok(server)
    }

    fn saturated(&mut self, what: &str, file: &str, subject: Subject, upstream: SocketAddr) -> Outcome<()> {
        let server = self.start(subject, upstream)?;
        let dnsperf = self.dnsperf(file, server.address);
        if what != "forwarded" {
            dnsperf.saturate(&server, 1)?;
        }
        self.figures.keep_cost(what, subject.name(), &dnsperf.saturate(&server, self.options.seconds)?);
        Ok(())
    }

    fn dnsperf(&self, file: &str, target: SocketAddr) -> Dnsperf {
        let cpus = self.options.generator_cpu.to_string();
        Dnsperf { cpus, file: self.files.path().join(file), target, more: &[], right: "NXDOMAIN" }
    }

    fn latency(&mut self, subject: Subject, upstream: SocketAddr) -> Outcome<()> {
        let server = self.start(subject, upstream)?;
        let harvest = self.steady(&server)?;
        self.figures.keep("p50 at 20,000 a second, us", subject.name(), harvest.latency_ms(0.5) * 1e3);
        self.figures.keep("p99 at 20,000 a second, us", subject.name(), harvest.latency_ms(0.99) * 1e3);
        self.figures.keep("lost at 20,000 a second", subject.name(), (harvest.lost + harvest.wrong) as f64);
        Ok(())
    }

    fn steady(&self, server: &Server) -> Outcome<Harvest> {
        steady(server.address, self.options.generator_cpu, self.options.seconds, self.stop)
    }

    /// Native answers beside queries that the node hands over and that wait for nobody, and without: then
    /// the same queries go to nobody directly, so the generators have the same to do. What those queries cost
    /// the node is measured without native ones, and is not a native answer's.
    fn silent(&mut self) -> Outcome<()> {
        // It is bound and never read: what comes is dropped by the kernel.
        let nobody = UdpSocket::bind((V4, 0))?;
        for is_beside in [false, true] {
            let server = Server::silent(nobody.local_addr()?, self.options.server_cpu)?;
            pause(Duration::from_millis(500));
            let target = if is_beside { server.address } else { nobody.local_addr()? };
            let seconds = self.options.seconds;
            let mut beside = self.dnsperf("silent", target).at_rate(SILENT, 2 * seconds + 4)?;
            let cpu = || server.cpu_nanoseconds();
            let (cpu, harvest) = beside.native(seconds, cpu, || self.steady(&server))?;
            let name =
                if is_beside { "as112d, beside 50,000 that wait" } else { "as112d, beside 50,000 elsewhere" };
            self.figures.keep_native(name, cpu, &harvest);
        }
        Ok(())
    }
}

impl Figures {
    pub fn keep(&mut self, what: impl Into<String>, name: &'static str, value: f64) {
        self.0.entry((what.into(), name)).or_default().push(value);
    }

    pub fn keep_cost(&mut self, what: &str, name: &'static str, cost: &Cost) {
        self.keep(format!("{what}: CPU, us"), name, cost.cpu_us);
        self.keep(format!("{what}: a second"), name, cost.a_second);
        self.keep(format!("{what}: lost or wrong, %"), name, cost.failed);
    }

    pub fn keep_native(&mut self, name: &'static str, cpu_us: f64, harvest: &Harvest) {
        self.keep("native answer, us CPU", name, cpu_us);
        self.keep("native answer, p50, us", name, harvest.latency_ms(0.5) * 1e3);
        self.keep("native answer, p99, us", name, harvest.latency_ms(0.99) * 1e3);
        self.keep("native answers lost", name, (harvest.lost + harvest.wrong) as f64);
    }

    pub fn table(&self) -> String {
        let mut text =
            String::from("| what | server | median | least | most | rounds |\n|---|---|---|---|---|---|\n");
        for ((what, name), values) in &self.0 {
            let Some(summary) = Summary::of(values.iter().copied()) else { continue };
            let Summary { median, min, max, count } = summary;
            let _ = writeln!(text, "| {what} | {name} | {median:.2} | {min:.2} | {max:.2} | {count} |");
        }
        text
    }
}
