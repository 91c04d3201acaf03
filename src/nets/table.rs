//! Ranges of both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::intervals::Intervals;
use super::ipv6::Ipv6;

/// What every address has.
#[derive(Clone, Debug)]
pub struct Table {
    /// Addresses of IPv4.
    pub v4: Intervals<u32>,
    /// Addresses of IPv6.
    pub v6: Ipv6,
}

/// What an address has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its choice; 0 is nothing.
    pub choice: u16,
    /// Whose word that is.
    pub tag: u8,
    /// The length of the largest network around the address in which all have this choice.
    pub scope: u8,
}

impl Table {
    /// Looks an address up.
    #[inline]
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Found {
        let (choice, tag, scope) = match address {
            IpAddr::V4(address) => {
                let range = self.v4.find(address.to_bits());
                (range.choice, range.tag, range.scope(address.to_bits()))
            }
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        };
        Found { choice, tag, scope }
    }

    /// The nearest address that has another choice: it limits how long the network around `address` can be.
    #[must_use]
    pub fn limit(&self, address: IpAddr) -> Option<IpAddr> {
        Some(match address {
            IpAddr::V4(address) => {
                let address = address.to_bits();
                Ipv4Addr::from_bits(self.v4.find(address).limit(address)?).into()
            }
            IpAddr::V6(address) => Ipv6Addr::from_bits(self.v6.limit(address.to_bits())?).into(),
        })
    }

    /// Bytes that it takes.
    #[must_use]
    pub fn memory_len(&self) -> usize {
        self.v4.memory_len() + self.v6.memory_len()
    }
}
