//! The configuration as it is in effect, written as a configuration file: options of the command line over
//! the file over the defaults, each value with where it came from.
//!
//! What it prints is a file that gives the same [`Config`] again. The keys, their order and their fixed
//! defaults are those of the example file, which tests hold to the code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Value};

use super::doors::ControlPath;
use super::source::Source;
use super::spec::EXAMPLE;
use super::written::Origin;
use super::{Config, Flags, load};
use crate::problem::Problem;

/// The column at which origins begin, where values leave it free.
const ORIGIN_COLUMN: usize = 48;

/// What of the configuration is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Every value, and not those alone that somebody gave.
    pub effective: bool,
    /// Where each came from.
    pub origin: bool,
}

/// The configuration that [`load`] makes of the same, as a file.
///
/// # Errors
/// As those of [`load`].
pub fn show(path: Option<&Path>, flags: &Flags, wanted: Wanted) -> Result<String, Vec<Problem>> {
    let config = load(path, flags)?;
    let source = path.map_or_else(|| Ok(Source::default()), Source::open).map_err(|problem| vec![problem])?;
    let spans = DeTable::parse(&source.text).expect("it was read before").into_inner();
    let values: toml::Table = source.text.parse().expect("it was read before");
    let shown = Shown { wanted, source: &source, over: flags.given(), derived: derived(&config) };
    let mut out = String::new();
    if path.is_some() {
        let dir = std::path::absolute(&source.dir).unwrap_or_else(|_| source.dir.clone());
        writeln!(out, "# {}; relative paths begin in {}", source.name, dir.display())
            .expect("a String takes all that is written");
    }
    for section in documented() {
        out.push_str(&shown.section(&section, &spans, &values));
    }
    for (name, blocks) in &values {
        if let Value::Array(blocks) = blocks {
            out.push_str(&shown.blocks(name, blocks, &spans));
        }
    }
    Ok(out)
}

/// A section of the example file, and its keys.
struct Section {
    name: &'static str,
    keys: Vec<Key>,
}

struct Key {
    name: &'static str,
    /// The default, where there is a fixed one.
    default: Option<&'static str>,
    /// What holds without it, where there is none.
    without: String,
}

/// The sections that the example file documents. A key after a `#` has no fixed default; the comment before
/// it says what holds without it.
fn documented() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut comment, mut is_told) = (String::new(), false);
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            sections.push(Section { name, keys: Vec::new() });
            continue;
        }
        // Blocks that are repeated belong to no section, and nothing of them is a default.
        if line.starts_with("# [[") {
            sections.push(Section { name: "", keys: Vec::new() });
        }
        let (default, text) = match line.strip_prefix("# ") {
            Some(text) => (false, text),
            None => (true, line),
        };
        let is_name =
            |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if let Some((name, value)) = text.split_once(" = ").filter(|(key, _)| is_name(key)) {
            let key = Key { name, default: default.then_some(value), without: without(&comment) };
            if let Some(section) = sections.last_mut() {
                section.keys.push(key);
            }
            is_told = true;
        } else {
            // Keys that follow each other share the comment before them.
            if std::mem::take(&mut is_told) {
                comment.clear();
            }
            comment.push_str(text);
            comment.push(' ');
        }
    }
    sections.retain(|section| !section.name.is_empty());
    sections
}

/// Of a comment, what it says after "Default: ", to the end of the sentence.
fn without(comment: &str) -> String {
    let rest = comment.split_once("Default: ").map_or("", |(_, rest)| rest);
    let sentence = rest.split(". ").next().unwrap_or_default();
    sentence.trim().trim_end_matches('.').to_owned()
}

/// A value that an option of the command line gives.
pub(super) struct Over {
    option: &'static str,
    section: &'static str,
    key: &'static str,
    value: Value,
}

