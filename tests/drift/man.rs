//! Man pages: one for the program, one for each command (section 8), and one for the configuration file (5).
//! Options are those of the command line's tree, keys those of the reference; what neither knows is here.

use std::fmt::Write as _;

use as112d::cli::Cli;
use clap::{ArgAction, Command, CommandFactory as _};

use crate::common::skip::skipped;
use crate::configuration::{Entry, Section, options, sections, taken};
use crate::pages::{PAGES, Page};

/// What the tree does not know, for the page of the program.
const SIGNALS: [(&str, &str); 4] = [
    ("SIGTERM, SIGINT", "Drain, then stop. A second one stops at once."),
    ("SIGHUP", "Reload the configuration and the zones, and reopen the log file."),
    ("SIGUSR1", "Write the statistics to the log."),
    ("SIGUSR2", "Upgrade: start the program that is now on disk, and hand over the sockets."),
];

const FILES: [(&str, &str); 4] = [
    ("/etc/as112d/as112d.toml", "The configuration of the packaged service."),
    ("/run/as112d/control", "The control socket of the packaged service."),
    ("/var/lib/as112d/history.sqlite", "The history of the packaged service."),
    ("/usr/share/doc/as112d/", "The documents, with examples of routers, dashboards and alerts."),
];

/// The text as roff has it: literal, with what stands in backquotes in bold.
fn roff(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        for (number, piece) in line.split('`').enumerate() {
            let piece = piece.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
            out += &if number % 2 == 1 { format!("\\fB{piece}\\fR") } else { piece };
        }
        out.push('\n');
    }
    out.replace("\n\n", "\n.PP\n")
}

fn heading(out: &mut String, name: &str) {
    writeln!(out, ".SH \"{name}\"").expect("a String takes it");
}

/// A term in bold, and what it means.
fn item(out: &mut String, term: &str, text: &str) {
    write!(out, ".TP\n.B {}{}", roff(term), roff(text)).expect("a String takes it");
}

fn see_also<'a>(out: &mut String, pages: impl Iterator<Item = (&'a str, u8)>) {
    heading(out, "SEE ALSO");
    let pages: Vec<String> =
        pages.map(|(page, section)| format!(".BR {} ({section})", page.replace('-', "\\-"))).collect();
    *out += &pages.join(" ,\n");
    out.push('\n');
}

/// `name \- what it is`, as apropos(1) reads it.
fn name(out: &mut String, name: &str, about: &str) {
    heading(out, "NAME");
    let mut letters = about.trim_end_matches('.').chars();
    let first = letters.next().expect("it says something");
    // A sentence begins with a capital, and so does an abbreviation.
    let is_sentence = letters.clone().next().is_some_and(|second| !second.is_uppercase());
    let first = if is_sentence { first.to_ascii_lowercase() } else { first };
    write!(out, "{} \\- {}", name.replace('-', "\\-"), roff(&format!("{first}{}", letters.as_str())))
        .expect("a String takes it");
}

fn synopsis(out: &mut String, command: &Command, words: &str) {
    heading(out, "SYNOPSIS");
    // Without hyphens and without filling to the right edge.
    write!(out, ".nh\n.ad l\n.B {}", roff(words)).expect("a String takes it");
    let (free, named): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        .partition(|argument| argument.is_positional());
    for argument in named.into_iter().chain(free) {
        let values: Vec<_> = argument.get_value_names().into_iter().flatten().collect();
        let takes = argument.get_action().takes_values();
        let value = if takes {
            values.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(" ")
        } else {
            String::new()
        };
        let value = if value.is_empty() { value } else { format!("\\fI{}\\fR", value.replace('-', "\\-")) };
        let text = match argument.get_long() {
            Some(long) => format!("\\fB\\-\\-{}\\fR\\~{value}", long.replace('-', "\\-"))
                .trim_end_matches("\\~")
                .to_owned(),
            None => value,
        };
        let more = if matches!(argument.get_action(), ArgAction::Append) { "\\~...\\&" } else { "" };
        let line =
            if argument.is_required_set() { format!("{text}{more}") } else { format!("[{text}]{more}") };
        writeln!(out, "{line}").expect("a String takes it");
    }
    if command.has_subcommands() {
        writeln!(out, ".br\n.B {}\\fICOMMAND\\fR [\\fIOPTION\\fR ...]", roff(words).replace('\n', " "))
            .expect("a String takes it");
    }
    out.push_str(".ad b\n.hy\n");
}

