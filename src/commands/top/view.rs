//! The screen of `as112d top`. All of it fits 80 columns and 24 lines for two shards; what is smaller shows
//! less, the least important first, and what is larger shows more.

mod parts;
mod plan;
mod platform;

use std::collections::BTreeMap;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, RenderDirection, Row, Sparkline, SparklineBar, Table};
use serde_json::Value;

use super::state::State;
use crate::commands::change::{Change, Sampled, ordered, span};
use parts::{BAD, GOOD, ODD, Share, bar, grouped, is_moving, nanoseconds, per_second, ruled, titled};
use plan::{Plan, Wanted};
use platform::Platform;

/// Draws the node.
pub(super) fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let area = frame.area();
    let change = state.change();
    let (shares, talkers) = (Shares::of(change), talkers(change));
    let (times, sources) = (times(change, area.width), sources(change));
    let shards = change.now["shards"].as_array().map_or(0, Vec::len);
    let platform = Platform::of(change);
    let plan = Plan::new(
        area,
        &Wanted {
            has_times: times.is_some(),
            has_sources: sources.is_some(),
            shards,
            shares: shares.0.iter().map(|share| share.parts.len()).collect(),
            talkers: talkers.iter().map(|share| share.parts.len()).max().unwrap_or_default(),
            are_talkers_first: state.are_talkers_first,
            platform: platform.as_ref().map(Platform::len),
        },
    );
    let shown = usize::from(plan.shards.height.saturating_sub(1));
    let first_shard = state.first_shard.min(shards.saturating_sub(shown));

    frame.render_widget(head(state, area.width), plan.head);
    frame.render_widget(rates(change), plan.rates);
    frame.render_widget(dropped(change), plan.dropped);
    frame.render_widget(lost(change, state.change_since_first()), plan.lost);
    for (line, place) in [(times, plan.times), (sources, plan.sources)] {
        if let Some(line) = line {
            frame.render_widget(line, place);
        }
    }
    if let Some(platform) = platform {
        platform.draw(frame, plan.workers, &plan.platform);
    }
    chart(frame, state, plan.chart);
    for (share, place) in shares.0.iter().zip(&plan.shares).chain(talkers.iter().zip(&plan.talkers)) {
        share.draw(frame, *place);
    }
    frame.render_widget(shard_table(change, area.width, first_shard, shown), plan.shards);
    let has_talkers = !talkers.is_empty();
    frame.render_widget(foot(state, has_talkers, shards > shown), plan.foot);
    state.first_shard = first_shard;
}

//------------ Lines ---

/// Who the node is, and how it stands with us.
fn head(state: &State, width: u16) -> Paragraph<'static> {
    let change = state.change();
    let text = |key: &str| change.now[key].as_str().filter(|text| !text.is_empty());
    let uptime = span(change.now["uptime_seconds"].as_f64().unwrap_or_default());
    let version = text("version").unwrap_or("?");
    let site = text("site").filter(|site| Some(*site) != text("node"));
    let facts = [site, text("datapath")].into_iter().flatten().map(str::to_owned);
    let facts = facts.chain([format!("as112d {version}"), format!("up {uptime}")]);
    let mut left = Line::from(Span::from(text("node").unwrap_or("?").to_owned()).bold());
    left.extend(facts.map(|fact| Span::from(format!("  {fact}"))));

    let right = match state.away() {
        Some((since, reason)) => {
            let since = span(since.as_secs_f64());
            Span::from(format!("no answer for {since}: {reason}; retrying")).fg(BAD).bold()
        }
        None if change.now["ready"] == Value::Bool(false) => {
            Span::from(text("state").unwrap_or("not ready").to_owned()).fg(BAD).bold()
        }
        None if state.is_paused => Span::from("paused").fg(ODD).bold(),
        None => Span::from(format!("every {} s", state.interval().as_secs())),
    };
    // Both, or what matters more.
    let space = usize::from(width).saturating_sub(left.width() + right.width());
    if space > 0 {
        left.extend([Span::from(" ".repeat(space)), right]);
    } else if state.away().is_some() {
        left = right.into();
    }
    Paragraph::new(left)
}

