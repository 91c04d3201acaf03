//! What the daemon has to say: lines with a level, through a bounded queue to one thread that writes them.
//!
//! Nobody who logs ever waits. A line that finds the queue full is lost and counted, and so is one that
//! cannot be written; both are told once there is room again. Threads that answer queries do not log at all.

mod form;
mod repeats;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde_json::Value;

use crate::limits::{LOG_FLUSH_MAX, LOG_QUEUED_MAX};

pub use writer::Writer;

/// How much a line matters, from the most on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may soon not work, or works less well.
    Warning,
    /// What happened.
    Info,
    /// What is of use for debugging.
    Debug,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Info, Self::Debug];

    /// As in the configuration, and in lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        ["error", "warning", "info", "debug"][self as usize]
    }

    /// The priority that syslog and the journal give such a line (sd-daemon(3)).
    const fn priority(self) -> u8 {
        [3, 4, 6, 7][self as usize]
    }
}

/// The form of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// What is logged, in which form, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What matters less is left out.
    pub level: Level,
    /// The form.
    pub format: Format,
    /// The file; `None` for standard error.
    pub file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Text, file: None }
    }
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// When that was.
    pub at: SystemTime,
    /// What there is to say.
    pub message: String,
    /// More, by name. As text it follows the message.
    pub fields: Vec<(&'static str, Value)>,
}

/// What goes through the queue.
#[derive(Debug)]
enum Entry {
    /// A line that may be left out where it is repeated too often.
    Line(Line),
    /// A line that is never a repetition, whatever it says.
    Each(Line),
    /// Wakes the writer: there is something to do without a line.
    Wake,
    /// Dropped once all before it is written.
    Flush(Sender<()>),
}

/// Where lines go in. Copies of it go to the same place.
#[derive(Clone, Debug)]
pub struct Log {
    queue: Sender<Entry>,
    state: Arc<State>,
}

/// What a log and its writer share.
#[derive(Debug)]
struct State {
    level: AtomicU8,
    /// The file is to be reopened.
    reopen: AtomicBool,
    /// Lines that were lost.
    lost: AtomicU64,
}

/// A log, and what has to run on a thread of its own for it. Lines may come before that thread does.
///
/// # Errors
/// Why the file cannot be written, and what to do.
pub fn open(settings: &Settings) -> Result<(Log, Writer), String> {
    let (queue, entries) = bounded(LOG_QUEUED_MAX);
    let state = Arc::new(State {
        level: AtomicU8::new(settings.level as u8),
        reopen: AtomicBool::new(false),
        lost: AtomicU64::new(0),
    });
    let writer = Writer::open(settings, entries, Arc::clone(&state))?;
    Ok((Log { queue, state }, writer))
}

impl Log {
    /// A log of which nothing is written.
    #[must_use]
    pub fn silent() -> Self {
        let state =
            State { level: AtomicU8::new(0), reopen: AtomicBool::new(false), lost: AtomicU64::new(0) };
        Self { queue: bounded(0).0, state: Arc::new(state) }
    }

    /// Something does not work.
    pub fn error(&self, message: impl Into<String>) {
        self.line(Level::Error, message);
    }

    /// Something may soon not work, or works less well.
    pub fn warning(&self, message: impl Into<String>) {
        self.line(Level::Warning, message);
    }

    /// Something happened.
    pub fn info(&self, message: impl Into<String>) {
        self.line(Level::Info, message);
    }

    /// Something happened that is of use for debugging.
    pub fn debug(&self, message: impl Into<String>) {
        self.line(Level::Debug, message);
    }

    fn line(&self, level: Level, message: impl Into<String>) {
        if level <= self.level() {
            let message = message.into();
            self.send(Entry::Line(Line { level, at: SystemTime::now(), message, fields: Vec::new() }));
        }
    }

