//! The load tools of others: where they come from, how they are run, and one schema for what they print.

pub mod dnsperf;
pub mod flame;
pub mod kxdpgun;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bounds::TOOL_GRACE;
use super::generator::Harvest;
use super::{Outcome, fail, pause};

/// One run of a load generator, whichever it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub tool: String,
    /// Its command line.
    pub command: String,
    pub sent: u64,
    pub answered: u64,
    pub seconds: f64,
    /// Replies by response code.
    pub rcodes: BTreeMap<String, u64>,
    /// Replies that were checked and found wrong; nothing where the tool does not look.
    pub wrong: Option<u64>,
    /// Replies to no query under way: later than it was waited for, or a second one.
    pub stray: u64,
    /// Milliseconds, by what they are: `mean`, `min`, `max`, `p50`, `p99` ...
    pub latency_ms: BTreeMap<String, f64>,
}

impl Run {
    /// Counts as wrong, where the tool does not look itself, replies with a code that no query of the
    /// ordinary set gets.
    pub fn judge_by_code(&mut self, is_echo: bool) {
        let right: &[&str] = if is_echo { &["NOERROR"] } else { &["NOERROR", "NXDOMAIN"] };
        let others = self.rcodes.iter().filter(|(code, _)| !right.contains(&code.as_str()));
        let others = others.map(|(_, count)| count).sum();
        self.wrong.get_or_insert(others);
    }

    /// What the generator of ours has found, in the schema.
    pub fn of(harvest: &Harvest, command: String) -> Self {
        const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
        let name =
            |code: usize| NAMES.get(code).map_or_else(|| format!("RCODE{code}"), |name| (*name).to_owned());
        let rcodes = harvest.rcodes.iter().enumerate().filter(|(_, count)| **count > 0);
        let quantiles =
            [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];
        // A flood has no schedule, and so no latencies.
        let mut latency_ms = BTreeMap::new();
        if !harvest.lag.is_empty() || !harvest.latency.is_empty() {
            latency_ms
                .extend(quantiles.map(|(name, quantile)| (name.to_owned(), harvest.latency_ms(quantile))));
            latency_ms
                .insert("late sending p99".to_owned(), harvest.lag.value_at_quantile(0.99) as f64 / 1e6);
        }
        Self {
            tool: "own".to_owned(),
            command,
            sent: harvest.sent,
            answered: harvest.answered,
            seconds: harvest.seconds,
            rcodes: rcodes.map(|(code, count)| (name(code), *count)).collect(),
            wrong: Some(harvest.wrong),
            stray: harvest.stray,
            latency_ms,
        }
    }
}

/// A tool that may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    pub program: &'static str,
    /// Where it comes from.
    pub origin: &'static str,
}

pub const DNSPERF: Tool = Tool { program: "dnsperf", origin: "the package dnsperf of Debian and Ubuntu" };
pub const KXDPGUN: Tool =
    Tool { program: "kxdpgun", origin: "the package knot-dnsutils of Debian and Ubuntu" };
pub const FLAME: Tool = Tool {
    program: "flame",
    origin: "flamethrower of DNS-OARC, built from its source: no Debian release has it (the package of that \
             name is another program)",
};

impl Tool {
    /// Where it is, if it is installed.
    pub fn find(self) -> Option<PathBuf> {
        find(self.program)
    }
}

/// A program, where a user's PATH looks and where Debian puts servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// What a tool is to do.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub target: SocketAddr,
    pub seconds: u64,
    /// The queries, in the tool's own form.
    pub queries: &'a Path,
    /// The CPU that it is bound to.
    pub cpu: usize,
}

/// `program`, bound to a CPU.
pub fn bound_to(cpu: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &cpu.to_string(), program]);
    command
}

/// A command line as a person would type it.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a tool to its end; gives what it printed.
///
/// # Errors
/// It cannot be started, fails, or takes far longer than it was given; interrupted by `stop`. Then it is
/// ended.
pub fn run(command: &mut Command, seconds: u64, stop: &AtomicBool) -> Outcome<String> {
    let line = shown(command);
    // Into a file, so that a full pipe cannot hold it up.
    let printed = tempfile::NamedTempFile::new()?;
    let (out, err) = (printed.as_file().try_clone()?, printed.as_file().try_clone()?);
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    let mut child = command.spawn().map_err(|error| format!("{line}: {error}"))?;
    let deadline = Instant::now() + Duration::from_secs(seconds) + TOOL_GRACE;
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Ok(status);
        }
        let is_late = Instant::now() > deadline;
        if is_late || stop.load(Ordering::Relaxed) {
            break Err(if is_late { format!("{line}: does not end") } else { "interrupted".to_owned() });
        }
        pause(Duration::from_millis(10));
    };
    if ended.is_err() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
    }
    let text = String::from_utf8_lossy(&std::fs::read(printed.path())?).into_owned();
    match ended? {
        status if status.success() => Ok(text),
        status => fail(format!("{line}: {status}: {text}")),
    }
}

/// The words after a label at the beginning of a line.
fn after<'a>(text: &'a str, label: &str) -> Outcome<&'a str> {
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(label));
    found.map(str::trim).ok_or_else(|| format!("there is no `{label}` in: {text}").into())
}

/// The number at the beginning of some words.
fn number<T: std::str::FromStr>(words: &str) -> Outcome<T> {
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(words.len());
    words[..end].parse().map_err(|_| format!("`{words}` does not begin with a number").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_and_run() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-here"), None);
        let go_on = AtomicBool::new(false);
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2"]);
        let text = run(&mut command, 1, &go_on).unwrap();
        assert!(text.contains("out") && text.contains("err"));
        let mut command = Command::new("sh");
        command.args(["-c", "echo why >&2; exit 3"]);
        let error = run(&mut command, 1, &go_on).unwrap_err().to_string();
        assert!(error.contains("why") && error.contains("exit status: 3"), "{error}");
        let error = run(&mut Command::new("no-such-program-here"), 1, &go_on).unwrap_err().to_string();
        assert!(error.starts_with("no-such-program-here: "), "{error}");
    }

    #[test]
    fn an_interrupted_tool_is_ended() {
        let began = Instant::now();
        let mut command = Command::new("sleep");
        let error = run(command.arg("600"), 600, &AtomicBool::new(true)).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn codes_that_no_query_gets_are_wrong() {
        let rcodes =
            [("NOERROR", 5), ("NXDOMAIN", 7), ("SERVFAIL", 2)].map(|(code, count)| (code.to_owned(), count));
        let run = Run { rcodes: rcodes.into(), ..Run::default() };
        let judged = |mut run: Run, is_echo| {
            run.judge_by_code(is_echo);
            run.wrong
        };
        assert_eq!([false, true].map(|is_echo| judged(run.clone(), is_echo)), [Some(2), Some(9)]);
        assert_eq!(judged(Run { wrong: Some(1), ..run }, false), Some(1), "the tool knows better");
    }

    #[test]
    fn numbers_stand_before_their_units() {
        assert_eq!(number::<u64>("155942 (100.00%)").unwrap(), 155_942);
        assert!((number::<f64>("2.000902").unwrap() - 2.000_902).abs() < 1e-9);
        assert!(number::<u64>("none").is_err());
        assert_eq!(after("a: 1\n  b: 2 c\n", "b:").unwrap(), "2 c");
        assert!(after("a: 1", "b:").unwrap_err().to_string().contains("no `b:`"));
    }
}
