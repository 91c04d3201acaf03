//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use crate::cli::RunOptions;
use crate::daemon;
use crate::daemon::config;
use crate::log;
use crate::zone::Problem;

/// Serves. What there is to say goes to the log, and nothing is left to print at the end. A dry run prints the
/// table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.serve.config.config.as_deref(), &options.serve.flags())?;
    if options.dry_run {
        return daemon::host(&config).map(|placement| placement.to_string());
    }
    let opened = log::open(&config.log);
    let (log, writer) = opened.map_err(|message| vec![Problem { place: String::new(), message }])?;
    let (is_plain, is_file) = (writer.is_plain(), config.log.file.is_some());
    let mut writer = Some(writer);
    let mut ended = daemon::run(&config, &log, &mut writer);
    if let Err(problems) = &mut ended {
        if !is_plain {
            problems.iter().for_each(|problem| log.error(problem.to_string()));
        }
        // On standard error once, in the form of the log there.
        if !is_plain && !is_file {
            problems.clear();
        }
    }
    // Where there is no thread for it yet, it is written here.
    drop(writer);
    log.flush();
    ended.map(|()| String::new())
}
