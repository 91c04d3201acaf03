//! What takes time: asking upstreams and the resolver, timers, purges, local sockets.

use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::host::Refused;
use crate::message::Message;
use crate::name::Name;
use crate::sys;
use crate::tasks::{Brings, Pending};

/// A message that somebody answered.
#[derive(Clone, Debug)]
pub struct Answer(Vec<u8>);

impl Answer {
    /// The message.
    #[must_use]
    pub fn message(&self) -> Message<'_> {
        Message::trusted(&self.0)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Asking, until there is an answer. Once this goes, nobody is asked any more.
#[derive(Debug)]
#[must_use = "nothing is known before it is awaited"]
pub struct Asking(Pending);

impl Future for Asking {
    type Output = Result<Answer, Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let is_message = |bytes: Vec<u8>| match Message::parse(&bytes).is_ok() {
            true => Ok(Answer(bytes)),
            false => Err(Refused::Invalid),
        };
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.and_then(is_message))
    }
}

/// Asks an upstream: one of the manifest's `[allow] forward`, as it is written there. The node gives the
/// query an ID, a port, random letter case and EDNS, asks again and somebody else where nobody answers, and
/// takes no forged answer. It waits for 2 seconds; [`forward_within`] for as long as is said.
pub fn forward(upstream: &str, query: &[u8]) -> Asking {
    forward_within(upstream, query, 0)
}

/// As [`forward`], for at most so many milliseconds.
pub fn forward_within(upstream: &str, query: &[u8], ms: u32) -> Asking {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    Asking(Pending::new(sys::forward(upstream.as_bytes(), query, ms, 0), Brings::Answer))
}

/// As [`forward_within`], through the node's cache.
pub fn forward_cached(upstream: &str, query: &[u8], ms: u32) -> Asking {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    Asking(Pending::new(sys::forward(upstream.as_bytes(), query, ms, 1), Brings::Answer))
}

/// Asks the resolver, through the node's cache. The manifest needs `[allow] resolve = true`.
pub fn resolve(query: &[u8]) -> Asking {
    Asking(Pending::new(sys::resolve(query, 0), Brings::Answer))
}

/// Waits for so many milliseconds, an hour at most.
///
/// # Errors
/// That is too long, or too many timers run.
pub async fn sleep(ms: u32) -> Result<(), Refused> {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    Pending::new(sys::timer(ms), Brings::Bytes).await.map(drop)
}

/// Removes a name, or all names at and below it, from the node's cache. Gives the number of entries that
/// went. The manifest's `[allow] cache_purge` names what may be purged.
///
/// # Errors
/// It is not allowed, or too much is under way.
pub async fn purge(name: Name<'_>, subtree: bool) -> Result<u64, Refused> {
    let bytes = Pending::new(sys::purge(name.as_wire(), i32::from(subtree)), Brings::Bytes).await?;
    let count = bytes.get(..8).ok_or(Refused::Invalid)?;
    Ok(count.iter().rev().fold(0, |count, byte| count << 8 | u64::from(*byte)))
}

/// A stream to a local socket.
///
/// ```
/// # use as112_guest::{Refused, Socket};
/// async fn greet() -> Result<(), Refused> {
///     let mut socket = Socket::open("/run/feed.sock").await?;
///     socket.send(b"hello\n").await?;
///     let _answer = socket.receive().await?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Socket(i32);

impl Socket {
    /// Connects to a path, as the manifest's `[allow] sockets` has it.
    ///
    /// # Errors
    /// It is not allowed, or nobody listens there.
    pub async fn open(path: &str) -> Result<Self, Refused> {
        let pending = Pending::new(sys::open(path.as_bytes()), Brings::Bytes);
        // Closes it, should nobody wait for it to be open.
        let socket = Self(pending.token()?);
        pending.await.map(|_| socket)
    }

    /// Writes bytes, 65,536 at most. It has ended when all are with the kernel.
    ///
    /// # Errors
    /// The other side has closed, or too much waits to be written.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        Pending::new(sys::send(self.0, bytes), Brings::Bytes).await.map(drop)
    }

    /// Waits for bytes, 4,096 at most, and reads them.
    ///
    /// # Errors
    /// The other side has closed.
    pub async fn receive(&mut self) -> Result<Vec<u8>, Refused> {
        let bytes = Pending::new(sys::receive(self.0), Brings::Bytes).await?;
        if bytes.is_empty() {
            return Err(Refused::Closed);
        }
        Ok(bytes)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        sys::close(self.0);
    }
}
