//! What the program in the driver is told of the host, and told again when it changes: under which addresses
//! its interfaces are reached, in which VLANs the host is, and which listening addresses are its own.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::config::xdp::XdpSettings;
use crate::limits::XDP_LOOK;
use crate::sys::ethtool;
use crate::sys::netlink::{Link, Netlink};
use crate::xdp::{Filter, Port, Responder};

/// What is asked of the kernel.
pub(super) struct Host {
    netlink: Netlink,
    settings: XdpSettings,
    listeners: Vec<SocketAddr>,
    /// The interfaces that the program is to be on, by number.
    interfaces: Vec<u32>,
}

impl Host {
    /// For the addresses that the node listens on.
    ///
    /// # Errors
    /// If the kernel cannot be asked.
    pub(super) fn new(settings: &XdpSettings, listeners: &[SocketAddr]) -> Result<Self, String> {
        let netlink = Netlink::open().map_err(|error| format!("cannot open a netlink socket: {error}"))?;
        let (settings, listeners) = (settings.clone(), listeners.to_vec());
        Ok(Self { netlink, settings, listeners, interfaces: Vec::new() })
    }

    pub(super) fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// All interfaces of the host.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn links(&mut self) -> Result<Vec<Link>, String> {
        self.netlink.links().map_err(|error| format!("cannot list the interfaces: {error}"))
    }

    /// Looks at these from now on.
    pub(super) fn watch(&mut self, interfaces: Vec<u32>) {
        self.interfaces = interfaces;
    }

    /// What the program may answer on this host as it is now.
    pub(super) fn filter(&mut self, links: &[Link]) -> Filter {
        let of = |index: &u32| links.iter().find(|link| link.index == *index);
        let ports = self.interfaces.iter().filter_map(of).filter_map(|link| {
            let mut vlans = vlans(links, link);
            vlans.extend(&self.settings.vlans);
            Some(Port { mac: link.mac?, vlans })
        });
        let ports = ports.collect();
        // Where the kernel does not say, an address stays as it was configured.
        let mut is_absent = |ip: &IpAddr| self.netlink.is_local(*ip).is_ok_and(|is_local| !is_local);
        let ips = self.listeners.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
        let absent = ips.filter(|ip| is_absent(ip)).collect();
        let (listeners, prefixes) = (self.listeners.clone(), self.settings.prefixes.clone());
        Filter { ports, listeners, absent, prefixes, sample: self.settings.sample }
    }

    /// Whether the host is in VLANs on this interface, and its driver takes the tags off.
    pub(super) fn loses_tags(&self, link: &Link, links: &[Link]) -> bool {
        let is_in_vlans = !vlans(links, link).is_empty() || !self.settings.vlans.is_empty();
        // A veth passes on what its peer has sent, with the tag where that has put it; a bond what its ports
        // have.
        let strips = |one: &Link| {
            !["veth", "bond"].contains(&one.kind.as_str())
                && ethtool::strips_vlan_tags(&self.netlink, &one.name).unwrap_or_default()
        };
        is_in_vlans && ports(links, link).any(strips)
    }

    /// Keeps the program informed until it is told to stop, and adds to `lost` what drivers did not send.
    pub(super) fn run(mut self, responder: &Responder, lost: &AtomicU64, stop: &AtomicBool) {
        let mut told = None;
        let mut drivers = Drivers::default();
        while !stop.load(Ordering::Relaxed) {
            // What cannot be read now can be read later.
            if let Ok(links) = self.links() {
                let filter = self.filter(&links);
                if told.as_ref() != Some(&filter) && responder.refresh(&filter).is_ok() {
                    told = Some(filter);
                }
                let watched = links.iter().filter(|link| self.interfaces.contains(&link.index));
                let names = watched.flat_map(|link| ports(&links, link)).map(|port| port.name.as_str());
                lost.fetch_add(drivers.look(&self.netlink, names), Ordering::Relaxed);
            }
            thread::park_timeout(XDP_LOOK);
        }
    }
}

/// The interface, and the ports that it has if it is a bond: what frames come in at.
pub(super) fn ports<'a>(links: &'a [Link], link: &Link) -> impl Iterator<Item = &'a Link> {
    let index = link.index;
    links.iter().filter(move |one| one.index == index || one.master == Some(index))
}

