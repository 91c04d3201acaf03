//! Bounds of the language of rules.

/// Rules of the phase `route`, routes of the configuration among them. A shard asks them for each query: with
/// so many, which of them may match is told by four words.
pub const ROUTE_RULES_MAX: usize = 256;

/// Rules of each other phase, which workers ask.
pub const PHASE_RULES_MAX: usize = 1024;

/// Names that all rules together may list. As many take a few MiB.
pub const RULE_NAMES_MAX: usize = 65_536;

/// Networks that all rules together may list: see [`RULE_NAMES_MAX`].
pub const RULE_NETWORKS_MAX: usize = 65_536;

/// Different tags: a query has a bit for each.
pub const TAGS_MAX: usize = 64;

/// Tests of one rule, which a shard makes one by one. Lists are one test however long they are.
pub const RULE_TESTS_MAX: usize = 256;

/// Parentheses and `not` within each other: the parser calls itself for each. Nobody reads five.
pub const RULE_NESTING_MAX: usize = 32;

/// Longest name of a rule or a tag, in bytes: it is the value of a label.
pub const RULE_NAME_LEN_MAX: usize = 64;

/// Servers that one rule may list.
pub const RULE_SERVERS_MAX: usize = 16;

/// Longest `timeout` of a rule, in milliseconds: clients have asked somebody else by then.
pub const RULE_TIMEOUT_MILLIS_MAX: u64 = 10_000;

/// Mistakes told of all rules: nobody fixes more at once, and what is not a file of rules is all mistakes.
pub const RULE_PROBLEMS_MAX: usize = 100;

/// Rules that are counted by name; the others are counted together. Each takes a counter of a few families in
/// each thread, and nobody looks at more on one page.
pub const RULE_SERIES_MAX: usize = 255;

/// Servers that are counted by name; the others are counted together.
pub const SERVER_SERIES_MAX: usize = 64;

/// Applications of one node, all of which are counted by name: each has an instance in every worker.
pub const APPS_MAX: usize = 32;
/// Names of applications that are counted, with `none`: as many as there may be at one time. Those that went
/// keep their place.
pub const APP_SERIES_MAX: usize = 1 + APPS_MAX;
/// Counters that applications have of their own, which are counted by name; the others are counted together.
pub const METRIC_SERIES_MAX: usize = 128;
