//! How servers bear more zones, more shards and more addresses: a server at a time, one step after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Outcome;
use super::super::bounds::{ADDRESSES, SHARDS, ZONES};
use super::super::measure::whole;
use super::super::netns::Place;
use super::super::queries::QuerySet;
use super::super::report::{Grown, Grows, Section};
use super::super::servers::{Engine, Server, Setting, Subject};
use super::Campaign;
use super::drive::Plan;
use super::sections::QUICK_RATES;

/// Queries a second with shards: one shard has time for it, and as many have.
const SHARDS_RATE: u64 = 50_000;
/// Different queries: as many as a flood tells apart.
const QUERIES: usize = 1 << 16;
/// The same for a quick run, which also has fewer zones.
const QUICK_QUERIES: usize = 1000;
const QUICK_ZONES: usize = 2;

/// How many of what the servers have, and what they are asked.
#[derive(Clone, Copy)]
struct Step<'a> {
    grows: Grows,
    at: usize,
    round: usize,
    cpus: &'a [usize],
    /// Ordinary ones otherwise.
    queries: Option<&'a QuerySet>,
}

impl Step<'_> {
    fn words(&self) -> String {
        format!("{}: {}", self.grows.words(), self.at)
    }
}

impl Campaign<'_> {
    pub(super) fn growth(&mut self) -> Outcome<()> {
        let mut all = self.real();
        // A quick run shows that it works, with one of ours and one other.
        if self.is_quick {
            all.retain(|subject| [Subject::Ours(Engine::IoUring), Subject::Nsd].contains(subject));
        }
        // How datagrams move makes a difference to addresses alone: mmsg asks them one by one.
        let has_ring = all.contains(&Subject::Ours(Engine::IoUring));
        let is_one_of_few = |subject: &&Subject| !has_ring || **subject != Subject::Ours(Engine::Mmsg);
        let few: Vec<Subject> = all.iter().filter(is_one_of_few).copied().collect();
        let (count, zones) =
            if self.is_quick { (QUICK_QUERIES, QUICK_ZONES) } else { (QUERIES, ZONES.len()) };
        let cpus = self.cpus_of_shards();
        for round in 0..self.rounds {
            let first = Step { grows: Grows::Zones, at: 0, round, cpus: &cpus[..1], queries: None };
            for &at in &ZONES[..zones] {
                let further = at.saturating_sub(self.zones.len());
                let queries = (further > 0).then(|| QuerySet::operators(further, count));
                self.each(&few, &Step { at, queries: queries.as_ref(), ..first })?;
            }
            for at in SHARDS.into_iter().filter(|&shards| shards <= cpus.len()) {
                self.each(&few, &Step { grows: Grows::Shards, at, cpus: &cpus[..at], ..first })?;
            }
            for at in ADDRESSES {
                self.addresses(&all, &Step { grows: Grows::Addresses, at, ..first })?;
            }
        }
        Ok(())
    }

    /// The CPUs that shards may have, the generator's last.
    fn cpus_of_shards(&self) -> Vec<usize> {
        let others = self.allowed.iter().filter(|&cpu| ![self.server_cpu, self.generator_cpu].contains(cpu));
        let mut cpus: Vec<usize> = std::iter::once(&self.server_cpu).chain(others).copied().collect();
        if self.generator_cpu != self.server_cpu {
            cpus.push(self.generator_cpu);
        }
        cpus
    }

    /// One step: each server is started, loaded and ended.
    fn each(&mut self, subjects: &[Subject], step: &Step) -> Outcome<()> {
        for index in self.order(step.round, subjects.len()) {
            if let Some(server) = self.started(subjects[index], step)? {
                self.grown(&server, step)?;
            }
        }
        Ok(())
    }

    /// A step that also looks at latency, for which it must first be known what the fast peers can.
    fn addresses(&mut self, subjects: &[Subject], step: &Step) -> Outcome<()> {
        let (mut servers, mut mark) = (Vec::new(), 0.0_f64);
        for index in self.order(step.round, subjects.len()) {
            let Some(server) = self.started(subjects[index], step)? else { continue };
            let rate = self.grown(&server, step)?;
            if [Subject::Nsd, Subject::Knot].contains(&server.subject) {
                mark = mark.max(rate);
            }
            servers.push((server, self.report.grown.len() - 1));
        }
        let rate = whole(if self.is_quick || mark <= 0.0 { QUICK_RATES[0] as f64 } else { mark / 2.0 });
        let duration = self.duration();
        for (server, grown) in &servers {
            self.say(step, server.subject)?;
            let plan = Plan::new(Section::Growth, step.round).offering(rate);
            let sample = self.sample(server, plan, |campaign| campaign.own(server, rate, duration))?;
            let latency_ms = sample.run.latency_ms.clone();
            self.report.grown[*grown].latency_ms = latency_ms;
        }
        Ok(())
    }

    fn say(&self, step: &Step, subject: Subject) -> Outcome<()> {
        let (what, round, rounds) = (step.words(), step.round + 1, self.rounds);
        self.step(&format!("{what}, round {round} of {rounds}: {}", subject.name()))
    }

    /// A server at a step, unless it is one of others that cannot bear it.
    fn started(&mut self, subject: Subject, step: &Step) -> Outcome<Option<Server>> {
        self.say(step, subject)?;
        let (place, zones) = (Place::loopback(), self.zones.clone());
        let mut setting = Setting::new(&place, &zones, step.cpus);
        match step.grows {
            Grows::Zones => setting.further = step.at.saturating_sub(zones.len()),
            Grows::Shards => {}
            Grows::Addresses => setting.addresses = step.at,
        }
        match Server::start(subject, &setting) {
            Ok(server) => {
                server.settle();
                // With few zones: its configuration is shown.
                if setting.further == 0 && setting.addresses == 1 {
                    self.note(&server);
                }
                Ok(Some(server))
            }
            Err(error) if subject.is_peer() => {
                self.skip(format!("{}: {error}", step.words()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Loads a server, with shards at one rate, else with more than it can answer; keeps what it was like,
    /// and says how many it answered a second.
    fn grown(&mut self, server: &Server, step: &Step) -> Outcome<f64> {
        let duration = self.duration();
        let plan = Plan { shards: step.cpus.len(), ..Plan::new(Section::Growth, step.round) };
        let sample = if step.grows == Grows::Shards {
            let rate = if self.is_quick { QUICK_RATES[0] } else { SHARDS_RATE };
            self.sample(server, plan.offering(rate), |campaign| campaign.own(server, rate, duration))?
        } else {
            // What a server fills when it is first asked for each zone.
            let warm = Duration::from_millis(if self.is_quick { 50 } else { 1000 });
            self.flood(server, step.queries.unwrap_or(&self.ordinary), warm)?;
            self.sample(server, plan, |campaign| {
                campaign.flood(server, step.queries.unwrap_or(&campaign.ordinary), duration)
            })?
        };
        let grown = Grown {
            grows: step.grows,
            at: step.at,
            server: server.subject.name().to_owned(),
            round: step.round,
            first_answers_ms: server.all_answers.as_secs_f64() * 1e3,
            memory_kib: server.proportional_kib(),
            cpu_us: sample.cpu_us(),
            rate: sample.rate(),
            server_busy: sample.server_busy,
            latency_ms: BTreeMap::new(),
        };
        let rate = grown.rate;
        self.report.grown.push(grown);
        Ok(rate)
    }
}
