//! The slots of a ring: their memory, their layout, and the owner of each.
//!
//! A slot is in one of three places. In the *kernel*, to be filled. *Lent*: its datagram is being answered.
//! Or *sending*: the reply is queued, and the slot stays as it is until the kernel has taken it. Outside the
//! kernel a slot is a [`Slot`], a value that cannot be copied: whoever has it, has the bytes, and giving it
//! on is giving it away.
//!
//! ```text
//! | recvmsg_out 16 | peer 48 | control 128 | reply's msghdr 64 | reply's iovec 64 | payload 2112 |
//! |<-------- 64 ----------->|<------- only in rings with a wildcard address --->|
//! ```

use std::io;
use std::mem::ManuallyDrop;
use std::net::IpAddr;

use crate::limits::SLOT_PAYLOAD_LEN;
use crate::sys::address::{self, SOCKADDR_LEN_MAX};
use crate::sys::datagram::{Arrived, Local};
use crate::sys::memory::{Region, array_at, message_head};
use crate::sys::pktinfo::{self, CONTROL_LEN};

/// `struct io_uring_recvmsg_out`, which the kernel writes first: lengths of name, control and payload, and
/// flags.
const OUT_LEN: usize = 16;
/// Room for the peer's address. The longest is 28 bytes; 48 put what follows on a cache line, for IPv4 and
/// IPv6 alike.
const NAME_LEN: usize = 48;
const NAME_OFF: usize = OUT_LEN;
const CONTROL_OFF: usize = NAME_OFF + NAME_LEN;
/// The kernel reserves the control data's length before the payload, and may fill all of it. Once that was
/// read, what is after [`CONTROL_LEN`] is ours for the reply's head.
const CONTROL_ROOM: usize = CONTROL_LEN + 128;
const MSGHDR_OFF: usize = CONTROL_OFF + CONTROL_LEN;
const IOVEC_OFF: usize = MSGHDR_OFF + 64;
const _: () = assert!(NAME_LEN >= SOCKADDR_LEN_MAX && CONTROL_OFF == 64);
const _: () = assert!(size_of::<libc::msghdr>() <= IOVEC_OFF - MSGHDR_OFF);
const _: () = assert!(IOVEC_OFF + size_of::<libc::iovec>() <= CONTROL_OFF + CONTROL_ROOM);
/// Slots start on cache lines, and an odd number of lines apart, for their heads to spread over all sets of
/// the cache.
const LINE: usize = 64;
const _: () = assert!(SLOT_PAYLOAD_LEN.is_multiple_of(LINE) && CONTROL_ROOM.is_multiple_of(LINE));

/// A slot that the kernel does not have. Whoever holds this value, and nobody else, may touch the slot's
/// bytes.
#[derive(Debug)]
#[must_use = "a slot that is dropped never comes back to the kernel"]
pub(crate) struct Slot(u16);

/// What a reply needs besides its bytes: how many they are, and the address that it is sent from, if that is
/// not the socket's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) len: usize,
    pub(crate) source: Option<IpAddr>,
}

/// The memory of all slots of one ring, and the record of which of them are with the kernel.
pub(crate) struct Slots {
    memory: ManuallyDrop<Region>,
    /// False once the kernel may still write after the ring has ended: see [`Self::keep_mapped`].
    unmap: bool,
    payload_off: usize,
    /// By socket: whether its datagrams tell which address was asked.
    wildcards: Box<[bool]>,
    /// Bytes from one slot to the next.
    stride: usize,
    in_kernel: Box<[bool]>,
    in_kernel_count: usize,
}

impl Slots {
    /// Bytes of a slot and of what is known of it, at most.
    pub(super) const LEN_MAX: usize = ((CONTROL_OFF + CONTROL_ROOM + SLOT_PAYLOAD_LEN) | LINE) + 1;

    /// `count` slots, all in the kernel's hands, for sockets that may be bound to wildcard addresses.
    pub(crate) fn new(count: u16, wildcards: Box<[bool]>) -> io::Result<Self> {
        let payload_off = CONTROL_OFF + if wildcards.contains(&true) { CONTROL_ROOM } else { 0 };
        let count = usize::from(count);
        let stride = (payload_off + SLOT_PAYLOAD_LEN) | LINE;
        let memory = ManuallyDrop::new(Region::new(count * stride)?);
        Ok(Self {
            memory,
            unmap: true,
            payload_off,
            wildcards,
            stride,
            in_kernel: vec![true; count].into_boxed_slice(),
            in_kernel_count: count,
        })
    }

    /// Length of the name and of the control data to be asked of the kernel: the layout in its terms.
    pub(super) const fn asked_lens(&self) -> (usize, usize) {
        (NAME_LEN, self.payload_off - CONTROL_OFF)
    }

    /// Bytes of a slot.
    pub(super) const fn slot_len(&self) -> usize {
        self.payload_off + SLOT_PAYLOAD_LEN
    }

    /// Where the payload begins.
    pub(super) const fn payload_off(&self) -> usize {
        self.payload_off
    }

