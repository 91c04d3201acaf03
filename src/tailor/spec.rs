//! PoPs, maps and pools as an operator wrote them, checked by themselves.

use std::path::{Path, PathBuf};

use arrayvec::ArrayVec;

use crate::limits::LIST_LEN_MAX;

/// A PoP, by its place in the configuration.
pub type PopId = u8;

/// PoPs in the order of preference: one at least, none twice.
pub type List = ArrayVec<PopId, LIST_LEN_MAX>;

/// A point of presence.
#[derive(Clone, Debug, PartialEq)]
pub struct Pop {
    /// Its name.
    pub name: String,
    /// Where it is: degrees north and east.
    pub at: Option<[f64; 2]>,
}

/// Which list an address gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Its name.
    pub name: String,
    /// Where it was configured (`as112d.toml:12:1`), for messages.
    pub place: String,
    /// Files of networks of clients.
    pub networks: Vec<PathBuf>,
    /// Files of resolvers, by hand.
    pub resolvers: Vec<PathBuf>,
    /// The file of what was learned of resolvers. It may be absent.
    pub learned: Option<PathBuf>,
    /// The file of what was measured of places. It may be absent.
    pub places: Option<PathBuf>,
    /// Databases in MaxMind's format.
    pub databases: Vec<PathBuf>,
    /// Lists of autonomous systems.
    pub by_as: Vec<(u32, List)>,
    /// Lists of countries (ISO 3166).
    pub by_country: Vec<([u8; 2], List)>,
    /// Lists of continents, as MaxMind has them: AF, AN, AS, EU, NA, OC, SA.
    pub by_continent: Vec<([u8; 2], List)>,
    /// So many of the nearest PoPs that have a place; 0 for not at all.
    pub nearest: usize,
    /// For everybody else.
    pub default: List,
    /// Whether subnets decide. If not, SCOPE is 0.
    pub uses_subnets: bool,
}

impl Map {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let others = self.learned.iter().chain(&self.places).chain(&self.databases);
        self.networks.iter().chain(&self.resolvers).chain(others).map(PathBuf::as_path)
    }
}

impl Map {
    /// A map that gives everybody this list.
    #[must_use]
    pub fn new(name: &str, default: List) -> Self {
        Self {
            name: name.to_owned(),
            place: String::new(),
            networks: Vec::new(),
            resolvers: Vec::new(),
            learned: None,
            places: None,
            databases: Vec::new(),
            by_as: Vec::new(),
            by_country: Vec::new(),
            by_continent: Vec::new(),
            nearest: 0,
            default,
            uses_subnets: true,
        }
    }
}

/// Which PoP of a list is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The first that is up.
    First,
    /// One of those that are up, by these weights: of each variant.
    Weighted(Vec<u16>),
}

/// Names that have an address for each PoP. The addresses themselves are the zone's
/// ([`Pool`](crate::zone::Pool)).
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Where it was configured, for messages.
    pub place: String,
    /// The map, by its place.
    pub map: usize,
    /// The PoP of each variant.
    pub variants: Vec<PopId>,
    /// Which of a list is given.
    pub spread: Spread,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spec {
    /// At most [`POPS_MAX`](crate::limits::POPS_MAX).
    pub pops: Vec<Pop>,
    /// At most [`MAPS_MAX`](crate::limits::MAPS_MAX).
    pub maps: Vec<Map>,
    /// At most [`POOLS_MAX`](crate::limits::POOLS_MAX).
    pub pools: Vec<Pool>,
}

impl Spec {
    /// The same without what programs write: what was learned of resolvers and measured of places.
    #[must_use]
    pub fn without_learned(&self) -> Self {
        let mut spec = self.clone();
        for map in &mut spec.maps {
            (map.learned, map.places) = (None, None);
        }
        spec
    }
}
