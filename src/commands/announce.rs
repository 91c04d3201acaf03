//! `as112d announce`: has a router announce what answers.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::thread;

use crate::announce::{self, Daemon, Surroundings};
use crate::cli::AnnounceOptions;
use crate::config::{self, Flags};
use crate::control::{ANNOUNCE, GREETING, WATCH};
use crate::log::{self, Log};
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
    let log = own_log(&config.log)?;
    let has_terminal = io::stdin().is_terminal() || io::stderr().is_terminal();
    let around =
        Surroundings { daemon: daemon(paths, ANNOUNCE), memory: memory(), has_terminal, log: log.clone() };
    let again =
        || load().map(|(_, settings)| settings).map_err(|problems: Vec<Problem>| in_a_line(&problems));
    let done = announce::announce(settings, around, again);
    log.flush();
    done.map(|()| String::new()).map_err(Problem::alone)
}

/// The log of a process of its own, on standard error: the log's file is the node's. Another thread
/// writes it: nobody who reads it keeps a route that should be gone, or a PoP up that is down.
pub(super) fn own_log(settings: &log::Settings) -> Result<Log, Vec<Problem>> {
    let (log, writer) =
        log::open(&log::Settings { file: None, ..settings.clone() }).map_err(Problem::alone)?;
    let writing = thread::Builder::new().name("log".to_owned()).spawn(|| writer.run());
    writing.map_err(|error| Problem::alone(format!("cannot start: {error}")))?;
    log.take_panics();
    Ok(log)
}

/// Several mistakes as one.
pub(super) fn in_a_line(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Where it is written down what is announced: in the directory that a supervisor keeps for us, if any.
fn memory() -> Option<PathBuf> {
    let dirs = std::env::var_os("RUNTIME_DIRECTORY").filter(|dirs| !dirs.is_empty())?;
    // systemd separates several by colons.
    let first = dirs.to_str()?.split(':').next()?;
    Some(PathBuf::from(first).join("announced"))
}

/// A daemon whose control socket is at one of the paths; what it is to hear of is `told`.
pub(super) fn daemon(paths: Vec<PathBuf>, told: &str) -> Daemon {
    let request = |word: &str| format!("{GREETING}{word}\n");
    Daemon { paths, request: request(WATCH), request_to_tell: request(told) }
}
