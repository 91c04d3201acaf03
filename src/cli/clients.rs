//! What the command line says of answers that depend on the client.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::{ConfigOptions, ControlOptions};
use crate::config::doors::ControlPath;
use crate::config::written::Written as _;

/// Options of `explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainOptions {
    /// The name that is asked for
    pub name: String,
    /// The type: A, AAAA ...
    #[arg(value_name = "TYPE")]
    pub rtype: String,
    /// The resolver that asks. Default: this host
    #[arg(long, value_name = "ADDR")]
    pub resolver: Option<IpAddr>,
    /// The client subnet that it sends (RFC 7871)
    #[arg(long, value_name = "PREFIX")]
    pub subnet: Option<IpNet>,
    /// Answer as over TCP
    #[arg(long)]
    pub tcp: bool,
    /// Print it as JSON, one object in one line
    #[arg(long)]
    pub json: bool,
    /// Ask the running node, which knows which PoPs are up; at this control socket,
    /// or as in the configuration
    #[arg(long, value_name = "PATH", num_args = 0..=1)]
    pub control: Option<Option<PathBuf>>,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Options of `pop`.
#[derive(Args, Clone, Debug)]
pub struct PopOptions {
    /// The PoP. Without it all are shown
    #[arg(requires = "action")]
    pub name: Option<String>,
    /// drain: send nobody there; up: whatever probes say; auto: as probes say
    #[arg(value_enum, hide_possible_values = true)]
    pub action: Option<PopAction>,
    /// Which node.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// What can be ordered of a PoP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PopAction {
    /// Nobody is sent there
    Drain,
    /// It is up, whatever probes say
    Up,
    /// It is as probes say
    Auto,
}

impl PopAction {
    /// Its word on the control socket.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Up => "up",
            Self::Auto => "auto",
        }
    }
}

/// Options of `watch`.
#[derive(Args, Clone, Debug)]
pub struct WatchOptions {
    /// The configuration file (TOML), with PoPs whose `health` is `probe` or `file`
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's control socket. Default: as in the configuration
    #[arg(long, value_name = "PATH", value_parser = ControlPath::read)]
    pub control: Option<ControlPath>,
}