impl Flags {
    /// What was given, by the keys that it overrides.
    pub(super) fn given(&self) -> Vec<Over> {
        // Every field by its name: an option that is forgotten here does not compile.
        let Self {
            listen,
            shards,
            cpus,
            steer,
            busy_poll,
            datapath,
            http,
            http_public,
            control,
            node,
            zones,
            xdp,
            log_format,
            log_file,
        } = self;
        let text = |value: &dyn ToString| Value::String(value.to_string());
        let listen: Vec<Value> = listen.iter().flat_map(|one| &one.0).map(|address| text(address)).collect();
        let interfaces: Vec<Value> = xdp.iter().map(|name| text(&name.0)).collect();
        // A relative path of the command line begins where the program was started, and not at the file.
        let whole = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| text(&whole(path).display()));
        let control = control.as_ref().and_then(|control| match control {
            ControlPath::At(path) => Some(text(&whole(path).display())),
            ControlPath::Off => Some(text(&"off")),
            ControlPath::IfFree => None,
        });
        let all = [
            ("--listen", "server", "listen", Some(listen).filter(|all| !all.is_empty()).map(Value::Array)),
            ("--shards", "server", "shards", shards.map(|shards| number_or_text(&shards.to_string()))),
            ("--cpus", "server", "cpus", cpus.as_ref().map(|cpus| text(cpus))),
            ("--steer", "server", "steer", steer.map(|steer| text(&steer))),
            ("--busy-poll", "server", "busy_poll", busy_poll.map(|poll| number_or_text(&poll.0.to_string()))),
            ("--datapath", "server", "datapath", datapath.map(|datapath| text(&datapath))),
            ("--http", "http", "listen", http.map(|http| text(&http))),
            ("--http-public", "http", "public", http_public.map(|http| text(&http))),
            ("--control", "control", "path", control),
            ("--node", "identity", "node", node.as_ref().map(|node| text(&node.0))),
            ("--zones", "zones", "dir", path(zones)),
            ("--xdp", "xdp", "interfaces", Some(interfaces).filter(|all| !all.is_empty()).map(Value::Array)),
            ("--log-format", "log", "format", log_format.map(|format| text(&format))),
            ("--log-file", "log", "file", path(log_file)),
        ];
        let over = |(option, section, key, value): (_, _, _, Option<Value>)| {
            Some(Over { option, section, key, value: value? })
        };
        all.into_iter().filter_map(over).collect()
    }
}

fn number_or_text(text: &str) -> Value {
    text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer)
}

/// The value of a key that nobody gave, where that follows from something else; and from what.
struct Derived {
    section: &'static str,
    key: &'static str,
    value: Value,
    why: &'static str,
}

fn derived(config: &Config) -> Vec<Derived> {
    let addresses = config.listen.iter().map(|address| Value::String(address.to_string())).collect();
    // A name that looks like hexadecimal digits would be read as such.
    let name = &config.identity.node;
    let digits = || name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let nsid = if name.starts_with("0x") { format!("0x{}", digits()) } else { name.clone() };
    let per_address = i64::try_from(config.tcp.connections_per_client_max).unwrap_or(i64::MAX);
    let all = [
        ("server", "listen", Value::Array(addresses), "default"),
        ("identity", "node", Value::String(name.clone()), "default: the host's name"),
        ("identity", "nsid", Value::String(nsid), "default: the node's name"),
        ("platform", "colo", Value::String(config.platform.colo.clone()), "default: the node's name"),
        ("tcp", "connections_per_address_max", Value::Integer(per_address), "default"),
    ];
    all.into_iter().map(|(section, key, value, why)| Derived { section, key, value, why }).collect()
}

struct Shown<'a> {
    wanted: Wanted,
    source: &'a Source,
    over: Vec<Over>,
    derived: Vec<Derived>,
}

