//! The one page, before it is Markdown or HTML: its parts in their order.

use super::super::bounds::{LOADS, LOSS_MAX};
use super::super::measure::{Limit, Summary};
use super::super::servers::Counted;
use super::chart::{Axis, Scale, Series, bars, lines, short};
use super::figures::Target;
use super::{ChangeRun, Frames, Report, Sample, Section};

/// A piece of the page.
pub enum Part {
    Heading(String),
    Text(String),
    List(Vec<String>),
    Table(Table),
    /// A title, and a file that is shown as it is.
    File(String, String),
    /// A file name without its end, a title, and the SVG.
    Chart(String, String, String),
}

pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }
}

/// The page.
pub struct Page {
    pub title: String,
    pub parts: Vec<Part>,
}

const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99)];

impl Page {
    pub fn of(report: &Report) -> Self {
        let mut page = Self { title: "as112d beside its peers".to_owned(), parts: Vec::new() };
        page.opening(report);
        page.costs(report, Section::Udp, "CPU per query over UDP", ORDINARY);
        page.costs(report, Section::Flood, "CPU per query over UDP, under a flood", FLOOD);
        page.costs(report, Section::Rps, "CPU per query over UDP, the client's side on another CPU", RPS);
        page.costs(report, Section::Mix, "CPU per query of all kinds", MIXED);
        page.costs(report, Section::Flame, "CPU per query at a fixed rate", FLAME);
        page.rates(report, Section::Veth, "Across a veth pair", VETH);
        page.rates(report, Section::Ceiling, "The ceiling in the driver", CEILING);
        page.frames(report);
        page.changes(report);
        page.rates(report, Section::Ramp, "On the loopback, open loop", RAMP);
        page.latency(report);
        page.costs(report, Section::Tcp, "CPU per query over TCP", TCP);
        page.costs(report, Section::TcpEach, "CPU per query over TCP, one connection per query", TCP_EACH);
        page.shards(report);
        page.growth(report);
        page.starts(report);
        page.limits(report);
        page.closing(report);
        page
    }

    /// The plots, each with its file name.
    pub fn charts(&self) -> Vec<(&str, String)> {
        let alone = |svg: &str| svg.replacen("<svg ", "<svg style=\"background:#fff;color:#1f2328\" ", 1);
        let mut charts = Vec::new();
        for part in &self.parts {
            if let Part::Chart(name, _, svg) = part {
                charts.push((name.as_str(), alone(svg)));
            }
        }
        charts
    }

    /// What the program in the driver takes.
    fn frames(&mut self, report: &Report) {
        let all = [
            (Frames::Nothing, "to an empty program: the cost of measuring"),
            (Frames::Passing, "passed on, to a port without a listener"),
            (Frames::BuiltIn, "answered, ordinary queries"),
            (Frames::Operators, "answered from one of a thousand configured zones"),
        ];
        if report.frames.is_empty() {
            return;
        }
        self.text(FRAMES);
        let mut table = Table::new(&["a frame", "ns"]);
        table.rows =
            all.map(|(frames, what)| vec![what.to_owned(), shown(report.frame_ns(frames).as_ref())]).into();
        self.parts.push(Part::Table(table));
    }

    /// What was lost while nodes of ours changed.
    fn changes(&mut self, report: &Report) {
        if report.changes.is_empty() {
            return;
        }
        self.heading("Reloads and upgrades");
        self.text(CHANGES);
        let head = ["server", "over", "changes", "queries a second", "queries", "lost", "wrong"];
        let mut table = Table::new(&head);
        let row = |run: &ChangeRun| {
            let changes = format!("{} times {}", run.done, run.change);
            let [sent, lost, wrong] = [run.sent, run.lost, run.wrong].map(|count| count.to_string());
            vec![run.server.clone(), run.transport.clone(), changes, short(run.rate), sent, lost, wrong]
        };
        table.rows = report.changes.iter().map(row).collect();
        self.parts.push(Part::Table(table));
    }

    /// The table of aims, which is the first one.
    pub fn targets(&self) -> Option<&Table> {
        self.parts.iter().find_map(|part| match part {
            Part::Table(table) => Some(table),
            _ => None,
        })
    }

