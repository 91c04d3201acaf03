//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use crate::cli::RunOptions;
use crate::daemon::{self, Origin, Source};
use crate::log;
use crate::zone::Problem;

/// Serves. What there is to say goes to the log, and nothing is left to print at the end. A dry run prints the
/// table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended, unless standard error is the log and has it already.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let source = Source { file: options.serve.config.config.clone(), flags: options.serve.flags() };
    if options.dry_run {
        return daemon::host(&source.read()?).map(|placement| placement.to_string());
    }
    // What this process is given, and who will start the one after it.
    let origin = Origin::find()?;
    let config = origin.tell(source.read())?;
    let opened = log::open(&config.log);
    let opened = opened.map_err(|message| vec![Problem { place: String::new(), message }]);
    let (log, writer) = origin.tell(opened)?;
    let (is_plain, is_file) = (writer.is_plain(), config.log.file.is_some());
    let mut writer = Some(writer);
    let mut ended = daemon::run(source, config, origin, &log, &mut writer);
    if let Err(problems) = &mut ended
        && !is_plain
    {
        problems.iter().for_each(|problem| log.error(problem.to_string()));
        // On standard error once, in the form of the log there.
        if !is_file {
            problems.clear();
        }
    }
    // What no thread has come to write is written here.
    drop(writer);
    log.flush();
    ended.map(|()| String::new())
}
