//! The commands, one file each. A command gives back what it has to print, or all that is wrong.

pub mod check;
pub mod query;
pub mod zones;

use crate::cli::{Command, ConfigOptions};
use crate::daemon::config::{self, Config, Flags};
use crate::zone::{self, Problem, ZoneSet};

/// Runs `command` to its end; what it prints.
///
/// # Errors
/// Why it failed or refused to start.
pub fn execute(command: &Command) -> Result<String, Vec<Problem>> {
    match command {
        // The server's own command takes its place here: `run::run(options)`.
        Command::Run(options) => {
            load(&options.config, &options.flags())?;
            let message = "this build cannot serve; use check, zones or query".to_owned();
            Err(vec![Problem { place: String::new(), message }])
        }
        Command::Check(options) => check::check(options),
        Command::Zones(options) => zones::zones(options),
        Command::Query(options) => query::query(options),
    }
}

/// What `run` would serve and how, by the same steps.
fn load(options: &ConfigOptions, flags: &Flags) -> Result<(Config, ZoneSet), Vec<Problem>> {
    let config = config::load(options.config.as_deref(), flags)?;
    let zones = zone::load(&config.zones)?;
    Ok((config, zones))
}
