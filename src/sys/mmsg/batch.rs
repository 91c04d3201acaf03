//! The memory of a batch: its slots, and the arrays that name them to the kernel.
//!
//! ```text
//! slot: | peer 64 | control 128 | payload 2112 |
//! ```

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::ptr;

use crate::limits::{MMSG_BATCH, SLOT_PAYLOAD_LEN};
use crate::sys::address::{self, SOCKADDR_LEN_MAX};
use crate::sys::datagram::{Arrived, Local, SendErrors};
use crate::sys::memory::{Region, array_at, message_head};
use crate::sys::pktinfo::{self, CONTROL_LEN};

const CONTROL_OFF: usize = 64;
const PAYLOAD_OFF: usize = CONTROL_OFF + CONTROL_LEN;
const STRIDE: usize = PAYLOAD_OFF + SLOT_PAYLOAD_LEN;
const _: () = assert!(SOCKADDR_LEN_MAX <= CONTROL_OFF && PAYLOAD_OFF.is_multiple_of(64));

/// What recvmmsg and sendmmsg are given. It holds addresses into the slots and into itself.
#[repr(C)]
struct Arrays {
    received: [libc::mmsghdr; MMSG_BATCH],
    sending: [libc::mmsghdr; MMSG_BATCH],
    received_iovecs: [libc::iovec; MMSG_BATCH],
    sending_iovecs: [libc::iovec; MMSG_BATCH],
}

/// One batch of slots. Message `i` of a batch received is in slot `i`; the replies queued are a subset, in
/// order.
pub(in crate::sys) struct Batch {
    slots: Region,
    arrays: Region,
    /// Messages whose lengths the kernel has overwritten since they were set.
    used: usize,
    /// The replies: `sending[first_queued..end_queued]`.
    first_queued: usize,
    end_queued: usize,
}

impl Batch {
    /// Bytes of one.
    pub(in crate::sys) const MEMORY_LEN: usize = MMSG_BATCH * STRIDE + size_of::<Arrays>();

    pub(in crate::sys) fn new() -> io::Result<Self> {
        let (slots, arrays) = (Region::new(MMSG_BATCH * STRIDE)?, Region::new(size_of::<Arrays>())?);
        let mut batch = Self { slots, arrays, used: 0, first_queued: 0, end_queued: 0 };
        let base = batch.arrays.at(0, size_of::<Arrays>()).cast::<Arrays>();
        for message in 0..MMSG_BATCH {
            let (received, sending) = batch.iovecs(base, message);
            let payload = batch.address(message, PAYLOAD_OFF).cast();
            let iovec = libc::iovec { iov_base: payload, iov_len: SLOT_PAYLOAD_LEN };
            let (name, control) = (batch.address(message, 0), batch.address(message, CONTROL_OFF));
            let name_len = CONTROL_OFF as libc::socklen_t;
            let arrays = batch.arrays();
            arrays.received_iovecs[message] = iovec;
            arrays.received[message].msg_hdr =
                message_head(name.cast(), name_len, received, control, CONTROL_LEN);
            arrays.sending[message].msg_hdr = message_head(ptr::null_mut(), 0, sending, ptr::null_mut(), 0);
        }
        Ok(batch)
    }

    /// The addresses of a message's two iovecs.
    fn iovecs(&self, base: *mut Arrays, message: usize) -> (*mut libc::iovec, *mut libc::iovec) {
        assert!(message < MMSG_BATCH);
        // SAFETY: `base` begins the `Arrays` of `self.arrays`; only an address within them is made.
        let received = unsafe { &raw mut (*base).received_iovecs };
        // SAFETY: as above.
        let sending = unsafe { &raw mut (*base).sending_iovecs };
        (
            received.cast::<libc::iovec>().wrapping_add(message),
            sending.cast::<libc::iovec>().wrapping_add(message),
        )
    }

    /// The address of one byte of a slot; what follows it in the slot is mapped too.
    fn address(&self, message: usize, offset: usize) -> *mut u8 {
        self.slots.at(message * STRIDE + offset, STRIDE - offset)
    }

    fn arrays(&mut self) -> &mut Arrays {
        let base = self.arrays.at(0, size_of::<Arrays>()).cast::<Arrays>();
        // SAFETY: `base` is page-aligned and has the size of `Arrays`, mapped as long as `self` lives. Zeroed
        // pages are a value of it: null pointers and lengths of none. The kernel touches it only during
        // `receive` and `send`, which hold `self` uniquely; so does this reference for its life.
        unsafe { &mut *base }
    }

    fn slot(&mut self, message: usize) -> &mut [u8] {
        let base = self.address(message, 0);
        // SAFETY: `base` begins STRIDE bytes of `slots`, mapped and initialised (zeroed) as long as `self`
        // lives. The kernel touches them only during `receive` and `send`, which hold `self` uniquely; so
        // does this slice.
        unsafe { std::slice::from_raw_parts_mut(base, STRIDE) }
    }

