//! The operator's document, `/node`: what the public need not know. It is made from the counters alone.

use maud::{Markup, html};

use super::charts::{Told, bars, shares_told};
use super::document::{rows_of, shell, table_card};
use super::numbers::{NOTHING, exact, percent, si, si_small, span};
use super::{clients, platform};
use crate::announce::report::{Report, Route};
use crate::board::Reading;
use crate::board::announcers::Announcer;
use crate::board::host::{FAMILIES as HOST_FAMILIES, HOST, HostFamily};
use crate::board::observed::Percentiles;
use crate::board::recent::Pace;
use crate::limits::{NODE_VIEW_REFRESH_SECONDS, SERVICE_TIME_EVERY};
use crate::stats::counters::{
    DROPPED, Family, QUERIES, SEND_ERRORS, SHARD_BATCHES, SHARD_OVERFLOWS, SHARD_REARMS, SHARD_RECEIVED,
    SHARD_SENT, SHARD_SHORT, SOCKET_DROPS, TCP_ACCEPT_FAILED, TCP_ACCEPT_PAUSED, TCP_ACCEPTED, TCP_CLOSED,
    TRUNCATED, Totals,
};

/// The path.
pub const PATH: &str = "/node";

/// The document as HTML. A browser asks for it again every few seconds.
#[must_use]
pub fn render(reading: &Reading<'_>, pace: &Pace) -> String {
    let facts = &reading.board.facts;
    let body = html! {
        header {
            div.who {
                p.kicker { "AS112 node, operator's view" }
                h1 { (reading.named.node) }
                p.facts {
                    span { (reading.named.site) }
                    span { "as112d " (facts.version) }
                    span { "up " (span(reading.uptime.as_secs())) }
                    span { a href="index.html" { "public page" } }
                }
            }
            p.now {
                span.number { (si(pace.queries)) span.unit { " queries/s" } }
                span.note { "in the last seconds" }
            }
        }
        main {
            (state(reading))
            (balance(reading, pace))
            (times(reading))
            (platform::section(reading))
            (clients::section(reading))
            section aria-labelledby="rings" {
                h2 #rings { "Rings and sockets" }
                (table_card("", &health(reading)))
            }
            section aria-labelledby="lost" {
                h2 #lost { "Unanswered and dropped" }
                div.cards {
                    (table_card("Unanswered packets", &series(reading, DROPPED, "Reason")))
                    (table_card("TCP connections closed", &series(reading, TCP_CLOSED, "Reason")))
                    (table_card("UDP counters of this host", &host(reading)))
                }
            }
        }
        footer {
            p {
                "Totals since counting began, as in " a href="metrics" { "/metrics" } " and "
                a href="stats.json" { "/stats.json" } "."
            }
        }
    };
    shell(&reading.named.node, None, Some(NODE_VIEW_REFRESH_SECONDS), &body).into_string()
}

fn state(reading: &Reading<'_>) -> Markup {
    let (facts, history) = (&reading.board.facts, &reading.board.history);
    let lost = reading.total.sum(SOCKET_DROPS);
    let routes = reading.board.announcers.routes();
    let failed = match history.last_error() {
        Some(error) => format!("{}; the last one: {error}", exact(history.errors())),
        None => exact(history.errors()),
    };
    let tcp =
        [TCP_ACCEPTED, TCP_ACCEPT_FAILED, TCP_ACCEPT_PAUSED].map(|family| exact(reading.total.sum(family)));
    let rows = [
        ("State", reading.state.name().to_owned(), true),
        ("Datapath", format!("{}: {}", facts.datapath, facts.reason), true),
        ("XDP", in_the_driver(reading), true),
        ("Queries", exact(reading.total.sum(QUERIES)), true),
        ("Dropped (receive buffer full)", format!("{} datagrams", exact(lost)), lost == 0),
        ("Truncated (TC)", exact(reading.total.sum(TRUNCATED)), true),
        (
            "TCP",
            format!(
                "{} open, {} accepted, {} not accepted (errors), accepting paused {} times",
                reading.tcp_connections, tcp[0], tcp[1], tcp[2]
            ),
            true,
        ),
        (
            "Routes",
            announced(reading),
            routes.iter().all(|route| route.announced && route.failing.is_empty()),
        ),
        ("History", history.place().to_string(), true),
        ("History write errors", failed, history.errors() == 0),
    ];
    html! {
        dl.state {
            @for (name, text, is_well) in rows { div.bad[!is_well] { dt { (name) } dd { (text) } } }
        }
    }
}

/// What is announced of the prefixes, and what is wrong with the others.
fn announced(reading: &Reading<'_>) -> String {
    let announcers = reading.board.announcers.read();
    if announcers.is_empty() {
        return "no announcer is connected".to_owned();
    }
    let of = |announcer: &Announcer| {
        let Report { router, refused, routes } = &announcer.report;
        let route = |route: &Route| {
            let state = match (route.announced, route.held_seconds) {
                (true, _) => "announced".to_owned(),
                (false, None) => "withdrawn".to_owned(),
                (false, Some(seconds)) => format!("withdrawn, held down for {}", span(seconds)),
            };
            let failing = route.failing.iter().map(|failing| format!(" ({failing})"));
            format!("{} {state}{}", route.prefix, failing.collect::<String>())
        };
        let refused = refused.as_ref().map(|reason| format!("changes are not accepted: {reason}"));
        let told: Vec<String> = routes.iter().map(route).chain(refused).collect();
        format!("{router}: {}", told.join("; "))
    };
    announcers.iter().map(of).collect::<Vec<_>>().join(". ")
}

