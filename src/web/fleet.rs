//! The numbers of a fleet for Prometheus.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{Request, StatusCode};
use tokio::time::{sleep, timeout};

use super::node::{Answer, Beside, Node, plain, response};
use crate::history::unix_time;
use crate::limits::{HTTP_STEP_MAX, PAGE_WAIT_MAX, PAGE_WAIT_STEP};
use crate::report::prometheus::{Format, nodes};

/// Reads them outside the event loop; while another reads the history, it waits a moment.
pub(super) async fn metrics(node: Arc<Node>, request: &Request<Incoming>, open: Arc<()>) -> Answer {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let format = Format::negotiated(accept.unwrap_or_default());
    let query = request.uri().query().unwrap_or_default();
    let only = match query.strip_prefix("node=") {
        Some(name) => Some(name.to_owned()),
        None if query.is_empty() => None,
        None => return plain(StatusCode::BAD_REQUEST, "Unknown parameter; use node=NAME.\n"),
    };
    let began = Instant::now();
    loop {
        let (reader, held, only) = (Arc::clone(&node), Arc::clone(&open), only.clone());
        let reading = tokio::task::spawn_blocking(move || {
            // It counts as open until this is done, even if the client is gone.
            let _held = held;
            let Beside::Fleet(collected) = &reader.beside else { return None };
            reader.with_history(|stored| {
                nodes::render(stored, collected, only.as_deref(), (unix_time(), format))
            })
        });
        match timeout(HTTP_STEP_MAX.saturating_sub(began.elapsed()), reading).await {
            Ok(Ok(Some(Ok(text)))) => return response(StatusCode::OK, format.content_type(), text.into()),
            Ok(Ok(Some(Err(error)))) => {
                let why = format!("The history cannot be read: {error}; try again later.\n");
                return plain(StatusCode::SERVICE_UNAVAILABLE, &why);
            }
            Ok(Ok(None)) if began.elapsed() < PAGE_WAIT_MAX => sleep(PAGE_WAIT_STEP).await,
            _ => return plain(StatusCode::SERVICE_UNAVAILABLE, "The history is busy: try again.\n"),
        }
    }
}
