//! The node, over its control socket: a line that asks, a line of JSON that answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use as112d::control::GREETING;
use as112d::limits::{CONTROL_ANSWER_LEN_MAX, CONTROL_TRIES_MAX};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::core::Told;
use crate::limits::{ORDER_TIMEOUT, STATUS_TIMEOUT};

/// A node that can be told.
#[derive(Clone, Debug)]
pub enum Node {
    /// At the first of these sockets that somebody answers at.
    At(Vec<PathBuf>),
    /// Nobody: it takes everything, and is always well. For simulations of many agents.
    Nobody,
}

impl Node {
    /// Has it take what is current.
    pub async fn reload(&self) -> Told {
        let line = match self.ask("reload", ORDER_TIMEOUT).await {
            Ok(line) => line,
            Err(error) => return Told::Gone(error.to_string()),
        };
        let is_taken = serde_json::from_str(&line).is_ok_and(|answer: Value| answer["ok"] == true);
        if is_taken { Told::Taken(line) } else { Told::Refused(line) }
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn status(&self) -> io::Result<Value> {
        let line = self.ask("status", STATUS_TIMEOUT).await?;
        serde_json::from_str(&line).map_err(io::Error::from)
    }

    /// Gives an order, and waits until it is carried out.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn order(&self, word: &str) -> io::Result<String> {
        self.ask(word, ORDER_TIMEOUT).await
    }

    async fn ask(&self, word: &str, patience: Duration) -> io::Result<String> {
        let Self::At(paths) = self else {
            return Ok(json!({ "ok": true, "state": "serving" }).to_string());
        };
        for _ in 0..CONTROL_TRIES_MAX {
            let line = timeout(patience, exchange(paths, word));
            let line = line
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the node does not answer"))??;
            // A process that was just succeeded sends its clients to the successor.
            let is_moved = serde_json::from_str(&line).is_ok_and(|answer: Value| answer["moved"] == true);
            if !is_moved {
                return Ok(line);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "the node is being replaced again and again"))
    }
}

async fn exchange(paths: &[PathBuf], word: &str) -> io::Result<String> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the node has no control socket");
    for path in paths {
        let mut stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            Err(error) => {
                refused = io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                continue;
            }
        };
        stream.write_all(format!("{GREETING}{word}\n").as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(stream.take(CONTROL_ANSWER_LEN_MAX)).read_line(&mut line).await?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node ended meanwhile"));
        }
        return Ok(line.trim_end().to_owned());
    }
    Err(refused)
}
