//! What the page of a fleet has in place of a node's, and besides it.

use maud::{Markup, html};

use super::figures::Figures;
use super::numbers::{exact, percent, si};
use super::pieces::{minute, rows_of, table_card, tile as one_tile};
use crate::board::Reading;
use crate::history::fleet::coverage::{Coverage, Node, share};
use crate::stats::counters::QUERIES;

/// Who they are, and how much of them is here.
pub(super) fn header(figures: &Figures, coverage: &Coverage, reading: &Reading<'_>) -> Markup {
    let colos: std::collections::BTreeSet<&str> =
        coverage.nodes.iter().map(|node| node.colo.as_str()).filter(|colo| !colo.is_empty()).collect();
    // What is under way begins where the last whole step ends.
    let rate = figures.rates().into_iter().rev().nth(1).flatten().unwrap_or_default();
    html! {
        header {
            div.who {
                p.kicker { "AS112 fleet" }
                h1 { (reading.named.node) }
                p.facts {
                    span { (coverage.nodes.len()) " nodes" }
                    @if !colos.is_empty() { span { (colos.len()) " sites" } }
                    span { "as of " (minute(&figures.read_written)) " UTC" }
                }
                p.facts { span { (coverage) } }
            }
            p.now {
                span.number { (si(rate)) span.unit { " queries/s" } }
                span.note { "in the last whole " (figures.span.step_title()) }
                span.note { (exact(reading.total.sum(QUERIES))) " queries counted in total" }
            }
        }
        p.intro {
            "Reverse lookups of private addresses such as 10.0.0.1 or 192.168.1.1 should stay inside a \
             network. Those that leak out are answered at the nodes of the "
            a href="https://www.as112.net/" { "AS112 project" }
            ", instead of loading the servers of in-addr.arpa. This page shows what these nodes are asked \
             together. What a node has not told yet, or will never tell, is missing here: nothing is \
             estimated in its place."
        }
    }
}

/// How much of the nodes' time is here.
pub(super) fn tile(coverage: &Coverage) -> Markup {
    let (seconds, expected) = coverage.seconds();
    let note = format!("of node minutes; {} of {} nodes complete", coverage.whole(), coverage.nodes.len());
    one_tile("Coverage", &share(seconds, expected), &note)
}

/// Each node, those with the most queries first.
pub(super) fn section(coverage: &Coverage) -> Markup {
    let mut nodes: Vec<&Node> = coverage.nodes.iter().collect();
    nodes.sort_by(|a, b| b.queries.cmp(&a.queries).then_with(|| a.name.cmp(&b.name)));
    let all: u64 = nodes.iter().map(|node| node.queries).sum();
    let row = |node: &Node| {
        vec![
            node.name.clone(),
            node.colo.clone(),
            exact(node.queries),
            percent(node.queries, all),
            share(node.seconds, node.expected),
        ]
    };
    let rows: Vec<Vec<String>> = nodes.into_iter().map(row).collect();
    let head = ["Node", "Site", "Queries", "Share", "Coverage"];
    html! {
        section aria-labelledby="nodes" {
            h2 #nodes { "Nodes" }
            (table_card("", &rows_of(&head, &rows)))
        }
    }
}
