//! The public document, from the name of the node to the downloads.

use maud::{DOCTYPE, Markup, html};

use super::charts::{Line, Told, bars, columns, lines, shares_told};
use super::figures::{Figures, Shares, Sizes, Sources};
use super::numbers::{NOTHING, count, exact, fraction, percent, si, span};
use super::pops;
use super::span::{DAY, DAYS_DIR, HOUR, MINUTE, Span};
use crate::board::Reading;
use crate::board::recent::Pace;
use crate::history::lookback::Dimension;
use crate::limits::SHOWN_SOURCE_QUERIES_MIN;
use crate::stats::counters::{QUERIES, SOCKET_DROPS};
use crate::stats::labels::SIZE_BIN_LEN;

/// What moves: the text of each element by its name.
pub(super) fn live(reading: &Reading<'_>, pace: &Pace) -> [(&'static str, String); 3] {
    [
        ("rate", si(pace.queries)),
        ("queries", exact(reading.total.sum(QUERIES))),
        ("uptime", span(reading.uptime.as_secs())),
    ]
}

/// The whole document. Where it `is_live` its script asks for what moves.
pub(super) fn render(figures: &Figures, reading: &Reading<'_>, pace: &Pace, is_live: bool) -> Markup {
    let body = html! {
        (header(reading, pace, is_live))
        (spans(figures.span))
        main {
            (tiles(figures, reading))
            (traffic(figures))
            section aria-labelledby="asked" {
                h2 #asked { "What this node is asked" }
                div.cards.dimensions { @for (of, shares) in &figures.dimensions { (dimension(*of, shares)) } }
            }
            section aria-labelledby="where" {
                h2 #where { "Zones and sources" }
                div.cards.wide {
                    (card("zones", "Zones", "Queries by zone", &figures.zones, "Zone"))
                    @for of in &figures.sources { (sources(of)) }
                }
                (uniques(figures))
            }
            (pops::section(reading))
            section aria-labelledby="sizes" {
                h2 #sizes { "Message sizes" }
                div.cards.wide {
                    (sizes("query-sizes", "Queries", &figures.query_sizes))
                    (sizes("reply-sizes", "Replies", &figures.reply_sizes))
                }
            }
            (downloads(figures, is_live))
        }
        (footer(figures, reading))
    };
    shell(&reading.named.node, is_live.then_some("events"), None, &body)
}

/// A document around its body.
pub(super) fn shell(node: &str, events: Option<&str>, refresh_seconds: Option<u32>, body: &Markup) -> Markup {
    // A browser asks for an icon, and complains where there is none.
    let icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect \
                width='16' height='16' rx='4' fill='%23005a9c'/%3E%3Cpath d='M4 4l4 5 4-5M8 9v4' \
                stroke='%23fff' stroke-width='2' fill='none'/%3E%3C/svg%3E";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="description" content={ "Statistics of the AS112 node " (node) };
                @if let Some(seconds) = refresh_seconds { meta http-equiv="refresh" content=(seconds); }
                title { (node) " · AS112 statistics" }
                link rel="icon" href=(icon);
                link rel="stylesheet" href="page.css";
                script src="page.js" defer {}
            }
            body data-events=[events] { (body) }
        }
    }
}

