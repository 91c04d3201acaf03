//! The addresses to listen on: how they are written, and which of them get in each other's way.

use std::borrow::Cow;
use std::fs;
use std::net::{IpAddr, SocketAddr};

use super::written::{Given, Mistake, Written};
use crate::announce::service;
use crate::limits::LISTEN_MAX;
use crate::zone::Service;

/// Addresses that one text stands for: one, or those of a service by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(
    /// The addresses; no port is 0.
    pub Vec<SocketAddr>,
);

/// The port where none is given.
const DNS_PORT: u16 = 53;

/// The port of the default addresses: free for anyone to bind, so the server starts without privileges.
const DEFAULT_PORT: u16 = 5300;

impl Written for Listen {
    const EXPECTED: &'static str = "an address such as \"192.0.2.1\", \"[::1]:5300\" or \"as112\"";

    fn read(text: &str) -> Result<Self, String> {
        let (name, port) = text.split_once(':').unwrap_or((text, "53"));
        let services: &[Service] = match name {
            "as112-direct" => &[Service::Direct],
            "as112-dname" => &[Service::Dname],
            "as112" => &[Service::Direct, Service::Dname],
            _ => return address(text).map(|address| Self(vec![address])),
        };
        let port = port.parse::<u16>().ok().filter(|&port| port != 0);
        let port = port.ok_or_else(|| {
            format!("`{text}` has no port from 1 to 65535; give one, or leave it out for 53")
        })?;
        let addresses = services.iter().copied().flat_map(service::addresses);
        Ok(Self(addresses.map(|address| SocketAddr::new(address, port)).collect()))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let scoped = scoped(text)?;
    let text = scoped.as_ref();
    // The three forms exclude each other: what follows the colons of an IPv6 address is never taken for a
    // port.
    let forms = [text.to_owned(), format!("{text}:{DNS_PORT}"), format!("[{text}]:{DNS_PORT}")];
    let address = forms.iter().find_map(|form| form.parse::<SocketAddr>().ok()).ok_or_else(|| {
        format!(
            "`{text}` is not an address; give one such as 192.0.2.1, 192.0.2.1:5300, ::1 or [::1]:5300, or \
             a name: as112-direct, as112-dname, as112"
        )
    })?;
    let out = match address.ip() {
        _ if address.port() == 0 => {
            "has port 0; give a port from 1 to 65535, or leave it out for 53".to_owned()
        }
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            format!("is an IPv4-mapped IPv6 address; write {}", ip.to_canonical())
        }
        IpAddr::V6(ip) if ip.is_unicast_link_local() && scope(address) == 0 => {
            format!("is a link-local address; name its interface, such as {ip}%eth0")
        }
        IpAddr::V4(ip) if ip.is_broadcast() => {
            "is the broadcast address; give a unicast address of this host".to_owned()
        }
        ip if ip.is_multicast() => "is a multicast address; give a unicast address of this host".to_owned(),
        _ => return Ok(address),
    };
    Err(format!("`{text}` {out}"))
}

const fn scope(address: SocketAddr) -> u32 {
    match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    }
}

/// The text with the number of an interface in the place of its name after a `%`.
fn scoped(text: &str) -> Result<Cow<'_, str>, String> {
    let Some((ip, rest)) = text.split_once('%') else { return Ok(text.into()) };
    let (interface, rest) = rest.split_at(rest.find(']').unwrap_or(rest.len()));
    if interface.is_empty() || interface.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.into());
    }
    let index = (!interface.contains('/')).then(|| format!("/sys/class/net/{interface}/ifindex"));
    match index.and_then(|path| fs::read_to_string(path).ok()) {
        Some(index) => Ok(format!("{ip}%{}{rest}", index.trim()).into()),
        None => Err(format!("`{text}` names no interface of this host; `ip link` lists them")),
    }
}

/// The default: the loopback addresses, of IPv6 where the host has it.
pub(super) fn default_addresses() -> Vec<SocketAddr> {
    let v4 = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
    let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], DEFAULT_PORT));
    if has_v6_loopback() { vec![v4, v6] } else { vec![v4] }
}

/// Whether an interface has ::1. Read rather than tried: commands other than `run` open no socket.
fn has_v6_loopback() -> bool {
    const LOOPBACK: &str = "00000000000000000000000000000001 ";
    // Absent where the kernel has no IPv6.
    let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    addresses.lines().any(|line| line.starts_with(LOOPBACK))
}

/// All addresses in the order given, and what is wrong with them together.
pub(super) fn merge(given: &[Given<Listen>], mistakes: &mut Vec<Mistake>) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for Given { value: Listen(addresses), origin } in given {
        for &address in addresses {
            if all.len() == LISTEN_MAX {
                let message =
                    format!("more than {LISTEN_MAX} addresses; a wildcard such as 0.0.0.0 replaces many");
                mistakes.push(Mistake::new(*origin, message));
                return all;
            }
            match all.iter().find(|other| covers(**other, address) || covers(address, **other)) {
                None => all.push(address),
                Some(&other) if other == address => {
                    mistakes.push(Mistake::new(*origin, format!("{address} is listed twice; remove one")));
                }
                Some(other) => {
                    let message = format!("{address} and {other} overlap; remove one");
                    mistakes.push(Mistake::new(*origin, message));
                }
            }
        }
    }
    all
}

