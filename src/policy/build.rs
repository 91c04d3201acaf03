//! Stages from conditions: what cannot be true here vanishes, and for each value that tells rules apart it is
//! found which of them may match with it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::classes::Classes;
use super::engine::{Engine, FLAGS, LATER, Types};
use super::expr::{Expr, TermId};
use super::language::{FieldId, IPV4, IPV6};
use super::lower::Lowering;
use super::phase::Phase;
use super::rule::{Rule, RuleId};
use super::stage::{Entry, Rows, Stage, words};
use super::term::{Check, Dimension, Term};

/// A rule that is asked in a phase.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) rule: RuleId,
    pub(super) phase: Phase,
    pub(super) expr: Expr,
}

/// What is built.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) engine: Engine,
    pub(super) folded: Vec<String>,
}

/// Builds the stages.
pub(super) fn build(
    rules: &[Rule],
    asking: &[Asking],
    lowering: Lowering,
    listeners: &[SocketAddr],
) -> Built {
    let (names, name_classes) = lowering.names.build();
    let [src, dst] = lowering.networks;
    let ((src, src_classes), (dst, dst_classes)) = (src.build(), dst.build());
    let (types, type_classes) = types(&lowering.terms);
    let mut engine = Engine {
        terms: lowering.terms,
        names,
        networks: [src, dst],
        classes: [name_classes, src_classes, dst_classes],
        types,
        listeners: listeners.len(),
        ..Engine::default()
    };
    let mut folded = Vec::new();
    let mut stages: [Vec<(RuleId, Expr)>; 7] = Default::default();
    for asking in asking {
        let rule = &rules[usize::from(asking.rule)];
        match here(&asking.expr, &engine, listeners) {
            Ok(expr) => {
                if asking.phase != Phase::Route {
                    let told = |term: TermId| is_told_on_shard(&engine.terms[term as usize]);
                    stages[LATER].push((asking.rule, expr.widened(&told)));
                }
                stages[asking.phase as usize].push((asking.rule, expr));
            }
            Err(reason) => folded.push(format!(
                "rule \"{}\" ({}), phase {}: {reason}: folded away at load",
                rule.name,
                rule.place,
                asking.phase.name()
            )),
        }
    }
    for (at, exprs) in stages.into_iter().enumerate() {
        let stage = Builder { engine: &engine, exprs: &exprs, listeners, types: &type_classes }.stage();
        engine.stages[at] = stage;
        for (entry, (_, expr)) in engine.stages[at].entries.iter_mut().zip(&exprs) {
            entry.first = engine.programs.add(expr);
        }
    }
    let concerns = |listener: usize| {
        [Phase::Route as usize, LATER].iter().any(|stage| {
            let stage = &engine.stages[*stage];
            stage.by_listener.has_any(stage.words, listener)
        })
    };
    let at_none = if concerns(listeners.len()) { u64::MAX } else { 0 };
    let of_none = at_none.checked_shl(listeners.len() as u32).unwrap_or(0);
    engine.busy = (0..listeners.len()).filter(|at| concerns(*at)).fold(of_none, |busy, at| busy | 1 << at);
    engine.classes.iter_mut().for_each(Classes::finish);
    Built { engine, folded }
}

/// What a shard knows of a query. Tags may be set later.
fn is_told_on_shard(term: &Term) -> bool {
    term.field.row().phases.has(Phase::Route) && term.field != FieldId::Tag
}

/// The condition on this node; why it cannot be true here, if it cannot.
fn here(expr: &Expr, engine: &Engine, listeners: &[SocketAddr]) -> Result<Expr, String> {
    let terms = &engine.terms;
    let constant = |term: TermId| match terms[term as usize].check {
        Check::Constant(is_so) => Some(is_so != terms[term as usize].is_negated),
        _ => None,
    };
    let told = |reasons: Vec<TermId>| {
        let text = |term: &TermId| {
            let is_so = constant(*term).unwrap_or(false);
            format!("{} is {is_so}", terms[*term as usize].text)
        };
        reasons.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    if !expr.may_be(true, &constant) {
        return Err(match expr {
            Expr::Const(_) => "it is never true".into(),
            _ => told(expr.reasons(false, &constant)),
        });
    }
    let expr = expr.fold(&constant);
    let can_be = |at: usize| expr.may_be(true, &|term| at_listener(engine, listeners, at, term));
    if !listeners.is_empty() && !(0..listeners.len()).any(can_be) {
        let reasons = expr.reasons(false, &|term| at_listener(engine, listeners, 0, term));
        let texts: Vec<&str> = reasons.iter().map(|term| &*terms[*term as usize].text).collect();
        return Err(format!("at no listener can this be: {}", texts.join(" and ")));
    }
    Ok(expr)
}

/// What is known of a term for all that comes to a listener.
fn at_listener(engine: &Engine, listeners: &[SocketAddr], at: usize, term: TermId) -> Option<bool> {
    let listener = listeners.get(at)?;
    let term = &engine.terms[term as usize];
    let ip = listener.ip().to_canonical();
    let is_so = match &term.check {
        Check::Number(FieldId::Listener, numbers) => numbers.has(at as u64),
        // A wildcard is asked at any address, that of IPv6 perhaps over IPv4.
        _ if ip.is_unspecified() => return None,
        Check::Number(FieldId::Family, numbers) => numbers.has(if ip.is_ipv4() { IPV4 } else { IPV6 }),
        Check::List(Dimension::Dst, list) => {
            engine.classes[Dimension::Dst as usize].holds(engine.networks[1].class(ip), *list)
        }
        _ => return None,
    };
    Some(is_so != term.is_negated)
}

/// The types that rules name, and which terms are true of each.
fn types(terms: &[Term]) -> (Types, Classes) {
    let mut named = Vec::new();
    let numbers = |term: &Term| match &term.check {
        Check::Number(FieldId::Qtype, numbers) => Some(numbers.clone()),
        _ => None,
    };
    let asked: Vec<(u32, _)> = (0..).zip(terms).filter_map(|(id, term)| Some((id, numbers(term)?))).collect();
    let mut classes = Classes::default();
    let mut all: Vec<u16> =
        asked.iter().flat_map(|(_, numbers)| numbers.values()).map(|number| number as u16).collect();
    all.sort_unstable();
    all.dedup();
    for qtype in all {
        let holds = asked.iter().filter(|(_, numbers)| numbers.has(qtype.into()));
        named.push((qtype, classes.of(holds.map(|(term, _)| *term).collect())));
    }
    (Types::new(named), classes)
}

/// Makes one stage.
struct Builder<'a> {
    engine: &'a Engine,
    exprs: &'a [(RuleId, Expr)],
    listeners: &'a [SocketAddr],
    types: &'a Classes,
}

