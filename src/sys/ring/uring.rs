//! The real kernel: one io_uring, used by the thread that made it.
//!
//! Set-up: single issuer, deferred task work (receives happen in our `enter` and nowhere else), and
//! restrictions that leave the ring nothing but to receive, send and cancel on its registered sockets. No
//! SQPOLL, links, zero-copy, bundles or incremental buffers: for single small datagrams each of them loses or
//! breaks something.
//!
//! # When a slot may go back
//!
//! A reply is sent from the slot that its query came in, so that slot must not be filled again before the
//! kernel has copied the reply. *A slot goes back when, after `enter`, the head of the submission queue has
//! passed its send.* Proof:
//!
//! 1. The kernel advances the head past an entry only in `enter`, after reading it, and there issues it
//!    before the next one: no SQPOLL thread exists, and no link, drain or forced-async flag makes an entry
//!    wait (the restrictions deny those flags).
//! 2. The send has MSG_DONTWAIT, so issuing it ends it: a full send buffer fails it with EAGAIN instead of
//!    parking it. A UDP send that succeeded has copied address, control data and payload into a packet of the
//!    kernel's.
//! 3. So when `enter` returns, an entry that the head has passed is over, and nothing reads its slot. Entries
//!    not passed stay queued, with their slots, for the next `enter`. `queued` has one element per entry, in
//!    order, so the elements in front of the head's new place are those slots.
//! 4. Recycling *before* `enter` would often work, as sends precede receives in it, and would be wrong: when
//!    the kernel takes only a part of the queue, a receive could overwrite a reply not yet read.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use io_uring::register::Restriction;
use io_uring::squeue::{self, Flags};
use io_uring::types::{BufRingEntry, CancelBuilder, Fixed, Napi, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, opcode};

use super::kernel::{Completion, Entered, Kernel};
use super::slots::{Reply, Slot, Slots};
use super::{NAPI, RingError};
use crate::limits::RING_END_TURNS_MAX;
use crate::sys::memory::{Region, message_head};

/// The one group of buffers that all sockets of a ring share.
const GROUP: u16 = 0;
/// `user_data` of a receive is the socket's index; these mark the other requests.
const SENT: u64 = 1 << 32;
const CANCELLED: u64 = 1 << 33;
// From linux/io_uring.h: constants that the crate does not export.
const REGISTER_UNREGISTER_FILES: u8 = 3;
const REGISTER_RING_FDS: u8 = 20;
const REGISTER_UNREGISTER_RING_FDS: u8 = 21;
const CQE_BUFFER_SHIFT: u32 = 16;

/// An io_uring with its sockets and slots.
pub(super) struct Uring {
    // Fields drop in this order: the ring first, then what it used.
    ring: IoUring,
    registered: RegisteredFd,
    buffers: Buffers,
    slots: Slots,
    /// The slot of each queued entry that is a send, in the order of the submission queue.
    queued: VecDeque<Option<Slot>>,
    /// The msghdr that every receive is armed with; the kernel may read it as long as one is armed.
    head: Box<libc::msghdr>,
    sockets: Vec<UdpSocket>,
    /// Receives that are armed: while there is one, the kernel may write to slots.
    receiving: usize,
}

impl Uring {
    /// Sets up the ring on the calling thread, the only one that may use it. Errors name the step that was
    /// refused.
    pub(super) fn new(
        sockets: Vec<UdpSocket>,
        slot_count: u16,
        wildcards: Box<[bool]>,
        busy_poll: usize,
    ) -> Result<Self, RingError> {
        let step = |step| move |error| RingError::Refused { step, error };
        // A reply for each slot, and for each socket a receive and two cancellations.
        let entries = (u32::from(slot_count) + 3 * sockets.len() as u32).next_power_of_two();
        let ring = build(entries).map_err(step("io_uring_setup"))?;
        let files: Vec<RawFd> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let submitter = ring.submitter();
        submitter.register_restrictions(&mut restrictions()).map_err(step("IORING_REGISTER_RESTRICTIONS"))?;
        submitter.register_files(&files).map_err(step("IORING_REGISTER_FILES"))?;
        if busy_poll > 0 {
            let micros = u32::try_from(busy_poll).unwrap_or(u32::MAX);
            let mut napi = Napi::new().set_busy_poll_timeout(micros);
            submitter.register_napi(&mut napi).map_err(step(NAPI))?;
        }
        let slots = Slots::new(slot_count, wildcards).map_err(step("mmap of the slots"))?;
        let buffers = Buffers::new(&ring, slot_count, &slots).map_err(step("IORING_REGISTER_PBUF_RING"))?;
        let registered = RegisteredFd::new(&ring).map_err(step("IORING_REGISTER_RING_FDS"))?;
        if let Err(error) = submitter.register_enable_rings() {
            registered.close(&ring);
            return Err(step("IORING_REGISTER_ENABLE_RINGS")(error));
        }
        let (name_len, control_len) = slots.asked_lens();
        let mut head = Box::new(empty_head());
        // With a buffer group, lengths without addresses say how much of a slot's head is name, and how much
        // control.
        head.msg_namelen = name_len as libc::socklen_t;
        head.msg_controllen = control_len as _;
        let queued = VecDeque::with_capacity(entries as usize);
        Ok(Self { ring, registered, buffers, slots, queued, head, sockets, receiving: 0 })
    }

