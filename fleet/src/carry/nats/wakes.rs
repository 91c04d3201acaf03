//! Being woken by changes. What wakes is a hint: it is read again from where it is stored.

use async_nats::Subscriber;
use futures_util::StreamExt as _;
use tokio::select;
use tokio::sync::watch;

use super::Nats;
use crate::carry::{Fault, Wake};

/// Hears of changes at a server of NATS.
#[derive(Debug)]
pub struct Wakes {
    pointers: Subscriber,
    connections: watch::Receiver<u64>,
    begin: String,
    names: Vec<String>,
}

impl Nats {
    /// Subscribes to the fleet's pointers, and is woken by those of these names. The client renews that with
    /// each connection.
    pub(in crate::carry) async fn wakes(&self, names: &[String]) -> Result<Wakes, Fault> {
        let begin = self.subject("pointer.");
        let subscribed = self.client.subscribe(format!("{begin}>")).await;
        let pointers = subscribed.map_err(|error| Fault::Refused(format!("{}: {error}", self.url())))?;
        let mut connections = self.connections.clone();
        // A connection that was there before is none that comes back.
        connections.mark_unchanged();
        Ok(Wakes { pointers, connections, begin, names: names.to_vec() })
    }
}

impl Wakes {
    /// The next one; none once the client has ended.
    pub(in crate::carry) async fn next(&mut self) -> Option<Wake> {
        loop {
            let message = select! {
                changed = self.connections.changed() => return changed.ok().map(|()| Wake::Anything),
                message = self.pointers.next() => message?,
            };
            let scope = message.subject.strip_prefix(self.begin.as_str()).unwrap_or_default();
            let name = format!("pointers/{}", scope.replace('.', "/"));
            if self.names.contains(&name) {
                return Some(Wake::Value { name, value: message.payload.to_vec() });
            }
        }
    }
}