impl Builder<'_> {
    fn stage(&self) -> Stage {
        let entries = self.exprs.iter().map(|(rule, _)| Entry { rule: *rule, first: 0 }).collect();
        let listener = |term: &Term| matches!(term.field, FieldId::Listener | FieldId::Dst | FieldId::Family);
        let by_listener = self.rows(self.listeners.len() + 1, true, listener, |class, id, _| {
            at_listener(self.engine, self.listeners, class, id)
        });
        let by_flags = self.rows(1 << FLAGS.len(), false, |term| FLAGS.contains(&term.field), in_flags);
        let by_type = self.by_lists(self.types, |term| match &term.check {
            Check::Number(FieldId::Qtype, _) => Some(None),
            _ => None,
        });
        let by_dimension = Dimension::ALL.map(|dimension| {
            self.by_lists(&self.engine.classes[dimension as usize], |term| match term.check {
                Check::List(of, list) if of == dimension => Some(Some(list)),
                _ => None,
            })
        });
        Stage { entries, words: words(self.exprs.len()), by_listener, by_flags, by_type, by_dimension }
    }

    /// The rules that have a term which `is_of` the rows.
    fn touched(&self, is_of: impl Fn(&Term) -> bool) -> Vec<usize> {
        let has = |expr: &Expr| {
            let mut has = false;
            expr.each(&mut |term| has |= is_of(&self.engine.terms[term as usize]));
            has
        };
        (0..self.exprs.len()).filter(|at| has(&self.exprs[*at].1)).collect()
    }

    /// Rows for a few classes, each of which says what it knows of a term.
    fn rows(
        &self,
        classes: usize,
        always: bool,
        is_of: impl Fn(&Term) -> bool,
        known: impl Fn(usize, TermId, &Term) -> Option<bool>,
    ) -> Rows {
        let touched = self.touched(is_of);
        if self.exprs.is_empty() || touched.is_empty() && !always {
            return Rows::default();
        }
        let mut rows = Rows::full(classes, self.exprs.len());
        for class in 0..classes {
            for rule in &touched {
                let known = |id: TermId| known(class, id, &self.engine.terms[id as usize]);
                rows.put(words(self.exprs.len()), class, *rule, self.exprs[*rule].1.may_be(true, &known));
            }
        }
        rows
    }

    /// Rows for classes by lists: `list_of` a term, if it is of this field; `Some(None)` where classes list
    /// the term itself. Of many rules only those are looked at whose lists a class is in: to all others it is
    /// as the class of no list.
    fn by_lists(&self, classes: &Classes, list_of: impl Fn(&Term) -> Option<Option<u32>>) -> Rows {
        let touched = self.touched(|term| list_of(term).is_some());
        if touched.is_empty() {
            return Rows::default();
        }
        let words = words(self.exprs.len());
        let list = |id: TermId| list_of(&self.engine.terms[id as usize]).map(|list| list.unwrap_or(id));
        let mut rules_of: Vec<Vec<usize>> = Vec::new();
        for rule in &touched {
            self.exprs[*rule].1.each(&mut |id| {
                if let Some(list) = list(id) {
                    let list = list as usize;
                    rules_of.resize(rules_of.len().max(list + 1), Vec::new());
                    rules_of[list].push(*rule);
                }
            });
        }
        let may_be = |class: u32, rule: usize| {
            self.exprs[rule].1.may_be(true, &|id| {
                let is_negated = self.engine.terms[id as usize].is_negated;
                list(id).map(|list| classes.holds(class, list) != is_negated)
            })
        };
        let mut base = Rows::full(1, self.exprs.len());
        touched.iter().for_each(|rule| base.put(words, 0, *rule, may_be(0, *rule)));
        let mut rows = base.repeated(classes.len());
        for class in 1..classes.len() {
            let of_class = classes.lists(class as u32).iter();
            let rules = of_class.filter_map(|list| rules_of.get(*list as usize)).flatten();
            rules.for_each(|rule| rows.put(words, class, *rule, may_be(class as u32, *rule)));
        }
        rows
    }
}

/// What flags say of a term.
fn in_flags(flags: usize, _: TermId, term: &Term) -> Option<bool> {
    let Check::Number(field, numbers) = &term.check else { return None };
    let bit = FLAGS.iter().position(|flag| flag == field)?;
    let is_set = flags >> bit & 1;
    let number = match field {
        FieldId::Family => [IPV4, IPV6][is_set],
        _ => is_set as u64,
    };
    Some(numbers.has(number) != term.is_negated)
}
