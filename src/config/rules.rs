//! The files of rules, and the policy that they and the configuration make together.

use std::fs;
use std::path::{Path, PathBuf};

use super::Config;
use super::certificates::with_roots;
use crate::limits::{RULE_FILES_MAX, RULES_LEN_MAX};
use crate::policy::upstream::Upstream;
use crate::policy::{Guest, Policy, Series, Source, World};
use crate::problem::Problem;
use crate::sys::files;

/// The end of the name of a file of rules.
const EXTENSION: &str = "rules";

/// A file of rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    /// Where it is, as mistakes call it.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Reads the rules that `config` names, and compiles them with its routes and with what applications take.
/// What is in `series` is counted already, and keeps its place.
///
/// # Errors
/// Every mistake in them; if files cannot be read, those.
pub fn policy(config: &Config, guests: &[Guest], series: Series) -> Result<Policy, Vec<Problem>> {
    let files = config.platform.rules.as_deref().map_or_else(|| Ok(Vec::new()), read_dir)?;
    compile(config, &files, guests, series)
}

/// Compiles these files with the routes of `config` and with what applications take.
///
/// # Errors
/// Every mistake in them.
pub fn compile(
    config: &Config,
    files: &[RuleFile],
    guests: &[Guest],
    series: Series,
) -> Result<Policy, Vec<Problem>> {
    let upstreams = with_roots(&config.upstreams)?;
    let sources: Vec<Source<'_>> =
        files.iter().map(|file| Source { path: &file.path, text: &file.text }).collect();
    Policy::compile(&sources, &config.routes, &world(config, &upstreams, guests, series))
}

/// What rules may speak of.
pub(super) fn world<'a>(
    config: &'a Config,
    upstreams: &'a [Upstream],
    guests: &'a [Guest],
    series: Series,
) -> World<'a> {
    World {
        colo: &config.platform.colo,
        node: &config.identity.node,
        listeners: &config.listen,
        upstreams,
        guests,
        resolver: config.resolver.as_ref().map(|resolver| resolver.upstream(config.platform.query_timeout)),
        series,
        has_databases: !config.databases.is_empty(),
    }
}

/// The files of rules in a directory, in the order of their names.
fn read_dir(dir: &Path) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let problem = |message: String| vec![Problem { place: dir.display().to_string(), message }];
    let cannot = |error| problem(format!("cannot be read ({error}); [platform] rules names it"));
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == EXTENSION) && !is_hidden {
            if paths.len() == RULE_FILES_MAX {
                return Err(problem(format!("has more than {RULE_FILES_MAX} files of rules; remove some")));
            }
            paths.push(path);
        }
    }
    paths.sort();
    read(&paths)
}

/// Reads files of rules.
///
/// # Errors
/// Each that cannot be read, and what is too long together.
pub fn read(paths: &[PathBuf]) -> Result<Vec<RuleFile>, Vec<Problem>> {
    let (mut files, mut problems, mut left) = (Vec::new(), Vec::new(), RULES_LEN_MAX);
    for path in paths {
        match read_file(path, left) {
            Ok(file) => {
                left -= file.text.len() as u64;
                files.push(file);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(problems) }
}

fn read_file(path: &Path, len_max: u64) -> Result<RuleFile, Problem> {
    let place = path.display().to_string();
    let bytes = files::read(path, len_max)
        .map_err(|error| Problem { place: place.clone(), message: format!("cannot be read: {error}") })?;
    if bytes.len() as u64 > len_max {
        let message = format!("is too long: all files of rules may have {RULES_LEN_MAX} bytes together");
        return Err(Problem { place, message });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|&byte| byte == b'\n').count();
        Problem {
            place: format!("{place}:{line}"),
            message: "is not UTF-8 text; save it as UTF-8".to_owned(),
        }
    })?;
    Ok(RuleFile { path: place, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names_and_what_editors_leave_is_not() {
        let dir = dir(&[
            ("20-second.rules", b"second"),
            ("10-first.rules", b"first"),
            (".10-first.rules.swp", b"no"),
            (".#30.rules", b"no"),
            ("10-first.rules~", b"no"),
            ("README", b"no"),
        ]);
        let read: Vec<_> = read_dir(dir.path()).unwrap().into_iter().map(|file| file.text).collect();
        assert_eq!(read, ["first", "second"]);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        let messages = |dir: &Path| {
            let problems = read_dir(dir).unwrap_err();
            problems.into_iter().map(|problem| problem.to_string()).collect::<Vec<_>>()
        };
        let absent = messages(Path::new("/nowhere/rules.d"));
        assert!(absent[0].starts_with("/nowhere/rules.d: cannot be read (No such file"), "{absent:?}");
        let two = dir(&[("a.rules", b"any\n\xff"), ("b.rules", b"\xff"), ("c.rules", b"any drop")]);
        let found = messages(two.path());
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("a.rules:2: is not UTF-8") && found[1].contains("b.rules:1: "),
            "{found:?}"
        );
    }

    #[test]
    fn files_have_a_bound_in_number_and_in_bytes() {
        let many = tempfile::tempdir().unwrap();
        for n in 0..=RULE_FILES_MAX {
            fs::write(many.path().join(format!("{n}.rules")), "").unwrap();
        }
        assert!(read_dir(many.path()).unwrap_err()[0].message.starts_with("has more than 256 files"));
        let long = dir(&[("a.rules", b"# one\n")]);
        let file = fs::File::create(long.path().join("b.rules")).unwrap();
        file.set_len(RULES_LEN_MAX - 6).unwrap();
        assert_eq!(read_dir(long.path()).unwrap().len(), 2);
        file.set_len(RULES_LEN_MAX - 5).unwrap();
        assert!(read_dir(long.path()).unwrap_err()[0].to_string().contains("b.rules: is too long: all"));
    }
}
