//! Files become a [`Config`]: the node's own, and what releases lay over it.

use std::path::Path;
use std::sync::Arc;

use super::doors::{ControlPath, HttpListen};
use super::fleet::Fleet;
use super::listen::Listen;
use super::released::{self, Known, Which};
use super::source::Source;
use super::spec::{self, Spec};
use super::written::{Mistake, Origin, Written as _};
use super::{Config, Flags, Resolver, laid, node};
use crate::announce::Settings as AnnounceSettings;
use crate::problem::Problem;

/// Reads the file, if there is one, and puts `flags` over it.
///
/// # Errors
/// All that is wrong, in the order of the file; options of the command line come first.
pub fn load(path: Option<&Path>, flags: &Flags) -> Result<Config, Vec<Problem>> {
    load_with(path, flags, Some(Which::Current), &Known::default())
}

/// The same with this release over the file, if the node belongs to a fleet and there is one; with `None`,
/// as if there were none.
///
/// # Errors
/// As those of [`load`], and why the release may not take effect.
pub fn load_with(
    path: Option<&Path>,
    flags: &Flags,
    which: Option<Which>,
    known: &Known,
) -> Result<Config, Vec<Problem>> {
    let mut source = Source::of(path)?;
    let (mut spec, mut mistakes) = spec::read(&source.text);
    let mut release = None;
    if mistakes.is_empty()
        && let Some(which) = which
        && let Some(fleet) = fleet_of(&spec, &source, flags)
    {
        release = released::open(&fleet, which, known).map_err(|problem| vec![problem])?;
    }
    if let Some(release) = &release {
        laid::lay(&mut source, release).map_err(|problem| release.judged(vec![problem]))?;
        (spec, mistakes) = laid::read(&source, release);
    }
    let read_whole = mistakes.is_empty();
    let trust = release.as_ref().map(|release| release.trust.clone()).unwrap_or_default();
    let mut resolver = Resolver { source: &source, flags, trust, read_whole, mistakes };
    let config = resolver.config(spec);
    let mut mistakes = resolver.mistakes;
    if mistakes.is_empty() {
        return Ok(Config { release: release.map(Arc::new), ..config });
    }
    mistakes.sort();
    Err(mistakes.iter().map(|mistake| source.problem(mistake)).collect())
}

/// The fleet of a file, as far as it is right: else its mistakes are found when all are.
fn fleet_of(spec: &Spec, source: &Source, flags: &Flags) -> Option<Fleet> {
    let mut mistakes = Vec::new();
    let node = node(spec.identity.node.clone(), flags);
    spec.fleet.clone().settings(&source.dir, &node, &mut mistakes)
}

/// Where the node of this file is controlled and serves HTTP, as far as the file can be read.
///
/// # Errors
/// If it cannot be opened.
pub fn doors_in(path: &Path) -> Result<(ControlPath, HttpListen), Vec<Problem>> {
    let source = Source::of(Some(path))?;
    let (spec, _) = spec::read(&source.text);
    let control = spec.control.path.map(|path| source.control(path.value));
    Ok((control.unwrap_or_default(), spec.http.listen.map(|listen| listen.value).unwrap_or_default()))
}

/// The router to tell that every route is withdrawn, as far as the file can be read.
///
/// # Errors
/// If it cannot, or names no router.
pub fn withdrawal(path: Option<&Path>) -> Result<AnnounceSettings, Vec<Problem>> {
    let source = Source::of(path)?;
    let (spec, mut mistakes) = spec::read(&source.text);
    let all = Listen::read("as112").expect("it is a name").0;
    spec.announce.resolve(&all, &source.dir, &mut Vec::new()).ok_or_else(|| {
        mistakes.push(Mistake::new(Origin::Default, "[announce] has no `router`; set one"));
        mistakes.iter().map(|mistake| source.problem(mistake)).collect()
    })
}
