//! Options of the publisher's commands.

use std::path::PathBuf;

use as112d::release::{Label, PublicKey, Scope};
use clap::Args;

use super::AccessOptions;
use crate::carry::Address;
use crate::roll::To;
use crate::settings;

/// Which fleet, and how its tree is reached. What is not given is what fleet.toml says.
#[derive(Args, Clone, Debug, Default)]
pub struct PublisherOptions {
    /// The publisher's settings [default: fleet.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The fleet's name
    #[arg(long, value_name = "NAME")]
    pub fleet: Option<Label>,
    /// The tree: dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST
    #[arg(long, value_name = "ADDRESS")]
    pub at: Option<Address>,
    /// How to get in.
    #[command(flatten)]
    pub access: AccessOptions,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Who signs.
#[derive(Args, Clone, Debug, Default)]
pub struct SignOptions {
    /// A secret key that signs; may be given more than once
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// A command that signs a file whose name it gets, such as "minisign -S -s KEY -m"
    #[arg(long, value_name = "COMMAND")]
    pub sign_with: Vec<String>,
    /// A file with the password of the secret keys
    #[arg(long, value_name = "FILE")]
    pub key_password_file: Option<PathBuf>,
    /// Who does this, for the log
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Options of `keygen`.
#[derive(Args, Clone, Debug)]
pub struct KeygenOptions {
    /// The files: NAME.key, which is secret, and NAME.pub
    #[arg(value_name = "NAME", default_value = "fleet")]
    pub name: PathBuf,
    /// Make the key by which a node gets in at NATS, instead of one that signs
    #[arg(long)]
    pub node: bool,
    /// Leave the secret key without a password
    #[arg(long, conflicts_with = "password_file")]
    pub no_password: bool,
    /// A file with the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What a release is made of.
#[derive(Args, Clone, Debug)]
pub struct DraftOptions {
    /// Publish without zones of AS112 that are missing
    #[arg(long, value_name = "REASON")]
    pub without_as112_zones: Option<String>,
    /// A configuration file of a node, which the release is laid over
    #[arg(long, value_name = "FILE")]
    pub local: Option<PathBuf>,
    /// The oldest as112d that can serve it
    #[arg(long, value_name = "VERSION")]
    pub min_version: Option<semver::Version>,
}

/// Options of `check`.
#[derive(Args, Clone, Debug)]
pub struct CheckOptions {
    /// The directory
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// What it is checked for.
    #[command(flatten)]
    pub draft: DraftOptions,
    /// The publisher's settings [default: fleet.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Options of `publish`.
#[derive(Args, Clone, Debug)]
pub struct PublishOptions {
    /// The directory
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
    /// Who gets it first [default: the first stage of fleet.toml]
    #[arg(long, value_name = "SCOPE")]
    pub to: Option<Scope>,
    /// Only show what would change, for each kind of nodes; or what would be signed
    #[arg(long)]
    pub dry_run: bool,
    /// Sign what somebody else has published and what waits for more signatures
    #[arg(long, conflicts_with = "to")]
    pub add_signature: bool,
    /// Give it to all nodes at once; needs a reason
    #[arg(long, requires = "reason", conflicts_with = "to")]
    pub all_at_once: bool,
    /// The keys of the fleet from this release on
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub new_keys: Vec<PublicKey>,
    /// How many of those must sign
    #[arg(long, value_name = "COUNT", requires = "new_keys", default_value_t = 1)]
    pub new_threshold: u8,
    /// What it is made of.
    #[command(flatten)]
    pub draft: DraftOptions,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// Options of `promote`.
#[derive(Args, Clone, Debug)]
pub struct PromoteOptions {
    /// The stage: colo/NAME, node/NAME, a share such as 10%, or all [default: the next one]
    #[arg(value_name = "STAGE")]
    pub stage: Option<To>,
    /// Continue until all nodes have it, or it fails
    #[arg(long, conflicts_with = "stage")]
    pub auto: bool,
    /// Give it to all nodes at once; needs a reason
    #[arg(long, requires = "reason", conflicts_with_all = ["stage", "auto"])]
    pub all_at_once: bool,
    /// The part of the nodes of a stage that were heard of, in percent, which must be healthy
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub quorum: Option<u8>,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// One node or one colo.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub struct ScopeOptions {
    /// One node
    #[arg(long, value_name = "NAME")]
    pub node: Option<Label>,
    /// One colo
    #[arg(long, value_name = "NAME")]
    pub colo: Option<Label>,
}

impl ScopeOptions {
    /// The scope that was given, if any.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        let node = self.node.clone().map(Scope::Node);
        node.or_else(|| self.colo.clone().map(Scope::Colo))
    }
}

/// Options of `hold`.
#[derive(Args, Clone, Debug)]
pub struct HoldOptions {
    /// Whom.
    #[command(flatten)]
    pub scope: ScopeOptions,
    /// End it: the node or the colo follows the fleet again
    #[arg(long)]
    pub end: bool,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// Options of `rollback`.
#[derive(Args, Clone, Debug)]
pub struct RollbackOptions {
    /// The number of the release [default: the one before]
    #[arg(value_name = "NUMBER")]
    pub number: Option<u64>,
    /// Whom.
    #[command(flatten)]
    pub scope: ScopeOptions,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// Options of `drain`.
#[derive(Args, Clone, Debug)]
pub struct DrainOptions {
    /// A node or a colo: NAME, node/NAME or colo/NAME
    #[arg(value_name = "WHO")]
    pub who: String,
    /// For how long: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = settings::seconds)]
    pub seconds: u32,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// Options of `undrain`.
#[derive(Args, Clone, Debug)]
pub struct UndrainOptions {
    /// A node or a colo: NAME, node/NAME or colo/NAME
    #[arg(value_name = "WHO")]
    pub who: String,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignOptions,
}

/// Options of `log`.
#[derive(Args, Clone, Debug)]
pub struct LogOptions {
    /// Only what happened in this time (12h, 30d) or since then (2026-11-30)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
}

/// Options of `status`.
#[derive(Args, Clone, Debug)]
pub struct StatusOptions {
    /// Show it again and again, until the terminal says otherwise
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// Which fleet.
    #[command(flatten)]
    pub publisher: PublisherOptions,
}
