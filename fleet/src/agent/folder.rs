//! A node's folder: objects by their hashes, releases as hard links to them, and the two links that say which
//! one counts. Whatever is changed is whole before it has its name, and on the disk before anything relies on
//! it: a crash at any moment leaves what was there or what was to be there.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use as112d::limits::{
    POINTER_LEN_MAX, RELEASE_ERAS_MAX, RELEASE_MANIFEST_LEN_MAX, RELEASE_SIGNATURES_LEN_MAX,
};
use as112d::release::{Digest, Eras, Hasher, Keys, Label, Manifest, ReleaseName, Scope, Who, layout};
use as112d::sys::files;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::core::{Past, Trouble};
use crate::carry::Partial;
use crate::limits::{RELEASES_KEPT, VALUE_LEN_MAX};

/// What was taken back.
const FALLEN: &str = "fallen";
/// The drain that is under way.
const DRAINED: &str = "drained";

/// A node's folder. As long as this lives no other agent has it.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: File,
}

/// A manifest and its signatures, as they were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The signatures over them.
    pub signatures: String,
}

impl Folder {
    /// The folder at `root`, which is made if it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or another agent has it.
    pub fn open(root: &Path) -> Result<Self, String> {
        let failed = |path: &Path, error: &io::Error| {
            format!(
                "{}: {error}; [fleet] dir must be a directory that the agent can write to",
                path.display()
            )
        };
        for name in ["", layout::OBJECTS, layout::RELEASES, layout::POINTERS, layout::ERAS, layout::TMP] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(|error| failed(&path, &error))?;
        }
        let path = root.join(".lock");
        let lock = files::append(&path).map_err(|error| failed(&path, &error))?;
        match files::lock(&lock) {
            Ok(true) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Ok(false) => Err(format!("{}: another agent has this directory", path.display())),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    //------------ What is there ---

    /// The keys that count, with the changes that the folder knows, and how many those are.
    ///
    /// # Errors
    /// A change that does not follow the one before.
    pub fn eras(&self, fleet: &Label, keys: &Keys) -> Result<(Eras, usize), Trouble> {
        let mut changes = Vec::new();
        while changes.len() < RELEASE_ERAS_MAX {
            match self.signed(&layout::era(changes.len() + 1)) {
                Some(signed) => changes.push(signed),
                None => break,
            }
        }
        let signed = changes.iter().map(|signed| (&signed.manifest[..], &signed.signatures[..]));
        let eras = Eras::chain(fleet.clone(), keys.clone(), signed);
        let eras = eras.map_err(|refused| Trouble::Refused(refused.of(layout::ERAS).to_string()))?;
        Ok((eras, changes.len()))
    }

    fn signed(&self, name: &str) -> Option<Signed> {
        let manifest = read(&self.at(name).join(layout::MANIFEST), RELEASE_MANIFEST_LEN_MAX)?;
        let signatures = read(&self.at(name).join(layout::SIGNATURES), RELEASE_SIGNATURES_LEN_MAX)?;
        Some(Signed { manifest, signatures: String::from_utf8(signatures).ok()? })
    }

    /// The pointer of a scope, as it was signed.
    #[must_use]
    pub fn pointer(&self, scope: &Scope) -> Option<Vec<u8>> {
        read(&self.at(layout::pointer(scope)), POINTER_LEN_MAX)
    }

    /// What it says of the past. What cannot be read, or is not signed, is as if it were not there: it will
    /// be fetched again.
    #[must_use]
    pub fn past(&self, who: &Who, eras: &Eras) -> Past {
        let pointers = who.scopes().filter_map(|scope| eras.pointer(&self.pointer(&scope)?).ok());
        let floor = read(&self.at(layout::FLOOR), 64).and_then(|bytes| String::from_utf8(bytes).ok());
        Past {
            pointers: pointers.map(|signed| signed.content).collect(),
            current: self.linked(layout::CURRENT),
            good: self.linked(layout::GOOD),
            floor: floor.and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
            fallen: self.json(FALLEN),
            drained: self.json(DRAINED),
        }
    }

    /// The release that a link leads to.
    fn linked(&self, link: &str) -> Option<ReleaseName> {
        let target = fs::read_link(self.at(link)).ok()?;
        let bytes = read(&self.at(&target).join(layout::MANIFEST), RELEASE_MANIFEST_LEN_MAX)?;
        let name = ReleaseName { number: Manifest::parse(&bytes).ok()?.number, digest: Digest::of(&bytes) };
        (Path::new(&layout::release(&name)) == target).then_some(name)
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&read(&self.at(name), VALUE_LEN_MAX as usize)?).ok()
    }

