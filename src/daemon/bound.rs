//! The sockets of every address.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use serde_json::Value;

use super::placement::Placement;
use super::xdp::Prepared;
use crate::config::Config;
use crate::config::doors::{ControlPath, known_paths};
use crate::control::{self, client};
use crate::limits::{CONTROL_STEP_MAX, TCP_BACKLOG};
use crate::problem::Problem;
use crate::serve::snapshot::Snapshot;
use crate::sys::inherited::Inherited;
use crate::sys::sockets::{self, UdpOptions};
use crate::sys::steering::Steering;
use crate::web;

/// Addresses that one message names; more of them are counted.
const NAMED_MAX: usize = 3;

/// All that the node listens on.
pub(super) struct Doors {
    /// The addresses that it serves.
    pub(super) bound: Bound,
    pub(super) http: web::Listeners,
    pub(super) control: control::Opened,
    /// The program in the driver, attached and silent.
    pub(super) xdp: Prepared,
    /// What a successor gets of it.
    pub(super) handles: Handles,
    /// What was there before, and is not wanted.
    pub(super) unwanted: Inherited,
}

impl Doors {
    /// Opens everything, or adopts what is there.
    ///
    /// # Errors
    /// All addresses that are not available; else what other listener is not.
    pub(super) fn open(
        config: &Config,
        placement: &Placement,
        snapshot: &Snapshot,
        mut inherited: Inherited,
    ) -> Result<Self, Vec<Problem>> {
        let bound = Bound::open(config, placement, &mut inherited)?;
        let http = web::Listeners::open(config.http, config.http_public, &mut inherited);
        let http = http.map_err(|(address, option, error)| vec![no_http(address, option, &error)])?;
        let control = control::open(&config.control, &mut inherited).map_err(Problem::alone)?;
        let xdp = Prepared::new(&config.xdp, &config.listen, snapshot, &mut inherited);
        let sockets = bound.handles().and_then(|handles| with_handles(handles, &http, &control));
        let handles = sockets.and_then(|sockets| Ok(Handles { sockets, links: xdp.handles()? }));
        let handles =
            handles.map_err(|error| Problem::alone(format!("{error}; raise the limit of open files")))?;
        Ok(Self { bound, http, control, xdp, handles, unwanted: inherited })
    }
}

/// What a successor gets.
#[derive(Debug, Default)]
pub(super) struct Handles {
    /// Of all sockets: those of each address in the order in which they were bound. A service manager keeps
    /// them, too.
    pub(super) sockets: Vec<OwnedFd>,
    /// Of the program in the driver, which nobody keeps for a process that is gone: traffic is on the
    /// sockets then.
    pub(super) links: Vec<OwnedFd>,
}

/// The handles of the addresses, and of the other listeners.
fn with_handles(
    mut handles: Vec<OwnedFd>,
    http: &web::Listeners,
    control: &control::Opened,
) -> io::Result<Vec<OwnedFd>> {
    for listener in http.all() {
        handles.push(listener.try_clone()?.into());
    }
    if let control::Opened::At(listener, _) = control {
        handles.push(listener.try_clone()?.into());
    }
    Ok(handles)
}

/// The sockets of every address.
#[derive(Default)]
pub(super) struct Bound {
    /// For each address those of UDP: one for each shard, or those that were there before this process.
    pub(super) groups: Vec<(SocketAddr, Vec<UdpSocket>)>,
    /// Those of TCP.
    pub(super) listeners: Vec<TcpListener>,
    /// Of the groups that were there before this process, second handles.
    pub(super) adopted: Adopted,
}

/// Groups that somebody else may have steered, and may steer still.
#[derive(Default)]
pub(super) struct Adopted(Vec<Vec<UdpSocket>>);

impl Adopted {
    /// Steers them as `steering` says, now that they are ours.
    pub(super) fn steer(&self, steering: Option<&Steering>) -> io::Result<()> {
        self.0.iter().try_for_each(|group| match steering {
            Some(steering) => sockets::steer(group, steering),
            None => sockets::unsteer(group),
        })
    }
}

