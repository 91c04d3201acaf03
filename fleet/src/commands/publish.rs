//! `as112d-fleet publish`: makes a release of a directory, signs it, and gives it to the first nodes.

use std::fmt::Write as _;
use std::path::Path;

use as112d::commands::Failure;
use as112d::problem::Problem;
use as112d::release::layout;
use as112d::release::{Digest, Keys, Manifest, ReleaseName, Scope};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::check::{self, Loads};
use super::shared::{reports, signers, stage_pointers, wanted_by_any};
use super::{Told, wait};
use crate::carry::{Carrier, Fault};
use crate::cli::PublishOptions;
use crate::desk::{AllPointers, Desk, Held, Known, Made, cannot, next_serial, usage};
use crate::diff::Diff;
use crate::draft::{Draft, hash};
use crate::loads;
use crate::proposal::{self, Proposal, Put};
use crate::roll::{Roll, Stage, To};

/// Makes a release; what it prints.
///
/// # Errors
/// Why there is none, or why nobody gets it.
pub fn publish(options: &PublishOptions) -> Result<Told, Failure> {
    wait(async {
        let desk = Desk::open(&options.publisher, Some(&options.dir)).await?;
        if options.add_signature {
            return super::sign::add(&desk, &options.sign, options.dry_run, options.publisher.json).await;
        }
        let draft = Draft::read(&options.dir)?;
        if options.dry_run {
            return dry_run(&desk, &draft, options).await;
        }
        desk.carrier.prepare().await.map_err(|fault| cannot("the tree", &fault))?;
        make(&desk, &draft, options).await
    })
}

/// What is in the tree, as far as the next release is concerned.
struct Before {
    pointers: AllPointers,
    releases: Vec<Known>,
    /// What the fleet's pointer wants.
    wanted: Option<ReleaseName>,
}