/// Whether a socket at `a` would take the packets to `b`. A wildcard covers its own family: our sockets of
/// IPv6 take no IPv4.
#[must_use]
pub fn covers(a: SocketAddr, b: SocketAddr) -> bool {
    a == b || a.port() == b.port() && a.ip().is_unspecified() && a.is_ipv4() == b.is_ipv4()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::written::Origin;

    #[test]
    fn addresses_are_written_in_five_ways() {
        for (text, address) in [
            ("192.0.2.1", "192.0.2.1:53"),
            ("192.0.2.1:5300", "192.0.2.1:5300"),
            ("::1", "[::1]:53"),
            ("[::1]", "[::1]:53"),
            ("[::1]:5300", "[::1]:5300"),
            ("2001:db8::5300", "[2001:db8::5300]:53"),
            ("fe80::1%2", "[fe80::1%2]:53"),
            ("fe80::1%lo", "[fe80::1%1]:53"),
            ("[fe80::1%lo]:5300", "[fe80::1%1]:5300"),
            ("0.0.0.0", "0.0.0.0:53"),
        ] {
            assert_eq!(Listen::read(text), Ok(Listen(vec![address.parse().unwrap()])), "{text}");
        }
    }

    #[test]
    fn services_have_the_addresses_of_their_rfc() {
        let read = |text: &str| Listen::read(text).unwrap().0;
        let direct = "192.175.48.1:53 192.175.48.6:53 192.175.48.42:53 \
                      [2620:4f:8000::1]:53 [2620:4f:8000::6]:53 [2620:4f:8000::42]:53";
        let dname = "192.31.196.1:5300 [2001:4:112::1]:5300";
        let parse = |list: &str| list.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<SocketAddr>>();
        assert_eq!(read("as112-direct"), parse(direct));
        assert_eq!(read("as112-dname:5300"), parse(dname));
        assert_eq!(read("as112"), [read("as112-direct"), read("as112-dname")].concat());
    }

    #[test]
    fn bad_addresses_say_what_to_write() {
        for (text, fragment) in [
            ("", "`` is not an address; give one such as"),
            ("localhost", "as112-direct, as112-dname, as112"),
            ("192.0.2.1:", "is not an address"),
            ("192.0.2.1:65536", "is not an address"),
            ("192.0.2.256", "is not an address"),
            ("[::1]:x", "is not an address"),
            ("192.0.2.1:0", "has port 0; give a port"),
            ("[::1]:0", "has port 0; give a port"),
            ("as112:0", "has no port from 1 to 65535"),
            ("as112:http", "has no port from 1 to 65535"),
            ("::ffff:192.0.2.1", "write 192.0.2.1"),
            ("fe80::1", "name its interface, such as fe80::1%eth0"),
            ("[fe80::1%0]:5300", "name its interface"),
            ("fe80::1%none0", "names no interface of this host"),
            ("fe80::1%../lo", "names no interface of this host"),
            ("255.255.255.255", "is the broadcast address"),
            ("224.0.0.1", "is a multicast address"),
            ("ff02::1", "is a multicast address"),
        ] {
            let message = Listen::read(text).unwrap_err();
            assert!(message.contains(fragment), "{text}: {message}");
        }
    }

    fn merged(texts: &[&str]) -> (usize, Vec<String>) {
        let given = texts.iter().enumerate().map(|(at, text)| {
            let value = Listen::read(text).unwrap();
            Given { value, origin: Origin::File(at) }
        });
        let mut mistakes = Vec::new();
        let all = merge(&given.collect::<Vec<_>>(), &mut mistakes);
        (all.len(), mistakes.into_iter().map(|mistake| mistake.message).collect())
    }

    #[test]
    fn addresses_get_in_each_others_way() {
        assert_eq!(merged(&["0.0.0.0", "::", "127.0.0.1:5300", "[::1]:5300"]), (4, vec![]));
        let twice = "192.0.2.1:53 is listed twice; remove one";
        assert_eq!(merged(&["192.0.2.1", "192.0.2.1:53"]), (1, vec![twice.to_owned()]));
        let covered = "192.0.2.1:53 and 0.0.0.0:53 overlap; remove one";
        assert_eq!(merged(&["0.0.0.0", "192.0.2.1"]), (1, vec![covered.to_owned()]));
        let covering = "[::]:53 and [2620:4f:8000::1]:53 overlap; remove one";
        assert_eq!(merged(&["as112-direct", "::"]), (6, vec![covering.to_owned()]));
        assert_eq!(merged(&["as112", "as112-dname"]).1.len(), 2);
    }

    #[test]
    fn there_is_room_for_64() {
        let texts: Vec<String> = (1..=70).map(|last| format!("127.0.0.{last}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(merged(&texts[..64]), (64, vec![]));
        let (count, messages) = merged(&texts);
        assert_eq!((count, messages.len()), (64, 1));
        assert!(messages[0].starts_with("more than 64 addresses"), "{messages:?}");
    }

    #[test]
    fn default_is_loopback() {
        let addresses = default_addresses();
        assert_eq!(addresses[0].to_string(), "127.0.0.1:5300");
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 5300));
        let has_v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
        assert_eq!(addresses.len(), if has_v6 { 2 } else { 1 });
    }
}