impl Bound {
    /// Opens every address for UDP and TCP, where it is not among those `inherited`; reports all that cannot
    /// be opened.
    pub(super) fn open(
        config: &Config,
        placement: &Placement,
        inherited: &mut Inherited,
    ) -> Result<Self, Vec<Problem>> {
        let shards = placement.places.len();
        let options = UdpOptions {
            rcvbuf: config.rcvbuf,
            sndbuf: config.sndbuf,
            busy_poll: config.busy_poll,
            steering: placement.steering.clone(),
        };
        let mut bound = Self::default();
        let mut refused = Vec::new();
        for &address in &config.listen {
            let found = inherited.take_group(address);
            let group = if found.is_empty() {
                sockets::bind_udp_group(address, shards, &options)
            } else {
                bound.adopt(found, address, &options)
            };
            match group {
                Ok(group) => bound.groups.push((address, group)),
                Err(error) => refused.push(Refused::new(address, "UDP", error)),
            }
            let listener = inherited.take_listener(address);
            match listener.map_or_else(|| sockets::bind_tcp(address, TCP_BACKLOG), Ok) {
                Ok(listener) => bound.listeners.push(listener),
                Err(error) => refused.push(Refused::new(address, "TCP", error)),
            }
        }
        if refused.is_empty() { Ok(bound) } else { Err(cannot_listen(refused, &config.control)) }
    }

    fn adopt(
        &mut self,
        group: Vec<UdpSocket>,
        address: SocketAddr,
        options: &UdpOptions,
    ) -> io::Result<Vec<UdpSocket>> {
        group.iter().try_for_each(|socket| sockets::adopt_udp(socket, address, options))?;
        self.adopted.0.push(group.iter().map(UdpSocket::try_clone).collect::<io::Result<_>>()?);
        Ok(group)
    }

    /// Second handles of all sockets: those of each address in the order in which they were bound.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub(super) fn handles(&self) -> io::Result<Vec<OwnedFd>> {
        let udp = self.groups.iter().flat_map(|(_, group)| group);
        let udp = udp.map(|socket| socket.try_clone().map(OwnedFd::from));
        let tcp = self.listeners.iter().map(|listener| listener.try_clone().map(OwnedFd::from));
        udp.chain(tcp).collect()
    }

    /// The receive and send buffer that the kernel gave each address, in bytes.
    pub(super) fn buffers(&self) -> Vec<(usize, usize)> {
        let first = |group: &[UdpSocket]| group.first().and_then(|socket| sockets::buffer_lens(socket).ok());
        self.groups.iter().map(|(_, group)| first(group).unwrap_or_default()).collect()
    }
}

/// Addresses that are not available, all for the same reason.
struct Refused {
    addresses: Vec<SocketAddr>,
    protocols: Vec<&'static str>,
    error: io::Error,
}

impl Refused {
    fn new(address: SocketAddr, protocol: &'static str, error: io::Error) -> Self {
        Self { addresses: vec![address], protocols: vec![protocol], error }
    }

    /// The error in words, without the number where the kind says it all.
    fn cause(&self) -> String {
        match self.error.kind() {
            kind @ (io::ErrorKind::AddrInUse
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::PermissionDenied) => kind.to_string(),
            _ => self.error.to_string(),
        }
    }

    /// Which of these nodes, by what they say of themselves, has one of the addresses: its process.
    fn owner(&self, nodes: &[Value]) -> Option<u64> {
        let has = |node: &&Value| {
            let listen = node["listen"].as_array().map(Vec::as_slice).unwrap_or_default();
            self.addresses.iter().any(|address| listen.contains(&address.to_string().into()))
        };
        nodes.iter().find(has)?["pid"].as_u64()
    }

    /// What to do.
    fn advice(&self, nodes: &[Value]) -> String {
        let port = self.addresses[0].port();
        match (self.error.kind(), self.owner(nodes)) {
            (io::ErrorKind::AddrInUse, Some(process)) => format!(
                "as112d already runs here (process {process}): see `as112d status`, stop it with `as112d \
                 shutdown`, or choose other addresses with --listen"
            ),
            (io::ErrorKind::AddrInUse, None) => format!(
                "another program listens there (`ss -lnp 'sport = :{port}'` shows which); stop it, or choose \
                 another address with --listen"
            ),
            (io::ErrorKind::PermissionDenied, _) => {
                "start as root, run `setcap cap_net_bind_service=+ep` on the program \
                 (CAP_NET_BIND_SERVICE), or choose a port above 1023 with --listen"
                    .to_owned()
            }
            (io::ErrorKind::AddrNotAvailable, _) => {
                "no interface has that address: add it to one (`ip address add`), or remove it".to_owned()
            }
            _ if sockets::is_family_unknown(&self.error) => {
                "this host does not support that protocol: remove the address".to_owned()
            }
            // What was refused is no matter of the address, and the message says what it is.
            (io::ErrorKind::Other, _) => "start as root, or leave out --busy-poll or --steer".to_owned(),
            _ => "choose another address with --listen".to_owned(),
        }
    }

