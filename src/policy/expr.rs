//! Conditions over terms, and the programs that they become: a row of terms, each with where to go when it
//! is true and when it is not. Jumps go forward, so every program ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// A term, by its place in the policy.
pub(super) type TermId = u32;

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Const(bool),
    Term(TermId),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

impl Expr {
    /// With what is `known` of some terms put in; without constants within.
    pub(super) fn fold(&self, known: &impl Fn(TermId) -> Option<bool>) -> Self {
        match self {
            Self::Const(is_so) => Self::Const(*is_so),
            Self::Term(term) => known(*term).map_or(Self::Term(*term), Self::Const),
            Self::Not(inner) => match inner.fold(known) {
                Self::Const(is_so) => Self::Const(!is_so),
                inner => Self::Not(Box::new(inner)),
            },
            Self::And(parts) => Self::folded_parts(parts, known, false),
            Self::Or(parts) => Self::folded_parts(parts, known, true),
        }
    }

    /// Parts of which one that is `decisive` decides.
    fn folded_parts(parts: &[Self], known: &impl Fn(TermId) -> Option<bool>, decisive: bool) -> Self {
        let mut kept = Vec::new();
        for part in parts {
            match part.fold(known) {
                Self::Const(is_so) if is_so == decisive => return Self::Const(decisive),
                Self::Const(_) => {}
                part => kept.push(part),
            }
        }
        match kept.len() {
            0 => Self::Const(!decisive),
            1 => kept.remove(0),
            _ if decisive => Self::Or(kept),
            _ => Self::And(kept),
        }
    }

    /// A condition that is true wherever this one may be, and needs no term but those that are `told`.
    pub(super) fn widened(&self, told: &impl Fn(TermId) -> bool) -> Self {
        self.bounded(told, true).fold(&|_| None)
    }

    /// Terms that are not told are `as_good_as` whatever makes the whole so.
    fn bounded(&self, told: &impl Fn(TermId) -> bool, as_good_as: bool) -> Self {
        match self {
            Self::Const(is_so) => Self::Const(*is_so),
            Self::Term(term) if told(*term) => Self::Term(*term),
            Self::Term(_) => Self::Const(as_good_as),
            Self::Not(inner) => Self::Not(Box::new(inner.bounded(told, !as_good_as))),
            Self::And(parts) => Self::And(parts.iter().map(|part| part.bounded(told, as_good_as)).collect()),
            Self::Or(parts) => Self::Or(parts.iter().map(|part| part.bounded(told, as_good_as)).collect()),
        }
    }

    /// Whether it can be true, as far as terms are known.
    pub(super) fn may_be(&self, wanted: bool, known: &impl Fn(TermId) -> Option<bool>) -> bool {
        match self {
            Self::Const(is_so) => *is_so == wanted,
            Self::Term(term) => known(*term).is_none_or(|is_so| is_so == wanted),
            Self::Not(inner) => inner.may_be(!wanted, known),
            Self::And(parts) if wanted => parts.iter().all(|part| part.may_be(true, known)),
            Self::And(parts) => parts.iter().any(|part| part.may_be(false, known)),
            Self::Or(parts) if wanted => parts.iter().any(|part| part.may_be(true, known)),
            Self::Or(parts) => parts.iter().all(|part| part.may_be(false, known)),
        }
    }

    /// Whether `demanded` holds of a term that must be true for this to be `wanted`.
    pub(super) fn demands(&self, wanted: bool, demanded: &impl Fn(TermId, bool) -> bool) -> bool {
        match self {
            Self::Const(is_so) => *is_so != wanted,
            Self::Term(term) => demanded(*term, wanted),
            Self::Not(inner) => inner.demands(!wanted, demanded),
            Self::And(parts) if wanted => parts.iter().any(|part| part.demands(true, demanded)),
            Self::Or(parts) if !wanted => parts.iter().any(|part| part.demands(false, demanded)),
            Self::And(parts) | Self::Or(parts) => parts.iter().all(|part| part.demands(wanted, demanded)),
        }
    }

    /// Gives each term to `see`.
    pub(super) fn each(&self, see: &mut impl FnMut(TermId)) {
        match self {
            Self::Const(_) => {}
            Self::Term(term) => see(*term),
            Self::Not(inner) => inner.each(see),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.each(see)),
        }
    }

    /// The terms that make it `is_so`, which they do.
    pub(super) fn reasons(&self, is_so: bool, known: &impl Fn(TermId) -> Option<bool>) -> Vec<TermId> {
        let decided = |part: &&Self| !part.may_be(!is_so, known);
        match self {
            Self::Const(_) => Vec::new(),
            Self::Term(term) => Vec::from([*term]),
            Self::Not(inner) => inner.reasons(!is_so, known),
            Self::And(parts) | Self::Or(parts) => {
                let one_decides = matches!(self, Self::Or(_)) == is_so;
                let deciding = parts.iter().filter(decided).take(if one_decides { 1 } else { usize::MAX });
                deciding.flat_map(|part| part.reasons(is_so, known)).collect()
            }
        }
    }
}

/// The next term of a program.
pub(super) type Step = u32;
/// The condition is true.
pub(super) const TRUE: Step = u32::MAX;
/// It is not.
pub(super) const FALSE: Step = u32::MAX - 1;

/// One term of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) term: TermId,
    pub(super) on_true: Step,
    pub(super) on_false: Step,
}

/// Programs, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Programs {
    ops: Vec<Op>,
}

impl Programs {
    /// Where the program of a condition begins.
    pub(super) fn add(&mut self, expr: &Expr) -> Step {
        // From its end to its beginning, as where to go must be known.
        let mut reversed = Vec::new();
        let first = emit(expr, TRUE, FALSE, &mut reversed);
        let (base, len) = (self.ops.len() as u32, reversed.len() as u32);
        let placed = |step: Step| if step >= FALSE { step } else { base + len - 1 - step };
        let ops = reversed.into_iter().rev();
        self.ops.extend(ops.map(|op: Op| Op {
            term: op.term,
            on_true: placed(op.on_true),
            on_false: placed(op.on_false),
        }));
        placed(first)
    }

    /// Runs a program: whether the condition is true, and the term that decided, with what it was.
    #[inline]
    pub(super) fn run(
        &self,
        first: Step,
        mut holds: impl FnMut(TermId) -> bool,
    ) -> (bool, Option<(TermId, bool)>) {
        let (mut step, mut last) = (first, None);
        while let Some(op) = self.ops.get(step as usize) {
            let is_so = holds(op.term);
            last = Some((op.term, is_so));
            step = if is_so { op.on_true } else { op.on_false };
        }
        (step == TRUE, last)
    }
}

fn emit(expr: &Expr, on_true: Step, on_false: Step, ops: &mut Vec<Op>) -> Step {
    match expr {
        Expr::Const(true) => on_true,
        Expr::Const(false) => on_false,
        Expr::Term(term) => {
            ops.push(Op { term: *term, on_true, on_false });
            ops.len() as Step - 1
        }
        Expr::Not(inner) => emit(inner, on_false, on_true, ops),
        Expr::And(parts) => parts.iter().rev().fold(on_true, |next, part| emit(part, next, on_false, ops)),
        Expr::Or(parts) => parts.iter().rev().fold(on_false, |next, part| emit(part, on_true, next, ops)),
    }
}
