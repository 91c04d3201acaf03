//! Files that other programs collect: those of RSSAC002 once a day, that of DSC once a minute.
//!
//! A file is there whole or not at all. What cannot be written is counted and tried again a minute later.
//! They have a thread of their own, so nothing else depends on a directory, even one that does not respond.

pub mod dsc;
mod files;
pub mod rssac002;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crossbeam_channel::Receiver;

use crate::board::{Board, Status};
use crate::history::Stored;
use crate::history::aggregator::Minute;

use files::{Files, file_name};

/// What is exported, and to which directories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The directory of RSSAC002 files.
    pub rssac002: Option<PathBuf>,
    /// The directory of DSC files.
    pub dsc: Option<PathBuf>,
    /// How those are written.
    pub dsc_format: dsc::Format,
}

impl Settings {
    /// The exports that are wanted: their names, as in the configuration and in labels, and directories.
    pub fn folders(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let all = [(rssac002::NAME, &self.rssac002), (dsc::NAME, &self.dsc)];
        all.into_iter().filter_map(|(name, dir)| Some((name, dir.as_deref()?)))
    }

    /// How each of them fares, at the start.
    #[must_use]
    pub fn statuses(&self) -> Vec<(&'static str, Status)> {
        self.folders().map(|(name, dir)| (name, Status::new(dir.display().to_string()))).collect()
    }
}

/// The exports of a running node.
#[derive(Debug)]
pub struct Exports {
    stored: Stored,
    rssac002: Option<rssac002::Days>,
    dsc: Option<dsc::Minutes>,
}

impl Exports {
    /// Exports of what `board` counts from now on, and of what is `stored` of earlier days. Touches no file.
    #[must_use]
    pub fn open(settings: &Settings, stored: Stored, board: &Board, now: u64) -> Self {
        let node = &board.named.load().node;
        let dsc = settings.dsc.as_ref().map(|dir| {
            // The collector's names have a time and nothing else: each node has a directory of its own, as
            // presenters expect it.
            let files = Files { dir: dir.join(file_name(node)), node: file_name(node) };
            dsc::Minutes::begin(files, settings.dsc_format, &stored, board, now)
        });
        let rssac002 = settings
            .rssac002
            .as_ref()
            .map(|dir| rssac002::Days::new(Files { dir: dir.clone(), node: file_name(node) }, node.clone()));
        Self { stored, rssac002, dsc }
    }

    /// Writes what is due at the end of each of `minutes`, until there will be no more. What cannot be written
    /// is told at once.
    pub fn run(mut self, settings: &Settings, board: &Board, minutes: &Receiver<Minute>) {
        for (name, dir) in settings.folders() {
            if let Err(error) = check_folder(dir) {
                board.log.warning(cannot_write(&format!("[export] {name}"), dir, &error));
            }
        }
        for Minute { now, stored_until } in minutes {
            self.minute(board, stored_until, now);
        }
    }

    /// Writes what is due at `now`, where the history has everything up to `stored_until`.
    fn minute(&mut self, board: &Board, stored_until: u64, now: u64) {
        let Self { stored, rssac002, dsc } = self;
        stored.follow();
        let rssac002 = rssac002.as_mut().map(|days| (rssac002::NAME, days.write(stored, stored_until)));
        let dsc = dsc.as_mut().map(|minutes| (dsc::NAME, minutes.write(stored, board, now)));
        for (name, outcome) in rssac002.into_iter().chain(dsc) {
            let status = board.exports.iter().find(|(export, _)| *export == name);
            if let (Err(error), Some((_, status))) = (outcome, status) {
                board.log.error(format!("export: cannot write {name}: {error}; retrying in a minute"));
                status.failed(error);
            }
        }
    }
}

/// What is said of a directory that cannot be written, and of the key that names it.
#[must_use]
pub fn cannot_write(key: &str, dir: &Path, error: &str) -> String {
    format!(
        "cannot write to {}: {error}; give a directory that this node can write with {key}",
        dir.display()
    )
}

/// Whether files can be written below `dir`, which need not exist yet. No file is left there.
///
/// # Errors
/// Why not.
pub fn check_folder(dir: &Path) -> Result<(), String> {
    let there = dir.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."));
    let probe = there.join(format!(".as112d-check-{}", std::process::id()));
    let probed = File::create_new(&probe).and_then(|_| fs::remove_file(&probe));
    probed.map_err(|error| match there == dir {
        true => error.to_string(),
        false => format!("it does not exist and cannot be created in {}: {error}", there.display()),
    })
}

#[cfg(test)]
mod tests;
