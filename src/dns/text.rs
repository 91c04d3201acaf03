//! Addresses and numbers as text, by hand: what is on the way of a query calls nothing through a table of
//! functions, as `core::fmt` does.

use core::net::IpAddr;

use arrayvec::ArrayVec;

/// Bytes of the longest text: an IPv6 address and two numbers of its bits.
const TEXT_LEN_MAX: usize = 47;

/// A short text.
#[derive(Clone, Debug, Default)]
pub struct Text(ArrayVec<u8, TEXT_LEN_MAX>);

impl Text {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends bytes; what does not fit is left out.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().copied().take(self.0.remaining_capacity()));
    }

    /// Appends a decimal number.
    pub fn number(&mut self, number: u16) {
        let digits = [10_000, 1000, 100, 10, 1].map(|power| b'0' + (number / power % 10) as u8);
        let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(4);
        self.bytes(&digits[first..]);
    }

    /// Appends an address (RFC 5952).
    pub fn address(&mut self, address: IpAddr) {
        let (ipv4, groups) = match address {
            IpAddr::V4(address) => (Some(address), [0; 8]),
            IpAddr::V6(address) => (address.to_ipv4_mapped(), address.segments()),
        };
        if let Some(ipv4) = ipv4 {
            self.bytes(if address.is_ipv6() { b"::ffff:" } else { b"" });
            for (at, octet) in ipv4.octets().into_iter().enumerate() {
                self.bytes(if at > 0 { b"." } else { b"" });
                self.number(u16::from(octet));
            }
            return;
        }
        let (from, to) = longest_zeros(groups);
        self.groups(&groups[..from]);
        if from < to {
            self.bytes(b"::");
        }
        self.groups(&groups[to..]);
    }

    fn groups(&mut self, groups: &[u16]) {
        for (at, group) in groups.iter().enumerate() {
            self.bytes(if at > 0 { b":" } else { b"" });
            let digits = [12, 8, 4, 0].map(|shift| b"0123456789abcdef"[usize::from(group >> shift & 0xF)]);
            let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(3);
            self.bytes(&digits[first..]);
        }
    }
}

/// The first of the longest runs of two zeros and more; where there is none, the end.
fn longest_zeros(groups: [u16; 8]) -> (usize, usize) {
    let (mut longest, mut from) = ((8, 8), 0);
    for (at, group) in groups.into_iter().enumerate() {
        if group != 0 {
            from = at + 1;
        } else if at + 1 - from > (longest.1 - longest.0).max(1) {
            longest = (from, at + 1);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn text(make: impl FnOnce(&mut Text)) -> String {
        let mut text = Text::default();
        make(&mut text);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn texts_are_those_of_the_standard_library() {
        for number in 0..=u16::MAX {
            assert_eq!(text(|text| text.number(number)), number.to_string());
        }
        // Every pattern of zeros, and groups of every length.
        for pattern in 0..=0xFF_u32 {
            for group in [1, 0x1F, 0x20A, 0xFFFF] {
                let groups: [u16; 8] =
                    core::array::from_fn(|at| if pattern >> at & 1 == 0 { 0 } else { group });
                let address = IpAddr::from(Ipv6Addr::from(groups));
                assert_eq!(text(|text| text.address(address)), address.to_string());
            }
        }
        for bits in [0, 1, 0xC000_02FF, u32::MAX] {
            let address = Ipv4Addr::from_bits(bits);
            for address in [IpAddr::V4(address), IpAddr::V6(address.to_ipv6_mapped())] {
                assert_eq!(text(|text| text.address(address)), address.to_string());
            }
        }
        assert_eq!(text(|text| text.bytes(&[b'x'; 60])).len(), TEXT_LEN_MAX);
    }
}
