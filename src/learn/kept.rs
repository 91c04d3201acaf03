//! A state as text, one JSON object a line, sorted: how it is kept, and how nodes exchange what they know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::observation::is_name;
use super::rtt::{Histogram, STEPS};
use super::state::{Decision, Evidence, State};
use super::subject::{Place, Subject, code_text, country, degrees};
use crate::limits::{HEAVIEST_MAX, LEARNED_MAX, PLACES_MAX, RTTS_MAX, STATE_LINE_LEN_MAX};

/// What the first line says of all others.
const KIND: &str = "as112d learned state 1";

/// A place as it is written: country, degrees, and weight.
type PlaceEntry = (Option<String>, Option<(i64, i64)>, u32);

/// A line. The keys that it has say what it is.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, untagged)]
enum Line {
    Head {
        kind: String,
        day: u32,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        read: BTreeMap<String, u64>,
    },
    Evidence {
        of: String,
        seen: u32,
        places: Vec<PlaceEntry>,
        groups: Vec<(u16, u32)>,
    },
    Times {
        from: String,
        to: String,
        steps: Vec<(usize, u32)>,
    },
    Decision {
        map: String,
        gets: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pop: Option<String>,
        since: u32,
        /// The PoP, empty for none that is learned, and since when.
        #[serde(skip_serializing_if = "Option::is_none")]
        wish: Option<(String, u64)>,
    },
}

/// Writes a state.
#[must_use]
pub fn write(state: &State) -> String {
    let head = Line::Head { kind: KIND.to_owned(), day: state.day, read: state.read.clone() };
    let resolvers = state.resolvers.iter().map(|(resolver, of)| (Subject::Resolver(*resolver), of));
    let places = state.places.iter().map(|(subject, of)| (*subject, of));
    let evidence = resolvers.chain(places).map(|(subject, evidence)| evidence_line(subject, evidence));
    let mut times: Vec<_> =
        state.rtts.iter().map(|((from, pop), times)| (from, &state.pops[usize::from(*pop)], times)).collect();
    times.sort_by_key(|(from, pop, _)| (*from, *pop));
    let times = times.into_iter().map(|(from, pop, times)| Line::Times {
        from: from.to_string(),
        to: pop.clone(),
        steps: times.0.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect(),
    });
    let decisions = state.decisions.iter().flat_map(|(map, decisions)| {
        decisions.iter().map(|(subject, decision)| Line::Decision {
            map: map.clone(),
            gets: subject.to_string(),
            pop: decision.pop.clone(),
            since: decision.since,
            wish: decision.wish.clone().map(|(pop, since)| (pop.unwrap_or_default(), since)),
        })
    });
    let mut text = String::new();
    for line in [head].into_iter().chain(evidence).chain(times).chain(decisions) {
        text.push_str(&serde_json::to_string(&line).expect("it has nothing that JSON has not"));
        text.push('\n');
    }
    text
}

fn evidence_line(subject: Subject, evidence: &Evidence) -> Line {
    let places = evidence.places.iter().map(|(place, weight)| {
        let at = place.at.map(|at| (at.north.into(), at.east.into()));
        (place.country.map(code_text), at, weight)
    });
    Line::Evidence {
        of: subject.to_string(),
        seen: evidence.seen,
        places: places.collect(),
        groups: evidence.groups.iter().collect(),
    }
}

/// Reads a state.
///
/// # Errors
/// The number of a line that is not one of a state, and why.
pub fn read(text: &str) -> Result<State, (usize, String)> {
    let mut state = State::default();
    for (at, line) in text.lines().enumerate() {
        let refused = |why: String| (at + 1, why);
        if line.len() > STATE_LINE_LEN_MAX && at > 0 {
            return Err(refused(format!("the line has {} bytes; at most {STATE_LINE_LEN_MAX}", line.len())));
        }
        let line: Line = serde_json::from_str(line)
            .map_err(|_| refused("not a line of a learned state; is this the right file?".to_owned()))?;
        let is_head = matches!(line, Line::Head { .. });
        if is_head != (at == 0) {
            return Err(refused(format!("the first line has to say `{KIND}`, and no other may")));
        }
        take(&mut state, line).map_err(refused)?;
    }
    let lens = [state.resolvers.len(), state.places.len(), state.rtts.len()];
    // It may have an eighth more before the lightest go.
    if lens.iter().zip([LEARNED_MAX, PLACES_MAX, RTTS_MAX]).any(|(len, max)| *len > max + max / 8) {
        return Err((1, format!("more than {LEARNED_MAX} resolvers, or too many places")));
    }
    Ok(state)
}

