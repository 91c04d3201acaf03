//! The control message that tells which of our addresses was asked, and from which one to reply: `IP_PKTINFO`
//! (ip(7)) and `IPV6_PKTINFO` (RFC 3542, section 6). Sockets bound to one address need none of this.
//!
//! A control message is a header of size, level and type, then its data, each padded to the size of a
//! pointer.

use std::net::IpAddr;

use super::memory::array_at;

const HEAD_LEN: usize = size_of::<libc::cmsghdr>();
const ALIGN: usize = size_of::<usize>();
const V4_DATA_LEN: usize = size_of::<libc::in_pktinfo>();
const V6_DATA_LEN: usize = size_of::<libc::in6_pktinfo>();

/// Room for control messages with each datagram, in bytes. One of the two is asked for; a socket that somebody
/// else has made may bring others (time stamps have 32 bytes), in front of it.
pub(super) const CONTROL_LEN: usize = 128;
const _: () = assert!(HEAD_LEN + V4_DATA_LEN.next_multiple_of(ALIGN) <= CONTROL_LEN);
const _: () = assert!(HEAD_LEN + V6_DATA_LEN.next_multiple_of(ALIGN) <= CONTROL_LEN);
// The kernel's header: a size_t (whatever the C library calls it), then two ints.
const _: () = assert!(HEAD_LEN == ALIGN + 8);

/// The destination address of a datagram, from the control messages that came with it. It is not found where
/// there was no room for it (MSG_CTRUNC), nor is half of it.
pub(super) fn read(mut control: &[u8]) -> Option<IpAddr> {
    while control.len() >= HEAD_LEN {
        let len = usize::from_ne_bytes(array_at(control, 0));
        let level = i32::from_ne_bytes(array_at(control, ALIGN));
        let kind = i32::from_ne_bytes(array_at(control, ALIGN + 4));
        let data = control.get(HEAD_LEN..len)?;
        match (level, kind) {
            // in_pktinfo: interface, source to reply from, destination.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if data.len() >= V4_DATA_LEN => {
                return Some(IpAddr::from(array_at::<4>(data, 8)));
            }
            // in6_pktinfo: destination, interface.
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if data.len() >= V6_DATA_LEN => {
                return Some(IpAddr::from(array_at::<16>(data, 0)));
            }
            _ => control = control.get(len.next_multiple_of(ALIGN)..)?,
        }
    }
    None
}

/// Writes the control message that makes `source` the sender of a reply; returns its bytes. The interface
/// stays open: with anycast the way back need not be the way in. (The scope of a link-local peer is in the
/// peer's address.)
pub(super) fn write(control: &mut [u8; CONTROL_LEN], source: IpAddr) -> usize {
    control.fill(0);
    let (level, kind, data_len) = match source {
        IpAddr::V4(ip) => {
            control[HEAD_LEN + 4..][..4].copy_from_slice(&ip.octets());
            (libc::IPPROTO_IP, libc::IP_PKTINFO, V4_DATA_LEN)
        }
        IpAddr::V6(ip) => {
            control[HEAD_LEN..][..16].copy_from_slice(&ip.octets());
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, V6_DATA_LEN)
        }
    };
    control[..ALIGN].copy_from_slice(&(HEAD_LEN + data_len).to_ne_bytes());
    control[ALIGN..][..4].copy_from_slice(&level.to_ne_bytes());
    control[ALIGN + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
    HEAD_LEN + data_len.next_multiple_of(ALIGN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_behind_other_messages_and_refuses_nonsense() {
        let mut control = [0; CONTROL_LEN];
        let v6: IpAddr = "2001:db8::53".parse().unwrap();
        let len = write(&mut control, v6);
        assert_eq!((len, read(&control[..len])), (40, Some(v6)));
        // A message of 20 bytes of some other level in front: padded to 24.
        let mut two = vec![0; 24];
        two[..8].copy_from_slice(&20_usize.to_ne_bytes());
        two.extend_from_slice(&control[..len]);
        assert_eq!(read(&two), Some(v6));
        assert_eq!(read(&two[..24]), None);
        for lie in [0, 1, 15, 16, CONTROL_LEN + 1, usize::MAX] {
            control[..8].copy_from_slice(&lie.to_ne_bytes());
            assert_eq!(read(&control), None, "length {lie}");
        }
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn what_is_written_for_ipv4_is_the_source_and_no_interface() {
        let mut control = [255; CONTROL_LEN];
        let len = write(&mut control, "192.0.2.7".parse().unwrap());
        assert_eq!(len, 32);
        assert_eq!(control[16..28], [0, 0, 0, 0, 192, 0, 2, 7, 0, 0, 0, 0]);
    }
}
