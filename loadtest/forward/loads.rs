//! Loads of forwarders and guests: as many queries as a server takes, ordinary ones at a rate that leaves
//! time, and others beside those.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::super::bounds::{SOCKETS, TIMEOUT};
use super::super::generator::{self, Harvest, Judge, Load};
use super::super::queries::QuerySet;
use super::super::tools::{Run, dnsperf};
use super::super::{Outcome, fail, pause, progress_bar};
use super::servers::Server;

/// Queries a second for which latency is measured.
const STEADY: u64 = 20_000;

/// dnsperf, and where it sends which queries from.
pub struct Dnsperf {
    /// The CPUs that it may use, as taskset has them.
    pub cpus: String,
    pub file: PathBuf,
    pub target: SocketAddr,
    /// What else it is told.
    pub more: &'static [&'static str],
    /// The code of a right reply.
    pub right: &'static str,
}

/// What a query that was answered cost a server that got as many as it took.
pub struct Cost {
    pub cpu_us: f64,
    pub a_second: f64,
    /// Queries that were not answered as they should be, in percent.
    pub failed: f64,
}

impl Dnsperf {
    fn command(&self, seconds: usize, more: &[&str]) -> Command {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &self.cpus, "dnsperf", "-s", "127.0.0.1"]);
        command.args(["-p", &self.target.port().to_string(), "-l", &seconds.to_string()]);
        command.args(["-T", "1", "-c", "4", "-t", "2"]).args(self.more).args(more).arg("-d").arg(&self.file);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    /// As many queries as it takes, with 200 under way.
    ///
    /// # Errors
    /// dnsperf does not run.
    pub fn saturate(&self, server: &Server, seconds: usize) -> Outcome<Cost> {
        let before = server.cpu_nanoseconds();
        let output = self.command(seconds, &["-q", "200"]).output()?;
        let used = server.cpu_nanoseconds() - before;
        let run: Run = dnsperf::parse(&String::from_utf8_lossy(&output.stdout))?;
        let right = run.rcodes.get(self.right).copied().unwrap_or(0);
        Ok(Cost {
            cpu_us: used as f64 / 1e3 / right.max(1) as f64,
            a_second: right as f64 / run.seconds,
            failed: run.sent.saturating_sub(right) as f64 * 100.0 / run.sent.max(1) as f64,
        })
    }

    /// So many queries a second, whatever becomes of them, while others are measured.
    ///
    /// # Errors
    /// dnsperf does not run.
    pub fn at_rate(&self, rate: u64, seconds: usize) -> Outcome<Beside> {
        let mut command = self.command(seconds, &["-Q", &rate.to_string(), "-q", "65000"]);
        // It has a line for each query that times out.
        let child = command.stdout(Stdio::null()).spawn()?;
        pause(Duration::from_secs(1));
        Ok(Beside(child))
    }
}

/// A load beside another. It is ended when it is dropped.
pub struct Beside(Child);

impl Beside {
    /// Native queries beside it, as `native` sends them: what each costs in microseconds, where `cpu` tells
    /// nanoseconds. What the other load costs is measured alone before, and is not a native answer's.
    ///
    /// # Errors
    /// `native` fails, or this load ended before it.
    pub fn native(
        &mut self,
        seconds: usize,
        cpu: impl Fn() -> u64,
        native: impl FnOnce() -> Outcome<Harvest>,
    ) -> Outcome<(f64, Harvest)> {
        let (began, before) = (Instant::now(), cpu());
        pause(Duration::from_secs(seconds as u64));
        let alone = (cpu() - before) as f64 / began.elapsed().as_secs_f64();
        let (began, before) = (Instant::now(), cpu());
        let harvest = native()?;
        let used = (cpu() - before) as f64 - alone * began.elapsed().as_secs_f64();
        if self.0.try_wait()?.is_some() {
            return fail("dnsperf ended early");
        }
        Ok((used / 1e3 / harvest.answered.max(1) as f64, harvest))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ordinary queries at a rate that leaves time, from a thread on a CPU.
///
/// # Errors
/// The generator cannot work; interrupted by `stop`.
pub fn steady(target: SocketAddr, cpu: usize, seconds: usize, stop: &AtomicBool) -> Outcome<Harvest> {
    let queries = QuerySet::ordinary(112, 50_000);
    let load = Load {
        targets: &[target],
        rate: STEADY,
        duration: Duration::from_secs(seconds as u64),
        sockets: SOCKETS,
        queries: &queries,
        judge: Judge::Ours,
        timeout: TIMEOUT,
    };
    let harvest = std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            as112d::sys::cpu::pin(cpu).map_err(|error| error.to_string())?;
            generator::run(&load, &progress_bar(), stop).map_err(|error| error.to_string())
        });
        run.join().expect("the generator does not panic")
    });
    Ok(harvest?)
}
