//! Reloads and upgrades of a node of ours under load: not a query may be lost, whatever the node changes.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::bounds::{CHANGES_SECONDS, TCP_CONNECTIONS};
use super::super::common::daemon::program;
use super::super::generator::connections;
use super::super::measure::whole;
use super::super::netns::Place;
use super::super::report::{ChangeRun, Section};
use super::super::servers::{Server, Subject};
use super::super::tools::Run;
use super::super::{Outcome, pause};
use super::Campaign;
use super::sections::QUICK_RATES;

/// The share of its highest rate that a node gets over UDP.
const LOAD: f64 = 0.7;
/// What is asked of the node, and how often in one run; and in a quick one.
const CHANGES: [(&str, usize, usize); 2] = [("reload", 200, 2), ("upgrade", 50, 1)];

impl Campaign<'_> {
    pub(super) fn changes(&mut self) -> Outcome<()> {
        let ours: Vec<Subject> = self.subjects.iter().copied().filter(|subject| subject.is_ours()).collect();
        for subject in ours {
            let servers = self.start(&[subject], &Place::loopback())?;
            let trial = self.trial;
            if self.report_best(Section::Ramp, subject.name()).is_none() {
                self.best_rates(Section::Ramp, &servers, |campaign, server, rate| {
                    campaign.own(server, rate, trial)
                })?;
            }
            let best = self.report_best(Section::Ramp, subject.name());
            let rate = if self.is_quick { QUICK_RATES[0] } else { whole(best.unwrap_or_default() * LOAD) };
            for server in &servers {
                for (what, count, quick_count) in CHANGES {
                    let count = if self.is_quick { quick_count } else { count };
                    self.change(server, (what, count), "UDP", |campaign, seconds| {
                        campaign.own(server, rate, seconds)
                    })?;
                    self.change(server, (what, count), "TCP", |campaign, seconds| {
                        let (target, judge) = (server.address, subject.judge());
                        let (queries, stop) = (&campaign.ordinary, campaign.stop);
                        let harvest = connections::run(
                            target,
                            queries,
                            TCP_CONNECTIONS,
                            seconds,
                            connections::PATIENCE,
                            judge,
                            stop,
                        )?;
                        Ok(Run::of(&harvest, String::new()))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Has the node change so often while it is driven.
    fn change(
        &mut self,
        server: &Server,
        (what, count): (&str, usize),
        transport: &str,
        drive: impl Fn(&Self, Duration) -> Outcome<Run>,
    ) -> Outcome<()> {
        let name = server.subject.name();
        self.step(&format!("{name}: {what} {count} times under load over {transport}"))?;
        let seconds = if self.is_quick { Duration::from_secs(2) } else { CHANGES_SECONDS };
        let is_over = AtomicBool::new(false);
        let mut command = Command::new(program());
        command.arg(what).arg("--control").arg(server.control()).stdin(Stdio::null());
        let pace = seconds.mul_f64(0.8) / count as u32;
        let (run, done) = thread::scope(|scope| {
            let changing = scope.spawn(|| again_and_again(command, count, pace, &is_over));
            let run = drive(self, seconds);
            is_over.store(true, Ordering::Relaxed);
            (run, changing.join().expect("what it does cannot panic"))
        });
        let (run, done) = (run?, done?);
        self.report.changes.push(ChangeRun {
            server: name.to_owned(),
            change: what.to_owned(),
            transport: transport.to_owned(),
            done,
            rate: run.sent as f64 / run.seconds.max(1e-9),
            sent: run.sent,
            lost: run.sent.saturating_sub(run.answered),
            wrong: run.wrong.unwrap_or_default(),
        });
        Ok(())
    }
}

/// Runs a command so often, one after the other, at this pace; how often it did before it was over.
fn again_and_again(
    mut command: Command,
    count: usize,
    pace: Duration,
    is_over: &AtomicBool,
) -> Result<usize, String> {
    let began = Instant::now();
    for done in 0..count {
        pause((began + pace * done as u32).saturating_duration_since(Instant::now()));
        if is_over.load(Ordering::Relaxed) {
            return Ok(done);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    Ok(count)
}
