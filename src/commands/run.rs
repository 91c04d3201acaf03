//! `as112d run`: serve, until SIGTERM or SIGINT.

use std::io;

use crate::cli::RunOptions;
use crate::daemon;
use crate::daemon::config;
use crate::zone::Problem;

/// Serves. What there is to say goes to standard error, and nothing is left to print at the end.
///
/// # Errors
/// Why it did not start, or ended.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.config.config.as_deref(), &options.flags())?;
    daemon::run(&config, &mut io::stderr()).map(|()| String::new())
}
