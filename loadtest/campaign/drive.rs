//! One run against one server: what was read before and after it becomes a sample.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::super::Outcome;
use super::super::bounds::{SOCKETS, TIMEOUT};
use super::super::generator::{self, Load, flood};
use super::super::measure::{Limit, cpu_busy, generator_cpu};
use super::super::queries::QuerySet;
use super::super::report::{Sample, Section};
use super::super::servers::{Counted, Server};
use super::super::tools::{Run, Task, run, shown};
use super::super::tools::{dnsperf, flame, kxdpgun};
use super::Campaign;

/// What is known of a run before it begins.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub section: Section,
    pub round: usize,
    pub shards: usize,
    pub offered: Option<u64>,
    pub load: Option<u64>,
}

impl Plan {
    pub fn new(section: Section, round: usize) -> Self {
        Self { section, round, shards: 1, offered: None, load: None }
    }

    pub fn offering(self, rate: u64) -> Self {
        Self { offered: Some(rate), ..self }
    }
}

/// What the two sides have worked so far.
struct Work {
    /// Outside the kernel, and in it.
    server_cpu: (f64, f64),
    generator_cpu: f64,
    server_busy: (f64, f64),
    generator_busy: (f64, f64),
}

impl Campaign<'_> {
    fn work(&self, server: &Server) -> Work {
        Work {
            server_cpu: server.cpu_seconds(),
            generator_cpu: generator_cpu(),
            server_busy: cpu_busy(self.server_cpu),
            generator_busy: cpu_busy(self.generator_cpu),
        }
    }

    /// Drives a server once and keeps the sample.
    pub(super) fn sample(
        &mut self,
        server: &Server,
        plan: Plan,
        drive: impl FnOnce(&Self) -> Outcome<Run>,
    ) -> Outcome<&Sample> {
        // To ask for counters is work too, so it stands outside of what is measured.
        let answered_before = server.answered();
        let before = self.work(server);
        let mut run = drive(self)?;
        let after = self.work(server);
        let (served, counted) = match (answered_before, server.answered()) {
            (Some((before, _)), Some((after, by))) if after > before => (after - before, by),
            _ => (run.answered, Counted::Generator),
        };
        if plan.section != Section::Mix {
            run.judge_by_code(server.subject.is_echo());
        }
        let share = |before: (f64, f64), after: (f64, f64)| {
            ((after.0 - before.0) / (after.1 - before.1).max(1e-9)).clamp(0.0, 1.0)
        };
        let server_busy = share(before.server_busy, after.server_busy);
        let generator_busy = share(before.generator_busy, after.generator_busy);
        self.report.samples.push(Sample {
            section: plan.section,
            server: server.subject.name().to_owned(),
            round: plan.round,
            shards: plan.shards,
            offered: plan.offered,
            load: plan.load,
            served,
            counted,
            server_cpu: after.server_cpu.0 + after.server_cpu.1 - before.server_cpu.0 - before.server_cpu.1,
            server_user: after.server_cpu.0 - before.server_cpu.0,
            generator_cpu: after.generator_cpu - before.generator_cpu,
            server_busy,
            generator_busy,
            limit: Limit::of(server_busy, generator_busy),
            run,
        });
        Ok(self.report.samples.last().expect("it was pushed"))
    }

    pub(super) fn dnsperf(&self, server: &Server, how: dnsperf::How) -> Outcome<Run> {
        let queries = if how == dnsperf::How::Binary { &self.files.binary } else { &self.files.text };
        let task = Task { target: server.address, seconds: self.seconds, queries, cpu: self.generator_cpu };
        let text = run(&mut dnsperf::command(how, &task), self.seconds, self.stop)?;
        dnsperf::parse(&text)
    }

    pub(super) fn flame(&self, server: &Server, rate: u64) -> Outcome<Run> {
        let lines = tempfile::NamedTempFile::new()?;
        let queries = &self.files.text_for_flame;
        let task = Task { target: server.address, seconds: self.seconds, queries, cpu: self.generator_cpu };
        run(&mut flame::command(rate, &task, lines.path()), self.seconds, self.stop)?;
        flame::parse(&std::fs::read_to_string(lines.path())?)
    }

    pub(super) fn kxdpgun(&self, server: &Server, interface: &str, rate: u64) -> Outcome<Run> {
        self.kxdpgun_with(&self.files.text_for_kxdpgun, server.address, interface, rate)
    }

    pub(super) fn kxdpgun_with(
        &self,
        queries: &Path,
        target: SocketAddr,
        interface: &str,
        rate: u64,
    ) -> Outcome<Run> {
        let seconds = self.trial.as_secs().max(1);
        let task = Task { target, seconds, queries, cpu: self.generator_cpu };
        let mut command = kxdpgun::command(interface, rate, &task);
        let text = run(&mut command, seconds, self.stop)?;
        kxdpgun::parse(&text, &shown(&command))
    }

    /// The generator of ours, as much as it can send, over all the addresses of a server.
    pub(super) fn flood(&self, server: &Server, queries: &QuerySet, duration: Duration) -> Outcome<Run> {
        let harvest = flood::run(&server.addresses, queries, duration, server.subject.judge(), self.stop)?;
        let command = format!("loadtest generate --flood --target {}", server.address);
        Ok(Run::of(&harvest, command))
    }

    /// The generator of ours.
    pub(super) fn own(&self, server: &Server, rate: u64, duration: Duration) -> Outcome<Run> {
        let (target, queries, judge) = (server.address, &self.ordinary, server.subject.judge());
        let (targets, timeout) = (&server.addresses[..], TIMEOUT);
        let sockets = SOCKETS.next_multiple_of(targets.len());
        let load = Load { targets, rate, duration, sockets, queries, judge, timeout };
        let harvest = generator::run(&load, &self.bar, self.stop)?;
        let command =
            format!("loadtest generate --target {target} --rate {rate} --seconds {}", duration.as_secs_f64());
        Ok(Run::of(&harvest, command))
    }
}
