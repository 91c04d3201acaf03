//! What several tests share.
#![allow(dead_code, reason = "each test uses a part")]

pub mod calendar;
pub mod daemon;
pub mod decode;
pub mod golden;
pub mod guest;
pub mod host;
pub mod lab;
pub mod node;
pub mod order;
pub mod packet;
pub mod peers;
pub mod skip;
pub mod tailored;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub use node::*;

/// A folder that a node can use, whoever it has become.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().permissions(Permissions::from_mode(0o777)).tempdir();
    let folder = folder.expect("a folder");
    open_up(folder.path());
    folder
}

/// Lets everybody use a folder and the files in it.
pub fn open_up(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o777)).expect("it is ours");
    for file in fs::read_dir(folder).expect("it can be read") {
        let file = file.expect("it can be read").path();
        let mode = if file.is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(file, Permissions::from_mode(mode)).expect("it is ours");
    }
}
