//! `as112d-fleet check`: what a release of a directory would hold, and what nodes would say to it.

use std::fmt::Write as _;
use std::path::Path;

use as112d::commands::Failure;
use as112d::problem::Problem;
use as112d::release::manifest::FORMAT;
use as112d::release::{Label, Manifest, Words};
use serde_json::json;

use super::Told;
use crate::cli::{CheckOptions, DraftOptions};
use crate::desk::{USAGE, now, usage};
use crate::draft::Draft;
use crate::loads::{self, Kind, Served};
use crate::settings::Settings;

/// What each kind of nodes would serve.
pub(super) type Loads = Vec<(Kind, Served)>;

/// Checks a directory; what it prints.
///
/// # Errors
/// All that keeps it from becoming a release.
pub fn check(options: &CheckOptions) -> Result<Told, Failure> {
    let settings = Settings::read(options.config.as_deref(), Some(&options.dir));
    let settings = settings.map_err(|problems| Failure { problems, code: USAGE })?;
    let fleet = settings.fleet.clone().unwrap_or("fleet".parse().map_err(|_| usage("a fleet has a name"))?);
    let draft = Draft::read(&options.dir)?;
    let manifest = manifest(&fleet, &draft, 1, &options.draft)?;
    let loads = load(&manifest, &draft, &fleet, &settings, &options.draft)?;
    if options.json {
        let kinds = loads.iter().map(|(kind, served)| {
            json!({
                "nodes": kind.name,
                "zones": served.zones.len(),
                "answers": served.answers,
                "warnings": served.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        return Ok(Told::json(&json!({
            "files": draft.files,
            "left_out": draft.left_out,
            "len": draft.len(),
            "nodes": kinds.collect::<Vec<_>>(),
        })));
    }
    let mut out = format!("{} files, {} bytes\n", draft.files.len(), draft.len());
    for file in &draft.files {
        let kind = format!("{:?}", file.kind).to_lowercase();
        let _ = writeln!(out, "  {kind:<6} {:>10} {} {}", file.len, file.sha256.short(), file.path);
    }
    for name in &draft.left_out {
        let _ = writeln!(out, "  left out: {name}");
    }
    for (kind, served) in &loads {
        let _ = writeln!(out, "{}: {} zones, answers {}", kind.name, served.zones.len(), served.answers);
        for warning in &served.warnings {
            let _ = writeln!(out, "  warning: {warning}");
        }
    }
    out.push_str("\nThis can be published.\n");
    Ok(Told::from(out))
}

/// The manifest of a draft with this number.
pub(super) fn manifest(
    fleet: &Label,
    draft: &Draft,
    number: u64,
    options: &DraftOptions,
) -> Result<Manifest, Failure> {
    let manifest = Manifest {
        format: FORMAT,
        fleet: fleet.clone(),
        number,
        previous: None,
        made_at: Words::new(now()).map_err(|refused| usage(refused.to_string()))?,
        min_version: options.min_version.clone(),
        keys: None,
        files: draft.files.clone(),
    };
    manifest.check().map_err(|refused| vec![Problem::from(refused)])?;
    Ok(manifest)
}

/// What each kind of nodes would serve; none of them without a zone of AS112, unless somebody has a reason.
pub(super) fn load(
    manifest: &Manifest,
    draft: &Draft,
    fleet: &Label,
    settings: &Settings,
    options: &DraftOptions,
) -> Result<Loads, Failure> {
    let mut loads = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for kind in loads::kinds(fleet, &draft.scopes(), settings) {
        match loads::load(manifest, |path| draft.place(path), &kind.who, options.local.as_deref()) {
            Err(found) => {
                // What is wrong for all is told once.
                problems.extend(
                    found.into_iter().filter(|problem| !problems.contains(problem)).collect::<Vec<_>>(),
                );
            }
            Ok(served) => {
                if options.without_as112_zones.is_none() {
                    problems.extend(as112(&kind, &served, &draft.root));
                }
                loads.push((kind, served));
            }
        }
    }
    if problems.is_empty() { Ok(loads) } else { Err(problems.into()) }
}

/// What is said where zones of AS112 are missing.
fn as112(kind: &Kind, served: &Served, root: &Path) -> Option<Problem> {
    let missing = served.missing();
    let first = missing.first()?;
    let message = format!(
        "{}: {} of the 22 zones of AS112 are missing, such as {first}: nodes would refuse what they are \
         asked for; if that is meant, give --without-as112-zones REASON",
        kind.name,
        missing.len()
    );
    Some(Problem { place: root.display().to_string(), message })
}
