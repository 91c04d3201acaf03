//! The house rules that a machine can keep: imports go downward, unsafe code has one address, files and
//! functions stay short.

mod circles;
#[path = "../common/english.rs"]
mod english;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 80;
const COLUMNS_MAX: usize = 110;

/// The floor of each room of src/. A room calls rooms on lower floors, and itself.
const FLOORS: [(&str, u8); 27] = [
    ("sys", 1),
    ("dns", 1),
    ("stats", 2),
    ("log", 2),
    ("nets", 2),
    ("zone", 2),
    ("answer", 3),
    ("policy", 3),
    ("tailor", 3),
    ("taps", 3),
    ("announce", 3),
    ("serve", 4),
    ("board", 4),
    ("learn", 4),
    ("pops", 4),
    ("net", 5),
    ("work", 5),
    ("xdp", 5),
    ("history", 5),
    ("report", 6),
    ("config", 7),
    ("web", 8),
    ("control", 8),
    ("cli", 8),
    ("daemon", 9),
    ("commands", 10),
    ("main", 11),
];

/// What every room may use.
const OPEN: [&str; 3] = ["limits", "problem", "dns::consts"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder that can be read").path();
            if path.is_dir() && path.file_name() != Some("target".as_ref()) {
                folders.push(path);
            } else if path.extension() == Some("rs".as_ref()) {
                found.push((
                    path.strip_prefix(root()).expect("it is below the root").to_owned(),
                    fs::read_to_string(&path).expect("source files are text"),
                ));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds Rust files");
    found
}

fn everywhere() -> Vec<(PathBuf, String)> {
    ["src", "tests", "bench", "loadtest", "fuzz", "guests"].into_iter().flat_map(sources).collect()
}

/// The room of a file of src/, and its floor.
fn room(path: &Path) -> Option<(&str, u8)> {
    let name = path.components().nth(1)?.as_os_str().to_str()?.trim_end_matches(".rs");
    FLOORS.into_iter().find(|(room, _)| *room == name)
}

/// The paths behind `crate::` (or `as112d::` in the binary) in a line, as far as the second segment. The
/// groups of a `use crate::{...}` would escape this, so they are refused.
fn imports(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let after =
        |marker| code.match_indices(marker).map(|(at, marker): (usize, &str)| &code[at + marker.len()..]);
    after("crate::").chain(after("as112d::")).collect()
}

#[test]
fn imports_go_downward() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in sources("src") {
        let Some((home, floor)) = room(&path) else {
            assert!(
                ["src/lib.rs", "src/limits", "src/limits.rs", "src/problem.rs"]
                    .iter()
                    .any(|open| path.starts_with(open)),
                "{path:?} has no floor"
            );
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for import in imports(line) {
                seen += 1;
                let target =
                    import.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                let is_open = OPEN.iter().any(|open| import.starts_with(open));
                let is_below = FLOORS.iter().any(|(room, below)| *room == target && *below < floor);
                if !(is_open || target == home || is_below) {
                    wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
                }
            }
        }
    }
    assert!(seen > 50, "the imports are seen");
    assert!(wrong.is_empty(), "imports that do not go downward:\n{}", wrong.join("\n"));
}

#[test]
fn files_import_each_other_in_one_direction() {
    let mut sources = sources("src");
    sources.retain(|(path, _)| !path.iter().any(|part| part == "tests"));
    let imports = circles::imports(sources.iter().map(|(path, text)| (path.as_path(), text.as_str())));
    assert!(imports.values().flatten().count() > 300, "imports are seen");
    let circles = circles::circles(&imports);
    assert!(circles.is_empty(), "files that import each other in a circle: {circles:#?}");
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    let is_unsafe = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code)"]
            .iter()
            .any(|a| code.contains(a))
    };
    let (within, outside): (Vec<_>, Vec<_>) = sources("src")
        .into_iter()
        .filter(|(_, text)| text.lines().any(is_unsafe))
        .map(|(path, _)| path)
        .partition(|path| path.starts_with("src/sys"));
    assert!(!within.is_empty(), "unsafe code is recognised");
    assert!(outside.is_empty(), "unsafe code outside of src/sys: {outside:?}");
}

#[test]
fn files_lines_and_functions_are_short() {
    let mut long = Vec::new();
    for (path, text) in everywhere() {
        let path = path.display();
        let lines: Vec<&str> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            long.push(format!("{path}: {} lines", lines.len()));
        }
        for (number, line) in lines.iter().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                long.push(format!("{path}:{}: {} columns", number + 1, line.chars().count()));
            }
            let function_lines = function_len(&lines[number..]);
            if function_lines > FUNCTION_LINES_MAX {
                long.push(format!("{path}:{}: a function of {function_lines} lines", number + 1));
            }
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}

