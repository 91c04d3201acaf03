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
    /// A row for each of so many classes, full for so many rules.
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

    pub(super) fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Puts a bit.
    pub(super) fn put(&mut self, words: usize, class: usize, rule: usize, is_set: bool) {
        let bit = 1 << (rule % 64);
        let word = &mut self.bits[class * words + rule / 64];
        *word = if is_set { *word | bit } else { *word & !bit };
    }

    /// The row of a class; empty if there is none.
    #[inline]
    pub(super) fn row(&self, words: usize, class: usize) -> &[u64] {
        self.bits.get(class * words..(class + 1) * words).unwrap_or_default()
    }

    /// Whether a row has any bit.
    pub(super) fn has_any(&self, words: usize, class: usize) -> bool {
        self.row(words, class).iter().any(|word| *word != 0)
    }
}

/// Words for the bits of so many rules.
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

/// Rules that may match, a bit for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidates {
    bits: [u64; WORDS_MAX],
    words: usize,
}

impl Candidates {
    #[inline]
    pub(super) fn new(row: &[u64]) -> Self {
        let mut bits = [0; WORDS_MAX];
        let words = row.len().min(WORDS_MAX);
        bits[..words].copy_from_slice(&row[..words]);
        Self { bits, words }
    }

    /// Only those of `row` too. Whether any are left.
    #[inline]
    pub(super) fn keep(&mut self, row: &[u64]) -> bool {
        let mut any = 0;
        for (word, other) in self.bits[..self.words].iter_mut().zip(row) {
            *word &= other;
            any |= *word;
        }
        any != 0
    }

    #[inline]
    pub(super) fn has_any(&self) -> bool {
        self.bits[..self.words].iter().any(|word| *word != 0)
    }

    /// Places of rules, in their order.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.bits[..self.words].iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}
