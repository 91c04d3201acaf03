//! The counters as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0 where that is asked for.
//!
//! Both have the same series. They differ in what `# TYPE` names (OpenMetrics leaves `_total` and `_info`
//! out), in units and in the end of the text.

mod clients;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use crate::announce::report::Route;
use crate::board::host::{FAMILIES as HOST_FAMILIES, HOST};
use crate::board::observed::{Observation, TIME_BOUNDS};
use crate::board::process::PROCESS;
use crate::board::resolver::{Phase, Status};
use crate::board::work::{App, Server, Work};
use crate::board::{Reading, sum_of};
use crate::limits::SERVICE_TIME_EVERY;
use crate::stats::counters::{Family, QUERIES, Totals};
use crate::stats::uniques::KINDS;
use crate::sys::confine::Class;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The format for a request with this Accept header: OpenMetrics if it is named and not liked less than
    /// plain text.
    #[must_use]
    pub fn negotiated(accept: &str) -> Self {
        let (mut open_metrics, mut text) = (0.0, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let parameters: Vec<&str> = parts.collect();
            let value = |name| parameters.iter().find_map(|parameter| parameter.strip_prefix(name));
            let quality: f64 = value("q=").map_or(Some(1.0), |q: &str| q.parse().ok()).unwrap_or(0.0);
            match media {
                "application/openmetrics-text"
                    if value("version=").is_none_or(|version| version == "1.0.0") =>
                {
                    open_metrics = quality;
                }
                "text/plain" => text = quality,
                _ => {}
            }
        }
        if open_metrics > 0.0 && open_metrics >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The Content-Type of the text.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Least sizes of the bins of a histogram after the fine ones. The bounds are one less, for sizes are whole
/// numbers.
const COARSE_SIZES: [usize; 4] = [512, 1024, 2048, 4096];
const NANOSECONDS: &str = "_nanoseconds_total";

/// Everything that `reading` has, in the given format.
#[must_use]
pub fn render(reading: &Reading<'_>, format: Format) -> String {
    let mut text = Text { out: String::new(), format };
    text.facts(reading);
    text.told(reading);
    text.routes(reading);
    text.observation(reading);
    text.shards(reading);
    text.clients(reading);
    if let Some(work) = &reading.work {
        text.work(work);
        if reading.named.counted.have_apps() {
            text.apps(work);
        }
    }
    for family in reading.shown() {
        match family.bin_len() {
            Some(bin_len) => text.histogram(reading, family, bin_len),
            None if family.is_histogram() => text.times(reading, family),
            None if family.by_shard => text.by_shard(reading, family),
            None => {
                text.head(&exposed(family), "counter", family.help);
                text.series(reading, family, &reading.total, &[]);
            }
        }
    }
    for (family, counts) in HOST.iter().zip(&reading.host) {
        let name = format!("as112_{}_total", family.name);
        text.head(&name, "counter", family.help);
        for (label, count) in HOST_FAMILIES.iter().zip(counts) {
            if let Some(count) = count {
                text.sample(&name, &[("family", label)], count);
            }
        }
    }
    for (family, value) in PROCESS.iter().zip(reading.process) {
        if let Some(value) = value {
            text.head(family.name, family.kind, family.help);
            text.sample(family.name, &[], value);
        }
    }
    if format == Format::OpenMetrics {
        text.out.push_str("# EOF\n");
    }
    text.out
}

/// What a counter is called there: times are in seconds.
fn exposed(family: &Family) -> Cow<'static, str> {
    match family.name.strip_suffix(NANOSECONDS) {
        Some(stem) => format!("{stem}_seconds_total").into(),
        None => family.name.into(),
    }
}

