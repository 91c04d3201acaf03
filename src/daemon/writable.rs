//! Whether the node may write where its configuration says that it writes.

use std::path::PathBuf;

use super::logging;
use crate::config::Config;
use crate::history;
use crate::limits::DIRECTORY_WAIT_MAX;
use crate::problem::Problem;
use crate::report::export;
use crate::sys::aside;

/// What is wrong with the directories and files that the node is to write to: of logs, without whose files it
/// does not start; and of everything else, without which it serves.
#[must_use]
pub fn written(config: &Config) -> (Vec<Problem>, Vec<Problem>) {
    let exports = config.export.folders().map(|(name, dir)| (format!("[export] {name}"), dir.to_owned()));
    let history = config.history.clone().map(|dir| ("[history] dir".to_owned(), dir));
    let folders: Vec<(String, PathBuf)> = history.into_iter().chain(exports).collect();
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let checked =
        aside::each(&folders, DIRECTORY_WAIT_MAX, |(_, dir)| export::check_folder(dir).map(|()| None));
    for ((key, dir), checked) in folders.iter().zip(checked) {
        match checked {
            Some(Err(error)) => warnings.push(export::cannot_write(key, dir, &error)),
            Some(Ok(_)) => {}
            None => {
                warnings
                    .push(format!("{key}: {} does not respond; the node serves without it", dir.display()));
            }
        }
    }
    warnings.extend(config.history.as_deref().and_then(|dir| of_history(dir.to_owned())));
    let logs = aside::each(&[config], DIRECTORY_WAIT_MAX, |config| {
        let wrong: Vec<String> = logging::check(config).collect();
        if wrong.is_empty() { Ok(None) } else { Err(wrong.join("\n")) }
    });
    match logs.into_iter().next().flatten() {
        Some(Err(wrong)) => errors.extend(wrong.lines().map(Problem::plain)),
        Some(Ok(_)) => {}
        None => warnings.push("the directory of a log does not respond".to_owned()),
    }
    (errors, warnings.into_iter().map(Problem::plain).collect())
}

/// What is to be told of the history in `dir`.
fn of_history(dir: PathBuf) -> Option<String> {
    let told = aside::each(&[dir], DIRECTORY_WAIT_MAX, |dir| {
        history::examine(dir).map_or(Ok(None), |told| Err(format!("history: {}: {told}", dir.display())))
    });
    told.into_iter().next()??.err()
}
