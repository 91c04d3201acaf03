//! A directory that becomes a release: its files, what they are for, and what they hash to.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use as112d::limits::RELEASE_FILE_LEN_MAX;
use as112d::problem::Problem;
use as112d::release::manifest::{CONFIG, Kind};
use as112d::release::{Digest, Hasher, RelPath, Scope};

use crate::limits::{COPY_LEN, DEPTH_MAX};
use crate::settings;

/// What becomes a release.
#[derive(Debug, Default)]
pub struct Draft {
    /// Its files, by path.
    pub files: Vec<as112d::release::File>,
    /// What of the directory does not belong to it.
    pub left_out: Vec<String>,
    /// Where it was read from.
    pub root: PathBuf,
}

impl Draft {
    /// Reads a directory. What begins with a dot, documents (`*.md`) and the publisher's settings are left
    /// out.
    ///
    /// # Errors
    /// Everything in it that cannot be part of a release.
    pub fn read(root: &Path) -> Result<Self, Vec<Problem>> {
        let mut draft = Self { root: root.to_path_buf(), ..Self::default() };
        let mut problems = Vec::new();
        draft.folder("", 0, &mut problems);
        draft.files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        draft.left_out.sort_unstable();
        if draft.files.is_empty() && problems.is_empty() {
            let message = format!(
                "there is nothing in it that could be published; a release has a {CONFIG}, zones, maps, \
                 rules or applications"
            );
            problems.push(Problem { place: root.display().to_string(), message });
        }
        if problems.is_empty() { Ok(draft) } else { Err(problems) }
    }

    fn folder(&mut self, below: &str, depth: usize, problems: &mut Vec<Problem>) {
        let folder = self.root.join(below);
        let refusal = |path: &Path, message: String| Problem { place: path.display().to_string(), message };
        if depth > DEPTH_MAX {
            return problems
                .push(refusal(&folder, format!("lies below {DEPTH_MAX} directories; lay it higher")));
        }
        let entries = match fs::read_dir(&folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return problems.push(refusal(&folder, error.to_string())),
        };
        for entry in entries {
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                problems.push(refusal(&path, "has a name that is not UTF-8; rename it".to_owned()));
                continue;
            };
            let inside = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if name.starts_with('.') || name.ends_with(".md") || inside == settings::FILE {
                self.left_out.push(inside);
                continue;
            }
            let file = match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    self.folder(&inside, depth + 1, problems);
                    continue;
                }
                Ok(kind) if kind.is_file() => read(&path, &inside),
                Ok(_) => Err("is a link or a device; a release has files alone: put a copy there".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            match file {
                Ok(file) => self.files.push(file),
                Err(message) => problems.push(refusal(&path, message)),
            }
        }
    }

    /// The colos and the nodes that it has files for.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes: Vec<Scope> = self.files.iter().map(|file| file.scope.clone()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }

    /// Bytes of all files.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.files.iter().map(|file| file.len).sum()
    }

    /// Whether there are no files.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Where a file of it lies.
    #[must_use]
    pub fn place(&self, path: &RelPath) -> PathBuf {
        self.root.join(path)
    }
}

fn read(path: &Path, inside: &str) -> Result<as112d::release::File, String> {
    let rel: RelPath = inside.parse().map_err(|refused: as112d::release::Refused| refused.words)?;
    let scope = rel.scope().map_err(|refused| refused.words)?;
    let (len, sha256) = hash(path).map_err(|error| error.to_string())?;
    if len > RELEASE_FILE_LEN_MAX {
        return Err(format!("has {len} bytes; a node takes at most {RELEASE_FILE_LEN_MAX}"));
    }
    Ok(as112d::release::File { kind: kind(&rel, &scope), path: rel, len, sha256, scope })
}

/// The length and the hash of a file.
///
/// # Errors
/// It cannot be read.
pub fn hash(path: &Path) -> std::io::Result<(u64, Digest)> {
    let (mut file, mut hasher, mut len) = (File::open(path)?, Hasher::new(), 0);
    let mut bytes = vec![0; COPY_LEN];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok((len, hasher.finish())),
            read => {
                hasher.update(&bytes[..read]);
                len += read as u64;
            }
        }
    }
}

