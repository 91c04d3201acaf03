//! What is tried with a release: a manifest or a pointer is refused with a code, or consistent.

use std::path::{Component, Path};

use as112d::limits::{RELEASE_FILES_MAX, RELEASE_LEN_MAX};
use as112d::release::{Keys, Manifest, Pointer, Refused, SignedLine, Who};

/// Bytes that somebody sent. Whether they are a manifest, a pointer or a list of keys.
pub fn releases(bytes: &[u8]) -> bool {
    let is_line = SignedLine::parse(bytes).map(|signed| assert_eq!(signed.to_file().as_bytes(), bytes));
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let manifest = Manifest::parse(bytes).map(|manifest| consistent(&manifest));
    let pointer = Pointer::parse(text).map(|pointer| {
        let again = Pointer::parse(&pointer.to_line());
        let wanted = pointer.wanted(&who()).copied();
        assert!(wanted.is_none() || wanted == pointer.release || wanted == pointer.otherwise);
        assert_eq!(again.as_ref(), Ok(&pointer));
    });
    if let Ok(keys) = serde_json::from_slice::<Keys>(bytes) {
        assert!((1..=keys.all().len()).contains(&usize::from(keys.threshold())));
        // Nobody has signed this.
        assert!(keys.verify(b"", text).is_err());
        return true;
    }
    for refused in [is_line.err(), manifest.clone().err(), pointer.clone().err()].into_iter().flatten() {
        told(&refused);
    }
    manifest.is_ok() || pointer.is_ok()
}

fn who() -> Who {
    let label = |text: &str| text.parse().expect("it is a name");
    Who { fleet: label("as112"), colo: Some(label("ams")), node: label("ams1") }
}

fn consistent(manifest: &Manifest) {
    assert_eq!(Manifest::parse(&manifest.to_bytes()).as_ref(), Ok(manifest));
    assert!(manifest.files.len() <= RELEASE_FILES_MAX);
    assert!(manifest.files.iter().map(|file| file.len).sum::<u64>() <= RELEASE_LEN_MAX);
    for file in &manifest.files {
        let path: &Path = file.path.as_ref();
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
        assert_eq!(manifest.file(file.path.as_str()), Some(file));
        assert_eq!(file.path.scope().as_ref(), Ok(&file.scope));
    }
    let who = who();
    assert!(manifest.parts(&who).all(|file| who.has(&file.scope)));
}

fn told(refused: &Refused) {
    assert!(!refused.words.is_empty() && !refused.to_string().contains(['\u{1b}', '\0']), "{refused:?}");
}
