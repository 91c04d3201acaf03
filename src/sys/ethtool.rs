//! What a driver says of its interface (ethtool, SIOCETHTOOL): what it counts, by names of its own, and
//! whether it takes VLAN tags off.

use std::io;
use std::os::fd::AsRawFd;

use super::netlink::Netlink;
use crate::limits::DRIVER_COUNTERS_MAX;

/// The request, which is also what a thread's filter lets pass. From linux/sockios.h.
pub(super) const SIOCETHTOOL: i32 = 0x8946;
// From linux/ethtool.h.
const ETHTOOL_GSTRINGS: u32 = 0x1B;
const ETHTOOL_GSTATS: u32 = 0x1D;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETH_SS_STATS: u32 = 1;
const ETH_FLAG_RXVLAN: u32 = 1 << 8;
const STRING_LEN: usize = 32;

/// `struct ifreq`, as far as these requests use it.
#[repr(C)]
struct Request {
    name: [u8; libc::IFNAMSIZ],
    data: *mut u64,
    rest: [u64; 2],
}

/// Room for the answer to one request, whose first word is its command.
type Room = Vec<u64>;

/// Reads what the driver of `interface` counts under the names that are `wanted`.
///
/// # Errors
/// The interface is gone, or its driver refuses.
pub fn counters(
    netlink: &Netlink,
    interface: &str,
    wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<(String, u64)>> {
    // Command, nothing, a mask of two words, and one count.
    let mut info: Room = room(ETHTOOL_GSSET_INFO, 0, 3);
    info[1] = 1 << ETH_SS_STATS;
    match ask(netlink, interface, &mut info) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(Vec::new()),
        answer => answer?,
    }
    let count = if info[1] == 0 { 0 } else { (info[2] & u64::from(u32::MAX)) as usize };
    if !(1..=DRIVER_COUNTERS_MAX).contains(&count) {
        return Ok(Vec::new());
    }
    // The kernel writes as many as there are at the time of each request. Both have room for twice as many as
    // there can be here; untouched, it costs nothing.
    let room_len = 2 * DRIVER_COUNTERS_MAX;
    let mut names = room(ETHTOOL_GSTRINGS, ETH_SS_STATS, 2 + room_len * STRING_LEN / 8);
    names[1] = count as u64;
    ask(netlink, interface, &mut names)?;
    let mut values = room(ETHTOOL_GSTATS, count as u32, 1 + room_len);
    ask(netlink, interface, &mut values)?;
    let found = (names_of(&names, count)).zip(&values[1..]);
    Ok(found.filter(|(name, _)| wanted(name)).map(|(name, value)| (name, *value)).collect())
}

/// Whether the driver takes VLAN tags off (rx-vlan-offload).
///
/// # Errors
/// As above.
pub fn strips_vlan_tags(netlink: &Netlink, interface: &str) -> io::Result<bool> {
    let mut value = room(ETHTOOL_GFLAGS, 0, 1);
    ask(netlink, interface, &mut value)?;
    Ok(value[0] >> 32 & u64::from(ETH_FLAG_RXVLAN) != 0)
}

/// Words for an answer; the first has the command and what it is about.
fn room(command: u32, about: u32, words: usize) -> Room {
    let mut room = vec![0; words];
    room[0] = u64::from(command) | u64::from(about) << 32;
    room
}

/// The names of a `struct ethtool_gstrings`: command, set and count, each of four bytes, and strings.
fn names_of(answer: &Room, count: usize) -> impl Iterator<Item = String> {
    let bytes = answer.iter().flat_map(|word| word.to_ne_bytes()).skip(12);
    let bytes: Vec<u8> = bytes.take(count * STRING_LEN).collect();
    let name = |at: usize| {
        let name = &bytes[at * STRING_LEN..(at + 1) * STRING_LEN];
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(STRING_LEN);
        String::from_utf8_lossy(&name[..end]).into_owned()
    };
    (0..count).map(name).collect::<Vec<_>>().into_iter()
}

fn ask(netlink: &Netlink, interface: &str, room: &mut Room) -> io::Result<()> {
    let mut request = Request { name: [0; libc::IFNAMSIZ], data: room.as_mut_ptr(), rest: [0; 2] };
    let name = interface.as_bytes();
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::NotFound.into());
    }
    request.name[..name.len()].copy_from_slice(name);
    let fd = netlink.socket().as_raw_fd();
    // SAFETY: the kernel reads `request`, whose name ends with a zero, and reads and writes what `data`
    // points to, both during the call only. That is `room`, ours alone meanwhile, which has room for the
    // answer: of GFLAGS two words of four bytes; of GSSET_INFO with one bit in its mask four and one; of
    // GSTRINGS three and 32 bytes for each counter, and of GSTATS two and eight for each. There the kernel
    // counts anew, so both have room for twice DRIVER_COUNTERS_MAX, and are asked only of a driver that had
    // at most half of that a moment before: it has some for each queue, and drivers have far fewer queues.
    let result = unsafe { libc::ioctl(fd, SIOCETHTOOL as libc::Ioctl, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_an_error_and_lo_counts_nothing() {
        let netlink = Netlink::open().unwrap();
        for name in ["no-such-one", "a-name-that-is-too-long-for-the-kernel"] {
            assert!(counters(&netlink, name, |_| true).is_err(), "{name}");
            assert!(strips_vlan_tags(&netlink, name).is_err(), "{name}");
        }
        assert_eq!(counters(&netlink, "lo", |_| true).unwrap(), []);
        assert!(!strips_vlan_tags(&netlink, "lo").unwrap());
    }

    #[test]
    fn names_end_at_their_zero() {
        let mut bytes = vec![0; 12];
        for name in ["rx_queue_0_xdp_tx_errors", "x"] {
            bytes.extend(name.as_bytes());
            bytes.resize((bytes.len() - 12).next_multiple_of(STRING_LEN) + 12, 0);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        assert_eq!(names_of(&words, 2).collect::<Vec<_>>(), ["rx_queue_0_xdp_tx_errors", "x"]);
    }
}
