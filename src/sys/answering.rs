//! Replies that do not leave from the slot of their query: batches of them, on duplicates of the sockets that
//! the queries came in at.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use super::datagram::SendErrors;
use super::mmsg::batch::Batch;
use super::sockets::wildcards;
use crate::limits::{MMSG_BATCH, SLOT_PAYLOAD_LEN};

/// Replies on the sockets of one shard.
pub struct Answering {
    sockets: Vec<UdpSocket>,
    wildcards: Box<[bool]>,
    batch: Batch,
    /// The replies that wait, in the first slots: of which socket, how long, and from which address.
    waiting: Vec<(usize, usize, Option<IpAddr>)>,
    errors: SendErrors,
}

impl Answering {
    /// Sends on `sockets`, which are numbered as those of the shard are.
    ///
    /// # Errors
    /// No memory, or what is given is not a socket.
    pub fn new(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let wildcards = wildcards(&sockets)?;
        let waiting = Vec::with_capacity(MMSG_BATCH);
        Ok(Self { sockets, wildcards, batch: Batch::new()?, waiting, errors: SendErrors::default() })
    }

    /// Bytes of one.
    #[must_use]
    pub const fn memory_len() -> usize {
        Batch::MEMORY_LEN
    }

    /// Takes a reply to `peer` on a socket, from the address `local` that was asked. What does not fit a slot
    /// is lost, and counted; nothing waits for the network.
    pub fn push(&mut self, socket: usize, peer: &SocketAddr, local: IpAddr, reply: &[u8]) {
        let Some(is_wildcard) = self.wildcards.get(socket).filter(|_| reply.len() <= SLOT_PAYLOAD_LEN) else {
            return self.errors.count(libc::EMSGSIZE);
        };
        let source = Some(local).filter(|_| *is_wildcard);
        self.batch.place(self.waiting.len(), peer, reply);
        self.waiting.push((socket, reply.len(), source));
        if self.waiting.len() == MMSG_BATCH {
            self.send();
        }
    }

    /// Sends what waits; what was lost since the last time.
    pub fn flush(&mut self) -> SendErrors {
        self.send();
        std::mem::take(&mut self.errors)
    }

    fn send(&mut self) {
        for (at, socket) in self.sockets.iter().enumerate() {
            self.batch.forget();
            for (slot, (of, len, source)) in self.waiting.iter().enumerate() {
                if *of == at {
                    self.batch.queue(slot, *len, *source);
                }
            }
            self.batch.send_all(socket.as_raw_fd(), &mut self.errors);
        }
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests;
