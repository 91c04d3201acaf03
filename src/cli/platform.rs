//! What the command line says of rules, the cache and the resolver.

use std::net::SocketAddr;
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

/// Options of `resolver`.
#[derive(Args, Clone, Debug)]
pub struct ResolverOptions {
    /// The configuration file (TOML), with `[resolver]`
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, UDP and TCP. Default: as in the configuration, else
    /// 127.0.0.1:5354
    #[arg(long, short, value_name = "ADDR:PORT")]
    pub address: Option<SocketAddr>,
    /// A file of root servers. Default: as in the configuration, else those of the
    /// Internet
    #[arg(long, value_name = "FILE")]
    pub hints: Option<PathBuf>,
    /// Listen on an address that is not a loopback address: open to all who reach it
    #[arg(long)]
    pub open: bool,
}
