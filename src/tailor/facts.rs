//! What lists are of besides networks: an AS, a degree, a country, a continent. And the file of measured
//! places, which has a list for some of them: `country:JP nrt,icn`, `as:64500 nrt`, `place:35/139 icn`.

use std::fmt;
use std::str;

use crate::nets::places::{Place, Square};

/// Something that is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The autonomous system.
    As(u32),
    /// The degree.
    Square(Square),
    /// The country (ISO 3166).
    Country([u8; 2]),
    /// The continent, as MaxMind has it.
    Continent([u8; 2]),
}

impl Fact {
    /// Reads what a file of measured places has.
    ///
    /// # Errors
    /// What to write.
    pub fn read(text: &str) -> Result<Self, String> {
        let country = |code: &str| match code.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Some(Self::Country([*a, *b])),
            _ => None,
        };
        let fact = match text.split_once(':') {
            Some(("as", number)) => number.parse().ok().map(Self::As),
            Some(("place", square)) => square.parse().ok().map(Self::Square),
            Some(("country", code)) => country(code),
            _ => None,
        };
        fact.ok_or_else(|| {
            format!("`{text}` is not a place; write it as in country:JP, as:64500 or place:35/139")
        })
    }

    /// All that is known of a place, the most exact first.
    pub(super) fn of(place: &Place) -> [Option<Self>; 4] {
        [
            place.asn.map(Self::As),
            place.at.map(Square::of).map(Self::Square),
            place.country.map(Self::Country),
            place.continent.map(Self::Continent),
        ]
    }
}

/// As a file of measured places has it.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = |code| str::from_utf8(code).unwrap_or("?").to_owned();
        match self {
            Self::As(number) => write!(f, "as:{number}"),
            Self::Square(square) => write!(f, "place:{square}"),
            Self::Country(country) => write!(f, "country:{}", code(country)),
            Self::Continent(continent) => write!(f, "continent:{}", code(continent)),
        }
    }
}