fn take(state: &mut State, line: Line) -> Result<(), String> {
    let subject = |text: &str| Subject::read(text).ok_or_else(|| format!("`{text}` is not a subject"));
    let name = |text: String| if is_name(&text) { Ok(text) } else { Err(format!("`{text}` is not a name")) };
    match line {
        Line::Head { kind, day, read } => {
            if kind != KIND {
                return Err(format!("`{kind}` is not `{KIND}`"));
            }
            (state.day, state.read) = (day, read);
        }
        Line::Evidence { of, seen, places, groups } => {
            if places.len() > HEAVIEST_MAX || groups.len() > HEAVIEST_MAX {
                return Err(format!("more than {HEAVIEST_MAX} places or groups"));
            }
            let mut evidence = Evidence { seen, ..Evidence::default() };
            for (code, at, weight) in places {
                evidence.places.add(place(code, at)?, weight);
            }
            for (group, weight) in groups {
                evidence.groups.add(group, weight);
            }
            match subject(&of)? {
                Subject::Resolver(resolver) => drop(state.resolvers.insert(resolver, evidence)),
                Subject::Pool(_) => return Err(format!("`{of}` is neither a resolver nor a place")),
                place => drop(state.places.insert(place, evidence)),
            }
        }
        Line::Times { from, to, steps } => {
            let from = subject(&from)?;
            let pop = state.pop(&name(to)?).ok_or("too many PoPs")?;
            let mut times = Histogram::default();
            for (step, count) in steps {
                *times.0.get_mut(step).ok_or_else(|| format!("a step is not below {STEPS}"))? = count;
            }
            state.rtts.insert((from, pop), times);
        }
        Line::Decision { map, gets, pop, since, wish } => {
            let pop = pop.map(name).transpose()?;
            let wish = wish.map(|(pop, since)| (Some(pop).filter(|pop| !pop.is_empty()), since));
            let decisions = state.decisions.entry(map).or_default();
            decisions.insert(subject(&gets)?, Decision { pop, since, wish });
        }
    }
    Ok(())
}

fn place(code: Option<String>, at: Option<(i64, i64)>) -> Result<Place, String> {
    let code = code.map(|code| country(&code).ok_or_else(|| format!("`{code}` is not a country")));
    let at = at.map(|(north, east)| {
        degrees(north, east).ok_or_else(|| format!("{north}/{east} is not a place on the globe"))
    });
    Ok(Place { country: code.transpose()?, at: at.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::observation::Observation;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let mut state = State::default();
        for line in [
            r#"{"time":86400,"resolver":"192.0.2.1","country":"JP","at":[36,140],"group":1,"rtt":{"b":9}}"#,
            r#"{"time":86400,"resolver":"2001:db8::1","country":"JP","group":2,"rtt":{"a":9,"b":119}}"#,
            r#"{"time":172800,"resolver":"2001:db8::1","group":2}"#,
        ] {
            state.add(&Observation::read(line).unwrap());
        }
        state.read.insert("2026-11-28.jsonl".to_owned(), 77);
        let subject = Subject::read("192.0.2.0/24").unwrap();
        let decision = Decision { pop: Some("b".to_owned()), since: 2, wish: Some((None, 86_400)) };
        state.decisions.entry("world".to_owned()).or_default().insert(subject, decision);
        let text = write(&state);
        let again = read(&text).unwrap();
        assert_eq!(write(&again), text);
        assert_eq!((again.resolvers, again.decisions), (state.resolvers, state.decisions));
        assert_eq!(read("").unwrap(), State::default());
    }

    #[test]
    fn what_is_no_state_is_refused_with_its_line() {
        let head = format!(r#"{{"kind":"{KIND}","day":3}}"#);
        let refused = |line: &str| read(&format!("{head}\n{line}\n")).unwrap_err();
        assert!(refused("nrt").1.starts_with("not a line of a learned state"));
        assert_eq!(refused(&head).0, 2);
        assert!(refused(r#"{"of":"x","seen":1,"places":[],"groups":[]}"#).1.contains("`x` is not a subject"));
        let pool = r#"{"of":"192.0.2.0/24","seen":1,"places":[],"groups":[]}"#;
        assert!(refused(pool).1.ends_with("neither a resolver nor a place"));
        assert!(refused(r#"{"from":"as:1","to":"a","steps":[[32,1]]}"#).1.contains("not below 32"));
        assert!(refused(r#"{"from":"as:1","to":"a b","steps":[]}"#).1.contains("is not a name"));
        assert_eq!(read(r#"{"of":"as:1","seen":1,"places":[],"groups":[]}"#).unwrap_err().0, 1);
        assert_eq!(read(r#"{"kind":"another","day":3}"#).unwrap_err().0, 1);
    }
}
