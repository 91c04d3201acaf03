//! Which PoPs are up: what a watcher says, and what somebody orders. The one place that knows it; threads
//! that answer read a word of bits ([`Health`](crate::tailor::Health)).

use std::sync::Arc;

use serde_json::{Value, json};

use super::life::Node;
use crate::board::pops::{Health, Pops, State};
use crate::config::pops as configured;
use crate::control::orders::{Client, PopOrder};
use crate::history::unix_time;
use crate::limits::REPORT_AGE_MAX;
use crate::pops::{Report, Seen};
use crate::serve::snapshot::Snapshot;

impl Pops {
    /// The PoPs of a configuration. Of each that was known by the same name, what was known.
    pub(super) fn of(pops: &[configured::Pop], known: &[State]) -> Self {
        let state = |pop: &configured::Pop| {
            let health = match pop.health {
                configured::Health::Probe(_) => Health::Probe,
                configured::Health::File(_) => Health::File,
                configured::Health::None => Health::None,
            };
            let before = known.iter().find(|state| state.name == pop.name);
            let mut state = before.cloned().unwrap_or_else(|| State::new(pop.name.clone(), health));
            // What probes have found says nothing of what a file will say.
            if state.health != health {
                (state.health, state.seen, state.why) = (health, None, None);
            }
            state.up = state.is_up();
            state
        };
        Self { states: pops.iter().map(state).collect(), heard: None }
    }

    /// What answers from `snapshot` follows them from now on.
    pub(super) fn believe(&self, snapshot: &Snapshot) {
        if let Some(tailor) = snapshot.tailor() {
            tailor.health().set(self.up());
        }
    }
}

/// Changes one PoP, at `now`. What there is to say of it, if it is up now and was not, or the contrary.
fn change(state: &mut State, now: u64, change: impl FnOnce(&mut State)) -> Option<String> {
    change(state);
    let up = state.is_up();
    if up == state.up {
        return None;
    }
    (state.up, state.since) = (up, Some(now));
    let by = match (state.by_hand, &state.why) {
        (Some(_), _) => ", by hand".to_owned(),
        (None, Some(why)) if !up => format!(": {why}"),
        _ => String::new(),
    };
    Some(format!("PoP {} is {}{by}", state.name, if up { "up" } else { "down" }))
}

/// Takes what a watcher has seen over.
fn seen(states: &mut [State], report: &Report, now: u64) -> Vec<String> {
    let told = |state: &mut State| {
        let Seen { up, why, .. } = report.pops.iter().find(|seen| seen.name == state.name)?;
        change(state, now, |state| (state.seen, state.why) = (Some(*up), why.clone()))
    };
    states.iter_mut().filter(|state| state.health != Health::None).filter_map(told).collect()
}

impl Node {
    /// Begins with what was `known` before this process.
    pub(super) fn begin_pops(&self, known: &[State]) {
        let pops = Pops::of(&self.config.pops, known);
        pops.believe(&self.published.newest());
        self.board.pops.store(Arc::new(pops));
    }

    /// The PoPs are others from now on; those that stay are as they were. `snapshot` is to be published.
    pub(super) fn reload_pops(&self, pops: &[configured::Pop], snapshot: &Snapshot) {
        let before = self.board.pops.load();
        let pops = Pops { heard: before.heard, ..Pops::of(pops, &before.states) };
        pops.believe(snapshot);
        self.board.pops.store(Arc::new(pops));
    }

    /// Says how all PoPs are.
    pub(super) fn tell_pops(&self) -> Value {
        let pops = self.board.pops.load();
        let is_unwatched = pops.is_unwatched(unix_time().saturating_sub(REPORT_AGE_MAX.as_secs()));
        json!({ "pops": pops.states, "heard": pops.heard, "unwatched": is_unwatched })
    }

    /// A watcher has said what it sees.
    pub(super) fn pops_seen(&self, report: &Report) {
        let (mut pops, now) = (Pops::clone(&self.board.pops.load()), unix_time());
        pops.heard = Some(now);
        let lines = seen(&mut pops.states, report, now);
        self.change_pops(pops, &lines);
    }