    pub fn heading(&mut self, text: &str) {
        self.parts.push(Part::Heading(text.to_owned()));
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Text(text.into()));
    }

    pub fn chart(&mut self, name: impl Into<String>, title: &str, svg: String) {
        self.parts.push(Part::Chart(name.into(), title.to_owned(), svg));
    }

    fn opening(&mut self, report: &Report) {
        if report.is_quick {
            self.text("This run only shows that everything works: it is too short to measure.");
        }
        let (rounds, queries) = (report.rounds, report.queries);
        self.text(format!(
            "All servers have the same zones and run on one CPU of one host; the generator has another. \
             Each figure is the median of {rounds} interleaved rounds, with minimum and maximum; the \
             rounds start with a different server each time. A set has {queries} queries. Ratios are \
             between medians of this run: they say more than the figures, which depend on the host."
        ));
        if !report.skipped.is_empty() {
            self.text("Not measured:");
            self.parts.push(Part::List(report.skipped.clone()));
        }
        let mut table = Table::new(&["figure", "ours", "beside", "ratio", "aim", "reached"]);
        table.rows = report.targets().iter().map(|target| target_row(target, report.is_quick)).collect();
        self.parts.push(Part::Table(table));
    }

    /// A section whose figure is the CPU time for an answer.
    fn costs(&mut self, report: &Report, section: Section, title: &str, about: &str) {
        let servers = report.servers_in(section);
        if servers.is_empty() {
            return;
        }
        self.heading(title);
        self.text(about);
        let rows: Vec<_> = servers
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), report.cpu(section, name)?)))
            .collect();
        self.chart(format!("cpu-{}", key(section)), title, bars(title, "µs", &rows));
        let head = [
            "server",
            "µs per answer",
            "answers a second",
            "lost",
            "wrong",
            "busy: server",
            "generator",
            "limited by",
            "counted by",
            "counts differ",
        ];
        let mut table = Table::new(&head);
        for name in servers {
            let samples: Vec<&Sample> = report.of(section, name).collect();
            let rates = Summary::of(samples.iter().map(|sample| sample.rate()));
            let wrong = samples.iter().filter_map(|sample| sample.run.wrong).reduce(|sum, count| sum + count);
            table.rows.push(vec![
                name.to_owned(),
                shown(report.cpu(section, name).as_ref()),
                shown(rates.as_ref()),
                percent(median(&samples, |sample| sample.loss())),
                wrong.map_or_else(|| "not checked".to_owned(), |count| count.to_string()),
                percent(median(&samples, |sample| sample.server_busy)),
                percent(median(&samples, |sample| sample.generator_busy)),
                limit(&samples).words().to_owned(),
                counted(&samples).to_owned(),
                percent(median(&samples, |sample| sample.disagreement())),
            ]);
        }
        self.parts.push(Part::Table(table));
        self.command_of(report, section);
    }

    /// A section whose figure is the highest rate.
    fn rates(&mut self, report: &Report, section: Section, title: &str, about: &str) {
        let servers = report.servers_in(section);
        if servers.is_empty() {
            return;
        }
        self.heading(title);
        self.text(about);
        let best = |name: &&str| Some(((*name).to_owned(), report.best(section, name)?));
        let rows: Vec<_> = servers.iter().filter_map(best).collect();
        if !rows.is_empty() {
            let what = format!("Highest rate with at most {} % lost", LOSS_MAX * 100.0);
            self.chart(format!("best-{}", key(section)), &what, bars(&what, "/s", &rows));
        }
        let series: Vec<Series> = servers
            .iter()
            .map(|name| Series { name: (*name).to_owned(), points: report.curve(section, name) })
            .collect();
        let (x, y) = ("offered, queries a second", "answered, a second");
        let axes = [x, y].map(|label| Axis { label, scale: Scale::Linear });
        let svg = lines("Answers against offered load", &axes[0], &axes[1], &series);
        self.chart(format!("offered-{}", key(section)), "Answers against offered load", svg);
        let mut table = Table::new(&[
            "server",
            "highest rate",
            "µs per answer there",
            "limited by",
            "counted by",
            "counts differ",
        ]);
        for name in servers {
            let bests: Vec<_> =
                report.bests.iter().filter(|best| best.section == section && best.server == name).collect();
            let bound = bests.iter().filter(|best| best.is_generator_bound).count();
            let there = report.deciding(section, name);
            let limited = if bound > 0 {
                format!("the generator, which could not send more ({bound} of {} rounds)", bests.len())
            } else {
                limit(&there).words().to_owned()
            };
            table.rows.push(vec![
                name.to_owned(),
                shown(report.best(section, name).as_ref()),
                shown(Summary::of(there.iter().filter_map(|sample| sample.cpu_us())).as_ref()),
                limited,
                counted(&there).to_owned(),
                percent(median(&there, |sample| sample.disagreement())),
            ]);
        }
        self.parts.push(Part::Table(table));
        self.command_of(report, section);
    }

    fn latency(&mut self, report: &Report) {
        let servers = report.servers_in(Section::Latency);
        if servers.is_empty() {
            return;
        }
        self.heading("Latency at shares of the peers' highest rate");
        self.text(LATENCY);
        for load in LOADS {
            let points = |name: &str| -> Vec<(f64, f64)> {
                let value = |(percentile, x): (&str, f64)| {
                    Some((x, report.latency(name, load, percentile)?.median * 1e3))
                };
                PERCENTILES.into_iter().filter_map(value).collect()
            };
            let series: Vec<Series> = servers
                .iter()
                .map(|name| Series { name: (*name).to_owned(), points: points(name) })
                .collect();
            if series.iter().all(|series| series.points.is_empty()) {
                continue;
            }
            let x = Axis { label: "percentile", scale: Scale::Percentile };
            let y = Axis { label: "latency, µs", scale: Scale::Log };
            let title = format!("Latency at {load} % of the peers' highest rate");
            self.chart(format!("latency-{load}"), &title, lines(&title, &x, &y, &series));
        }
        let head = [
            "load",
            "server",
            "offered /s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "lost",
            "wrong",
            "send delay, p99 ms",
            "limited by",
        ];
        let mut table = Table::new(&head);
        for load in LOADS {
            for name in &servers {
                let samples: Vec<&Sample> =
                    report.of(Section::Latency, name).filter(|sample| sample.load == Some(load)).collect();
                let Some(first) = samples.first() else { continue };
                let at = |percentile: &str| shown(report.latency(name, load, percentile).as_ref());
                let wrong: u64 = samples.iter().filter_map(|sample| sample.run.wrong).sum();
                table.rows.push(vec![
                    format!("{load} %"),
                    (*name).to_owned(),
                    short(first.offered.unwrap_or_default() as f64),
                    at("p50"),
                    at("p90"),
                    at("p99"),
                    at("p99.9"),
                    at("max"),
                    percent(median(&samples, |sample| sample.loss())),
                    wrong.to_string(),
                    at("late sending p99"),
                    limit(&samples).words().to_owned(),
                ]);
            }
        }
        self.parts.push(Part::Table(table));
        self.command_of(report, Section::Latency);
    }

    fn shards(&mut self, report: &Report) {
        let servers = report.servers_in(Section::Shards);
        if servers.is_empty() {
            return;
        }
        self.heading("Two shards against one");
        self.text(SHARDS);
        let mut table = Table::new(&["server", "shards", "offered /s", "µs per answer", "lost", "wrong"]);
        for name in servers {
            for shards in [1, 2] {
                let samples: Vec<&Sample> =
                    report.of(Section::Shards, name).filter(|sample| sample.shards == shards).collect();
                let Some(first) = samples.first() else { continue };
                let wrong: u64 = samples.iter().filter_map(|sample| sample.run.wrong).sum();
                table.rows.push(vec![
                    name.to_owned(),
                    shards.to_string(),
                    short(first.offered.unwrap_or_default() as f64),
                    shown(Summary::of(samples.iter().filter_map(|sample| sample.cpu_us())).as_ref()),
                    percent(median(&samples, |sample| sample.loss())),
                    wrong.to_string(),
                ]);
            }
        }
        self.parts.push(Part::Table(table));
        self.command_of(report, Section::Shards);
    }

    fn starts(&mut self, report: &Report) {
        let names = report.servers.iter().map(|server| server.name.as_str());
        let rows = |figure: &dyn Fn(&str) -> Option<Summary>| -> Vec<(String, Summary)> {
            names.clone().filter_map(|name| Some((name.to_owned(), figure(name)?))).collect()
        };
        let starts = rows(&|name| report.first_answer(name));
        let memory = rows(&|name| report.memory_mib(name));
        if starts.is_empty() && memory.is_empty() {
            return;
        }
        self.heading("Start and memory");
        self.text(START);
        if !starts.is_empty() {
            self.chart(
                "start",
                "From start to first answer",
                bars("From start to first answer", "ms", &starts),
            );
        }
        if !memory.is_empty() {
            let title = "Resident memory after the UDP run";
            self.chart("memory", title, bars(title, "MiB", &memory));
        }
    }

    fn closing(&mut self, report: &Report) {
        self.heading("How it was measured");
        self.text(format!("`{}`, seed {}; began at {}.", report.command, report.seed, utc(report.began)));
        let mut host = Table::new(&["host", ""]);
        host.rows = report.host.facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]).collect();
        self.parts.push(Part::Table(host));
        let mut servers = Table::new(&["server", "version", "command line"]);
        let row = |server: &super::ServerFacts| {
            vec![server.name.clone(), server.version.clone(), format!("`{}`", server.command)]
        };
        servers.rows = report.servers.iter().map(row).collect();
        self.parts.push(Part::Table(servers));
        for server in &report.servers {
            if let Some(text) = &server.configuration {
                self.parts.push(Part::File(format!("Configuration of {}", server.name), text.clone()));
            }
        }
        self.text(CAVEATS);
        self.text("All measurements are in `report.json`, run by run.");
    }

    /// One command line of a section, as an example of all.
    fn command_of(&mut self, report: &Report, section: Section) {
        if let Some(sample) = report.samples.iter().find(|sample| sample.section == section) {
            self.text(format!("For example: `{}`", sample.run.command));
        }
    }
}

