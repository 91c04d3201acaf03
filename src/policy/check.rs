//! What a rule must keep to: its phases know its fields and can do its action, and what leaves the node says
//! for whom.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::expr::Expr;
use super::language::{ActionId, FieldId, Phases};
use super::lower::is_in_phase;
use super::phase::Phase;
use super::term::{Check, Dimension, Term};
use super::tree::{Cond, Doing, Mistake};

/// A mistake of a rule as a whole.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) mistake: Mistake,
    /// It stands with the action, else with the condition.
    pub(super) in_action: bool,
}

fn in_action(doing: &Doing, message: impl Into<String>) -> Wrong {
    Wrong { mistake: Mistake::new(doing.at, message), in_action: true }
}

/// The phases in which a rule is asked, with its condition in each. `only` is the one in which a route is.
pub(super) fn phases(
    cond: &Cond,
    expr: &Expr,
    terms: &[Term],
    doing: &Doing,
    only: Option<Phase>,
) -> Result<Vec<(Phase, Expr)>, Wrong> {
    let mut fields = Vec::new();
    cond.each(&mut |test| fields.push((test.field, test.at)));
    let place = |field| fields.iter().find(|(known, _)| *known == field).map(|(_, at)| *at);
    let in_cond = |at, message: String| Wrong { mistake: Mistake::new(at, message), in_action: false };
    let phase_at = place(FieldId::Phase);
    let candidates = match (only, phase_at) {
        (Some(only), _) => Phases::only(only),
        (None, Some(_)) => Phases::ALL,
        (None, None) => Phases::only(first_phase(&fields, doing)?),
    };
    let mut asked = Vec::new();
    for phase in candidates.iter() {
        let expr = expr.fold(&|term| {
            let term = &terms[term as usize];
            let is_of_phase = term.field == FieldId::Phase;
            is_of_phase.then(|| is_in_phase(&term.check, phase) != term.is_negated)
        });
        if phase_at.is_some() && expr == Expr::Const(false) {
            continue;
        }
        let mut unknown = None;
        expr.each(&mut |term| {
            let field = terms[term as usize].field;
            if !field.row().phases.has(phase) {
                unknown = unknown.or(Some(field));
            }
        });
        if let Some(field) = unknown {
            return Err(in_cond(place(field).unwrap_or(0), not_known(field, phase)));
        }
        if !doing.id.row().phases.has(phase) {
            return Err(in_action(doing, not_done(doing.id, phase)));
        }
        asked.push((phase, expr));
    }
    match (asked.is_empty(), only) {
        (true, None) => {
            let message = "there is no phase in which this can be true";
            Err(in_cond(phase_at.unwrap_or(0), message.into()))
        }
        (true, Some(only)) => {
            let message = match only {
                Phase::Route => {
                    "routes are asked in the phase `route`; what is asked in another is a rule, in a \
                                 file of rules, or a hook of an application"
                        .into()
                }
                phase => format!("it is asked in the phase `{}`, in which it is never true", phase.name()),
            };
            Err(in_cond(phase_at.unwrap_or(0), message))
        }
        (false, _) => Ok(asked),
    }
}

/// The first phase that knows all fields and can do the action.
fn first_phase(fields: &[(FieldId, usize)], doing: &Doing) -> Result<Phase, Wrong> {
    let row = doing.id.row();
    let knows = fields.iter().fold(Phases::ALL, |phases, (field, _)| phases.and(field.row().phases));
    if let Some(phase) = knows.and(row.phases).iter().next() {
        return Ok(phase);
    }
    // Each field is known to the end, so the one that is known last is in the way.
    let last = fields.iter().max_by_key(|(field, _)| field.row().phases.iter().next());
    let last = last.map_or(FieldId::Phase, |(field, _)| *field);
    let message = format!(
        "no phase knows `{}` and can do `{}`: the one is known in {}, the other is done in {}",
        last.row().name,
        row.name,
        listed(last.row().phases),
        listed(row.phases)
    );
    Err(in_action(doing, message))
}

fn not_known(field: FieldId, phase: Phase) -> String {
    let row = field.row();
    format!("`{}` is not known in the phase `{}`; it is in {}", row.name, phase.name(), listed(row.phases))
}

fn not_done(action: ActionId, phase: Phase) -> String {
    let row = action.row();
    format!("`{}` is not done in the phase `{}`; it is in {}", row.name, phase.name(), listed(row.phases))
}

/// Phases, as a sentence has them.
pub(super) fn listed(phases: Phases) -> String {
    let names: Vec<&str> = phases.iter().map(Phase::name).collect();
    match &*names {
        [] => String::from("none"),
        [one] => (*one).into(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}

/// Whether a condition is true for listed clients only.
pub(super) fn names_clients(expr: &Expr, terms: &[Term]) -> bool {
    let is_client = |term: u32, wanted: bool| {
        let term = &terms[term as usize];
        matches!(term.check, Check::List(Dimension::Src, _)) && term.is_negated != wanted
    };
    expr.demands(true, &is_client)
}

/// That a rule that takes queries on the shard and asks others for the answer says whose it takes: without
/// that the node would be an open resolver.
pub(super) fn says_for_whom(
    asked: &[(Phase, Expr)],
    terms: &[Term],
    doing: &Doing,
    is_route: bool,
) -> Result<(), Wrong> {
    let is_for_some = matches!(doing.id, ActionId::Forward | ActionId::Resolve | ActionId::CacheOnly);
    let Some((_, expr)) = asked.iter().find(|(phase, _)| is_for_some && *phase == Phase::Route) else {
        return Ok(());
    };
    if names_clients(expr, terms) {
        return Ok(());
    }
    let what = if is_route { "`allow = [\"192.0.2.0/24\"]`" } else { "`src in { 192.0.2.0/24 } and ...`" };
    let message = format!(
        "`{}` in the phase `route` without clients would make this an open resolver; say for whom: {what}",
        doing.id.row().name
    );
    Err(in_action(doing, message))
}
