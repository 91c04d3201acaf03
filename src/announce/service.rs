//! The two services of AS112 as routing has them: the prefixes that every node announces, and the addresses
//! in them on which it answers.

use std::net::IpAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::zone::Service;

/// A prefix, and the addresses in it on which a node answers.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    /// [`Service::Direct`] or [`Service::Dname`].
    pub service: Service,
    /// What is announced.
    pub net: IpNet,
    /// What is answered on.
    pub addresses: &'static [IpAddr],
}

/// All that a node of AS112 may announce: of the direct service (RFC 7534, section 3.4) with prisoner,
/// blackhole-1 and blackhole-2.iana.org, and of the one that DNAMEs lead to (RFC 7535, section 3.2) with
/// blackhole.as112.arpa.
pub const PREFIXES: [Prefix; 4] = [
    Prefix {
        service: Service::Direct,
        net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 175, 48, 0), 24)),
        addresses: &[v4([192, 175, 48, 1]), v4([192, 175, 48, 6]), v4([192, 175, 48, 42])],
    },
    Prefix {
        service: Service::Direct,
        net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48)),
        addresses: &[
            v6([0x2620, 0x4f, 0x8000, 0x1]),
            v6([0x2620, 0x4f, 0x8000, 0x6]),
            v6([0x2620, 0x4f, 0x8000, 0x42]),
        ],
    },
    Prefix {
        service: Service::Dname,
        net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(192, 31, 196, 0), 24)),
        addresses: &[v4([192, 31, 196, 1])],
    },
    Prefix {
        service: Service::Dname,
        net: IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0x4, 0x112, 0, 0, 0, 0, 0), 48)),
        addresses: &[v6([0x2001, 0x4, 0x112, 0x1])],
    },
];

const fn v4([a, b, c, d]: [u8; 4]) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// An address of which the three first groups and the last are not 0.
const fn v6([a, b, c, last]: [u16; 4]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last))
}

/// The addresses of a service, those of IPv4 first.
pub fn addresses(service: Service) -> impl Iterator<Item = IpAddr> {
    let prefixes = PREFIXES.iter().filter(move |prefix| prefix.service == service);
    prefixes.flat_map(|prefix| prefix.addresses).copied()
}

/// The service that an address belongs to, if it is one of AS112.
#[must_use]
pub fn of(address: IpAddr) -> Option<Service> {
    PREFIXES.iter().find(|prefix| prefix.net.contains(&address)).map(|prefix| prefix.service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_those_of_the_rfcs_and_hold_their_addresses() {
        let nets: Vec<String> = PREFIXES.iter().map(|prefix| prefix.net.to_string()).collect();
        assert_eq!(nets, ["192.175.48.0/24", "2620:4f:8000::/48", "192.31.196.0/24", "2001:4:112::/48"]);
        for prefix in PREFIXES {
            assert!(prefix.addresses.iter().all(|address| prefix.net.contains(address)), "{prefix:?}");
            assert!(prefix.addresses.iter().all(|address| of(*address) == Some(prefix.service)));
        }
        assert_eq!(of("192.0.2.1".parse().unwrap()), None);
    }
}
