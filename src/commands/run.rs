//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use crate::cli::RunOptions;
use crate::daemon::logging::Logging;
use crate::daemon::placement::Placement;
use crate::daemon::{self, Origin, Source};
use crate::problem::Problem;

/// Serves. What there is to say goes to the log, and nothing is left to print at the end. A dry run prints
/// the table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended, unless standard error is the log and has it already.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let source = Source { file: options.serve.config.config.clone(), flags: options.serve.flags() };
    if options.dry_run {
        return Placement::with_user(&source.read()?).map(|placement| placement.to_string());
    }
    // What this process is given, and who will start the one after it.
    let mut origin = Origin::find()?;
    let config = origin.tell(source.read())?;
    let logging = Logging::open(&config.log);
    let logging = logging.map_err(Problem::alone);
    let mut logging = origin.tell(logging)?;
    let ended = daemon::run(&mut origin, source, config, &mut logging);
    logging.end(ended).map(|()| String::new())
}
