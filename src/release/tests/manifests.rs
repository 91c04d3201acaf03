//! What a manifest may say.

use super::*;
use crate::limits::{RELEASE_FILE_LEN_MAX, RELEASE_FILES_MAX, RELEASE_MANIFEST_LEN_MAX};

type Change = fn(&mut Manifest);

#[test]
fn a_manifest_is_read_as_it_is_written() {
    let mut written = manifest(41);
    written.previous = Some(Digest::of(b"40"));
    written.min_version = Some(semver::Version::new(0, 3, 0));
    written.keys = Some(keys(1, &[&Person::new()]));
    assert_eq!(Manifest::parse(&written.to_bytes()).unwrap(), written);
    assert_eq!(Manifest::parse(&manifest(1).to_bytes()).unwrap(), manifest(1));
    let text = String::from_utf8(manifest(1).to_bytes()).unwrap();
    assert!(text.contains("\"for\": \"colo/ams\"") && text.ends_with("}\n"), "{text}");
    let name = ReleaseName { number: 41, digest: Digest::of(b"abc") };
    assert_eq!(name.to_string(), "41-ba7816bf");
}

#[test]
fn a_node_takes_what_is_for_it() {
    let manifest = manifest(1);
    let parts = |who: &Who| manifest.parts(who).map(|file| file.path.to_string()).collect::<Vec<_>>();
    assert_eq!(parts(&who()).len(), 4);
    let other = Who { colo: Some(label("fra")), node: label("fra1"), ..who() };
    assert_eq!(parts(&other), ["config.toml", "zones/10.in-addr.arpa.zone"]);
    let colo = Who { node: label("ams2"), ..who() };
    assert_eq!(parts(&colo), ["colo/ams/config.toml", "config.toml", "zones/10.in-addr.arpa.zone"]);
    assert_eq!(manifest.file("config.toml").unwrap().sha256, Digest::of(b"a"));
    assert!(manifest.file("config").is_none());
}

#[test]
fn what_a_manifest_may_not_say_is_refused() {
    let changes: [(Change, Code); 12] = [
        (|m| m.format = 2, Code::UnknownFormat),
        (|m| m.number = 0, Code::NotAllowed),
        (|m| m.files.swap(0, 1), Code::BadPath),
        (|m| m.files.insert(1, m.files[0].clone()), Code::BadPath),
        (|m| m.files.push(file("zones/10.in-addr.arpa.zone/x", b"")), Code::BadPath),
        (|m| m.files.insert(0, file("a", b"")), Code::NotAllowed),
        (|m| m.files[1].len = RELEASE_FILE_LEN_MAX + 1, Code::TooLarge),
        (|m| m.files.iter_mut().for_each(|file| file.len = RELEASE_FILE_LEN_MAX), Code::TooLarge),
        (|m| m.files[0].scope = Scope::Fleet, Code::NotAllowed),
        (|m| m.files[2].scope = "node/ams2".parse().unwrap(), Code::NotAllowed),
        (|m| m.files[1].kind = manifest::Kind::Zone, Code::NotAllowed),
        (|m| m.files[3].kind = manifest::Kind::Config, Code::NotAllowed),
    ];
    for (number, (change, code)) in changes.into_iter().enumerate() {
        let mut changed = manifest(1);
        change(&mut changed);
        match Manifest::parse(&changed.to_bytes()) {
            // A path that is fine: the sixth shows that files may be added.
            Ok(_) => assert_eq!(number, 5),
            Err(refused) => assert_eq!(refused.code, code, "change {number}: {refused}"),
        }
    }
}

#[test]
fn a_file_that_others_lie_in_is_found_wherever_it_stands() {
    // In the order of bytes there is one between the file and what lies in it.
    let mut manifest = manifest(1);
    manifest.files = vec![file("a", b""), file("a-b", b""), file("a/c", b"")];
    let refused = Manifest::parse(&manifest.to_bytes()).unwrap_err();
    assert_eq!(refused.code, Code::BadPath);
    assert!(refused.words.contains("a/c lies in a,"), "{refused}");
}

#[test]
fn text_that_is_no_manifest_is_refused() {
    let good = String::from_utf8(manifest(1).to_bytes()).unwrap();
    for (from, to, code) in [
        ("\"number\": 1", "\"number\": -1", Code::UnknownFormat),
        ("\"number\": 1", "\"number\": 1, \"number\": 2", Code::UnknownFormat),
        ("\"number\": 1", "\"number\": 1, \"extra\": 2", Code::UnknownFormat),
        ("\"number\": 1,", "", Code::UnknownFormat),
        ("zones/10", "../10", Code::UnknownFormat),
        ("\"fleet\": \"as112\"", "\"fleet\": \"AS112\"", Code::UnknownFormat),
        ("\"kind\": \"zone\"", "\"kind\": \"device\"", Code::UnknownFormat),
        ("2026", "\\u001b[2J", Code::UnknownFormat),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap_err().code, code, "{to}");
    }
    let newer = good.replacen("\"format\": 1", "\"format\": 7, \"more\": []", 1);
    let refused = Manifest::parse(newer.as_bytes()).unwrap_err();
    assert!(refused.words.contains("format 7, and this program reads 1; upgrade it"), "{refused}");
}

#[test]
fn files_and_bytes_have_a_bound() {
    let mut large = manifest(1);
    large.files = (0..=RELEASE_FILES_MAX).map(|at| file(&format!("zones/{at:05}.zone"), b"")).collect();
    let bytes = large.to_bytes();
    assert!(bytes.len() < RELEASE_MANIFEST_LEN_MAX, "{} bytes", bytes.len());
    assert_eq!(Manifest::parse(&bytes).unwrap_err().code, Code::TooMany);
    large.files.pop();
    assert_eq!(Manifest::parse(&large.to_bytes()).unwrap().files.len(), RELEASE_FILES_MAX);
    let long = vec![b' '; RELEASE_MANIFEST_LEN_MAX + 1];
    assert_eq!(Manifest::parse(&long).unwrap_err().code, Code::TooLarge);
}

#[test]
fn an_old_program_refuses_what_it_cannot_serve() {
    let mut manifest = manifest(1);
    let program = semver::Version::new(0, 2, 9);
    assert_eq!(manifest.fits(&program), Ok(()));
    manifest.min_version = Some(semver::Version::new(0, 3, 0));
    let refused = manifest.fits(&program).unwrap_err();
    assert_eq!(refused.code, Code::NeedsVersion);
    assert!(refused.words.contains("needs as112d 0.3.0"), "{refused}");
    assert_eq!(manifest.fits(&semver::Version::new(0, 3, 0)), Ok(()));
}

#[test]
fn refusals_have_one_word_each() {
    let words: std::collections::BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    let refused = Refused::new(Code::Short, "8 of 9 bytes; fetch it again").of("a").of("b");
    assert_eq!(refused.to_string(), "a: short: 8 of 9 bytes; fetch it again");
    let problem = crate::problem::Problem::from(refused);
    assert_eq!(problem.to_string(), "a: short: 8 of 9 bytes; fetch it again");
}
