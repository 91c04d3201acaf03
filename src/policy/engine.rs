//! All phases compiled, and how they are asked. No allocation, no recursion: programs only go forward.

use alloc::vec::Vec;

use super::classes::{Class, Classes};
use super::expr::{Programs, TermId};
use super::facts::{Facts, Tags};
use super::language::{FieldId, IPV6};
use super::names::Names;
use super::networks::Networks;
use super::rule::{Action, Decision, Hit, Rule};
use super::stage::{Entry, Stage, any_in_all, in_all};
use super::term::{Asked, Dimension, Place, Term, number};

/// The stages: one for each phase, and one for what a shard can know of the rules of later phases.
pub(super) const STAGES: usize = 7;
/// See [`STAGES`].
pub(super) const LATER: usize = 6;

/// Classes of types.
#[derive(Clone, Debug, Default)]
pub(super) struct Types {
    /// Of types below 256, which nearly all are.
    low: Vec<Class>,
    /// Of those that rules name, sorted.
    named: Vec<(u16, Class)>,
}

impl Types {
    /// With the classes of those that rules name, sorted; all others are of class 0.
    pub(super) fn new(named: Vec<(u16, Class)>) -> Self {
        let mut low = Vec::from([0; 256]);
        for (qtype, class) in &named {
            if let Some(low) = low.get_mut(usize::from(*qtype)) {
                *low = *class;
            }
        }
        Self { low, named }
    }

    #[inline]
    fn class(&self, qtype: u16) -> Class {
        self.low.get(usize::from(qtype)).copied().unwrap_or_else(|| {
            let found = self.named.binary_search_by_key(&qtype, |(named, _)| *named);
            found.map_or(0, |at| self.named[at].1)
        })
    }
}

/// The rules, compiled.
#[derive(Clone, Debug, Default)]
pub(super) struct Engine {
    pub(super) terms: Vec<Term>,
    pub(super) programs: Programs,
    pub(super) names: Names,
    pub(super) networks: [Networks; 2],
    pub(super) classes: [Classes; 3],
    pub(super) types: Types,
    pub(super) stages: [Stage; STAGES],
    /// How many listeners there are.
    pub(super) listeners: usize,
    /// The listeners that any rule concerns, a bit for each.
    pub(super) busy: u64,
}

/// The bits of a query that are told by [`Stage::by_flags`].
pub(super) const FLAGS: [FieldId; 6] =
    [FieldId::Transport, FieldId::Family, FieldId::Rd, FieldId::Do, FieldId::Edns, FieldId::Ecs];

#[inline]
fn flags(facts: &Facts<'_>) -> usize {
    let is_v6 = number(FieldId::Family, facts) == Some(IPV6);
    let bits = [facts.is_tcp, is_v6, facts.recursion_desired, facts.dnssec_ok, facts.has_edns, facts.has_ecs];
    bits.iter().enumerate().fold(0, |flags, (at, bit)| flags | usize::from(*bit) << at)
}

impl Engine {
    /// Gives each rule of a stage that may match to `ask`, in order, with what was looked up of the query,
    /// until `ask` has had enough. Fields that are expensive to look up come last, if any rule is left.
    #[inline(always)]
    fn each_candidate(&self, stage: &Stage, facts: &Facts<'_>, mut ask: impl FnMut(Entry, Place) -> bool) {
        let words = stage.words;
        let listener = stage.by_listener.row(words, facts.listener.min(self.listeners));
        let by_type = stage.by_type.row_or_full(words, || self.types.class(facts.qtype) as usize);
        let by_flags = stage.by_flags.row_or_full(words, || flags(facts));
        if !any_in_all(&[listener, by_type, by_flags]) {
            return;
        }
        let mut place = Place::default();
        let mut look_up = |dimension: Dimension| {
            stage.by_dimension[dimension as usize].row_or_full(words, || {
                place[dimension as usize] = self.class(dimension, facts);
                place[dimension as usize] as usize
            })
        };
        let by_name = look_up(Dimension::Name);
        if !any_in_all(&[listener, by_type, by_flags, by_name]) {
            return;
        }
        let by_src = look_up(Dimension::Src);
        let by_dst = look_up(Dimension::Dst);
        let rows = [listener, by_type, by_flags, by_name, by_src, by_dst];
        for word in 0..words {
            let mut left = in_all(&rows, word);
            while left != 0 {
                let at = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                if ask(stage.entries[at], place) {
                    return;
                }
            }
        }
    }