fn header(reading: &Reading<'_>, pace: &Pace, is_live: bool) -> Markup {
    let facts = &reading.board.facts;
    let [(rate, now), (queries, total), (uptime, up)] = live(reading, pace);
    html! {
        header {
            div.who {
                p.kicker { "AS112 node" }
                h1 { (reading.named.node) }
                p.facts {
                    @if reading.named.site != reading.named.node { span { (reading.named.site) } }
                    @if let Some(location) = &reading.named.location { span { (location) } }
                    @for address in &reading.named.unique_ip { span { (address) } }
                    span { "as112d " (facts.version) }
                    span { (facts.datapath) }
                    span { "up " span data-live=(uptime) { (up) } }
                }
                @if !reading.named.further.is_empty() || !reading.named.prefixes.is_empty() {
                    p.facts {
                        @for prefix in &reading.named.prefixes { span { (prefix) } }
                        @for line in &reading.named.further { span { (line) } }
                    }
                }
            }
            p.now {
                span.number { span data-live=(rate) { (now) } span.unit { " queries/s" } }
                span.note { span.dot[is_live] {} @if is_live { "now" } @else { "when saved" } }
                span.note { span data-live=(queries) { (total) } " queries counted in total" }
            }
        }
        p.intro {
            "Reverse lookups of private addresses such as 10.0.0.1 or 192.168.1.1 should stay inside a \
             network. Those that leak out are answered here, at one of the many nodes of the "
            a href="https://www.as112.net/" { "AS112 project" }
            ", instead of loading the servers of in-addr.arpa. This page shows what this node is asked."
        }
    }
}

fn spans(current: Span) -> Markup {
    html! {
        nav aria-label="Time range" {
            @for span in Span::ALL {
                a href=(span.document()) aria-current=[(span == current).then_some("page")] { (span.title()) }
            }
        }
    }
}

fn tiles(figures: &Figures, reading: &Reading<'_>) -> Markup {
    let total = figures.total();
    let peak = figures.peak().map_or_else(|| NOTHING.to_owned(), si);
    let averages = figures.span.averages_title();
    let ipv6 = figures.dimensions.iter().find(|(of, _)| *of == Dimension::IpVersion);
    let ipv6 = ipv6.and_then(|(_, shares)| shares.iter().find(|(name, _)| name == "IPv6"));
    let lost = reading.total.sum(SOCKET_DROPS);
    let yesterday = figures.uniques.kinds.iter().filter_map(|(_, days)| days.last().copied().flatten());
    let yesterday: Vec<u64> = yesterday.collect();
    html! {
        dl.tiles {
            (tile("Queries", &count(total), &since(figures)))
            (tile("Average", &si(figures.mean()), "queries/s"))
            (tile("Peak", &peak, &format!("queries/s, {averages} average")))
            (tile("IPv6", &percent(ipv6.map_or(0, |(_, count)| *count), total), "of queries"))
            @if let [ipv4, ipv6, ..] = yesterday[..] {
                (tile("Sources", &count(ipv4 + ipv6), "unique addresses yesterday"))
            } @else {
                (tile("Answered", &percent(figures.replies.min(total), total), "of queries"))
            }
            (tile("Dropped", &count(lost), "datagrams, receive buffer full"))
        }
    }
}

/// The time that the figures are of, as far as there was anything to count.
fn since(figures: &Figures) -> String {
    let (began, read) = (minute(&figures.began_written), minute(&figures.read_written));
    match (began.split_once(' '), read.split_once(' ')) {
        _ if figures.is_full() => figures.span.last_title().to_owned(),
        (Some((day, time)), Some((today, _))) if day == today => format!("since {time} UTC"),
        _ => format!("since {began} UTC"),
    }
}

fn tile(name: &str, value: &str, note: &str) -> Markup {
    html! { div { dt { (name) } dd.number { (value) } dd.note { (note) } } }
}

