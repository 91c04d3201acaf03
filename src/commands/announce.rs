//! `as112d announce`: has a router announce what answers.

use std::io;
use std::path::PathBuf;

use crate::cli::AnnounceOptions;
use crate::daemon::config::{self, Flags};
use crate::daemon::control::{ControlPath, GREETING, known_paths};
use crate::routes::{self, Daemon};
use crate::zone::Problem;

/// Probes and tells the router, until a signal; or withdraws everything, once. What there is to say goes to
/// standard error, as standard output may be ExaBGP's.
///
/// # Errors
/// A wrong configuration, one without a router, and that the router does not take the last withdrawal.
pub fn announce(options: &AnnounceOptions) -> Result<String, Vec<Problem>> {
    let problem = |message: String| vec![Problem { place: String::new(), message }];
    let flags = Flags { control: options.control.clone(), ..Flags::default() };
    let config = config::load(options.config.as_deref(), &flags)?;
    let settings = config.announce.ok_or_else(|| {
        problem("no router is configured; give --config a file that has `router` in [announce]".to_owned())
    })?;
    let paths = match config.control {
        ControlPath::IfFree => known_paths(),
        ControlPath::At(path) => vec![path],
        ControlPath::Off => Vec::new(),
    };
    let done = if options.withdraw {
        routes::withdraw(&settings)
    } else {
        routes::announce(&settings, daemon(paths), &mut io::stderr())
    };
    done.map(|()| String::new()).map_err(problem)
}

/// A daemon whose control socket is at one of the paths.
pub(super) fn daemon(paths: Vec<PathBuf>) -> Daemon {
    Daemon { paths, request: format!("{GREETING}watch\n") }
}
