//! The thread that writes lines: it alone waits for a terminal, a pipe or a disk.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::form::Form;
use super::repeats::Repeats;
use super::{Entry, Level, Line, Settings, State};
use crate::limits::{DIRECTORY_WAIT_MAX, LOG_TICK, LOG_WRITE_LEN_MAX};
use crate::sys::{aside, files};

/// Writes what a [`Log`](super::Log) is given.
#[derive(Debug)]
pub struct Writer {
    entries: Receiver<Entry>,
    state: Arc<State>,
    form: Form,
    /// The file's path; `None` for standard error.
    path: Option<PathBuf>,
    file: File,
    repeats: Repeats,
    /// Lines that are not written yet.
    buffer: Vec<u8>,
    /// The last line that reached the file is not whole.
    is_torn: bool,
    /// How many lost lines were told of.
    lost_told: u64,
}

/// Opens the file of a log; one that does not respond keeps nobody waiting.
fn open(path: &Path) -> Result<File, String> {
    let append =
        |path: &&Path| files::append(path).map(|file| Some(file.into())).map_err(|error| error.to_string());
    match aside::each(&[path], DIRECTORY_WAIT_MAX, append).into_iter().next().flatten() {
        Some(Ok(Some(file))) => Ok(file.into()),
        Some(Err(error)) => Err(error),
        _ => Err("it does not respond".to_owned()),
    }
}

impl Writer {
    pub(super) fn open(
        settings: &Settings,
        entries: Receiver<Entry>,
        state: Arc<State>,
    ) -> Result<Self, String> {
        // A descriptor of its own: whoever waits to write there holds no lock that another needs.
        let stderr = io::stderr().as_fd().try_clone_to_owned().map(File::from);
        let stderr = stderr.map_err(|error| format!("cannot use standard error: {error}"))?;
        let stream = std::env::var("JOURNAL_STREAM").ok();
        let form = Form::new(settings.format, settings.file.is_some(), &stderr, stream.as_deref());
        let file = match &settings.file {
            Some(path) => open(path).map_err(|error| {
                format!("cannot log to {}: {error}; give a file that this node can write", path.display())
            })?,
            None => stderr,
        };
        Ok(Self {
            entries,
            state,
            form,
            path: settings.file.clone(),
            file,
            repeats: Repeats::default(),
            buffer: Vec::new(),
            is_torn: false,
            lost_told: 0,
        })
    }

    /// Whether lines are the bare text that a person at a terminal reads.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.form == Form::Plain
    }

    /// Writes until the last sender is gone.
    ///
    /// # Errors
    /// None: what cannot be written is lost and counted.
    pub fn run(mut self) -> Result<(), String> {
        while self.turn() {}
        Ok(())
    }

    /// Waits for an entry, and writes all that is there; whether there can be more.
    fn turn(&mut self) -> bool {
        // Without anything to tell later there is no reason to wake.
        let first = match self.repeats.is_waiting() || self.lost() > self.lost_told {
            true => self.entries.recv_timeout(LOG_TICK),
            false => self.entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(entry) => self.write_queued(entry),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        self.tell_repeats(Some(Instant::now()));
        self.write();
        true
    }

    fn tell_repeats(&mut self, now: Option<Instant>) {
        for line in self.repeats.over(now) {
            self.form.write(&line, &mut self.buffer);
        }
    }

    /// Writes an entry and those after it, as much at a time as is there.
    fn write_queued(&mut self, first: Entry) {
        let mut flushes = Vec::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            self.take(entry, &mut flushes);
            if self.buffer.len() >= LOG_WRITE_LEN_MAX || !flushes.is_empty() {
                self.write();
                flushes.clear();
            }
            next = self.entries.try_recv().ok();
        }
    }

    fn take(&mut self, entry: Entry, flushes: &mut Vec<Sender<()>>) {
        if self.state.reopen.swap(false, Ordering::Relaxed) {
            self.reopen();
        }
        match entry {
            Entry::Line(line) => {
                let now = Instant::now();
                self.tell_repeats(Some(now));
                if self.repeats.admits(&line, now) {
                    self.form.write(&line, &mut self.buffer);
                }
            }
            Entry::Each(line) => self.form.write(&line, &mut self.buffer),
            Entry::Wake => {}
            Entry::Flush(done) => flushes.push(done),
        }
    }

    /// What came before goes to the old file.
    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        let reopened = files::append(path);
        let said = match reopened {
            Ok(file) => {
                self.write();
                (self.file, self.is_torn) = (file, false);
                return;
            }
            Err(error) => format!("cannot reopen {}: {error}; still writing to the old file", path.display()),
        };
        self.say(Level::Error, said);
    }

    fn say(&mut self, level: Level, message: String) {
        let line = Line { level, at: SystemTime::now(), message, fields: Vec::new() };
        self.form.write(&line, &mut self.buffer);
    }

    fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Writes the buffer, and of lines that were lost before. What cannot be written is lost.
    fn write(&mut self) {
        let lines_of = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let (lost, lines) = (self.lost(), lines_of(&self.buffer));
        if lost > self.lost_told {
            let count = lost - self.lost_told;
            self.say(Level::Warning, format!("{count} log lines could not be written and were lost"));
        }
        if self.buffer.is_empty() {
            return;
        }
        if self.is_torn && write_all(&mut self.file, b"\n") == 1 {
            self.is_torn = false;
        }
        let len = if self.is_torn { 0 } else { write_all(&mut self.file, &self.buffer) };
        let (written, rest) = self.buffer.split_at(len);
        if rest.is_empty() {
            self.lost_told = lost;
        } else {
            self.is_torn |= written.last().is_some_and(|&byte| byte != b'\n');
            // The line about lost ones is behind all that somebody logged.
            let lost_now = lines.saturating_sub(lines_of(written));
            self.state.lost.fetch_add(lost_now, Ordering::Relaxed);
        }
        self.buffer.clear();
    }

    /// The lines that wait to be written.
    #[cfg(test)]
    pub(crate) fn into_lines(self) -> Vec<Line> {
        let line = |entry| match entry {
            Entry::Line(line) | Entry::Each(line) => Some(line),
            Entry::Wake | Entry::Flush(_) => None,
        };
        self.entries.try_iter().filter_map(line).collect()
    }
}

/// Also where no thread ever came to it, as at a start that failed, what was logged is written.
impl Drop for Writer {
    fn drop(&mut self) {
        if let Ok(entry) = self.entries.try_recv() {
            self.write_queued(entry);
        }
        self.tell_repeats(None);
        self.write();
    }
}

/// Writes as much as the kernel takes; how much that was.
fn write_all(file: &mut File, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(len) => written += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

#[cfg(test)]
mod tests;
