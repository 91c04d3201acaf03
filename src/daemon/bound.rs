//! The sockets of every address.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use super::placement::Placement;
use super::xdp::Prepared;
use crate::config::Config;
use crate::control;
use crate::limits::TCP_BACKLOG;
use crate::problem::Problem;
use crate::serve::snapshot::Snapshot;
use crate::sys::inherited::Inherited;
use crate::sys::sockets::{self, UdpOptions};
use crate::sys::steering::Steering;
use crate::web;

/// All that the node listens on.
pub(super) struct Doors {
    /// The addresses that it serves.
    pub(super) bound: Bound,
    pub(super) http: web::Opened,
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
        let http = web::open(config.http, &mut inherited);
        let http = http.map_err(|(address, error)| vec![no_http(address, &error)])?;
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
    http: &web::Opened,
    control: &control::Opened,
) -> io::Result<Vec<OwnedFd>> {
    if let web::Opened::At(listener) = http {
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
        let mut problems = Vec::new();
        for &address in &config.listen {
            let found = inherited.take_group(address);
            let group = if found.is_empty() {
                sockets::bind_udp_group(address, shards, &options)
            } else {
                bound.adopt(found, address, &options)
            };
            match group {
                Ok(group) => bound.groups.push((address, group)),
                Err(error) => problems.push(cannot_listen(address, "UDP", &error)),
            }
            let listener = inherited.take_listener(address);
            match listener.map_or_else(|| sockets::bind_tcp(address, TCP_BACKLOG), Ok) {
                Ok(listener) => bound.listeners.push(listener),
                Err(error) => problems.push(cannot_listen(address, "TCP", &error)),
            }
        }
        if problems.is_empty() { Ok(bound) } else { Err(problems) }
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

/// Why an address is not available, and what to do.
fn cannot_listen(address: SocketAddr, protocol: &str, error: &io::Error) -> Problem {
    let port = address.port();
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "another program listens there (`ss -lnp 'sport = :{port}'` shows which); stop it, or choose \
             another address with --listen"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port} needs root or the capability CAP_NET_BIND_SERVICE: start as root, run `setcap \
             cap_net_bind_service=+ep` on the program, or choose a port above 1023 with --listen"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "no interface has that address: add it to one (`ip address add`), or remove it".to_owned()
        }
        _ if sockets::is_family_unknown(error) => {
            "this host does not support that protocol: remove the address".to_owned()
        }
        // What was refused is no matter of the address, and the message says what it is.
        io::ErrorKind::Other => "start as root, or leave out --busy-poll or --steer".to_owned(),
        _ => "choose another address with --listen".to_owned(),
    };
    Problem::plain(format!("cannot listen on {address} ({protocol}): {error}; {advice}"))
}

/// Why HTTP cannot be served where it was asked for.
fn no_http(address: SocketAddr, error: &io::Error) -> Problem {
    Problem::plain(format!(
        "cannot serve HTTP on {address}: {error}; choose another address with --http, or give --http off"
    ))
}