    /// The addresses where they are few, else how many there are.
    fn places(&self) -> String {
        let names: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        match names.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, others)) if names.len() <= NAMED_MAX => format!("{} and {last}", others.join(", ")),
            _ => format!("port {} of {} addresses", self.addresses[0].port(), names.len()),
        }
    }
}

/// One line for each cause, however many addresses and protocols have it.
fn by_cause(refused: Vec<Refused>) -> Vec<Refused> {
    let of_addresses = merge(refused, |a, b| a.addresses == b.addresses);
    merge(of_addresses, |a, b| a.protocols == b.protocols && a.addresses[0].port() == b.addresses[0].port())
}

fn merge(refused: Vec<Refused>, is_same: fn(&Refused, &Refused) -> bool) -> Vec<Refused> {
    let mut merged: Vec<Refused> = Vec::new();
    for one in refused {
        match merged.iter_mut().find(|other| is_same(other, &one) && other.cause() == one.cause()) {
            Some(same) => {
                same.addresses.extend(one.addresses);
                same.addresses.dedup();
                same.protocols.extend(one.protocols);
                same.protocols.sort_unstable_by(|a, b| b.cmp(a));
                same.protocols.dedup();
            }
            None => merged.push(one),
        }
    }
    merged
}

/// Why addresses are not available, and what to do. A node that has them is asked who it is.
fn cannot_listen(refused: Vec<Refused>, control: &ControlPath) -> Vec<Problem> {
    let is_taken = refused.iter().any(|one| one.error.kind() == io::ErrorKind::AddrInUse);
    let own = if let ControlPath::At(path) = control { vec![path.clone()] } else { Vec::new() };
    let nodes: Vec<Value> = own
        .into_iter()
        .chain(known_paths())
        .filter(|_| is_taken)
        .filter_map(|path| client::status(&[path], CONTROL_STEP_MAX))
        .collect();
    let problem = |one: &Refused| {
        let (places, protocols, cause) = (one.places(), one.protocols.join(" and "), one.cause());
        let advice = one.advice(&nodes);
        Problem::plain(format!("cannot listen on {places} ({protocols}): {cause}; {advice}"))
    };
    by_cause(refused).iter().map(problem).collect()
}

/// Why HTTP cannot be served where it was asked for.
fn no_http(address: SocketAddr, option: &str, error: &io::Error) -> Problem {
    Problem::plain(format!(
        "cannot serve HTTP on {address}: {error}; choose another address with {option}, or give {option} off"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_each_cause() {
        let refused = |text: &str, protocol, kind: io::ErrorKind| {
            Refused::new(text.parse().unwrap(), protocol, kind.into())
        };
        let said = |refused: Vec<Refused>| -> Vec<String> {
            let line = |one: &Refused| {
                format!("{} ({}): {}", one.places(), one.protocols.join(" and "), one.cause())
            };
            by_cause(refused).iter().map(line).collect()
        };
        let denied = io::ErrorKind::PermissionDenied;
        let addresses: Vec<String> = (1..=8).map(|last| format!("192.0.2.{last}:53")).collect();
        let both = |text: &String| [refused(text, "UDP", denied), refused(text, "TCP", denied)];
        assert_eq!(
            said(addresses.iter().flat_map(both).collect()),
            ["port 53 of 8 addresses (UDP and TCP): permission denied"]
        );
        let taken = io::ErrorKind::AddrInUse;
        assert_eq!(
            said(vec![
                refused("127.0.0.1:53", "UDP", taken),
                refused("127.0.0.1:53", "TCP", taken),
                refused("[::1]:53", "UDP", taken),
                refused("[::1]:53", "TCP", taken),
                refused("[::1]:54", "TCP", taken),
                refused("192.0.2.1:53", "UDP", denied),
            ]),
            [
                "127.0.0.1:53 and [::1]:53 (UDP and TCP): address in use",
                "[::1]:54 (TCP): address in use",
                "192.0.2.1:53 (UDP): permission denied",
            ]
        );
    }

    #[test]
    fn the_node_that_has_an_address_is_named_and_no_other() {
        let nodes = [
            serde_json::json!({"pid": 7, "listen": ["192.0.2.1:53"]}),
            serde_json::json!({"pid": 8, "listen": ["127.0.0.1:53", "[::1]:53"]}),
        ];
        let advice = |address: &str| {
            Refused::new(address.parse().unwrap(), "UDP", io::ErrorKind::AddrInUse.into()).advice(&nodes)
        };
        assert!(advice("[::1]:53").starts_with("as112d already runs here (process 8): "));
        assert!(advice("[::1]:54").starts_with("another program listens there ("));
    }
}