/// Lines of the function that begins with the first line, 0 if none does. The formatter puts the brace that
/// ends it below the line that begins it.
fn function_len(lines: &[&str]) -> usize {
    let first = lines[0];
    let code = first.trim_start();
    let indent = &first[..first.len() - code.len()];
    let visible = ["pub ", "pub(super) ", "pub(crate) "].iter().find_map(|start| code.strip_prefix(start));
    let is_function = ["fn ", "unsafe fn ", "const fn ", "extern "]
        .iter()
        .any(|start| visible.unwrap_or(code).starts_with(start));
    if !is_function || first.ends_with(';') || first.ends_with('}') {
        return 0;
    }
    let end = format!("{indent}}}");
    lines.iter().position(|line| *line == end).map_or(0, |last| last + 1)
}

#[test]
fn the_measure_of_functions_measures() {
    for first in ["    fn f(", "    pub fn f(", "    pub(super) const fn f(", "    pub(crate) unsafe fn f("] {
        let function = |lines: usize| {
            let mut text = vec![first, "        a: u8,", "    ) -> u8 {"];
            text.resize(lines - 1, "        a");
            text.extend(["    }", "}"]);
            text
        };
        assert_eq!(function_len(&function(10)), 10, "{first}");
        assert_eq!(function_len(&function(90)), 90, "{first}");
    }
    assert_eq!(function_len(&["let f = 1;", "}"]), 0);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let words = ["/work/", "/root/", "/tmp/", "TODO", "FIXME", "XXX"];
    let mut found = Vec::new();
    for (path, text) in everywhere().into_iter().filter(|(path, _)| !path.starts_with("tests/tidy")) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "paths of a machine, or work left over:\n{}", found.join("\n"));
}

/// Where a habit is right in src/: the words around it, and why.
const RIGHT_IN_ENGLISH: [(&str, &str); 4] = [
    ("is no longer", "the idiom of time"),
    ("are no longer", "the idiom of time"),
    ("A ring of so many sockets", "that many, and not one in so many"),
    ("in, so that slot must not", "that slot is the subject"),
];

/// What people read of a file of src/: its doc comments and string literals, each on its line. Names in
/// braces and in backquotes are the program's and not prose.
fn prose(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut said = String::new();
    let mut rest = text.char_indices().peekable();
    let (mut in_literal, mut in_name) = (false, false);
    while let Some((at, c)) = rest.next() {
        let ahead = &text[at..];
        match c {
            '\n' => {
                if !in_literal
                    && !ahead.trim_start().starts_with("///")
                    && !ahead.trim_start().starts_with("//!")
                {
                    said.push_str(" | ");
                }
                said.push('\n');
            }
            '"' => {
                (in_literal, in_name) = (!in_literal, false);
                said.push_str(" | ");
            }
            '\\' if in_literal => {
                let escaped = rest.next();
                said.extend(escaped.filter(|(_, escaped)| *escaped == '\n').map(|_| '\n'));
            }
            '{' | '}' if in_literal => {
                in_name = c == '{';
                said.push('_');
            }
            _ if in_name => {}
            _ if in_literal => said.push(c),
            '\'' if ahead.starts_with("'\"'") => {
                rest.next();
            }
            '/' if ahead.starts_with("//") => {
                let line = ahead.lines().next().unwrap_or_default();
                let names = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
                if line.starts_with("///") || line.starts_with("//!") {
                    said.push_str(&names);
                }
                while rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            _ => {}
        }
    }
    assert!(!in_literal, "a literal that does not end: {said}");
    said
}

#[test]
fn the_english_of_the_program_is_the_operators() {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for (path, text) in sources("src") {
        let is_test = path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("tests"));
        if is_test {
            continue;
        }
        let said = prose(&text);
        for (number, words, instead) in english::habits(&said) {
            let line = said.lines().nth(number - 1).unwrap_or_default();
            let right = RIGHT_IN_ENGLISH.iter().position(|(around, _)| line.contains(around));
            match right {
                Some(right) => drop(used.insert(right)),
                None => found.push(format!("{}:{number}: \"{words}\": {instead}", path.display())),
            }
        }
    }
    assert!(found.is_empty(), "say it as an operator would:\n{}", found.join("\n"));
    assert_eq!(used.len(), RIGHT_IN_ENGLISH.len(), "exceptions that are needed no longer: {used:?}");
}

#[test]
fn prose_is_what_people_read() {
    let said = prose(
        "//! A folder.\n\nconst F: &str = \"is \\\n    no {folder}\"; // behind\n\
         /// `anew` mend\nlet c = '\"'; let behind = \"anew\";\n",
    );
    let found: Vec<_> = english::habits(&said).into_iter().map(|(line, words, _)| (line, words)).collect();
    assert_eq!(found, [(1, "folder"), (3, "is no"), (5, "mend"), (6, "anew")], "{said}");
}
