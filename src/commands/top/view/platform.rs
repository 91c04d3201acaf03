//! What rules and workers do, where a node has workers.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::parts::{
    BAD, GOOD, ODD, Share, grouped, is_moving, nanoseconds, per_second, ruled, shortened, titled,
};
use crate::commands::change::Change;
use crate::stats::labels::CACHE_HITS;

/// All that is shown of it.
pub(super) struct Platform {
    line: Line<'static>,
    rules: Share,
    /// Those that are asked, and applications after them.
    servers: Vec<Server>,
    has_apps: bool,
}

struct Server {
    name: String,
    state: &'static str,
    colour: Color,
    /// How long it takes to answer, and how often it is asked.
    numbers: String,
}

/// Cells of the state of a server, and of its numbers.
const STATE_LEN: usize = 6;
const NUMBERS_LEN: usize = 17;

impl Platform {
    /// What a node says of it.
    pub(super) fn of(change: Change<'_>) -> Option<Self> {
        let now = change.at("platform");
        let parts = change.at("counters").at("rule_hits").shares();
        let all = parts.iter().map(|(_, count)| count).sum();
        let servers = now.at("upstreams").parts().map(|(name, of)| server(change, name, of));
        let apps = now.at("apps").parts().map(|(name, of)| app(change, name, of));
        now.now.is_object().then(|| Self {
            line: workers(change),
            rules: Share { title: "rule", parts, all },
            has_apps: now.at("apps").parts().next().is_some(),
            servers: servers.chain(apps).collect(),
        })
    }

    /// The lines that the longer of its two parts has.
    pub(super) fn len(&self) -> usize {
        self.rules.parts.len().max(self.servers.len())
    }

    /// Draws the line about workers, and rules next to servers.
    pub(super) fn draw(self, frame: &mut Frame<'_>, line: Rect, places: &[Rect]) {
        frame.render_widget(self.line, line);
        let [rules, servers] = places else { return };
        self.rules.draw(frame, *rules);
        let block = ruled(if self.has_apps { " upstream, app " } else { " upstream " }.to_owned());
        let name_len = usize::from(servers.width).saturating_sub(STATE_LEN + NUMBERS_LEN + 2);
        let line = |server: &Server| {
            Line::from(vec![
                shortened(&server.name, name_len).into(),
                Span::from(format!("  {:<STATE_LEN$}", server.state)).fg(server.colour),
                Span::from(format!("{:>NUMBERS_LEN$}", server.numbers)),
            ])
        };
        let lines: Vec<Line<'_>> = self.servers.iter().map(line).collect();
        frame.render_widget(Paragraph::new(lines).block(block), *servers);
    }
}

fn server(change: Change<'_>, name: &str, of: Change<'_>) -> Server {
    let (state, colour) = match of.now["state"].as_str() {
        Some("closed") => ("up", GOOD),
        Some("half-open") => ("trying", ODD),
        _ => ("down", BAD),
    };
    let srtt = of.now["srtt_seconds"].as_f64().and_then(|srtt| Duration::try_from_secs_f64(srtt).ok());
    let srtt = srtt.map(|srtt| nanoseconds(u64::try_from(srtt.as_nanos()).unwrap_or(u64::MAX)));
    let asked = per_second(change.at("counters").at("upstream_queries").at(name));
    let numbers = format!("{:>8} {asked:>8}", srtt.unwrap_or_else(|| "-".to_owned()));
    Server { name: name.to_owned(), state, colour, numbers }
}

/// An application, how many queries it holds, and how often it is called.
fn app(change: Change<'_>, name: &str, of: Change<'_>) -> Server {
    let (state, colour) = match of.now["state"].as_str() {
        Some("running") => ("up", GOOD),
        Some("starting") => ("starts", ODD),
        _ => ("off", BAD),
    };
    let held = grouped(of.now["held_queries"].as_f64().unwrap_or_default());
    let called = per_second(change.at("counters").at("app_events").at(name));
    let numbers = format!("{:>8} {called:>8}", format!("{held} held"));
    Server { name: format!("app {name}"), state, colour, numbers }
}

/// What workers do: how much they take, how much of it the cache answers, and how much gets a fallback.
fn workers(change: Change<'_>) -> Line<'static> {
    let counters = change.at("counters");
    let looks = counters.at("cache_lookups");
    let hits: u64 = CACHE_HITS.map(|result| looks.at(result).count()).iter().sum();
    let hit_rate = match looks.count() {
        0 => "-".to_owned(),
        all => format!("{:.1} %", hits as f64 * 100.0 / all as f64),
    };
    let waiting = change.at("platform").now["tasks"].as_f64().unwrap_or_default();
    let fallbacks = counters.at("work_refused");
    let colour = if is_moving(fallbacks) { BAD } else { Color::Reset };
    titled(
        "workers",
        [
            Span::from(per_second(counters.at("worker_queries"))).bold(),
            "   waiting ".into(),
            Span::from(grouped(waiting)).bold(),
            "   cache hits ".into(),
            Span::from(hit_rate).bold(),
            "   fallbacks ".into(),
            Span::from(per_second(fallbacks)).bold().fg(colour),
        ],
    )
}
