//! Which frames the program looks at: interfaces, addresses, ports.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::layout::{
    Control, INTERFACES, Interface, LISTENERS, PREFIXES, Prefix, TARGET_PROBES, TARGETS, Target,
};
use super::memory::{Image, mix, put};
use crate::serve::SOURCE_PORTS_REFUSED;
use crate::stats::labels::type_value;

/// Bytes of the control block.
pub(super) const CONTROL_LEN: usize = size_of::<Control>();

/// From here on the block may change while the program runs: each word by itself is right. The words before
/// it are the [`Responder`](super::Responder)'s.
pub(super) const FILTER_AT: usize = offset_of!(Control, interfaces);

/// An interface that frames come in at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The address that they are for.
    pub mac: [u8; 6],
    /// VLANs that the node is in; frames with another tag pass.
    pub vlans: Vec<u16>,
}

/// Which frames the program may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Where they come in.
    pub ports: Vec<Port>,
    /// The addresses that the node listens on. Which ones a wildcard stands for is unknown: those are in
    /// a prefix.
    pub listeners: Vec<SocketAddr>,
    /// Addresses among those that are not the host's now: the kernel would take no packet to them.
    pub absent: Vec<IpAddr>,
    /// Prefixes all of whose addresses are the node's.
    pub prefixes: Vec<IpNet>,
    /// One query in so many that it could answer passes to the sockets; 0 for none.
    pub sample: u32,
}

impl Filter {
    /// The control block for them.
    ///
    /// # Errors
    /// A prefix without a listening address, and more of anything than fits.
    pub(super) fn image(&self) -> Result<Image, String> {
        let mut image = vec![0; CONTROL_LEN];
        if self.ports.len() > INTERFACES {
            let count = self.ports.len();
            return Err(format!("{count} interfaces, over the limit of {INTERFACES}; remove some"));
        }
        for (index, port) in self.ports.iter().enumerate() {
            let at = offset_of!(Control, interfaces) + index * size_of::<Interface>();
            put(&mut image, at + offset_of!(Interface, mac), &port.mac);
            let vlans_at = at + offset_of!(Interface, vlans);
            // The first bit is for frames without a tag.
            set_bit(&mut image, vlans_at, 0);
            port.vlans.iter().for_each(|vlan| set_bit(&mut image, vlans_at, usize::from(vlan & 0xFFF)));
        }
        put(&mut image, offset_of!(Control, sample), &u64::from(self.sample).to_le_bytes());
        SOURCE_PORTS_REFUSED.into_iter().for_each(|port| refuse_source(&mut image, port));
        for (index, listener) in self.listeners.iter().enumerate() {
            let ip = listener.ip();
            if !comes_from_outside(ip) {
                continue;
            }
            let is_here = !self.absent.contains(&ip);
            if !put_target(&mut image, *listener, if is_here { index } else { LISTENERS }) {
                // Without a slot the program does not know this address as ours, so frames from its port pass
                // to the sockets.
                refuse_source(&mut image, listener.port());
            }
        }
        self.put_prefixes(&mut image)?;
        for qtype in 0..=258 {
            // The last place is for all types that are beyond the table.
            let qtype_counted = if qtype == 258 { u16::MAX } else { qtype };
            let at = offset_of!(Control, types) + usize::from(qtype);
            put(&mut image, at, &[type_value(qtype_counted) as u8]);
        }
        Ok(image)
    }

    /// An address of a family that frames are answered at, whether the host has it now or not, and its
    /// listener.
    pub(super) fn example(&self, is_ipv4: bool) -> Option<(SocketAddr, usize)> {
        let of_family = |(_, listener): &(usize, &SocketAddr)| listener.is_ipv4() == is_ipv4;
        let mut listeners = self.listeners.iter().enumerate().filter(of_family);
        let own = listeners.clone().find(|(_, listener)| comes_from_outside(listener.ip()));
        own.map(|(index, listener)| (*listener, index)).or_else(|| {
            let prefix = self.prefixes.iter().find(|prefix| prefix.addr().is_ipv4() == is_ipv4)?;
            let (index, listener) = listeners.find(|(_, listener)| listener.ip().is_unspecified())?;
            Some((SocketAddr::new(prefix.network(), listener.port()), index))
        })
    }

