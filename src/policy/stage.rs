//! What is asked in one phase: the programs of its rules, and for each field that tells rules apart a row of
//! bits, a bit for each rule that may match with that value. The rules that may match are where all rows have
//! a bit; only their programs are run.

use alloc::vec::Vec;

use super::expr::Step;
use super::rule::RuleId;
use crate::limits::PHASE_RULES_MAX;

/// Bits of all rules of a phase.
pub(super) const WORDS_MAX: usize = PHASE_RULES_MAX / 64;
const _: () = assert!(PHASE_RULES_MAX.is_multiple_of(64));

/// Rows of bits, by class; none where all of them would be full.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    bits: Vec<u64>,
}

impl Rows {
    /// Full rows for a number of classes, each of a number of rules.
    pub(super) fn full(classes: usize, rules: usize) -> Self {
        let mut rows = Self { bits: Vec::with_capacity(classes * words(rules)) };
        for _ in 0..classes {
            let row = (0..words(rules)).map(|word| match rules - word * 64 {
                left @ 0..64 => (1 << left) - 1,
                _ => u64::MAX,
            });
            rows.bits.extend(row);
        }
        rows
    }

    /// So many rows like this one.
    pub(super) fn repeated(&self, classes: usize) -> Self {
        Self { bits: self.bits.repeat(classes) }
    }

    /// Puts a bit.
    pub(super) fn put(&mut self, words: usize, class: usize, rule: usize, is_set: bool) {
        let bit = 1 << (rule % 64);
        let word = &mut self.bits[class * words + rule / 64];
        *word = if is_set { *word | bit } else { *word & !bit };
    }

    /// The row of a class; empty if there is none.
    #[inline(always)]
    pub(super) fn row(&self, words: usize, class: usize) -> &[u64] {
        self.bits.get(class * words..(class + 1) * words).unwrap_or_default()
    }

    /// The row of the class that `class` tells, which is not asked if there are no rows.
    #[inline(always)]
    pub(super) fn row_or_full(&self, words: usize, class: impl FnOnce() -> usize) -> &[u64] {
        if self.bits.is_empty() { &FULL[..words] } else { self.row(words, class()) }
    }

    /// Whether a row has any bit.
    pub(super) fn has_any(&self, words: usize, class: usize) -> bool {
        self.row(words, class).iter().any(|word| *word != 0)
    }
}

/// Words for the bits of a number of rules.
pub(super) const fn words(rules: usize) -> usize {
    rules.div_ceil(64)
}

/// A rule as it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) rule: RuleId,
    pub(super) first: Step,
}

/// What is asked in one phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Stage {
    pub(super) entries: Vec<Entry>,
    pub(super) words: usize,
    /// By listener; the last row is for what came to none of them.
    pub(super) by_listener: Rows,
    /// By what is a bit of a query, six of them.
    pub(super) by_flags: Rows,
    pub(super) by_type: Rows,
    /// By the classes of each dimension.
    pub(super) by_dimension: [Rows; 3],
}

/// A row that leaves everything.
pub(super) static FULL: [u64; WORDS_MAX] = [u64::MAX; WORDS_MAX];

/// Whether any bit is in all rows.
#[inline(always)]
pub(super) fn any_in_all<const N: usize>(rows: &[&[u64]; N]) -> bool {
    (0..rows[0].len()).fold(0, |any, word| any | in_all(rows, word)) != 0
}

/// The bits of a word that are in all rows.
#[inline(always)]
pub(super) fn in_all<const N: usize>(rows: &[&[u64]; N], word: usize) -> u64 {
    rows.iter().fold(u64::MAX, |bits, row| bits & row.get(word).copied().unwrap_or(0))
}