impl Before {
    async fn read(desk: &Desk) -> Result<Self, Failure> {
        let (pointers, releases) = match (desk.pointers().await, desk.releases().await) {
            (Ok(pointers), Ok(releases)) => (pointers, releases),
            (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        let fleet = pointers.get(&Scope::Fleet).and_then(Held::content);
        let wanted = fleet.and_then(|fleet| fleet.otherwise.or(fleet.release));
        Ok(Self { pointers, releases, wanted })
    }

    /// The number of the next release: nobody has seen a higher one.
    fn number(&self) -> u64 {
        let named = self.pointers.values().filter_map(|held| Some(held.content()?.release?.number));
        let there = self.releases.iter().map(|known| known.name.number);
        named.chain(there).max().unwrap_or_default() + 1
    }

    fn find(&self, name: &ReleaseName) -> Option<&Known> {
        self.releases.iter().find(|known| known.name == *name)
    }
}

async fn make(desk: &Desk, draft: &Draft, options: &PublishOptions) -> Result<Told, Failure> {
    let signers = signers(desk, &options.sign)?;
    let before = Before::read(desk).await?;
    let new = new_keys(options)?;
    if new.is_none()
        && let Some(same) = before.releases.iter().rev().find(|known| known.manifest.files == draft.files)
        && wanted_by_any(&before.pointers, &same.name)
    {
        let text = format!("{} has exactly these files already; there is nothing to publish\n", same.name);
        let value = json!({ "release": same.name.to_string(), "new": false });
        return Ok(Told::either(options.publisher.json, text, &value));
    }
    let mut manifest = check::manifest(&desk.fleet, draft, before.number(), &options.draft)?;
    manifest.previous = before.releases.last().map(|known| known.name.digest);
    manifest.keys.clone_from(&new);
    let loads = check::load(&manifest, draft, &desk.fleet, &desk.settings, &options.draft)?;
    let roll = roll(desk, &manifest, &before, options).await?;
    upload(&desk.carrier, draft, options.publisher.json).await?;
    let proposals = proposals(desk, &manifest, &roll, &before, options)?;
    let release = roll.release;
    // The manifest lies there as soon as somebody has signed it, so that others can look at what they sign.
    let folder = layout::source_release(&release.digest);
    proposal::store(desk, &format!("{folder}/{}", layout::MANIFEST), &manifest.to_bytes()).await?;
    let mut waits = 0;
    for proposal in &proposals {
        if let Put::Waits(count) = proposal::put(desk, &signers, proposal, new.as_ref()).await? {
            waits = waits.max(count);
        }
    }
    let to = &roll.stages[0].to;
    let more = json!({
        "release": release.to_string(),
        "scope": to.scope().to_string(),
        "without_as112_zones": options.draft.without_as112_zones,
        "all_at_once": options.all_at_once.then_some(true),
        "waits": (waits > 0).then_some(waits),
    });
    let unsaid = desk.say("published", more, &options.sign).await;
    Ok(told(options, release, &roll, waits, &loads, unsaid))
}

fn told(
    options: &PublishOptions,
    release: ReleaseName,
    roll: &Roll,
    waits: usize,
    loads: &Loads,
    unsaid: Option<String>,
) -> Told {
    let mut out = format!("release {release}\n");
    for (kind, served) in loads {
        let _ = writeln!(out, "  {}: {} zones, answers {}", kind.name, served.zones.len(), served.answers);
    }
    let to = &roll.stages[0].to;
    let stages: Vec<String> = roll.stages.iter().map(|stage| stage.to.to_string()).collect();
    if waits > 0 {
        let _ = writeln!(
            out,
            "{waits} more must sign before a node gets it: as112d-fleet publish --add-signature --key FILE"
        );
    } else if stages.len() > 1 {
        let _ =
            writeln!(out, "{to} gets it now; then {}: as112d-fleet promote --auto", stages[1..].join(", "));
    } else {
        let _ = writeln!(out, "{to} gets it now");
    }
    if let Some(unsaid) = unsaid {
        let _ = writeln!(out, "{unsaid}");
    }
    let value = json!({
        "release": release.to_string(),
        "number": release.number,
        "digest": release.digest,
        "new": true,
        "stages": stages,
        "waits_for_signatures": waits,
    });
    Told::either(options.publisher.json, out, &value)
}

fn new_keys(options: &PublishOptions) -> Result<Option<Keys>, Failure> {
    if options.new_keys.is_empty() {
        return Ok(None);
    }
    let keys = Keys::new(options.new_threshold, options.new_keys.clone());
    keys.map(Some).map_err(|refused| usage(format!("--new-keys: {refused}")))
}

/// How the release will go out: as the settings say, or as the options do.
async fn roll(
    desk: &Desk,
    manifest: &Manifest,
    before: &Before,
    options: &PublishOptions,
) -> Result<Roll, Failure> {
    let plan = &desk.settings.roll;
    let stage = |to: To| Stage { to, bake: plan.bake };
    let mut stages = plan.stages.clone();
    if options.all_at_once || options.to == Some(Scope::Fleet) {
        stages = vec![stage(To::ALL)];
    } else if let Some(to) = &options.to {
        stages.retain(|stage| matches!(stage.to, To::Share(_)));
        stages.insert(0, stage(To::Scope(to.clone())));
    }
    if before.wanted.is_none() {
        stages.retain(|stage| !matches!(stage.to, To::Share(share) if share < 100));
    }
    if stages.last().is_some_and(|stage| stage.to != To::ALL) {
        stages.push(stage(To::ALL));
    }
    if stages.is_empty() {
        return Err(usage(format!(
            "who gets it first? Give --to colo/NAME or --to node/NAME, or stages in {}: [roll] stages = \
             [\"colo/NAME\", \"10%\", \"all\"]; for a fleet of one node --to fleet",
            crate::settings::FILE
        )));
    }
    if stages.len() == 1 && !options.all_at_once && before.wanted.is_some() && nodes(desk).await? > 1 {
        return Err(usage(
            "that gives it to all nodes at once; if that is meant, give --all-at-once --reason TEXT",
        ));
    }
    let made = Made::now(&desk.settings, &options.sign)?;
    let known = desk.roll().await?;
    let roll = Roll {
        format: manifest.format,
        fleet: desk.fleet.clone(),
        serial: next_serial(known.as_ref().and_then(Held::content).map(|roll| roll.serial)),
        release: ReleaseName { number: manifest.number, digest: Digest::of(&manifest.to_bytes()) },
        before: before.wanted,
        stages,
        quorum: plan.quorum,
        reason: made.reason,
        by: made.by,
        made_at: made.at,
    };
    roll.check().map_err(|refused| usage(format!("[roll]: {refused}")))?;
    Ok(roll)
}

/// How many nodes there are, as far as anybody knows.
async fn nodes(desk: &Desk) -> Result<usize, Failure> {
    let said = reports(desk).await?;
    let mut names: Vec<String> = said.into_iter().map(|said| said.node).collect();
    names.extend(desk.settings.nodes.iter().map(|(node, _)| node.to_string()));
    names.sort_unstable();
    names.dedup();
    Ok(names.len())
}

/// What is signed: the release, its roll, and the pointers of its first stage.
fn proposals(
    desk: &Desk,
    manifest: &Manifest,
    roll: &Roll,
    before: &Before,
    options: &PublishOptions,
) -> Result<Vec<Proposal>, Failure> {
    let mut proposals =
        vec![Proposal::Manifest(Box::new(manifest.clone())), Proposal::Roll(Box::new(roll.clone()))];
    let pointers = stage_pointers(desk, roll, 0, &before.pointers, &options.sign)?;
    proposals.extend(pointers.into_iter().map(|pointer| Proposal::Pointer(Box::new(pointer))));
    Ok(proposals)
}

/// Puts the files into the tree. What is there already is not sent again.
async fn upload(carrier: &Carrier, draft: &Draft, is_quiet: bool) -> Result<(), Failure> {
    let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::new(draft.len()) };
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for file in &draft.files {
        bar.set_message(file.path.to_string());
        let (name, place) = (layout::object(&file.sha256), draft.place(&file.path));
        carrier.store_file(&name, &place).await.map_err(|fault| cannot(&name, &fault))?;
        is_whole(carrier, &name, file, &place).await?;
        bar.inc(file.len);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Bytes up to which an object is read back: what is larger is hashed by whoever takes it, and by the engine.
const READ_BACK_LEN_MAX: u64 = 4 << 20;

/// Whether what was put there is what was hashed: neither did the file change meanwhile, nor is there
/// something else.
async fn is_whole(
    carrier: &Carrier,
    name: &str,
    file: &as112d::release::File,
    place: &Path,
) -> Result<(), Failure> {
    let (len, digest) = hash(place).map_err(|error| usage(format!("{}: {error}", place.display())))?;
    if (len, digest) != (file.len, file.sha256) {
        return Err(usage(format!(
            "{}: it was changed while it was published; publish again",
            place.display()
        )));
    }
    if file.len > READ_BACK_LEN_MAX {
        return Ok(());
    }
    let found = match carrier.read(name, file.len).await {
        Err(Fault::TooLong(_)) => None,
        found => found.map_err(|fault| cannot(name, &fault))?,
    };
    match found {
        Some(bytes) if Digest::of(&bytes) == file.sha256 => Ok(()),
        Some(_) => {
            Err(usage(format!("{name}: the carrier has something else by that name; remove it there")))
        }
        None => Err(usage(format!("{name}: the carrier took it and does not have it; publish again"))),
    }
}

/// What would change for each kind of nodes, against the release that the fleet should have.
async fn dry_run(desk: &Desk, draft: &Draft, options: &PublishOptions) -> Result<Told, Failure> {
    let before = Before::read(desk).await?;
    let manifest = check::manifest(&desk.fleet, draft, before.number(), &options.draft)?;
    let loads = check::load(&manifest, draft, &desk.fleet, &desk.settings, &options.draft)?;
    let old = before.wanted.as_ref().and_then(|name| before.find(name));
    let folder = tempfile::tempdir().map_err(|error| usage(error.to_string()))?;
    if let Some(old) = old {
        let whole = std::collections::BTreeSet::from_iter(old.manifest.files.iter().map(|file| file.sha256));
        for digest in whole {
            fetch(desk, &digest, &old.manifest, &folder.path().join(digest.to_string())).await?;
        }
    }
    let mut out = match old {
        Some(old) => format!("release {} against {}\n", manifest.number, old.name),
        None => format!("release {}, the first one\n", manifest.number),
    };
    let mut values = Vec::new();
    for (kind, served) in &loads {
        let served_before = old.map(|old| {
            let place = |path: &as112d::release::RelPath| {
                let file = old.manifest.file(path.as_str());
                file.map(|file| folder.path().join(file.sha256.to_string())).unwrap_or_default()
            };
            loads::load(&old.manifest, place, &kind.who, options.draft.local.as_deref())
        });
        let served_before = served_before.transpose()?;
        let known = old.zip(served_before.as_ref()).map(|(old, served)| (&old.manifest, served));
        let diff = Diff::between(known, (&manifest, served), &kind.who);
        let _ = write!(out, "{}:\n{}", kind.name, diff.text());
        values.push(json!({ "nodes": kind.name, "diff": diff, "same_answers": diff.has_same_answers() }));
    }
    let value = json!({
        "number": manifest.number,
        "before": old.map(|old| old.name.to_string()),
        "nodes": values,
    });
    Ok(Told::either(options.publisher.json, out, &value))
}

/// Fetches an object of a release.
async fn fetch(desk: &Desk, digest: &Digest, manifest: &Manifest, place: &Path) -> Result<(), Failure> {
    let name = layout::object(digest);
    let len = manifest.files.iter().find(|file| file.sha256 == *digest).map_or(0, |file| file.len);
    let bytes = desk.carrier.read(&name, len).await.map_err(|fault| cannot(&name, &fault))?;
    let bytes = bytes.filter(|bytes| Digest::of(bytes) == *digest);
    let bytes =
        bytes.ok_or_else(|| usage(format!("{name}: missing or wrong-hash; publish that release again")))?;
    std::fs::write(place, bytes)
        .map_err(|error| Problem::plain(error.to_string()))
        .map_err(|problem| vec![problem])?;
    Ok(())
}
