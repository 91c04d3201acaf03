//! What the command line says of rules and the cache.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ConfigOptions, ControlOptions};

/// What can be done with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Check the rules and routes of a configuration, or files of rules: report every mistake
    Check(RulesCheckOptions),
    /// List the rules and routes of a running node, with their hits
    List(ControlOptions),
}

/// Options of `rules check`.
#[derive(Args, Clone, Debug)]
pub struct RulesCheckOptions {
    /// Files of rules to check in the place of those that the configuration has
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// What can be done with the cache.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Show what the cache has of a name
    Show(CacheOptions),
    /// Remove what the cache has of a name
    Purge(CacheOptions),
}

/// Options of `cache show` and `cache purge`.
#[derive(Args, Clone, Debug)]
pub struct CacheOptions {
    /// The name
    pub name: String,
    /// The names below it, too
    #[arg(long)]
    pub subtree: bool,
    /// Which node.
    #[command(flatten)]
    pub control: ControlOptions,
}