fn traffic(figures: &Figures) -> Markup {
    let (span, now) = (figures.span, figures.rates());
    let earlier = figures.earlier.iter().map(|count| count.map(|count| count as f64 / span.step() as f64));
    let earlier: Vec<Option<f64>> = earlier.collect();
    let has_earlier = earlier.iter().any(Option::is_some);
    let told = Told {
        id: "traffic",
        title: "Queries per second",
        what: format!(
            "A line: {}, {} averages from {} UTC on, {} queries. The table has the numbers.",
            span.last_title(),
            span.averages_title(),
            minute(figures.written.first().map_or("", String::as_str)),
            count(figures.total()),
        ),
    };
    let drawn = [
        Line { class: "ghost", values: earlier.clone(), ..Line::default() },
        Line { class: "first", has_area: true, is_unfinished: true, values: now.clone(), ..Line::default() },
    ];
    let rate = |rate: Option<f64>| rate.map_or_else(|| NOTHING.to_owned(), si);
    let times = figures.written.iter().map(|time| minute(time));
    let times = times.chain([format!("{} (in progress)", minute(&figures.end_written))]);
    let queries = figures.queries.iter().copied().chain([Some(figures.under_way)]);
    let rows = times.zip(queries).zip(now.iter().zip(earlier.iter().copied().chain([None])));
    let rows =
        rows.map(|((time, queries), (now, earlier))| vec![time, cell(queries), rate(*now), rate(earlier)]);
    let rows: Vec<_> = rows.collect();
    let so_far = super::numbers::span(figures.under_way_for());
    html! {
        section aria-labelledby="traffic-head" {
            figure.card data-cross {
                figcaption {
                    h2 #traffic-head { "Queries per second" }
                    p.legend {
                        span.key.first { (span.last_title()) }
                        span.key.unfinished { "in progress, " (so_far) " so far" }
                        @if has_earlier { span.key.ghost { (span.back_title()) } }
                        span.note { (span.averages_title()) " averages, UTC" }
                    }
                    @if !figures.is_full() { p.note { (still_filling(figures)) } }
                    p.readout {}
                }
                (lines(&told, &drawn, &ticks(span, &figures.times, &figures.written), 240))
                (table("Queries", &["Time (UTC)", "Queries", "per second", span.back_title()], &rows))
            }
        }
    }
}

/// What there is to see of a node that has not counted for long, and what will be.
fn still_filling(figures: &Figures) -> String {
    let mut text = format!(
        "Counting began at {} UTC; a point is added every {}.",
        minute(&figures.began_written),
        figures.span.step_title()
    );
    if figures.sources.is_empty() {
        text += &format!(" Networks are named from {} queries on.", exact(SHOWN_SOURCE_QUERIES_MIN));
    }
    if figures.uniques.days.is_empty() {
        text += " Unique sources follow after midnight UTC.";
    }
    text
}

/// A count in full, where there is one.
fn cell(count: Option<u64>) -> String {
    count.map_or_else(|| NOTHING.to_owned(), exact)
}

/// `2026-01-31 12:00`.
fn minute(written: &str) -> String {
    written.get(..16).unwrap_or_default().replace('T', " ")
}

/// Marks of the time that people count by: hours, days, Mondays, months.
fn ticks(span: Span, times: &[u64], written: &[String]) -> Vec<(usize, String)> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mark = |(&time, written): (&u64, &String)| {
        // 1970 began on a Thursday.
        let weekday = DAYS[(time / DAY % 7) as usize];
        let part = |range: std::ops::Range<usize>| written.get(range).unwrap_or_default();
        let (year, month, day) = (part(0..4), part(5..7), part(8..10).trim_start_matches('0'));
        let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month - 1)).unwrap_or(&"");
        let is_day = time.is_multiple_of(DAY);
        match span {
            Span::Hour => time.is_multiple_of(10 * MINUTE).then(|| part(11..16).to_owned()),
            Span::Day => time.is_multiple_of(4 * HOUR).then(|| part(11..16).to_owned()),
            Span::Week => is_day.then(|| format!("{weekday} {day}")),
            Span::Month => (is_day && weekday == "Mon").then(|| format!("{day} {month}")),
            Span::Year if day != "1" => None,
            Span::Year => Some(if *month == "Jan" { year.to_owned() } else { (*month).to_owned() }),
        }
    };
    let marks = times.iter().zip(written).map(mark).enumerate();
    marks.filter_map(|(at, mark)| Some((at, mark?))).collect()
}

