//! What was measured, as data; `report.json` is this. The pages are made of it alone.

mod chart;
mod figures;
mod growth;
mod html;
mod limits;
mod markdown;
mod page;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::measure::Limit;
use super::servers::Counted;
use super::tools::Run;
use super::{Outcome, fail};

/// A load test from its begin to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Seconds of Unix time.
    pub began: u64,
    pub command: String,
    pub seed: u64,
    pub rounds: usize,
    /// Queries of a set.
    pub queries: usize,
    /// Whether it only shows that all works: its figures are none.
    pub is_quick: bool,
    pub host: Host,
    pub servers: Vec<ServerFacts>,
    pub samples: Vec<Sample>,
    pub bests: Vec<Best>,
    pub starts: Vec<Start>,
    #[serde(default)]
    pub frames: Vec<FrameTime>,
    #[serde(default)]
    pub changes: Vec<ChangeRun>,
    #[serde(default)]
    pub grown: Vec<Grown>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    pub name: String,
    pub version: String,
    pub command: String,
    /// The file that was written for it.
    pub configuration: Option<String>,
}

/// The parts of a load test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// From start to first answer
    Start,
    /// dnsperf over UDP, ordinary queries
    Udp,
    /// The generator of ours over UDP, more than any server answers
    Flood,
    /// As over UDP, with the client's side of the kernel on the generator's CPU
    Rps,
    /// dnsperf over UDP, all that a node gets
    Mix,
    /// flamethrower at one rate
    Flame,
    /// The generator of ours, up to the highest rate
    Ramp,
    /// The generator of ours at shares of the peers' highest rate
    Latency,
    /// dnsperf over TCP, many queries on a connection
    Tcp,
    /// One query on a connection
    TcpEach,
    /// Two shards against one at the same rate
    Shards,
    /// kxdpgun across a veth pair, up to the highest rate
    Veth,
    /// A generator that is not the limit, against servers in the driver
    Ceiling,
    /// More zones, shards and addresses
    Growth,
    /// Reloads and upgrades of ours under load
    Changes,
}

impl Section {
    pub const ALL: [Self; 15] = [
        Self::Start,
        Self::Udp,
        Self::Flood,
        Self::Rps,
        Self::Mix,
        Self::Flame,
        Self::Ramp,
        Self::Latency,
        Self::Tcp,
        Self::TcpEach,
        Self::Shards,
        Self::Veth,
        Self::Ceiling,
        Self::Growth,
        Self::Changes,
    ];
}

impl Section {
    /// What it measures, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Udp => "UDP, dnsperf",
            Self::Flood => "UDP, flood",
            Self::Rps => "UDP, dnsperf, client's side on another CPU",
            Self::Mix => "UDP, queries of all kinds",
            Self::Flame => "UDP, flamethrower",
            Self::Ramp => "highest rate, loopback",
            Self::Latency => "latency",
            Self::Tcp => "TCP",
            Self::TcpEach => "TCP, one query per connection",
            Self::Shards => "two shards",
            Self::Veth => "highest rate, veth",
            Self::Ceiling => "the ceiling in the driver",
            Self::Growth => "growth",
            Self::Changes => "reloads and upgrades",
        }
    }
}

/// One run against one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub section: Section,
    pub server: String,
    pub round: usize,
    pub shards: usize,
    /// Queries a second that were to be sent; nothing for a closed loop.
    pub offered: Option<u64>,
    /// That as a share of the peers' highest rate, in percent.
    pub load: Option<u64>,
    pub run: Run,
    /// Answers that the server gave, and who says so.
    pub served: u64,
    pub counted: Counted,
    /// Seconds of CPU time.
    pub server_cpu: f64,
    /// Of which outside the kernel.
    #[serde(default)]
    pub server_user: f64,
    pub generator_cpu: f64,
    /// Shares of the time for which the two CPUs were busy, with whatever.
    pub server_busy: f64,
    pub generator_busy: f64,
    pub limit: Limit,
}

impl Sample {
    /// Microseconds of the server's CPU time for each answer.
    pub fn cpu_us(&self) -> Option<f64> {
        (self.served > 0).then(|| self.server_cpu * 1e6 / self.served as f64)
    }

    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.served as f64 / self.run.seconds.max(1e-9)
    }

    /// The share of the queries that the server did not answer.
    pub fn loss(&self) -> f64 {
        self.run.sent.saturating_sub(self.served) as f64 / self.run.sent.max(1) as f64
    }

    /// By how much the server's count and the generator's differ, as a share.
    pub fn disagreement(&self) -> f64 {
        self.served.abs_diff(self.run.answered) as f64 / self.served.max(1) as f64
    }
}

/// The highest rate of a server in one round, with no more loss than [`LOSS_MAX`](super::bounds::LOSS_MAX).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    pub section: Section,
    pub server: String,
    pub round: usize,
    /// Answers a second.
    pub rate: f64,
    /// Whether it was the generator that could do no more, so that the server's highest rate is above.
    pub is_generator_bound: bool,
}