    /// Whether an address is the node's.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.listeners.iter().any(|listener| listener.ip() == ip)
            || self.prefixes.iter().any(|prefix| prefix.contains(&ip))
    }

    fn put_prefixes(&self, image: &mut Image) -> Result<(), String> {
        let mut entries = Vec::new();
        for prefix in &self.prefixes {
            let mut ports = Vec::new();
            let is_of = |listener: &SocketAddr| {
                let ip = listener.ip();
                prefix.contains(&ip) || ip.is_unspecified() && ip.is_ipv4() == prefix.addr().is_ipv4()
            };
            for (index, listener) in self.listeners.iter().enumerate().filter(|(_, one)| is_of(one)) {
                if !ports.contains(&listener.port()) {
                    ports.push(listener.port());
                    entries.push((prefix, listener.port(), index));
                }
            }
            if ports.is_empty() {
                return Err(format!(
                    "no listening address is in {prefix}; listen on one, or remove the prefix"
                ));
            }
        }
        if entries.len() > PREFIXES {
            let message = "prefixes, counted once per port, over the limit of";
            return Err(format!("{} {message} {PREFIXES}; remove some", entries.len()));
        }
        put(image, offset_of!(Control, prefixes_len), &(entries.len() as u64).to_le_bytes());
        for (index, (prefix, port, listener)) in entries.into_iter().enumerate() {
            let at = offset_of!(Control, prefixes) + index * size_of::<Prefix>();
            let mapped = |ip: IpAddr| mapped(ip).octets();
            // An IPv4 network is one of mapped addresses.
            let mask = match prefix.netmask() {
                IpAddr::V4(mask) => {
                    let [a, b, c, d] = mask.octets();
                    let mut octets = [0xFF; 16];
                    octets[12..].copy_from_slice(&[a, b, c, d]);
                    octets
                }
                IpAddr::V6(mask) => mask.octets(),
            };
            put(image, at + offset_of!(Prefix, address), &mapped(prefix.network()));
            put(image, at + offset_of!(Prefix, mask), &mask);
            put(image, at + offset_of!(Prefix, port), &on_the_wire(port));
            put(image, at + offset_of!(Prefix, listener), &(listener as u32).to_le_bytes());
        }
        Ok(())
    }
}

/// Whether frames from outside are to that address: neither to nor from loopback are any.
fn comes_from_outside(ip: IpAddr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || is_link_local(ip))
}

/// Whether it is an address of one link, which is told from that of another only by the interface.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// A port as a word that a frame is compared with.
fn on_the_wire(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}

/// Frames from this source port pass.
fn refuse_source(image: &mut Image, port: u16) {
    set_bit(image, offset_of!(Control, ports), port.into());
    let at = offset_of!(Control, ports_max);
    let max = u64::from_le_bytes(*image[at..].first_chunk().expect("a word stands there"));
    put(image, at, &max.max(port.into()).to_le_bytes());
}

/// Sets a bit of what begins at `at`.
fn set_bit(image: &mut Image, at: usize, bit: usize) {
    image[at + bit / 8] |= 1 << (bit % 8);
}