fn rates(change: Change<'_>) -> Line<'static> {
    let counters = change.at("counters");
    let open = change.now["tcp_connections"].as_u64().unwrap_or_default();
    let rate = |of: Change<'_>| Span::from(per_second(of)).bold();
    // What is answered in the driver, where anything is.
    let is_in_driver = change.now["xdp"].as_array().is_some_and(|places| !places.is_empty());
    let in_driver = [", of which XDP ".into(), rate(change.at("datapath_queries").at("xdp"))];
    let in_driver = in_driver.into_iter().filter(|_| is_in_driver);
    titled(
        "queries",
        std::iter::once(rate(counters.at("queries")).fg(Color::Cyan)).chain(in_driver).chain([
            "   replies ".into(),
            rate(counters.at("responses")),
            "   TCP ".into(),
            Span::from(grouped(open as f64)).bold(),
            " open, ".into(),
            rate(counters.at("tcp_connections_accepted")),
            " new".into(),
        ]),
    )
}

/// What was left unanswered, by reason: in red while it happens.
fn dropped(change: Change<'_>) -> Line<'static> {
    let dropped = change.at("counters").at("queries_dropped");
    let parts = dropped.parts().filter(|(_, part)| part.total() > 0).map(|(reason, part)| {
        let text = format!("{} {}  ", reason.replace('_', " "), per_second(part));
        Span::from(text).fg(if is_moving(part) { BAD } else { Color::Reset })
    });
    let parts: Vec<Span<'_>> = parts.collect();
    titled("unanswered", if parts.is_empty() { vec![Span::from("none").fg(GOOD)] } else { parts })
}

/// What this node lost in all, and how much more just now. Of the host's own only what is lost while somebody
/// looks: what was before is nobody's here.
fn lost(change: Change<'_>, since_first: Change<'_>) -> Line<'static> {
    let counters = change.at("counters");
    let own = [
        ("sockets", counters.at("socket_drops")),
        ("sends", counters.at("send_errors")),
        ("ring", counters.at("ring_cq_overflow")),
        ("TCP", counters.at("tcp_accept_failed")),
        ("samples", counters.at("source_samples_dropped")),
        ("history", change.at("history").at("errors")),
        // Their errors are the only numbers of the exports.
        ("exports", change.at("exports")),
    ];
    let own = own.map(|(name, part)| (name, part, part.total()));
    let of_host = [("host receive", "udp_rcvbuf_errors"), ("host send", "udp_sndbuf_errors")];
    let of_host =
        of_host.map(|(name, key)| (name, change.at("host").at(key), since_first.at("host").at(key).count()));
    let parts = own.into_iter().chain(of_host).filter(|(_, _, total)| *total > 0);
    let parts = parts.flat_map(|(name, part, total)| {
        let more =
            if is_moving(part) { format!(" (+{})", grouped(part.count() as f64)) } else { String::new() };
        let text = Span::from(format!("{name} {}{more}", grouped(total as f64))).fg(BAD);
        [if is_moving(part) { text.bold() } else { text }, "  ".into()]
    });
    let parts: Vec<Span<'_>> = parts.collect();
    titled("lost", if parts.is_empty() { vec![Span::from("nothing").fg(GOOD)] } else { parts })
}

/// Percentiles of the time from receiving a query to sending its reply, where the node has any.
fn times(change: Change<'_>, width: u16) -> Option<Line<'static>> {
    let times = change.at("service_time");
    let samples = times.at("samples").total();
    let parts = ["p50", "p90", "p99", "p999", "max"].into_iter().filter_map(|key| {
        let name = if key == "p999" { "p99.9" } else { key };
        let text = nanoseconds(times.now[key].as_u64()?);
        Some([Span::from(format!("{name} ")), Span::from(text).bold(), "  ".into()])
    });
    let of_late = Span::from("in the last two minutes").dark_gray();
    let mut line = titled("time", parts.flatten());
    // Half of it says nothing.
    if line.width() + of_late.width() <= usize::from(width) {
        line.push_span(of_late);
    }
    (samples > 0).then_some(line)
}

/// Unique sources of today, where the node counts them.
fn sources(change: Change<'_>) -> Option<Line<'static>> {
    let sources = &change.now["unique_sources"];
    let parts = [("IPv4", "ipv4"), ("IPv6", "ipv6"), ("IPv6 /64", "ipv6_64")];
    let parts = parts.map(|(name, key)| {
        let count = sources[key].as_f64().unwrap_or_default();
        [Span::from(format!("{name} ")), Span::from(grouped(count)).bold(), "  ".into()]
    });
    let today = Span::from("unique today").dark_gray();
    sources.is_object().then(|| titled("sources", parts.into_iter().flatten().chain([today])))
}

fn foot(state: &State, has_talkers: bool, are_shards_hidden: bool) -> Line<'static> {
    let keys = [("q", "quit"), ("p", if state.is_paused { "resume" } else { "pause" }), ("+/-", "interval")];
    let talkers = ("t", if state.are_talkers_first { "shares" } else { "top networks and names" });
    let keys = keys.into_iter().chain(has_talkers.then_some(talkers));
    let keys = keys.chain(are_shards_hidden.then_some(("↑/↓", "shards")));
    let mut line = Line::default();
    for (key, meaning) in keys {
        line.extend([Span::from(key).bold(), Span::from(format!(" {meaning}   "))]);
    }
    line.push_span(Span::from(state.url.clone()).dark_gray());
    line
}

//------------ The chart ---

/// Queries a second, the newest at the right.
fn chart(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let shown = || state.rates.iter().take(area.width.into());
    let peak = shown().filter_map(|(_, rate)| *rate).max().unwrap_or_default();
    let time: Duration = shown().map(|(time, _)| *time).sum();
    let title = format!(" queries/s, peak {} in {} ", grouped(peak as f64), span(time.as_secs_f64()));
    let bars = shown().map(|(_, rate)| SparklineBar::from(*rate));
    let chart = Sparkline::default()
        .block(ruled(title))
        .data(bars)
        .direction(RenderDirection::RightToLeft)
        .absent_value_symbol("·")
        .absent_value_style(Style::new().fg(BAD))
        .style(Style::new().fg(Color::Cyan));
    frame.render_widget(chart, area);
}

//------------ Shares ---

/// All that are shown, the most important first.
struct Shares(Vec<Share>);

impl Shares {
    fn of(change: Change<'_>) -> Self {
        let counters = change.at("counters");
        let queries = counters.at("queries");
        let share = |title, parts: Vec<(String, u64)>| {
            let all = parts.iter().map(|(_, count)| count).sum();
            Share { title, parts, all }
        };
        let by = |title, key| share(title, counters.at(key).shares());
        // Not parts of a whole: each is one of all queries.
        let features = [
            ("EDNS", counters.at("queries_edns").count()),
            ("DO", counters.at("queries_do").count()),
            ("NSID", counters.at("queries_nsid").count()),
            ("update", counters.at("updates").count()),
            ("truncated", counters.at("responses_truncated").count()),
        ];
        let features = features.into_iter().map(|(name, count)| (name.to_owned(), count));
        // Where answers depend on the client.
        let is_tailored = counters.now["tailored_by"].is_object();
        let tailored = is_tailored
            .then(|| [share("PoP", by_pop(counters.at("tailored"))), by("decided by", "tailored_by")]);
        let mut shares = vec![by("type", "queries_by_type"), by("rcode", "responses")];
        shares.extend(tailored.into_iter().flatten());
        shares.extend([
            by("service", "queries"),
            share("transport", by_transport(queries)),
            Share { title: "with", parts: ordered(features), all: queries.count() },
            by("zone", "queries_by_zone"),
        ]);
        Self(shares)
    }
}

/// The networks that ask most just now, and the names that are asked for most: where the node says any.
fn talkers(change: Change<'_>) -> Vec<Share> {
    let of = |title, key| {
        let Sampled { parts, samples } = Sampled::of(change.now, key)?;
        Some(Share { title, parts, all: samples })
    };
    [of("network", "networks"), of("name", "names")].into_iter().flatten().collect()
}

/// Tailored answers by PoP, of all pools.
fn by_pop(tailored: Change<'_>) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::<String, u64>::new();
    for (_, of_pool) in tailored.parts() {
        for (pop, part) in of_pool.parts() {
            *counts.entry(pop.to_owned()).or_default() += part.count();
        }
    }
    ordered(counts.into_iter())
}

/// Queries by transport and address family, of all services.
fn by_transport(queries: Change<'_>) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::<String, u64>::new();
    for (_, of_service) in queries.parts() {
        for (transport, of_transport) in of_service.parts() {
            for (family, part) in of_transport.parts() {
                let name = format!("{} {}", transport.to_uppercase(), family.replace("ip", "IP"));
                *counts.entry(name).or_default() += part.count();
            }
        }
    }
    ordered(counts.into_iter())
}

//------------ Shards ---

/// A column of the table of shards.
struct Column<'a> {
    title: String,
    width: u16,
    /// The narrowest table that has it.
    shown_from: u16,
    cell: Box<dyn Fn(usize) -> Line<'static> + 'a>,
}

fn shard_table(change: Change<'_>, width: u16, first: usize, shown: usize) -> Table<'static> {
    let count = change.now["shards"].as_array().map_or(0, Vec::len);
    let mut columns = columns(change, count);
    columns.retain(|column| column.shown_from <= width);
    let rows = (first..count).take(shown);
    let rows = rows.map(|index| Row::new(columns.iter().map(|column| (column.cell)(index))));
    let titles = columns.iter().enumerate().map(|(at, column)| {
        let title = Line::from(column.title.clone());
        if at == 0 || column.title.starts_with(' ') { title } else { title.right_aligned() }
    });
    let widths = columns.iter().map(|column| Constraint::Length(column.width));
    Table::new(rows, widths).header(Row::new(titles).dark_gray()).column_spacing(1)
}

fn columns(change: Change<'_>, count: usize) -> Vec<Column<'_>> {
    let shard = move |index: usize| change.at("shards").at(index);
    let of = move |index: usize, key| shard(index).at("counters").at(key);
    let received = move |index| of(index, "shard_datagrams").count();
    let busiest = (0..count).map(received).max().unwrap_or_default();
    let all: u64 = (0..count).map(received).sum();
    let balance = busiest as f64 * count as f64 / all.max(1) as f64;
    let balance = if count > 1 && all > 0 { format!(" max {balance:.2} × mean") } else { " ".to_owned() };
    let number = |text: String| Line::from(text).right_aligned();
    let column = |title: &str, width, shown_from, cell: Box<dyn Fn(usize) -> Line<'static>>| Column {
        title: title.to_owned(),
        width,
        shown_from,
        cell,
    };
    vec![
        column(
            "shard",
            12,
            0,
            Box::new(move |index| {
                let cpu = shard(index).now["cpu"].as_u64();
                format!("{index}  CPU {}", cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string())).into()
            }),
        ),
        column("datagrams", 13, 0, Box::new(move |index| number(per_second(of(index, "shard_datagrams"))))),
        column(
            &balance,
            SHARD_BAR_LEN as u16 + 1,
            80,
            Box::new(move |index| Line::from(bar(received(index), busiest, SHARD_BAR_LEN)).fg(Color::Cyan)),
        ),
        column(
            "busy",
            8,
            36,
            Box::new(move |index| {
                number(format!("{:.1} %", of(index, "shard_busy_nanoseconds").rate() / 1e7))
            }),
        ),
        column(
            "batch",
            6,
            62,
            Box::new(move |index| {
                let batches = of(index, "shard_batches").count();
                number(format!("{:.1}", received(index) as f64 / batches.max(1) as f64))
            }),
        ),
        column(
            "lost",
            9,
            45,
            Box::new(move |index| {
                let lost = of(index, "socket_drops").total() + of(index, "send_errors").total();
                number(grouped(lost as f64)).fg(if lost > 0 { BAD } else { Color::Reset })
            }),
        ),
        column(
            "p99",
            9,
            55,
            Box::new(move |index| {
                let p99 = shard(index).at("service_time").now["p99"].as_u64().filter(|time| *time > 0);
                number(p99.map_or_else(|| "-".to_owned(), nanoseconds))
            }),
        ),
    ]
}

/// Cells of the bar of a shard's load.
const SHARD_BAR_LEN: usize = 16;