const ORDINARY: &str = "\
dnsperf, 16 sockets, 100 queries outstanding, EDNS and DO. CPU time is the server's own, of all its \
processes and threads, from /proc. An echo is our datapath without a name server.";
const FLOOD: &str = "\
Our generator, 16 sockets, EDNS and DO, as many queries as it can send: the server is busy all the \
time, so an answer's cost is not that of waiting. What is above a server's highest rate is lost, \
which is no fault here.";
const RPS: &str = "\
dnsperf as above, in a network namespace whose loopback hands received packets to the generator's \
CPU (receive packet steering). Without it a reply's way to the client is part of the server's own \
system call, which no server behind a NIC pays.";
const MIXED: &str = "\
dnsperf with binary queries: EDNS or none, NSID, client subnets, cookies, mixed case, dynamic \
updates and TKEY as Windows sends them. Servers answer the last two differently, so this is not a \
contest.";
const FLAME: &str = "\
flamethrower, at the same rate for all.";
const VETH: &str = "\
kxdpgun sends over AF_XDP into a network namespace that holds the server alone. Lost is what the \
server's kernel did not send an answer to; the search ends within 3 %.";
const CEILING: &str = "\
Our generator in the kernel sends across a veth pair: one program makes the queries, another one counts \
the replies. The kernel's work at the server's end is bound to the server's CPU. The rate grows until no \
more answers come; the figure is the highest rate of answers, whatever is lost.";
const FRAMES: &str = "\
Time of our XDP program per frame, by kernel.bpf_stats_enabled: its two clock reads \
are included in each figure, and not in the targets.";
const CHANGES: &str = "\
Our generator: over UDP 70 % of the highest rate, an open loop; over TCP one connection per \
query, as fast as they complete. Meanwhile the node reloads, or upgrades, again and again.";
const RAMP: &str = "\
Our generator, every reply checked. Below the dashed line, answers are missing.";
const LATENCY: &str = "\
Open loop: queries are sent on schedule, and latency counts from the scheduled time of the query. \
All servers get the same rates: shares of the better of NSD's and Knot's highest.";
const TCP: &str = "\
dnsperf, 20 connections, 200 queries outstanding.";
const TCP_EACH: &str = "\
Our generator, 20 connections at a time: connect, one query, its reply, close.";
const SHARDS: &str = "\
The same rate, a quarter of the highest of one shard. The second shard shares the generator's CPU \
if the host has only two.";
const START: &str = "\
From the start of the process to its first answer, zones loaded; resident memory (VmRSS) of all its \
processes after the UDP run.";
const CAVEATS: &str = "\
On the loopback and across a veth pair, sender and server share one kernel: part of the work for a \
reply is charged to the process that the kernel interrupts. No NIC was involved, so nothing here \
shows the cost of a NIC and its driver.";

