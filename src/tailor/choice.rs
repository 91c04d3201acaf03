//! The words of a choice: who asks, what decided, what is up.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::spec::PopId;
use crate::dns::ecs::Subnet;

/// What decided. In the order in which they are asked: for a client's subnet those up to `Nearest`, for a
/// resolver `ByHand`, `Learned` and then the same ones, and in the end `Default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Layer {
    /// A file of networks.
    Networks,
    /// What was measured of the client's place.
    Places,
    /// The autonomous system.
    As,
    /// The country.
    Country,
    /// The continent.
    Continent,
    /// The nearest PoPs on the globe.
    Nearest,
    /// A file of resolvers.
    ByHand,
    /// What was learned of the resolver's users.
    Learned,
    /// Nothing is known.
    Default,
}

impl Layer {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Networks,
        Self::Places,
        Self::As,
        Self::Country,
        Self::Continent,
        Self::Nearest,
        Self::ByHand,
        Self::Learned,
        Self::Default,
    ];

    /// The one with this number.
    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Default)
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Places => "places",
            Self::As => "as",
            Self::Country => "country",
            Self::Continent => "continent",
            Self::Nearest => "nearest",
            Self::ByHand => "by_hand",
            Self::Learned => "learned",
            Self::Default => "default",
        }
    }
}

/// What became of a client's subnet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// There was none.
    #[default]
    None,
    /// It decided.
    Used,
    /// It is in no network that is known: the resolver decided.
    Unmapped,
    /// It is in a special block, such as a private one: the resolver decided.
    Private,
    /// SOURCE is 0: the resolver decided, as the client wishes.
    Zero,
    /// The map does not ask for it, or the answer depends on nobody.
    Ignored,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// The resolver.
    pub peer: IpAddr,
    /// The ID of the query: weights and rotation follow a hash of it and the resolver, never the subnet.
    pub id: u16,
    /// The client's subnet.
    pub subnet: Option<Subnet>,
}

impl Asking {
    /// A number that is any other for another query or another resolver.
    #[inline]
    #[must_use]
    pub fn hash(&self) -> u64 {
        let peer = match self.peer {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                (bits >> 64) as u64 ^ (bits as u64).rotate_left(29)
            }
        };
        // The finalizer of splitmix64: every bit of it depends on every bit.
        let mixed = (peer ^ u64::from(self.id) << 32).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

/// What was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which of the pool's variants, by its place there.
    pub variant: u16,
    /// The PoP.
    pub pop: PopId,
    /// SCOPE of the reply, if the query had a subnet.
    pub scope: u8,
    /// What decided.
    pub layer: Layer,
    /// What became of the subnet.
    pub subnet: Use,
    /// No PoP of the list is up.
    pub is_all_down: bool,
}

/// The PoPs that are up: a bit for each, by its [`PopId`]. The control plane writes it, threads that answer
/// read it once for an answer: nothing is compiled when a PoP goes.
#[derive(Debug)]
pub struct Health(AtomicU64);

impl Default for Health {
    /// All are up: that is what is believed of a PoP of which nobody has said anything.
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Health {
    /// The PoPs that are up.
    #[inline]
    #[must_use]
    pub fn up(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// From now on these are.
    pub fn set(&self, up: u64) {
        self.0.store(up, Ordering::Relaxed);
    }
}
