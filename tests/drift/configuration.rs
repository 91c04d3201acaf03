//! The reference of the configuration: what the example file says of each key, and what the code takes for
//! it. The latter is found by giving it what it does not take.

use std::fmt::Write as _;
use std::fs;

use as112d::cli::{Cli, Command};
use as112d::config::{self, Flags, Wanted};
use clap::{CommandFactory as _, Parser as _};

const EXAMPLE: &str = include_str!("../../docs/examples/as112d.toml");

const HEAD: &str = "\
# The configuration

Every key of the configuration file, generated from the code by `UPDATE=1 cargo test --test drift`. The file
is TOML; [examples/as112d.toml](examples/as112d.toml) has the same as a file. Command-line options override
it, `as112d config show --effective --origin` shows what is in effect and where it came from, and
`as112d check` reports every mistake with its place.
";

/// A piece of the example: what is said, and of which keys.
#[derive(Default)]
pub struct Entry {
    pub text: String,
    /// The line of each key, and whether it is a default.
    pub keys: Vec<(&'static str, bool)>,
}

pub struct Section {
    /// As it is written: `[server]`, `[[zone]]`.
    pub head: &'static str,
    pub entries: Vec<Entry>,
}

/// The example file, taken apart. What stands before the first section is for readers of the file.
pub fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut entry = Entry::default();
    for line in EXAMPLE.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        let is_key = text.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', '`', ':']));
        if text.starts_with('[') && text.ends_with(']') {
            let head = std::mem::take(&mut entry);
            // What is said before a block in comments is of the block.
            let entries = if text.starts_with("[[") && !head.text.is_empty() { vec![head] } else { vec![] };
            match sections.last_mut() {
                Some(last) if last.head == text => {}
                _ => sections.push(Section { head: text, entries }),
            }
        } else if is_key {
            entry.keys.push((text, text == line));
        } else {
            if !entry.keys.is_empty() || text == "#" || text.is_empty() {
                let done = std::mem::take(&mut entry);
                if let Some(section) =
                    sections.last_mut().filter(|_| !done.text.is_empty() || !done.keys.is_empty())
                {
                    section.entries.push(done);
                }
            }
            if text != "#" && !text.is_empty() {
                entry.text += text;
                entry.text.push('\n');
            }
        }
    }
    sections.last_mut().expect("there are sections").entries.push(entry);
    sections
}

/// What the code says to a file with this text.
fn told(text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("as112d.toml");
    fs::write(&path, text).expect("written");
    match config::load(Some(&path), &Flags::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.message).collect(),
    }
}

/// What may stand behind a key.
pub fn taken(head: &str, key: &str) -> String {
    let expected = |value: &str| {
        let found = told(&format!("{head}\n{key} = {value}\n")).into_iter().find_map(|message| {
            let (_, expected) = message.split_once(", expected ")?;
            Some(expected.split("; write it as in").next()?.to_owned())
        });
        found.map(|expected| match expected.as_str() {
            "a boolean" => "true or false".to_owned(),
            "path string" => "a path in quotes".to_owned(),
            _ => expected,
        })
    };
    // No key takes a date; where there is a table, a date is read as one.
    let of_date = expected("1979-05-27").filter(|kind| kind != "a spanned value");
    let kind = of_date.or_else(|| expected("true"));
    let kind = kind.unwrap_or_else(|| panic!("{head} {key} takes a date"));
    if kind == "a list" {
        let each = expected("[1979-05-27]").unwrap_or_else(|| panic!("{head} {key} takes dates"));
        return format!("a list, each {each}");
    }
    let range = ["99999999999", "\"99999999GiB\"", "\"99999999m\"", "-1"].iter().find_map(|value| {
        told(&format!("{head}\n{key} = {value}\n")).into_iter().find_map(|message| {
            Some(message.split_once("is out of range; give ")?.1.replace("a whole number from ", ""))
        })
    });
    range.map_or_else(|| kind.clone(), |range| format!("{kind}, {range}"))
}

/// The options of `run` and the key that each goes before, as `config show` has it: each option gets
/// something that it takes.
pub fn options() -> Vec<(String, String, String)> {
    let given = ["1", "auto", "off", "cpu", "mmsg", "json", "127.0.0.1:5300", "/x"];
    let tree = Cli::command();
    let run = tree.find_subcommand("run").expect("there is a command");
    let long = run.get_arguments().filter_map(|argument| argument.get_long());
    let mut found = Vec::new();
    for name in long.filter(|name| !["config", "dry-run"].contains(name)) {
        let parsed = given.iter().find_map(|value| {
            Cli::try_parse_from(["as112d", "run", &format!("--{name}"), value]).ok().map(Cli::into_command)
        });
        let Some(Command::Run(run)) = parsed else { panic!("--{name} takes none of {given:?}") };
        let wanted = Wanted { effective: false, origin: true };
        let shown = config::show(None, &run.serve.flags(), wanted).expect("it is right");
        let mut head = "";
        for line in shown.lines() {
            if line.starts_with('[') {
                head = line;
            } else if line.ends_with(&format!(" # --{name}")) {
                let key = line.split(" = ").next().expect("a key").to_owned();
                found.push((head.to_owned(), key, format!("--{name}")));
            }
        }
        assert!(
            found.last().is_some_and(|(.., option)| option.ends_with(&format!("--{name}"))),
            "config show does not know --{name}"
        );
    }
    found
}

fn reference() -> String {
    let mut out = HEAD.to_owned();
    let options = options();
    for Section { head, entries } in sections() {
        writeln!(out, "\n## `{head}`").expect("a String takes it");
        for Entry { text, keys } in entries {
            out.push('\n');
            for (line, is_default) in &keys {
                let (key, value) = line.split_once(" = ").expect("a key has a value");
                let shown = if *is_default { "default" } else { "example" };
                let option = options.iter().find(|(section, of, _)| section == head && of == key);
                let option = option.map_or_else(String::new, |(.., option)| format!("; `{option}`"));
                writeln!(out, "- **`{key}`**: {}; {shown}: `{value}`{option}", taken(head, key))
                    .expect("a String takes it");
            }
            if !keys.is_empty() && !text.is_empty() {
                out.push_str("\n  ");
                out.push_str(&text.trim_end().replace('\n', "\n  "));
                out.push('\n');
            } else {
                out.push_str(&text);
            }
        }
    }
    out
}

#[test]
fn the_reference_is_that_of_the_code() {
    let reference = reference();
    for part in [
        "- **`edns_udp_size`**: a whole number, 512 to 1232; default: `1232`\n",
        "- **`direct`**: true or false; default: `true`\n",
        "\n## `[[zone]]`\n",
        "- **`extra_txt`**: a list, each a quoted string; default: `[]`\n",
    ] {
        assert!(reference.contains(part), "{part}\n{reference}");
    }
    super::check("docs/configuration.md", &reference);
}

/// Each key that the code knows is in it. That the example file has them all, with the defaults of the code,
/// is shown where the file is read.
#[test]
fn every_key_is_in_the_reference() {
    let reference = reference();
    // A key that is near to none, so that all are told.
    let known = |text: &str| {
        let messages = told(text);
        let list =
            messages.iter().find_map(|message| message.split_once("; known keys: ")).expect("known keys").1;
        list.split(", ").map(str::to_owned).collect::<Vec<_>>()
    };
    let sections = known("00000000 = 0");
    assert!(sections.len() > 8, "{sections:?}");
    for section in sections {
        let is_block = reference.contains(&format!("\n## `[[{section}]]`\n"));
        let head = if is_block { format!("[[{section}]]") } else { format!("[{section}]") };
        let part = reference.split_once(&format!("\n## `{head}`\n")).expect(&head).1;
        let part = part.split("\n## ").next().expect("there is something");
        for key in known(&format!("{head}\n00000000 = 0")) {
            assert!(part.contains(&format!("- **`{key}`**: ")), "{head} {key}");
        }
    }
}
