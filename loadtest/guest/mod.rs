//! AS112 as an application, as it is built in, and by dnsdist with Lua, which all say the same; and native
//! answers next to applications that mean no good. Rounds are interleaved, each run has a server that was
//! just started, and CPU time is that of all threads.

mod servers;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use as112d::dns::consts::rcode;
use clap::Args;

use super::bounds::{QUERIES, ROUNDS_MAX, SAMPLE, SECONDS_MAX};
use super::common::daemon::V4;
use super::common::{ask, node, query, udp};
use super::forward::Figures;
use super::forward::loads::{Dnsperf, steady};
use super::forward::servers::Server;
use super::queries::QuerySet;
use super::{Outcome, at_most, fail, pause};
use servers::{HOSTILE, PTR, Subject};

/// Queries a second that are handed over to hostile applications.
const HANDED_OVER: u64 = 50_000;
/// What the CPU time of a query to the guest is compared with, in one round, and the most that it may be.
const RATIOS: [(Subject, &str); 3] = [
    (Subject::Native, "guest / native (at most 3.3)"),
    (Subject::Dnsdist, "guest / dnsdist (at most 1.0)"),
    (Subject::DnsdistBatches, "guest / dnsdist, batches"),
];

#[derive(Args)]
pub struct GuestOptions {
    /// Interleaved rounds; an odd number has a median
    #[arg(long, default_value_t = 7, value_parser = at_most(ROUNDS_MAX))]
    rounds: usize,
    /// Seconds of one run
    #[arg(long, default_value_t = 3, value_parser = at_most(SECONDS_MAX as usize))]
    seconds: usize,
    /// The parts to run
    #[arg(long, value_delimiter = ',', default_value = "as112,hostile")]
    parts: Vec<String>,
    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The CPU of the generator
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

struct Campaign<'a> {
    options: &'a GuestOptions,
    files: tempfile::TempDir,
    /// Queries, and the reply that each must get.
    sample: Vec<(Vec<u8>, Vec<u8>)>,
    /// A CPU of the worker's own, and one of the queries' that are handed over to it, if there are so many.
    other_cpus: Option<[String; 2]>,
    figures: Figures,
    stop: &'a AtomicBool,
}

/// Runs the parts and prints a table.
///
/// # Errors
/// A server or a tool does not start or work, or a server says something else than it should.
pub fn run(options: &GuestOptions, stop: &AtomicBool) -> Outcome<()> {
    if super::tools::DNSPERF.find().is_none() {
        return fail("dnsperf is not installed");
    }
    let names = names();
    let files = tempfile::tempdir()?;
    let lines = names.iter().fold(String::new(), |all, name| all + name + " PTR\n");
    fs::write(files.path().join("as112"), lines)?;
    let lines = HOSTILE.iter().fold(String::new(), |all, (name, _)| all + "a." + name + ".test A\n");
    fs::write(files.path().join("hostile"), lines)?;
    let cpus = as112d::sys::cpu::affinity()?.into_iter();
    let mut others = cpus.filter(|cpu| ![options.server_cpu, options.generator_cpu].contains(cpu));
    let other_cpus = others.next().zip(others.next()).map(|(one, two)| [one, two].map(|cpu| cpu.to_string()));
    let (sample, figures) = (sample(&names), Figures::default());
    let mut campaign = Campaign { options, files, sample, other_cpus, figures, stop };
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        campaign.round(round)?;
    }
    print!("{}", campaign.figures.table());
    if campaign.has("hostile") && campaign.other_cpus.is_none() {
        println!(
            "\nNative answers next to hostile guests: not measured. It takes four CPUs: one each for the \
             shard, the worker, native queries, and those handed over. With fewer, the figures would be of \
             sharing."
        );
    }
    Ok(())
}

/// Names below AS112's zones that there are not, as often as they are asked for.
fn names() -> Vec<String> {
    let set = QuerySet::ordinary(112, QUERIES);
    let lines = set.text.lines().enumerate();
    let lines = lines.filter(|&(index, _)| set.get(index).1.rcode == rcode::NXDOMAIN);
    lines.filter_map(|(_, line)| Some(line.strip_suffix(" PTR")?.to_owned())).collect()
}

