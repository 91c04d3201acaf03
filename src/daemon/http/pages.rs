//! The page over HTTP. Its documents are kept for a while, so that the public cannot make the node read its
//! history more often than that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use hyper::body::Bytes;
use hyper::{HeaderMap, StatusCode};
use tokio::time::{sleep, timeout};

use super::super::written::{Written, choice};
use super::{Answer, Node, plain, response, with_policy};
use crate::limits::{HTTP_STEP_MAX, PAGE_WAIT_MAX, PAGE_WAIT_STEP};
use crate::report::history::unix_time;
use crate::report::page::{Page, operator};

/// Who may see the operator's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeView {
    /// Whoever asks from this host itself.
    #[default]
    Loopback,
    /// Whoever can ask.
    Everywhere,
}

impl Written for NodeView {
    const EXPECTED: &'static str = "\"loopback\" or \"everywhere\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("loopback", Self::Loopback), ("everywhere", Self::Everywhere)])
    }
}

impl NodeView {
    /// Whether a request that came from `peer` may see it. One that was passed on by a proxy came from elsewhere.
    fn is_open_to(self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let is_passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
            .iter()
            .any(|name| headers.contains_key(*name));
        self == Self::Everywhere || (peer.to_canonical().is_loopback() && !is_passed_on)
    }
}

/// The documents that were made, and when.
pub(super) type Kept = HashMap<Page, (Instant, Bytes)>;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document as it is kept or, if that is too old, made anew beside the event loop. Where that takes long, or
/// another reads the history, this gives the old one rather than none.
pub(super) async fn page(node: Arc<Node>, page: Page, open: Arc<()>) -> Answer {
    let began = Instant::now();
    loop {
        let kept = node.kept(page);
        if let Some((made, body)) = &kept
            && made.elapsed() < page.kept_for()
        {
            return document(page, body.clone());
        }
        let (making, held) = (Arc::clone(&node), Arc::clone(&open));
        let make = move || {
            // It counts as open until this is done, even if the client is gone.
            let _held = held;
            making.make(page)
        };
        let making = tokio::task::spawn_blocking(make);
        let refused = |why: &str| plain(StatusCode::SERVICE_UNAVAILABLE, why);
        match (timeout(HTTP_STEP_MAX.saturating_sub(began.elapsed()), making).await, kept) {
            (Ok(Ok(Some(Ok(body)))), _) => return document(page, body),
            (_, Some((_, old))) => return document(page, old),
            (Ok(Ok(None)), _) if began.elapsed() < PAGE_WAIT_MAX => sleep(PAGE_WAIT_STEP).await,
            (Ok(Ok(Some(Err(error)))), _) => {
                return refused(&format!("The history cannot be read: {error}; try again later.\n"));
            }
            (Ok(_), _) => return refused("Somebody else reads the history: try again.\n"),
            (Err(_), _) => return refused("This takes a moment longer: try again in a few seconds.\n"),
        }
    }
}

fn document(page: Page, body: Bytes) -> Answer {
    with_policy(response(StatusCode::OK, page.content_type(), body), POLICY)
}

impl Node {
    fn kept(&self, page: Page) -> Option<(Instant, Bytes)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&page).cloned()
    }

    /// Makes a document and keeps it; `None` where another reads the history.
    fn make(&self, page: Page) -> Option<rusqlite::Result<Bytes>> {
        let stored = self.stored.try_lock().ok()?;
        let made = Instant::now();
        let body = page.render(&stored, &self.board.read(), &self.pace(), unix_time());
        Some(body.map(|body| {
            let body = Bytes::from(body);
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(page, (made, body.clone()));
            body
        }))
    }

    /// The operator's view, for those who may see it.
    pub(super) fn operator(&self, peer: IpAddr, headers: &HeaderMap) -> Answer {
        if !self.node_view.is_open_to(peer, headers) {
            return plain(
                StatusCode::FORBIDDEN,
                "This view is for the operator: ask from the node itself, or open it with [http] node_view.\n",
            );
        }
        let body = operator::render(&self.board.read(), &self.pace());
        with_policy(response(StatusCode::OK, "text/html; charset=utf-8", body.into()), POLICY)
    }
}
