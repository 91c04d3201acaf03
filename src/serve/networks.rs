//! A list of networks, looked up by address.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks, as the ranges of their addresses: in order, and none touches another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    ipv4: Box<[(u32, u32)]>,
    ipv6: Box<[(u128, u128)]>,
}

impl Networks {
    /// All of these.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        for network in networks {
            match network {
                IpNet::V4(net) => ipv4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => ipv6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        let ipv4 = merged(ipv4, |last, first| last.checked_add(1).is_none_or(|next| first <= next));
        let ipv6 = merged(ipv6, |last, first| last.checked_add(1).is_none_or(|next| first <= next));
        Self { ipv4, ipv6 }
    }

    /// Whether there are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ipv4.is_empty() && self.ipv6.is_empty()
    }

    /// Whether one of them has `address`; an IPv4 address is the same in the form of IPv6.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.ipv4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.ipv6, address.to_bits()),
        }
    }

    /// The ranges of IPv4 addresses.
    #[must_use]
    pub fn ipv4(&self) -> &[(u32, u32)] {
        &self.ipv4
    }

    /// The ranges of IPv6 addresses.
    #[must_use]
    pub fn ipv6(&self) -> &[(u128, u128)] {
        &self.ipv6
    }
}

/// The ranges in order, those that meet as one; `meets` says whether one that ends and one that begins so do.
fn merged<T: Copy + Ord>(mut ranges: Vec<(T, T)>, meets: impl Fn(T, T) -> bool) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let meet = meets(before.1, next.0);
        if meet {
            before.1 = before.1.max(next.1);
        }
        meet
    });
    ranges.into()
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|&(_, last)| address <= last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(&texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn an_address_is_in_a_network_or_not() {
        let texts = [
            "203.0.113.7/32",
            "198.51.100.0/24",
            "198.51.100.128/25",
            "10.0.0.0/9",
            "10.128.0.0/9",
            "255.255.255.255/32",
            "2001:db8::/32",
            "2001:db8:1::/48",
            "ffff::/16",
        ];
        let list = networks(&texts);
        assert_eq!((list.ipv4().len(), list.ipv6().len()), (4, 2), "{list:?}");
        let by_hand = |address: &IpAddr| {
            let all = texts.iter().map(|text| text.parse::<IpNet>().unwrap());
            { all }.any(|net| net.contains(address))
        };
        for (address, is_in) in [
            ("203.0.113.7", true),
            ("203.0.113.6", false),
            ("203.0.113.8", false),
            ("198.51.99.255", false),
            ("198.51.100.0", true),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.127.255.255", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("0.0.0.0", false),
            ("255.255.255.254", false),
            ("255.255.255.255", true),
            ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false),
            ("2001:db8::", true),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
            ("2001:db9::", false),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!((list.contains(address), by_hand(&address)), (is_in, is_in), "{address}");
        }
        assert!(list.contains("::ffff:198.51.100.1".parse().unwrap()), "mapped");
        assert!(!list.contains("::198.51.100.1".parse().unwrap()));
    }

    #[test]
    fn of_none_there_is_nothing_in_it_and_of_all_everything() {
        let none = networks(&[]);
        assert!(none.is_empty() && !none.contains("10.0.0.1".parse().unwrap()));
        let all = networks(&["0.0.0.0/0", "::/0", "10.0.0.0/8"]);
        assert!(all.contains("0.0.0.0".parse().unwrap()) && all.contains("255.255.255.255".parse().unwrap()));
        assert!(all.contains("::".parse().unwrap()) && all.contains("2001:db8::1".parse().unwrap()));
        assert_eq!((all.ipv4().len(), all.ipv6().len()), (1, 1));
    }
}
