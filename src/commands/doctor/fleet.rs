//! The directory of releases: the node reads it, and must not be able to write to it. Then whoever takes over
//! the process that answers cannot prepare what the next one reads.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::config::Config;
use crate::config::fleet::Fleet;
use crate::limits::RELEASE_FOLDER_LOOKED_AT_MAX;
use crate::sys::confine;
use crate::sys::user::{self, own_uid};

/// What the directory of releases is like, if the node belongs to a fleet.
pub(super) fn folder(config: &Config) -> Option<Finding> {
    let fleet = config.fleet.as_ref()?;
    let ids = confine::user_of(config.user.as_deref()).and_then(|name| user::ids(name).ok());
    Some(of(fleet, &Reader::new(ids)))
}

/// Who reads it.
struct Reader {
    uid: u32,
    gid: Option<u32>,
}

impl Reader {
    /// Who a node runs as that drops its privileges; else whoever asks.
    fn new(ids: Option<(u32, u32)>) -> Self {
        ids.map_or_else(|| Self { uid: own_uid(), gid: None }, |(uid, gid)| Self { uid, gid: Some(gid) })
    }

    fn may(&self, found: &Metadata, bit: u32) -> bool {
        let mode = found.mode();
        if found.uid() == self.uid {
            return mode >> 6 & bit != 0;
        }
        if self.gid == Some(found.gid()) { mode >> 3 & bit != 0 } else { mode & bit != 0 }
    }
}

fn of(fleet: &Fleet, reader: &Reader) -> Finding {
    let dir = &fleet.dir;
    if !dir.is_dir() {
        let text = format!("{} is not there yet; the agent makes it (as112d-fleet agent)", dir.display());
        return Finding::note("releases", text);
    }
    let (mut paths, mut at) = (vec![dir.clone()], 0);
    while at < paths.len() {
        let path = paths[at].clone();
        at += 1;
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_symlink() {
            continue;
        }
        if let Some(text) = wrong(&path, &found, reader) {
            return Finding::to_do("releases", text);
        }
        if found.is_dir() {
            more(&path, &mut paths);
        }
    }
    Finding::good("releases", format!("the node reads {}, and cannot write there", dir.display()))
}

/// What is in a directory, up to a bound.
fn more(path: &Path, paths: &mut Vec<PathBuf>) {
    // What nobody can list was told of, or is nothing that the node reads.
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let room = RELEASE_FOLDER_LOOKED_AT_MAX.saturating_sub(paths.len());
    paths.extend(entries.take(room));
}

fn wrong(path: &Path, found: &Metadata, reader: &Reader) -> Option<String> {
    let at = path.display();
    if found.uid() == reader.uid {
        return Some(format!(
            "{at} belongs to the node's user; chown it to the agent's, such as as112d-fleet"
        ));
    }
    if reader.may(found, 2) {
        return Some(format!("the node's user may write to {at}; chmod g-w,o-w it"));
    }
    // What is the agent's alone, such as its log, is no concern of the node.
    let is_read = path.components().any(|part| part.as_os_str() == "releases") || found.is_dir();
    let is_own = ["tmp", "objects"].iter().any(|name| path.ends_with(name));
    if is_read && !is_own && !(reader.may(found, 4) && (!found.is_dir() || reader.may(found, 1))) {
        return Some(format!("the node's user may not read {at}; give its group the right (chmod g+rX)"));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::release::{Keys, Who};

    #[test]
    fn whoever_answers_does_not_write_what_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let release = dir.path().join("releases/1-abcdef12");
        fs::create_dir_all(release.join("files")).unwrap();
        fs::write(release.join("files/a"), "").unwrap();
        fs::write(dir.path().join("log"), "").unwrap();
        std::os::unix::fs::symlink("releases/1-abcdef12", dir.path().join("current")).unwrap();
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".parse().unwrap();
        let label = |text: &str| text.parse().unwrap();
        let fleet = Fleet {
            who: Who { fleet: label("as112"), colo: None, node: label("ams1") },
            dir: dir.path().to_owned(),
            keys: Keys::new(1, vec![key]).unwrap(),
            bake: std::time::Duration::ZERO,
        };
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let told = |reader: &Reader| of(&fleet, reader).to_string();
        let own = fs::metadata(dir.path()).unwrap();
        let (owner, group) = (own.uid(), own.gid());
        let other = Reader { uid: owner + 1, gid: Some(group + 1) };
        let member = Reader { uid: owner + 1, gid: Some(group) };
        mode(dir.path(), 0o755);
        mode(&dir.path().join("log"), 0o600);
        assert!(told(&other).starts_with("good"), "{}", told(&other));
        assert!(told(&Reader { uid: owner, gid: None }).contains("belongs to the node's user"));
        mode(&release, 0o775);
        assert!(told(&member).contains("may write to") && told(&other).starts_with("good"));
        mode(&release, 0o750);
        assert!(told(&member).starts_with("good") && told(&other).contains("may not read"));
        mode(&release, 0o755);
        mode(&release.join("files/a"), 0o640);
        assert!(told(&member).starts_with("good") && told(&other).contains("files/a"));
        mode(&release.join("files/a"), 0o666);
        assert!(told(&other).contains("may write to"), "{}", told(&other));
        let absent = Fleet { dir: dir.path().join("absent"), ..fleet.clone() };
        assert!(of(&absent, &other).to_string().contains("is not there yet"));
    }
}
