//! Where the collector has messages from. It remembers nothing: whatever comes twice counts once.

use as112d::history::fleet::{FleetHistory, Kind};

use super::hub::Hub;
use super::nodes::{Node, Nodes};
use crate::carry::Nats;

/// A message of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// The node that told it, as the carrier knows it.
    pub node: String,
    /// When it arrived, in seconds of Unix time, by a clock that is not the node's.
    pub arrived: u64,
    /// What it says.
    pub text: Vec<u8>,
}

/// Where messages come from.
#[derive(Debug)]
pub enum Source {
    /// Streams of NATS.
    Hub(Box<Hub>),
    /// Control sockets that can be reached from here.
    Nodes(Nodes),
}

impl Source {
    /// The streams of a hub.
    #[must_use]
    pub fn of_hub(nats: Nats) -> Self {
        Self::Hub(Box::new(Hub::new(nats)))
    }

    /// Nodes that are asked one after the other.
    #[must_use]
    pub fn of_nodes(nodes: Vec<Node>) -> Self {
        Self::Nodes(Nodes::new(nodes))
    }

    /// The nodes that there should be, by name and colo, where that is known before they are heard.
    pub fn expected(&self) -> impl Iterator<Item = (&str, &str)> {
        let nodes = match self {
            Self::Hub(_) => None,
            Self::Nodes(nodes) => Some(nodes.names()),
        };
        nodes.into_iter().flatten()
    }

    /// What has come, or nothing; and what could not be asked.
    pub async fn next(&mut self, history: &FleetHistory) -> (Vec<Message>, Vec<String>) {
        match self {
            Self::Hub(hub) => hub.next().await,
            Self::Nodes(nodes) => nodes.next(history).await,
        }
    }

    /// What [`next`](Self::next) gave is in the history.
    pub fn taken(&mut self) {
        match self {
            Self::Hub(hub) => hub.taken(),
            // They are asked from what the history has.
            Self::Nodes(_) => {}
        }
    }
}
