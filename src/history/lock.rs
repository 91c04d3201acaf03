//! One directory has the history of one node: a lock on a file in it, which lasts as long as a process holds a
//! descriptor of it. A successor gets that descriptor, so there is no moment without the lock.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::fault::{Cause, Fault};
use crate::sys::files;

/// The file in the configured directory.
pub(super) const FILE: &str = "history.lock";

/// The lock, held. The file says by which process.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes it, unless another node has it. A file system that has no locks is done without.
    pub(super) fn take(dir: &Path) -> Result<Option<Self>, Fault> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o640);
        let file = options.open(dir.join(FILE)).map_err(|error| Fault::of_system(&error))?;
        match files::lock(&file) {
            Ok(true) => Ok(Some(Self::held(file))),
            Ok(false) => Err(Fault::new(Cause::Taken(process(&file)), "it is locked")),
            Err(_) => Ok(None),
        }
    }

    /// The one that the process before this one has left.
    #[must_use]
    pub fn inherited(descriptor: OwnedFd) -> Self {
        Self::held(descriptor.into())
    }

    fn held(file: File) -> Self {
        // Who holds it is told to people alone.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0));
        Self(file)
    }

    /// A second descriptor of it, for a successor.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.try_clone().map(OwnedFd::from)
    }
}

/// Which process says that it holds the lock of a directory, if one does.
pub(super) fn holder(dir: &Path) -> Option<Option<u32>> {
    let file = File::open(dir.join(FILE)).ok()?;
    files::is_locked(&file).then(|| process(&file))
}

fn process(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
