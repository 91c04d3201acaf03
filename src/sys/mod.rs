//! Linux, and the only unsafe code: rings, sockets, CPUs, users, confinement. It knows no DNS.
//!
//! The two datapaths, [`Ring`] and [`Mmsg`], have one shape: `new` takes sockets, `turn` makes one round and
//! lends each datagram to a closure, `end` answers what is still queued and frees the port. The closure sees
//! the bytes of one slot for the length of one call; it says how many of them are the reply. Thus no address
//! and no buffer number crosses the face of this room, and there is nothing to give back twice or not at all.
#![allow(unsafe_code)]

mod address;
mod datagram;
mod memory;
mod pktinfo;

pub mod answering;
pub mod aside;
pub mod bpf;
pub mod clock;
pub mod confine;
pub mod cpu;
pub mod datagrams;
pub mod ethtool;
pub mod files;
pub mod inherited;
pub mod launcher;
pub mod limits;
pub mod mmsg;
pub mod netlink;
pub mod passing;
pub mod process;
pub mod ring;
pub mod sharing;
pub mod sockets;
pub mod steering;
pub mod threads;
pub mod topology;
pub mod units;
pub mod user;
pub mod wake;

pub use datagram::{Arrived, Local, Rearms, SendErrors, Turn};
pub use memory::{Zeroed, forget_code};
pub use mmsg::Mmsg;
pub use ring::{Ring, RingError, RingFeature, SelfTest, ring_features, self_test};

#[cfg(test)]
pub(crate) mod conformance;