/// What XDP answered, and where it does.
fn in_the_driver(reading: &Reading<'_>) -> String {
    let places = &reading.board.facts.xdp;
    if places.is_empty() {
        return "off".to_owned();
    }
    format!("{} queries answered, on {}", exact(reading.xdp.sum(QUERIES)), places.join(", "))
}

fn balance(reading: &Reading<'_>, pace: &Pace) -> Markup {
    let received = reading.shards.iter().map(|totals| totals.sum(SHARD_RECEIVED)).enumerate();
    let shares: Vec<_> = received.map(|(shard, count)| (format!("shard {shard}"), count)).collect();
    let all = shares.iter().map(|(_, count)| count).sum();
    let told = Told { id: "balance", title: "Datagrams by shard", what: shares_told(&shares, all) };
    let row = |(shard, totals): (usize, &Totals)| {
        let cpu = reading.board.shards[shard].cpu.map_or_else(|| "any".to_owned(), |cpu| cpu.to_string());
        let rate = pace.shards.get(shard).copied().unwrap_or_default();
        let busy = reading.observation.busy.get(shard).copied().unwrap_or_default();
        let (received, batches) = (totals.sum(SHARD_RECEIVED), totals.sum(SHARD_BATCHES));
        vec![
            shard.to_string(),
            cpu,
            si(rate),
            format!("{:.1}\u{202f}%", busy * 100.0),
            exact(received),
            percent(received, all),
            if batches == 0 { NOTHING.to_owned() } else { si(received as f64 / batches as f64) },
        ]
    };
    let rows: Vec<_> = reading.shards.iter().enumerate().map(row).collect();
    let head = ["Shard", "CPU", "Datagrams/s", "Busy", "Datagrams", "Share", "Per batch"];
    html! {
        section aria-labelledby="shards" {
            h2 #shards { "Shards" }
            figure.card {
                figcaption { h3 { "Balance" } p.note { "Datagrams since counting began" } }
                @if all == 0 { p.empty { "No datagrams yet." } } @else { (bars(&told, &shares, all)) }
            }
            (table_card("", &rows_of(&head, &rows)))
        }
    }
}

/// How long queries take from the receipt of their batch to its end.
fn times(reading: &Reading<'_>) -> Markup {
    let observation = &reading.observation;
    let row = |name: String, times: &Percentiles| {
        let quantiles = [times.p50, times.p90, times.p99, times.p999, times.max];
        let quantiles = quantiles.map(|ns| match times.samples {
            0 => NOTHING.to_owned(),
            _ => format!("{}s", si_small(ns as f64 / 1e9)),
        });
        [name, exact(times.samples)].into_iter().chain(quantiles).collect()
    };
    // The thread of TCP has the last place, and no batches.
    let shards = observation.shards.iter().take(reading.shards.len()).enumerate();
    let mut rows: Vec<Vec<String>> = shards.map(|(shard, times)| row(shard.to_string(), times)).collect();
    rows.push(row("all".to_owned(), &observation.all));
    html! {
        section aria-labelledby="times" {
            h2 #times { "Service times" }
            figure.card {
                figcaption {
                    p.note {
                        "From receiving a query's batch to submitting its replies; one query in "
                        (SERVICE_TIME_EVERY) ", in the last two minutes"
                    }
                }
                div.scroll tabindex="0" role="region" aria-label="Service times" {
                    (rows_of(&["Shard", "Samples", "p50", "p90", "p99", "p99.9", "max"], &rows))
                }
            }
        }
    }
}

fn health(reading: &Reading<'_>) -> Markup {
    let rearms = |totals: &Totals| -> Vec<String> {
        SHARD_REARMS.of(totals).iter().map(|count| exact(*count)).collect()
    };
    let row = |(shard, totals): (usize, &Totals)| {
        let mut row = vec![shard.to_string(), exact(totals.sum(SHARD_SENT))];
        row.extend(rearms(totals));
        row.extend(
            [SHARD_OVERFLOWS, SHARD_SHORT, SEND_ERRORS, SOCKET_DROPS].map(|family| exact(totals.sum(family))),
        );
        row
    };
    let rows: Vec<_> = reading.shards.iter().enumerate().map(row).collect();
    let head = [
        "Shard",
        "Sent",
        "Re-arms: no buffers",
        "Re-arms: empty",
        "Re-arms: other",
        "CQ overflows",
        "Short submissions",
        "Send errors",
        "Socket drops",
    ];
    rows_of(&head, &rows)
}

/// Every counter of a family with one label.
fn series(reading: &Reading<'_>, family: &Family, head: &str) -> Markup {
    let series = reading.series(family, &reading.total).into_iter();
    let rows: Vec<_> = series.map(|(labels, count)| vec![labels.join(" "), exact(count)]).collect();
    rows_of(&[head, "Count"], &rows)
}

fn host(reading: &Reading<'_>) -> Markup {
    let cell = |count: &Option<u64>| count.map_or_else(|| NOTHING.to_owned(), exact);
    let row = |(family, counts): (&HostFamily, &[Option<u64>; HOST_FAMILIES.len()])| {
        std::iter::once(family.key.to_owned()).chain(counts.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<String>> = HOST.iter().zip(&reading.host).map(row).collect();
    rows_of(&["Counter", HOST_FAMILIES[0], HOST_FAMILIES[1]], &rows)
}