impl Shown<'_> {
    /// One section; nothing where nothing of it is to be shown.
    fn section(&self, section: &Section, spans: &DeTable<'_>, values: &toml::Table) -> String {
        let (spans, values) = (table_at(spans, section.name), values_at(values, section.name));
        let mut out = String::new();
        for Key { name: key, default, without } in &section.keys {
            let is_same = |other: (&str, &str)| other == (section.name, *key);
            if let Some(over) = self.over.iter().find(|over| is_same((over.section, over.key))) {
                self.line(&mut out, &format!("{key} = {}", over.value), over.option);
            } else if let Some((value, at)) = values.zip(spans).and_then(|both| found(both, key)) {
                self.line(&mut out, &format!("{key} = {value}"), &self.source.place(Origin::File(at)));
            } else if self.wanted.effective {
                let derived = self.derived.iter().find(|one| is_same((one.section, one.key)));
                let (text, origin) = match (derived, default) {
                    (Some(Derived { value, why, .. }), _) => (format!("{key} = {value}"), *why),
                    (None, Some(default)) => (format!("{key} = {default}"), "default"),
                    (None, None) if without.is_empty() => (format!("# {key} is not set"), "default"),
                    (None, None) => (format!("# {key} is not set: {without}"), "default"),
                };
                self.line(&mut out, &text, origin);
            }
        }
        if out.is_empty() { out } else { format!("\n[{}]\n{out}", section.name) }
    }

    /// The blocks of the file that are repeated, as `[[zone]]`.
    fn blocks(&self, name: &str, blocks: &[Value], spans: &DeTable<'_>) -> String {
        let Some(DeValue::Array(places)) = spans.get(name).map(Spanned::get_ref) else {
            return String::new();
        };
        let mut out = String::new();
        for (block, place) in blocks.iter().zip(places.iter()) {
            let (Value::Table(block), DeValue::Table(place)) = (block, place.get_ref()) else { continue };
            writeln!(out, "\n[[{name}]]").expect("a String takes all that is written");
            for key in block.keys() {
                let Some((value, at)) = found((block, place), key) else { continue };
                self.line(&mut out, &format!("{key} = {value}"), &self.source.place(Origin::File(at)));
            }
        }
        out
    }

    fn line(&self, out: &mut String, text: &str, origin: &str) {
        let line = match self.wanted.origin {
            true => writeln!(out, "{text:<ORIGIN_COLUMN$} # {origin}"),
            false => writeln!(out, "{text}"),
        };
        line.expect("a String takes all that is written");
    }
}

/// The value of a key, and where it stands in the file.
fn found<'v>((values, spans): (&'v toml::Table, &DeTable<'_>), key: &str) -> Option<(&'v Value, usize)> {
    Some((values.get(key)?, spans.get(key)?.span().start))
}

/// The table that a section's name leads to; a dot in it leads to a table in a table.
fn table_at<'t, 'i>(root: &'t DeTable<'i>, name: &str) -> Option<&'t DeTable<'i>> {
    name.split('.').try_fold(root, |table, part| match table.get(part)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    })
}

