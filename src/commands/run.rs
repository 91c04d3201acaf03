//! `as112d run`: serve, until SIGTERM or SIGINT; or say where it would.

use std::fmt::Write as _;

use crate::cli::RunOptions;
use crate::config::{apps, rules};
use crate::daemon::logging::Logging;
use crate::daemon::memory::{Bound, Footprint};
use crate::daemon::placement::Placement;
use crate::daemon::{self, Origin, Source, platform};
use crate::policy::Series;
use crate::problem::Problem;
use crate::stats::labels::Names;

/// Serves. What there is to say goes to the log, and nothing is left to print at the end. A dry run prints
/// the table of the shards instead.
///
/// # Errors
/// Why it did not start, or ended, unless standard error is the log and has it already.
pub fn run(options: &RunOptions) -> Result<String, Vec<Problem>> {
    let source = Source { file: options.serve.config.config.clone(), flags: options.serve.flags() };
    if options.dry_run {
        return dry_run(&source);
    }
    // What this process is given, and who will start the one after it.
    let mut origin = Origin::find(source.file.as_deref())?;
    let config = origin.tell(source.read())?;
    let logging = Logging::open(&config.log);
    let logging = logging.map_err(Problem::alone);
    let mut logging = origin.tell(logging)?;
    let ended = daemon::run(&mut origin, source, config, &mut logging);
    logging.end(ended).map(|()| String::new())
}

/// Where each shard and worker would run, which rules would be in effect where, and how much memory all of it
/// can take. Zones are not read.
fn dry_run(source: &Source) -> Result<String, Vec<Problem>> {
    let config = source.read()?;
    let ruled = apps::load(&config)
        .and_then(|apps| Ok((rules::policy(&config, apps.guests(), Series::default())?, apps)));
    let placement = Placement::with_user(&config);
    let ((policy, apps), placement) = match (ruled, placement) {
        (Ok(ruled), Ok(placement)) => (ruled, placement),
        (policy, placement) => {
            let problems = policy.err().into_iter().chain(placement.err());
            return Err(problems.flatten().collect());
        }
    };
    let workers = platform::workers(&config, &policy)?;
    let apps = apps.settled(&policy, &mut Names::default());
    let memory = Bound::new(&config, placement.places.len(), workers, &apps, Footprint::now());
    let mut out = placement.to_string();
    for (key, text) in platform::told(&config, &policy, &apps, &placement, workers) {
        writeln!(out, "{key}: {text}").expect("a String takes all that is written");
    }
    writeln!(out, "memory: {memory}").expect("a String takes all that is written");
    Ok(out)
}
