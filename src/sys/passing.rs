//! Messages with descriptors between two processes, over a pair of unix sockets.
//!
//! A message is its length and the number of its descriptors, then the descriptors in batches, each of which
//! rides on one byte, then the bytes. The kernel never joins the bytes of two batches in one read, so a batch
//! is read as it was sent.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::limits::{HANDOVER_SEND_MAX, PASSED_AT_ONCE, PASSED_MAX};

/// The byte that a batch of descriptors rides on.
const CARRIER: u8 = b'+';

/// One end of the pair.
#[derive(Debug)]
pub struct Passage(UnixStream);

/// What came in one message.
#[derive(Debug)]
pub struct Parcel {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The descriptors, in the order in which they were sent. They close with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Passage {
    /// Both ends.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (here, there) = UnixStream::pair()?;
        Ok((Self::new(here)?, Self::new(there)?))
    }

    /// The end that `stream` is.
    ///
    /// # Errors
    /// If it is not open.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_write_timeout(Some(HANDOVER_SEND_MAX))?;
        Ok(Self(stream))
    }

    /// Sends a message. The other end gets descriptors of its own for the same files.
    ///
    /// # Errors
    /// `InvalidInput` for more than [`PASSED_MAX`] descriptors or 4 GiB; `WouldBlock` if the other end takes
    /// nothing for [`HANDOVER_SEND_MAX`]; `BrokenPipe` if it is gone.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        if descriptors.len() > PASSED_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut head = [0; 8];
        head[..4].copy_from_slice(&len.to_be_bytes());
        head[4..].copy_from_slice(&(descriptors.len() as u32).to_be_bytes());
        let mut stream = &self.0;
        stream.write_all(&head)?;
        descriptors.chunks(PASSED_AT_ONCE).try_for_each(|batch| send_with(&self.0, &[CARRIER], batch))?;
        stream.write_all(bytes)
    }

    /// Waits for a message of at most `len_max` bytes, as long as `within`, or for ever.
    ///
    /// # Errors
    /// `TimedOut`; `UnexpectedEof` if the other end is gone; `InvalidData` if it sends a malformed message,
    /// or a longer one. After an error nothing more can be received.
    pub fn receive(&self, len_max: usize, within: Option<Duration>) -> io::Result<Parcel> {
        let deadline = within.map(|within| Instant::now() + within);
        let mut head = [0; 8];
        self.read(&mut head, deadline)?;
        let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (len, count) = (number(0) as usize, number(4) as usize);
        if len > len_max || count > PASSED_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut descriptors = Vec::with_capacity(count);
        while descriptors.len() < count {
            let expected = (count - descriptors.len()).min(PASSED_AT_ONCE);
            let before = descriptors.len();
            self.receive_batch(&mut descriptors, deadline)?;
            if descriptors.len() != before + expected {
                // The kernel drops those for which this process has no room.
                let message =
                    "file descriptors were lost in transfer; raise the limit of open files (ulimit -n)";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
        let mut bytes = vec![0; len];
        self.read(&mut bytes, deadline)?;
        Ok(Parcel { bytes, descriptors })
    }

    fn receive_batch(&self, descriptors: &mut Vec<OwnedFd>, deadline: Option<Instant>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_AT_ONCE))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut carrier = [0];
        loop {
            self.wait_until(deadline)?;
            let into = &mut [io::IoSliceMut::new(&mut carrier)];
            match recvmsg(&self.0, into, &mut rights, RecvFlags::CMSG_CLOEXEC) {
                Ok(message) if message.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(in_time(error.into())),
            }
        }
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if carrier[0] == CARRIER { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn read(&self, mut bytes: &mut [u8], deadline: Option<Instant>) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wait_until(deadline)?;
            match (&self.0).read(bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => bytes = &mut bytes[len..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A peer that was killed with our bytes unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Err(error) => return Err(in_time(error)),
            }
        }
        Ok(())
    }

    /// Sets how long the next read may wait.
    fn wait_until(&self, deadline: Option<Instant>) -> io::Result<()> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.set_read_timeout(left)
    }

    /// Whether the other end is gone. Does not wait, and takes nothing that was said, of which there may be
    /// some.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.look(libc::POLLRDHUP, Some(Duration::ZERO), None), Ok([true, _]))
    }

    /// Waits until the other end is gone, but no longer than `within`; whether it is.
    #[must_use]
    pub fn await_end(&self, within: Duration) -> bool {
        matches!(self.look(libc::POLLRDHUP, Some(within), None), Ok([true, _]))
    }

    /// Waits as long as `within` for something to [`receive`](Self::receive), or for the end; no longer than
    /// until the other end of `unless` is closed.
    ///
    /// # Errors
    /// `TimedOut`; `ConnectionAborted` after that end.
    pub fn await_message(&self, within: Option<Duration>, unless: Option<&Self>) -> io::Result<()> {
        match self.look(libc::POLLIN | libc::POLLRDHUP, within, unless)? {
            [_, true] => Err(io::ErrorKind::ConnectionAborted.into()),
            [true, _] => Ok(()),
            [false, false] => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits until there is one of these `events` here, or the end at `other`, as poll(2) does; which of it.
    fn look(
        &self,
        events: libc::c_short,
        within: Option<Duration>,
        other: Option<&Self>,
    ) -> io::Result<[bool; 2]> {
        let deadline = within.map(|within| Instant::now() + within);
        let polled = |passage: Option<&Self>, events| libc::pollfd {
            // poll passes a negative descriptor over.
            fd: passage.map_or(-1, |passage| passage.0.as_raw_fd()),
            events,
            revents: 0,
        };
        let mut fds = [polled(Some(self), events), polled(other, libc::POLLRDHUP)];
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            // Rounded up: no loop without a wait before the deadline.
            let left = left.map_or(-1, |left| left.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32);
            // SAFETY: the kernel reads and writes the two entries of `fds`, which is ours, during the call.
            let found = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, left) };
            if found >= 0 {
                return Ok(fds.map(|fd| fd.revents != 0));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    /// Wakes whoever waits at either end: it finds that the other is gone.
    pub fn close(&self) {
        // An end that is gone already cannot be closed again.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    /// This end alone: bytes, and no longer messages.
    #[must_use]
    pub fn into_stream(self) -> UnixStream {
        self.0
    }

    /// A second handle of the same end.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }
}

impl AsFd for Passage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Passage> for OwnedFd {
    fn from(passage: Passage) -> Self {
        passage.0.into()
    }
}

/// Sends `bytes` in one piece over a unix socket, with `descriptors`, of which there are [`PASSED_AT_ONCE`]
/// at most.
///
/// # Errors
/// What the kernel says, as for a socket that is full.
pub fn send_with(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_AT_ONCE))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !rights.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let bytes = [io::IoSlice::new(bytes)];
    loop {
        match sendmsg(&socket, &bytes, &mut rights, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the kernel says when a wait was too long.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const SOON: Option<Duration> = Some(Duration::from_secs(10));

    #[test]
    fn sockets_pass_in_their_order_with_what_is_queued_in_them() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for count in [0, 1, PASSED_AT_ONCE, PASSED_AT_ONCE + 1, 300] {
            let (here, there) = Passage::pair().unwrap();
            let sockets: Vec<UdpSocket> =
                (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
            for (index, socket) in sockets.iter().enumerate() {
                client.send_to(&index.to_be_bytes(), socket.local_addr().unwrap()).unwrap();
            }
            let sender = std::thread::spawn(move || {
                let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
                here.send(b"sockets", &descriptors).unwrap();
                here.send(b"", &[]).unwrap();
            });
            let parcel = there.receive(7, SOON).unwrap();
            assert!(there.receive(0, SOON).unwrap().bytes.is_empty());
            sender.join().unwrap();
            assert_eq!((&parcel.bytes[..], parcel.descriptors.len()), (&b"sockets"[..], count));
            for (index, descriptor) in parcel.descriptors.into_iter().enumerate() {
                let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
                let mut bytes = [0; 8];
                assert_eq!(UdpSocket::from(descriptor).recv(&mut bytes).unwrap(), 8);
                assert_eq!(usize::from_be_bytes(bytes), index);
            }
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let kind = |sent: &[u8], closed: bool| {
            let (here, there) = Passage::pair().unwrap();
            (&here.0).write_all(sent).unwrap();
            let kept = (!closed).then_some(here);
            let error = there.receive(100, Some(Duration::from_millis(50))).unwrap_err();
            drop(kept);
            error.kind()
        };
        assert_eq!(kind(b"", true), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(b"\0\0\0\x01", true), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(b"\0\0\0\x01\0\0\0\0", false), io::ErrorKind::TimedOut);
        assert_eq!(kind(b"\0\0\0\x65\0\0\0\0", false), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"GET / HTTP/1.1\r\n", false), io::ErrorKind::InvalidData);
        assert_eq!(kind(b"\0\0\0\x01\0\0\0\x01+x", false), io::ErrorKind::InvalidData, "no descriptor");
        assert_eq!(kind(b"", false), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_end_that_takes_nothing_or_is_gone_is_an_error() {
        let (here, there) = Passage::pair().unwrap();
        here.0.set_write_timeout(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(here.send(&vec![0; 1 << 20], &[]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(there);
        assert_eq!(here.send(b"x", &[]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        let (here, there) = Passage::pair().unwrap();
        let waiting = std::thread::spawn(move || there.receive(1, None).unwrap_err().kind());
        here.close();
        assert_eq!(waiting.join().unwrap(), io::ErrorKind::UnexpectedEof);
    }
    #[test]
    fn an_end_is_seen_also_after_what_nobody_has_read() {
        let (here, there) = Passage::pair().unwrap();
        assert!(!here.has_ended() && !here.await_end(Duration::from_millis(1)));
        there.send(b"done", &[]).unwrap();
        assert!(!here.has_ended(), "it has said something, and is there");
        drop(there);
        assert!(here.has_ended() && here.await_end(Duration::from_secs(10)));
        assert_eq!(here.receive(4, SOON).unwrap().bytes, b"done", "nothing was taken");
        assert!(here.has_ended());
    }

    #[test]
    fn a_wait_for_a_message_can_be_called_off() {
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        let ((here, there), (off, caller)) = (Passage::pair().unwrap(), Passage::pair().unwrap());
        assert_eq!(
            kind(here.await_message(Some(Duration::from_millis(5)), Some(&off))),
            Err(io::ErrorKind::TimedOut)
        );
        there.send(b"x", &[]).unwrap();
        assert_eq!(kind(here.await_message(None, Some(&off))), Ok(()));
        assert_eq!(here.receive(1, SOON).unwrap().bytes, b"x");
        let calling = std::thread::spawn(move || drop(caller));
        assert_eq!(kind(here.await_message(None, Some(&off))), Err(io::ErrorKind::ConnectionAborted));
        calling.join().unwrap();
        drop(there);
        assert_eq!(kind(here.await_message(None, None)), Ok(()), "the end is heard");
    }
}
