//! What was learned, as files of networks: sorted, a line for each subject, and why as a comment. So `diff`
//! shows what a day has changed, and a hand can edit it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::decide::{Decided, Outcome};
use super::observation::DAY;
use super::subject::code_text;
use crate::limits::{LEARN_GAIN_MIN, LEARN_GAIN_PART, LEARN_NETWORKS_MIN, LEARN_PLACE_SAMPLES};
use crate::tailor::spec::Pop;

/// Countries that a comment names.
const COUNTRIES_TOLD: usize = 3;

/// The file of resolvers.
#[must_use]
pub fn learned_map(outcome: &Outcome, pops: &[Pop], at: u64) -> String {
    let mut text = head("learned map", LEARN_NETWORKS_MIN, at);
    for decided in outcome.decided.iter().filter(|decided| decided.subject.is_of_resolvers()) {
        let shares = decided.shares.iter().take(COUNTRIES_TOLD);
        let shares: Vec<String> =
            shares.map(|(code, part)| format!("{} {part} %", code_text(*code))).collect();
        let mut facts = vec![counted(decided.count, "network")];
        facts.extend((!shares.is_empty()).then(|| shares.join(", ")));
        let times = decided.costs.iter().enumerate().map(|(at, (pop, cost))| match at {
            0 => ms(*cost),
            _ => format!("{} {}", pops[usize::from(*pop)].name, ms(*cost)),
        });
        facts.push(times.collect::<Vec<_>>().join(", "));
        line(&mut text, decided, pops, facts);
    }
    text
}

/// The file of places.
#[must_use]
pub fn places_map(outcome: &Outcome, pops: &[Pop], at: u64) -> String {
    let mut text = head("places map", LEARN_PLACE_SAMPLES, at);
    for decided in outcome.decided.iter().filter(|decided| !decided.subject.is_of_resolvers()) {
        let times = decided.costs.iter();
        let times = times.map(|(pop, cost)| format!("{} {}", pops[usize::from(*pop)].name, ms(*cost)));
        let facts = vec![counted(decided.count, "sample"), times.collect::<Vec<_>>().join(", ")];
        line(&mut text, decided, pops, facts);
    }
    text
}

fn head(what: &str, least: u64, at: u64) -> String {
    let (gain, part) = (LEARN_GAIN_MIN / 10, 100 / LEARN_GAIN_PART);
    format!("# as112d {what} 1, {}, half-life 3d, least {least}, gain {gain}ms {part}%\n", time(at))
}

fn line(text: &mut String, decided: &Decided, pops: &[Pop], mut facts: Vec<String>) {
    let list: Vec<&str> = decided.pops.iter().map(|pop| &*pops[usize::from(*pop)].name).collect();
    let day = |day: u32| time(u64::from(day) * DAY).chars().take("2026-11-28".len()).collect::<String>();
    facts.push(format!("since {}", day(decided.since)));
    facts.push(format!("seen {}", day(decided.seen)));
    writeln!(text, "{} {} # {}", decided.subject, list.join(","), facts.join("; "))
        .expect("a String takes all that is written");
}

/// A time as RFC 3339 has it.
fn time(at: u64) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok())
        .map_or_else(|| "?".to_owned(), |at| at.to_string())
}

/// Tenths of a millisecond as milliseconds.
fn ms(tenths: u64) -> String {
    format!("{} ms", (tenths + 5) / 10)
}

/// How many there are, with commas.
fn counted(count: u64, what: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let many = if count == 1 { "" } else { "s" };
    format!("{text} {what}{many}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::subject::Subject;

    #[test]
    fn lines_say_why() {
        let pop = |name: &str| Pop { name: name.to_owned(), at: None };
        let pops = [pop("sfo"), pop("nrt"), pop("icn")];
        let resolver = Decided {
            subject: Subject::read("192.221.162.8/32").unwrap(),
            pops: vec![1],
            count: 312,
            shares: vec![(*b"JP", 62), (*b"US", 38)],
            costs: vec![(1, 870), (0, 1190)],
            since: 20_773,
            seen: 20_785,
        };
        let place = Decided {
            subject: Subject::Country(*b"JP"),
            pops: vec![1, 2],
            count: 4810,
            shares: Vec::new(),
            costs: vec![(1, 90), (2, 340)],
            since: 20_773,
            seen: 20_785,
        };
        let outcome = Outcome { decided: vec![place, resolver], changes: Vec::new() };
        let at = 20_785 * DAY;
        assert_eq!(
            learned_map(&outcome, &pops, at),
            "# as112d learned map 1, 2026-11-28T00:00:00Z, half-life 3d, least 20, gain 5ms 10%\n\
             192.221.162.8/32 nrt # 312 networks; JP 62 %, US 38 %; 87 ms, sfo 119 ms; since 2026-11-16; \
             seen 2026-11-28\n"
        );
        assert_eq!(
            places_map(&outcome, &pops, at),
            "# as112d places map 1, 2026-11-28T00:00:00Z, half-life 3d, least 100, gain 5ms 10%\n\
             country:JP nrt,icn # 4,810 samples; nrt 9 ms, icn 34 ms; since 2026-11-16; seen 2026-11-28\n"
        );
        assert_eq!(counted(1_234_567, "sample"), "1,234,567 samples");
        assert_eq!(counted(1, "network"), "1 network");
    }
}
