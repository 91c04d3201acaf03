//! Files of src/ do not import each other in a circle. What a `mod.rs` re-exports is the face of its room and
//! does not count, nor does what tests import.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The path of a module below the crate.
type Module = Vec<String>;

/// For each module of `sources` those that its code names.
pub(crate) fn imports<'a>(
    sources: impl Iterator<Item = (&'a Path, &'a str)>,
) -> BTreeMap<Module, BTreeSet<Module>> {
    let texts: BTreeMap<Module, String> =
        sources.map(|(path, text)| (module(path), without_tests_and_comments(text))).collect();
    let edges = |(module, text): (&Module, &String)| {
        let named = names(text, module).into_iter();
        // As long as it is no module, the last segment is an item of one.
        let file = |mut name: Module| {
            while !name.is_empty() && !texts.contains_key(&name) {
                name.pop();
            }
            name
        };
        let targets = named.map(file).filter(|target| !target.is_empty() && target != module).collect();
        (module.clone(), targets)
    };
    texts.iter().map(edges).collect()
}

/// Every circle, as the modules on it.
pub(crate) fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Vec<String>> {
    let reached = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(module) = next.pop() {
            for target in imports.get(module).into_iter().flatten() {
                if seen.insert(target) {
                    next.push(target);
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reached(module))).collect();
    let circle = |module: &&Module| {
        let back = |other: &&&Module| reach.get(*other).is_some_and(|there| there.contains(*module));
        reach[*module].iter().filter(back).map(|module| module.join("/")).collect::<Vec<_>>()
    };
    imports.keys().filter(|module| reach[module].contains(module)).map(|module| circle(&module)).collect()
}

fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let mut segments: Module = path.iter().skip(1).map(|name| name.to_string_lossy().into_owned()).collect();
    if segments.last().is_some_and(|last| last == "mod") {
        segments.pop();
    }
    segments
}

/// The code of a file as far as its first module of tests.
fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\n").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// The modules and items that `text`, the code of `module`, names.
fn names(text: &str, module: &Module) -> Vec<Module> {
    let children: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("mod ") || line.starts_with("pub"))
        .filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'))
        .collect();
    let mut found = Vec::new();
    let mut code = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let line = &rest[rest[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let Some(len) = rest[at..].find(';') else { break };
        if line.trim().is_empty() {
            expand(&rest[at + 4..at + len], &mut Vec::new(), &mut found);
            code.push_str(&rest[..at]);
        } else if !line.trim().starts_with("pub") {
            code.push_str(&rest[..at + len]);
        }
        rest = &rest[at + len..];
    }
    code.push_str(rest);
    found.extend(paths(&code));
    found.into_iter().filter_map(|path| resolve(&path, module, &children)).collect()
}

/// The paths of a tree of imports.
fn expand(tree: &str, before: &mut Vec<String>, found: &mut Vec<Module>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let path =
            tree.split(" as ").next().unwrap_or_default().split("::").map(|name| name.trim().to_owned());
        found.push(before.iter().cloned().chain(path).collect());
        return;
    };
    let known = before.len();
    before.extend(head.split("::").filter(|name| !name.trim().is_empty()).map(|name| name.trim().to_owned()));
    let (mut depth, mut begin) = (0_usize, 0);
    let group = group.strip_suffix('}').unwrap_or(group);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[begin..at].trim().is_empty() {
                    expand(&group[begin..at], before, found);
                }
                begin = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
    before.truncate(known);
}

/// All that looks like a path in code.
fn paths(code: &str) -> Vec<Module> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_path(c) && c != '.');
    let whole = words.filter(|word| word.contains("::") && !word.contains('.') && !word.starts_with(':'));
    whole.map(|word| word.split("::").map(str::to_owned).collect()).collect()
}

/// A path as one from the root of the crate, if it is one of ours.
fn resolve(path: &[String], module: &Module, children: &[&str]) -> Option<Module> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            Some(module[..module.len().checked_sub(ups)?].iter().chain(&path[ups..]).cloned().collect())
        }
        child if children.contains(&child) => Some(module.iter().chain(path).cloned().collect()),
        _ => None,
    }
}

#[test]
fn circles_are_seen() {
    let sources = [
        ("src/a/mod.rs", "mod b;\nmod c;\npub use b::X;\npub struct A;\n"),
        ("src/a/b.rs", "use super::{A, c::{self, D}};\n"),
        ("src/a/c.rs", "fn f() { crate::a::b::g(); }\n#[cfg(test)]\nmod tests { use crate::e::E; }\n"),
        ("src/d.rs", "mod f;\nfn g() { f::h() }\n"),
        ("src/d/f.rs", "use super::g;\n// use crate::e;\n"),
        ("src/e.rs", "use std::io;\nuse crate::a::A;\n"),
    ];
    let found = circles(&imports(sources.iter().map(|(path, text)| (Path::new(path), *text))));
    assert_eq!(found, BTreeSet::from([vec!["a/b".into(), "a/c".into()], vec!["d".into(), "d/f".into()]]));
}
