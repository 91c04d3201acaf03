//! Pointers: what one may say, and which of them counts.

use super::*;
use crate::limits::{BAKE_MAX_SECONDS, DRAIN_MAX_SECONDS, POINTER_LEN_MAX, SIGNED_LINE_LEN_MAX};

type Change = fn(&mut Pointer);

#[test]
fn a_pointer_is_read_as_it_is_written() {
    let mut written = pointer("colo/ams", 7, Some(name(41)));
    assert_eq!(Pointer::parse(&written.to_line()).unwrap(), written);
    (written.share, written.otherwise) = (10, Some(name(40)));
    (written.bake, written.drain) = (Some(600), Some(0));
    written.reason = Some(Words::new("a new map").unwrap());
    assert_eq!(Pointer::parse(&written.to_line()).unwrap(), written);
    assert!(!written.to_line().contains('\n'));
    // What does not differ from the default is not written, and may be left out.
    assert!(!pointer("fleet", 1, None).to_line().contains("share"));
}

#[test]
fn what_a_pointer_may_not_say_is_refused() {
    let changes: [(Change, Code); 13] = [
        (|p| p.format = 9, Code::UnknownFormat),
        (|p| p.serial = 0, Code::NotAllowed),
        (|p| p.release = None, Code::NotAllowed),
        (|p| p.kind = pointer::Kind::Hold, Code::NotAllowed),
        (|p| p.kind = pointer::Kind::Follow, Code::NotAllowed),
        (|p| p.share = 0, Code::NotAllowed),
        (|p| p.share = 101, Code::NotAllowed),
        (|p| p.share = 99, Code::NotAllowed),
        (|p| p.otherwise = Some(name(1)), Code::NotAllowed),
        (|p| p.bake = Some(BAKE_MAX_SECONDS + 1), Code::NotAllowed),
        (|p| p.drain = Some(DRAIN_MAX_SECONDS + 1), Code::NotAllowed),
        (|p| (p.kind, p.release, p.bake) = (pointer::Kind::Hold, None, Some(1)), Code::NotAllowed),
        (
            |p| {
                (p.kind, p.release) = (pointer::Kind::Follow, None);
                (p.share, p.otherwise) = (50, Some(name(1)));
            },
            Code::NotAllowed,
        ),
    ];
    for (number, (change, code)) in changes.into_iter().enumerate() {
        let mut changed = pointer("fleet", 1, Some(name(2)));
        change(&mut changed);
        assert_eq!(Pointer::parse(&changed.to_line()).unwrap_err().code, code, "change {number}");
    }
    // A manifest that the same keys have signed is not a pointer, nor the other way round.
    let manifest = String::from_utf8(manifest(1).to_bytes()).unwrap();
    assert_eq!(Pointer::parse(&manifest).unwrap_err().code, Code::UnknownFormat);
    let line = pointer("fleet", 1, None).to_line();
    assert_eq!(Manifest::parse(line.as_bytes()).unwrap_err().code, Code::UnknownFormat);
}

#[test]
fn the_most_specific_opinion_counts() {
    let mut pointers = Pointers::default();
    assert!(pointers.effective().is_none() && pointers.drain().is_none());
    let mut note = |pointer: &Pointer| {
        let taken = pointers.note(&who(), pointer.clone());
        let counts = pointers.effective().map(|pointer| (pointer.scope.to_string(), pointer.serial));
        (taken, counts)
    };
    let counts = |scope: &str, serial| Some((scope.to_owned(), serial));
    assert_eq!(note(&pointer("fleet", 5, Some(name(1)))), (Taken::New, counts("fleet", 5)));
    assert_eq!(note(&pointer("fleet", 5, Some(name(1)))), (Taken::Known, counts("fleet", 5)));
    assert_eq!(note(&pointer("fleet", 5, Some(name(2)))), (Taken::Clash, counts("fleet", 5)));
    assert_eq!(note(&pointer("fleet", 4, Some(name(2)))), (Taken::Older, counts("fleet", 5)));
    // Serials are those of a scope.
    assert_eq!(note(&pointer("colo/ams", 1, None)), (Taken::New, counts("colo/ams", 1)));
    assert_eq!(note(&pointer("node/ams1", 2, Some(name(3)))), (Taken::New, counts("node/ams1", 2)));
    let follow = |scope, serial| Pointer { kind: pointer::Kind::Follow, ..pointer(scope, serial, None) };
    assert_eq!(note(&follow("node/ams1", 3)), (Taken::New, counts("colo/ams", 1)));
    assert_eq!(note(&follow("colo/ams", 3)), (Taken::New, counts("fleet", 5)));
    for foreign in ["colo/fra", "node/ams2"] {
        assert_eq!(note(&pointer(foreign, 9, None)), (Taken::Foreign, counts("fleet", 5)));
    }
    let other = Pointer { fleet: label("other"), ..pointer("fleet", 9, None) };
    assert_eq!(note(&other), (Taken::Foreign, counts("fleet", 5)));
    assert_eq!(pointers.all().count(), 3);
}

