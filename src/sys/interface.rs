//! Network interfaces: what they are called, by number and on the wire.

use std::ffi::CStr;
use std::io;
use std::ptr;

/// An Ethernet interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its number in this network namespace.
    pub index: u32,
    /// Its own address.
    pub mac: [u8; 6],
}

/// The Ethernet interface called `name`.
///
/// # Errors
/// `NotFound` where there is none, `Unsupported` where it is of another kind.
pub fn interface(name: &str) -> io::Result<Interface> {
    let mut first = ptr::null_mut();
    // SAFETY: the C library writes one address to `first`, which is ours.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let found = find(first, name);
    // SAFETY: the list that the call above made; nothing refers to it any more.
    unsafe { libc::freeifaddrs(first) };
    found
}

fn find(first: *mut libc::ifaddrs, name: &str) -> io::Result<Interface> {
    let mut next = first;
    // SAFETY: `next` is the list's first entry or one that an entry leads to, or null; the list lives.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: every entry has a name, a C string that lives as long as the list.
        let is_it = unsafe { CStr::from_ptr(entry.ifa_name) }.to_bytes() == name.as_bytes();
        if !is_it || entry.ifa_addr.is_null() {
            continue;
        }
        // SAFETY: not null, so it is an address; each begins with its family.
        if i32::from(unsafe { (*entry.ifa_addr).sa_family }) != libc::AF_PACKET {
            continue;
        }
        // SAFETY: an address of that family is a `sockaddr_ll`, which the C library has aligned.
        let link = unsafe { entry.ifa_addr.cast::<libc::sockaddr_ll>().read_unaligned() };
        let is_ethernet = link.sll_hatype == libc::ARPHRD_ETHER && link.sll_halen == 6;
        let index = u32::try_from(link.sll_ifindex).ok().filter(|_| is_ethernet);
        let [a, b, c, d, e, f, ..] = link.sll_addr;
        return index
            .map(|index| Interface { index, mac: [a, b, c, d, e, f] })
            .ok_or_else(|| io::Error::new(io::ErrorKind::Unsupported, "not an Ethernet interface"));
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "no such interface; `ip link` lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_name() {
        assert_eq!(interface("no-such-one").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(interface("lo").unwrap_err().kind(), io::ErrorKind::Unsupported);
        let names = std::fs::read_dir("/sys/class/net").unwrap();
        let names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        for name in names {
            let Ok(found) = interface(&name) else { continue };
            let read = |file| std::fs::read_to_string(format!("/sys/class/net/{name}/{file}")).unwrap();
            assert_eq!(read("ifindex").trim(), found.index.to_string());
            let mac = found.mac.map(|byte| format!("{byte:02x}")).join(":");
            assert_eq!(read("address").trim(), mac);
        }
    }
}
