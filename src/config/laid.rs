//! The configurations of a release, laid over the node's own file: of the fleet, of the colo, of the node,
//! each over the one before. A setting takes the place of another; a block takes that of the block with its
//! name.
//!
//! What a release may set is listed here: what the node answers, and nothing of what it is, where it
//! listens, as whom it runs, or what controls it. Nothing of it needs a restart, and every path lies in the
//! release.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::released::Release;
use super::source::Source;
use super::spec::{self, EXAMPLE, Spec};
use super::written::{Mistake, Origin};
use crate::limits::CONFIG_LEN_MAX;
use crate::problem::{Problem, edits};
use crate::release::{Code, RelPath};

/// What a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// Anything but a path.
    Setting,
    /// A file of the release.
    File,
    /// A list of them.
    Files,
    /// A directory of the release.
    Folder,
}

use Says::{File, Files, Folder, Setting};

/// What of the configuration a release may set, by section.
pub const ALLOWED: [(&str, &[(&str, Says)]); 13] = [
    ("server", &[("edns_udp_size", Setting), ("drop", Setting)]),
    (
        "zones",
        &[
            ("direct", Setting),
            ("dname", Setting),
            ("special_use", Setting),
            ("dir", Folder),
            ("packs", Files),
        ],
    ),
    ("zone", &[("name", Setting), ("file", File), ("template", Setting), ("force", Setting)]),
    (
        "answers",
        &[
            ("update", Setting),
            ("cookies", Setting),
            ("rate_limit", Setting),
            ("rate_limit_dry_run", Setting),
            ("rate_limit_slip", Setting),
            ("rate_limit_ipv4_prefix", Setting),
            ("rate_limit_ipv6_prefix", Setting),
            ("rate_limit_exempt", Setting),
        ],
    ),
    ("pop", &[("name", Setting), ("at", Setting), ("health", Setting), ("probe", Setting)]),
    (
        "map",
        &[
            ("name", Setting),
            ("networks", Files),
            ("resolvers", Files),
            ("learned", File),
            ("places", File),
            ("databases", Files),
            ("as", Setting),
            ("country", Setting),
            ("continent", Setting),
            ("nearest", Setting),
            ("default", Setting),
            ("ecs", Setting),
        ],
    ),
    (
        "pool",
        &[
            ("name", Setting),
            ("map", Setting),
            ("names", Setting),
            ("ttl", Setting),
            ("spread", Setting),
            ("addresses", Setting),
            ("weights", Setting),
        ],
    ),
    ("identity_zone", &[("names", Setting), ("ttl", Setting), ("map", Setting)]),
    ("platform", &[("rules", Folder), ("apps", Folder), ("query_timeout", Setting)]),
    (
        "cache",
        &[
            ("ttl_min", Setting),
            ("ttl_max", Setting),
            ("negative_ttl_max", Setting),
            ("failure_ttl", Setting),
            ("stale", Setting),
            ("stale_after", Setting),
            ("stale_ttl", Setting),
            ("prefetch", Setting),
        ],
    ),
    (
        "upstream",
        &[
            ("name", Setting),
            ("servers", Setting),
            ("over", Setting),
            ("tls_name", Setting),
            ("tls_ca", File),
            ("choose", Setting),
            ("timeout", Setting),
            ("tries", Setting),
            ("explore", Setting),
            ("case_randomization", Setting),
            ("cookies", Setting),
            ("ecs", Setting),
        ],
    ),
    (
        "route",
        &[
            ("name", Setting),
            ("when", Setting),
            ("then", Setting),
            ("allow", Setting),
            ("fallback_action", Setting),
        ],
    ),
    ("sources", &[("databases", Files)]),
];

/// Reads the configurations of `release` over `source`, which they become a part of.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn lay(source: &mut Source, release: &Release) -> Result<(), Problem> {
    for path in release.configs() {
        let place = path.display().to_string();
        let cannot = |message: String| Problem { place: place.clone(), message };
        let bytes = release.trust.read(&path, CONFIG_LEN_MAX);
        let bytes = bytes.map_err(|error| cannot(format!("cannot be read: {error}")))?;
        source.lay(Source::of_bytes(place, &path, bytes)?);
    }
    Ok(())
}

/// What all of them say together, where it is right, and all that is wrong in them.
pub(super) fn read(source: &Source, release: &Release) -> (Spec, Vec<Mistake>) {
    let (merged, mistakes) = merged(source, release);
    if !mistakes.is_empty() {
        return (Spec::default(), mistakes);
    }
    // Nearly always nothing is wrong.
    let again = merged.clone();
    match Spec::deserialize(Deserializer::from(merged)) {
        Ok(spec) => (spec, mistakes),
        Err(_) => spec::mistakes_in(again, EXAMPLE),
    }
}

/// All of them as one table, with spans among all texts, and what of them is not TOML or not for releases.
pub(super) fn merged<'s>(source: &'s Source, release: &Release) -> (Spanned<DeTable<'s>>, Vec<Mistake>) {
    let (base, mut mistakes) = table(source);
    let span = base.span();
    let mut base = base.into_inner();
    for over in source.over() {
        let (table, errors) = table(over);
        let mut allowing = Allowing { release, mistakes: errors };
        let table = allowing.table(table.into_inner());
        mistakes.append(&mut allowing.mistakes);
        merge(&mut base, table);
    }
    (Spanned::new(span, base), mistakes)
}

/// The table of one text, with spans among all texts, and errors of its syntax.
fn table(source: &Source) -> (Spanned<DeTable<'_>>, Vec<Mistake>) {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let begins = source.begins();
    let mistakes = errors.iter().map(|error| spec::syntax(error, begins)).collect();
    let span = table.span();
    (Spanned::new(moved(span, begins), moved_table(table.into_inner(), begins)), mistakes)
}

