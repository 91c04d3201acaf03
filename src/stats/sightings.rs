//! Queries for the names of beacons: which resolver has asked for which ticket. They wait in a queue of the
//! thread that answers, and are lost where that is full.

use std::net::IpAddr;

use crate::dns::consts::HEADER_LEN;

/// Bytes of a label that can be a ticket's.
pub const LABEL_LEN: usize = 26;

/// A resolver has asked for the name of a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The first label of the name.
    pub label: [u8; LABEL_LEN],
    /// The resolver.
    pub resolver: IpAddr,
    /// It has said for which client it asks.
    pub sends_subnet: bool,
    /// The source is proven: it was not a datagram.
    pub is_proven: bool,
}

impl Sighting {
    /// That of a reply, if the first label of its question has the length of a ticket's.
    #[must_use]
    pub fn of(reply: &[u8], resolver: IpAddr, sends_subnet: bool, is_proven: bool) -> Option<Self> {
        let (&len, rest) = reply.get(HEADER_LEN..)?.split_first()?;
        let label = rest.get(..LABEL_LEN)?.try_into().ok()?;
        (usize::from(len) == LABEL_LEN).then_some(Self { label, resolver, sends_subnet, is_proven })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_label_is_the_tickets() {
        let resolver = IpAddr::from([192, 0, 2, 1]);
        let mut reply = vec![0; HEADER_LEN];
        reply.push(26);
        reply.extend([b'a'; 26]);
        let sighting = Sighting::of(&reply, resolver, true, false).unwrap();
        assert_eq!((sighting.label, sighting.sends_subnet), ([b'a'; 26], true));
        assert_eq!(Sighting::of(&reply[..38], resolver, true, false), None);
        reply[HEADER_LEN] = 25;
        assert_eq!(Sighting::of(&reply, resolver, true, false), None);
        assert_eq!(Sighting::of(&reply[..HEADER_LEN], resolver, true, false), None);
        assert!(size_of::<Sighting>() <= 64);
    }
}
