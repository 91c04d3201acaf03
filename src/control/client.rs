//! The other end of the control socket: who asks a running node.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::limits::{CONTROL_ANSWER_LEN_MAX, CONTROL_TRIES_MAX};

/// The first words of every request: the name, and the version of what is spoken.
pub const GREETING: &str = "as112d 1 ";

/// Connects to the first socket that takes us.
///
/// # Errors
/// Why none of them does.
pub fn connect(paths: &[PathBuf]) -> Result<(&Path, UnixStream), Vec<(&Path, io::Error)>> {
    let mut refused = Vec::new();
    for path in paths {
        match UnixStream::connect(path) {
            Ok(stream) => return Ok((path, stream)),
            Err(error) => refused.push((path.as_path(), error)),
        }
    }
    Err(refused)
}

/// One line there, and one back. What is asked for may take as long as it takes, without `patience`.
///
/// # Errors
/// If the other end is gone, or says nothing.
pub fn exchange(mut stream: UnixStream, word: &str, patience: Option<Duration>) -> io::Result<String> {
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    stream.write_all(format!("{GREETING}{word}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(CONTROL_ANSWER_LEN_MAX)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node ended meanwhile"));
    }
    Ok(line)
}

/// The status of the node at the first of these sockets that takes us, if it tells it within `patience`.
#[must_use]
pub fn status(paths: &[PathBuf], patience: Duration) -> Option<Value> {
    // A process that was just succeeded sends its clients to the successor.
    for _ in 0..CONTROL_TRIES_MAX {
        let (_, stream) = connect(paths).ok()?;
        let line = exchange(stream, "status", Some(patience)).ok()?;
        let answer: Value = serde_json::from_str(&line).ok()?;
        if answer["moved"] != true {
            return Some(answer).filter(|answer| answer["ok"] == true);
        }
    }
    None
}
