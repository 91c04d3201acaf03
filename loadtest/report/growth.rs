//! How servers bear growth: plots and a table, of medians at each step.

use std::collections::BTreeSet;

use super::super::measure::Summary;
use super::chart::{Axis, Scale, Series, lines, short};
use super::page::{Page, Part, Table, shown};
use super::{Grown, Grows, Report};

const ABOUT: &str = "\
Zones: the built-in ones, and above 24 small zones of an operator besides; addresses: on one port. \
Each server is started for each step and flooded over all of them, with queries for names that are \
not there. Shards of ours, processes of NSD and threads of the others have a CPU each and get the \
same rate together; the last one shares the generator's CPU. Latency is that at half of what the \
better of NSD and Knot answers there, an open loop. Memory is that of all processes, what they share \
counted once (Pss), after the load; started is a server that answers for all its zones.";

/// A figure of a server at a step, if it has it.
pub type Figure = fn(&Grown) -> Option<f64>;
/// What is plotted: a name of a file, a title, the label of its axis, and the figure.
pub type Plot = (&'static str, &'static str, &'static str, Figure);

pub const CPU: Plot = ("cpu", "CPU per query", "µs per answer", |grown| grown.cpu_us);
pub const START: Plot =
    ("start", "From start until all zones are answered", "ms", |grown| Some(grown.first_answers_ms));
pub const MEMORY: Plot = ("memory", "Memory after the load", "MiB", |grown| Some(mib(grown)));

pub const P50: Plot =
    ("p50", "Median latency at half of a peer's highest rate", "ms", |grown| latency(grown, "p50"));
pub const P99: Plot = ("p99", "p99 at half of a peer's highest rate", "ms", |grown| latency(grown, "p99"));

fn latency(grown: &Grown, percentile: &str) -> Option<f64> {
    grown.latency_ms.get(percentile).copied()
}

fn mib(grown: &Grown) -> f64 {
    grown.memory_kib as f64 / 1024.0
}

impl Report {
    /// The figure of a server at a step.
    pub fn grown(&self, grows: Grows, at: usize, server: &str, figure: Figure) -> Option<Summary> {
        let there = |grown: &&Grown| grown.grows == grows && grown.at == at && grown.server == server;
        Summary::of(self.grown.iter().filter(there).filter_map(figure))
    }

    /// The steps that were taken.
    fn steps(&self, grows: Grows) -> BTreeSet<usize> {
        self.grown.iter().filter(|grown| grown.grows == grows).map(|grown| grown.at).collect()
    }
}

impl Page {
    pub fn growth(&mut self, report: &Report) {
        if report.grown.is_empty() {
            return;
        }
        self.heading("More zones, shards and addresses");
        self.text(ABOUT);
        for (grows, axis, plots) in [
            (Grows::Zones, "zones", &[CPU, START, MEMORY][..]),
            (Grows::Shards, "shards, processes or threads", &[CPU, MEMORY]),
            (Grows::Addresses, "addresses", &[CPU, P50, P99]),
        ] {
            for plot in plots {
                self.grown(report, grows, axis, plot);
            }
        }
        let mut table = Table::new(&[
            "of",
            "server",
            "µs per answer",
            "answers a second",
            "server busy, %",
            "started, ms",
            "memory, MiB",
            "p50, ms",
            "p99, ms",
        ]);
        for grows in [Grows::Zones, Grows::Shards, Grows::Addresses] {
            for at in report.steps(grows) {
                for server in &report.servers {
                    let at_step = |figure| report.grown(grows, at, &server.name, figure);
                    let Some(rate) = at_step(|grown| Some(grown.rate)) else { continue };
                    table.rows.push(vec![
                        format!("{}: {at}", grows.words()),
                        server.name.clone(),
                        shown(at_step(CPU.3).as_ref()),
                        shown(Some(&rate)),
                        shown(at_step(|grown| Some(grown.server_busy * 100.0)).as_ref()),
                        shown(at_step(START.3).as_ref()),
                        shown(at_step(MEMORY.3).as_ref()),
                        shown(at_step(P50.3).as_ref()),
                        shown(at_step(P99.3).as_ref()),
                    ]);
                }
            }
        }
        self.parts.push(Part::Table(table));
    }

    fn grown(&mut self, report: &Report, grows: Grows, axis: &'static str, plot: &Plot) {
        let &(key, what, label, figure) = plot;
        let points = |server: &str| -> Vec<(f64, f64)> {
            let steps = report.steps(grows).into_iter();
            steps
                .filter_map(|at| Some((at as f64, report.grown(grows, at, server, figure)?.median)))
                .collect()
        };
        let series = report
            .servers
            .iter()
            .map(|server| Series { name: server.name.clone(), points: points(&server.name) });
        let series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
        if series.is_empty() {
            return;
        }
        let title = format!("{what}, by {}", grows.words());
        // What a query costs begins at 0, and hardly changes; the others differ by orders of magnitude.
        let scale = if [CPU.0, P50.0].contains(&key) { Scale::Linear } else { Scale::Log };
        let axes = (Axis { label: axis, scale: Scale::Log }, Axis { label, scale });
        self.chart(
            format!("growth-{}-{key}", grows.words()),
            &title,
            lines(&title, &axes.0, &axes.1, &series),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::report;
    use super::*;

    #[test]
    fn each_step_is_plotted_and_in_the_table() {
        let page = Page::of(&report());
        let charts: Vec<&str> =
            page.charts().iter().map(|chart| chart.0).filter(|name| name.starts_with("growth")).collect();
        assert_eq!(
            charts,
            [
                "growth-zones-cpu",
                "growth-zones-start",
                "growth-zones-memory",
                "growth-addresses-cpu",
                "growth-addresses-p50",
                "growth-addresses-p99"
            ]
        );
        let has_step = |part: &&Part| matches!(part, Part::Table(table) if table.head[0] == "of");
        let Some(Part::Table(table)) = page.parts.iter().find(has_step) else { panic!("there is a table") };
        let row = |of: &str, server: &str| table.rows.iter().find(|row| row[0] == of && row[1] == server);
        let first = row("zones: 24", "NSD").unwrap();
        assert_eq!([&first[2], &first[5], &first[6]], ["4.2 (4.1 – 4.3)", "24 (24 – 24)", "10 (10 – 10)"]);
        assert_eq!(row("zones: 100000", "as112d io_uring").unwrap()[5], "100 k (100 k – 100 k)");
        assert!(row("addresses: 10", "NSD").is_some());
        assert!(row("zones: 24", "Knot DNS").is_none(), "it was not measured");
        assert_eq!(table.rows.len(), 6, "{:?}", table.rows);
    }
}