fn key(section: Section) -> String {
    serde_json::to_string(&section).unwrap_or_default().trim_matches('"').to_owned()
}

fn target_row(target: &Target, is_quick: bool) -> Vec<String> {
    let side = |(name, summary): &(String, Option<Summary>)| {
        let value = summary.map_or_else(
            || "not measured".to_owned(),
            |summary| format!("{} {}", shown(Some(&summary)), target.unit),
        );
        format!("{name}: {value}")
    };
    let reached = match target.holds() {
        Some(_) if is_quick => "too short to say",
        Some(true) => "yes",
        Some(false) => "no",
        None => "not measured",
    };
    let ratio = target.theirs.as_ref().and_then(|_| target.value());
    vec![
        target.what.clone(),
        side(&target.ours),
        target.theirs.as_ref().map(side).unwrap_or_default(),
        ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        target.aim.words(),
        reached.to_owned(),
    ]
}

/// A median with its least and most.
pub fn shown(summary: Option<&Summary>) -> String {
    match summary {
        None => "–".to_owned(),
        Some(summary) if summary.count == 1 => short(summary.median),
        Some(summary) => {
            format!("{} ({} – {})", short(summary.median), short(summary.min), short(summary.max))
        }
    }
}

pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{} %", short((share * 1e4).round() / 1e2)))
}

