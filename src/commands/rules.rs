//! `as112d rules check`: rules and routes as `run` would have them, and where each is asked.

use std::fmt::Write as _;

use crate::cli::RulesCheckOptions;
use crate::config::{self, apps, rules};
use crate::policy::Series;
use crate::problem::Problem;

/// Compiles the rules and routes of the configuration, or the files that are given in their place; tells of
/// each.
///
/// # Errors
/// Every mistake in them.
pub fn check(options: &RulesCheckOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.config.config.as_deref(), &options.config.flags())?;
    let apps = apps::load(&config)?;
    let policy = if options.files.is_empty() {
        rules::policy(&config, apps.guests(), Series::default())?
    } else {
        rules::compile(&config, &rules::read(&options.files)?, apps.guests(), Series::default())?
    };
    let mut out = String::new();
    for note in policy.notes().iter().chain(policy.folded()) {
        writeln!(out, "{note}").expect("a String takes all that is written");
    }
    let workers = if policy.needs_workers() { "; they need a worker" } else { "" };
    let count = policy.rules().len();
    let count = if count == 1 { "1 rule".to_owned() } else { format!("{count} rules") };
    writeln!(out, "{count} in effect{workers}").expect("a String takes all that is written");
    Ok(out)
}
