//! Blocks of addresses that no client on the Internet has: private ones, those of the host itself, groups.
//! Who sends such a subnet says nothing of where the client is (RFC 7871, section 10).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::rules::Rule;

/// How many there are: their choices are 1 and so on.
pub const SPECIAL: u16 = (IPV4.len() + IPV6.len()) as u16;

/// Those of IPv4. Networks of documentation are like any other: examples have them.
pub const IPV4: [Rule<u32>; 9] = [
    ipv4(1, [0, 0, 0, 0], 8),
    ipv4(2, [10, 0, 0, 0], 8),
    ipv4(3, [100, 64, 0, 0], 10),
    ipv4(4, [127, 0, 0, 0], 8),
    ipv4(5, [169, 254, 0, 0], 16),
    ipv4(6, [172, 16, 0, 0], 12),
    ipv4(7, [192, 168, 0, 0], 16),
    ipv4(8, [224, 0, 0, 0], 4),
    ipv4(9, [240, 0, 0, 0], 4),
];

/// Those of IPv6. Among them are those of IPv4 addresses, which have a family of their own.
pub const IPV6: [Rule<u128>; 5] = [
    ipv6(10, [0, 0, 0, 0, 0, 0, 0, 0], 96),
    ipv6(11, [0, 0, 0, 0, 0, 0xFFFF, 0, 0], 96),
    ipv6(12, [0xFC00, 0, 0, 0, 0, 0, 0, 0], 7),
    ipv6(13, [0xFE80, 0, 0, 0, 0, 0, 0, 0], 10),
    ipv6(14, [0xFF00, 0, 0, 0, 0, 0, 0, 0], 8),
];

const fn ipv4(choice: u16, [a, b, c, d]: [u8; 4], len: u8) -> Rule<u32> {
    Rule { first: Ipv4Addr::new(a, b, c, d).to_bits(), choice, len }
}

const fn ipv6(choice: u16, [a, b, c, d, e, f, g, h]: [u16; 8], len: u8) -> Rule<u128> {
    Rule { first: Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits(), choice, len }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes them steps needs them in order.
    #[test]
    fn each_has_a_choice_of_its_own() {
        let choices = IPV4.iter().map(|rule| rule.choice).chain(IPV6.iter().map(|rule| rule.choice));
        assert!(choices.eq(1..=SPECIAL));
        assert!(IPV4.is_sorted_by_key(|rule| rule.first) && IPV6.is_sorted_by_key(|rule| rule.first));
    }
}
