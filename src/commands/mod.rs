//! The commands, one file each. A command gives back what it has to print, or all that is wrong.

pub mod check;
pub mod query;
pub mod run;
pub mod zones;

use crate::cli::{Command, ConfigOptions};
use crate::daemon::config::{self, Config, Flags};
use crate::daemon::prepare;
use crate::serve::snapshot::Snapshot;
use crate::zone::{Problem, ZoneSet};

/// Runs `command` to its end; what it prints.
///
/// # Errors
/// Why it failed or refused to start.
pub fn execute(command: &Command) -> Result<String, Vec<Problem>> {
    match command {
        Command::Run(options) => run::run(options),
        Command::Check(options) => check::check(options),
        Command::Zones(options) => zones::zones(options),
        Command::Query(options) => query::query(options),
    }
}

/// What `run` would serve and how, by the same steps.
fn load(options: &ConfigOptions, flags: &Flags) -> Result<(Config, ZoneSet, Snapshot), Vec<Problem>> {
    let config = config::load(options.config.as_deref(), flags)?;
    let (zones, snapshot) = prepare(&config)?;
    Ok((config, zones, snapshot))
}