    /// The manifest of a release that was fetched before, as it was signed.
    #[must_use]
    pub fn manifest(&self, name: &ReleaseName) -> Option<Signed> {
        self.signed(&layout::release(name)).filter(|signed| Digest::of(&signed.manifest) == name.digest)
    }

    /// Whether an object is there; with `again`, whether it still is what it should be.
    #[must_use]
    pub fn has(&self, digest: &Digest, len: u64, again: bool) -> bool {
        let path = self.at(layout::object(digest));
        let is_there = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() == len);
        is_there && (!again || hash(&path).is_ok_and(|found| found == *digest))
    }

    /// How many bytes are free, of how many.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn room(&self) -> io::Result<(u64, u64)> {
        let found = rustix::fs::statvfs(&self.root)?;
        Ok((found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize))
    }

    //------------ What becomes of it ---

    /// What has arrived of an object.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn partial(&self, digest: &Digest, len: u64) -> Result<Partial, Trouble> {
        let path = self.at(layout::TMP).join(digest.to_string());
        Partial::open(&path, len).map_err(|error| trouble(&path, &error))
    }

    /// Keeps an object that has arrived, if it is what it should be.
    ///
    /// # Errors
    /// That it is not, in which case nothing of it is left; or what the kernel says.
    pub fn keep(&self, mut partial: Partial, digest: &Digest) -> Result<(), Trouble> {
        let path = self.at(layout::object(digest));
        let failed = |error: &io::Error| trouble(&path, error);
        let mut hasher = Hasher::new();
        partial.each(|bytes| hasher.update(bytes)).map_err(|error| failed(&error))?;
        let found = hasher.finish();
        if found != *digest {
            partial.discard().map_err(|error| failed(&error))?;
            let words =
                format!("wrong-hash: object {}: what arrived hashes to {}", digest.short(), found.short());
            return Err(Trouble::Refused(words));
        }
        let folder = files::folder_of(&path);
        let keep = || {
            fs::create_dir_all(folder)?;
            partial.keep(&path)?;
            sync(folder)?;
            sync(&self.at(layout::OBJECTS))
        };
        keep().map_err(|error| failed(&error))
    }

    /// Makes the folder of a release whose objects are all there. What is there of it is mended.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn build(
        &self,
        name: &ReleaseName,
        signed: &Signed,
        manifest: &Manifest,
        who: &Who,
    ) -> Result<(), Trouble> {
        let path = self.at(layout::release(name));
        let is_there = path.is_dir();
        let folder =
            if is_there { path.clone() } else { self.at(layout::TMP).join(format!("release-{name}")) };
        let build = || {
            let root = folder.join(layout::FILES);
            fs::create_dir_all(&root)?;
            let mut folders = BTreeSet::from([folder.clone(), root.clone()]);
            for (file, bytes) in
                [(layout::MANIFEST, &signed.manifest[..]), (layout::SIGNATURES, signed.signatures.as_bytes())]
            {
                write(&folder.join(file), bytes)?;
            }
            for file in manifest.parts(who) {
                for above in file.path.directories() {
                    let above = root.join(above);
                    fs::create_dir_all(&above)?;
                    folders.insert(above);
                }
                link(&self.at(layout::object(&file.sha256)), &root.join(&file.path))?;
            }
            folders.iter().try_for_each(|folder| sync(folder))?;
            if !is_there {
                fs::rename(&folder, &path)?;
            }
            sync(&self.at(layout::RELEASES))
        };
        build().map_err(|error| trouble(&path, &error))
    }

    /// Writes down a pointer, as it was signed.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn point(&self, scope: &Scope, bytes: &[u8]) -> Result<(), Trouble> {
        self.put(&layout::pointer(scope), bytes)
    }

    /// Makes a release `current`, or `good`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn lead(&self, link: &str, name: &ReleaseName) -> Result<(), Trouble> {
        let (path, unfinished) = (self.at(link), self.at(layout::TMP).join(link));
        let lead = || {
            remove(&unfinished)?;
            symlink(layout::release(name), &unfinished)?;
            fs::rename(&unfinished, &path)?;
            sync(&self.root)
        };
        lead().map_err(|error| trouble(&path, &error))
    }

    /// Writes down the highest number that was current.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn floor(&self, number: u64) -> Result<(), Trouble> {
        self.put(layout::FLOOR, format!("{number}\n").as_bytes())
    }

    /// Writes down what was taken back, or that nothing was.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn fell(&self, fallen: Option<&impl Serialize>) -> Result<(), Trouble> {
        self.note(FALLEN, fallen)
    }

    /// Writes down the drain that is under way, or that none is.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn drained(&self, drained: Option<&impl Serialize>) -> Result<(), Trouble> {
        self.note(DRAINED, drained)
    }

    fn note(&self, name: &str, value: Option<&impl Serialize>) -> Result<(), Trouble> {
        match value {
            Some(value) => self.put(name, &serde_json::to_vec(value).unwrap_or_default()),
            None => remove(&self.at(name)).map_err(|error| trouble(&self.at(name), &error)),
        }
    }

    /// Writes down a change of the keys.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn era(&self, number: usize, signed: &Signed) -> Result<(), Trouble> {
        let (path, unfinished) = (self.at(layout::era(number)), self.at(layout::TMP).join("era"));
        let keep = || {
            remove_tree(&unfinished)?;
            fs::create_dir(&unfinished)?;
            write(&unfinished.join(layout::MANIFEST), &signed.manifest)?;
            write(&unfinished.join(layout::SIGNATURES), signed.signatures.as_bytes())?;
            sync(&unfinished)?;
            fs::rename(&unfinished, &path)?;
            sync(&self.at(layout::ERAS))
        };
        keep().map_err(|error| trouble(&path, &error))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let path = self.at(name);
        let unfinished = path.with_extension("new");
        files::replace(&path, &unfinished, bytes).map_err(|error| trouble(&path, &error))
    }

    /// Removes what nobody needs: releases but for `needed` and the newest ones of the rest, objects that are
    /// in no release, and what has arrived of objects that are not in `awaited`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn prune(&self, needed: &[ReleaseName], awaited: &[Digest], kept: usize) -> Result<(), Trouble> {
        let prune = || {
            self.prune_releases(needed, kept)?;
            for entry in fs::read_dir(self.at(layout::TMP))? {
                let path = entry?.path();
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
                if !awaited.iter().any(|digest| digest.to_string() == stem) {
                    remove_tree(&path)?;
                }
            }
            for folder in fs::read_dir(self.at(layout::OBJECTS))? {
                for object in fs::read_dir(folder?.path())? {
                    let object = object?;
                    let is_awaited = || {
                        let name = object.file_name();
                        awaited.iter().any(|digest| name.to_str() == Some(&digest.to_string()))
                    };
                    // A link of its own is all that it has.
                    if object.metadata()?.nlink() == 1 && !is_awaited() {
                        remove(&object.path())?;
                    }
                }
            }
            Ok(())
        };
        prune().map_err(|error| trouble(&self.root, &error))
    }

    fn prune_releases(&self, needed: &[ReleaseName], kept: usize) -> io::Result<()> {
        let needed: Vec<String> = needed.iter().map(ToString::to_string).collect();
        let mut others = Vec::new();
        let mut count = 0_usize;
        for entry in fs::read_dir(self.at(layout::RELEASES))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            count += 1;
            if !needed.contains(&name) {
                let number = name.split('-').next().and_then(|number| number.parse::<u64>().ok());
                others.push((number.unwrap_or_default(), name));
            }
        }
        others.sort_unstable();
        for (_, name) in others.into_iter().take(count.saturating_sub(kept)) {
            // It has no name that anybody would look for before it is taken to pieces.
            let gone = self.at(layout::TMP).join("gone");
            remove_tree(&gone)?;
            fs::rename(self.at(layout::RELEASES).join(name), &gone)?;
            remove_tree(&gone)?;
        }
        Ok(())
    }

    /// Removes all but [`RELEASES_KEPT`] releases.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tidy(&self, needed: &[ReleaseName]) -> Result<(), Trouble> {
        self.prune(needed, &[], RELEASES_KEPT)
    }
}

