//! What the operator's document says of answers that depend on the client, where there are any.

use maud::{Markup, html};

use super::document::{rows_of, table_card};
use super::numbers::{exact, percent};
use super::pops::{by_pop, chart, of};
use crate::board::Reading;
use crate::stats::counters::{
    BEACON_QUERIES, BEACONS, ECS, ECS_SCOPE, ECS_SOURCE, Family, IDENTITY, TAILORED, TAILORED_BY,
};

/// The section; nothing on a node whose answers depend on nobody.
pub(super) fn section(reading: &Reading<'_>) -> Markup {
    if !reading.named.counted.have_clients {
        return Markup::default();
    }
    html! {
        section aria-labelledby="clients" {
            h2 #clients { "Clients" }
            div.cards.wide {
                (chart("pops", "Answers by PoP", "tailored answers", &by_pop(reading)))
                (chart("layers", "Answers by what decided", "tailored answers", &of(reading, TAILORED_BY)))
                (chart("subnets", "Client subnets by what became of them", "queries", &of(reading, ECS)))
            }
            div.cards {
                (table_card("Answers by pool and PoP", &pools(reading)))
                (table_card("Prefix lengths of client subnets", &prefixes(reading)))
                (table_card("Identities and beacons", &others(reading)))
            }
        }
    }
}

fn pools(reading: &Reading<'_>) -> Markup {
    let series = reading.series(TAILORED, &reading.total);
    let of_pool = |pool: &str| -> u64 {
        let same = series.iter().filter(|(labels, _)| labels[0] == pool);
        same.map(|(_, count)| count).sum()
    };
    let counted = series.iter().filter(|(_, count)| *count > 0);
    let row = |(labels, count): &(Vec<String>, u64)| {
        vec![labels[0].clone(), labels[1].clone(), exact(*count), percent(*count, of_pool(&labels[0]))]
    };
    rows_of(&["Pool", "PoP", "Answers", "Share"], &counted.map(row).collect::<Vec<_>>())
}

/// How many bits resolvers say, and how many answers depend on.
fn prefixes(reading: &Reading<'_>) -> Markup {
    let [source, scope] = [ECS_SOURCE, ECS_SCOPE].map(|family| family.of(&reading.total));
    let of_family = source.len() / 2;
    let rows = source.iter().zip(scope).enumerate().filter(|(_, (source, scope))| **source + **scope > 0);
    let row = |(at, (source, scope)): (usize, (&u64, &u64))| {
        let family = if at < of_family { "IPv4" } else { "IPv6" };
        vec![format!("{family} /{}", at % of_family), exact(*source), exact(*scope)]
    };
    rows_of(&["Length", "SOURCE", "SCOPE"], &rows.map(row).collect::<Vec<_>>())
}

fn others(reading: &Reading<'_>) -> Markup {
    let named = |head: &str, family: &Family| -> Vec<Vec<String>> {
        let rows = of(reading, family).into_iter();
        rows.map(|(name, count)| vec![format!("{head}: {name}"), exact(count)]).collect()
    };
    let beacons = vec!["Beacons: queries".to_owned(), exact(reading.total.sum(BEACON_QUERIES))];
    let rows = [named("Identity", IDENTITY), vec![beacons], named("Beacons", BEACONS)].concat();
    rows_of(&["", "Count"], &rows)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::board::Named;
    use crate::board::recent::Pace;
    use crate::board::tests::board;
    use crate::report::page::operator;
    use crate::stats::counters::PlatformPlace;

    #[test]
    fn pops_and_layers_are_shown_where_answers_depend_on_the_client() {
        let board = board();
        let without = operator::render(&board.read(), &Pace::default());
        for part in ["PoP", "ubnet", "dentit", "eacon"] {
            assert!(!without.contains(part), "{part}");
        }
        let mut named = Named::clone(&board.named.load());
        named.counted.have_clients = true;
        named.counted.pools = vec!["web".to_owned()];
        named.counted.pops = ["sfo", "n\"t"].map(str::to_owned).into();
        board.named.store(Arc::new(named));
        let empty = operator::render(&board.read(), &Pace::default());
        assert_eq!(empty.matches("None yet.").count(), 3);
        let mut reading = board.read();
        let mut add = |at: PlatformPlace, count| {
            reading.total.add(at, count);
        };
        add(TAILORED.at([0, 0]), 30);
        add(TAILORED.at([0, 1]), 10);
        add(TAILORED_BY.at([7]), 40);
        add(ECS.at([0]), 36);
        add(ECS.at([1]), 4);
        add(ECS_SOURCE.at([0, 24]), 3);
        add(ECS_SOURCE.at([1, 56]), 1);
        add(ECS_SCOPE.at([0, 16]), 3);
        add(IDENTITY.at([2]), 5);
        add(BEACONS.at([0]), 6);
        let with = operator::render(&reading, &Pace::default());
        for part in [
            "<h2 id=\"clients\">Clients</h2>",
            "<h3>Answers by PoP</h3><p class=\"note\">40 tailored answers since counting began</p>",
            "<th scope=\"row\">web</th><td>n&quot;t</td><td>10</td><td>25.0\u{202f}%</td>",
            "<th scope=\"row\">IPv4 /16</th><td>0</td><td>3</td>",
            "<th scope=\"row\">IPv6 /56</th><td>1</td><td>0</td>",
            "<th scope=\"row\">Identity: TXT</th><td>5</td>",
            "<th scope=\"row\">Beacons: joined</th><td>6</td>",
            "learned",
        ] {
            assert!(with.contains(part), "{part}\n---\n{with}");
        }
    }
}