fn values_at<'t>(root: &'t toml::Table, name: &str) -> Option<&'t toml::Table> {
    name.split('.').try_fold(root, |table, part| table.get(part)?.as_table())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::doors::HttpListen;
    use crate::config::listen::Listen;
    use crate::config::spec::BLOCKS;
    use crate::config::tests::uncommented;
    use crate::config::written::{Text, Written as _};
    use crate::config::{Cpus, Shards};

    const ALL: Wanted = Wanted { effective: true, origin: true };

    /// A folder with a file of the name, and its path.
    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("as112d.toml");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn flags() -> Flags {
        Flags {
            listen: vec![Listen::read("as112-dname").unwrap()],
            shards: Some(Shards::read("3").unwrap()),
            cpus: Some(Cpus::read("0-3").unwrap()),
            http: Some(HttpListen::Off),
            control: Some(ControlPath::At("/somewhere/control".into())),
            node: Some(Text::read("say \"hi\"").unwrap()),
            zones: Some("/somewhere".into()),
            log_file: Some("/somewhere/log".into()),
            log_format: Some(crate::log::Format::Json),
            ..Flags::default()
        }
    }

    /// What is shown of a configuration is that configuration, wherever it came from.
    #[test]
    fn what_is_shown_loads_to_the_same() {
        let few = "[server]\nshards = 2\n[tcp]\nconnections_max = 9\n\
                   [identity]\nextra_txt = ['a', # why\n 'b']\n\
                   [[zone]]\nname = 'a.example'\ntemplate = 'dr-empty'\n\
                   [[zone]]\nname = 'b'\nfile = 'b.zone'\n";
        for text in ["", few, EXAMPLE, &uncommented()] {
            let hexadecimal = Flags { node: Some(Text::read("0xab").unwrap()), ..Flags::default() };
            for flags in [Flags::default(), flags(), hexadecimal] {
                let (_folder, path) = file(text);
                let before = load(Some(&path), &flags).unwrap();
                for wanted in [ALL, Wanted { origin: false, ..ALL }, Wanted::default()] {
                    let shown = show(Some(&path), &flags, wanted).unwrap();
                    fs::write(&path, &shown).unwrap();
                    let mut after = load(Some(&path), &Flags::default()).unwrap();
                    // Where each block stands in the file is no matter of what it says.
                    for (entry, was) in after.zones.entries.iter_mut().zip(&before.zones.entries) {
                        entry.place.clone_from(&was.place);
                    }
                    for (route, was) in after.routes.iter_mut().zip(&before.routes) {
                        route.place.clone_from(&was.place);
                    }
                    for (entry, was) in after.zones.specials.iter_mut().zip(&before.zones.specials) {
                        entry.place.clone_from(&was.place);
                    }
                    for (map, was) in after.tailoring.maps.iter_mut().zip(&before.tailoring.maps) {
                        map.place.clone_from(&was.place);
                    }
                    for (pool, was) in after.tailoring.pools.iter_mut().zip(&before.tailoring.pools) {
                        pool.place.clone_from(&was.place);
                    }
                    assert_eq!(format!("{after:#?}"), format!("{before:#?}"), "{shown}");
                    fs::write(&path, text).unwrap();
                }
            }
        }
    }

    #[test]
    fn each_value_says_where_it_came_from() {
        let (_folder, path) =
            file("[server]\nshards = 2\nsteer = 'cpu'\n\n[[zone]]\nname = 'a'\ntemplate = 'dd-empty'\n");
        let shown = show(Some(&path), &flags(), ALL).unwrap();
        let origin = |start: &str| {
            let line = shown
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("{start}\n{shown}"));
            let (text, origin) = line.rsplit_once(" # ").unwrap();
            (text.trim_end().to_owned(), origin.replace(&path.display().to_string(), "F"))
        };
        let told = |text: &str, from: &str| (text.to_owned(), from.to_owned());
        assert_eq!(
            origin("listen = "),
            told("listen = [\"192.31.196.1:53\", \"[2001:4:112::1]:53\"]", "--listen")
        );
        assert_eq!(origin("shards"), told("shards = 3", "--shards"));
        assert_eq!(origin("steer"), told("steer = \"cpu\"", "F:3:9"));
        assert_eq!(origin("busy_poll"), told("busy_poll = 0", "default"));
        assert_eq!(
            origin("# user"),
            told(
                "# user is not set: as112d if that user exists, else nobody; if not started as root, the \
                 user who started it",
                "default"
            )
        );
        assert_eq!(origin("name = \"a\""), told("name = \"a\"", "F:6:8"));
        assert_eq!(origin("nsid"), told("nsid = 'say \"hi\"'", "default: the node's name"));
        let without = show(Some(&path), &Flags::default(), ALL).unwrap();
        assert!(
            without.contains("# listen is not set: 127.0.0.1:9112, or no HTTP if that is in use"),
            "{without}"
        );
    }

    #[test]
    fn by_default_only_what_somebody_gave_is_shown() {
        assert_eq!(show(None, &Flags::default(), Wanted::default()).unwrap(), "");
        let flags = Flags { shards: Some(Shards::read("auto").unwrap()), ..Flags::default() };
        assert_eq!(show(None, &flags, Wanted::default()).unwrap(), "\n[server]\nshards = \"auto\"\n");
        let (_folder, path) = file("[zones]\ndname = false\n");
        let shown = show(Some(&path), &Flags::default(), Wanted::default()).unwrap();
        assert!(shown.ends_with("\n\n[zones]\ndname = false\n") && shown.lines().count() == 4, "{shown}");
        let (_folder, path) = file("[server]\nshard = 1\n");
        assert_eq!(show(Some(&path), &Flags::default(), Wanted::default()).unwrap_err().len(), 1);
    }

    /// A key that the code knows and this does not show would be in effect in silence.
    #[test]
    fn every_key_of_every_section_is_shown() {
        let documented = documented();
        for section in
            crate::config::spec::known_keys("").iter().filter(|name| !BLOCKS.contains(&name.as_str()))
        {
            let keys = &documented.iter().find(|one| one.name == section).expect(section).keys;
            for key in crate::config::spec::known_keys(section) {
                assert!(keys.iter().any(|shown| shown.name == key), "[{section}] {key}");
            }
        }
    }
}
