//! What limits each figure: by the CPU that the generator, the server and the kernel for it have used.

use super::super::measure::{Limit, Summary};
use super::page::{Page, Part, Table, median, percent, shown};
use super::{Report, Sample, Section};

const ABOUT: &str = "\
Of each figure, who had no CPU left. A server's time in the kernel is that of its system calls and \
of what the kernel does meanwhile; on one host that includes a reply's way up to the client. Where \
the generator is the limit, a figure of a rate is the generator's, and that of a cost includes what \
the server spends on waiting.";

impl Page {
    pub fn limits(&mut self, report: &Report) {
        let mut table = Table::new(&[
            "figure",
            "server",
            "answers a second",
            "generator's CPU busy",
            "server's CPU busy",
            "of it the program",
            "the kernel for it",
            "limit",
        ]);
        for section in Section::ALL {
            // These are at rates that all of them reach, or loads of many kinds.
            if [Section::Latency, Section::Shards, Section::Growth].contains(&section) {
                continue;
            }
            for server in report.servers_in(section) {
                let samples = report.deciding(section, server);
                let share = |figure: fn(&Sample) -> f64| median(&samples, figure);
                table.rows.push(vec![
                    section.words().to_owned(),
                    server.to_owned(),
                    shown(Summary::of(samples.iter().map(|sample| sample.rate())).as_ref()),
                    percent(share(|sample| sample.generator_busy)),
                    percent(share(|sample| sample.server_busy)),
                    percent(share(|sample| sample.server_user / sample.run.seconds.max(1e-9))),
                    percent(share(|sample| {
                        (sample.server_cpu - sample.server_user) / sample.run.seconds.max(1e-9)
                    })),
                    verdict(&samples).to_owned(),
                ]);
            }
        }
        if table.rows.is_empty() {
            return;
        }
        self.heading("What limits each figure");
        self.text(ABOUT);
        self.parts.push(Part::Table(table));
    }
}

/// Who had no CPU left in most of the runs; of a server, what took most of it. A flood and an open loop use
/// all of the generator's CPU whatever happens, so a server that is full is the limit however busy the
/// generator is.
fn verdict(samples: &[&Sample]) -> &'static str {
    let in_kernel: f64 = samples.iter().map(|sample| sample.server_cpu - 2.0 * sample.server_user).sum();
    match super::page::limit(samples) {
        Limit::Server | Limit::Both if in_kernel > 0.0 => "the kernel, on the server's CPU",
        Limit::Server | Limit::Both => "the server",
        Limit::Generator => "the generator",
        Limit::Neither => "the rate, or the time that each waited for the other",
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::report;
    use super::*;

    #[test]
    fn who_is_full_is_the_limit() {
        let mut report = report();
        let verdict_of = |report: &Report| verdict(&report.deciding(Section::Udp, "NSD"));
        let set = |report: &mut Report, server_busy: f64, generator_busy: f64, user: f64| {
            for sample in &mut report.samples {
                (sample.server_busy, sample.generator_busy) = (server_busy, generator_busy);
                (sample.server_user, sample.limit) = (user, Limit::of(server_busy, generator_busy));
            }
        };
        set(&mut report, 1.0, 0.5, 0.4);
        assert_eq!(verdict_of(&report), "the kernel, on the server's CPU");
        set(&mut report, 1.0, 1.0, 3.0);
        assert_eq!(verdict_of(&report), "the server", "of 4 seconds");
        set(&mut report, 0.7, 1.0, 0.4);
        assert_eq!(verdict_of(&report), "the generator");
        set(&mut report, 0.7, 0.7, 0.4);
        assert!(verdict_of(&report).starts_with("the rate"));
        let page = Page::of(&report);
        let is_ours =
            |part: &&Part| matches!(part, Part::Table(table) if table.head.contains(&"limit".to_owned()));
        let Some(Part::Table(table)) = page.parts.iter().find(is_ours) else { panic!("there is a table") };
        assert_eq!(table.rows.len(), 8, "two sections with four servers each");
        let row = table.rows.iter().find(|row| row[0] == Section::Udp.words() && row[1] == "NSD").unwrap();
        assert_eq!(
            row[3..7],
            ["70 %", "70 %", "20 %", "180 %"],
            "of 2 seconds: 4 in all, 0.4 outside the kernel"
        );
    }
}