pub fn median(samples: &[&Sample], figure: impl Fn(&Sample) -> f64) -> Option<f64> {
    Summary::of(samples.iter().map(|sample| figure(sample))).map(|summary| summary.median)
}

/// What limited most of the samples.
pub fn limit(samples: &[&Sample]) -> Limit {
    let all = [Limit::Server, Limit::Generator, Limit::Both, Limit::Neither];
    let count = |limit: &Limit| samples.iter().filter(|sample| sample.limit == *limit).count();
    all.into_iter().max_by_key(count).unwrap_or(Limit::Neither)
}

fn counted(samples: &[&Sample]) -> &'static str {
    match samples.first().map(|sample| sample.counted) {
        Some(Counted::Server) => "the server",
        Some(Counted::Kernel) => "the kernel",
        Some(Counted::Generator) | None => "the generator",
    }
}

/// Seconds of Unix time as a date and a time of day.
fn utc(seconds: u64) -> String {
    let (mut days, of_day) = (seconds / 86_400, seconds % 86_400);
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lens = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lens[month] {
        days -= lens[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02} {:02}:{:02} UTC", month + 1, days + 1, of_day / 3600, of_day / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::report;
    use super::super::{html, markdown};
    use super::*;

    #[test]
    fn both_forms_hold_all_of_it() {
        let page = Page::of(&report());
        let (markdown, html) = (markdown::render(&page), html::render(&page));
        for text in [&markdown, &html] {
            for fragment in [
                "as112d io_uring",
                "Knot DNS",
                "how it was measured",
                "not measured",
                "0.50",
                "at most 0.82",
                "Configuration of NSD",
            ] {
                assert!(text.to_lowercase().contains(&fragment.to_lowercase()), "{fragment}: {text}");
            }
        }
        let charts: Vec<&str> = page.charts().iter().map(|chart| chart.0).collect();
        let charts: Vec<&str> = charts.into_iter().filter(|name| !name.starts_with("growth")).collect();
        assert_eq!(charts, ["cpu-udp", "best-ramp", "offered-ramp", "latency-50", "start", "memory"]);
        assert_eq!(html.matches("<svg").count(), page.charts().len());
        charts.iter().for_each(|name| assert!(markdown.contains(&format!("({name}.svg)"))));
        assert!(html.ends_with("</html>\n") && !html.contains("NaN"));
        assert!(html.contains("a &lt;file&gt;") && markdown.contains("a <file>"));
    }

    #[test]
    fn what_was_written_is_verified() {
        let (folder, report) = (tempfile::TempDir::new().unwrap(), report());
        report.write(folder.path()).unwrap();
        report.verify(folder.path()).unwrap();
        let html = folder.path().join("report.html");
        let whole = std::fs::read_to_string(&html).unwrap();
        std::fs::write(&html, &whole[..whole.len() - 10]).unwrap();
        assert!(report.verify(folder.path()).unwrap_err().to_string().contains("cut off"));
        std::fs::write(&html, whole.replace("NSD", "???")).unwrap();
        assert!(report.verify(folder.path()).unwrap_err().to_string().contains("NSD is missing"));
        std::fs::write(folder.path().join("report.json"), "{}").unwrap();
        assert!(report.verify(folder.path()).is_err());
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00 UTC");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(utc(1_795_699_510), "2026-11-26 13:25 UTC");
    }
}