/// Labels as samples take them.
fn borrowed<'a, const N: usize>(labels: &'a [(&'static str, String); N]) -> [(&'static str, &'a str); N] {
    labels.each_ref().map(|(name, value)| (*name, value.as_str()))
}

struct Text {
    out: String,
    format: Format,
}

impl Text {
    /// What announcers say.
    fn routes(&mut self, reading: &Reading<'_>) {
        let announcers = &reading.board.announcers;
        let name = "as112_announcers_connected";
        self.head(name, "gauge", "Processes of `as112d announce` that are connected to this node.");
        self.sample(name, &[], announcers.read().len());
        let routes = announcers.routes();
        type Value = fn(&Route) -> usize;
        let families: [(&str, &str, Value); 3] = [
            ("as112_route_announced", "1 while the prefix is announced.", |route| route.announced.into()),
            ("as112_route_held_down", "1 while the prefix is held down after it was withdrawn.", |route| {
                route.held_seconds.is_some().into()
            }),
            ("as112_route_failing_addresses", "Addresses of the prefix whose last probe failed.", |route| {
                route.failing.len()
            }),
        ];
        for (name, help, value) in families {
            self.head(name, "gauge", help);
            for route in &routes {
                self.sample(name, &[("prefix", &route.prefix.to_string())], value(route));
            }
        }
    }

    /// What is not a counter.
    fn facts(&mut self, reading: &Reading<'_>) {
        let facts = &reading.board.facts;
        for (name, help, labels) in [
            (
                "as112_build_info",
                "Version and architecture of as112d.",
                [("version", facts.version), ("arch", std::env::consts::ARCH)],
            ),
            (
                "as112_node_info",
                "Name and site of the node.",
                [("node", reading.named.node.as_str()), ("site", reading.named.site.as_str())],
            ),
            (
                "as112_datapath_info",
                "Datapath for UDP, and why it was chosen.",
                [("datapath", facts.datapath.as_str()), ("reason", facts.reason.as_str())],
            ),
        ] {
            self.head(name, "info", help);
            self.sample(name, &labels, 1);
        }
        let name = "as112_datapath_queries_total";
        self.head(name, "counter", "Queries by datapath: UDP sockets, TCP and XDP.");
        for (datapath, queries) in reading.by_datapath() {
            self.sample(name, &[("datapath", datapath)], queries);
        }
        self.confinement(reading);
        self.head(
            "as112_start_time_seconds",
            "gauge",
            "Start time of the node, in seconds since the Unix epoch.",
        );
        self.sample("as112_start_time_seconds", &[], reading.started().as_secs_f64());
        self.head("as112_ready", "gauge", "1 while the node is serving; 0 while it is draining or stopping.");
        self.sample("as112_ready", &[], u8::from(reading.is_ready()));
        let reloads = &reading.board.reloads;
        let name = "as112_config_load_time_seconds";
        self.head(name, "gauge", "Load time of the running configuration, in seconds since the Unix epoch.");
        self.sample(name, &[], reloads.loaded_at());
        let name = "as112_config_last_reload_successful";
        self.head(
            name,
            "gauge",
            "1 if the last reload succeeded; 0 if it failed and the previous configuration is still in use.",
        );
        self.sample(name, &[], u8::from(reloads.is_current()));
        let name = "as112_config_reloads_total";
        self.head(name, "counter", "Configuration reloads, by result.");
        let (succeeded, failed) = reloads.counts();
        for (result, count) in [("succeeded", succeeded), ("failed", failed)] {
            self.sample(name, &[("result", result)], count);
        }
        let name = "as112_upgrade_possible";
        self.head(name, "gauge", "1 if `as112d upgrade` can start a new process; 0 if a restart is needed.");
        self.sample(name, &[], u8::from(reading.board.life.can_upgrade()));
        self.head("as112_tcp_connections", "gauge", "Open TCP connections.");
        self.sample("as112_tcp_connections", &[], reading.tcp_connections);
        self.history(reading);
        let name = "as112_export_errors_total";
        self.head(name, "counter", "Failed writes of export files, by export.");
        for (export, status) in &reading.board.exports {
            self.sample(name, &[("export", export)], status.errors());
        }
    }

    /// What the process may do, and what it was denied.
    fn confinement(&mut self, reading: &Reading<'_>) {
        let confined = &reading.board.confined;
        let labels = [
            ("user", confined.user.as_str()),
            ("landlock", confined.landlock.as_str()),
            ("seccomp", confined.seccomp.as_str()),
        ];
        self.head("as112_confined_info", "info", "How the process is confined: user, Landlock and seccomp.");
        self.sample("as112_confined_info", &labels, 1);
        let name = "as112_refused_syscalls_total";
        self.head(name, "counter", "System calls denied by seccomp, by thread.");
        for class in Class::ALL.into_iter().filter(|class| is_here(*class, reading)) {
            let of_class = reading.refused.iter().filter(|refused| refused.class == class);
            let count: u64 = of_class.map(|refused| u64::from(refused.count)).sum();
            self.sample(name, &[("thread", class.name())], count);
        }
    }

    /// How the history fares.
    fn history(&mut self, reading: &Reading<'_>) {
        let name = "as112_history_errors_total";
        self.head(name, "counter", "Failed writes to the history.");
        self.sample(name, &[], reading.board.history.errors());
        let name = "as112_history_in_memory";
        self.head(
            name,
            "gauge",
            "1 while the history waits in memory because its directory cannot be used; 0 otherwise.",
        );
        self.sample(name, &[], u8::from(reading.board.history.waits()));
        let name = "as112_history_log_bytes";
        self.head(name, "gauge", "Size of the write-ahead log of the history.");
        self.sample(name, &[], reading.board.history.log_len());
    }

    /// Of what the node says of itself and of queries, what was lost.
    fn told(&mut self, reading: &Reading<'_>) {
        let name = "as112_log_lines_lost_total";
        self.head(name, "counter", "Log lines lost, by log.");
        for (log, lost) in reading.board.lost() {
            self.sample(name, &[("log", log)], lost);
        }
        let Some(dnstap) = &reading.board.dnstap else { return };
        self.head("as112_dnstap_connected", "gauge", "1 while a dnstap receiver is connected.");
        self.sample("as112_dnstap_connected", &[], u8::from(dnstap.is_connected()));
        let name = "as112_dnstap_frames_sent_total";
        self.head(name, "counter", "dnstap frames sent.");
        self.sample(name, &[], dnstap.sent());
        let name = "as112_dnstap_frames_dropped_total";
        self.head(
            name,
            "counter",
            "dnstap frames dropped because no receiver was connected, or it was too slow.",
        );
        self.sample(name, &[], dnstap.dropped());
    }

    /// What the aggregator found out.
    fn observation(&mut self, reading: &Reading<'_>) {
        let Observation { buckets, uniques, unreadable, .. } = &reading.observation;
        let name = "as112_unique_sources";
        self.head(name, "gauge", "Unique sources of queries today (UTC), estimated with HyperLogLog.");
        for (kind, count) in KINDS.iter().zip(uniques) {
            self.sample(name, &[("kind", kind)], count);
        }
        let name = "as112_statistics_age_seconds";
        self.head(
            name,
            "gauge",
            "Time since statistics were last gathered; normally about a second at most.",
        );
        self.sample(name, &[], reading.observation.age.as_secs_f64());
        let name = "as112_source_sample_every";
        self.head(name, "gauge", "Sampling rate of sources: one query in this many.");
        self.sample(name, &[], reading.board.facts.sample_every);
        let name = "as112_source_lookup_errors_total";
        self.head(
            name,
            "counter",
            "Records of [sources] databases that could not be read, since they were loaded.",
        );
        self.sample(name, &[], unreadable);
        let name = "as112_processing_duration_sample_every";
        self.head(name, "gauge", "Sampling rate of service times: one query in this many, per shard.");
        self.sample(name, &[], SERVICE_TIME_EVERY);
        let name = "as112_processing_duration_seconds";
        self.head(
            name,
            "histogram",
            "Service times of sampled queries, from receiving their batch to submitting its replies.",
        );
        let bucket = format!("{name}_bucket");
        for (bound, count) in TIME_BOUNDS.iter().zip(buckets.counts) {
            self.sample(&bucket, &[("le", &format!("{:?}", *bound as f64 / 1e9))], count);
        }
        self.sample(&bucket, &[("le", "+Inf")], buckets.count);
        self.sample(&format!("{name}_sum"), &[], buckets.sum / 1e9);
        self.sample(&format!("{name}_count"), &[], buckets.count);
    }

    /// What each shard does, where that is not a counter of its own.
    fn shards(&mut self, reading: &Reading<'_>) {
        let blocks = || reading.board.shards.iter().enumerate();
        let name = "as112_shard_busy_ratio";
        self.head(name, "gauge", "Fraction of the last second for which the shard was busy.");
        for ((index, block), busy) in blocks().zip(&reading.observation.busy) {
            self.sample(name, &borrowed(&block.labels(index)), busy);
        }
        let name = "as112_shard_queries_total";
        self.head(name, "counter", "Queries answered, or deliberately left unanswered, by shard.");
        for ((index, block), totals) in blocks().zip(&reading.shards) {
            self.sample(name, &borrowed(&block.labels(index)), totals.sum(QUERIES));
        }
    }

    /// What workers have at hand.
    fn work(&mut self, work: &Work) {
        let gauges: [(&str, &str, u64); 3] = [
            ("as112_worker_tasks", "Queries that workers have taken and not answered yet.", work.tasks),
            ("as112_cache_entries", "Entries of the cache.", work.cache_entries),
            ("as112_cache_bytes", "Bytes that the cache takes.", work.cache_bytes),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            self.sample(name, &[], value);
        }
        let is_up = |resolver: &Status| u64::from(resolver.phase == Phase::Running);
        let starts = |resolver: &Status| resolver.starts;
        type OfResolver = fn(&Status) -> u64;
        let of_resolver: [(&str, &str, &str, OfResolver); 2] = [
            ("as112_resolver_up", "gauge", "Whether the resolver that this node runs takes queries.", is_up),
            (
                "as112_resolver_starts_total",
                "counter",
                "Times that this process started its resolver.",
                starts,
            ),
        ];
        if let Some(resolver) = &work.resolver {
            for (name, kind, help, value) in of_resolver {
                self.head(name, kind, help);
                self.sample(name, &[], value(resolver));
            }
        }
        type Value = fn(&Server) -> Option<f64>;
        let of_servers: [(&str, &str, Value); 3] = [
            (
                "as112_upstream_state",
                "Whether an upstream server is asked: 0 it is, 1 one query finds out, 2 it is not.",
                |server| Some(f64::from(server.state as u8)),
            ),
            (
                "as112_upstream_srtt_seconds",
                "Smoothed time to the response of an upstream server, where it is known.",
                |server| server.srtt.map(|srtt| srtt.as_secs_f64()),
            ),
            (
                "as112_upstream_in_flight",
                "Queries sent to an upstream server that it has not answered yet.",
                |server| Some(server.in_flight as f64),
            ),
        ];
        for (name, help, value) in of_servers {
            self.head(name, "gauge", help);
            for server in &work.servers {
                if let Some(value) = value(server) {
                    self.sample(name, &[("server", &server.name)], value);
                }
            }
        }
    }

    /// What workers have at hand of applications.
    fn apps(&mut self, work: &Work) {
        type Value = fn(&App) -> u64;
        let families: [(&str, &str, Value); 3] = [
            (
                "as112_app_state",
                "Whether an application is called: 1 it is, 2 it is being started, 3 it is off after traps.",
                |app| app.state as u64,
            ),
            ("as112_app_memory_bytes", "Memory of an application's instances.", |app| app.memory),
            ("as112_app_held_queries", "Queries that an application holds.", |app| app.held),
        ];
        for (name, help, value) in families {
            self.head(name, "gauge", help);
            for app in &work.apps {
                self.sample(name, &[("app", &app.name)], value(app));
            }
        }
    }

    /// The lines before the samples of a family. `kind` is OpenMetrics' word; the older format has no infos.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let (family, kind) = match (self.format, kind) {
            (Format::OpenMetrics, "counter") => (name.trim_end_matches("_total"), kind),
            (Format::OpenMetrics, "info") => (name.trim_end_matches("_info"), kind),
            (Format::Text, "info") => (name, "gauge"),
            _ => (name, kind),
        };
        let mut line = |word: &str, text: &str| {
            writeln!(self.out, "# {word} {family} {text}").expect("a String takes all that is written");
        };
        line("HELP", help);
        line("TYPE", kind);
        let unit = ["seconds", "bytes"].into_iter().find(|unit| family.ends_with(&format!("_{unit}")));
        if let Some(unit) = unit.filter(|_| self.format == Format::OpenMetrics) {
            line("UNIT", unit);
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(self.out, "{before}{label}=\"{value}\"").expect("a String takes all that is written");
        }
        let end = if labels.is_empty() { "" } else { "}" };
        writeln!(self.out, "{end} {value}").expect("a String takes all that is written");
    }

    /// The samples of a family, with `more` labels before its own.
    fn series(&mut self, reading: &Reading<'_>, family: &Family, totals: &Totals, more: &[(&str, &str)]) {
        for (values, count) in reading.series(family, totals) {
            let own = family.labels.iter().zip(&values).map(|(label, value)| (label.name, value.as_str()));
            let labels: Vec<(&str, &str)> = more.iter().copied().chain(own).collect();
            match family.name.ends_with(NANOSECONDS) {
                true => self.sample(&exposed(family), &labels, count as f64 / 1e9),
                false => self.sample(family.name, &labels, count),
            }
        }
    }

    fn by_shard(&mut self, reading: &Reading<'_>, family: &Family) {
        self.head(&exposed(family), "counter", family.help);
        for (index, (block, totals)) in reading.board.shards.iter().zip(&reading.shards).enumerate() {
            self.series(reading, family, totals, &borrowed(&block.labels(index)));
        }
    }

    /// One cumulative histogram of times for each value of the label before the bins that is in use.
    fn times(&mut self, reading: &Reading<'_>, family: &Family) {
        let [label, bins] = family.labels else {
            unreachable!("families of times have one label and the bins")
        };
        self.head(family.name, "histogram", family.help);
        let names = &reading.named.counted;
        let sums = sum_of(family).of(&reading.total);
        let (bucket, sum_name) = (format!("{}_bucket", family.name), format!("{}_sum", family.name));
        for (index, (counts, sum)) in family.of(&reading.total).chunks(bins.len).zip(sums).enumerate() {
            let mut count = 0;
            if index >= names.len_in_use(label) && counts.iter().all(|count| *count == 0) {
                continue;
            }
            let value = names.value(label, index);
            let own = (label.name, value.as_str());
            for (bin, in_bin) in counts.iter().enumerate() {
                count += in_bin;
                self.sample(&bucket, &[own, (bins.name, &names.value(bins, bin))], count);
            }
            self.sample(&sum_name, &[own], *sum as f64 / 1e6);
            self.sample(&format!("{}_count", family.name), &[own], count);
        }
    }

    /// One cumulative histogram for each value of the label before the bins.
    fn histogram(&mut self, reading: &Reading<'_>, family: &Family, bin_len: usize) {
        let [label, bins] = family.labels else {
            unreachable!("families of sizes have one label and the bins")
        };
        self.head(family.name, "histogram", family.help);
        let sums = sum_of(family).of(&reading.total);
        let (bucket, sum_name) = (format!("{}_bucket", family.name), format!("{}_sum", family.name));
        for (index, (counts, sum)) in family.of(&reading.total).chunks(bins.len).zip(sums).enumerate() {
            let value = reading.named.counted.value(label, index);
            let own = (label.name, value.as_str());
            let open_from = (bins.len - 1) * bin_len;
            let fine = (1..COARSE_SIZES[0] / bin_len).map(|bin| bin * bin_len);
            for size in fine.chain(COARSE_SIZES.into_iter().filter(|&size| size <= open_from)) {
                let below: u64 = counts[..size / bin_len].iter().sum();
                self.sample(&bucket, &[own, ("le", &format!("{}.0", size - 1))], below);
            }
            let count: u64 = counts.iter().sum();
            self.sample(&bucket, &[own, ("le", "+Inf")], count);
            self.sample(&sum_name, &[own], sum);
            self.sample(&format!("{}_count", family.name), &[own], count);
        }
    }
}

/// Whether the node may have threads of this class.
fn is_here(class: Class, reading: &Reading<'_>) -> bool {
    match class {
        Class::Worker => reading.named.counted.have_platform(),
        Class::Learner => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