/// The first of them, with what our code says without a network.
fn sample(names: &[String]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let judge = node(&[]);
    let sampled = names.iter().take(SAMPLE).enumerate();
    let sampled = sampled.map(|(id, name)| {
        let mut query = query(name, PTR);
        query[..2].copy_from_slice(&(id as u16).to_be_bytes());
        let reply = ask(&judge, &udp(), &query).expect("a query gets a reply");
        (query, reply)
    });
    sampled.collect()
}

impl Campaign<'_> {
    fn has(&self, part: &str) -> bool {
        self.options.parts.iter().any(|given| given == part)
    }

    fn round(&mut self, round: usize) -> Outcome<()> {
        if self.has("as112") {
            self.answered(round)?;
        }
        if let (true, Some(cpus)) = (self.has("hostile"), self.other_cpus.clone()) {
            for subject in [Subject::Harmless, Subject::Hostile] {
                self.beside(subject, &cpus)?;
            }
        }
        Ok(())
    }

    fn start(&self, subject: Subject) -> Outcome<Server> {
        let server = subject.start(self.options.server_cpu)?;
        // What a start does after its first answer.
        pause(Duration::from_millis(500));
        self.check(subject, &server)?;
        Ok(server)
    }

    /// Whether it says what our code says, byte for byte.
    fn check(&self, subject: Subject, server: &Server) -> Outcome<()> {
        let socket = UdpSocket::bind((V4, 0))?;
        socket.connect(server.address)?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut got = [0; 600];
        for (query, reply) in &self.sample {
            socket.send(query)?;
            let got = socket.recv(&mut got).map(|len| &got[..len]);
            if !got.as_ref().is_ok_and(|got| got == reply) {
                let name = subject.name();
                return fail(format!("{name}: {query:02x?} got {got:02x?}, not {reply:02x?}"));
            }
        }
        Ok(())
    }

    fn answered(&mut self, round: usize) -> Outcome<()> {
        let mut subjects = [Subject::Native, Subject::Guest, Subject::Dnsdist, Subject::DnsdistBatches];
        subjects.rotate_left(round % 4);
        let mut cpu = Vec::new();
        for subject in subjects.into_iter().filter(|subject| subject.is_there()) {
            let server = self.start(subject)?;
            let dnsperf = Dnsperf {
                cpus: self.options.generator_cpu.to_string(),
                file: self.files.path().join("as112"),
                target: server.address,
                more: &[],
                right: "NXDOMAIN",
            };
            dnsperf.saturate(&server, 1)?;
            let cost = dnsperf.saturate(&server, self.options.seconds)?;
            self.figures.keep_cost("answered", subject.name(), &cost);
            cpu.push((subject, cost.cpu_us));
        }
        let of = |wanted| cpu.iter().find(|(subject, _)| *subject == wanted).map(|(_, cpu)| cpu);
        for (other, name) in RATIOS {
            if let (Some(guest), Some(other)) = (of(Subject::Guest), of(other)) {
                self.figures.keep("answered: CPU, ratio", name, guest / other);
            }
        }
        Ok(())
    }

    /// What a native answer costs the shard, and how long it takes, while a worker on another CPU has queries
    /// of its own, which come from a third.
    fn beside(&mut self, subject: Subject, [workers, others]: &[String; 2]) -> Outcome<()> {
        let server = self.start(subject)?;
        for worker in server.threads("worker-") {
            let id = worker.file_name().unwrap_or_default();
            let moved = Command::new("taskset").args(["--cpu-list", "--pid", workers]).arg(id).output()?;
            if !moved.status.success() {
                return fail(format!("taskset: {}", String::from_utf8_lossy(&moved.stderr)));
            }
        }
        let file = self.files.path().join("hostile");
        let (cpus, target) = (others.clone(), server.address);
        let dnsperf = Dnsperf { cpus, file, target, more: &[], right: "NXDOMAIN" };
        let seconds = self.options.seconds;
        let mut beside = dnsperf.at_rate(HANDED_OVER, 2 * seconds + 4)?;
        let native = || steady(server.address, self.options.generator_cpu, seconds, self.stop);
        let (cpu, harvest) = beside.native(seconds, || server.cpu_of("udp-"), native)?;
        self.figures.keep_native(subject.name(), cpu, &harvest);
        Ok(())
    }
}
