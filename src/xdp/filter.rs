//! Which frames the program looks at: interfaces, addresses, ports.

use std::mem::{offset_of, size_of};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::layout::{Control, INTERFACES, Interface, PREFIXES, Prefix, TARGET_PROBES, TARGETS, Target};
use super::memory::{Image, mix, put};
use crate::serve::SOURCE_PORTS_REFUSED;
use crate::stats::labels::type_value;
use crate::sys;

/// Bytes of the control block.
pub(super) const CONTROL_LEN: usize = size_of::<Control>();

/// Which frames the program may answer.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Where they come in.
    pub interfaces: Vec<sys::interface::Interface>,
    /// The addresses that the node listens on. Which ones a wildcard stands for is unknown: those are in
    /// a prefix.
    pub listeners: Vec<SocketAddr>,
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
        if self.interfaces.len() > INTERFACES {
            return Err(format!(
                "{} interfaces, over the limit of {INTERFACES}; remove some",
                self.interfaces.len()
            ));
        }
        for (index, interface) in self.interfaces.iter().enumerate() {
            let at = offset_of!(Control, interfaces) + index * size_of::<Interface>();
            put(&mut image, at + offset_of!(Interface, index), &u64::from(interface.index).to_le_bytes());
            put(&mut image, at + offset_of!(Interface, mac), &interface.mac);
        }
        put(&mut image, offset_of!(Control, sample), &u64::from(self.sample).to_le_bytes());
        SOURCE_PORTS_REFUSED.into_iter().for_each(|port| refuse_source(&mut image, port));
        for (index, listener) in self.listeners.iter().enumerate() {
            let ip = listener.ip();
            // Frames from outside are neither to nor from loopback addresses.
            if ip.is_unspecified() || ip.is_loopback() || is_link_local(ip) {
                continue;
            }
            if !put_target(&mut image, *listener, index) {
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
            interfaces: vec![sys::interface::Interface { index: 7, mac: [2, 0, 0, 0, 0, 1] }],
            listeners: listeners.iter().map(|one| one.parse().unwrap()).collect(),
            prefixes: prefixes.iter().map(|one| one.parse().unwrap()).collect(),
            sample: 1024,
        }
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
