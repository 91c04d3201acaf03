//! The answer to a query, explained from what the node serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;

use super::life::Node;
use super::why::arrival;
use crate::control::orders::Client;
use crate::report::explain::{Explainer, Question};

impl Node {
    /// Explains an answer, on a thread of its own: the files of a map are read again for that, and other
    /// orders do not wait for it. There is one such thread at a time.
    pub(super) fn explain(&self, asked: &Question, clients: Vec<Client>) {
        let refused = |clients: Vec<Client>, error: &str| {
            clients.into_iter().for_each(|client| client.failed(error, &[]));
        };
        let arrival = match arrival(&self.config, asked.is_tcp, Some(asked.resolver), None) {
            Ok(arrival) => arrival,
            Err(error) => return refused(clients, &error),
        };
        let Some(turn) = Turn::take(&self.course.is_explaining) else {
            return refused(clients, "another answer is being explained; ask again in a moment");
        };
        let (snapshot, pops, asked) = (self.published.newest(), self.board.pops.load_full(), asked.clone());
        let run = move || {
            let explainer = Explainer { snapshot: &snapshot, pops: &pops.states };
            let explained = explainer.explain(&asked, &arrival);
            // Before anybody is told: who has an answer may ask again.
            drop(turn);
            for client in clients {
                match &explained {
                    Ok(told) => client.done(json!({ "text": told.text, "explained": told.json })),
                    Err(problems) => client.failed("the answer cannot be explained", problems),
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("explain".to_owned()).spawn(run) {
            // The clients are gone with what was to run; they hear that the node does not answer.
            self.log.error(format!("explain: no thread: {error}"));
        }
    }
}

/// The turn of who explains, which ends with this.
struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(is_taken: &Arc<AtomicBool>) -> Option<Self> {
        (!is_taken.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(is_taken)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