    /// By socket: whether it is bound to a wildcard address.
    pub(super) fn wildcards(&self) -> &[bool] {
        &self.wildcards
    }

    /// Slots with the kernel.
    pub(super) const fn in_kernel_count(&self) -> usize {
        self.in_kernel_count
    }

    /// Takes the slot that the kernel says it has filled. `None` if the kernel does not have that slot.
    pub(super) fn take_filled(&mut self, number: u16) -> Option<Slot> {
        let in_kernel = self.in_kernel.get_mut(usize::from(number))?;
        if !std::mem::replace(in_kernel, false) {
            return None;
        }
        self.in_kernel_count -= 1;
        Some(Slot(number))
    }

    /// Notes that the slot goes back to the kernel, and gives its number to tell the kernel.
    #[expect(clippy::needless_pass_by_value, reason = "the slot ends here: it is the kernel's again")]
    pub(super) fn recycle(&mut self, slot: Slot) -> u16 {
        let Slot(number) = slot;
        self.in_kernel[usize::from(number)] = true;
        self.in_kernel_count += 1;
        number
    }

    /// The address of a slot, for the kernel.
    pub(super) fn address(&self, number: u16) -> *mut u8 {
        self.memory.at(usize::from(number) * self.stride, self.slot_len())
    }

    /// All bytes of a slot.
    fn bytes(&mut self, slot: &mut Slot) -> &mut [u8] {
        let base = self.address(slot.0);
        // SAFETY: `base` begins `slot_len` bytes of `memory`, zeroed when mapped and mapped as long as `self`
        // lives. The kernel does not touch them: it was given this slot's number for the last time before
        // `take_filled` made `slot`, and is given it again only by `recycle`, which consumes `slot`. A queued
        // reply reads them only from `enter`, and queueing it consumed the `Slot` too. No second slice
        // exists, as `self` and `slot` are lent uniquely for as long as this one lives; other slots' bytes
        // are disjoint.
        unsafe { std::slice::from_raw_parts_mut(base, self.slot_len()) }
    }

    /// Reads the head that the kernel wrote, for a completion of `received` bytes on `socket`, and lends the
    /// payload's room. `None` if the head is not one of a datagram, or does not tell whom to answer or from
    /// where; then nothing is lent.
    pub(super) fn datagram(
        &mut self,
        slot: &mut Slot,
        socket: usize,
        received: usize,
    ) -> Option<(Arrived, &mut [u8])> {
        let (payload_off, wildcard) = (self.payload_off, self.wildcards[socket]);
        let (head, payload) = self.bytes(slot).split_at_mut(payload_off);
        let len = received.checked_sub(payload_off)?.min(payload.len());
        let peer = address::decode(&array_at(head, NAME_OFF))?;
        let control_len = u32::from_ne_bytes(array_at(head, 4)) as usize;
        let control = &head[CONTROL_OFF..];
        let local = Local::of(wildcard, &control[..control_len.min(control.len())])?;
        Some((Arrived { socket, peer, local, len }, payload))
    }

    /// Address and length of the peer's name in a slot that was lent: where its reply goes.
    pub(super) fn peer(&mut self, slot: &mut Slot) -> (*const libc::sockaddr, libc::socklen_t) {
        let family = array_at(self.bytes(slot), NAME_OFF);
        let len = libc::socklen_t::try_from(address::len_of_family(family)).expect("at most 28");
        (self.address(slot.0).wrapping_add(NAME_OFF).cast(), len)
    }

    /// Address of the payload of a slot.
    pub(super) fn payload(&self, slot: &Slot) -> *mut u8 {
        self.address(slot.0).wrapping_add(self.payload_off)
    }

    /// Writes the head of a reply from a given address into its own slot: it lives exactly as long as
    /// the bytes that it points to. Only in rings with a wildcard address.
    pub(super) fn message(&mut self, slot: &mut Slot, len: usize, source: IpAddr) -> *const libc::msghdr {
        assert!(self.payload_off > CONTROL_OFF, "the address asked is read only where there is room for it");
        let control =
            (&mut self.bytes(slot)[CONTROL_OFF..][..CONTROL_LEN]).try_into().expect("CONTROL_LEN bytes");
        let control_len = pktinfo::write(control, source);
        let (name, name_len) = self.peer(slot);
        let base = self.address(slot.0);
        let iovec_at: *mut libc::iovec = base.wrapping_add(IOVEC_OFF).cast();
        let iovec = libc::iovec { iov_base: self.payload(slot).cast(), iov_len: len };
        // SAFETY: IOVEC_OFF is in this slot, with room for an iovec (asserted above) and aligned for it, as
        // slots and offsets are multiples of 64; the slot is ours alone while `slot` is lent to us.
        unsafe { iovec_at.write(iovec) };
        let message =
            message_head(name.cast_mut(), name_len, iovec_at, base.wrapping_add(CONTROL_OFF), control_len);
        let message_at: *mut libc::msghdr = base.wrapping_add(MSGHDR_OFF).cast();
        // SAFETY: as for the iovec; MSGHDR_OFF leaves 64 bytes for the 56 of the head.
        unsafe { message_at.write(message) };
        message_at
    }

