//! How a file for other programs is written.

use std::path::PathBuf;

use crate::sys::files;

/// A directory that one node writes to.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) dir: PathBuf,
    /// The node's name, in the letters of file names.
    pub(super) node: String,
}

impl Files {
    /// Writes a file at `path` below the directory, whole or not at all, even if the host loses its power.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(path);
        // One name: whatever a crash leaves is overwritten by the next file.
        let unfinished = path.with_file_name(format!(".{}.tmp", self.node));
        files::replace(&path, &unfinished, text.as_bytes())
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The node's name without what a path or a shell could take for something else.
pub(super) fn file_name(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = node.trim_start_matches('.').chars().map(plain).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}