/// One start of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    pub server: String,
    pub round: usize,
    pub first_answer_ms: Option<f64>,
    /// Resident memory after the UDP run.
    pub resident_kib: Option<u64>,
}

/// What kind of frames our program in the driver got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frames {
    /// Any, to a program that does nothing: what the kernel's measuring takes.
    Nothing,
    /// For a port that is nobody's.
    Passing,
    /// Ordinary queries, with the built-in zones.
    BuiltIn,
    /// Queries below a thousand zones of an operator.
    Operators,
}

/// What it took for one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameTime {
    pub frames: Frames,
    pub round: usize,
    /// How many there were.
    pub count: u64,
    /// Nanoseconds for one.
    pub ns: f64,
}

/// What a server has more of, step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grows {
    /// With a flood over all of them.
    Zones,
    /// Or the threads of a peer, at one rate.
    Shards,
    /// With a flood over all of them.
    Addresses,
}

impl Grows {
    pub fn words(self) -> &'static str {
        match self {
            Self::Zones => "zones",
            Self::Shards => "shards",
            Self::Addresses => "addresses",
        }
    }
}

/// A server at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grown {
    pub grows: Grows,
    /// How many there were.
    pub at: usize,
    pub server: String,
    pub round: usize,
    /// From its start until it answered for all its zones.
    pub first_answers_ms: f64,
    /// Memory after the load (Pss of all its processes).
    pub memory_kib: u64,
    /// Microseconds of CPU time for an answer.
    pub cpu_us: Option<f64>,
    /// Answers a second.
    pub rate: f64,
    pub server_busy: f64,
    /// With addresses: milliseconds, at half of what the better of the fast peers answered at this step.
    #[serde(default)]
    pub latency_ms: BTreeMap<String, f64>,
}

/// A run under which a node of ours changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRun {
    pub server: String,
    /// The command that it was given.
    pub change: String,
    pub transport: String,
    /// How often it changed.
    pub done: usize,
    /// Queries a second.
    pub rate: f64,
    pub sent: u64,
    pub lost: u64,
    /// Wrong replies.
    pub wrong: u64,
}

impl Report {
    pub fn of(&self, section: Section, server: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.section == section && sample.server == server)
    }

    /// Replies that were found wrong, by whoever looked.
    pub fn wrong(&self) -> Vec<String> {
        let wrong = |sample: &Sample| {
            let count = sample.run.wrong.filter(|count| *count > 0)?;
            Some(format!(
                "{:?}, {}: {count} of {} replies are wrong",
                sample.section, sample.server, sample.run.answered
            ))
        };
        let changes = self.changes.iter().filter(|run| run.wrong > 0);
        let changed =
            changes.map(|run| format!("{}, {}: {} replies are wrong", run.change, run.server, run.wrong));
        self.samples.iter().filter_map(wrong).chain(changed).collect()
    }

    /// Writes the pages and the data to a folder, which is made.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, folder: &Path) -> Outcome<()> {
        fs::create_dir_all(folder)?;
        let page = page::Page::of(self);
        fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        fs::write(folder.join("report.md"), markdown::render(&page))?;
        fs::write(folder.join("report.html"), html::render(&page))?;
        for (name, svg) in page.charts() {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
        Ok(())
    }

    /// The runs that decide on a figure: those near the highest rate, where that is what a section searches;
    /// else all of them.
    pub fn deciding(&self, section: Section, server: &str) -> Vec<&Sample> {
        let bests: Vec<&Best> =
            self.bests.iter().filter(|best| best.section == section && best.server == server).collect();
        let is_near =
            |sample: &&Sample| bests.iter().any(|best| (sample.rate() / best.rate - 1.0).abs() < 0.03);
        let near: Vec<&Sample> = self.of(section, server).filter(is_near).collect();
        if near.is_empty() { self.of(section, server).collect() } else { near }
    }

    /// The table of the report, for a terminal.
    pub fn headline(&self) -> String {
        markdown::targets(&page::Page::of(self))
    }

    /// Reads back what [`write`](Self::write) has written.
    ///
    /// # Errors
    /// It is not whole.
    pub fn verify(&self, folder: &Path) -> Outcome<()> {
        let read = |name: &str| fs::read_to_string(folder.join(name));
        let again: Self = serde_json::from_str(&read("report.json")?)?;
        if again.samples.len() != self.samples.len() || again.servers != self.servers {
            return fail("report.json does not hold what was measured");
        }
        let (markdown, html) = (read("report.md")?, read("report.html")?);
        for server in &self.servers {
            if ![&markdown, &html].iter().all(|page| page.contains(&server.name)) {
                return fail(format!("{} is missing in a page", server.name));
            }
        }
        let charts = html.matches("<svg").count();
        if charts == 0 || charts != html.matches("</svg>").count() || !html.ends_with("</html>\n") {
            return fail("report.html is cut off, or has no plots");
        }
        Ok(())
    }
}
