//! Queries over UDP and TCP, each answered by a task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::recursor::Recursor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::reply::Asked;
use crate::limits::{
    QUERY_LEN_MAX, RESOLVER_CONNECTIONS_MAX, RESOLVER_IDLE_MAX, RESOLVER_QUERIES_MAX, RESOLVER_TIME_MAX,
};

/// Who resolves, and how much at a time.
pub(super) struct Serving {
    recursor: Recursor<TokioRuntimeProvider>,
    /// For those who validate themselves, where the other one validates: what fails there is an error.
    unchecked: Option<Recursor<TokioRuntimeProvider>>,
    room: Arc<Semaphore>,
}

impl Serving {
    pub(super) fn new(
        recursor: Recursor<TokioRuntimeProvider>,
        unchecked: Option<Recursor<TokioRuntimeProvider>>,
    ) -> Arc<Self> {
        Arc::new(Self { recursor, unchecked, room: Arc::new(Semaphore::new(RESOLVER_QUERIES_MAX)) })
    }

    async fn reply(&self, asked: &Asked, wrong: Option<ResponseCode>) -> Message {
        if let Some(code) = wrong {
            return asked.code(code);
        }
        let unchecked = self.unchecked.as_ref().filter(|_| asked.checking_disabled());
        let recursor = unchecked.unwrap_or(&self.recursor);
        let resolved = recursor.resolve(asked.query(), Instant::now(), asked.dnssec_ok());
        match timeout(RESOLVER_TIME_MAX, resolved).await {
            Ok(outcome) => asked.told(outcome, recursor.is_validating()),
            Err(_) => asked.code(ResponseCode::ServFail),
        }
    }

    /// Reads a query, if there is room for one more.
    fn take(&self, bytes: &[u8]) -> Option<(Asked, Option<ResponseCode>, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let (asked, wrong) = Asked::read(bytes)?;
        Some((asked, wrong, permit))
    }
}

/// Serves datagrams, for ever.
///
/// # Errors
/// If the socket has failed for good.
pub(super) async fn datagrams(serving: Arc<Serving>, socket: UdpSocket) -> io::Result<()> {
    let socket = Arc::new(socket);
    let mut bytes = vec![0; QUERY_LEN_MAX];
    loop {
        let (len, peer) = match socket.recv_from(&mut bytes).await {
            Ok(received) => received,
            // Who asked is gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => return Err(error),
        };
        let Some((asked, wrong, permit)) = serving.take(&bytes[..len]) else { continue };
        let (serving, socket) = (Arc::clone(&serving), Arc::clone(&socket));
        tokio::spawn(async move {
            let reply = serving.reply(&asked, wrong).await;
            send(&socket, peer, asked.to_datagram(&reply)).await;
            drop(permit);
        });
    }
}

/// A reply that cannot be sent is lost, as any datagram may be.
async fn send(socket: &UdpSocket, peer: SocketAddr, reply: Option<Vec<u8>>) {
    if let Some(reply) = reply {
        let _ = socket.send_to(&reply, peer).await;
    }
}

/// Serves connections, for ever.
///
/// # Errors
/// If the listener has failed for good.
pub(super) async fn connections(serving: Arc<Serving>, listener: TcpListener) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(RESOLVER_CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let serving = Arc::clone(&serving);
                tokio::spawn(async move {
                    // It has ended, in whichever way.
                    let _ = connection(serving, stream).await;
                    drop(permit);
                });
            }
            // As many files are open as may be, or the client has gone: the next one may fare better.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
    Ok(())
}

/// Answers may overtake each other (RFC 7766, section 6.2.1.1). What waits to be sent is bounded by the room
/// for queries.
async fn connection(serving: Arc<Serving>, stream: TcpStream) -> io::Result<()> {
    let (mut from, mut to) = stream.into_split();
    let (replies, mut ready) = mpsc::channel::<(Vec<u8>, OwnedSemaphorePermit)>(RESOLVER_QUERIES_MAX);
    let writer = tokio::spawn(async move {
        while let Some((reply, permit)) = ready.recv().await {
            let len = (reply.len() as u16).to_be_bytes();
            let message = [&len[..], &reply].concat();
            timeout(RESOLVER_IDLE_MAX, to.write_all(&message)).await.map_err(io::Error::from)??;
            drop(permit);
        }
        to.shutdown().await
    });
    while !replies.is_closed() {
        let mut bytes = Vec::new();
        let message = async {
            let len = from.read_u16().await?;
            bytes.resize(usize::from(len), 0);
            from.read_exact(&mut bytes).await
        };
        if !matches!(timeout(RESOLVER_IDLE_MAX, message).await, Ok(Ok(_))) {
            break;
        }
        let Some((asked, wrong, permit)) = serving.take(&bytes) else { break };
        let (serving, replies) = (Arc::clone(&serving), replies.clone());
        tokio::spawn(async move {
            let reply = serving.reply(&asked, wrong).await;
            if let Ok(bytes) = reply.to_vec() {
                // The connection may be gone.
                let _ = replies.send((bytes, permit)).await;
            }
        });
    }
    drop(replies);
    writer.await.map_err(io::Error::other)?
}
