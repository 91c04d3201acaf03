//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use crate::cli::RunOptions;
use crate::daemon::logging::Logging;
use crate::daemon::{self, Source};
use crate::zone::Problem;

/// Serves. What there is to say goes to the log, and nothing is left to print at the end. A dry run prints
/// the table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended, unless standard error is the log and has it already.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let source = Source { file: options.serve.config.config.clone(), flags: options.serve.flags() };
    let config = source.read()?;
    if options.dry_run {
        return daemon::host(&config).map(|placement| placement.to_string());
    }
    let logging = Logging::open(&config.log);
    let mut logging = logging.map_err(|message| vec![Problem { place: String::new(), message }])?;
    let ended = daemon::run(source, config, &mut logging);
    logging.end(ended).map(|()| String::new())
}
