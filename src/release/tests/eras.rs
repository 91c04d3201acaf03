//! Keys that change.

use super::*;

/// A manifest that brings a list of keys, and what some people signed of it.
fn change(number: u64, keys: &Keys, people: &[&Person]) -> (Vec<u8>, String) {
    let bytes = Manifest { keys: Some(keys.clone()), ..manifest(number) }.to_bytes();
    let signatures = signed(&bytes, people);
    (bytes, signatures)
}

fn code<T: std::fmt::Debug>(result: Result<T, Refused>) -> Code {
    result.unwrap_err().code
}

#[test]
fn a_release_is_signed_by_the_keys_of_its_number() {
    let people = [Person::new(), Person::new()];
    let [ann, bob] = &people;
    let mut eras = Eras::new(label("as112"), keys(1, &[ann]));
    let (bytes, signatures) = change(5, &keys(1, &[bob]), &[ann, bob]);
    eras.advance(&bytes, &signatures).unwrap();
    assert_eq!((eras.changes(), eras.now()), (1, &keys(1, &[bob])));
    let read = |number, person: &Person| {
        let bytes = manifest(number).to_bytes();
        eras.manifest(&bytes, &person.sign(&bytes)).map(|read| (read.content.number, read.by))
    };
    assert_eq!(read(6, bob).unwrap(), (6, vec![bob.public.id()]));
    assert_eq!(read(4, ann).unwrap(), (4, vec![ann.public.id()]));
    // Whoever has the old key can neither publish nor point, and the new one does not sign in hindsight.
    assert_eq!(code(read(6, ann)), Code::TooFewSignatures);
    assert_eq!(code(read(4, bob)), Code::TooFewSignatures);
    let pointer = pointer("fleet", 9, Some(name(4)));
    assert_eq!(code(eras.pointer(&file_of(&pointer, &[ann]))), Code::TooFewSignatures);
    assert!(eras.pointer(&file_of(&pointer, &[ann, bob])).is_ok());
    // The release that brought the keys is read by both.
    assert_eq!(eras.manifest(&bytes, &signatures).unwrap().digest, Digest::of(&bytes));
    assert_eq!(code(eras.manifest(&bytes, &ann.sign(&bytes))), Code::TooFewSignatures);
}

#[test]
fn keys_change_only_with_those_before_and_those_after() {
    let people = [Person::new(), Person::new(), Person::new()];
    let [ann, bob, eve] = &people;
    let eras = Eras::new(label("as112"), keys(1, &[ann]));
    let advance = |(bytes, signatures): (Vec<u8>, String)| eras.clone().advance(&bytes, &signatures);
    let new = keys(1, &[bob]);
    assert_eq!(advance(change(2, &new, &[ann, bob])), Ok(()));
    assert_eq!(code(advance(change(2, &new, &[bob]))), Code::TooFewSignatures);
    assert_eq!(code(advance(change(2, &new, &[ann]))), Code::TooFewSignatures);
    assert_eq!(code(advance(change(2, &keys(1, &[eve]), &[eve, bob]))), Code::TooFewSignatures);
    let bytes = manifest(2).to_bytes();
    assert_eq!(code(advance((bytes.clone(), ann.sign(&bytes)))), Code::Missing);
    let foreign = Manifest { fleet: label("other"), keys: Some(new.clone()), ..manifest(2) }.to_bytes();
    assert_eq!(code(advance((foreign.clone(), signed(&foreign, &[ann, bob])))), Code::WrongFleet);
    let mut later = eras.clone();
    let (bytes, signatures) = change(5, &new, &[ann, bob]);
    later.advance(&bytes, &signatures).unwrap();
    let (bytes, signatures) = change(5, &keys(1, &[eve]), &[bob, eve]);
    assert_eq!(code(later.advance(&bytes, &signatures)), Code::Older);
}

#[test]
fn a_chain_begins_where_the_nodes_own_list_is() {
    let people = [Person::new(), Person::new(), Person::new()];
    let [ann, bob, eve] = &people;
    let lists = [keys(1, &[ann]), keys(1, &[bob]), keys(1, &[eve])];
    let changes = [change(3, &lists[1], &[ann, bob]), change(8, &lists[2], &[bob, eve])];
    let chain = |local: &Keys, changes: &[(Vec<u8>, String)]| {
        let parts = changes.iter().map(|(bytes, signatures)| (bytes.as_slice(), signatures.as_str()));
        Eras::chain(label("as112"), local.clone(), parts)
    };
    for (local, left) in lists.iter().zip([2, 1, 0]) {
        let eras = chain(local, &changes).unwrap();
        assert_eq!((eras.changes(), eras.now()), (left, &lists[2]), "{left}");
    }
    let eras = chain(&lists[0], &changes).unwrap();
    let of: Vec<&Keys> = [1, 3, 4, 8, 9].into_iter().map(|number| eras.of(number)).collect();
    assert_eq!(of, [&lists[0], &lists[0], &lists[1], &lists[1], &lists[2]]);
    // One that is left out breaks it, and so does another order.
    assert_eq!(code(chain(&lists[0], &changes[1..])), Code::TooFewSignatures);
    let turned = [changes[1].clone(), changes[0].clone()];
    assert_eq!(code(chain(&lists[0], &turned)), Code::TooFewSignatures);
}