    #[inline]
    fn class(&self, dimension: Dimension, facts: &Facts<'_>) -> Class {
        match dimension {
            Dimension::Name => self.names.class(facts.packet, facts.qname),
            Dimension::Src => self.networks[0].class(facts.src.ip()),
            Dimension::Dst => self.networks[1].class(facts.dst.ip()),
        }
    }

    /// Whether the rule of an entry matches, and the term that decided.
    #[inline]
    fn matches(&self, entry: Entry, asked: &Asked<'_>) -> (bool, Option<(TermId, bool)>) {
        self.programs.run(entry.first, |term| self.terms[term as usize].holds(asked, &self.classes))
    }

    /// What a phase comes to.
    #[inline]
    pub(super) fn decide(
        &self,
        stage: usize,
        rules: &[Rule],
        facts: &Facts<'_>,
        note: &mut impl FnMut(Hit),
    ) -> Decision {
        self.decide_of(stage, |_| true, rules, facts, note)
    }

    /// The same, with only some of the rules.
    #[inline]
    pub(super) fn decide_of(
        &self,
        stage: usize,
        is_asked: impl Fn(Entry) -> bool,
        rules: &[Rule],
        facts: &Facts<'_>,
        note: &mut impl FnMut(Hit),
    ) -> Decision {
        let mut decision = Decision { tags: facts.tags, ..Decision::default() };
        let stage = &self.stages[stage];
        self.each_candidate(stage, facts, |entry, place| {
            let asked = Asked { facts, place, tags: decision.tags };
            is_asked(entry) && self.matches(entry, &asked).0 && apply(&mut decision, entry, rules, note)
        });
        decision
    }

    /// Whether any rule of a stage matches.
    #[inline]
    pub(super) fn any_matches(&self, stage: usize, facts: &Facts<'_>) -> bool {
        let mut is_any = false;
        self.each_candidate(&self.stages[stage], facts, |entry, place| {
            is_any = self.matches(entry, &Asked { facts, place, tags: facts.tags }).0;
            is_any
        });
        is_any
    }

    /// What a phase comes to, by asking every one of some rules, each of which is given to `see`: whether it
    /// matches, and the term that decided.
    pub(super) fn decide_seen(
        &self,
        stage: usize,
        is_asked: impl Fn(Entry) -> bool,
        rules: &[Rule],
        facts: &Facts<'_>,
        mut see: impl FnMut(&Rule, bool, Option<(&Term, bool)>),
    ) -> Decision {
        let mut decision = Decision { tags: facts.tags, ..Decision::default() };
        let place = Dimension::ALL.map(|dimension| self.class(dimension, facts));
        for entry in self.stages[stage].entries.iter().filter(|entry| is_asked(**entry)) {
            let asked = Asked { facts, place, tags: decision.tags };
            let (is_match, term) = self.matches(*entry, &asked);
            let term = term.map(|(term, is_so)| (&self.terms[term as usize], is_so));
            see(&rules[usize::from(entry.rule)], is_match, term);
            if is_match && apply(&mut decision, *entry, rules, &mut |_| {}) {
                break;
            }
        }
        decision
    }
}

/// Does what a rule that matches does. Whether it ends the phase.
#[inline]
fn apply(decision: &mut Decision, entry: Entry, rules: &[Rule], note: &mut impl FnMut(Hit)) -> bool {
    let rule = &rules[usize::from(entry.rule)];
    note(Hit { rule: entry.rule, is_dry_run: rule.dry_run });
    decision.is_traced |= rule.log;
    if rule.dry_run {
        return false;
    }
    match rule.action {
        Action::Tag(bit) => decision.tags = Tags(decision.tags.0 | 1 << (bit & 63)),
        Action::NoStore => decision.no_store = true,
        // Of several the first: one copy of a query is enough.
        Action::Divert(upstream) => {
            decision.divert = decision.divert.or(Some((entry.rule, upstream)));
        }
        action => {
            decision.taken = Some((entry.rule, action));
            return true;
        }
    }
    false
}
