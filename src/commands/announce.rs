//! `as112d announce`: has a router announce what answers.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::thread;

use crate::announce::{self, Daemon, Surroundings};
use crate::cli::AnnounceOptions;
use crate::config::{self, Flags};
use crate::control::{ANNOUNCE, GREETING, WATCH};
use crate::log;
use crate::problem::Problem;

/// Probes and tells the router, until a signal; or withdraws everything, once. What there is to say goes to
/// standard error, in the form of the log: standard output may be ExaBGP's, and the log's file is the node's.
///
/// # Errors
/// A wrong configuration, one without a router, and that the router does not take the last withdrawal.
pub fn announce(options: &AnnounceOptions) -> Result<String, Vec<Problem>> {
    let flags = Flags { control: options.control.clone(), ..Flags::default() };
    if options.withdraw {
        // Whatever else the file says, and whatever is wrong with it: what was announced has to go.
        let settings = config::withdrawal(options.config.as_deref())?;
        return announce::withdraw(settings, memory()).map(|()| String::new()).map_err(Problem::alone);
    }
    let load = || {
        let config = config::load(options.config.as_deref(), &flags)?;
        let settings = config.announce.clone().ok_or_else(|| {
            Problem::alone("no router is configured; give --config a file with `router` in [announce]")
        })?;
        Ok((config, settings))
    };
    let (config, settings) = load()?;
    let paths = config.control.candidates();
    let (log, writer) = log::open(&log::Settings { file: None, ..config.log }).map_err(Problem::alone)?;
    // A thread of its own: nobody who reads the log keeps a route that should be gone.
    let writing = thread::Builder::new().name("log".to_owned()).spawn(|| writer.run());
    writing.map_err(|error| Problem::alone(format!("cannot start: {error}")))?;
    log.take_panics();
    let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let around = Surroundings { daemon: daemon(paths), memory: memory(), has_terminal, log: log.clone() };
    let again = || {
        let told =
            |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        load().map(|(_, settings)| settings).map_err(told)
    };
    let done = announce::announce(settings, around, again);
    log.flush();
    done.map(|()| String::new()).map_err(Problem::alone)
}

/// Where it is written down what is announced: in the directory that a supervisor keeps for us, if any.
fn memory() -> Option<PathBuf> {
    let dirs = std::env::var_os("RUNTIME_DIRECTORY").filter(|dirs| !dirs.is_empty())?;
    // systemd separates several by colons.
    let first = dirs.to_str()?.split(':').next()?;
    Some(PathBuf::from(first).join("announced"))
}

/// A daemon whose control socket is at one of the paths.
pub(super) fn daemon(paths: Vec<PathBuf>) -> Daemon {
    let request = |word: &str| format!("{GREETING}{word}\n");
    Daemon { paths, request: request(WATCH), request_to_tell: request(ANNOUNCE) }
}
