//! All networks that rules list for one side of a query: addresses are cut into ranges that no rule tells
//! apart.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

use super::classes::{Class, Classes};

/// With so few ranges, looking at each is cheaper than a binary search.
const FEW: usize = 16;

/// Ranges of one version of IP: where each begins, and its class. The first begins at 0.
#[derive(Clone, Debug)]
struct Ranges<T> {
    starts: Vec<T>,
    classes: Vec<Class>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), classes: Vec::new() }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    #[inline]
    fn class(&self, address: T) -> Class {
        let after = if self.starts.len() <= FEW {
            self.starts.iter().take_while(|start| **start <= address).count()
        } else {
            self.starts.partition_point(|start| *start <= address)
        };
        after.checked_sub(1).and_then(|at| self.classes.get(at)).copied().unwrap_or(0)
    }
}

/// The ranges of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// What they are made from: by first address, which lists begin there (`true`) and end.
#[derive(Debug, Default)]
pub(super) struct NetworksBuilder {
    v4: BTreeMap<u32, Vec<(u32, bool)>>,
    v6: BTreeMap<u128, Vec<(u32, bool)>>,
}

impl NetworksBuilder {
    /// Puts networks into a list.
    pub(super) fn add(&mut self, list: u32, networks: &[IpNet]) {
        // Without those within others, and with neighbours joined, no address is in a list twice.
        for network in IpNet::aggregate(&networks.to_vec()) {
            match network {
                IpNet::V4(network) => {
                    let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                    self.v4.entry(first).or_default().push((list, true));
                    if let Some(after) = last.checked_add(1) {
                        self.v4.entry(after).or_default().push((list, false));
                    }
                }
                IpNet::V6(network) => {
                    let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                    self.v6.entry(first).or_default().push((list, true));
                    if let Some(after) = last.checked_add(1) {
                        self.v6.entry(after).or_default().push((list, false));
                    }
                }
            }
        }
    }

    /// The ranges, and which lists each class is in. Class 0 is in none.
    pub(super) fn build(self) -> (Networks, Classes) {
        let mut classes = Classes::default();
        let networks = Networks { v4: cut(self.v4, &mut classes), v6: cut(self.v6, &mut classes) };
        (networks, classes)
    }
}

fn cut<T: Copy>(events: BTreeMap<T, Vec<(u32, bool)>>, classes: &mut Classes) -> Ranges<T> {
    let mut ranges = Ranges { starts: Vec::new(), classes: Vec::new() };
    let mut within: Vec<u32> = Vec::new();
    for (start, mut changes) in events {
        // Of two networks of a list that touch, one ends where the other begins.
        changes.sort_unstable_by_key(|(_, begins)| *begins);
        for (list, begins) in changes {
            if begins {
                within.push(list);
            } else {
                within.retain(|known| *known != list);
            }
        }
        ranges.starts.push(start);
        ranges.classes.push(classes.of(within.clone()));
    }
    ranges
}

impl Networks {
    /// The class of an address.
    #[inline]
    pub(super) fn class(&self, address: IpAddr) -> Class {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.class(address.to_bits()),
            IpAddr::V6(address) => self.v6.class(address.to_bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_lists_of_their_networks() {
        let lists: [&[&str]; 4] = [
            &["192.0.2.0/24", "192.0.2.128/25", "192.0.3.0/24", "2001:db8::/32"],
            &["192.0.2.1/32", "255.255.255.255/32", "0.0.0.0/32", "ffff::/16"],
            &["0.0.0.0/0"],
            &["::/0", "2001:db8::53/128"],
        ];
        let nets: Vec<Vec<IpNet>> =
            lists.iter().map(|list| list.iter().map(|net| net.parse().unwrap()).collect()).collect();
        let mut builder = NetworksBuilder::default();
        (0..).zip(&nets).for_each(|(list, nets)| builder.add(list, nets));
        let (networks, classes) = builder.build();
        for address in [
            "0.0.0.0",
            "0.0.0.1",
            "192.0.1.255",
            "192.0.2.0",
            "192.0.2.1",
            "192.0.2.2",
            "192.0.3.255",
            "192.0.4.0",
            "255.255.255.254",
            "255.255.255.255",
            "::",
            "2001:db7:ffff::",
            "2001:db8::",
            "2001:db8::53",
            "2001:db9::",
            "ffff::",
            "fffe::",
            "::ffff:192.0.2.1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            for (list, nets) in (0..).zip(&nets) {
                let is_in = nets.iter().any(|net| net.contains(&address.to_canonical()));
                assert_eq!(classes.holds(networks.class(address), list), is_in, "{address} in {list}");
            }
        }
        assert_eq!(Networks::default().class("192.0.2.1".parse().unwrap()), 0);
    }
}
