//! The client subnet (RFC 7871): for whom a resolver asks, as far as it says so.
//!
//! ```text
//! 00 08 | length | family | SOURCE (bits) | SCOPE (bits) | ADDRESS: as many octets as SOURCE needs
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::Damaged;

/// Bytes of the longest data of the option: a whole IPv6 address.
pub const SUBNET_LEN_MAX: usize = 20;
/// Where SCOPE stands in them.
const SCOPE_AT: usize = 3;
/// The families that have an address (IANA, "Address Family Numbers").
const IPV4: u16 = 1;
const IPV6: u16 = 2;

/// A sound client subnet, as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    data: [u8; SUBNET_LEN_MAX],
    len: u8,
}

impl Subnet {
    /// Reads the data of an option of a query.
    ///
    /// # Errors
    /// [`Damaged`] where RFC 7871 has FORMERR (sections 6 and 7.1.2): it is cut short, its family is not IPv4
    /// or IPv6 (0 included), SOURCE is longer than an address, ADDRESS has more or fewer octets than SOURCE
    /// needs or a bit beyond it, SCOPE is not 0.
    pub fn read(option: &[u8]) -> Result<Self, Damaged> {
        let &[family_high, family_low, source, scope, ref address @ ..] = option else { return Err(Damaged) };
        let bits_max = match u16::from_be_bytes([family_high, family_low]) {
            IPV4 => 32,
            IPV6 => 128,
            _ => return Err(Damaged),
        };
        let octets = usize::from(source).div_ceil(8);
        if source > bits_max || scope != 0 || address.len() != octets {
            return Err(Damaged);
        }
        let beyond = 0xFF_u8.checked_shr(u32::from(source % 8)).filter(|_| source % 8 != 0).unwrap_or(0);
        if address.last().is_some_and(|last| last & beyond != 0) {
            return Err(Damaged);
        }
        let mut data = [0; SUBNET_LEN_MAX];
        data[..option.len()].copy_from_slice(option);
        Ok(Self { data, len: option.len() as u8 })
    }

    /// SOURCE: how many bits of the address the resolver says.
    #[inline]
    #[must_use]
    pub fn source(&self) -> u8 {
        self.data[2]
    }

    /// SCOPE: for how many bits of the address the answer holds.
    #[inline]
    #[must_use]
    pub fn scope(&self) -> u8 {
        self.data[SCOPE_AT]
    }

    /// Sets SCOPE: nothing else of the option may change (RFC 7871, section 7.2.1).
    pub fn set_scope(&mut self, scope: u8) {
        self.data[SCOPE_AT] = scope;
    }

    /// The address; bits beyond SOURCE are 0.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        let address = &self.data[4..];
        if !self.is_ipv6() {
            let mut octets = [0; 4];
            octets.copy_from_slice(&address[..4]);
            Ipv4Addr::from(octets).into()
        } else {
            let mut octets = [0; 16];
            octets.copy_from_slice(&address[..16]);
            Ipv6Addr::from(octets).into()
        }
    }

    /// Bytes of the whole option.
    #[inline]
    #[must_use]
    pub fn option_len(&self) -> usize {
        4 + usize::from(self.len)
    }

    /// Whether the address is IPv6.
    #[inline]
    #[must_use]
    pub fn is_ipv6(&self) -> bool {
        self.data[1] == IPV6 as u8
    }

    /// The data of the option, as it is sent back.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.data[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sound_goes_back_as_it_came() {
        for (option, address, source) in [
            (&[0, 1, 24, 0, 11, 1, 3][..], "11.1.3.0", 24),
            (&[0, 1, 0, 0], "0.0.0.0", 0),
            (&[0, 2, 0, 0], "::", 0),
            (&[0, 1, 25, 0, 198, 18, 5, 128], "198.18.5.128", 25),
            (&[0, 2, 56, 0, 0x24, 0, 0x12, 0x34, 0x56, 0, 0], "2400:1234:5600::", 56),
        ] {
            let mut subnet = Subnet::read(option).unwrap();
            assert_eq!((subnet.address().to_string().as_str(), subnet.source()), (address, source));
            assert_eq!((subnet.data(), subnet.scope()), (option, 0));
            subnet.set_scope(17);
            assert_eq!((&subnet.data()[..3], subnet.scope()), (&option[..3], 17));
            assert_eq!(&subnet.data()[4..], &option[4..]);
        }
    }

    #[test]
    fn what_is_not_sound_is_damage() {
        let long = [&[0, 2, 129, 0][..], &[0; 17]].concat();
        for option in [
            &[][..],
            &[0, 1, 24],
            &[0, 0, 0, 0],
            &[0, 0, 24, 0, 11, 1, 3],
            &[0, 3, 16, 0, 11, 1],
            &[0, 1, 24, 24, 11, 1, 3],
            &[0, 1, 33, 0, 11, 1, 3, 4, 5],
            &long,
            &[0, 1, 24, 0, 11, 1, 3, 0],
            &[0, 1, 24, 0, 11, 1],
            &[0, 1, 20, 0, 11, 1, 15],
            &[0, 1, 7, 0, 11],
            &[0, 1, 0, 0, 0],
            &[1, 1, 24, 0, 11, 1, 3],
        ] {
            assert_eq!(Subnet::read(option), Err(Damaged), "{option:?}");
        }
    }
}
