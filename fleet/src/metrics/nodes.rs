//! Nodes whose control sockets can be reached from here, on this host or through `ssh -L`: for those who have
//! a few nodes and no NATS.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use as112d::history::fleet::{FleetHistory, Kind};
use as112d::history::unix_time;
use serde_json::{Value, json};

use super::sender::{self, Sender};
use super::source::Message;
use super::teller;
use crate::limits::ASK_EVERY;

/// A node, and where its control socket is: `NAME=PATH` or `NAME@COLO=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub colo: String,
    /// Its control socket.
    pub socket: PathBuf,
}

impl FromStr for Node {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not NAME=SOCKET or NAME@COLO=SOCKET");
        let (who, socket) = text.split_once('=').ok_or_else(wrong)?;
        let (name, colo) = who.split_once('@').unwrap_or((who, ""));
        if name.is_empty() || socket.is_empty() {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), colo: colo.to_owned(), socket: socket.into() })
    }
}

/// All of them.
#[derive(Debug)]
pub struct Nodes {
    nodes: Vec<(Node, Option<Sender>)>,
    asked: Option<Instant>,
}

impl Nodes {
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        Self { nodes: nodes.into_iter().map(|node| (node, None)).collect(), asked: None }
    }

    /// Their names and colos.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().map(|(node, _)| (node.name.as_str(), node.colo.as_str()))
    }

    pub(super) async fn next(&mut self, history: &FleetHistory) -> (Vec<Message>, Vec<String>) {
        let (mut messages, mut faults) = (Vec::new(), Vec::new());
        if self.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return (messages, faults);
        }
        self.asked = Some(Instant::now());
        for (node, sender) in &mut self.nodes {
            // From what the history has: what was not stored is asked for again.
            let memory = match history.last_heard(&node.name) {
                Ok(last) => last.map_or_else(String::new, |(epoch, after)| {
                    json!({"epoch": epoch, "after": after}).to_string()
                }),
                Err(fault) => {
                    faults.push(fault.to_string());
                    continue;
                }
            };
            let sender = sender.get_or_insert_with(|| Sender::new(&node.colo, &memory));
            sender.recall(&memory);
            let (asked, sockets) = (node.clone(), [node.socket.clone()]);
            let ask = async |word: &str| teller::ask(&sockets, word).await;
            let tell = async |message: &sender::Message| {
                let sender::Message { kind, text, .. } = message.clone();
                messages.push(Message { kind, node: asked.name.clone(), arrived: unix_time(), text });
                Ok(())
            };
            let turn = sender.turn(ask, tell).await;
            if let Err(fault) = turn {
                faults.push(format!("{}: {fault}", node.name));
            } else if let Ok(status) = teller::ask(&sockets, "status").await {
                messages.push(report(node, &status));
            }
        }
        (messages, faults)
    }
}

/// What an agent would report of it.
fn report(node: &Node, status: &Value) -> Message {
    let release = &status["release"];
    let has = match (&release["number"], &release["hash"]) {
        (Value::Number(number), Value::String(hash)) => json!({"number": number, "hash": hash}),
        _ => Value::Null,
    };
    let report = json!({
        "node": node.name, "colo": node.colo, "version": status["version"], "pid": status["pid"], "has": has,
        "drift": !matches!(release["state"].as_str(), None | Some("current" | "none")),
    });
    Message {
        kind: Kind::Report,
        node: node.name.clone(),
        arrived: unix_time(),
        text: report.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_name_perhaps_a_place_and_a_socket() {
        let node: Node = "ams1@ams=/run/ams1.sock".parse().unwrap();
        assert_eq!((&*node.name, &*node.colo, node.socket.to_str()), ("ams1", "ams", Some("/run/ams1.sock")));
        assert_eq!("a=b".parse::<Node>().unwrap().colo, "");
        for wrong in ["", "a", "=b", "a=", "@c=d"] {
            assert!(wrong.parse::<Node>().unwrap_err().ends_with("is not NAME=SOCKET or NAME@COLO=SOCKET"));
        }
    }
}
