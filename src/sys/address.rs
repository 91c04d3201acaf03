//! Socket addresses as the kernel writes them: `sockaddr_in` (ip(7)) and `sockaddr_in6` (ipv6(7)), byte by
//! byte.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of the longest address that we read, a `sockaddr_in6`.
pub(super) const SOCKADDR_LEN_MAX: usize = size_of::<libc::sockaddr_in6>();
const SOCKADDR_V4_LEN: usize = size_of::<libc::sockaddr_in>();

// The family numbers are below 256; the field that holds them has 16 bits.
const INET: u16 = libc::AF_INET as u16;
const INET6: u16 = libc::AF_INET6 as u16;

/// Reads the address that the kernel wrote to the beginning of `name`. `None` for families other than IPv4
/// and IPv6.
pub(super) fn decode(name: &[u8; SOCKADDR_LEN_MAX]) -> Option<SocketAddr> {
    let [family0, family1, port0, port1, rest @ ..] = name;
    let port = u16::from_be_bytes([*port0, *port1]);
    match u16::from_ne_bytes([*family0, *family1]) {
        INET => {
            let octets: [u8; 4] = *rest.first_chunk()?;
            Some(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::from(octets), port)))
        }
        INET6 => {
            let (flow, rest) = rest.split_first_chunk()?;
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            let scope = u32::from_ne_bytes(*rest.first_chunk()?);
            let ip = Ipv6Addr::from(*octets);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, u32::from_be_bytes(*flow), scope)))
        }
        _ => None,
    }
}

/// How many bytes a name of this family has: the first two bytes of a name that [`decode`] could read.
pub(super) const fn len_of_family(family: [u8; 2]) -> usize {
    if u16::from_ne_bytes(family) == INET { SOCKADDR_V4_LEN } else { SOCKADDR_LEN_MAX }
}

/// Writes `address` as the kernel would: the inverse of [`decode`].
pub(super) fn encode(address: &SocketAddr, name: &mut [u8; SOCKADDR_LEN_MAX]) {
    name[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            name[..2].copy_from_slice(&INET.to_ne_bytes());
            name[4..8].copy_from_slice(&v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            name[..2].copy_from_slice(&INET6.to_ne_bytes());
            name[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            name[8..24].copy_from_slice(&v6.ip().octets());
            name[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockAddr;

    /// `socket2` builds the C structs, so it is a second opinion on every offset.
    #[test]
    fn agrees_with_socket2() {
        for text in ["192.0.2.1:53", "0.0.0.0:0", "[2001:db8::1]:65535", "[fe80::1%7]:5353"] {
            let address: SocketAddr = text.parse().unwrap();
            let c = SockAddr::from(address);
            let mut theirs = [0; SOCKADDR_LEN_MAX];
            let len = c.len() as usize;
            // SAFETY: `c` lives to the end of this block and holds `len` initialised bytes.
            theirs[..len].copy_from_slice(unsafe { std::slice::from_raw_parts(c.as_ptr().cast(), len) });
            let mut ours = [0; SOCKADDR_LEN_MAX];
            encode(&address, &mut ours);
            assert_eq!(ours, theirs, "{text}");
            assert_eq!(len_of_family([theirs[0], theirs[1]]), len);
            assert_eq!(decode(&theirs), Some(address));
        }
        assert_eq!(decode(&[0; SOCKADDR_LEN_MAX]), None);
    }
}