    /// Writes into a slot what the kernel would for this datagram, and returns how long it would say it is.
    pub(super) fn simulate(&mut self, slot: &mut Slot, arrived: &Arrived, datagram: &[u8]) -> usize {
        let payload_off = self.payload_off;
        let (head, payload) = self.bytes(slot).split_at_mut(payload_off);
        let name = (&mut head[NAME_OFF..][..SOCKADDR_LEN_MAX]).try_into().expect("a name's length");
        address::encode(&arrived.peer, name);
        let mut control_len = 0;
        if let Some(ip) = arrived.local.told().filter(|_| payload_off > CONTROL_OFF) {
            let control = (&mut head[CONTROL_OFF..][..CONTROL_LEN]).try_into().expect("a control's length");
            control_len = pktinfo::write(control, ip);
            // What is written is a sender; what is received has the address 4 bytes further in IPv4.
            if ip.is_ipv4() {
                head.copy_within(CONTROL_OFF + 20..CONTROL_OFF + 24, CONTROL_OFF + 24);
            }
        }
        head[4..8].copy_from_slice(&u32::try_from(control_len).expect("at most 40").to_ne_bytes());
        let len = datagram.len().min(payload.len());
        payload[..len].copy_from_slice(&datagram[..len]);
        payload_off + len
    }

    /// Keeps the memory mapped for ever: for a ring whose receives could not be ended, as the kernel might
    /// yet write.
    pub(super) const fn keep_mapped(&mut self) {
        self.unmap = false;
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.unmap {
            // SAFETY: dropped here once, and `memory` is not used again: `self` is going.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Local {
        Local::Told("192.0.2.53".parse().unwrap())
    }

    /// A ring may have sockets of both kinds: what none means is asked of the socket.
    #[test]
    fn at_a_wildcard_nothing_is_lent_without_the_address_asked() {
        let mut slots = Slots::new(1, [false, true].into()).unwrap();
        let mut slot = slots.take_filled(0).unwrap();
        let peer = "192.0.2.1:1024".parse().unwrap();
        for (socket, local, expected) in [
            (0, Local::Fixed, Some(Local::Fixed)),
            (0, told(), Some(Local::Fixed)),
            (1, told(), Some(told())),
            (1, Local::Fixed, None),
        ] {
            let received = slots.simulate(&mut slot, &Arrived { socket, peer, local, len: 5 }, b"query");
            let lent = slots.datagram(&mut slot, socket, received);
            assert_eq!(lent.map(|(arrived, _)| arrived.local), expected);
        }
    }

    #[test]
    fn a_slot_is_taken_once_and_comes_back() {
        let mut slots = Slots::new(2, [false].into()).unwrap();
        assert!(slots.take_filled(2).is_none(), "there is no such slot");
        let slot = slots.take_filled(1).unwrap();
        assert!(slots.take_filled(1).is_none(), "the kernel does not have it");
        assert_eq!(slots.in_kernel_count(), 1);
        assert_eq!(slots.recycle(slot), 1);
        assert_eq!(slots.in_kernel_count(), 2);
        assert!(slots.take_filled(1).is_some());
    }

    #[test]
    fn what_was_received_is_lent_and_a_short_head_is_not() {
        for wildcard in [false, true] {
            for peer in ["192.0.2.1:1024", "[2001:db8::1]:53"] {
                let mut slots = Slots::new(2, [wildcard].into()).unwrap();
                let mut slot = slots.take_filled(1).unwrap();
                let peer = peer.parse().unwrap();
                let local = if wildcard { told() } else { Local::Fixed };
                let arrived = Arrived { socket: 0, peer, local, len: 5 };
                let received = slots.simulate(&mut slot, &arrived, b"query");
                let (seen, payload) = slots.datagram(&mut slot, 0, received).unwrap();
                assert_eq!(seen, arrived);
                assert_eq!((&payload[..5], payload.len()), (&b"query"[..], SLOT_PAYLOAD_LEN));
                assert_eq!(payload.as_ptr() as usize % 64, 0);
                assert!(slots.datagram(&mut slot, 0, received - 6).is_none(), "not even a head");
            }
        }
    }

    #[test]
    fn a_datagram_is_cut_to_the_slot() {
        let mut slots = Slots::new(1, [true].into()).unwrap();
        let mut slot = slots.take_filled(0).unwrap();
        let arrived = Arrived { socket: 0, peer: "[::1]:9".parse().unwrap(), local: told(), len: 0 };
        let received = slots.simulate(&mut slot, &arrived, &[7; 4000]);
        let (seen, payload) = slots.datagram(&mut slot, 0, received).unwrap();
        assert_eq!(seen.len, SLOT_PAYLOAD_LEN);
        assert_eq!(*payload, [7; SLOT_PAYLOAD_LEN]);
    }
}