/// A file that is no longer than it may be.
fn read(path: &Path, len_max: usize) -> Option<Vec<u8>> {
    files::read(path, len_max as u64).ok().filter(|bytes| bytes.len() <= len_max)
}

fn hash(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut bytes = vec![0; crate::limits::COPY_LEN];
    loop {
        match io::Read::read(&mut file, &mut bytes)? {
            0 => return Ok(hasher.finish()),
            len => hasher.update(&bytes[..len]),
        }
    }
}

/// A file with these bytes, unless it has them already: what a node reads is not touched.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let unfinished = path.with_extension("new");
    files::replace(path, &unfinished, bytes)
}

/// Another name of an object, unless it has it already.
fn link(object: &Path, path: &Path) -> io::Result<()> {
    let inode = fs::metadata(object)?.ino();
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && found.ino() == inode => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path)?,
        Ok(_) | Err(_) => {}
    }
    // A name is replaced as a whole: a node that reads at this moment finds the old or the new one.
    let unfinished = path.with_added_extension("new");
    remove(&unfinished)?;
    fs::hard_link(object, &unfinished)?;
    fs::rename(&unfinished, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What the kernel says, as a trouble of the disk.
pub(super) fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let way_out = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room",
        _ => "",
    };
    Trouble::Disk(format!("disk: {}: {error}{way_out}", path.display()))
}

