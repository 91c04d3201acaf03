//! Everything that a configuration names, read and checked. Nothing is opened to be served.

use std::path::Path;

use super::{Config, Flags, apps, rules};
use crate::history::sources::Places;
use crate::policy::Series;
use crate::problem::Problem;
use crate::serve::snapshot::{Apps, Settings, Snapshot};
use crate::stats::labels::Names;
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
    /// Reads all of it. What has its name among `counted` is counted already, and keeps its place.
    ///
    /// # Errors
    /// Every mistake in what is served.
    pub fn read(config: &Config, counted: &Names) -> Result<Self, Vec<Problem>> {
        let (zones, snapshot) = compile(config, counted)?;
        let (places, unread) = Places::open(&config.databases);
        Ok(Self { zones, snapshot, places, unread: unread.into_iter().map(Problem::plain).collect() })
    }
}

/// Reads and compiles the zones and the rules, with the secrets of cookies. What has its name among `counted`
/// is counted already, and keeps its place.
///
/// # Errors
/// Every mistake in the zones, the rules and the secrets; if there is none, every one in what is made of
/// them.
pub fn compile(config: &Config, counted: &Names) -> Result<(ZoneSet, Snapshot), Vec<Problem>> {
    let cookies = config.cookies.load();
    let series =
        Series { rules: counted.rules.clone(), servers: counted.servers.clone(), apps: counted.apps.clone() };
    // Rules may name applications, so without those they say nothing.
    let ruled = apps::load(config).and_then(|apps| Ok((rules::policy(config, apps.guests(), series)?, apps)));
    let (zones, (policy, apps), cookies) = match (zone::load(&config.zones), ruled, cookies) {
        (Ok(zones), Ok(ruled), Ok(cookies)) => (zones, ruled, cookies),
        (zones, ruled, cookies) => {
            let problems = zones.err().into_iter().flatten().chain(ruled.err().into_iter().flatten());
            return Err(problems.chain(cookies.err()).collect());
        }
    };
    let mut names = counted.clone();
    let apps = apps.settled(&policy, &mut names);
    let settings = Settings {
        edns_udp_size: config.edns_udp_size,
        nsid: config.nsid.clone(),
        node: config.identity.node.clone(),
        version: config.version_txt.clone(),
        update: config.update,
        cookies,
        rate_limit: config.rate_limit.clone(),
        drop: config.drop.clone(),
        policy,
        apps: if apps.apps.is_empty() { Apps::default() } else { Apps::new(apps) },
        metrics: names.metrics,
        listeners: config.listen.clone(),
        series: counted.zones.clone(),
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
    let (zones, snapshot) = compile(&config, &Names::default())?;
    Ok((config, zones, snapshot))
}