    /// Receives up to a batch from `fd`: recvmmsg with `flags`. Forgets replies still queued.
    pub(in crate::sys) fn receive(&mut self, fd: RawFd, flags: libc::c_int) -> io::Result<usize> {
        self.forget();
        let used = self.used;
        let arrays = self.arrays();
        for message in &mut arrays.received[..used] {
            message.msg_hdr.msg_namelen = CONTROL_OFF as libc::socklen_t;
            // The field's type differs between C libraries; the value is small.
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        let messages = arrays.received.as_mut_ptr();
        // SAFETY: `messages` are MMSG_BATCH heads; the name, control, iovec and payload of each are in
        // `slots` and `arrays`, with the lengths given, and live as long as `self`. No reference to any
        // exists now.
        let result = unsafe {
            // The flags' type differs between C libraries.
            libc::recvmmsg(fd, messages, MMSG_BATCH as libc::c_uint, flags as _, ptr::null_mut())
        };
        let Ok(received) = usize::try_from(result) else { return Err(io::Error::last_os_error()) };
        self.used = received;
        Ok(received)
    }

    /// Lends one message of the batch received, on a socket that may be bound to a wildcard address: what it
    /// is, and the payload's room. `None` if it does not tell whom to answer, or from where.
    pub(in crate::sys) fn datagram(
        &mut self,
        message: usize,
        socket: usize,
        wildcard: bool,
    ) -> Option<(Arrived, &mut [u8])> {
        let received = &self.arrays().received[message];
        let len = (received.msg_len as usize).min(SLOT_PAYLOAD_LEN);
        // Its type differs between C libraries; the kernel returns at most what it was given.
        #[allow(clippy::unnecessary_cast)]
        let control_len = (received.msg_hdr.msg_controllen as usize).min(CONTROL_LEN);
        let (head, payload) = self.slot(message).split_at_mut(PAYLOAD_OFF);
        let peer = address::decode(&array_at(head, 0))?;
        let local = Local::of(wildcard, &head[CONTROL_OFF..][..control_len])?;
        Some((Arrived { socket, peer, local, len }, payload))
    }

    /// Queues the first `len` bytes of a message's payload to go back to its peer, from `source` if that is
    /// given.
    pub(in crate::sys) fn queue(&mut self, message: usize, len: usize, source: Option<IpAddr>) {
        let head = self.slot(message);
        let name_len = address::len_of_family(array_at(head, 0)) as libc::socklen_t;
        let control_len = source.map_or(0, |source| {
            let control = (&mut head[CONTROL_OFF..PAYLOAD_OFF]).try_into().expect("CONTROL_LEN bytes");
            pktinfo::write(control, source)
        });
        let (name, control) = (self.address(message, 0), self.address(message, CONTROL_OFF));
        let payload = self.address(message, PAYLOAD_OFF);
        let place = self.end_queued;
        let arrays = self.arrays();
        arrays.sending_iovecs[place] = libc::iovec { iov_base: payload.cast(), iov_len: len };
        let head = &mut arrays.sending[place].msg_hdr;
        *head = message_head(name.cast(), name_len, head.msg_iov, control, control_len);
        self.end_queued += 1;
    }

    /// Queues a message of our own to `peer`, written by `write` into a payload's room, in the slot of that
    /// number; those of numbers below it are queued. `write` says how many bytes it has.
    pub(in crate::sys) fn compose(
        &mut self,
        message: usize,
        peer: &SocketAddr,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let (head, payload) = self.slot(message).split_at_mut(PAYLOAD_OFF);
        address::encode(peer, head.first_chunk_mut().expect("a head is longer than an address"));
        let len = write(payload).min(SLOT_PAYLOAD_LEN);
        self.queue(message, len, None);
    }
    /// Puts a reply to `peer` into a slot, to be [`queue`](Self::queue)d: at most [`SLOT_PAYLOAD_LEN`] bytes.
    pub(in crate::sys) fn place(&mut self, message: usize, peer: &SocketAddr, reply: &[u8]) {
        let (head, payload) = self.slot(message).split_at_mut(PAYLOAD_OFF);
        let name = head.first_chunk_mut().expect("CONTROL_OFF bytes are enough");
        address::encode(peer, name);
        payload[..reply.len()].copy_from_slice(reply);
    }

    /// Forgets replies still queued.
    pub(in crate::sys) const fn forget(&mut self) {
        (self.first_queued, self.end_queued) = (0, 0);
    }

    /// Sends the queued replies; how many left. sendmmsg stops at the first that fails: that one is lost, and
    /// sending continues after it. Where the send buffer is full it is full for all the others too, and each
    /// would cost a call to hear so.
    pub(in crate::sys) fn send_all(&mut self, fd: RawFd, errors: &mut SendErrors) -> u32 {
        let mut all_sent = 0;
        while self.queued() > 0 {
            match self.send(fd) {
                // At least one: otherwise the call fails.
                Ok(sent) => all_sent += u32::try_from(sent).expect("at most MMSG_BATCH"),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    let lost = if errno == libc::EAGAIN { self.queued() } else { 1 };
                    (0..lost).for_each(|_| errors.count(errno));
                    self.skip(lost);
                }
            }
        }
        all_sent
    }

    /// Messages not yet sent.
    pub(in crate::sys) const fn queued(&self) -> usize {
        self.end_queued - self.first_queued
    }

    /// Sends queued replies until one fails; how many were sent, or the error of the very first.
    pub(in crate::sys) fn send(&mut self, fd: RawFd) -> io::Result<usize> {
        let (first, queued) = (self.first_queued, self.queued());
        let messages = self.arrays().sending[first..].as_mut_ptr();
        // SAFETY: `messages` are `queued` heads that `queue` filled in; what they point to is in `slots` and
        // `arrays` and lives as long as `self`. No reference to any exists now.
        let result = unsafe { libc::sendmmsg(fd, messages, queued as libc::c_uint, libc::MSG_DONTWAIT as _) };
        let Ok(sent) = usize::try_from(result) else { return Err(io::Error::last_os_error()) };
        if sent == 0 {
            // It does not happen; callers may rely on progress.
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.first_queued += sent;
        Ok(sent)
    }

    /// Gives the first `count` queued replies up.
    pub(in crate::sys) const fn skip(&mut self, count: usize) {
        self.first_queued += count;
    }
}
