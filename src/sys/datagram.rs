//! What both datapaths say of a datagram, and of a turn.

use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;

use super::pktinfo;

/// One datagram, as it is lent to the closure of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Which socket it came in at: an index into the list given to `new`.
    pub socket: usize,
    /// The sender.
    pub peer: SocketAddr,
    /// The address that it was sent to.
    pub local: Local,
    /// Bytes of the datagram, at most [`SLOT_PAYLOAD_LEN`](crate::limits::SLOT_PAYLOAD_LEN): a longer one is
    /// cut.
    pub len: usize,
}

/// Which of our addresses a datagram was sent to, and so where its reply leaves from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// The socket's own: it is bound to one.
    Fixed,
    /// The one that came with the datagram: the socket is bound to a wildcard address.
    Told(IpAddr),
}

impl Local {
    /// That of a datagram with this control data; `told` is whether its socket is bound to a wildcard address.
    /// `None` if it should be there and is not: then no reply can leave from the right address.
    #[inline]
    pub(super) fn of(told: bool, control: &[u8]) -> Option<Self> {
        if told { pktinfo::read(control).map(Self::Told) } else { Some(Self::Fixed) }
    }

    /// The address that a reply has to name, if any.
    #[must_use]
    pub const fn told(self) -> Option<IpAddr> {
        match self {
            Self::Fixed => None,
            Self::Told(ip) => Some(ip),
        }
    }
}

/// What one turn did. Small numbers, to be added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Datagrams lent to the closure.
    pub received: u32,
    /// Datagrams dropped because they did not tell whom to answer, or from which address.
    pub unaddressed: u32,
    /// Replies that the kernel took.
    pub sent: u32,
    /// Replies that it did not take, and are lost.
    pub send_errors: SendErrors,
    /// Receives that had ended and were begun again. Always zero for [`Mmsg`](super::Mmsg).
    pub rearms: Rearms,
    /// Times the completion queue was too small. It is sized so that this stays zero.
    pub overflows: u32,
    /// Times the kernel left queued work for the next turn, out of memory.
    pub short_submits: u32,
}

/// Replies lost, by what the kernel said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendErrors {
    /// EAGAIN: the socket's send buffer is full.
    pub again: u32,
    /// ENOBUFS, ENOMEM: the kernel is out of memory for packets.
    pub nobufs: u32,
    /// EINVAL: an impossible destination such as port 0.
    pub inval: u32,
    /// EPERM, EACCES: a firewall rule or a broadcast address.
    pub perm: u32,
    /// ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL: no way back to the peer.
    pub unreach: u32,
    /// Anything else, EMSGSIZE among them.
    pub other: u32,
}

/// Receives begun again, by why they had ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rearms {
    /// ENOBUFS: all slots were with us.
    pub no_buffers: u32,
    /// A datagram without a byte, which ends a multishot receive.
    pub empty: u32,
    /// Anything else; the kernel may end a multishot receive at any time.
    pub other: u32,
}

impl SendErrors {
    /// Counts one lost reply by its error number.
    pub(super) fn count(&mut self, errno: i32) {
        let kind = match errno {
            libc::EAGAIN => &mut self.again,
            libc::ENOBUFS | libc::ENOMEM => &mut self.nobufs,
            libc::EINVAL => &mut self.inval,
            libc::EPERM | libc::EACCES => &mut self.perm,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL => {
                &mut self.unreach
            }
            _ => &mut self.other,
        };
        *kind += 1;
    }

    /// All lost replies.
    #[must_use]
    pub const fn total(&self) -> u32 {
        self.again + self.nobufs + self.inval + self.perm + self.unreach + self.other
    }
}

impl AddAssign for Turn {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.unaddressed += other.unaddressed;
        self.sent += other.sent;
        self.send_errors.again += other.send_errors.again;
        self.send_errors.nobufs += other.send_errors.nobufs;
        self.send_errors.inval += other.send_errors.inval;
        self.send_errors.perm += other.send_errors.perm;
        self.send_errors.unreach += other.send_errors.unreach;
        self.send_errors.other += other.send_errors.other;
        self.rearms.no_buffers += other.rearms.no_buffers;
        self.rearms.empty += other.rearms.empty;
        self.rearms.other += other.rearms.other;
        self.overflows += other.overflows;
        self.short_submits += other.short_submits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_counted_by_kind_and_turns_add_up() {
        let mut turn =
            Turn { received: 3, unaddressed: 4, sent: 1, overflows: 1, short_submits: 2, ..Turn::default() };
        for errno in
            [libc::EAGAIN, libc::ENOMEM, libc::EINVAL, libc::EPERM, libc::ENETUNREACH, libc::EMSGSIZE]
        {
            turn.send_errors.count(errno);
        }
        turn.rearms = Rearms { no_buffers: 1, empty: 2, other: 3 };
        let one = SendErrors { again: 1, nobufs: 1, inval: 1, perm: 1, unreach: 1, other: 1 };
        assert_eq!(turn.send_errors, one);
        assert_eq!(one.total(), 6);
        let mut sum = turn;
        sum += turn;
        assert_eq!((sum.received, sum.sent, sum.overflows, sum.short_submits), (6, 2, 2, 4));
        assert_eq!(sum.unaddressed, 8);
        assert_eq!(sum.send_errors.total(), 12);
        assert_eq!(sum.rearms, Rearms { no_buffers: 2, empty: 4, other: 6 });
    }
}
