//! A fleet's tree at a server of NATS: values in streams, objects in an object store (ADR-20).
//!
//! A node has no consumer there. It is woken by a plain subscription, which costs the hub some kilobytes, and
//! reads by direct gets, which any replica and any mirror answers. Behind a leaf it asks the hub first for
//! values, which are small and should be of now, and the leaf first for objects, which are large and never
//! change.

mod direct;
mod objects;
mod values;
mod wakes;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Message, Request, ServerError};
use rand::RngExt as _;
use tokio::sync::watch;

use super::{Access, Fault};
use crate::limits::{HUB_TIMEOUT, NATS_BUFFER_LEN, NATS_PING, NATS_TIMEOUT, RECONNECT_PAUSE_MAX};
use crate::limits::{MESSAGES_WAITING_MAX, VALUE_LEN_MAX};

pub use values::{Feed, Told};
pub(super) use wakes::Wakes;

/// The oldest server that has what is needed: several messages in one direct get.
const VERSION_MIN: (u64, u64) = (2, 11);

/// A connection to a server of NATS, which comes and goes by itself.
#[derive(Clone)]
pub struct Nats {
    client: Client,
    url: String,
    fleet: String,
    domain: Option<String>,
    connections: watch::Receiver<u64>,
    complaint: Complaint,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nats").field("url", &self.url).field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

/// What the server has last complained of: it tells that apart from the request that it refuses.
type Complaint = Arc<Mutex<Option<String>>>;

/// Who is asked: the server that we are connected to, or the hub behind it.
#[derive(Clone, Debug)]
struct Api {
    prefix: String,
    patience: Duration,
}

impl Nats {
    /// The tree of `fleet` at the server at `url`. It is connected to now, or whenever it is there.
    pub(super) async fn open(url: &str, access: &Access, fleet: &str) -> Result<Self, Fault> {
        let (connected, connections) = watch::channel(0);
        let complaint = Complaint::default();
        let options = options(access)?.event_callback({
            let complaint = Arc::clone(&complaint);
            move |event| {
                note(&event, &connected, &complaint);
                std::future::ready(())
            }
        });
        let refused = |error: async_nats::ConnectError| Fault::Refused(format!("{url}: {error}"));
        let client = options.connect(url).await.map_err(refused)?;
        let (url, fleet, domain) = (url.to_owned(), fleet.to_owned(), access.domain.clone());
        Ok(Self { client, url, fleet, domain, connections, complaint })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits until there is a connection, at most for `patience`.
    pub(super) async fn connected(&self, patience: Duration) -> Result<(), Fault> {
        let mut connections = self.connections.clone();
        let wait = async {
            while self.client.connection_state() != State::Connected {
                if connections.changed().await.is_err() {
                    return;
                }
            }
        };
        // Who waited in vain is told why by `check`.
        let _ = tokio::time::timeout(patience, wait).await;
        self.check()
    }

    /// That there is a connection, and that the server is not too old.
    fn check(&self) -> Result<(), Fault> {
        if self.client.connection_state() != State::Connected {
            let why = self.complaint().unwrap_or_else(|| "there is no connection".to_owned());
            return Err(Fault::Away(format!("{}: {why}", self.url)));
        }
        let version = self.client.server_info().version;
        let mut numbers = version.split(['.', '-']).map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= VERSION_MIN => Ok(()),
            _ => {
                let (major, minor) = VERSION_MIN;
                let text = format!("{}: it is nats-server {version}; use {major}.{minor} or newer", self.url);
                Err(Fault::Refused(text))
            }
        }
    }

