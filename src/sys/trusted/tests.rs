use std::io::Write as _;
use std::os::unix::fs::symlink;

use ring::digest::digest;
use tempfile::TempDir;

use super::*;

fn seal(bytes: &[u8]) -> Seal {
    let sha256 = digest(&SHA256, bytes).as_ref().try_into().unwrap();
    Seal { len: bytes.len() as u64, sha256 }
}

/// A folder with these files, which must be so.
fn sealed(files: &[(&str, &[u8])]) -> (TempDir, Trust) {
    let dir = tempfile::tempdir().unwrap();
    let mut seals = BTreeMap::new();
    for (name, bytes) in files {
        let at = dir.path().join(name);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
        seals.insert(PathBuf::from(name), seal(bytes));
    }
    let folder = Folder::open(dir.path()).unwrap();
    let trust = Trust::sealed(dir.path().to_owned(), folder, seals);
    (dir, trust)
}

fn codes(trust: &Trust) -> Vec<&'static str> {
    trust.broken().iter().map(|(_, broken)| broken.code()).collect()
}

#[test]
fn what_was_signed_is_read_and_nothing_else() {
    let (dir, trust) = sealed(&[("a", b"one"), ("b/c", b"two"), ("b/d", b"")]);
    let at = |name: &str| dir.path().join(name);
    assert_eq!(trust.read(&at("a"), 3).unwrap(), b"one");
    assert_eq!(trust.read(&at("b/../b/./c"), 3).unwrap(), b"two");
    fs::write(at("b/e"), "nobody has signed it").unwrap();
    assert_eq!(trust.entries(&at("b")).unwrap(), [at("b/c"), at("b/d")]);
    assert_eq!(trust.entries(dir.path()).unwrap(), [at("a"), at("b")]);
    assert!(trust.is_dir(&at("b")) && !trust.is_dir(&at("a")) && !trust.is_dir(&at("b/e")));
    assert!(trust.is_file(&at("a")).unwrap() && !trust.is_file(&at("b/e")).unwrap());
    assert!(trust.entries(&at("c")).is_err());
    assert!(trust.broken().is_empty());
    trust.read(&at("b/e"), 100).unwrap_err();
    assert_eq!(codes(&trust), ["missing"]);
}

#[test]
fn every_way_to_be_another_file_has_its_word() {
    type Lie = fn(&Path);
    let put = |path: &Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    let lies: [(&str, Lie); 9] = [
        ("wrong-hash", |path| fs::write(path, "onf").unwrap()),
        ("short", |path| fs::write(path, "on").unwrap()),
        ("long", |path| fs::write(path, "ones").unwrap()),
        ("long", |path| File::create(path).unwrap().set_len(10 << 30).unwrap()),
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("not-a-file", |path| {
            fs::rename(path, path.with_extension("other")).unwrap();
            symlink(path.with_extension("other"), path).unwrap();
        }),
        ("not-a-file", |path| {
            fs::remove_file(path).unwrap();
            symlink("/dev/zero", path).unwrap();
        }),
        ("not-a-file", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
        ("not-a-file", |path| {
            fs::remove_file(path).unwrap();
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }),
    ];
    for (number, (code, lie)) in lies.into_iter().enumerate() {
        let (dir, trust) = sealed(&[("a", b"one"), ("b", b"two")]);
        lie(&dir.path().join("a"));
        assert!(trust.read(&dir.path().join("a"), 100).is_err(), "{number}");
        assert_eq!(codes(&trust), [code], "{number}");
        // Whatever it becomes: it was believed to be another one.
        let _ = fs::remove_dir(dir.path().join("a"));
        let _ = fs::remove_file(dir.path().join("a"));
        put(&dir.path().join("a"), b"one");
        assert_eq!(trust.read(&dir.path().join("a"), 100).unwrap(), b"one");
        assert_eq!(codes(&trust), [code], "{number}");
    }
}

#[test]
fn what_nobody_has_read_is_judged_too() {
    let (dir, trust) = sealed(&[("a", b"one"), ("b", b"two")]);
    fs::write(dir.path().join("b"), "twp").unwrap();
    trust.read(&dir.path().join("a"), 3).unwrap();
    assert_eq!(trust.broken(), [(dir.path().join("b"), Broken::WrongHash)]);
}

#[test]
fn a_stream_is_judged_at_its_end_even_if_nobody_reads_so_far() {
    let text = "line\n".repeat(50_000);
    let (dir, trust) = sealed(&[("a", text.as_bytes())]);
    let at = dir.path().join("a");
    let mut pieces = trust.open(&at).unwrap();
    let mut start = [0; 10];
    pieces.read_exact(&mut start).unwrap();
    pieces.verdict().unwrap();
    // The last byte is another one.
    let file = File::options().write(true).open(&at).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", text.len() as u64 - 1).unwrap();
    let mut pieces = trust.open(&at).unwrap();
    pieces.read_exact(&mut start).unwrap();
    drop(pieces);
    assert_eq!(codes(&trust), ["wrong-hash"]);
}

/// The file is changed between two pieces: what was read before counts, and not what is there at the end.
#[test]
fn the_bytes_that_were_used_are_those_that_are_judged() {
    let text = vec![b'a'; 100_000];
    let (dir, trust) = sealed(&[("a", &text)]);
    let at = dir.path().join("a");
    fs::write(&at, vec![b'b'; 100_000]).unwrap();
    let mut pieces = trust.open(&at).unwrap();
    let mut half = vec![0; 50_000];
    pieces.read_exact(&mut half).unwrap();
    fs::write(&at, &text).unwrap();
    pieces.verdict().unwrap_err();
    // And the other way round: what was right stays so.
    let (dir, trust) = sealed(&[("a", &text)]);
    let mut pieces = trust.open(&dir.path().join("a")).unwrap();
    pieces.read_exact(&mut half).unwrap();
    File::options().append(true).open(dir.path().join("a")).unwrap().write_all(b"more").unwrap();
    pieces.verdict().unwrap();
    assert_eq!(half, text[..50_000]);
}

#[test]
fn what_is_sealed_names_nothing_outside() {
    let (dir, trust) = sealed(&[("a/b", b"one")]);
    let other = tempfile::NamedTempFile::new().unwrap();
    let by_own = trust.named_by(other.path());
    by_own.read(other.path(), 10).unwrap();
    assert!(trust.broken().is_empty());
    let within = trust.named_by(&dir.path().join("a"));
    for path in [other.path(), &dir.path().join("../x"), Path::new("/etc/passwd")] {
        within.read(path, 1 << 20).unwrap_err();
    }
    assert_eq!(codes(&trust), ["bad-path"; 3]);
    // Even of the operator's files none is meant by a way that begins in a release.
    let (dir, trust) = sealed(&[("a", b"one")]);
    assert!(trust.read(&dir.path().join("a/../../../etc/passwd"), 9).is_err());
}

#[test]
fn files_of_the_operators_own_are_any() {
    let trust = Trust::OWN;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "text").unwrap();
    assert_eq!(trust.read(file.path(), 2).unwrap(), b"tex");
    let pieces = trust.open(file.path()).unwrap();
    assert_eq!(pieces.len(), 4);
    let error = pieces.whole(3).unwrap_err().to_string();
    assert_eq!(error, "it has 4 bytes, over the limit of 3");
    let pieces = trust.open(file.path()).unwrap();
    fs::write(file.path(), "longer").unwrap();
    assert_eq!(pieces.verdict().unwrap_err().to_string(), "it changed while it was read");
    assert!(trust.broken().is_empty() && trust == Trust::default());
}
