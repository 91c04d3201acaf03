//! What a start serves. A node serves whatever happens to releases: it takes the current one, else the last
//! good one, else its own file alone.

use super::fleet::Standing;
use super::reload::Source;
use crate::config::Config;
use crate::config::loaded::Loaded;
use crate::config::released::Which;
use crate::problem::Problem;
use crate::stats::labels::Names;

/// A first configuration, and what it names.
pub(super) struct First {
    pub(super) config: Config,
    pub(super) loaded: Loaded,
    /// Which release that is of, in a fleet.
    pub(super) standing: Option<Standing>,
}

/// Reads it: of `own`, which is the node's own file, if that belongs to no fleet. A successor takes the
/// current release or fails, since the process before it has good answers.
///
/// # Errors
/// Every mistake in the node's own file; of a successor, also those in the current release.
pub(super) fn first(source: &Source, own: Config, is_successor: bool) -> Result<First, Vec<Problem>> {
    let read = |config: Config| Ok((Loaded::read(&config, &Names::default())?, config));
    if own.fleet.is_none() {
        let (loaded, config) = read(own)?;
        return Ok(First { config, loaded, standing: None });
    }
    let mut problems = Vec::new();
    for which in [Which::Current, Which::Good] {
        match source.read_which(Some(which)).and_then(read) {
            Ok((loaded, config)) if config.release.is_some() => {
                if which == Which::Good && problems.is_empty() {
                    problems = Problem::alone("missing: there is no current release; let the agent run");
                }
                return Ok(of(source, config, loaded, problems));
            }
            Ok(_) => {}
            Err(found) if is_successor && which == Which::Current => return Err(found),
            Err(found) => problems.extend(found),
        }
    }
    let (loaded, config) = read(own)?;
    Ok(of(source, config, loaded, problems))
}

fn of(source: &Source, config: Config, loaded: Loaded, problems: Vec<Problem>) -> First {
    let standing = Standing::new(&source.known, &config, &loaded.snapshot, problems);
    First { config, loaded, standing }
}
