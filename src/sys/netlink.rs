//! What the kernel says of this network namespace over rtnetlink: its interfaces, which VLANs they have, and
//! whether an address is this host's. One socket, opened at the start, serves for life.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Instant;

use super::bpf::AttachMode;
use crate::limits::{NETLINK_ANSWER_MAX, NETLINK_BUFFER_LEN};

// From linux/netlink.h and linux/rtnetlink.h.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTA_DST: u16 = 1;
const RTN_LOCAL: u8 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Lengths of `struct nlmsghdr`, `ifinfomsg`, `rtmsg` and `rtattr`.
const HEADER_LEN: usize = 16;
const LINK_LEN: usize = 16;
const ROUTE_LEN: usize = 12;
const ATTRIBUTE_LEN: usize = 4;
// From linux/if_link.h.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_XDP: u16 = 43;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VLAN_PROTOCOL: u16 = 5;
const IFLA_XDP_ATTACHED: u16 = 2;
const XDP_ATTACHED_DRV: u8 = 1;
const XDP_ATTACHED_SKB: u8 = 2;

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in this network namespace.
    pub index: u32,
    /// What it is called.
    pub name: String,
    /// Its own address, if it is an Ethernet interface.
    pub mac: Option<[u8; 6]>,
    /// Whether it was switched on (IFF_UP).
    pub is_up: bool,
    /// What made it, if it is not a device: veth, bond, vlan.
    pub kind: String,
    /// The interface that it is on, or its peer.
    pub parent: Option<u32>,
    /// The bond or bridge that it is a port of.
    pub master: Option<u32>,
    /// The 802.1Q tag of its frames, if it is a VLAN interface.
    pub vlan: Option<u16>,
    /// Where it runs an XDP program.
    pub xdp: Option<AttachMode>,
}

impl Link {
    /// Which of `links` is called so, if it is an Ethernet interface.
    ///
    /// # Errors
    /// `NotFound` where there is none, `Unsupported` where it is of another kind.
    pub fn find<'a>(links: &'a [Self], name: &str) -> io::Result<&'a Self> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "no such interface; `ip link` lists them");
        let link = links.iter().find(|link| link.name == name).ok_or_else(missing)?;
        let other = || io::Error::new(io::ErrorKind::Unsupported, "not an Ethernet interface");
        link.mac.map(|_| link).ok_or_else(other)
    }
}

/// A socket of rtnetlink.
#[derive(Debug)]
pub struct Netlink {
    socket: UdpSocket,
    /// Of the last request: an answer has the number of its request.
    sequence: u32,
}

impl Netlink {
    /// Opens one.
    ///
    /// # Errors
    /// If the process may not have one.
    pub fn open() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: makes a descriptor from numbers.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded and made this descriptor, which nobody else knows of.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Of a UdpSocket only `send` and `recv` are used, which are those of any socket of datagrams; what is
        // sent to nobody goes to the kernel.
        let socket = UdpSocket::from(fd);
        socket.set_read_timeout(Some(NETLINK_ANSWER_MAX))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// The interfaces of this network namespace.
    ///
    /// # Errors
    /// What the kernel says, or that it does not answer as it should.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.ask(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_LEN], |kind, body| {
            links.extend(Some(body).filter(|_| kind == RTM_NEWLINK).and_then(link));
        })?;
        Ok(links)
    }

    /// Whether the kernel takes packets to `ip` as this host's: it is on an interface, or in a route of type
    /// local.
    ///
    /// # Errors
    /// As above.
    pub fn is_local(&mut self, ip: IpAddr) -> io::Result<bool> {
        let (family, octets) = match ip {
            IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
        };
        let mut body = vec![0; ROUTE_LEN];
        body[0] = family;
        body[1] = octets.len() as u8 * 8;
        body.extend((ATTRIBUTE_LEN as u16 + octets.len() as u16).to_ne_bytes());
        body.extend(RTA_DST.to_ne_bytes());
        body.extend(octets);
        let mut is_local = false;
        let answer = self.ask(RTM_GETROUTE, 0, &body, |kind, body| {
            is_local |= kind == RTM_NEWROUTE && body.get(7) == Some(&RTN_LOCAL);
        });
        match answer {
            // Nobody is reached by that address at all.
            Err(error) if is_unreachable(&error) => Ok(false),
            answer => answer.map(|()| is_local),
        }
    }

    /// The descriptor, for requests that are not of netlink.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks, and hands each message of the answer over.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut each: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = Vec::with_capacity(HEADER_LEN + body.len());
        request.extend((HEADER_LEN as u32 + body.len() as u32).to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        request.extend([0; 4]);
        request.extend(body);
        self.socket.send(&request)?;
        let mut buffer = vec![0; NETLINK_BUFFER_LEN];
        let until = Instant::now() + NETLINK_ANSWER_MAX;
        while Instant::now() < until {
            let len = self.socket.recv(&mut buffer)?;
            let mut rest = &buffer[..len];
            while let Some(Message { kind, sequence, body, after }) = message(rest) {
                rest = after;
                if sequence != self.sequence {
                    // Of an answer that came too late.
                    continue;
                }
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(error_of(body)),
                    _ => each(kind, body),
                }
                if flags & NLM_F_DUMP == 0 {
                    return Ok(());
                }
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel's answer does not end"))
    }
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
    /// The messages after it.
    after: &'a [u8],
}

