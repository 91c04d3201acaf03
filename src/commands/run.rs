//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use std::io;

use crate::cli::RunOptions;
use crate::daemon::{self, Source};
use crate::zone::Problem;

/// Serves. What there is to say goes to standard error, and nothing is left to print at the end. A dry run
/// prints the table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let source = Source { file: options.serve.config.config.clone(), flags: options.serve.flags() };
    if options.dry_run {
        return daemon::host(&source.read()?).map(|placement| placement.to_string());
    }
    daemon::run(source, &mut io::stderr()).map(|()| String::new())
}