/// Whether there was a free slot within the probe distance.
fn put_target(image: &mut Image, listener: SocketAddr, index: usize) -> bool {
    let octets = mapped(listener.ip()).octets();
    let half = |at: usize| u64::from_le_bytes(*octets[at..].first_chunk().expect("an address has sixteen"));
    // The first half of an IPv4 address is 0, and so is its mix.
    let hash = mix(mix(half(0)) ^ half(8));
    for probe in 0..TARGET_PROBES {
        let place = ((hash >> 20) as usize + probe) % TARGETS;
        let at = offset_of!(Control, targets) + place * size_of::<Target>();
        let port_at = at + offset_of!(Target, port);
        if image[port_at..port_at + 4] == [0; 4] {
            put(image, at + offset_of!(Target, address), &octets);
            put(image, port_at, &on_the_wire(listener.port()));
            put(image, at + offset_of!(Target, listener), &(index as u32).to_le_bytes());
            set_bit(image, offset_of!(Control, own), (hash >> 58) as usize);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LISTEN_MAX;

    fn filter(listeners: &[&str], prefixes: &[&str]) -> Filter {
        Filter {
            ports: vec![Port { mac: [2, 0, 0, 0, 0, 1], vlans: vec![7] }],
            absent: Vec::new(),
            listeners: listeners.iter().map(|one| one.parse().unwrap()).collect(),
            prefixes: prefixes.iter().map(|one| one.parse().unwrap()).collect(),
            sample: 1024,
        }
    }

    #[test]
    fn frames_without_a_tag_and_of_known_vlans_are_looked_at() {
        let image = filter(&[], &[]).image().unwrap();
        let vlans = |interface: usize| {
            let at = FILTER_AT + interface * size_of::<Interface>() + offset_of!(Interface, vlans);
            let is_set = |vlan: &usize| image[at + vlan / 8] >> (vlan % 8) & 1 == 1;
            (0..4096).filter(is_set).collect::<Vec<usize>>()
        };
        assert_eq!(vlans(0), [0, 7]);
        assert!(vlans(1).is_empty(), "a frame to 00:00:00:00:00:00 is nobody's");
    }

    fn targets(image: &Image) -> usize {
        let ports = (0..TARGETS).map(|place| {
            offset_of!(Control, targets) + place * size_of::<Target>() + offset_of!(Target, port)
        });
        ports.filter(|&at| image[at..at + 4] != [0; 4]).count()
    }

    #[test]
    fn only_addresses_that_come_from_outside_are_targets() {
        let listeners =
            ["127.0.0.1:53", "[::1]:53", "0.0.0.0:53", "[fe80::1]:53", "192.0.2.1:53", "192.0.2.1:5300"];
        assert_eq!(targets(&filter(&listeners, &[]).image().unwrap()), 2);
        let many: Vec<String> = (0..LISTEN_MAX).map(|n| format!("[2001:db8::{n:x}]:53")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(targets(&filter(&many, &[]).image().unwrap()), LISTEN_MAX, "all have a place");
    }

    #[test]
    fn a_prefix_is_answered_for_where_somebody_listens() {
        let len = |listeners: &[&str], prefixes: &[&str]| {
            let image = filter(listeners, prefixes).image()?;
            Ok::<_, String>(image[offset_of!(Control, prefixes_len)])
        };
        assert_eq!(len(&["192.0.2.1:53"], &["192.0.2.0/24"]), Ok(1));
        assert_eq!(len(&["0.0.0.0:53", "0.0.0.0:54"], &["192.0.2.0/24", "198.51.100.0/24"]), Ok(4));
        let refused = len(&["[::]:53"], &["192.0.2.0/24"]).unwrap_err();
        assert!(refused.starts_with("no listening address is in 192.0.2.0/24; "), "{refused}");
        let many: Vec<String> = (0..PREFIXES + 1).map(|n| format!("10.{n}.0.0/16")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(len(&["0.0.0.0:53"], &many).unwrap_err().contains("over the limit of 16"));
    }

    #[test]
    fn ports_that_get_nothing_are_marked() {
        let image = filter(&[], &[]).image().unwrap();
        let marked = (0..=u16::MAX)
            .filter(|port| image[offset_of!(Control, ports) + usize::from(*port) / 8] >> (port % 8) & 1 == 1);
        assert_eq!(marked.collect::<Vec<_>>(), SOURCE_PORTS_REFUSED);
    }
}