/// The first message of some.
fn message(bytes: &[u8]) -> Option<Message<'_>> {
    let len = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let sequence = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
    let body = bytes.get(HEADER_LEN..len)?;
    let after = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some(Message { kind, sequence, body, after })
}

fn error_of(body: &[u8]) -> io::Error {
    let errno = body.first_chunk().map_or(0, |errno| i32::from_ne_bytes(*errno));
    io::Error::from_raw_os_error(-errno)
}

fn is_unreachable(error: &io::Error) -> bool {
    [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno))
}

/// What an RTM_NEWLINK says.
fn link(body: &[u8]) -> Option<Link> {
    let kind = u16::from_ne_bytes(*body.get(2..)?.first_chunk()?);
    let index = u32::from_ne_bytes(*body.get(4..)?.first_chunk()?);
    let flags = u32::from_ne_bytes(*body.get(8..)?.first_chunk()?);
    let is_up = flags & libc::IFF_UP.cast_unsigned() != 0;
    let mut link = Link { index, is_up, ..Link::default() };
    for (name, value) in attributes(body.get(LINK_LEN..)?) {
        match name {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS if kind == libc::ARPHRD_ETHER => link.mac = value.try_into().ok(),
            IFLA_LINK => link.parent = number(value),
            IFLA_MASTER => link.master = number(value),
            IFLA_LINKINFO => add_info(&mut link, value),
            IFLA_XDP => link.xdp = attached(value),
            _ => {}
        }
    }
    Some(link)
}

fn add_info(link: &mut Link, info: &[u8]) {
    let find = |wanted: u16| attributes(info).find_map(|(name, value)| (name == wanted).then_some(value));
    link.kind = find(IFLA_INFO_KIND).map(text).unwrap_or_default();
    if link.kind != "vlan" {
        return;
    }
    let two = |wanted: u16| {
        let data = find(IFLA_INFO_DATA)?;
        let value = attributes(data).find_map(|(name, value)| (name == wanted).then_some(value))?;
        value.first_chunk().copied()
    };
    // 802.1ad has other tags.
    let is_8021q = two(IFLA_VLAN_PROTOCOL).is_some_and(|protocol| protocol == [0x81, 0x00]);
    link.vlan = two(IFLA_VLAN_ID).filter(|_| is_8021q).map(u16::from_ne_bytes);
}

fn attached(xdp: &[u8]) -> Option<AttachMode> {
    let found = attributes(xdp).find_map(|(name, value)| (name == IFLA_XDP_ATTACHED).then_some(value))?;
    match *found.first()? {
        XDP_ATTACHED_DRV => Some(AttachMode::Native),
        XDP_ATTACHED_SKB => Some(AttachMode::Generic),
        _ => None,
    }
}

/// Attributes by number, without the flags of the number.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let name = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?) & 0x3FFF;
        let value = rest.get(ATTRIBUTE_LEN..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((name, value))
    })
}

fn number(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|value| u32::from_ne_bytes(*value))
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_end_matches('\0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_those_of_sys() {
        let links = Netlink::open().unwrap().links().unwrap();
        let missing = Link::find(&links, "no-such-one").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(Link::find(&links, "lo").unwrap_err().kind(), io::ErrorKind::Unsupported);
        // In a network namespace /sys may be that of another, which has more; both have loopback.
        for link in &links {
            let read = |file| std::fs::read_to_string(format!("/sys/class/net/{}/{file}", link.name));
            let Ok(index) = read("ifindex") else { continue };
            assert_eq!(index.trim(), link.index.to_string());
            let Some(mac) = link.mac else { continue };
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            assert_eq!(read("address").unwrap().trim(), mac);
        }
    }

    #[test]
    fn addresses_are_local_or_not() {
        let mut netlink = Netlink::open().unwrap();
        let mut is_local = |ip: &str| netlink.is_local(ip.parse().unwrap()).unwrap();
        assert!(is_local("127.0.0.1") && is_local("127.1.2.3"));
        assert!(!is_local("192.0.2.1") && !is_local("2001:db8::1"));
    }

    #[test]
    fn a_vlan_is_read_and_what_is_cut_is_not() {
        let attribute = |name: u16, value: &[u8]| {
            let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
            bytes.extend(name.to_ne_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let body = |protocol: [u8; 2]| {
            let id = attribute(IFLA_VLAN_ID, &7_u16.to_ne_bytes());
            let data = [id, attribute(IFLA_VLAN_PROTOCOL, &protocol)].concat();
            let kind = attribute(IFLA_INFO_KIND, b"vlan\0");
            let info = [kind, attribute(IFLA_INFO_DATA | 0x8000, &data)].concat();
            let mut body = vec![0; LINK_LEN];
            body[2] = 1;
            body[4] = 9;
            body[8] = 1;
            body.extend(attribute(IFLA_IFNAME, b"eth0.7\0"));
            body.extend(attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
            body.extend(attribute(IFLA_LINK, &3_u32.to_ne_bytes()));
            body.extend(attribute(IFLA_LINKINFO, &info));
            body
        };
        let expected = Link {
            index: 9,
            name: "eth0.7".to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            is_up: true,
            kind: "vlan".to_owned(),
            parent: Some(3),
            vlan: Some(7),
            ..Link::default()
        };
        assert_eq!(link(&body([0x81, 0x00])), Some(expected.clone()));
        assert_eq!(link(&body([0x88, 0xA8])), Some(Link { vlan: None, ..expected }));
        let whole = body([0x81, 0x00]);
        for end in 0..whole.len() {
            let _ = link(&whole[..end]);
        }
    }
}
