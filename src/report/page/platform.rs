//! What the operator's document says of rules, upstream servers, the cache and workers, where there are any.

use maud::{Markup, html};

use super::charts::{Told, bars, shares_told};
use super::document::{rows_of, table_card};
use super::numbers::{NOTHING, count, exact, percent, si_small};
use crate::board::Reading;
use crate::board::resolver::Status;
use crate::board::work::{App, Server, Work};
use crate::stats::app_labels::{APP_EVENT_QUERY, APP_VERDICT};
use crate::stats::counters::{
    APP_EVENTS, APP_VERDICTS, CACHE_EVICTED, CACHE_LOOKS, CACHE_PURGED, CACHE_STORED, COALESCED, DIVERTED,
    Family, GUEST_TRAPS, HANDED_OVER, RULE_HITS, RULE_WOULD, UPSTREAM_FORGED, UPSTREAM_QUERIES, WORK_REFUSED,
    WORKER_JOBS, WORKER_LOST,
};
use crate::stats::gauges::State;
use crate::stats::labels::{CACHE_HITS, CACHE_LOOK, TRIAL_ANSWERED, TRIAL_TIMEOUT, TRIAL_TRUNCATED};

/// The section; nothing on a node without rules.
pub(super) fn section(reading: &Reading<'_>) -> Markup {
    if !reading.named.counted.have_platform() {
        return Markup::default();
    }
    html! {
        section aria-labelledby="rules" {
            h2 #rules { "Rules" }
            (table_card("Queries by rule", &rules(reading)))
            @if let Some(work) = &reading.work {
                @if !work.servers.is_empty() { (table_card("Upstream servers", &servers(reading, work))) }
                @if !work.apps.is_empty() { (table_card("Applications", &apps(reading, work))) }
                div.cards.wide { (cache(reading, work)) (table_card("Workers", &workers(reading, work))) }
            }
        }
    }
}

/// The sums of a family by its first label.
fn by_first(reading: &Reading<'_>, family: &Family) -> Vec<u64> {
    let first = family.labels.first().map_or(1, |label| label.len);
    let counts = family.of(&reading.total);
    counts.chunks(counts.len() / first).map(|counts| counts.iter().sum()).collect()
}

fn rules(reading: &Reading<'_>) -> Markup {
    let families: [&Family; 5] = [RULE_HITS, RULE_WOULD, HANDED_OVER, WORK_REFUSED, DIVERTED];
    let counts = families.map(|family| by_first(reading, family));
    let names = &reading.named.counted.rules;
    let row = |label: usize| {
        let counts = counts.each_ref().map(|counts| counts[label]);
        // What has no rule, or none of a name, is of interest if there is any.
        let is_shown = (1..names.len()).contains(&label) || counts.iter().any(|count| *count > 0);
        let name = names.get(label).map_or("other", String::as_str);
        is_shown.then(|| std::iter::once(name.to_owned()).chain(counts.iter().map(exact_of)).collect())
    };
    let rows: Vec<Vec<String>> = (0..counts[0].len()).filter_map(row).collect();
    rows_of(&["Rule", "Queries", "Dry-run", "Handed over", "Fallbacks", "Diverted"], &rows)
}

fn exact_of(count: &u64) -> String {
    exact(*count)
}

fn servers(reading: &Reading<'_>, work: &Work) -> Markup {
    let outcomes = UPSTREAM_QUERIES.labels[1].len;
    let row = |(server, counts): (&Server, &[u64])| {
        let all: u64 = counts.iter().sum();
        let [answered, truncated, timed_out] =
            [TRIAL_ANSWERED, TRIAL_TRUNCATED, TRIAL_TIMEOUT].map(|outcome| counts[outcome]);
        let state = match server.state {
            State::Closed => "up",
            State::HalfOpen => "being tried",
            State::Open => "down",
        };
        let srtt = server.srtt.map(|srtt| format!("{}s", si_small(srtt.as_secs_f64())));
        vec![
            server.name.clone(),
            state.to_owned(),
            srtt.unwrap_or_else(|| NOTHING.to_owned()),
            exact(server.in_flight),
            exact(all),
            percent(answered + truncated, all),
            exact(timed_out),
            exact(all - answered - truncated - timed_out),
        ]
    };
    let counts = UPSTREAM_QUERIES.of(&reading.total).chunks(outcomes);
    let rows: Vec<Vec<String>> = work.servers.iter().zip(counts).map(row).collect();
    let head = ["Server", "State", "Time", "In flight", "Queries", "Answered", "Time-outs", "Other failures"];
    rows_of(&head, &rows)
}