    /// Bytes of one: an entry of the submission queue has 64; one of completions has 16, and there are twice
    /// as many.
    pub(super) fn memory_len(slot_count: usize, sockets: usize) -> usize {
        let entries = (slot_count + 3 * sockets).next_power_of_two();
        let queues = entries * (64 + size_of::<u32>() + 2 * 16 + size_of::<Option<Slot>>());
        slot_count * (Slots::LEN_MAX + size_of::<BufRingEntry>()) + queues
    }

    pub(super) fn sockets(&self) -> &[UdpSocket] {
        &self.sockets
    }

    /// Closes the ring and returns the sockets, and which of them are bound to wildcard addresses.
    pub(super) fn into_sockets(mut self) -> (Vec<UdpSocket>, Box<[bool]>) {
        self.quiesce();
        (std::mem::take(&mut self.sockets), self.slots.wildcards().into())
    }

    /// Queues one entry. `slot` is what it sends from.
    fn push(&mut self, entry: &squeue::Entry, slot: Option<Slot>) {
        // SAFETY: the addresses in `entry` are (a) `head`, boxed and kept by `self` as long as receives are
        // armed, or (b) of the slot that is put into `queued` here, whose bytes nobody touches before `enter`
        // has seen the kernel take the entry. `Slots` keeps that memory mapped, if need be for ever.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("the queue has an entry for each slot and three for each socket");
        self.queued.push_back(slot);
    }

    /// Cancels all receives without answering, for the memory to be freed.
    fn quiesce(&mut self) {
        if self.receiving > 0 {
            (0..self.sockets.len()).for_each(|socket| self.cancel(socket));
        }
        for _ in 0..RING_END_TURNS_MAX {
            if self.receiving == 0 || self.enter(Duration::from_millis(10)).is_err() {
                break;
            }
            while let Some(completion) = self.completion() {
                if let Completion::Receive { slot: Some(slot), .. } = completion {
                    self.recycle(slot);
                }
            }
        }
    }
}

impl Kernel for Uring {
    fn slots(&mut self) -> &mut Slots {
        &mut self.slots
    }

    fn arm(&mut self, socket: usize) {
        let entry = opcode::RecvMsgMulti::new(Fixed(socket as u32), &raw const *self.head, GROUP)
            .build()
            .flags(Flags::FIXED_FILE)
            .user_data(socket as u64);
        self.push(&entry, None);
        self.receiving += 1;
    }