    /// Somebody orders something of one.
    pub(super) fn order_pop(&self, order: &PopOrder, clients: Vec<Client>) {
        let mut pops = Pops::clone(&self.board.pops.load());
        let Some(state) = pops.states.iter_mut().find(|state| state.name == order.name) else {
            let names: Vec<&str> = pops.states.iter().map(|state| state.name.as_str()).collect();
            let known = if names.is_empty() {
                "none is configured".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            let error = format!("no PoP is called {}; {known}", order.name);
            return clients.into_iter().for_each(|client| client.failed(&error, &[]));
        };
        let line = change(state, unix_time(), |state| state.by_hand = order.by_hand);
        let told = json!({ "pop": state });
        self.change_pops(pops, line.as_slice());
        clients.into_iter().for_each(|client| client.done(told.clone()));
    }

    fn change_pops(&self, pops: Pops, lines: &[String]) {
        pops.believe(&self.published.newest());
        lines.iter().for_each(|line| self.log.warning(line));
        if !lines.is_empty() && pops.up() & all(pops.states.len()) == 0 {
            self.log.error("no PoP is up; queries are answered as if all were");
        }
        self.board.pops.store(Arc::new(pops));
    }
}

/// The bits of that many PoPs.
fn all(count: usize) -> u64 {
    u64::MAX.checked_shr(u64::BITS - count.min(64) as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::pops::ByHand;

    fn pop(name: &str, health: configured::Health) -> configured::Pop {
        configured::Pop { name: name.to_owned(), at: None, health }
    }

    fn report(pops: &[(&str, bool)]) -> Report {
        let seen = |(name, up): &(&str, bool)| Seen {
            name: (*name).to_owned(),
            up: *up,
            why: (!up).then(|| "no reply".to_owned()),
        };
        Report { pops: pops.iter().map(seen).collect() }
    }

    /// Three that are watched, and what is up of them.
    fn three() -> Vec<State> {
        let file = || configured::Health::File("pops.health".into());
        Pops::of(&[pop("sfo", file()), pop("nrt", file()), pop("jnb", configured::Health::None)], &[]).states
    }

    fn up(states: &[State]) -> u64 {
        Pops { states: states.to_vec(), heard: None }.up()
    }

    #[test]
    fn what_nobody_has_spoken_of_is_up_and_what_was_seen_counts() {
        let mut states = three();
        assert_eq!((up(&states), all(0), all(3), all(64)), (u64::MAX, 0, 7, u64::MAX));
        let lines = seen(&mut states, &report(&[("nrt", false), ("jnb", false), ("lax", false)]), 112);
        assert_eq!(lines, ["PoP nrt is down: no reply"], "jnb is watched by nobody, lax not known");
        assert_eq!((up(&states), states[1].since), (!2, Some(112)));
        assert!(seen(&mut states, &report(&[("nrt", false)]), 113).is_empty(), "nothing new");
        assert_eq!(states[1].since, Some(112));
        assert_eq!(seen(&mut states, &report(&[("nrt", true)]), 114), ["PoP nrt is up"]);
        assert_eq!(up(&states), u64::MAX);
    }

    #[test]
    fn an_order_goes_before_what_was_seen_until_it_is_taken_back() {
        let mut states = three();
        let order = |state: &mut State, by_hand| change(state, 9, |state| state.by_hand = by_hand);
        assert_eq!(order(&mut states[0], Some(ByHand::Drain)).unwrap(), "PoP sfo is down, by hand");
        assert!(seen(&mut states, &report(&[("sfo", true)]), 10).is_empty());
        assert_eq!(up(&states), !1);
        assert_eq!(order(&mut states[0], None).unwrap(), "PoP sfo is up");
        assert_eq!(seen(&mut states, &report(&[("sfo", false)]), 11).len(), 1);
        assert_eq!(order(&mut states[0], Some(ByHand::Up)).unwrap(), "PoP sfo is up, by hand");
        assert_eq!(order(&mut states[0], None).unwrap(), "PoP sfo is down: no reply");
        assert_eq!(order(&mut states[2], Some(ByHand::Drain)).unwrap(), "PoP jnb is down, by hand");
    }

    #[test]
    fn another_configuration_keeps_what_is_known_by_name() {
        let mut states = three();
        seen(&mut states, &report(&[("nrt", false), ("sfo", false)]), 1);
        change(&mut states[2], 1, |state| state.by_hand = Some(ByHand::Drain));
        let file = || configured::Health::File("elsewhere".into());
        let others = [
            pop("new", file()),
            pop("nrt", file()),
            pop("jnb", file()),
            pop("sfo", configured::Health::None),
        ];
        let changed = Pops::of(&others, &states).states;
        let told: Vec<(&str, bool)> = changed.iter().map(|state| (state.name.as_str(), state.up)).collect();
        assert_eq!(told, [("new", true), ("nrt", false), ("jnb", false), ("sfo", true)]);
        assert_eq!(changed[1].why.as_deref(), Some("no reply"));
    }

    #[test]
    fn somebody_waits_for_a_watcher_that_says_nothing() {
        let none = vec![State::new("sfo".to_owned(), Health::None)];
        assert!(!Pops { states: none, heard: None }.is_unwatched(100));
        let of = |heard| Pops { states: three(), heard }.is_unwatched(100);
        assert_eq!([None, Some(99), Some(100)].map(of), [true, true, false]);
    }
}
