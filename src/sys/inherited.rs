//! Sockets that were there before this process: those of the one that it succeeds, and those that a service
//! manager has opened or kept for it. What each of them is, and where, the kernel tells.

use std::fmt::Display;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockRef, Type};

use super::bpf::xdp_link_interface;
use crate::limits::PASSED_MAX;

/// The first descriptor that a service manager passes (sd_listen_fds(3)).
const FIRST: RawFd = 3;
/// How the names of sockets begin that it keeps for us.
const NAMED: &str = "as112d-";

/// Sockets by what they are.
#[derive(Debug, Default)]
pub struct Inherited {
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<(SocketAddr, TcpListener)>,
    unix: Vec<UnixListener>,
    /// Links of XDP programs, by the interface's number.
    links: Vec<(u32, OwnedFd)>,
}

/// What the socket of this index is called with a service manager that keeps it.
#[must_use]
pub fn name(index: usize) -> String {
    format!("{NAMED}{index}")
}

/// The index of a socket that is called so.
fn index(name: &str) -> Option<usize> {
    name.strip_prefix(NAMED)?.parse().ok()
}

/// How many names of sockets that an earlier process had it keep a service manager may have.
#[must_use]
pub fn names_kept() -> usize {
    let names = std::env::var("LISTEN_FDNAMES").ok().filter(|_| is_for_us()).unwrap_or_default();
    let last = names.split(':').filter_map(index).max();
    last.map_or(0, |last| last.saturating_add(1).min(PASSED_MAX))
}

/// Whether what a service manager passes is for this process.
fn is_for_us() -> bool {
    std::env::var("LISTEN_PID").is_ok_and(|value| value == std::process::id().to_string())
}

impl Inherited {
    /// Sorts sockets. The order of those of one address stays: the kernel numbers them by it. What is neither
    /// a UDP socket with an address, nor a listener, nor the link of an XDP program is closed.
    #[must_use]
    pub fn sort(descriptors: Vec<OwnedFd>) -> Self {
        let mut sorted = Self::default();
        for descriptor in descriptors {
            match xdp_link_interface(descriptor.as_fd()) {
                Some(interface) => sorted.links.push((interface, descriptor)),
                // One that cannot be asked is no socket.
                None => sorted.put(descriptor).unwrap_or_default(),
            }
        }
        sorted
    }

    fn put(&mut self, descriptor: OwnedFd) -> io::Result<()> {
        let socket = SockRef::from(&descriptor);
        let (domain, kind, listens) = (socket.domain()?, socket.r#type()?, socket.is_listener()?);
        let local = socket.local_addr()?.as_socket();
        match (domain, kind, local) {
            (Domain::UNIX, Type::STREAM, _) if listens => self.unix.push(descriptor.into()),
            (Domain::IPV4 | Domain::IPV6, Type::DGRAM, Some(local)) if local.port() != 0 => {
                self.udp.push((local, descriptor.into()));
            }
            (Domain::IPV4 | Domain::IPV6, Type::STREAM, Some(local)) if listens => {
                self.tcp.push((local, descriptor.into()));
            }
            _ => {}
        }
        Ok(())
    }

    /// Those that a service manager passes to this process. The first call takes them.
    #[must_use]
    pub fn from_service_manager() -> Self {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let count = std::env::var("LISTEN_FDS").ok().and_then(|value| value.parse().ok());
        let count = count.unwrap_or(0).min(PASSED_MAX);
        if count == 0 || !is_for_us() || TAKEN.swap(true, Ordering::Relaxed) {
            return Self::default();
        }
        let taken = (FIRST..).take(count).map(|descriptor| {
            // SAFETY: plain numbers. It also tells whether there is such a descriptor.
            let is_open = unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
            // SAFETY: it is open, and the service manager says that it is for this process to take; `TAKEN`
            // lets nobody take it twice. Nothing else can own it, as this is done before anything is opened.
            is_open.then(|| unsafe { OwnedFd::from_raw_fd(descriptor) })
        });
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut named: Vec<(&str, Option<OwnedFd>)> =
            names.split(':').chain(std::iter::repeat("")).zip(taken).collect();
        // What an earlier process had it keep comes back in no order; the others stay in theirs, before them.
        named.sort_by_key(|(name, _)| index(name));
        Self::sort(named.into_iter().filter_map(|(_, descriptor)| descriptor).collect())
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.udp.is_empty() && self.tcp.is_empty() && self.unix.is_empty()
    }

    /// The UDP sockets bound to `address`, in their order.
    pub fn take_group(&mut self, address: SocketAddr) -> Vec<UdpSocket> {
        let taken = self.udp.extract_if(.., |(local, _)| *local == address);
        taken.map(|(_, socket)| socket).collect()
    }

    /// The listener at `address`; with port 0, at any port of its IP address.
    pub fn take_listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let is_it =
            |local: &SocketAddr| *local == address || address.port() == 0 && local.ip() == address.ip();
        let place = self.tcp.iter().position(|(local, _)| is_it(local))?;
        Some(self.tcp.remove(place).1)
    }