fn dimension(of: Dimension, shares: &Shares) -> Markup {
    let (title, note, head) = match of {
        Dimension::QueryType => ("Query type", "The record type asked for", "Type"),
        Dimension::ResponseCode => (
            "Response code",
            "NXDOMAIN is the expected answer: private names do not exist in the public DNS",
            "Code",
        ),
        Dimension::Protocol => ("Protocol", "Transport protocol of queries", "Protocol"),
        Dimension::IpVersion => ("IP version", "IP version of queries", "Version"),
        Dimension::Edns => ("EDNS", "Queries with an OPT record (RFC 6891)", "Queries"),
        Dimension::Dnssec => ("DNSSEC", "Queries with the DO bit set (RFC 4035)", "Queries"),
    };
    let people = |name: &str| match (of, name) {
        (Dimension::Edns, "SUPPORTED") => "with EDNS".to_owned(),
        (Dimension::Edns, "NOT_SUPPORTED") => "without EDNS".to_owned(),
        (Dimension::Dnssec, "SUPPORTED") => "with DO".to_owned(),
        (Dimension::Dnssec, "NOT_SUPPORTED") => "without DO".to_owned(),
        _ => name.to_owned(),
    };
    let shares: Shares = shares.iter().map(|(name, count)| (people(name), *count)).collect();
    card(of.name(), title, note, &shares, head)
}

fn sources(of: &Sources) -> Markup {
    let (title, head) = match of.label {
        "country" => ("Countries", "Country"),
        "as" => ("Autonomous systems", "AS"),
        _ => ("Networks", "Network"),
    };
    let least = exact(SHOWN_SOURCE_QUERIES_MIN);
    let note = format!("Estimated from a sample; named from {least} queries on");
    card(of.label, title, &note, &of.shares, head)
}

/// Shares as bars, and as a table.
fn card(id: &str, title: &str, note: &str, shares: &Shares, head: &str) -> Markup {
    let all = shares.iter().map(|(_, count)| count).sum();
    let told = Told { id, title, what: shares_told(shares, all) };
    let rows: Vec<_> =
        shares.iter().map(|(name, count)| vec![name.clone(), exact(*count), percent(*count, all)]).collect();
    html! {
        figure.card {
            figcaption { h3 { (title) } p.note { (note) } }
            @if all == 0 { p.empty { "No queries counted yet." } }
            @if all > 0 { (bars(&told, shares, all)) (table(title, &[head, "Queries", "Share"], &rows)) }
        }
    }
}

/// The numbers of a figure, for those who want or need them.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        details {
            summary { "Table" span.of { " of " (caption) } }
            div.scroll tabindex="0" role="region" aria-label={ "Table of " (caption) } {
                (rows_of(head, rows))
            }
        }
    }
}

/// A table that may be wider than the document.
pub(super) fn table_card(title: &str, drawn: &Markup) -> Markup {
    html! {
        figure.card {
            @if !title.is_empty() { figcaption { h3 { (title) } } }
            div.scroll tabindex="0" role="region" aria-label=(title) { (drawn) }
        }
    }
}

