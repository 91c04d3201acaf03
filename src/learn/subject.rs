//! What something is learned of, and the places that users are in.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A square of one degree on the globe, by its corner in the southwest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Degrees {
    /// North.
    pub north: i8,
    /// East.
    pub east: i16,
}

impl Degrees {
    /// That of a place, if it is one.
    #[must_use]
    pub fn new(north: f64, east: f64) -> Option<Self> {
        let is_place = (-90.0..=90.0).contains(&north) && (-180.0..=180.0).contains(&east);
        is_place.then(|| Self { north: north.floor() as i8, east: east.floor() as i16 })
    }

    /// Its middle, in degrees north and east.
    #[must_use]
    pub fn middle(self) -> [f64; 2] {
        [f64::from(self.north) + 0.5, f64::from(self.east) + 0.5]
    }
}

/// Where users are, as far as databases know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The country (ISO 3166).
    pub country: Option<[u8; 2]>,
    /// Where that is.
    pub at: Option<Degrees>,
}

/// What something is learned of. Their order is that in which it is decided: whoever is part of another comes
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A country.
    Country([u8; 2]),
    /// A place of one degree.
    Place(Degrees),
    /// An autonomous system.
    As(u32),
    /// Resolvers of one network, which work for the same users.
    Pool(IpNet),
    /// A resolver.
    Resolver(IpAddr),
}

impl Subject {
    /// Whether it is one of resolvers, not of places.
    #[must_use]
    pub const fn is_of_resolvers(&self) -> bool {
        matches!(self, Self::Pool(_) | Self::Resolver(_))
    }

    /// Reads one, as it is written.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Some(code) = text.strip_prefix("country:") {
            return country(code).map(Self::Country);
        }
        if let Some(number) = text.strip_prefix("as:") {
            return number.parse().ok().map(Self::As);
        }
        if let Some(place) = text.strip_prefix("place:") {
            let (north, east) = place.split_once('/')?;
            return degrees(north.parse().ok()?, east.parse().ok()?).map(Self::Place);
        }
        let net: IpNet = text.parse().ok().filter(|net: &IpNet| net.trunc() == *net)?;
        if net.prefix_len() == net.max_prefix_len() {
            return Some(Self::Resolver(net.addr()));
        }
        (pool_of(net.addr()) == net).then_some(Self::Pool(net))
    }
}

impl fmt::Display for Subject {
    /// As in files of networks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(code) => write!(f, "country:{}", code_text(*code)),
            Self::Place(at) => write!(f, "place:{}/{}", at.north, at.east),
            Self::As(number) => write!(f, "as:{number}"),
            Self::Pool(net) => net.fmt(f),
            Self::Resolver(address) => IpNet::from(*address).fmt(f),
        }
    }
}

/// Degrees that were written as whole numbers.
pub(super) fn degrees(north: i64, east: i64) -> Option<Degrees> {
    let north = i8::try_from(north).ok().filter(|north| (-90..=90).contains(north))?;
    let east = i16::try_from(east).ok().filter(|east| (-180..=180).contains(east))?;
    Some(Degrees { north, east })
}

/// The code of a country: two capital letters.
pub(super) fn country(code: &str) -> Option<[u8; 2]> {
    let code: [u8; 2] = code.as_bytes().try_into().ok()?;
    code.iter().all(u8::is_ascii_uppercase).then_some(code)
}

/// The same as a text.
pub(super) fn code_text(code: [u8; 2]) -> String {
    code.iter().copied().map(char::from).collect()
}

/// The network of a resolver whose other addresses may be of the same resolver.
#[must_use]
pub fn pool_of(resolver: IpAddr) -> IpNet {
    match resolver {
        IpAddr::V4(address) => Ipv4Net::new(address, 24).map(|net| net.trunc().into()),
        IpAddr::V6(address) => Ipv6Net::new(address, 48).map(|net| net.trunc().into()),
    }
    .expect("no address is that short")
}

/// Kilometres between two places, in degrees north and east, along a great circle.
#[must_use]
pub fn km(one: [f64; 2], other: [f64; 2]) -> f64 {
    const EARTH_RADIUS: f64 = 6371.0;
    let [north, east] = one.map(f64::to_radians);
    let [other_north, other_east] = other.map(f64::to_radians);
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(other_north - north) + north.cos() * other_north.cos() * half(other_east - east);
    2.0 * EARTH_RADIUS * chord.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_as_they_are_written() {
        for text in [
            "country:JP",
            "as:64500",
            "place:35/139",
            "place:-90/-180",
            "192.221.162.8/32",
            "192.221.162.0/24",
            "2001:db8::1/128",
            "2001:db8:1::/48",
        ] {
            assert_eq!(Subject::read(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "country:jp",
            "country:JPN",
            "as:",
            "as:-1",
            "as:4294967296",
            "place:35",
            "place:91/0",
            "place:0/181",
            "place:1.5/2",
            "192.221.162.8/24",
            "192.221.0.0/16",
            "192.221.162.8",
            "2001:db8::/32",
        ] {
            assert_eq!(Subject::read(text), None, "{text}");
        }
    }

    #[test]
    fn places_are_squares() {
        assert_eq!(Degrees::new(35.7, 139.7), Some(Degrees { north: 35, east: 139 }));
        assert_eq!(Degrees::new(-26.2, -121.9), Some(Degrees { north: -27, east: -122 }));
        assert_eq!(Degrees::new(91.0, 0.0), None);
        assert_eq!(Degrees::new(f64::NAN, 0.0), None);
    }
}