/// The sections on options as clap_mangen makes them.
fn arguments(command: &Command) -> String {
    let mut made = Vec::new();
    clap_mangen::Man::new(command.clone()).render_options_section(&mut made).expect("a Vec takes it");
    let made = String::from_utf8(made).expect("pages are text");
    // Its head is written once, and values stand without brackets, as in the synopsis.
    let made = made.replace(".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n", "").replace("\\*(Aq", "\\(aq");
    made.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR")
}

fn title(name: &str, section: u8) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".TH \"{}\" \"{section}\" \"\" \"as112d {version}\" \"as112d manual\"\n",
        name.to_uppercase().replace('-', "\\-")
    )
}

fn page(Page { command, description, exit, see_also: others }: &Page) -> (String, String) {
    let mut tree = Cli::command();
    tree.build();
    let mut found = &tree;
    for word in command.split_whitespace() {
        found = found.find_subcommand(word).unwrap_or_else(|| panic!("no command is configured {command}"));
    }
    let words = format!("as112d {command}").trim_end().to_owned();
    let file = words.replace(' ', "-");
    let mut out = title(&file, 8);
    name(&mut out, &file, &found.get_about().expect("every command says what it does").to_string());
    synopsis(&mut out, found, &words);
    heading(&mut out, "DESCRIPTION");
    out += &roff(description);
    out += &arguments(found);
    if found.has_subcommands() {
        heading(&mut out, "COMMANDS");
        for below in found.get_subcommands().filter(|below| below.get_name() != "help") {
            let page = format!("{file}-{}", below.get_name()).replace('-', "\\-");
            let about = below.get_about().expect("it has one").to_string();
            write!(out, ".TP\n.BR {page} (8)\n{}", roff(&about)).expect("a String takes it");
        }
    }
    heading(&mut out, "EXIT STATUS");
    for (code, meaning) in *exit {
        item(&mut out, &code.to_string(), meaning);
    }
    let is_main = command.is_empty();
    if is_main {
        heading(&mut out, "SIGNALS");
        SIGNALS.iter().for_each(|(signal, does)| item(&mut out, signal, does));
        heading(&mut out, "FILES");
        FILES.iter().for_each(|(file, is)| item(&mut out, file, is));
        heading(&mut out, "EXAMPLES");
        let examples = found.get_after_help().expect("there are examples").to_string();
        let examples = examples.lines().skip(1).map(str::trim_start).collect::<Vec<_>>().join("\n");
        write!(out, ".nf\n{}.fi\n", roff(&examples)).expect("a String takes it");
    }
    let main = if is_main { None } else { Some(("as112d", 8)) };
    let others = others.iter().map(|other| (*other, 8));
    see_also(&mut out, others.chain(main).chain([("as112d.toml", 5)]));
    if is_main {
        out.push_str(".PP\nRFC 7534, RFC 7535\n");
    }
    (format!("{file}.8"), out)
}

const CONFIGURATION: &str = "\
`as112d` reads its configuration from the TOML file that `--config` names; there is no default file, and
no key is required. Command-line options override the file. Relative paths start at its directory. Sizes
are written like \"8MiB\", times like \"500ms\", \"5s\" or \"10m\".

`as112d check` reports every mistake with its line and column, `as112d config show --effective --origin`
shows what is in effect. `as112d reload` has a running node read the file again; it names the keys that
need a restart.";

fn key_and_value(line: &'static str) -> (&'static str, &'static str) {
    line.split_once(" = ").expect("a key has a value")
}