    fn cancel(&mut self, socket: usize) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::user_data(socket as u64))
            .build()
            .flags(Flags::FIXED_FILE)
            .user_data(CANCELLED);
        self.push(&entry, None);
    }

    #[inline]
    fn send(&mut self, socket: usize, mut slot: Slot, reply: Reply) {
        let fd = Fixed(socket as u32);
        let entry = match reply.source {
            None => {
                let (peer, peer_len) = self.slots.peer(&mut slot);
                opcode::Send::new(fd, self.slots.payload(&slot), reply.len as u32)
                    .flags(libc::MSG_DONTWAIT)
                    .dest_addr(peer)
                    .dest_addr_len(peer_len)
                    .build()
            }
            Some(source) => opcode::SendMsg::new(fd, self.slots.message(&mut slot, reply.len, source))
                .flags(libc::MSG_DONTWAIT as u32)
                .build(),
        };
        self.push(&entry.flags(Flags::FIXED_FILE | Flags::SKIP_SUCCESS).user_data(SENT), Some(slot));
    }

    #[inline]
    fn recycle(&mut self, slot: Slot) {
        let len = self.slots.slot_len();
        let number = self.slots.recycle(slot);
        self.buffers.add(number, self.slots.address(number), len);
    }

    fn enter(&mut self, wait: Duration) -> io::Result<Entered> {
        self.buffers.publish();
        let result = self.registered.enter(self.queued.len(), wait);
        let submission = self.ring.submission();
        let (left, overflow) = (submission.len(), submission.cq_overflow());
        drop(submission);
        let mut entered = Entered { taken: 0, short: left > 0, overflow };
        for _ in left..self.queued.len() {
            if let Some(Some(slot)) = self.queued.pop_front() {
                self.recycle(slot);
                entered.taken += 1;
            }
        }
        match result {
            Ok(()) => Ok(entered),
            // In this order: time-out; signal; no memory for a request (twice); completions to be read first.
            // All are transient.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::ENOMEM | libc::EBUSY) => Ok(entered),
                _ => Err(error),
            },
        }
    }

    #[inline]
    fn completion(&mut self) -> Option<Completion> {
        let cqe = self.ring.completion().next()?;
        let (tag, result, flags) = (cqe.user_data(), cqe.result(), cqe.flags());
        if tag == SENT {
            return Some(Completion::SendFailed { errno: -result });
        }
        if tag == CANCELLED {
            return Some(Completion::Other);
        }
        let socket = usize::try_from(tag).ok().filter(|&socket| socket < self.sockets.len());
        let Some(socket) = socket else { return Some(Completion::Nonsense) };
        let slot = if io_uring::cqueue::buffer_select(flags).is_some() {
            let Some(slot) = self.slots.take_filled((flags >> CQE_BUFFER_SHIFT) as u16) else {
                return Some(Completion::Nonsense);
            };
            Some(slot)
        } else {
            None
        };
        let more = io_uring::cqueue::more(flags);
        self.receiving = self.receiving.saturating_sub(usize::from(!more));
        Some(Completion::Receive { socket, result, slot, more })
    }
}

impl Drop for Uring {
    /// Closes ring and sockets in a way that frees the ports at once; left alone, the kernel takes up to
    /// 48 ms.
    fn drop(&mut self) {
        self.quiesce();
        if self.receiving > 0 {
            // A receive could still complete into the slots, and reads `head`.
            self.slots.keep_mapped();
            Box::leak(std::mem::replace(&mut self.head, Box::new(empty_head())));
        }
        self.registered.close(&self.ring);
        // If this is denied (a seccomp filter), the port is free when the kernel has taken the ring apart.
        let _ = self.ring.submitter().unregister_files();
    }
}

fn empty_head() -> libc::msghdr {
    message_head(ptr::null_mut(), 0, ptr::null_mut(), ptr::null_mut(), 0)
}

/// Sets up the ring, still disabled (R_DISABLED, Linux 5.10). Needed: SUBMIT_ALL (5.18), COOP_TASKRUN (5.19),
/// SINGLE_ISSUER (6.0) and DEFER_TASKRUN (6.1). NO_SQARRAY is used where the kernel has it (6.6).
fn build(entries: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    // Completions between two turns: one for each slot, each failed send, each end of a receive.
    builder.dontfork().setup_r_disabled().setup_submit_all().setup_cqsize(2 * entries);
    builder.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    let without = builder.clone();
    match builder.setup_no_sqarray().build(entries) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => without.build(entries),
        result => result,
    }
}

/// All that the ring may ever do (IORING_REGISTER_RESTRICTIONS, Linux 5.10): multishot recvmsg (6.0), send
/// (with an address: 6.1), sendmsg and cancel on its registered files, and unregister them and itself.
fn restrictions() -> [Restriction; 8] {
    [
        Restriction::sqe_op(opcode::RecvMsgMulti::CODE),
        Restriction::sqe_op(opcode::Send::CODE),
        Restriction::sqe_op(opcode::SendMsg::CODE),
        Restriction::sqe_op(opcode::AsyncCancel::CODE),
        Restriction::sqe_flags_required(Flags::FIXED_FILE.bits()),
        Restriction::sqe_flags_allowed((Flags::BUFFER_SELECT | Flags::SKIP_SUCCESS).bits()),
        Restriction::register_op(REGISTER_UNREGISTER_FILES),
        Restriction::register_op(REGISTER_UNREGISTER_RING_FDS),
    ]
}

/// The way into the ring: its registered descriptor, which saves the kernel a lookup in each call
/// (IORING_REGISTER_RING_FDS, Linux 5.18).
struct RegisteredFd {
    /// Index among this thread's registered rings.
    index: RawFd,
    flags: u32,
}

/// `struct io_uring_rsrc_update`, as registering a ring's descriptor reads and writes it.
#[repr(C)]
struct RingFd {
    /// The index; all ones asks for any.
    offset: u32,
    reserved: u32,
    data: u64,
}