/// The VLANs that the host is in on an interface, or on the bond or bridge that it is a port of.
fn vlans(links: &[Link], link: &Link) -> Vec<u16> {
    let is_on = |one: &&Link| {
        let parent = one.parent;
        one.is_up && parent.is_some() && (parent == Some(link.index) || parent == link.master)
    };
    links.iter().filter(is_on).filter_map(|one| one.vlan).collect()
}

/// What drivers had counted when they were last looked at.
#[derive(Default)]
struct Drivers(HashMap<String, u64>);

impl Drivers {
    /// What they have lost since then.
    fn look<'a>(&mut self, netlink: &Netlink, interfaces: impl Iterator<Item = &'a str>) -> u64 {
        let counted = interfaces.filter_map(|name| {
            let counters = ethtool::counters(netlink, name, is_of_lost_replies).ok()?;
            Some((name.to_owned(), lost(&counters)))
        });
        let counted: Vec<(String, u64)> = counted.collect();
        counted.into_iter().map(|(name, now)| self.more(name, now)).sum()
    }

    /// A driver that is seen for the first time has counted for others; one that has less than before was
    /// reset.
    fn more(&mut self, name: String, now: u64) -> u64 {
        self.0.insert(name, now).map_or(0, |before| now.saturating_sub(before))
    }
}

/// Whether a driver counts replies under this name that it took and did not send: veth has
/// `rx_queue_0_xdp_tx_errors`, virtio_net `tx_queue_0_xdp_tx_drops`, mlx5 `rx_xdp_tx_full` and
/// `rx0_xdp_tx_full`, gve `rx_xdp_tx_errors[0]`.
fn is_of_lost_replies(name: &str) -> bool {
    name.split_once("xdp_tx")
        .is_some_and(|(_, rest)| ["err", "full", "drop"].iter().any(|one| rest.contains(one)))
}

/// The sum of a driver's counters: of those for the whole interface where there are any, else of its queues.
fn lost(counters: &[(String, u64)]) -> u64 {
    let is_total = |name: &str| !name.contains(|c: char| c.is_ascii_digit());
    let has_totals = counters.iter().any(|(name, _)| is_total(name));
    counters.iter().filter(|(name, _)| is_total(name) == has_totals).map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlans_are_those_of_interfaces_that_are_up() {
        let link = |index, parent, vlan, is_up| Link { index, parent, vlan, is_up, ..Link::default() };
        let port = Link { index: 2, master: Some(3), is_up: true, ..Link::default() };
        let links = [
            port.clone(),
            link(3, None, None, true),
            link(4, Some(2), Some(7), true),
            link(5, Some(3), Some(8), true),
            link(6, Some(2), Some(9), false),
            link(7, Some(1), Some(10), true),
            link(8, None, Some(11), true),
        ];
        assert_eq!(vlans(&links, &port), [7, 8]);
        assert_eq!(vlans(&links, &links[1]), [8]);
        assert!(vlans(&links, &links[2]).is_empty());
    }

    #[test]
    fn what_is_lost_is_counted_once_whatever_a_driver_calls_it() {
        let names =
            ["rx_queue_0_xdp_tx_errors", "tx_queue_1_xdp_tx_drops", "rx_xdp_tx_full", "rx_xdp_tx_err"];
        assert!(names.into_iter().all(is_of_lost_replies));
        let others = ["rx_queue_0_xdp_tx", "rx_queue_0_xdp_drops", "rx_errors", "tx_xdp_full", "xdp_tx_cqe"];
        assert!(!others.into_iter().any(is_of_lost_replies));
        let counted = |counters: &[(&str, u64)]| {
            lost(&counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>())
        };
        assert_eq!(counted(&[("rx_queue_0_xdp_tx_errors", 3), ("rx_queue_1_xdp_tx_errors", 4)]), 7);
        let mlx5 =
            [("rx_xdp_tx_full", 7), ("rx_xdp_tx_err", 1), ("rx0_xdp_tx_full", 3), ("rx1_xdp_tx_full", 4)];
        assert_eq!(counted(&mlx5), 8);
        let mut drivers = Drivers::default();
        let mut more = |now| drivers.more("eth0".to_owned(), now);
        assert_eq!([more(100), more(105), more(2), more(4)], [0, 5, 0, 2]);
    }
}
