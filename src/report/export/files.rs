//! How a file for other programs is written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

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
        let folder = path.parent().expect("the path has a name after the directory");
        // One name: whatever a crash leaves is overwritten by the next file.
        let unfinished = folder.join(format!(".{}.tmp", self.node));
        let write = || -> io::Result<()> {
            fs::create_dir_all(folder)?;
            let mut file = File::create(&unfinished)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| {
            // On a full disk even the part of a file is in the way. It may not be there.
            let _ = fs::remove_file(&unfinished);
            format!("{}: {error}", path.display())
        })
    }
}

/// The node's name without what a path or a shell could take for something else.
pub(super) fn file_name(node: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = node.trim_start_matches('.').chars().map(plain).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}