impl RegisteredFd {
    /// Registers the ring's descriptor with the calling thread. Before the ring is enabled: afterwards it is
    /// denied.
    fn new(ring: &IoUring) -> io::Result<Self> {
        let mut update =
            RingFd { offset: u32::MAX, reserved: 0, data: u64::from(ring.as_raw_fd().cast_unsigned()) };
        register_ring_fd(ring, REGISTER_RING_FDS, &mut update)?;
        let mut flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG | EnterFlags::REGISTERED_RING;
        if ring.params().is_feature_no_iowait() {
            // Since Linux 6.15. A shard that waits for queries is idle; counted as iowait, it would keep the
            // CPU's frequency up.
            flags |= EnterFlags::NO_IOWAIT;
        }
        Ok(Self { index: update.offset.cast_signed(), flags: flags.bits() })
    }

    /// Hands `queued` entries over, runs what is due, and waits up to `wait` for one completion.
    fn enter(&self, queued: usize, wait: Duration) -> io::Result<()> {
        let timeout = Timespec::from(wait);
        let arguments = SubmitArgs::new().timespec(&timeout);
        // SAFETY: `arguments` is the kernel's io_uring_getevents_arg; it and the `timeout` it points to live
        // until the call returns. What queued entries point to is alive by `Uring::push`; completions are
        // written to the ring's own pages; datagrams to slots whose numbers the kernel has, of which no Rust
        // slice exists.
        let result = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                self.index,
                queued as libc::c_uint,
                libc::c_uint::from(!wait.is_zero()),
                self.flags,
                &raw const arguments,
                size_of_val(&arguments),
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Unregisters the descriptor. The registration alone would keep the ring alive until the thread ends.
    fn close(&self, ring: &IoUring) {
        let mut update = RingFd { offset: self.index.cast_unsigned(), reserved: 0, data: 0 };
        // If this is denied (a seccomp filter), the thread's end does it.
        let _ = register_ring_fd(ring, REGISTER_UNREGISTER_RING_FDS, &mut update);
    }
}

fn register_ring_fd(ring: &IoUring, operation: u8, update: &mut RingFd) -> io::Result<()> {
    let operation = libc::c_uint::from(operation);
    // SAFETY: `update` is one io_uring_rsrc_update, which the kernel reads and writes during the call only.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_register, ring.as_raw_fd(), operation, &raw mut *update, 1)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The ring of provided buffers through which slots are given to the kernel (io_uring_register_buf_ring(3),
/// Linux 5.19).
struct Buffers {
    memory: Region,
    count: u16,
    /// Where the next slot goes, counted up for ever; the kernel sees what was published.
    tail: u16,
}

impl Buffers {
    /// Registers the ring of buffers and gives all slots to the kernel.
    fn new(ring: &IoUring, count: u16, slots: &Slots) -> io::Result<Self> {
        let memory = Region::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let address = memory.at(0, 0) as u64;
        // SAFETY: `memory` has `count` entries, page-aligned, and the ring that uses it is dropped before it
        // (fields of `Uring`); besides, the kernel has pinned its pages.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, GROUP, 0) }?;
        let mut buffers = Self { memory, count, tail: 0 };
        for number in 0..count {
            buffers.add(number, slots.address(number), slots.slot_len());
        }
        Ok(buffers)
    }

    /// Puts a slot after the tail. `count` is a power of two, and no more slots exist than places.
    #[inline]
    fn add(&mut self, number: u16, slot: *mut u8, len: usize) {
        let place = usize::from(self.tail & (self.count - 1)) * size_of::<BufRingEntry>();
        let entry: *mut BufRingEntry = self.memory.at(place, size_of::<BufRingEntry>()).cast();
        // SAFETY: `entry` is one of the `count` entries, mapped, zeroed at first, aligned (16 bytes in a
        // page). The kernel reads entries from its head to the published tail; this place is behind that
        // tail, so it is ours alone. The setters leave alone the last two bytes, which in entry 0 are the
        // published tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(slot as u64);
        entry.set_len(len as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Publishes the tail: the kernel sees all slots added so far.
    #[inline]
    fn publish(&mut self) {
        let base: *const BufRingEntry = self.memory.at(0, size_of::<BufRingEntry>()).cast();
        // SAFETY: `base` is the first entry of the registered ring, in whose `resv` the kernel looks for the
        // tail.
        let tail = unsafe { BufRingEntry::tail(base) };
        // SAFETY: `tail` is two aligned bytes of `memory`, which lives as long as `self`; we are the only
        // writer, and the kernel reads it with an acquiring load. No reference to entry 0 exists now.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring_of_one() -> (Uring, UdpSocket) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(socket.local_addr().unwrap()).unwrap();
        (Uring::new(vec![socket], 2, [false].into(), 0).unwrap(), client)
    }

    /// The result of the one completion of an entry that is pushed as it is.
    fn result_of(uring: &mut Uring, entry: &squeue::Entry) -> i32 {
        uring.push(entry, None);
        uring.enter(Duration::from_secs(1)).unwrap();
        let cqe = uring.ring.completion().next().expect("it completes at once");
        assert!(uring.ring.completion().next().is_none());
        cqe.result()
    }

    #[test]
    fn the_ring_is_denied_all_but_its_work() {
        let (mut uring, client) = ring_of_one();
        uring.arm(0);
        uring.enter(Duration::ZERO).unwrap();
        let denied = -libc::EACCES;
        let nop = opcode::Nop::new().build();
        assert_eq!(result_of(&mut uring, &nop), denied);
        let nop = nop.flags(Flags::FIXED_FILE);
        assert_eq!(result_of(&mut uring, &nop), denied);
        let bytes = [0_u8; 4];
        let send = opcode::Send::new(Fixed(0), bytes.as_ptr(), 4).build();
        assert_eq!(result_of(&mut uring, &send.flags(Flags::FIXED_FILE | Flags::IO_LINK)), denied);
        let plain = io_uring::types::Fd(client.as_raw_fd());
        let send = opcode::Send::new(plain, bytes.as_ptr(), 4).build();
        assert_eq!(result_of(&mut uring, &send), denied, "a file that is not registered");
        let path = c"/etc/hostname";
        let open = opcode::OpenAt::new(io_uring::types::Fd(libc::AT_FDCWD), path.as_ptr()).build();
        assert_eq!(result_of(&mut uring, &open), denied);
        let registered = uring.ring.submitter().register_files_update(0, &[client.as_raw_fd()]);
        assert_eq!(registered.unwrap_err().raw_os_error(), Some(libc::EACCES));
        // And it still receives.
        client.send(b"query").unwrap();
        uring.enter(Duration::from_secs(1)).unwrap();
        let Some(Completion::Receive { slot: Some(mut slot), result, more: true, .. }) = uring.completion()
        else {
            panic!("a datagram was expected");
        };
        let received = usize::try_from(result).unwrap();
        let (arrived, payload) = uring.slots.datagram(&mut slot, 0, received).unwrap();
        assert_eq!((arrived.peer, &payload[..5]), (client.local_addr().unwrap(), &b"query"[..]));
        uring.recycle(slot);
    }

    #[test]
    fn the_ring_polls_as_long_as_asked() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        match Uring::new(vec![socket], 2, [false].into(), 50) {
            // The restrictions leave no way to ask the ring itself; setting it up was not refused.
            Ok(mut uring) => assert!(uring.enter(Duration::ZERO).is_ok()),
            Err(error) => assert!(error.to_string().contains("needs Linux 6.9 or later"), "{error}"),
        }
    }

    #[test]
    fn dropping_a_ring_in_full_work_frees_the_port_at_once() {
        for _ in 0..40 {
            let (mut uring, client) = ring_of_one();
            let address = uring.sockets[0].local_addr().unwrap();
            uring.arm(0);
            uring.enter(Duration::ZERO).unwrap();
            for _ in 0..5 {
                client.send(b"x").unwrap();
            }
            drop(uring);
            UdpSocket::bind(address)
                .expect("free at once, and more rings than a thread may register at once");
        }
    }

    #[test]
    fn a_slot_goes_back_when_its_send_was_taken_and_not_before() {
        let (mut uring, client) = ring_of_one();
        uring.arm(0);
        uring.enter(Duration::ZERO).unwrap();
        client.send(b"query").unwrap();
        uring.enter(Duration::from_secs(1)).unwrap();
        let Some(Completion::Receive { slot: Some(slot), .. }) = uring.completion() else {
            panic!("a datagram was expected");
        };
        uring.send(0, slot, Reply { len: 5, source: None });
        assert_eq!((uring.slots.in_kernel_count(), uring.queued.len()), (1, 1));
        let entered = uring.enter(Duration::ZERO).unwrap();
        assert_eq!((entered.taken, entered.short, entered.overflow), (1, false, false));
        assert_eq!((uring.slots.in_kernel_count(), uring.queued.len()), (2, 0));
        let mut reply = [0; 16];
        client.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(client.recv(&mut reply).unwrap(), 5);
        assert_eq!(&reply[..5], b"query");
    }
}