    /// The unix listener whose path is the one that is meant.
    pub fn take_unix(&mut self, is_meant: impl Fn(&Path) -> bool) -> Option<UnixListener> {
        let is_it = |listener: &UnixListener| {
            listener.local_addr().is_ok_and(|local| local.as_pathname().is_some_and(&is_meant))
        };
        let place = self.unix.iter().position(is_it)?;
        Some(self.unix.remove(place))
    }

    /// The link of the program on the interface of this number.
    pub fn take_link(&mut self, interface: u32) -> Option<OwnedFd> {
        let place = self.links.iter().position(|(of, _)| *of == interface)?;
        Some(self.links.remove(place).1)
    }

    /// What nobody has taken, each once.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let name = |what: &str, local: &dyn Display| format!("{what} {local}");
        let udp = self.udp.iter().map(|(local, _)| name("UDP", local));
        let tcp = self.tcp.iter().map(|(local, _)| name("TCP", local));
        let unix = self.unix.iter().filter_map(|listener| {
            listener.local_addr().ok()?.as_pathname().map(|path| path.display().to_string())
        });
        let mut left: Vec<String> = udp.chain(tcp).chain(unix).collect();
        left.dedup();
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::sockets::{UdpOptions, bind_udp_group};

    #[test]
    fn sockets_are_told_apart_and_keep_their_order() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let group = bind_udp_group(any, 3, &UdpOptions::default()).unwrap();
        let other = bind_udp_group("[::1]:0".parse().unwrap(), 1, &UdpOptions::default()).unwrap();
        let (dns, http) = (TcpListener::bind(any).unwrap(), TcpListener::bind(any).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let control = UnixListener::bind(&path).unwrap();
        let (udp_at, other_at) = (group[0].local_addr().unwrap(), other[0].local_addr().unwrap());
        let (dns_at, http_at) = (dns.local_addr().unwrap(), http.local_addr().unwrap());
        // To tell the members of the group apart, as they have one address.
        for (index, socket) in group.iter().enumerate() {
            socket.set_ttl(10 + index as u32).unwrap();
        }
        let stranger = std::fs::File::open("/dev/null").unwrap();
        let connected = std::net::TcpStream::connect(dns_at).unwrap();
        let unbound = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let mut all: Vec<OwnedFd> = vec![stranger.into(), http.into(), connected.into(), unbound.into()];
        all.extend(group.into_iter().map(OwnedFd::from));
        all.extend([control.into(), dns.into()]);
        all.extend(other.into_iter().map(OwnedFd::from));

        let mut sorted = Inherited::sort(all);
        let ttls: Vec<u32> = sorted.take_group(udp_at).iter().map(|socket| socket.ttl().unwrap()).collect();
        assert_eq!(ttls, [10, 11, 12]);
        assert!(sorted.take_group(udp_at).is_empty());
        assert_eq!(sorted.take_listener(dns_at).unwrap().local_addr().unwrap(), dns_at);
        assert!(sorted.take_listener(dns_at).is_none());
        let left = [format!("UDP {other_at}"), format!("TCP {http_at}"), path.display().to_string()];
        assert_eq!(sorted.left(), left);
        assert_eq!(sorted.take_listener(any).unwrap().local_addr().unwrap(), http_at);
        assert!(sorted.take_unix(|found| found == Path::new("/elsewhere")).is_none());
        assert!(sorted.take_unix(|found| found == path).is_some());
        assert!(!sorted.is_empty());
        assert_eq!(sorted.take_group(other_at).len(), 1);
        assert!(sorted.is_empty());
    }

    #[test]
    fn what_was_meant_for_another_process_is_left_alone() {
        assert!(Inherited::from_service_manager().is_empty());
    }
}
