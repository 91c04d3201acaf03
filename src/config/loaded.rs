//! Everything that a configuration names, read and checked. Nothing is opened to be served.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Config, Flags, apps, rules};
use crate::learn::join::Terms;
use crate::learn::ticket::Key;
use crate::nets::places::Places;
use crate::policy::Series;
use crate::problem::Problem;
use crate::serve::snapshot::{Apps, Settings, Snapshot};
use crate::stats::labels::Names;
use crate::tailor::Tailor;
use crate::tailor::spec::Spec;
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
    /// What beacons are judged by, if there are any. Their clients are looked up in those databases, and in
    /// what maps have besides.
    pub beacons: Option<Terms>,
    /// What is wrong with those that cannot be read: a node that starts serves without them.
    pub unread: Vec<Problem>,
    /// What is wrong with what programs have learned: a node that starts uses nothing of that.
    pub unlearned: Vec<Problem>,
    /// The files of the maps that change by themselves, as they were before they were read.
    pub stamps: Stamps,
}

/// When a file was written, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    inode: u64,
    len: u64,
}

/// What files were like: those that others than the operator write, which are looked at now and then. What
/// is missing is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<Option<Stamp>>);

impl Stamps {
    /// Of the files of these maps.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let files = spec.maps.iter().flat_map(|map| map.learned.iter().chain(&map.places));
        let stamp = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            let modified = (found.mtime(), found.mtime_nsec());
            Some(Stamp { modified, inode: found.ino(), len: found.len() })
        };
        Self(files.map(stamp).collect())
    }

    /// Whether there is a file that may change by itself.
    #[must_use]
    pub const fn are_any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Loaded {
    /// Reads all of it. What has its name among `counted` is counted already, and keeps its place.
    ///
    /// # Errors
    /// Every mistake in what is served.
    pub fn read(config: &Config, counted: &Names) -> Result<Self, Vec<Problem>> {
        let stamps = Stamps::of(&config.tailoring);
        let (zones, snapshot, key, unlearned) = compiled(config, counted)?;
        let (places, absent) = Places::open(&config.databases);
        let unread = absent.into_iter().map(Problem::plain).collect();
        let beacons = config.beacons.as_ref().zip(key).map(|(beacons, key)| Terms {
            key,
            over_tcp: beacons.over_tcp,
            places: clients(config, &places),
        });
        Ok(Self { zones, snapshot, places, beacons, unread, unlearned, stamps })
    }
}

/// Reads and compiles the zones and the rules, with the secrets of cookies. What has its name among `counted`
/// is counted already, and keeps its place.
///
/// # Errors
/// Every mistake in the zones, the maps, the rules and the secrets; if there is none, every one in what is
/// made of them.
pub fn compile(config: &Config, counted: &Names) -> Result<(ZoneSet, Snapshot), Vec<Problem>> {
    let (zones, snapshot, _, unlearned) = compiled(config, counted)?;
    if unlearned.is_empty() { Ok((zones, snapshot)) } else { Err(unlearned) }
}

/// What is compiled, with the key of beacons, and with what is wrong in what programs have learned.
type Made = (ZoneSet, Snapshot, Option<Key>, Vec<Problem>);

/// The same as [`compile`], but what programs have learned is left out where it is wrong.
fn compiled(config: &Config, counted: &Names) -> Result<Made, Vec<Problem>> {
    let cookies = config.cookies.load();
    let key = config.beacons.as_ref().map(|beacons| beacons.key()).transpose();
    let series =
        Series { rules: counted.rules.clone(), servers: counted.servers.clone(), apps: counted.apps.clone() };
    // Rules may name applications, so without those they say nothing.
    let ruled = apps::load(config).and_then(|apps| Ok((rules::policy(config, apps.guests(), series)?, apps)));
    let (zones, tailor) = (zone::load(&config.zones), tailor(config));
    let read = (zones, tailor, ruled, cookies, key);
    let (zones, (tailor, unlearned), (policy, apps), cookies, key) = match read {
        (Ok(zones), Ok(tailor), Ok(ruled), Ok(cookies), Ok(key)) => (zones, tailor, ruled, cookies, key),
        (zones, tailor, ruled, cookies, key) => {
            let problems = [zones.err(), tailor.err(), ruled.err()].into_iter().flatten().flatten();
            return Err(problems.chain(cookies.err()).chain(key.err()).collect());
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
        tailor,
        identity_zone: config.identity_zone.clone(),
        beacons_over_tcp: config.beacons.as_ref().is_some_and(|beacons| beacons.over_tcp),
        listeners: config.listen.clone(),
        series: counted.zones.clone(),
        pools: counted.pools.clone(),
        pops: counted.pops.clone(),
    };
    let snapshot = Snapshot::new(&zones, settings)?;
    Ok((zones, snapshot, key, unlearned))
}

/// Where clients of beacons are looked up.
fn clients(config: &Config, places: &Places) -> Places {
    let mut paths = config.databases.clone();
    for path in config.tailoring.maps.iter().flat_map(|map| &map.databases) {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    // One that a map cannot read is a mistake of the map.
    if paths == config.databases { places.clone() } else { Places::open(&paths).0 }
}

/// Maps, if there are any, and what is wrong with what programs have learned.
type Compiled = (Option<Arc<Tailor>>, Vec<Problem>);

/// Reads and compiles the maps, if anything asks them: all PoPs are up. What is wrong with what programs have
/// learned comes second, and nothing of that is used then.
fn tailor(config: &Config) -> Result<Compiled, Vec<Problem>> {
    let spec = &config.tailoring;
    if spec.pools.is_empty() && config.identity_zone.is_none() {
        return Ok((None, Vec::new()));
    }
    let (tailor, problems) = match Tailor::new(spec, Arc::default()) {
        Ok(tailor) => (tailor, Vec::new()),
        Err(problems) => match Tailor::new(&spec.without_learned(), Arc::default()) {
            Ok(tailor) => (tailor, problems),
            Err(_) => return Err(problems),
        },
    };
    Ok((Some(Arc::new(tailor)), problems))
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
