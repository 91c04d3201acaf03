//! Direct gets (ADR-31): messages of a stream, without a consumer.

use async_nats::{HeaderMap, Message, StatusCode};
use futures_util::StreamExt as _;
use serde_json::json;

use super::{Api, Nats};
use crate::carry::Fault;

/// A message as it lies in a stream.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) subject: String,
    pub(super) sequence: u64,
    /// When the server stored it, in RFC 3339.
    pub(super) at: String,
    pub(super) payload: bytes::Bytes,
}

impl Nats {
    /// The last message of `subject` in `stream`, as the first of `apis` that answers has it.
    pub(super) async fn last(
        &self,
        apis: &[Api],
        stream: &str,
        subject: &str,
    ) -> Result<Option<Kept>, Fault> {
        let mut failed = None;
        for Api { prefix, patience } in apis {
            let request = format!("{prefix}.DIRECT.GET.{stream}.{subject}");
            match self.ask(request, HeaderMap::new(), Vec::new(), *patience).await {
                Ok(message) => return kept(message),
                Err(fault) => failed = Some(fault),
            }
        }
        Err(failed.unwrap_or_else(|| Fault::Away(format!("{}: nobody to ask", self.url()))))
    }

    /// At most `count` messages from the sequence number `from` on whose subject `filter` matches, and
    /// whether there are more behind them.
    pub(super) async fn some(
        &self,
        api: &Api,
        stream: &str,
        filter: &str,
        from: u64,
        count: usize,
    ) -> Result<(Vec<Kept>, bool), Fault> {
        self.check()?;
        let away = |text: &dyn std::fmt::Display| Fault::Away(format!("{}: {text}", self.url()));
        let inbox = self.client.new_inbox();
        let mut replies = self.client.subscribe(inbox.clone()).await.map_err(|error| away(&error))?;
        let wanted = json!({ "seq": from, "next_by_subj": filter, "batch": count });
        let subject = format!("{}.DIRECT.GET.{stream}", api.prefix);
        let asked = self.client.publish_with_reply(subject, inbox, wanted.to_string().into()).await;
        asked.map_err(|error| away(&error))?;
        let mut found = Vec::new();
        loop {
            let reply = tokio::time::timeout(api.patience, replies.next()).await;
            let Ok(Some(message)) = reply else {
                let why = self.complaint();
                return Err(match why {
                    Some(why) => Fault::Refused(format!("{}: {why}", self.url())),
                    None => away(&format!("no answer about {stream}")),
                });
            };
            if message.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(away(&format!("nothing there answers about {stream}")));
            }
            // The end of the batch: behind it there may be more.
            if message.status.is_some_and(|status| status.as_u16() == 204) {
                let pending = header(&message, "Nats-Num-Pending").parse().unwrap_or(0_u64);
                return Ok((found, pending > 0));
            }
            match kept(message)? {
                // More than was asked for, without an end: it is not what it says.
                Some(_) if found.len() > count => return Err(away(&"it sends more than it was asked for")),
                Some(message) => found.push(message),
                None => return Ok((found, false)),
            }
        }
    }
}

/// What a reply holds, if there is such a message.
fn kept(message: Message) -> Result<Option<Kept>, Fault> {
    match message.status.map(|status| status.as_u16()) {
        None => {}
        Some(404) => return Ok(None),
        Some(status) => {
            let text = message.description.unwrap_or_default();
            return Err(Fault::Refused(format!("the server refuses a direct get: {status} {text}")));
        }
    }
    let subject = header(&message, "Nats-Subject").to_owned();
    let at = header(&message, "Nats-Time-Stamp").to_owned();
    let sequence = header(&message, "Nats-Sequence").parse();
    let sequence = sequence.map_err(|_| Fault::Refused("a direct get without a number".to_owned()))?;
    Ok(Some(Kept { subject, sequence, at, payload: message.payload }))
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    let value = message.headers.as_ref().and_then(|headers| headers.get(name));
    value.map(async_nats::HeaderValue::as_str).unwrap_or_default()
}
