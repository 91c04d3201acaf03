//! Answers that depend on the client, of all the blocks that say something of them.

use std::path::{Path, PathBuf};

use toml::Spanned;

use super::beacons::{Beacons, BeaconsSpec};
use super::maps::{self, MapSpec};
use super::pools::{IdentityZoneSpec, Made, Maker, PoolSpec};
use super::pops::{self, Pop, PopSpec};
use super::written::{Mistake, Origin};
use crate::serve::snapshot::IdentityZone;
use crate::tailor::spec::Spec;
use crate::zone::{Pool, SpecialEntry};

/// The blocks.
pub(super) struct Specs {
    pub(super) pops: Vec<PopSpec>,
    pub(super) maps: Vec<Spanned<MapSpec>>,
    pub(super) pools: Vec<Spanned<PoolSpec>>,
    pub(super) identity_zone: IdentityZoneSpec,
    pub(super) beacons: BeaconsSpec,
}

/// What they say.
pub(super) struct Clients {
    pub(super) pops: Vec<Pop>,
    pub(super) tailoring: Spec,
    pub(super) served: Vec<Pool>,
    pub(super) specials: Vec<SpecialEntry>,
    pub(super) identity_zone: Option<IdentityZone>,
    pub(super) beacons: Option<Beacons>,
}

/// What is around them.
pub(super) struct Within<'a> {
    /// Where paths begin.
    pub(super) dir: &'a Path,
    /// The databases of `[sources]`.
    pub(super) databases: &'a [PathBuf],
    /// What seems to be absent is absent.
    pub(super) read_whole: bool,
    /// Spells out where something stands.
    pub(super) place: &'a dyn Fn(Origin) -> String,
}

/// What an operator should know of, though it is not a mistake.
pub(super) fn notes(spec: &Spec) -> impl Iterator<Item = String> {
    let is_idle = |at: usize| !spec.pools.iter().any(|pool| pool.map == at);
    let idle = spec.maps.iter().enumerate().filter(move |(at, _)| is_idle(*at));
    idle.map(|(_, map)| format!("no [[pool]] asks the map {}", map.name))
}

impl Specs {
    /// PoPs, which of them a client gets, and the names for that.
    pub(super) fn made(self, within: &Within<'_>, mistakes: &mut Vec<Mistake>) -> Clients {
        let &Within { dir, databases, read_whole, place } = within;
        let pops = pops::pops(self.pops, dir, read_whole, mistakes);
        let around = maps::Around { dir, pops: &pops, databases, read_whole };
        let maps = maps::maps(self.maps, &around, place, mistakes);
        let maker = Maker { pops: &pops, maps: &maps, read_whole, place, mistakes: &mut *mistakes };
        let Made { chosen, served, mut specials, identity } = maker.make(self.pools, self.identity_zone);
        let (beacons, special) = self.beacons.settings(dir, &pops, place, mistakes).unzip();
        specials.extend(special);
        let placed = pops.iter().map(Pop::placed).collect();
        let tailoring = Spec { pops: placed, maps, pools: chosen };
        Clients { pops, tailoring, served, specials, identity_zone: identity, beacons }
    }
}