    /// Logs what somebody asked for: whatever the level, and however often it is the same.
    pub fn each(&self, message: impl Into<String>, fields: Vec<(&'static str, Value)>) {
        let line = Line { level: Level::Info, at: SystemTime::now(), message: message.into(), fields };
        self.send(Entry::Each(line));
    }

    fn send(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What matters less than this is left out.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.state.level.load(Ordering::Relaxed))]
    }

    /// Leaves out what matters less than `level`, from now on.
    pub fn set_level(&self, level: Level) {
        self.state.level.store(level as u8, Ordering::Relaxed);
    }

    /// Reopens the file, after it was rotated. Where that fails, the old one stays open.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
        // A full queue wakes the writer as well.
        let _ = self.queue.try_send(Entry::Wake);
    }

    /// How many lines were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Waits until all that was logged is written, but for [`LOG_FLUSH_MAX`] at most: whether it is.
    #[expect(clippy::must_use_candidate, reason = "who ends anyway has nothing to do about it")]
    pub fn flush(&self) -> bool {
        let began = Instant::now();
        let (done, written) = bounded(0);
        let rest = || LOG_FLUSH_MAX.saturating_sub(began.elapsed()).max(Duration::from_millis(1));
        self.queue.send_timeout(Entry::Flush(done), rest()).is_ok()
            && written.recv_timeout(rest()) == Err(RecvTimeoutError::Disconnected)
    }

    /// From now on a panic is a line, in place of the text on standard error, where somebody may have stopped
    /// reading. It ends the process as before.
    pub fn take_panics(&self) {
        let log = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("(unnamed)");
            let payload = panic.payload();
            let what = payload.downcast_ref::<&str>().copied();
            let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("?");
            let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
            let place = place.unwrap_or_default();
            log.error(format!("thread {name} panicked{place}: {what}; please report this"));
            log.flush();
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order() {
        let (log, writer) = open(&Settings::default()).unwrap();
        assert_eq!(log.level(), Level::Info);
        log.debug("left out");
        log.info("kept");
        log.set_level(Level::Error);
        log.warning("left out");
        log.error("kept");
        log.set_level(Level::Debug);
        log.debug("kept");
        log.set_level(Level::Error);
        log.each("kept", vec![]);
        let messages: Vec<String> = writer.into_lines().into_iter().map(|line| line.message).collect();
        assert_eq!(messages, ["kept"; 4]);
    }

    #[test]
    fn nobody_waits_for_a_queue_that_is_full() {
        let (log, writer) = open(&Settings::default()).unwrap();
        let over = 7;
        for number in 0..LOG_QUEUED_MAX + over {
            log.info(number.to_string());
        }
        assert_eq!(log.lost(), over as u64);
        let lines = writer.into_lines();
        assert_eq!(lines.len(), LOG_QUEUED_MAX);
        assert_eq!(lines.last().unwrap().message, (LOG_QUEUED_MAX - 1).to_string());
        log.info("nobody is there");
        assert_eq!(log.lost(), over as u64 + 1);
    }

    /// In a process of its own: a hook is for all threads.
    #[test]
    fn a_panic_is_a_line() {
        const FILE: &str = "AS112D_TEST_PANIC_LOG";
        if let Some(path) = std::env::var_os(FILE) {
            let (log, writer) = open(&Settings { file: Some(path.into()), ..Settings::default() }).unwrap();
            let _writing = std::thread::spawn(|| writer.run());
            log.take_panics();
            let shard = std::thread::Builder::new().name("udp-0".to_owned());
            assert!(shard.spawn(|| panic!("lost {} slots", 3)).unwrap().join().is_err());
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::tests::a_panic_is_a_line", "--nocapture"])
            .env(FILE, file.path())
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let said = std::fs::read_to_string(file.path()).unwrap();
        assert!(said.contains(" error   thread udp-0 panicked at src/log/mod.rs:"), "{said}");
        assert!(said.ends_with(": lost 3 slots; please report this\n"), "{said}");
    }

    #[test]
    fn a_flush_does_not_wait_for_ever() {
        let (log, writer) = open(&Settings::default()).unwrap();
        // Nobody runs the writer.
        assert!(!log.flush());
        let _ = writer.into_lines();
        assert!(!log.flush(), "nor does it wait for nobody");
    }
}