#[test]
fn who_speaks_of_draining_decides_it() {
    let mut pointers = Pointers::default();
    let drain = |scope, serial, seconds| Pointer {
        kind: pointer::Kind::Follow,
        drain: Some(seconds),
        ..pointer(scope, serial, None)
    };
    pointers.note(&who(), drain("colo/ams", 1, 3600));
    pointers.note(&who(), pointer("node/ams1", 1, Some(name(1))));
    assert_eq!(pointers.drain().unwrap().drain, Some(3600));
    pointers.note(&who(), drain("node/ams1", 2, 0));
    assert_eq!(pointers.drain().unwrap().drain, Some(0));
}

#[test]
fn a_share_of_the_nodes_takes_a_release() {
    let node = |at: usize| Who { node: label(&format!("n{at}")), ..who() };
    let wants = |share: u8, release: u64| {
        let pointer = Pointer { share, otherwise: Some(name(1)), ..pointer("fleet", 1, Some(name(release))) };
        (0..1000).filter(|at| pointer.wanted(&node(*at)) == Some(&name(release))).collect::<Vec<_>>()
    };
    for share in [1, 10, 50, 99] {
        let taken = wants(share, 2).len();
        let expected = usize::from(share) * 10;
        assert!(taken.abs_diff(expected) <= 40, "{taken} of 1000 for {share} of 100");
    }
    // Who took it at 10 of 100 keeps it at 50; for another release others go first.
    let (few, many) = (wants(10, 2), wants(50, 2));
    assert!(few.iter().all(|node| many.contains(node)));
    assert_ne!(few, wants(10, 3));
    let all = pointer("fleet", 1, Some(name(2)));
    assert!((0..1000).all(|at| all.wanted(&node(at)) == Some(&name(2))));
    assert_eq!(pointer("fleet", 1, None).wanted(&who()), None);
    // SHA-256 of 32 bytes of zero and `a`, as a number modulo 100, by another program.
    let zero = ReleaseName { number: 1, digest: Digest([0; 32]) };
    assert_eq!(pointer::place(&zero, &label("a")), PLACE_OF_A);
}

/// `int(sha256(bytes(32) + b"a").hexdigest(), 16) % 100` of Python.
const PLACE_OF_A: u8 = 47;

#[test]
fn the_line_of_a_pointer_is_what_is_signed() {
    let (ann, eve) = (Person::new(), Person::new());
    let eras = Eras::new(label("as112"), keys(1, &[&ann]));
    let written = pointer("fleet", 3, Some(name(2)));
    let file = file_of(&written, &[&ann]);
    let read = eras.pointer(&file).unwrap();
    assert_eq!((read.content, read.by), (written.clone(), vec![ann.public.id()]));
    assert_eq!(read.digest, Digest::of(written.to_line().as_bytes()));
    let code = |file: &[u8]| eras.pointer(file).unwrap_err().code;
    assert_eq!(code(&file_of(&written, &[&eve])), Code::TooFewSignatures);
    let other = Pointer { serial: 4, ..written.clone() }.to_line();
    let mixed = SignedLine { line: &other, signatures: &ann.sign(written.to_line().as_bytes()) }.to_file();
    assert_eq!(code(mixed.as_bytes()), Code::BadSignature);
    assert_eq!(code(written.to_line().as_bytes()), Code::Short);
    assert_eq!(code(b""), Code::Short);
    assert_eq!(code(&vec![b'\n'; POINTER_LEN_MAX + 1]), Code::TooLarge);
    assert_eq!(code(&[vec![b' '; SIGNED_LINE_LEN_MAX + 1], vec![b'\n']].concat()), Code::TooLarge);
    assert_eq!(code(b"\xff\n"), Code::UnknownFormat);
    let foreign = Pointer { fleet: label("other"), ..written };
    assert_eq!(code(&file_of(&foreign, &[&ann])), Code::WrongFleet);
}