fn moved(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

fn moved_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    if by == 0 {
        return table;
    }
    let mut all = DeTable::new();
    for (key, value) in table {
        let span = moved(key.span(), by);
        all.insert(Spanned::new(span, key.into_inner()), moved_value(value, by));
    }
    all
}

fn moved_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = moved(value.span(), by);
    let value = match value.into_inner() {
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|element| moved_value(element, by)).collect())
        }
        DeValue::Table(table) => DeValue::Table(moved_table(table, by)),
        other => other,
    };
    Spanned::new(span, value)
}

//------------ What is allowed ---

struct Allowing<'a> {
    release: &'a Release,
    mistakes: Vec<Mistake>,
}

impl Allowing<'_> {
    fn refuse(&mut self, span: &Range<usize>, code: Code, words: &str) {
        self.mistakes.push(Mistake::new(Origin::File(span.start), format!("{code}: {words}")));
    }

    /// What of a file is allowed, with paths that lead into the release.
    fn table<'i>(&mut self, table: DeTable<'i>) -> DeTable<'i> {
        let mut allowed = DeTable::new();
        for (section, mut value) in table {
            let name = section.get_ref().to_string();
            let Some((_, keys)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
                let known = ALLOWED.iter().map(|(known, _)| *known);
                let words = not_allowed(&format!("[{name}]"), &name, known);
                self.refuse(&section.span(), Code::NotAllowed, &words);
                continue;
            };
            match value.get_mut() {
                DeValue::Table(table) => self.keys(&name, keys, table),
                DeValue::Array(blocks) => {
                    for block in blocks.iter_mut() {
                        if let DeValue::Table(table) = block.get_mut() {
                            self.keys(&name, keys, table);
                        }
                    }
                }
                // That is no section, which is said later.
                _ => {}
            }
            allowed.insert(section, value);
        }
        allowed
    }

    fn keys(&mut self, section: &str, keys: &[(&str, Says)], table: &mut DeTable<'_>) {
        for (key, value) in table.iter_mut() {
            let name: &str = key.get_ref();
            let Some((_, says)) = keys.iter().find(|(known, _)| *known == name) else {
                let what = format!("[{section}] {name}");
                let words = not_allowed(&what, name, keys.iter().map(|(known, _)| *known));
                self.refuse(&key.span(), Code::NotAllowed, &words);
                continue;
            };
            match (says, value.get_mut()) {
                (Files, DeValue::Array(paths)) => paths.iter_mut().for_each(|path| self.path(path, File)),
                (File | Folder, _) => self.path(value, *says),
                _ => {}
            }
        }
    }

    /// Makes a path of the release one of this host.
    fn path(&mut self, value: &mut Spanned<DeValue<'_>>, says: Says) {
        let span = value.span();
        let DeValue::String(text) = value.get_mut() else { return };
        let path = match text.parse::<RelPath>() {
            Ok(path) => path,
            Err(refused) => return self.refuse(&span, refused.code, &refused.words),
        };
        let (is_there, what) = match says {
            Folder => (self.release.has_folder(&path), "no directory"),
            _ => (self.release.has_file(&path), "no file"),
        };
        if !is_there {
            let words = format!(
                "the release has {what} `{path}` for this node; paths begin at the root of the release"
            );
            return self.refuse(&span, Code::Missing, &words);
        }
        let there = self.release.root.join(&path);
        *text = Cow::Owned(there.display().to_string());
    }
}

/// What is said of a key that is not for releases.
fn not_allowed<'a>(what: &str, key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let likely = known.map(|known| (edits(key, known), known)).min();
    match likely.filter(|(distance, _)| *distance <= 1 + key.len() / 4) {
        Some((_, likely)) => format!("{what} is not for releases; did you mean `{likely}`?"),
        None => format!("{what} is each node's own; set it in the node's file, and publish without it"),
    }
}

//------------ Laying over ---

/// Lays `over` over `base`.
fn merge<'i>(base: &mut DeTable<'i>, over: DeTable<'i>) {
    for (section, mut value) in over {
        let known = base.get_mut(section.get_ref().as_ref()).map(Spanned::get_mut);
        match (known, value.get_mut()) {
            (Some(DeValue::Table(base)), DeValue::Table(over)) => {
                for (key, value) in std::mem::take(over) {
                    // With the key's new place.
                    base.remove(key.get_ref().as_ref());
                    base.insert(key, value);
                }
            }
            (Some(DeValue::Array(base)), DeValue::Array(over)) => {
                blocks(base, std::mem::replace(over, DeArray::new()));
            }
            _ => {
                base.remove(section.get_ref().as_ref());
                base.insert(section, value);
            }
        }
    }
}

fn blocks<'i>(base: &mut DeArray<'i>, over: DeArray<'i>) {
    let named = |(at, block): (usize, &Spanned<DeValue<'_>>)| Some((name(block)?, at));
    let mut known: HashMap<String, usize> = base.iter().enumerate().filter_map(named).collect();
    for block in over {
        // Of two with one name in one file both stay, which is a mistake.
        match name(&block).and_then(|name| known.remove(&name)) {
            Some(at) => base.as_mut()[at] = block,
            None => base.push(block),
        }
    }
}

/// What a block calls itself.
fn name(block: &Spanned<DeValue<'_>>) -> Option<String> {
    match block.get_ref().as_table()?.get("name")?.get_ref() {
        DeValue::String(name) => Some(name.to_string()),
        _ => None,
    }
}
