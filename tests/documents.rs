//! What the documents promise: links lead somewhere, commands and options exist, and the program prints what
//! is quoted. And how they say it.

mod common;
#[path = "common/english.rs"]
mod english;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use as112d::cli::Cli;
use clap::{Command, CommandFactory as _};
use common::daemon::{Terminal, free_port};

/// Two screens, at 50 lines each.
const README_LINES_MAX: usize = 100;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, with its text.
fn documents() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["", "docs", "tuning", "loadtest"] {
        for entry in fs::read_dir(root().join(folder)).expect("it is there") {
            let path = entry.expect("it can be read").path();
            if path.extension() == Some("md".as_ref()) {
                found.push((path.clone(), fs::read_to_string(&path).expect("documents are text")));
            }
        }
    }
    assert!(found.len() > 8, "{found:?}");
    found
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut dead = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.starts_with("http") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let is_there = target.exists()
                && (heading.is_empty()
                    || fs::read_to_string(&target).is_ok_and(|text| {
                        text.lines().any(|line| line.starts_with('#') && anchor(line) == heading)
                    }));
            if !is_there {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(seen > 20, "links are seen: {seen}");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

/// Command lines of ours in documents: in code, from `as112d` to what ends them.
fn command_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_block = line.len() > 3 && line != "```toml";
            continue;
        }
        let pieces: Vec<&str> =
            if is_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces {
            for command in piece.split([';', '&', '|']) {
                let words = command.trim().trim_start_matches(['$', '#', ' ']);
                if let Some(rest) = words.strip_prefix("as112d ") {
                    // Comments stand behind two spaces and a #.
                    lines.push(rest.split(" #").next().unwrap_or_default().trim().to_owned());
                }
            }
        }
    }
    lines
}

/// What is wrong with a command line, by the tree.
fn wrong(line: &str) -> Option<String> {
    let tree = Cli::command();
    let mut command: &Command = &tree;
    for word in line.split_whitespace() {
        if let Some(option) = word.strip_prefix("--") {
            let name = option.split('=').next().unwrap_or_default();
            let is_known = name == "help"
                || command.get_arguments().any(|argument| argument.get_long() == Some(name))
                || name == "version" && command.get_name() == tree.get_name();
            if !is_known {
                return Some(format!("no option --{name}"));
            }
        } else if word.chars().all(|c| c.is_ascii_lowercase()) && command.get_subcommands().next().is_some() {
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None => return Some(format!("no command {word}")),
            }
        }
    }
    None
}

#[test]
fn commands_and_options_exist() {
    let mut mistakes = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in documents() {
        for line in command_lines(&text).into_iter().filter(|line| !line.starts_with(char::is_numeric)) {
            if let Some(message) = wrong(&line) {
                mistakes.push(format!("{}: as112d {line}: {message}", path.display()));
            }
            seen.extend(line.split(' ').next().map(str::to_owned));
        }
    }
    for command in ["doctor", "check", "config", "reload", "drain"] {
        assert!(seen.contains(command), "{command} is told of: {seen:?}");
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert_eq!(wrong("check --no-such"), Some("no option --no-such".to_owned()));
    assert_eq!(wrong("chekc"), Some("no command chekc".to_owned()));
}

#[test]
fn the_readme_fits_two_screens() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is there");
    assert!(readme.lines().count() <= README_LINES_MAX, "{}", readme.lines().count());
}

/// What people read besides the documents: comments of units, examples and settings, alerts, the dashboard.
const READ: [&str; 4] = ["docs", "packaging/systemd", "packaging/container", "tuning"];

/// Made from texts in src/, which are to be read there.
const FROM_THE_CODE: [&str; 1] = ["docs/metrics.md"];

/// Every text file in a directory and those below it.
fn texts(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            found.extend(texts(&path));
        } else if path.extension() != Some("png".as_ref()) {
            found.push((path.clone(), fs::read_to_string(&path).expect("it is text")));
        }
    }
    found
}

#[test]
fn the_english_of_the_documents_is_the_operators() {
    let more = ["tests/faults/README.md", "loadtest/queries/README.md", "packaging/as112d.toml"];
    let mut read = documents();
    read.extend(READ.iter().flat_map(|directory| texts(&root().join(directory))));
    read.extend(more.map(|path| (root().join(path), fs::read_to_string(root().join(path)).expect(path))));
    read.sort_unstable();
    read.dedup();
    assert!(read.len() > 40, "{}", read.len());
    let mut found = Vec::new();
    for (path, text) in read {
        let path = path.strip_prefix(root()).expect("it is below the root");
        if FROM_THE_CODE.iter().any(|made| path == Path::new(made)) {
            continue;
        }
        for (line, words, instead) in english::habits(&text) {
            found.push(format!("{}:{line}: \"{words}\": {instead}", path.display()));
        }
    }
    assert!(found.is_empty(), "say it as an operator would:\n{}", found.join("\n"));
}

