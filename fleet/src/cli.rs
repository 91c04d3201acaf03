//! The command line.

mod metrics;
mod publish;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::carry::{Access, Address};

pub use metrics::MetricsOptions;
pub use publish::{
    CheckOptions, DraftOptions, DrainOptions, HoldOptions, KeygenOptions, LogOptions, PromoteOptions,
    PublishOptions, PublisherOptions, RollbackOptions, ScopeOptions, SignOptions, StatusOptions,
    UndrainOptions,
};

/// Releases for a fleet of as112d nodes: make, sign, roll out, follow.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key that signs releases
    Keygen(KeygenOptions),
    /// Check a directory that is to become a release
    Check(CheckOptions),
    /// Make a release of a directory, sign it, and point the first nodes at it
    Publish(PublishOptions),
    /// Show which node has which release
    Status(StatusOptions),
    /// Give a release to the next nodes
    Promote(PromoteOptions),
    /// Stop nodes at what they have
    Hold(HoldOptions),
    /// Give nodes an older release again
    Rollback(RollbackOptions),
    /// Take nodes out of service
    Drain(DrainOptions),
    /// Return drained nodes to service
    Undrain(UndrainOptions),
    /// Show who published, promoted and rolled back
    Log(LogOptions),
    /// On a node: follow the fleet's releases
    Agent(AgentOptions),
    /// On a node: fetch the release that is wanted, once
    Fetch(FetchOptions),
    /// Collect the statistics of all nodes, and serve them
    Metrics(MetricsOptions),
}

/// Where a fleet's tree is, and how one may reach it.
#[derive(Args, Clone, Debug)]
pub struct CarrierOptions {
    /// The fleet's name
    #[arg(long, value_name = "NAME")]
    pub fleet: String,
    /// The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST
    #[arg(long, value_name = "ADDRESS")]
    pub at: Address,
    /// How to get in.
    #[command(flatten)]
    pub access: AccessOptions,
}

/// What a carrier asks for.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessOptions {
    /// A file with the seed of an nkey, for NATS
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub nkey: Option<PathBuf>,
    /// A user of NATS
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub user: Option<String>,
    /// A file with the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// A file of certificates to trust in place of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The hub's JetStream domain, where the address is a leaf's
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
}

impl AccessOptions {
    /// The same, as carriers take it.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            nkey: self.nkey.clone(),
            user: self.user.clone(),
            password_file: self.password_file.clone(),
            ca: self.ca.clone(),
            domain: self.domain.clone(),
            name: None,
        }
    }
}

/// Options of `agent`.
#[derive(Args, Clone, Debug)]
pub struct AgentOptions {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/as112d/as112d.toml")]
    pub config: PathBuf,
    /// Be so many agents at once, of nodes that are not there, to see what a hub can bear
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub simulate: Option<u32>,
}

/// Options of `fetch`.
#[derive(Args, Clone, Debug)]
pub struct FetchOptions {
    /// The node's configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/as112d/as112d.toml")]
    pub config: PathBuf,
    /// Return once the node has what it should have and that has proved itself, as `fetch` always does
    #[arg(long)]
    pub once: bool,
}
