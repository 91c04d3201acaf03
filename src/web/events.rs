//! A stream of live numbers (server-sent events): a message every few seconds, for a while. A client that
//! reads slowly gets fewer, because none is made before the last one is taken.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use tokio::time::{Interval, interval};

use crate::limits::{HTTP_STREAM_EVERY, HTTP_STREAM_LIFE_MAX};

/// The body of such an answer.
pub(super) struct Events {
    news: Box<dyn Fn() -> String + Send + Sync>,
    every: Interval,
    left: u128,
    /// One of the streams that there may be, until it ends.
    _open: Arc<()>,
}

impl Events {
    /// Each message is what `news` gives then.
    pub(super) fn new(news: Box<dyn Fn() -> String + Send + Sync>, open: Arc<()>) -> Self {
        let messages = HTTP_STREAM_LIFE_MAX.as_millis() / HTTP_STREAM_EVERY.as_millis();
        Self { news, every: interval(HTTP_STREAM_EVERY), left: messages, _open: open }
    }

    fn message(&self, retry: Duration) -> Bytes {
        format!("retry: {}\ndata: {}\n\n", retry.as_millis(), (self.news)()).into()
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.every.poll_tick(context).map(|_| {
            self.left -= 1;
            Some(Ok(Frame::data(self.message(HTTP_STREAM_EVERY))))
        })
    }
}