#[test]
fn habits_are_found_and_right_uses_are_not() {
    let words =
        |text| english::habits(text).into_iter().map(|(line, words, _)| (line, words)).collect::<Vec<_>>();
    assert_eq!(words("# x\n# `as113` is\n# no address."), [(2, "is no")]);
    assert_eq!(words("There is no address; this is nothing, and \"Folder\" is one"), [(1, "folder")]);
    assert_eq!(words("It ran behind it, behind a router."), [(1, "behind")]);
    assert_eq!(words("renewal, amend, discard, a cardinal, look-upward, anew-ish"), []);
    assert_eq!(words("a result, so that it ends; REFUSED, so that the client stops"), [(1, ", so that")]);
    for english::Habit { words, .. } in english::HABITS {
        for word in *words {
            let text = format!("x {word}5 {word} y");
            assert!(!english::habits(&text).is_empty(), "{word} is never found");
        }
    }
}

/// What the program prints in the directory of an example.
fn printed(example: &str, arguments: &[&str]) -> String {
    let directory = root().join("docs/examples/platform").join(example);
    let output = std::process::Command::new(common::daemon::program())
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{example}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_examples_of_the_platform_are_valid_and_do_what_its_page_says() {
    let checked = |example: &str, rules: &[&str]| {
        let said = printed(example, &["check", "--config", "as112d.toml"]);
        let of_rules: Vec<&str> = said.lines().filter(|line| line.starts_with("rule ")).collect();
        assert_eq!(of_rules.len(), rules.len(), "{said}");
        for (line, rule) in of_rules.iter().zip(rules) {
            assert!(line.contains(rule), "{line}: {rule}");
        }
    };
    checked(
        "forward",
        &["\"corp\": phase route, listeners 8-9, 2 names, 4 networks, forward corp, on a worker"],
    );
    checked(
        "resolver",
        &[
            "\"private\": phase route, listeners 8-9, 20 names, 2 networks, native, decided on the shard",
            "\"resolver\": phase route, listeners 8-9, 4 networks, resolve, on a worker",
            "\"strangers\": phase route, listeners 8-9, 2 networks, answer REFUSED, decided on the shard",
        ],
    );
    checked(
        "divert",
        &[
            "\"shadow\": phase request, listeners 0-7, divert 192.0.2.112:53",
            "\"real\": phase post-cache, listeners 0-7, 19 names, dry-run, would be forward 192.0.2.112:53",
        ],
    );

    let page = fs::read_to_string(root().join("docs/platform.md")).expect("it is there");
    let block = |begin: &str| {
        let (_, rest) = page.split_once(begin).unwrap_or_else(|| panic!("a block {begin}"));
        rest.split_once("```").expect("its end").0
    };
    let example =
        fs::read_to_string(root().join("docs/examples/platform/forward/as112d.toml")).expect("text");
    for line in block("```toml\n").lines().filter(|line| !line.is_empty()) {
        assert!(example.lines().any(|of_example| of_example == line), "{line}");
    }
    let why = |from: &str, to: &str, name: &str| {
        let arguments = ["--why", "--from", from, "--to", to, "--config", "as112d.toml"];
        printed("forward", &[&["query", name, "A"][..], &arguments].concat())
    };
    let way = why("192.0.2.9", "192.0.2.53", "www.corp.example");
    assert_eq!(way.trim(), format!(";; www{}", block("```\n;; www")).trim());
    // Whom the route is not for gets what the node knows.
    let way = why("198.51.100.9", "192.0.2.53", "www.corp.example");
    assert!(way.contains("native") && way.contains("REFUSED"), "{way}");
}

/// A line of the start without what is of one host: numbers, names, and what the kernel has.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }) {
        if c != '0' || !shape.ends_with('0') {
            shape.push(c);
        }
    }
    for (begin, end) in [(" as ", ", serving"), ("user ", ","), ("landlock ", ","), ("datapath: ", "")] {
        if let Some((before, rest)) = shape.split_once(begin)
            && let Some(at) = rest.find(end)
        {
            let rest = if end.is_empty() { "" } else { &rest[at..] };
            shape = format!("{before}{begin}?{rest}");
        }
    }
    shape
}

#[test]
fn the_readme_quotes_the_start() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is there");
    let quoted: Vec<&str> = readme
        .lines()
        .skip_while(|line| !(line.starts_with("as112d ") && line.contains(", serving ")))
        .take_while(|line| *line != "```")
        .collect();
    let folder = common::folder();
    let control = folder.path().join("control").display().to_string();
    let port = free_port();
    let (v4, v6) = (format!("127.0.0.1:{port}"), format!("[::1]:{port}"));
    let line = ["--listen", &v4, "--listen", &v6, "--http", "127.0.0.1:0", "--control", &control];
    let terminal = Terminal::start(&line, &control);
    let said: Vec<String> = terminal.lines_until("try: ");
    // A host may be so small, or so odd, that it is told so.
    let said = said.iter().filter(|line| !line.starts_with("warning: "));
    let said: Vec<String> = said.map(|line| shape(&line.replace(&control, "/run/as112d/control"))).collect();
    assert_eq!(said, quoted.iter().map(|line| shape(line)).collect::<Vec<_>>());
}
