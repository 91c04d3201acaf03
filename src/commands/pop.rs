//! `as112d pop`: which PoPs are up, as the running node has it, and orders by hand.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::change::span;
use super::control::asked;
use super::failure::Failure;
use crate::board::pops::{ByHand, Health, State};
use crate::cli::PopOptions;

/// Shows the PoPs, or orders something of one.
///
/// # Errors
/// If no node answers, and if none of its PoPs is called so.
pub fn pop(options: &PopOptions) -> Result<String, Failure> {
    let order = options.name.as_ref().zip(options.action);
    let word =
        order.map_or_else(|| "pops".to_owned(), |(name, action)| format!("pop {name} {}", action.word()));
    let (line, answer) = asked(&word, &options.control)?;
    if options.control.json {
        return Ok(line);
    }
    let states = |value: &Value| serde_json::from_value::<Vec<State>>(value.clone());
    let states = if order.is_some() {
        states(&Value::from(vec![answer["pop"].clone()]))
    } else {
        states(&answer["pops"])
    };
    let states = states.map_err(|error| format!("the node says something else of its PoPs: {error}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(shown(&states, answer["unwatched"] == true, now))
}

/// A line for each.
fn shown(states: &[State], is_unwatched: bool, now: Duration) -> String {
    if states.is_empty() {
        return "no PoP is configured\n".to_owned();
    }
    let width = states.iter().map(|state| state.name.len()).max().unwrap_or_default();
    let mut out = String::new();
    for state in states {
        let ago = |since: u64| span(now.saturating_sub(Duration::from_secs(since)).as_secs_f64());
        let since = state.since.map_or_else(String::new, |since| format!(" for {}", ago(since)));
        let up = if state.up { "up" } else { "down" };
        writeln!(out, "{:width$}  {up:<4}{since}  {}", state.name, reason(state))
            .expect("a String takes all that is written");
    }
    if is_unwatched {
        out += "nobody says whether they are up; is `as112d watch` running?\n";
    }
    out
}

/// Who says so.
fn reason(state: &State) -> String {
    let seen = match (state.seen, &state.why) {
        (None, _) => "nothing yet".to_owned(),
        (Some(true), _) => "up".to_owned(),
        (Some(false), Some(why)) => format!("down ({why})"),
        (Some(false), None) => "down".to_owned(),
    };
    let seen = match state.health {
        Health::Probe => format!("probes say {seen}"),
        Health::File => format!("its file says {seen}"),
        Health::None => "not watched".to_owned(),
    };
    match state.by_hand {
        Some(ByHand::Drain) => format!("drained by hand; {seen}"),
        Some(ByHand::Up) => format!("up by hand; {seen}"),
        None => seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pop_has_a_line_that_says_why() {
        let mut states: Vec<State> = ["sfo", "nrt", "jnb"]
            .into_iter()
            .zip([Health::Probe, Health::File, Health::None])
            .map(|(name, health)| State::new(name.to_owned(), health))
            .collect();
        (states[0].seen, states[0].up, states[0].since) = (Some(false), false, Some(100));
        states[0].why = Some("the status is 503".to_owned());
        (states[1].by_hand, states[1].up, states[1].since) = (Some(ByHand::Drain), false, Some(160));
        let told = shown(&states, true, Duration::from_secs(220));
        assert_eq!(
            told,
            "sfo  down for 2 min  probes say down (the status is 503)\n\
             nrt  down for 1 min  drained by hand; its file says nothing yet\n\
             jnb  up    not watched\n\
             nobody says whether they are up; is `as112d watch` running?\n"
        );
        assert_eq!(shown(&[], true, Duration::ZERO), "no PoP is configured\n");
    }
}
