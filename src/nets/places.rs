//! Where addresses are: databases in MaxMind's format, which the operator supplies. Of records two forms are
//! read: GeoLite2's and GeoIP2's, whose parts are maps (`country.iso_code`), and that of ip-location-db,
//! which is flat (`country_code`).

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use maxminddb::{LookupResult, Reader, WithinOptions};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The databases of places, open.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Vec<Database>>);

/// One of them.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    reader: Reader<Vec<u8>>,
}

/// What we read of a record.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    #[serde(borrow)]
    country: Part<'a>,
    country_code: Option<&'a str>,
    #[serde(borrow)]
    continent: Part<'a>,
    #[serde(borrow)]
    city: Part<'a>,
    location: Location,
    #[serde(deserialize_with = "degrees")]
    latitude: Option<f64>,
    #[serde(deserialize_with = "degrees")]
    longitude: Option<f64>,
    #[serde(deserialize_with = "number")]
    autonomous_system_number: Option<u64>,
    /// Whose the autonomous system is.
    #[serde(rename = "autonomous_system_organization")]
    pub organization: Option<&'a str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Location {
    #[serde(deserialize_with = "degrees")]
    latitude: Option<f64>,
    #[serde(deserialize_with = "degrees")]
    longitude: Option<f64>,
}

/// A country, a continent or a city: a map, or its name alone.
#[derive(Debug, Default)]
struct Part<'a> {
    code: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(record: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Map<'a> {
            #[serde(alias = "iso_code")]
            code: Option<&'a str>,
            #[serde(borrow)]
            names: Names<'a>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Names<'a> {
            en: Option<&'a str>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Part<'de>;

            fn expecting(&self, expected: &mut fmt::Formatter<'_>) -> fmt::Result {
                expected.write_str("a map or a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Part { code: None, name: Some(name) })
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                let Map { code, names } = Map::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Part { code, name: names.en })
            }
        }
        record.deserialize_any(Either)
    }
}

/// An unsigned number of any width: MaxMind writes uint32, others write what their tools make of a number.
fn number<'de, D: Deserializer<'de>>(record: D) -> Result<Option<u64>, D::Error> {
    struct Unsigned;
    impl Visitor<'_> for Unsigned {
        type Value = Option<u64>;

        fn expecting(&self, expected: &mut fmt::Formatter<'_>) -> fmt::Result {
            expected.write_str("an unsigned number")
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }
    }
    record.deserialize_any(Unsigned)
}

/// A number of degrees: a float of either width, or a whole one.
fn degrees<'de, D: Deserializer<'de>>(record: D) -> Result<Option<f64>, D::Error> {
    struct Degrees;
    impl Visitor<'_> for Degrees {
        type Value = Option<f64>;

        fn expecting(&self, expected: &mut fmt::Formatter<'_>) -> fmt::Result {
            expected.write_str("a number of degrees")
        }

        fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
            Ok(Some(number))
        }

        fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
            Ok(Some(number as f64))
        }

        fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
            Ok(Some(number as f64))
        }
    }
    record.deserialize_any(Degrees)
}

impl<'a> Record<'a> {
    /// The country by ISO 3166, as it is written.
    #[must_use]
    pub fn country(&self) -> Option<&'a str> {
        self.country.code.or(self.country_code)
    }

    /// What people call the country.
    #[must_use]
    pub fn country_name(&self) -> Option<&'a str> {
        self.country.name
    }

    /// The number of the autonomous system, as it is written.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        self.autonomous_system_number
    }

    /// All of it that has a place.
    #[must_use]
    pub fn place(&self) -> Place {
        let code = |text: Option<&str>| text.and_then(|code| code.as_bytes().try_into().ok());
        let country = code(self.country());
        let whole = |latitude: Option<f64>, longitude: Option<f64>| Some([latitude?, longitude?]);
        let at = whole(self.location.latitude, self.location.longitude);
        let on_globe = |at: &[f64; 2]| at[0].abs() <= 90.0 && at[1].abs() <= 180.0;
        Place {
            asn: self.number().and_then(|number| number.try_into().ok()),
            country,
            continent: code(self.continent.code).or_else(|| continent(country?)),
            at: at.or_else(|| whole(self.latitude, self.longitude)).filter(on_globe),
            city: self.city.name.map(str::to_owned),
        }
    }
}

/// What databases know of an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The autonomous system.
    pub asn: Option<u32>,
    /// The country by ISO 3166.
    pub country: Option<[u8; 2]>,
    /// The continent, as MaxMind has it.
    pub continent: Option<[u8; 2]>,
    /// Degrees north and east.
    pub at: Option<[f64; 2]>,
    /// The city.
    pub city: Option<String>,
}

impl Place {
    /// What this one knows, and what it does not know from another.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // A city goes with its coordinates.
        let (at, city) = if self.at.is_some() { (self.at, self.city) } else { (other.at, other.city) };
        Self {
            asn: self.asn.or(other.asn),
            country: self.country.or(other.country),
            continent: self.continent.or(other.continent),
            at,
            city,
        }
    }
}