/// as112d.toml(5): the reference, as a man page.
fn configuration() -> (String, String) {
    let mut out = title("as112d.toml", 5);
    name(&mut out, "as112d.toml", "configuration file of as112d");
    heading(&mut out, "DESCRIPTION");
    out += &roff(CONFIGURATION);
    let options = options();
    for Section { head, entries } in sections() {
        heading(&mut out, head);
        for (number, Entry { text, keys }) in entries.into_iter().enumerate() {
            if keys.is_empty() {
                out.push_str(if number == 0 { "" } else { ".PP\n" });
            }
            // Keys that share a text stand above it together.
            for (number, (line, _)) in keys.iter().enumerate() {
                let (macro_name, key) = (if number == 0 { "TP" } else { "TQ" }, key_and_value(line).0);
                writeln!(out, ".{macro_name}\n.B {key}").expect("a String takes it");
            }
            out += &roff(text.trim_end());
            for (line, is_default) in &keys {
                let (key, value) = key_and_value(line);
                let shown = if *is_default { "Default" } else { "Example" };
                let option = options.iter().find(|(section, of, _)| section == head && of == key);
                let option = option.map_or_else(String::new, |(.., option)| format!(" Option: `{option}`."));
                let of = if keys.len() > 1 { format!("`{key}`") } else { "Value".to_owned() };
                let facts = format!("{of}: {}. {shown}: {value}.{option}", taken(head, key));
                write!(out, ".br\n{}", roff(&facts)).expect("a String takes it");
            }
        }
    }
    heading(&mut out, "FILES");
    item(&mut out, FILES[0].0, FILES[0].1);
    item(&mut out, "/usr/share/doc/as112d/docs/examples/as112d.toml", "Every key, at its default.");
    heading(&mut out, "EXAMPLES");
    out.push_str(".nf\n[server]\nlisten = [\"as112\"]\n\n[identity]\nnode = \"as112\\-1.example.net\"\n");
    out.push_str("facility = \"Example Internet Exchange\"\nlocation = \"Lisbon, Portugal\"\n.fi\n");
    see_also(&mut out, [("as112d", 8), ("as112d-check", 8), ("as112d-config-show", 8)].into_iter());
    ("as112d.toml.5".to_owned(), out)
}

/// The names of all commands of the tree: "", "run", "config", "config show" ...
fn commands(command: &Command, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        commands(below, format!("{path} {}", below.get_name()).trim_start(), found);
    }
}

#[test]
fn every_command_has_a_page() {
    let mut all = Vec::new();
    commands(&Cli::command(), "", &mut all);
    let pages: Vec<&str> = PAGES.iter().map(|page| page.command).collect();
    assert!(all.len() > 15 && all.iter().all(|command| pages.contains(&command.as_str())), "{all:?}");
    assert_eq!(all.len(), pages.len(), "pages without a command");
}

#[test]
fn man_pages_are_those_of_the_command_line() {
    let mut pages: Vec<(String, String)> = PAGES.iter().map(page).collect();
    pages.push(configuration());
    super::check_folder("packaging/man", &pages);
}

/// groff has nothing to complain of, and every page has the sections that a reader looks for.
#[test]
fn man_pages_are_sound() {
    let mut pages: Vec<(String, String)> = PAGES.iter().map(page).collect();
    pages.push(configuration());
    let directory = tempfile::tempdir().expect("a directory");
    for (file, text) in pages {
        for section in ["NAME", "DESCRIPTION", "SEE ALSO"] {
            assert!(text.contains(&format!(".SH \"{section}\"\n")), "{file} lacks {section}");
        }
        assert!(file.ends_with(".5") || text.contains(".SH \"EXIT STATUS\"\n"), "{file}");
        let path = directory.path().join(&file);
        std::fs::write(&path, text).expect("written");
        let groff = ["-man", "-ww", "-Tutf8", "-z"];
        match std::process::Command::new("groff").args(groff).arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && said.is_empty(), "{file}: {said}");
            }
            Err(_) => skipped("groff is missing (Debian package groff-base)"),
        }
    }
}
