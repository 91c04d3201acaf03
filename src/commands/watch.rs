//! `as112d watch`: probes PoPs, and tells the node which are up.

use std::io::{self, IsTerminal as _};

use super::announce::{daemon, in_a_line, own_log};
use crate::cli::WatchOptions;
use crate::config::pops::{Health, Pop};
use crate::config::{self, Config, Flags};
use crate::control::HEALTH;
use crate::pops::{self, Settings, Surroundings, Watched, Way};
use crate::problem::Problem;

/// Probes and tells, until a signal. What there is to say goes to standard error, in the form of the log: the
/// log's file is the node's.
///
/// # Errors
/// A wrong configuration, and one in which nothing is to be watched.
pub fn watch(options: &WatchOptions) -> Result<String, Vec<Problem>> {
    let flags = Flags { control: options.control.clone(), ..Flags::default() };
    let load = || {
        let config = config::load(options.config.as_deref(), &flags)?;
        let settings = settings(&config)?;
        Ok((config, settings))
    };
    let (config, settings) = load()?;
    let paths = config.control.candidates();
    let log = own_log(&config.log)?;
    let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let around = Surroundings { daemon: daemon(paths, HEALTH), has_terminal, log: log.clone() };
    let again =
        || load().map(|(_, settings)| settings).map_err(|problems: Vec<Problem>| in_a_line(&problems));
    let done = pops::watch(settings, around, again);
    log.flush();
    done.map(|()| String::new()).map_err(Problem::alone)
}

/// The PoPs that are to be watched.
fn settings(config: &Config) -> Result<Settings, Vec<Problem>> {
    let watched = |Pop { name, health, .. }: &Pop| {
        let way = match health {
            Health::Probe(probe) => Way::Probe(probe.clone()),
            Health::File(path) => Way::File(path.clone()),
            Health::None => return None,
        };
        Some(Watched { name: name.clone(), way })
    };
    let settings: Settings = config.pops.iter().filter_map(watched).collect();
    if settings.is_empty() {
        let told =
            "no PoP is to be watched; give --config a file with `probe` or `health = \"file\"` in [[pop]]";
        return Err(Problem::alone(told));
    }
    Ok(settings)
}