/// A piece of the globe that is a degree wide and high: as exactly as clients' places are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Square {
    /// Whole degrees north of its southern side.
    pub north: i16,
    /// Whole degrees east of its western side.
    pub east: i16,
}

impl Square {
    /// The one that has this place, in degrees north and east.
    #[must_use]
    pub fn of([north, east]: [f64; 2]) -> Self {
        Self { north: north.floor() as i16, east: east.floor() as i16 }
    }
}

impl fmt::Display for Square {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.north, self.east)
    }
}

impl FromStr for Square {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (north, east) = text.split_once('/').ok_or(())?;
        let square = Self { north: north.parse().map_err(|_| ())?, east: east.parse().map_err(|_| ())? };
        let is_on_globe = (-90..=90).contains(&square.north) && (-180..=180).contains(&square.east);
        is_on_globe.then_some(square).ok_or(())
    }
}

/// A network that a database knows.
#[derive(Debug)]
pub struct Known<'a> {
    /// Its first address.
    pub first: IpAddr,
    /// The length of its prefix.
    pub len: u8,
    /// Where its record is: others may have the same.
    pub offset: usize,
    database: &'a Database,
    record: LookupResult<'a, Vec<u8>>,
}

impl Known<'_> {
    /// What is known of it.
    ///
    /// # Errors
    /// Why the record cannot be read.
    pub fn place(&self) -> Result<Place, String> {
        let record = self.record.decode::<Record<'_>>().map_err(|error| self.database.unreadable(&error))?;
        Ok(record.unwrap_or_default().place())
    }
}

impl Database {
    /// All networks that it knows, in ascending order: those of IPv4, then those of IPv6.
    pub fn networks(&self) -> impl Iterator<Item = Result<Known<'_>, String>> {
        let networks = self.reader.networks(WithinOptions::default());
        let (networks, error) = match networks {
            Ok(networks) => (Some(networks), None),
            Err(error) => (None, Some(Err(error))),
        };
        networks.into_iter().flatten().chain(error).filter_map(|record| {
            let known = record.and_then(|record| {
                let network = record.network()?;
                let Some(offset) = record.offset() else { return Ok(None) };
                let (first, len) = (network.ip(), network.prefix());
                Ok(Some(Known { first, len, offset, database: self, record }))
            });
            known.map_err(|error| self.unreadable(&error)).transpose()
        })
    }

    fn unreadable(&self, error: &maxminddb::MaxMindDbError) -> String {
        format!("{}: cannot read a record: {error}", self.path.display())
    }
}

impl Places {
    /// Reads the files; and of each that cannot be read, its path and why.
    #[must_use]
    pub fn open(paths: &[PathBuf]) -> (Self, Vec<String>) {
        let (mut readers, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match Reader::open_readfile(path) {
                Ok(reader) => readers.push(Database { path: path.clone(), reader }),
                Err(error) => errors.push(format!(
                    "{}: {error}; give a database in MaxMind's format (.mmdb)",
                    path.display()
                )),
            }
        }
        (Self(Arc::new(readers)), errors)
    }

    /// There is no database.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    #[must_use]
    pub fn databases(&self) -> &[Database] {
        &self.0
    }

    /// The country of an address by ISO 3166, and its autonomous system, as far as the databases know.
    #[must_use]
    pub fn look(&self, address: IpAddr) -> (Option<[u8; 2]>, Option<u32>) {
        let place = self.place(address);
        (place.country, place.asn)
    }

    /// All that the databases know of an address; of two the first one's word counts.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> Place {
        let places = self.records(address).flatten().map(|record| record.place());
        places.fold(Place::default(), Place::or)
    }

    /// What each database that has the address says of it, or why its record cannot be read.
    pub fn records(&self, address: IpAddr) -> impl Iterator<Item = Result<Record<'_>, String>> {
        self.0.iter().filter_map(move |database| {
            // A database without IPv6 refuses to look for it.
            let record = database.reader.lookup(address).ok()?.decode().transpose()?;
            Some(record.map_err(|error| database.unreadable(&error)))
        })
    }
}

/// The continent of a country, where a database says none. As GeoNames has it, which MaxMind's databases
/// follow.
#[must_use]
pub fn continent(country: [u8; 2]) -> Option<[u8; 2]> {
    const CONTINENTS: [(&[u8; 2], &str); 7] = [
        (
            b"AF",
            "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR \
             MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
        ),
        (b"AN", "AQ BV GS HM TF"),
        (
            b"AS",
            "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO \
             MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
        ),
        (
            b"EU",
            "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU \
             LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
        ),
        (
            b"NA",
            "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM \
             PR SV SX TC TT US VC VG VI",
        ),
        (b"OC", "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
        (b"SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
    ];
    let has = |countries: &str| countries.split(' ').any(|code| code.as_bytes() == country);
    CONTINENTS.iter().find(|(_, countries)| has(countries)).map(|(code, _)| **code)
}
