//! Why: what rules say of a query, and where they are asked, in lines for an operator. The same programs are
//! run as when it counts, one after the other.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

use super::compiled::Policy;
use super::facts::Facts;
use super::language::ActionId;
use super::phase::Phase;
use super::rule::{Action, Decision, Rule, RuleId};
use super::stage::Entry;
use super::term::Term;
use super::upstream::UpstreamId;
use super::values::rcode_text;

impl Policy {
    /// Each rule that a phase asks, whether it matches, and the term that decides: lines for an operator.
    #[must_use]
    pub fn explain(&self, phase: Phase, facts: &Facts<'_>) -> Vec<String> {
        self.explained(phase, facts).1
    }

    /// What a phase comes to, and why.
    #[must_use]
    pub fn explained(&self, phase: Phase, facts: &Facts<'_>) -> (Decision, Vec<String>) {
        self.explained_after(phase, None, facts)
    }

    /// The same; with a rule, without that and those before it.
    #[must_use]
    pub fn explained_after(
        &self,
        phase: Phase,
        after: Option<RuleId>,
        facts: &Facts<'_>,
    ) -> (Decision, Vec<String>) {
        let is_asked = |entry: Entry| after.is_none_or(|after| entry.rule > after);
        let mut lines = Vec::new();
        let see = |rule: &Rule, is_match: bool, term: Option<(&Term, bool)>| {
            let why =
                term.map_or_else(|| "any".to_owned(), |(term, is_so)| format!("{} is {is_so}", term.text));
            let comes = if is_match { self.done(rule) } else { "no".to_owned() };
            lines.push(format!("rule \"{}\" ({}): {why}: {comes}", rule.name, rule.place));
        };
        let decision = self.engine.decide_seen(phase as usize, is_asked, &self.rules, facts, see);
        (decision, lines)
    }

    /// What a rule does, as an operator is told of it.
    #[must_use]
    pub fn done(&self, rule: &Rule) -> String {
        let upstream = |id: UpstreamId| self.upstreams.get(usize::from(id)).map_or("", |known| &*known.name);
        let (id, argument) = match rule.action {
            Action::Native => (ActionId::Native, String::new()),
            Action::Answer(code) => (ActionId::Answer, rcode_text(code)),
            Action::Drop => (ActionId::Drop, String::new()),
            Action::Truncate => (ActionId::Truncate, String::new()),
            Action::Forward(id) => (ActionId::Forward, upstream(id).to_owned()),
            Action::Resolve => (ActionId::Resolve, String::new()),
            Action::App(app) => (ActionId::App, self.apps.get(usize::from(app)).cloned().unwrap_or_default()),
            Action::CacheOnly => (ActionId::CacheOnly, String::new()),
            Action::Retry(id) => (ActionId::Retry, upstream(id).to_owned()),
            Action::Pass => (ActionId::Pass, String::new()),
            Action::NoStore => (ActionId::NoStore, String::new()),
            Action::Divert(id) => (ActionId::Divert, upstream(id).to_owned()),
            Action::Tag(bit) => (ActionId::Tag, self.tags.get(usize::from(bit)).cloned().unwrap_or_default()),
        };
        let row = id.row();
        let space = if argument.is_empty() { "" } else { " " };
        let would = if rule.dry_run { "dry-run, would be " } else { "" };
        let goes_on = if row.is_terminal || rule.dry_run { "" } else { ", and on" };
        format!("{would}{}{space}{argument}{goes_on}", row.name)
    }

    /// Where each rule is asked and what it takes, and files that may be cut off: lines for an operator.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let note = |(id, rule): (usize, &Rule)| {
            let mut phases = Vec::new();
            let mut listeners = 0_u64;
            for phase in Phase::ALL {
                let stage = &self.engine.stages[phase as usize];
                let at = stage.entries.iter().position(|entry| usize::from(entry.rule) == id);
                let Some(at) = at else { continue };
                phases.push(phase.name());
                for listener in 0..self.engine.listeners {
                    let row = stage.by_listener.row(stage.words, listener);
                    listeners |= (row[at / 64] >> (at % 64) & 1) << listener;
                }
            }
            if phases.is_empty() {
                return format!("rule \"{}\": phase {}, never true here", rule.name, rule.phase.name());
            }
            let mut parts = vec![format!("phase {}", phases.join(", "))];
            parts.extend(ranges(listeners).map(|ranges| format!("listeners {ranges}")));
            let [names, networks] = self.listed[id];
            let counted = |count: usize, one: &str, many: &str| {
                (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { many }))
            };
            parts.extend(counted(names, "name", "names"));
            parts.extend(counted(networks, "network", "networks"));
            parts.push(self.done(rule));
            let is_of_shard = rule.phase == Phase::Route && !rule.waits();
            parts.push(if is_of_shard { "decided on the shard" } else { "on a worker" }.to_owned());
            format!("rule \"{}\": {}", rule.name, parts.join(", "))
        };
        let unended = |path: &String| format!("{path}: the last line does not end: is the file whole?");
        self.rules.iter().enumerate().map(note).chain(self.unended.iter().map(unended)).collect()
    }
}

/// Places of bits, as `0-3, 5`; `None` for none.
fn ranges(bits: u64) -> Option<String> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for bit in (0..64).filter(|bit| bits >> bit & 1 == 1) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == bit => *last = bit,
            _ => ranges.push((bit, bit)),
        }
    }
    let shown = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    (!ranges.is_empty()).then(|| ranges.iter().map(shown).collect::<Vec<_>>().join(", "))
}
