//! Tells a hub of a node's minutes, as long as it runs: what the agent does beside following releases.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use as112d::control::client;
use as112d::history::fleet::Kind;
use as112d::sys::files;
use rand::RngExt as _;
use serde_json::Value;

use super::sender::{Message, Sender};
use crate::carry::{Feed, Nats};
use crate::limits::{ASK_EVERY, NODE_ANSWER_MAX};

/// A node, and where its minutes go.
#[derive(Debug)]
pub struct Teller {
    /// The paths where its control socket may be.
    pub sockets: Vec<PathBuf>,
    /// Its name, and where it is.
    pub node: String,
    /// See [`node`](Self::node); empty if it is nowhere.
    pub colo: String,
    /// The hub.
    pub nats: Nats,
    /// The file that has the last minute that the hub has taken.
    pub memory: PathBuf,
}

impl Teller {
    /// Tells. What is wrong goes to `say`, and is tried again.
    pub async fn run(self, mut say: impl FnMut(String)) {
        let memory = fs::read_to_string(&self.memory).unwrap_or_default();
        let mut sender = Sender::new(&self.colo, &memory);
        loop {
            let ask = async |word: &str| ask(&self.sockets, word).await;
            let tell = async |message: &Message| self.tell(message).await;
            if let Err(fault) = sender.turn(ask, tell).await {
                say(format!("minutes are not told: {fault}"));
            }
            self.keep(&sender.memory(), &mut say);
            // A third earlier or later: a thousand nodes do not come at once.
            let third = ASK_EVERY / 3;
            let pause = rand::rng().random_range(ASK_EVERY - third..ASK_EVERY + third);
            tokio::time::sleep(pause).await;
        }
    }

    async fn tell(&self, message: &Message) -> Result<(), String> {
        let feed = if message.kind == Kind::Minute { Feed::Minutes } else { Feed::Sketches };
        let by = format!("{}{}", self.node, message.suffix);
        self.nats.tell(feed, &by, message.text.clone()).await.map_err(|fault| fault.to_string())
    }

    /// Without it everything that the node has is told again, and counts no more than once.
    fn keep(&self, memory: &str, say: &mut impl FnMut(String)) {
        if fs::read_to_string(&self.memory).is_ok_and(|kept| kept == memory) {
            return;
        }
        let new = self.memory.with_extension("new");
        if let Err(error) = files::replace(&self.memory, &new, memory.as_bytes()) {
            say(format!("{}: {error}", self.memory.display()));
        }
    }
}

/// Asks a node without keeping anybody else waiting.
///
/// # Errors
/// If it is not there, or says nothing within [`NODE_ANSWER_MAX`].
pub async fn ask(sockets: &[PathBuf], word: &str) -> Result<Value, String> {
    let (sockets, word) = (sockets.to_vec(), word.to_owned());
    let exchange = tokio::task::spawn_blocking(move || exchange(&sockets, &word, NODE_ANSWER_MAX));
    let line = exchange.await.map_err(|error| error.to_string())??;
    serde_json::from_str(&line).map_err(|error| error.to_string())
}

fn exchange(sockets: &[PathBuf], word: &str, patience: Duration) -> Result<String, String> {
    let (_, stream) = client::connect(sockets).map_err(|refused| {
        let of = |(path, error): &(&Path, std::io::Error)| format!("{}: {error}", path.display());
        refused.first().map_or_else(|| "the node has no control socket".to_owned(), of)
    })?;
    client::exchange(stream, word, Some(patience)).map_err(|error| error.to_string())
}
