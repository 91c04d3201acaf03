//! What the command line says of applications.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::query::address;
use super::{ConfigOptions, ControlOptions};
use crate::policy::phase::Phase;

/// What can be done with applications.
#[derive(Debug, Subcommand)]
pub enum AppsCommand {
    /// Check the applications of a configuration, or one: report every mistake, or what each takes and may do
    Check(AppsCheckOptions),
    /// List the applications of a running node, with what they do
    List(ControlOptions),
    /// Ask an application about one query, without a node, and print what it says
    Try(AppsTryOptions),
    /// Write a new application: sources in Rust and a manifest, ready to build
    New(AppsNewOptions),
}

/// Options of `apps check`.
#[derive(Args, Clone, Debug)]
pub struct AppsCheckOptions {
    /// The directory of one application to check, in the place of those that the configuration has
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Options of `apps try`.
#[derive(Args, Clone, Debug)]
pub struct AppsTryOptions {
    /// The directory of the application
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// The name to ask for
    pub name: String,
    /// The type to ask for: PTR, SOA, TXT, TYPE65280 ...
    #[arg(value_name = "TYPE")]
    pub rtype: String,
    /// Who asks. Default: this host
    #[arg(long, value_name = "ADDR")]
    pub from: Option<IpAddr>,
    /// The address that is asked. Default: the first that the node listens on
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = address)]
    pub to: Option<SocketAddr>,
    /// Ask as over TCP
    #[arg(long)]
    pub tcp: bool,
    /// Set the DO bit: ask for DNSSEC records
    #[arg(long)]
    pub dnssec: bool,
    /// The phase: request, post-cache, response, reply or done
    #[arg(long, value_name = "PHASE", default_value = "request", value_parser = phase)]
    pub phase: Phase,
    /// The reply so far, in the phases that know one: a file with the message, in bytes or in hexadecimal
    #[arg(long, value_name = "FILE")]
    pub reply: Option<PathBuf>,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Options of `apps new`.
#[derive(Args, Clone, Debug)]
pub struct AppsNewOptions {
    /// What it is called: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where its directory is made. Default: here
    #[arg(long, value_name = "DIR")]
    pub parent: Option<PathBuf>,
}

/// A phase in which applications are called.
fn phase(text: &str) -> Result<Phase, String> {
    let mut phases = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Route);
    phases.find(|phase| phase.name() == text).ok_or_else(|| {
        format!("`{text}` is not a phase of applications; give request, post-cache, response, reply or done")
    })
}