    /// What the server has complained of since this was asked last.
    #[must_use]
    pub fn complaint(&self) -> Option<String> {
        self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The hub where values are changed.
    fn hub(&self) -> Api {
        let prefix =
            self.domain.as_ref().map_or_else(|| "$JS.API".to_owned(), |name| format!("$JS.{name}.API"));
        Api { prefix, patience: NATS_TIMEOUT }
    }

    /// Whom one asks for a value, in this order.
    fn for_values(&self) -> Vec<Api> {
        let hub = self.hub();
        if self.domain.is_none() {
            return vec![hub];
        }
        vec![Api { patience: HUB_TIMEOUT, ..hub }, self.leaf()]
    }

    /// Whom one asks for an object.
    fn for_objects(&self) -> Vec<Api> {
        if self.domain.is_none() { vec![self.hub()] } else { vec![self.leaf(), self.hub()] }
    }

    fn leaf(&self) -> Api {
        Api { prefix: "$JS.API".to_owned(), patience: NATS_TIMEOUT }
    }

    /// One request, one reply.
    async fn ask(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Vec<u8>,
        patience: Duration,
    ) -> Result<Message, Fault> {
        self.check()?;
        drop(self.complaint());
        let request = Request::new().headers(headers).payload(payload.into()).timeout(Some(patience));
        let failed = match self.client.send_request(subject.clone(), request).await {
            Ok(message) => return Ok(message),
            Err(error) => error,
        };
        let url = &self.url;
        Err(match (failed.kind(), self.complaint()) {
            // It says nothing to whom it refuses something, but complains on the connection.
            (_, Some(complaint)) => Fault::Refused(format!("{url}: {complaint}")),
            (RequestErrorKind::NoResponders, None) => Fault::Away(format!(
                "{url}: nothing there answers to {subject}; has the fleet been published?"
            )),
            (RequestErrorKind::TimedOut, None) => Fault::Away(format!("{url}: no answer to {subject}")),
            (RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject, None) => {
                Fault::Refused(format!("{url}: {failed}"))
            }
            (RequestErrorKind::Other, None) => Fault::Away(format!("{url}: {failed}")),
        })
    }
}

fn note(event: &Event, connected: &watch::Sender<u64>, complaint: &Complaint) {
    let text = match event {
        Event::Connected => {
            connected.send_modify(|connections| *connections += 1);
            return;
        }
        Event::ServerError(ServerError::Other(text)) => text.clone(),
        Event::ServerError(error) => error.to_string(),
        Event::ClientError(error) => error.to_string(),
        _ => return,
    };
    *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
}

fn options(access: &Access) -> Result<ConnectOptions, Fault> {
    let mut options = ConnectOptions::new()
        .retry_on_initial_connect()
        .max_reconnects(None)
        .ignore_discovered_servers()
        .ping_interval(NATS_PING)
        .read_buffer_capacity(NATS_BUFFER_LEN)
        .subscription_capacity(MESSAGES_WAITING_MAX)
        .reconnect_delay_callback(pause);
    if let Some(name) = &access.name {
        // Who may subscribe to the inboxes of all reads what others are answered.
        options = options.name(name).custom_inbox_prefix(format!("_INBOX.{name}"));
    }
    if let Some(seed) = &access.nkey {
        options = options.nkey(secret(seed)?);
    }
    if let (Some(user), Some(password)) = (&access.user, &access.password_file) {
        options = options.user_and_password(user.clone(), secret(password)?);
    }
    if let Some(ca) = &access.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    Ok(options)
}

/// What a file holds that is nobody else's.
fn secret(file: &Path) -> Result<String, Fault> {
    let failed = |why: String| Fault::Refused(format!("{}: {why}", file.display()));
    let bytes = as112d::sys::files::read(file, VALUE_LEN_MAX).map_err(|error| failed(error.to_string()))?;
    let mode = fs::metadata(file).map(|found| std::os::unix::fs::PermissionsExt::mode(&found.permissions()));
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        return Err(failed("everybody can read or write it; chmod 0600".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not text".to_owned()))?;
    Ok(text.trim().to_owned())
}

/// How long to wait before the attempt with this number (from 1 on).
fn pause(attempt: usize) -> Duration {
    let bound = Duration::from_secs(1 << attempt.saturating_sub(1).min(6)).min(RECONNECT_PAUSE_MAX);
    rand::rng().random_range(Duration::ZERO..bound)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn pauses_grow_and_are_never_the_same() {
        for (attempt, bound) in [(0, 1), (1, 1), (2, 2), (6, 32), (7, 60), (1000, 60)] {
            let pauses: Vec<Duration> = (0..100).map(|_| pause(attempt)).collect();
            assert!(pauses.iter().all(|pause| *pause < Duration::from_secs(bound)), "{attempt}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(bound) / 2), "{attempt}");
            assert!(pauses.iter().any(|pause| *pause < Duration::from_secs(bound) / 2), "{attempt}");
        }
    }

    #[test]
    fn a_secret_is_nobody_elses() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "SUA...\n").unwrap();
        assert_eq!(secret(file.path()), Ok("SUA...".to_owned()));
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(secret(file.path()), Err(Fault::Refused(text)) if text.ends_with("chmod 0600")));
    }
}