#[cfg(test)]
mod tests {
    use as112d::release::{File as Entry, RelPath};
    use serde_json::json;

    use super::*;

    fn who() -> Who {
        let label = |text: &str| text.parse::<Label>().unwrap();
        Who { fleet: label("f"), colo: None, node: label("n") }
    }

    fn store(folder: &Folder, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let mut partial = folder.partial(&digest, bytes.len() as u64).unwrap();
        partial.push(bytes).unwrap();
        folder.keep(partial, &digest).unwrap();
        digest
    }

    /// A release with one file in a folder, for which the object is there.
    fn release(folder: &Folder, number: u64) -> ReleaseName {
        let bytes = format!("file of {number}");
        let file = Entry {
            path: "zones/a.zone".parse::<RelPath>().unwrap(),
            len: bytes.len() as u64,
            sha256: store(folder, bytes.as_bytes()),
            kind: as112d::release::manifest::Kind::Zone,
            scope: Scope::Fleet,
        };
        let manifest = json!({"format": 1, "fleet": "f", "number": number, "made_at": "m", "files": [file]});
        let bytes = manifest.to_string().into_bytes();
        let name = ReleaseName { number, digest: Digest::of(&bytes) };
        let manifest = Manifest::parse(&bytes).unwrap();
        let signed = Signed { manifest: bytes, signatures: String::new() };
        folder.build(&name, &signed, &manifest, &who()).unwrap();
        // Once more changes nothing.
        folder.build(&name, &signed, &manifest, &who()).unwrap();
        name
    }

