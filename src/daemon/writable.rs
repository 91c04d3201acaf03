//! Whether the node may write where its configuration says that it writes.

use std::path::Path;

use super::logging;
use super::said::cannot_write;
use crate::config::Config;
use crate::problem::Problem;
use crate::report::export;

/// What is wrong with the directories and files that the node is to write to. Of that, the files of logs
/// alone keep it from serving.
#[must_use]
pub fn unwritable(config: &Config) -> Vec<Problem> {
    let exports = config.export.folders().map(|(name, dir)| (format!("[export] {name}"), dir));
    let history = config.history.as_deref().map(|dir| ("[history] dir".to_owned(), dir));
    let problem = |(key, dir): (String, &Path)| {
        let error = export::check_folder(dir).err()?;
        Some(Problem::plain(cannot_write(&key, dir, &error)))
    };
    let of_folders = history.into_iter().chain(exports).filter_map(problem);
    of_folders.chain(logging::check(config).map(Problem::plain)).collect()
}