fn apps(reading: &Reading<'_>, work: &Work) -> Markup {
    let of_app = |family: &Family, label: usize| {
        let others = family.labels[1].len;
        family.of(&reading.total).get(label * others..(label + 1) * others).unwrap_or_default().to_vec()
    };
    let names = &reading.named.counted;
    let row = |app: &App| {
        let label = names.apps.iter().position(|name| *name == app.name).unwrap_or(names.apps.len());
        let queries = of_app(APP_EVENTS, label).get(APP_EVENT_QUERY).copied().unwrap_or_default();
        let verdicts = of_app(APP_VERDICTS, label);
        let told: Vec<String> = verdicts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(verdict, count)| format!("{} {}", names.value(&APP_VERDICT, verdict), exact(*count)))
            .collect();
        vec![
            app.name.clone(),
            app.state.name().to_owned(),
            exact(queries),
            if told.is_empty() { NOTHING.to_owned() } else { told.join(", ") },
            exact(app.held),
            exact(of_app(GUEST_TRAPS, label).iter().sum()),
            format!("{}B", count(app.memory)),
        ]
    };
    let rows: Vec<Vec<String>> = work.apps.iter().map(row).collect();
    rows_of(&["Application", "State", "Queries", "Verdicts", "Held", "Traps", "Memory"], &rows)
}

/// What lookups found, and how much of that answered a query.
fn cache(reading: &Reading<'_>, work: &Work) -> Markup {
    let looks = reading.series(CACHE_LOOKS, &reading.total).into_iter();
    let shares: Vec<(String, u64)> = looks.map(|(labels, count)| (labels.concat(), count)).collect();
    debug_assert_eq!(shares.len(), CACHE_LOOK.len);
    let all = shares.iter().map(|(_, count)| count).sum();
    let hits =
        shares.iter().filter(|(name, _)| CACHE_HITS.contains(&name.as_str())).map(|(_, count)| count).sum();
    let told = Told { id: "cache", title: "Lookups in the cache", what: shares_told(&shares, all) };
    html! {
        figure.card {
            figcaption {
                h3 { "Cache" }
                p.note {
                    (exact(work.cache_entries)) " entries, " (count(work.cache_bytes)) "B; "
                    (percent(hits, all)) " of lookups answered"
                }
            }
            @if all == 0 { p.empty { "No lookups yet." } } @else { (bars(&told, &shares, all)) }
        }
    }
}

fn workers(reading: &Reading<'_>, work: &Work) -> Markup {
    let sums = |name: &str, family: &Family| vec![name.to_owned(), exact(reading.total.sum(family))];
    let mut rows = vec![
        vec!["Workers".to_owned(), work.workers.to_string()],
        vec!["Queries that wait now".to_owned(), exact(work.tasks)],
        sums("Queries taken", WORKER_JOBS),
        sums("Waited for an equal one", COALESCED),
        sums("Replies lost", WORKER_LOST),
        sums("Forged answers", UPSTREAM_FORGED),
        sums("Stored in the cache", CACHE_STORED),
        sums("Evicted from it", CACHE_EVICTED),
        sums("Purged from it", CACHE_PURGED),
    ];
    if let Some(Status { phase, starts, ended }) = &work.resolver {
        let ended = ended.as_ref().map_or_else(String::new, |ended| format!("; the last one: {ended}"));
        rows.push(vec!["Resolver".to_owned(), format!("{}, start {starts}{ended}", phase.name())]);
    }
    let of_reasons = WORK_REFUSED.of(&reading.total);
    let reasons = WORK_REFUSED.labels[1];
    for reason in 0..reasons.len {
        let refused: u64 = of_reasons.iter().skip(reason).step_by(reasons.len).sum();
        if refused > 0 {
            let name = reading.named.counted.value(reasons, reason);
            rows.push(vec![format!("Fallbacks: {name}"), exact(refused)]);
        }
    }
    rows_of(&["", "Count"], &rows)
}

#[cfg(test)]
mod tests {
    use crate::board::recent::Pace;
    use crate::board::tests::board;
    use crate::board::work::tests::board_with_workers;
    use crate::report::page::operator;

    #[test]
    fn rules_and_servers_are_shown_where_there_are_any() {
        let with = operator::render(&board_with_workers().read(), &Pace::default());
        for part in [
            "<h2 id=\"rules\">Rules</h2>",
            "<tr><th scope=\"row\">lan</th><td>9</td><td>0</td><td>9</td><td>2</td><td>0</td></tr>",
            "<th scope=\"row\">no-&quot;quotes&quot;</th>",
            "<tr><th scope=\"row\">lan/192.0.2.53:53</th><td>up</td><td>1.50\u{202f}ms</td><td>3</td>\
             <td>4</td><td>100.0\u{202f}%</td><td>0</td><td>0</td></tr>",
            "<tr><th scope=\"row\">lan/[2001:db8::53]:53</th><td>down</td><td>–</td><td>0</td><td>1</td>\
             <td>0\u{202f}%</td><td>1</td><td>0</td></tr>",
            "<th scope=\"row\">filter</th><td>off</td><td>0</td><td>fail 2</td><td>4</td><td>0</td>",
            "7 entries, 1.00\u{202f}kB; 66.7\u{202f}% of lookups answered",
            "<tr><th scope=\"row\">Fallbacks: pool</th><td>2</td></tr>",
            "<tr><th scope=\"row\">Resolver</th>\
             <td>waiting, start 3; the last one: killed by signal 9</td></tr>",
        ] {
            assert!(with.contains(part), "{part}\n---\n{with}");
        }
        assert!(!with.contains("<th scope=\"row\">none</th>"), "no query was without a rule");
        let without = operator::render(&board().read(), &Pace::default());
        for part in ["ule", "pstream", "ache", "orker", "esolver", "pplication"] {
            assert!(!without.contains(part), "{part}");
        }
    }
}
