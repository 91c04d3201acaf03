//! The log of the daemon: who writes it, and what may keep it from being written.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::thread::JoinHandle;

use crossbeam_channel::Sender;

use crate::config::Config;
use crate::log::{self, Log, Writer};
use crate::net::{self, Event};
use crate::problem::Problem;
use crate::report::export;
use crate::sys::confine::{Class, Confined};
use crate::sys::files;

/// The log, and its writer.
#[derive(Debug)]
pub struct Logging {
    /// Where lines go in.
    pub log: Log,
    /// Until it has a thread.
    writer: Option<Writer>,
    /// Lines are bare text on standard error, as those of any command.
    is_plain: bool,
    is_file: bool,
}

impl Logging {
    /// Opens the log.
    ///
    /// # Errors
    /// Why the file cannot be written, and what to do.
    pub fn open(settings: &log::Settings) -> Result<Self, String> {
        let (log, writer) = log::open(settings)?;
        let (is_plain, is_file) = (writer.is_plain(), settings.file.is_some());
        Ok(Self { log, writer: Some(writer), is_plain, is_file })
    }

    /// Whether somebody looks on: lines go to a terminal.
    pub(super) fn has_reader(&self) -> bool {
        self.is_plain && io::stderr().is_terminal()
    }

    /// Gives the writer its thread, once there may be threads. From then on a panic is a line, too.
    pub(super) fn start(&mut self, events: &Sender<Event>, confined: &Confined) -> io::Result<()> {
        if let Some(writer) = self.writer.take() {
            start(writer, "log", events, confined)?;
            self.log.take_panics();
        }
        Ok(())
    }

    /// Ends the log of a process that ends as `ended` says, and what of that is still to be said on standard
    /// error: nothing twice, and all of it where a person may look.
    ///
    /// # Errors
    /// Those of `ended`.
    pub fn end(self, mut ended: Result<(), Vec<Problem>>) -> Result<(), Vec<Problem>> {
        if let Err(problems) = &mut ended
            && !self.is_plain
        {
            problems.iter().for_each(|problem| self.log.error(problem.to_string()));
            if !self.is_file {
                problems.clear();
            }
        }
        // What no thread has come to write is written here.
        drop(self.writer);
        self.log.flush();
        ended
    }
}

/// What is wrong with the files of logs. Opens those that are there, and makes none.
pub(super) fn check(config: &Config) -> impl Iterator<Item = String> {
    let query_log = config.query_log.as_ref().and_then(|query_log| query_log.file.as_ref());
    let files = [("[log] file", config.log.file.as_ref()), ("[query_log] file", query_log)];
    files.into_iter().filter_map(|(key, file)| {
        let file = file?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let checked = match (file.exists(), dir.is_dir()) {
            (true, _) => files::append(file).map(drop).map_err(|error| error.to_string()),
            (false, true) => export::check_folder(dir),
            (false, false) => Err("its directory does not exist".to_owned()),
        };
        let error = checked.err()?;
        Some(format!(
            "cannot log to {}: {error}; give a file that this node can write with {key}",
            file.display()
        ))
    })
}

/// Starts the thread that writes a log.
///
/// # Errors
/// If there can be no further thread.
pub(super) fn start(
    writer: Writer,
    name: &str,
    events: &Sender<Event>,
    confined: &Confined,
) -> io::Result<JoinHandle<()>> {
    let confined = confined.clone();
    let run = move || confined.thread(Class::Log).and_then(|()| writer.run());
    net::spawn(name.to_owned(), events.clone(), run)
}
