//! Which PoPs clients get, as charts: what the public sees of that, and the operator too.

use maud::{Markup, html};

use super::charts::{Told, bars, shares_told};
use super::numbers::exact;
use crate::board::Reading;
use crate::stats::counters::{ECS, Family, TAILORED};

/// The public's section; nothing on a node whose answers depend on nobody.
pub(super) fn section(reading: &Reading<'_>) -> Markup {
    if !reading.named.counted.have_clients {
        return Markup::default();
    }
    html! {
        section aria-labelledby="pops-of-clients" {
            h2 #pops-of-clients { "Where clients are sent" }
            div.cards.wide {
                (chart("pops", "Answers by PoP", "answers", &by_pop(reading)))
                (chart("subnets", "Client subnets by what became of them", "queries", &of(reading, ECS)))
            }
        }
    }
}

/// A chart of shares.
pub(super) fn chart(id: &'static str, title: &'static str, what: &str, shares: &[(String, u64)]) -> Markup {
    let all = shares.iter().map(|(_, count)| count).sum();
    let told = Told { id, title, what: shares_told(shares, all) };
    html! {
        figure.card {
            figcaption { h3 { (title) } p.note { (exact(all)) " " (what) " since counting began" } }
            @if all == 0 { p.empty { "None yet." } } @else { (bars(&told, shares, all)) }
        }
    }
}

/// The counters of a family with one label.
pub(super) fn of(reading: &Reading<'_>, family: &Family) -> Vec<(String, u64)> {
    let series = reading.series(family, &reading.total).into_iter();
    series.map(|(labels, count)| (labels.concat(), count)).collect()
}

/// Tailored answers by PoP, the most frequent first.
pub(super) fn by_pop(reading: &Reading<'_>) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for (labels, count) in reading.series(TAILORED, &reading.total) {
        let pop = labels.last().cloned().unwrap_or_default();
        match sums.iter_mut().find(|(name, _)| *name == pop) {
            Some((_, sum)) => *sum += count,
            None => sums.push((pop, count)),
        }
    }
    sums.sort_by(|(_, a), (_, b)| b.cmp(a));
    sums
}