    #[test]
    fn releases_are_links_to_objects_and_go_when_nobody_needs_them() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        assert!(Folder::open(temporary.path()).unwrap_err().ends_with("another agent has this directory"));
        let names: Vec<ReleaseName> = (1..=6).map(|number| release(&folder, number)).collect();
        let file = |name: &ReleaseName| {
            fs::read_to_string(temporary.path().join(format!("releases/{name}/files/zones/a.zone"))).ok()
        };
        assert_eq!(file(&names[2]).as_deref(), Some("file of 3"));
        folder.lead(layout::CURRENT, &names[0]).unwrap();
        folder.lead(layout::CURRENT, &names[5]).unwrap();
        folder.floor(6).unwrap();
        let lonely = store(&folder, b"of no release");
        folder.tidy(&[names[0]]).unwrap();
        let kept: Vec<bool> = names.iter().map(|name| file(name).is_some()).collect();
        assert_eq!(kept, [true, false, false, true, true, true]);
        let past = folder.past(&who(), &eras());
        assert_eq!((past.current, past.good, past.floor), (Some(names[5]), None, 6));
        assert!(!folder.has(&lonely, 13, false));
        assert!(
            folder.has(&Digest::of(b"file of 6"), 9, true)
                && !folder.has(&Digest::of(b"file of 2"), 9, false)
        );
        assert_eq!(fs::read_dir(temporary.path().join("tmp")).unwrap().count(), 0);
    }

    fn eras() -> Eras {
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".parse().unwrap();
        Eras::new(who().fleet, Keys::new(1, vec![key]).unwrap())
    }

    #[test]
    fn what_is_not_what_it_should_be_is_not_kept() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let digest = Digest::of(b"right");
        let mut partial = folder.partial(&digest, 5).unwrap();
        partial.push(b"wrong").unwrap();
        let refused = folder.keep(partial, &digest).unwrap_err();
        assert!(matches!(&refused, Trouble::Refused(text) if text.starts_with("wrong-hash: ")), "{refused}");
        assert_eq!(fs::read_dir(temporary.path().join("tmp")).unwrap().count(), 0);
        // What rots is found when it is looked at again, and mended in a release that is there.
        let name = release(&folder, 1);
        let object = temporary.path().join(layout::object(&Digest::of(b"file of 1")));
        fs::write(&object, "FILE of 1").unwrap();
        assert!(
            folder.has(&Digest::of(b"file of 1"), 9, false)
                && !folder.has(&Digest::of(b"file of 1"), 9, true)
        );
        assert_eq!(release(&folder, 1), name);
        let file = temporary.path().join(format!("releases/{name}/files/zones/a.zone"));
        assert_eq!(fs::read_to_string(file).unwrap(), "file of 1");
    }

    #[test]
    fn what_is_in_the_folder_is_believed_only_if_it_fits() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let name = release(&folder, 1);
        for (target, is) in [
            (format!("releases/{name}"), Some(name)),
            ("releases/2-00000000".to_owned(), None),
            ("../elsewhere".to_owned(), None),
        ] {
            remove(&temporary.path().join("current")).unwrap();
            symlink(target, temporary.path().join("current")).unwrap();
            assert_eq!(folder.past(&who(), &eras()).current, is);
        }
        fs::write(temporary.path().join("floor"), "many").unwrap();
        fs::write(temporary.path().join("fallen"), "{").unwrap();
        fs::write(temporary.path().join("pointers/fleet"), "{}\n").unwrap();
        let past = folder.past(&who(), &eras());
        assert_eq!((past.floor, past.fallen, past.pointers.len()), (0, None, 0));
    }
}
