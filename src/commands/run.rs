//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use std::io;

use crate::cli::RunOptions;
use crate::daemon;
use crate::daemon::config;
use crate::zone::Problem;

/// Serves. What there is to say goes to standard error, and nothing is left to print at the end. A dry run
/// prints the table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.serve.config.config.as_deref(), &options.serve.flags())?;
    if options.dry_run {
        return daemon::host(&config).map(|placement| placement.to_string());
    }
    daemon::run(&config, &mut io::stderr()).map(|()| String::new())
}