/// What a file is for, by its name and where it lies.
fn kind(path: &RelPath, scope: &Scope) -> Kind {
    let below: Vec<&str> = path.parts().skip(if *scope == Scope::Fleet { 0 } else { 2 }).collect();
    let name = below.last().copied().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let lies_in = |word: &str| below.len() > 1 && below[0].split('.').next() == Some(word);
    match extension {
        _ if below == [CONFIG] => Kind::Config,
        _ if lies_in("apps") => Kind::App,
        "zone" => Kind::Zone,
        "pack" => Kind::Pack,
        "rules" => Kind::Rules,
        "wasm" => Kind::App,
        _ if lies_in("packs") => Kind::Pack,
        _ if lies_in("zones") => Kind::Zone,
        _ => Kind::Map,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn files_are_for_whom_they_lie_and_what_they_are_called() {
        let files = [
            ("config.toml", Kind::Config, "fleet"),
            ("colo/ams/config.toml", Kind::Config, "colo/ams"),
            ("node/ams1/config.toml", Kind::Config, "node/ams1"),
            ("node/ams1/x.zone", Kind::Zone, "node/ams1"),
            ("zones/example.com.zone", Kind::Zone, "fleet"),
            ("zones/part.inc", Kind::Zone, "fleet"),
            ("packs/many", Kind::Pack, "fleet"),
            ("rules.d/10-a.rules", Kind::Rules, "fleet"),
            ("apps.d/block/config.toml", Kind::App, "fleet"),
            ("apps.d/block/list.txt", Kind::App, "fleet"),
            ("a.wasm", Kind::App, "fleet"),
            ("geo.mmdb", Kind::Map, "fleet"),
        ];
        let tree = folder(&files.map(|(name, ..)| (name, name)));
        let draft = Draft::read(tree.path()).unwrap();
        assert_eq!(draft.files.len(), files.len());
        for (name, kind, scope) in files {
            let file = draft.files.iter().find(|file| file.path.as_str() == name).unwrap();
            assert_eq!((file.kind, file.scope.to_string().as_str()), (kind, scope), "{name}");
            assert_eq!((file.len, file.sha256), (name.len() as u64, Digest::of(name.as_bytes())));
        }
        assert!(draft.files.is_sorted_by(|one, other| one.path < other.path));
        let scopes: Vec<String> = draft.scopes().iter().map(ToString::to_string).collect();
        assert_eq!(scopes, ["fleet", "colo/ams", "node/ams1"]);
        assert_eq!(draft.len(), files.iter().map(|(name, ..)| name.len() as u64).sum::<u64>());
    }

    #[test]
    fn what_is_not_for_nodes_is_left_out() {
        let tree = folder(&[
            (".git/config", ""),
            ("README.md", ""),
            ("fleet.toml", ""),
            ("zones/.x.swp", ""),
            ("a", ""),
        ]);
        let draft = Draft::read(tree.path()).unwrap();
        assert_eq!(draft.files.len(), 1);
        assert_eq!(draft.left_out, [".git", "README.md", "fleet.toml", "zones/.x.swp"]);
    }

    #[test]
    fn what_cannot_be_part_of_it_has_its_place() {
        let tree = folder(&[("a b", ""), ("colo/x", ""), ("node/A/config.toml", ""), ("fine", "")]);
        symlink("/etc/passwd", tree.path().join("link")).unwrap();
        let mut problems: Vec<String> =
            Draft::read(tree.path()).unwrap_err().iter().map(ToString::to_string).collect();
        problems.sort_unstable();
        let found = |name: &str, words: &str| {
            problems.iter().any(|problem| problem.contains(&format!("{name}: ")) && problem.contains(words))
        };
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(found("/a b", "is not a path in a release"), "{problems:?}");
        assert!(found("/link", "a link or a device"), "{problems:?}");
        assert!(found("/colo/x", "directories of a name"), "{problems:?}");
        assert!(found("/node/A/config.toml", "is not a name"), "{problems:?}");
        let empty = folder(&[("README.md", "")]);
        assert!(Draft::read(empty.path()).unwrap_err()[0].message.contains("nothing in it"));
        assert!(Draft::read(Path::new("/nowhere")).unwrap_err()[0].message.contains("No such file"));
    }
}
