//! Signatures: how many there must be, by whom, and over what.

use super::*;
use crate::limits::{RELEASE_KEYS_MAX, RELEASE_SIGNATURES_LEN_MAX, RELEASE_SIGNATURES_MAX};

/// A key and a signature of minisign's own making, from its documentation.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
const HASHED: &str = "untrusted comment: signature from minisign secret key\n\
    RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
    trusted comment: timestamp:1556193335\tfile:test\n\
    y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
const NOT_HASHED: &str = "untrusted comment: signature from minisign secret key\n\
    RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
    trusted comment: timestamp:1555779966\tfile:test\n\
    QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";

#[test]
fn signatures_of_minisign_are_taken() {
    let key: PublicKey = KEY.parse().unwrap();
    assert_eq!((key.id().to_string(), key.to_string()), ("E7620F1842B4E81F".to_owned(), KEY.to_owned()));
    let keys = Keys::new(1, vec![key.clone()]).unwrap();
    assert_eq!(keys.verify(b"test", HASHED).unwrap(), [key.id()]);
    assert_eq!(keys.verify(b"Test", HASHED).unwrap_err().code, Code::BadSignature);
    // Of the kind before, which programs that stream cannot check.
    assert_eq!(keys.verify(b"test", NOT_HASHED).unwrap_err().code, Code::BadSignature);
}

#[test]
fn as_many_different_keys_as_must_have_signed() {
    let people = [Person::new(), Person::new(), Person::new()];
    let [ann, bob, eve] = &people;
    let both = keys(2, &[ann, bob]);
    let of = |people: &[&Person]| both.verify(b"bytes", &signed(b"bytes", people));
    assert_eq!(of(&[ann, bob]).unwrap(), [ann.public.id(), bob.public.id()]);
    assert_eq!(of(&[bob, eve, ann]).unwrap(), [bob.public.id(), ann.public.id()]);
    for too_few in [&[][..], &[ann], &[ann, ann], &[ann, eve], &[eve, eve]] {
        assert_eq!(of(too_few).unwrap_err().code, Code::TooFewSignatures, "{}", too_few.len());
    }
    let words = of(&[ann]).unwrap_err().words;
    assert!(words.starts_with("signed by 1 of the keys") && words.contains(&ann.public.id().to_string()));
    // One that is wrong is told of, however many are right.
    let spoiled = signed(b"bytes", &[ann, bob]) + &ann.sign(b"other");
    assert_eq!(both.verify(b"bytes", &spoiled).unwrap_err().code, Code::BadSignature);
    assert_eq!(both.verify(b"bytes", "x").unwrap_err().code, Code::BadSignature);
}

#[test]
fn another_key_with_the_same_number_does_not_sign() {
    let (ann, eve) = (Person::new(), Person::new());
    let number: &[u8] = ann.secret.keynum();
    let mut bytes = eve.secret.to_bytes();
    let at = bytes.windows(8).position(|window| window == eve.secret.keynum()).unwrap();
    bytes[at..at + 8].copy_from_slice(number);
    let forged = minisign::SecretKey::from_bytes(&bytes).unwrap();
    let forger = Person { public: eve.public, secret: forged };
    let refused = keys(1, &[&ann]).verify(b"bytes", &forger.sign(b"bytes")).unwrap_err();
    assert_eq!(refused.code, Code::BadSignature);
}

#[test]
fn a_list_of_keys_is_of_different_people() {
    let people: Vec<Person> = (0..=RELEASE_KEYS_MAX).map(|_| Person::new()).collect();
    let list = |count: usize| people[..count].iter().map(|person| person.public.clone()).collect::<Vec<_>>();
    let code = |threshold, keys| Keys::new(threshold, keys).map_err(|refused| refused.code);
    assert_eq!(code(1, vec![]), Err(Code::Missing));
    assert_eq!(code(0, list(2)), Err(Code::NotAllowed));
    assert_eq!(code(3, list(2)), Err(Code::NotAllowed));
    assert_eq!(code(1, list(RELEASE_KEYS_MAX + 1)), Err(Code::TooMany));
    assert_eq!(code(2, [list(1), list(1)].concat()), Err(Code::NotAllowed));
    // The same key with another number is the same person.
    let mut again = domain::utils::base64::decode::<Vec<u8>>(&people[0].public.to_string()).unwrap();
    again[2] ^= 1;
    let again: PublicKey = domain::utils::base64::encode_string(&again).parse().unwrap();
    assert_ne!(again.id(), people[0].public.id());
    assert_eq!(code(2, vec![people[0].public.clone(), again]), Err(Code::NotAllowed));
    for bad in ["", "RWQ", "x", &people[0].public.to_string()[1..], "untrusted comment: x"] {
        assert_eq!(bad.parse::<PublicKey>().unwrap_err().code, Code::BadSignature, "{bad}");
    }
    let keys = Keys::new(2, list(3)).unwrap();
    let text = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<Keys>(&text).unwrap(), keys);
    let no_threshold = text.replace("\"threshold\":2", "\"threshold\":4");
    assert!(serde_json::from_str::<Keys>(&no_threshold).is_err());
}

#[test]
fn signatures_have_a_bound() {
    let ann = Person::new();
    let keys = keys(1, &[&ann]);
    let many = ann.sign(b"x").repeat(RELEASE_SIGNATURES_MAX);
    assert_eq!(keys.verify(b"x", &many).unwrap(), [ann.public.id()]);
    let more = many + &ann.sign(b"x");
    assert_eq!(keys.verify(b"x", &more).unwrap_err().code, Code::TooMany);
    let large = "x".repeat(RELEASE_SIGNATURES_LEN_MAX + 1);
    assert_eq!(keys.verify(b"x", &large).unwrap_err().code, Code::TooLarge);
}