pub(super) fn rows_of(head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            thead { tr { @for name in head { th scope="col" { (name) } } } }
            tbody {
                @for row in rows {
                    tr {
                        @for (column, cell) in row.iter().enumerate() {
                            @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

fn uniques(figures: &Figures) -> Markup {
    let uniques = &figures.uniques;
    if uniques.days.is_empty() {
        return Markup::default();
    }
    let names = ["IPv4", "IPv6", "IPv6 /64"];
    let classes = ["first", "second", "third"];
    let kinds = uniques.kinds.iter().zip(names.iter().zip(classes));
    let drawn = kinds.map(|((_, days), (name, class))| Line {
        label: Some(name),
        class,
        values: days.iter().map(|count| count.map(|count| count as f64)).collect(),
        ..Line::default()
    });
    let drawn: Vec<_> = drawn.collect();
    let row = |(at, day): (usize, &String)| {
        let cells = uniques.kinds.iter().map(|(_, days)| cell(days[at]));
        std::iter::once(day.clone()).chain(cells).collect()
    };
    let rows: Vec<Vec<String>> = uniques.written.iter().enumerate().map(row).collect();
    let told = Told {
        id: "uniques",
        title: "Unique sources per day",
        what: format!("Three lines over {} days. The table has the numbers.", rows.len()),
    };
    let long = if uniques.days.len() > 62 { Span::Year } else { Span::Month };
    html! {
        figure.card data-cross {
            figcaption {
                h3 { (told.title) }
                p.note {
                    "Addresses, and for IPv6 also /64 networks. Estimates (HyperLogLog): no address is \
                     stored. UTC days"
                }
                p.readout {}
            }
            (lines(&told, &drawn, &ticks(long, &uniques.days, &uniques.written), 200))
            (table(told.title, &["Day", names[0], names[1], names[2]], &rows))
        }
    }
}

fn sizes(id: &str, title: &str, sizes: &Sizes) -> Markup {
    let messages = sizes.messages();
    let bin_len = SIZE_BIN_LEN as u64;
    // As far as there is anything to see; the rest is told.
    let mut seen = sizes.bins.iter().filter(|(_, count)| **count * 1000 >= messages);
    let bins = seen.next_back().map_or(0, |(bin, _)| bin / bin_len + 1);
    let counts: Vec<u64> =
        (0..bins).map(|bin| sizes.bins.get(&(bin * bin_len)).copied().unwrap_or_default()).collect();
    let beyond = messages - counts.iter().sum::<u64>();
    let apart = [1, 2, 4, 8, 16, 32].into_iter().find(|apart| bins <= apart * 6).unwrap_or(64);
    let ticks = (0..bins).step_by(apart as usize).map(|bin| (bin as usize, (bin * bin_len).to_string()));
    let ticks: Vec<_> = ticks.collect();
    let mean = si(fraction(sizes.bytes, messages));
    let told = Told {
        id,
        title,
        what: format!(
            "A histogram in bins of 16 bytes. {} messages, {mean} bytes on average.",
            count(messages)
        ),
    };
    let row = |(bin, count): (&u64, &u64)| {
        vec![format!("{bin} to {}", bin + bin_len - 1), exact(*count), percent(*count, messages)]
    };
    let rows: Vec<_> = sizes.bins.iter().map(row).collect();
    html! {
        figure.card {
            figcaption {
                h3 { (title) }
                p.note {
                    "Size in bytes, in bins of 16"
                    @if messages > 0 { "; mean " (mean) }
                    @if beyond > 0 { "; " (percent(beyond, messages)) " are larger than shown" }
                }
            }
            @if messages == 0 { p.empty { "No messages counted yet." } }
            @if messages > 0 {
                (columns(&told, &counts, &ticks, 160))
                (table(title, &["Bytes", "Messages", "Share"], &rows))
            }
        }
    }
}

fn downloads(figures: &Figures, is_live: bool) -> Markup {
    let name = figures.span.name();
    html! {
        section aria-labelledby="downloads" {
            h2 #downloads { "Downloads" }
            ul.downloads {
                li {
                    "The numbers of this page: "
                    a href={ (name) ".json" } { "JSON" } ", " a href={ (name) ".csv" } { "CSV" }
                }
                @if !figures.whole_days.is_empty() {
                    li {
                        "RSSAC002 files (YAML): "
                        @for day in &figures.whole_days {
                            a href={ (DAYS_DIR) "/" (day) ".yaml" } { (day) } " "
                        }
                    }
                }
                @if is_live {
                    li {
                        "API in the format of Cloudflare Radar: "
                        a href="client/v4/radar/as112/timeseries?dateRange=7d" { "timeseries" } ", "
                        a href="client/v4/radar/as112/summary/QUERY_TYPE?dateRange=7d" { "summary" }
                    }
                }
            }
        }
    }
}

fn footer(figures: &Figures, reading: &Reading<'_>) -> Markup {
    html! {
        footer {
            p {
                "Generated " time datetime=(figures.read_written) { (minute(&figures.read_written)) " UTC" }
                " by as112d " (reading.board.facts.version) ". All times are UTC. k, M, G and T stand for \
                 10³, 10⁶, 10⁹ and 10¹². No client address is shown or kept; networks are named only from "
                (exact(SHOWN_SOURCE_QUERIES_MIN)) " queries on."
            }
        }
    }
}
