//! Bounds of rules, workers and what they ask.

/// Rules that are counted by name; the others are counted together. Each takes a counter of a few families in
/// each thread, and nobody looks at more on one page.
pub const RULE_SERIES_MAX: usize = 255;

/// Servers that are counted by name; the others are counted together.
pub const SERVER_SERIES_MAX: usize = 64;
