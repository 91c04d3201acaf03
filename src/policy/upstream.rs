//! The servers that queries are forwarded to, as the operator describes them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

/// An upstream, by its place in the policy.
pub type UpstreamId = u16;

/// Servers that answer alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// What it is called: as configured, or the address where a rule names servers directly.
    pub name: String,
    /// Its servers, in the order of preference.
    pub servers: Vec<SocketAddr>,
    /// How they are asked.
    pub over: Over,
    /// Which is asked first.
    pub choose: Choose,
    /// How long one try may take at most.
    pub timeout: Duration,
    /// How many tries a query has.
    pub tries: u8,
    /// The share of queries that measure another server than the best.
    pub explore: f32,
    /// The case of letters in names is random, and compared (0x20).
    pub case_randomization: bool,
    /// Cookies are sent (RFC 7873).
    pub cookies: bool,
    /// What becomes of a client subnet.
    pub ecs: Ecs,
}

/// How servers are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// UDP, and TCP for what is cut.
    Udp,
    /// TCP.
    Tcp,
    /// TLS (RFC 7858).
    Tls {
        /// The name in the server's certificate.
        name: String,
        /// Who may have signed it: a file of certificates in PEM. Without it those of the system.
        ca: Option<String>,
        /// What was read there.
        roots: Roots,
    },
}

/// Certificates of those who may sign those of servers, in DER. Whoever reads the file checks them; copies
/// share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(pub Arc<Vec<Vec<u8>>>);

/// Which server is asked first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choose {
    /// The one that has answered best.
    #[default]
    Fastest,
    /// The first that works.
    Order,
    /// By the name that is asked for.
    Hash,
}

/// What becomes of a client subnet (RFC 7871).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecs {
    /// It is not sent on.
    #[default]
    Strip,
    /// It is sent on as it came.
    Pass,
    /// Each client's address is sent, with so many bits.
    Set {
        /// Bits of an IPv4 address.
        ipv4: u8,
        /// Bits of an IPv6 address.
        ipv6: u8,
    },
}
