//! Everything that a configuration names, read and checked. Nothing is opened to be served.

use std::path::Path;

use super::{Config, Flags};
use crate::history::sources::Places;
use crate::policy::Policy;
use crate::problem::Problem;
use crate::serve::snapshot::{Settings, Snapshot};
use crate::zone::{self, ZoneSet};

/// What a node needs of the files that its configuration names.
#[derive(Debug)]
pub struct Loaded {
    /// The zones.
    pub zones: ZoneSet,
    /// What is served of them.
    pub snapshot: Snapshot,
    /// The databases of places.
    pub places: Places,
    /// Those that cannot be read: a node that starts serves without them.
    pub unread: Vec<Problem>,
}

impl Loaded {
    /// Reads all of it. The zones of `series` are counted already, and keep their places.
    ///
    /// # Errors
    /// Every mistake in what is served.
    pub fn read(config: &Config, series: Vec<String>) -> Result<Self, Vec<Problem>> {
        let (zones, snapshot) = compile(config, series)?;
        let (places, unread) = Places::open(&config.databases);
        Ok(Self { zones, snapshot, places, unread: unread.into_iter().map(Problem::plain).collect() })
    }
}

/// Reads and compiles the zones, with the secrets of cookies. Those of `series` are counted already, and keep
/// their places.
///
/// # Errors
/// Every mistake in the zones and the secrets; if there is none, every one in what is made of them.
pub fn compile(config: &Config, series: Vec<String>) -> Result<(ZoneSet, Snapshot), Vec<Problem>> {
    let cookies = config.cookies.load();
    let (zones, cookies) = match (zone::load(&config.zones), cookies) {
        (Ok(zones), Ok(cookies)) => (zones, cookies),
        (zones, cookies) => {
            return Err(zones.err().into_iter().flatten().chain(cookies.err()).collect());
        }
    };
    let settings = Settings {
        edns_udp_size: config.edns_udp_size,
        nsid: config.nsid.clone(),
        node: config.identity.node.clone(),
        version: config.version_txt.clone(),
        update: config.update,
        cookies,
        rate_limit: config.rate_limit.clone(),
        drop: config.drop.clone(),
        policy: Policy::default(),
        listeners: config.listen.clone(),
        series,
    };
    let snapshot = Snapshot::new(&zones, settings)?;
    Ok((zones, snapshot))
}

/// The same for the file at `path`, if there is one; what goes before it is in `flags`.
///
/// # Errors
/// Every mistake in the configuration; if there is none, those of [`compile`].
pub fn load(path: Option<&Path>, flags: &Flags) -> Result<(Config, ZoneSet, Snapshot), Vec<Problem>> {
    let config = super::load(path, flags)?;
    let (zones, snapshot) = compile(&config, Vec::new())?;
    Ok((config, zones, snapshot))
}
