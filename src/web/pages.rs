//! The page over HTTP. Its documents are kept for a while: the public cannot make the node read its
//! history more often than that.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use hyper::StatusCode;
use hyper::header::{HeaderValue, REFRESH, RETRY_AFTER};
use tokio::time::{sleep, timeout};

use super::node::{Answer, Node, plain, response, with_policy};
use crate::history::unix_time;
use crate::limits::{HTTP_STEP_MAX, PAGE_WAIT_MAX, PAGE_WAIT_STEP};
use crate::report::page::{Figures, Page, Span};

/// What a browser may do with a document.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
                                 img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

/// A document made of the figures that are kept or, if they are too old, read again outside the event loop.
/// Where that takes long, or another reads the history, old ones are better than none.
pub(super) async fn page(node: Arc<Node>, page: Page, open: Arc<()>) -> Answer {
    let (began, span) = (Instant::now(), page.span());
    loop {
        let kept = node.kept(span);
        if let Some((read, figures)) = &kept
            && read.elapsed() < span.kept_for()
        {
            return node.document(page, figures);
        }
        let (reader, held) = (Arc::clone(&node), Arc::clone(&open));
        let reading = tokio::task::spawn_blocking(move || {
            // It counts as open until this is done, even if the client is gone.
            let _held = held;
            reader.figures(span)
        });
        match (timeout(HTTP_STEP_MAX.saturating_sub(began.elapsed()), reading).await, kept) {
            (Ok(Ok(Some(Ok(figures)))), _) => return node.document(page, &figures),
            (_, Some((_, old))) => return node.document(page, &old),
            (Ok(Ok(None)), _) if began.elapsed() < PAGE_WAIT_MAX => sleep(PAGE_WAIT_STEP).await,
            (Ok(Ok(Some(Err(error)))), _) => {
                let why = format!("The history cannot be read: {error}; try again later.\n");
                return plain(StatusCode::SERVICE_UNAVAILABLE, &why);
            }
            _ => return later(),
        }
    }
}

/// Asks for patience. What is being read will be there soon: a browser asks again by itself.
fn later() -> Answer {
    let mut answer =
        plain(StatusCode::SERVICE_UNAVAILABLE, "The page is being prepared; retrying in 2 seconds.\n");
    for name in [RETRY_AFTER, REFRESH] {
        answer.headers_mut().insert(name, HeaderValue::from_static("2"));
    }
    answer
}

impl Node {
    fn kept(&self, span: Span) -> Option<(Instant, Arc<Figures>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(&span).cloned()
    }

    /// Reads figures and keeps them; `None` where another reads the history.
    fn figures(&self, span: Span) -> Option<rusqlite::Result<Arc<Figures>>> {
        let read = Instant::now();
        let figures = self.with_history(|stored| {
            Figures::read(stored, span, unix_time(), &self.board.read()).map(Arc::new)
        })?;
        if let Ok(figures) = &figures {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(span, (read, Arc::clone(figures)));
        }
        Some(figures)
    }

    fn document(&self, page: Page, figures: &Figures) -> Answer {
        let body = page.render(figures, &self.board.read(), &self.pace());
        with_policy(response(StatusCode::OK, page.content_type(), body.into()), POLICY)
    }
}
