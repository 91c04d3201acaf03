//! What becomes of queries that were copied out: lines of the query log, and frames for dnstap. One thread
//! does both. It looks at what the others hand over many times a second, as none of them can wake it.

mod dnstap;
mod frames;
mod query_log;
mod thread;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

pub use dnstap::Identity;
pub use frames::{Receiver as DnstapReceiver, Status as DnstapStatus};
pub use thread::{Dnstap, QueryLog, Taps};

/// How much of a client's address is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// Its network: 24 bits of IPv4, 48 of IPv6.
    #[default]
    Short,
    /// All of it.
    Whole,
}

/// Bits that are told of a short address.
const SHORT_BITS: (u8, u8) = (24, 48);

impl Addresses {
    /// What is told of `ip`, as it is written.
    #[must_use]
    pub fn told(self, ip: IpAddr) -> String {
        self.of(ip).to_string()
    }

    /// What is told of `ip`.
    fn of(self, ip: IpAddr) -> Told {
        match self {
            Self::Whole => Told::Address(ip),
            Self::Short => {
                let bits = if ip.is_ipv4() { SHORT_BITS.0 } else { SHORT_BITS.1 };
                Told::Network(IpNet::new(ip, bits).expect("every address has so many bits").trunc())
            }
        }
    }
}

/// An address as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Address(IpAddr),
    Network(IpNet),
}

impl Told {
    /// The address with zeros in place of what is not told.
    fn ip(self) -> IpAddr {
        match self {
            Self::Address(ip) => ip,
            Self::Network(net) => net.network(),
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => ip.fmt(f),
            Self::Network(net) => net.fmt(f),
        }
    }
}
