//! Which release of a folder may take effect: pointers, keys and numbers, with a process that remembers.

use std::fs;
use std::path::Path;
use std::time::Instant;

use as112d::config::released::{Known, Which};
use as112d::config::{Flags, load_with};
use serde_json::json;

use crate::publisher::{Fleet, Person, saying};

/// The number of the release that would take effect, or why none does.
fn read(fleet: &Fleet, which: Which, known: &Known) -> Result<Option<u64>, String> {
    let config = load_with(Some(&fleet.file()), &Flags::default(), Some(which), known);
    let name = config.map(|config| config.release.as_ref().map(|release| release.name));
    name.map(|name| name.map(|name| name.number)).map_err(|problems| problems[0].to_string())
}

/// The same, and it takes effect.
fn take(fleet: &Fleet, known: &Known) -> Result<Option<u64>, String> {
    let config = load_with(Some(&fleet.file()), &Flags::default(), Some(Which::Current), known);
    let config = config.map_err(|problems| problems[0].to_string())?;
    let name = config.release.as_ref().map(|release| release.name);
    known.took(name, Instant::now());
    Ok(name.map(|name| name.number))
}

fn refused(fleet: &Fleet, known: &Known, words: &str) {
    let error = take(fleet, known).expect_err(words);
    assert!(error.contains(words), "{error}");
}

#[test]
fn without_a_pointer_numbers_never_fall() {
    let (fleet, known) = (Fleet::new(""), Known::default());
    assert_eq!(take(&fleet, &known), Ok(None));
    let names = [1, 2, 3].map(|number| fleet.release(number, &saying(&number.to_string())));
    fleet.link("current", &names[1]);
    assert_eq!(take(&fleet, &known), Ok(Some(2)));
    fleet.link("current", &names[0]);
    refused(&fleet, &known, "fleet/current: older: release 2 was in effect");
    // Whoever has just started knows of nothing.
    assert_eq!(take(&fleet, &Known::default()), Ok(Some(1)));
    fleet.link("current", &fleet.release(2, &saying("another")));
    refused(&fleet, &known, "fleet/current: replayed: another release 2");
    fleet.link("current", &names[2]);
    assert_eq!(take(&fleet, &known), Ok(Some(3)));
    fs::remove_file(fleet.at("current")).expect("it is there");
    refused(&fleet, &known, "fleet/current: missing: it is gone");
}

#[test]
fn a_pointer_decides_and_goes_back_by_its_serial_alone() {
    let (fleet, known) = (Fleet::new(""), Known::default());
    let names = [1, 2, 3].map(|number| fleet.release(number, &saying(&number.to_string())));
    let old = fleet.pointer("fleet", 4, json!({ "kind": "want", "release": names[0] }));
    fleet.want(5, &names[1]);
    fleet.link("current", &names[1]);
    assert_eq!(take(&fleet, &known), Ok(Some(2)));
    // While an agent fetches what the next pointer wants, what is in effect may be read again.
    fleet.want(6, &names[2]);
    assert_eq!(take(&fleet, &known), Ok(Some(2)));
    fleet.link("current", &names[0]);
    refused(&fleet, &known, "current: older: it is 1-");
    fs::write(fleet.at("pointers/fleet"), &old).expect("there is room");
    refused(&fleet, &known, "pointers/fleet: older: serial 4, and a later one of fleet was seen");
    fs::remove_file(fleet.at("pointers/fleet")).expect("it is there");
    refused(&fleet, &known, "current: older: it is 1-");
    fleet.want(6, &names[0]);
    refused(&fleet, &known, "pointers/fleet: replayed: another pointer of fleet with the serial 6");
    fleet.want(7, &names[0]);
    assert_eq!(take(&fleet, &known), Ok(Some(1)), "a rollback");
    // The most exact scope decides.
    let own = fleet.pointer("node/ams1", 1, json!({ "kind": "want", "release": names[2] }));
    fs::write(fleet.at("pointers/node"), own).expect("there is room");
    fleet.link("current", &names[2]);
    assert_eq!(take(&fleet, &known), Ok(Some(3)));
    let hold = fleet.pointer("node/ams1", 2, json!({ "kind": "hold" }));
    fs::write(fleet.at("pointers/node"), hold).expect("there is room");
    fleet.link("current", &names[1]);
    refused(&fleet, &known, "current: not-allowed: it is 2-");
    assert_eq!(read(&fleet, Which::Current, &Known::default()), Ok(Some(2)), "a start has nothing to hold");
}

#[test]
fn a_pointer_of_others_is_refused() {
    let fleet = Fleet::new("");
    fleet.link("current", &fleet.release(1, &saying("1")));
    for (scope, more, words) in [
        ("colo/lhr", json!({ "kind": "hold" }), "pointers/fleet: wrong-fleet: it is for colo/lhr"),
        ("fleet", json!({ "kind": "hold", "fleet": "other" }), "pointers/fleet: wrong-fleet"),
        ("fleet", json!({ "kind": "hold", "format": 2 }), "pointers/fleet: unknown-format"),
    ] {
        fs::write(fleet.at("pointers/fleet"), fleet.pointer(scope, 1, more)).expect("there is room");
        refused(&fleet, &Known::default(), words);
    }
    let mut line = fleet.pointer("fleet", 1, json!({ "kind": "hold" }));
    line = line.replacen("today", "later", 1);
    fs::write(fleet.at("pointers/fleet"), line).expect("there is room");
    refused(&fleet, &Known::default(), "pointers/fleet: bad-signature");
    fs::write(fleet.at("pointers/fleet"), "").expect("there is room");
    refused(&fleet, &Known::default(), "pointers/fleet: short");
    // The last good one needs no pointer.
    fleet.link("good", &fleet.release(1, &saying("1")));
    assert_eq!(read(&fleet, Which::Good, &Known::default()), Ok(Some(1)));
}

#[test]
fn a_node_may_fall_back_while_it_bakes_and_no_longer() {
    for (local, bake, may) in [("", None, false), ("", Some(60), true), ("bake = '1m'\n", None, true)] {
        let (fleet, known) = (Fleet::new(local), Known::default());
        let names = [1, 2, 3].map(|number| fleet.release(number, &saying(&number.to_string())));
        for (serial, name) in (1..).zip(&names) {
            let mut want = json!({ "kind": "want", "release": name });
            if let Some(bake) = bake {
                want["bake"] = bake.into();
            }
            fleet.point(serial, want);
            fleet.link("current", name);
            take(&fleet, &known).expect("it is wanted");
        }
        fleet.link("current", &names[0]);
        refused(&fleet, &known, "current: older");
        fleet.link("current", &names[1]);
        assert_eq!(take(&fleet, &known).is_ok(), may, "{local}{bake:?}");
    }
    let (fleet, known) = (Fleet::new(""), Known::default());
    let names = [1, 2].map(|number| fleet.release(number, &saying(&number.to_string())));
    for (serial, name) in (1..).zip(&names) {
        fleet.point(serial, json!({ "kind": "want", "release": name, "bake": 0 }));
        fleet.link("current", name);
        take(&fleet, &known).expect("it is wanted");
    }
    fleet.link("current", &names[0]);
    refused(&fleet, &known, "current: older");
}

#[test]
fn keys_change_with_a_release_and_several_may_have_to_sign() {
    let (fleet, known) = (Fleet::new(""), Known::default());
    let (second, third) = (Person::new(), Person::new());
    let files = saying("1");
    fleet.write_local(&[&fleet.person, &second, &third], 2, "");
    let manifest = Fleet::manifest(1, &files);
    fleet.link("current", &fleet.put(&manifest, &files, &[&fleet.person]));
    refused(&fleet, &known, "manifest.json: too-few-signatures: signed by 1 of the keys");
    fleet.link("current", &fleet.put(&manifest, &files, &[&fleet.person, &fleet.person]));
    refused(&fleet, &known, "too-few-signatures");
    fleet.link("current", &fleet.put(&manifest, &files, &[&fleet.person, &Person::new()]));
    refused(&fleet, &known, "too-few-signatures");
    fleet.link("current", &fleet.put(&manifest, &files, &[&third, &second]));
    assert_eq!(take(&fleet, &known), Ok(Some(1)));
    // The third one takes over.
    let mut change = Fleet::manifest(2, &files);
    change["keys"] = json!({ "threshold": 1, "keys": [third.public] });
    let name = fleet.put(&change, &files, &[&fleet.person, &second, &third]);
    let era = fleet.at("eras/0001");
    fs::create_dir_all(&era).expect("there is room");
    for file in ["manifest.json", "manifest.sig"] {
        fs::copy(fleet.at(&format!("releases/{name}/{file}")), era.join(file)).expect("it is there");
    }
    fleet.link("current", &name);
    assert_eq!(take(&fleet, &known), Ok(Some(2)));
    let files = saying("3");
    let manifest = Fleet::manifest(3, &files);
    fleet.link("current", &fleet.put(&manifest, &files, &[&fleet.person, &second]));
    refused(&fleet, &known, "too-few-signatures");
    fleet.link("current", &fleet.put(&manifest, &files, &[&third]));
    assert_eq!(take(&fleet, &known), Ok(Some(3)));
    fs::write(era.join("manifest.json"), "{}").expect("there is room");
    refused(&fleet, &known, "fleet/eras: bad-signature");
}

#[test]
fn a_release_that_needs_a_newer_program_is_refused() {
    let fleet = Fleet::new("");
    let files = saying("1");
    for (key, value, words) in [
        ("min_version", json!("99.0.0"), "current: needs-version: release 1 needs as112d 99.0.0"),
        ("format", json!(2), "manifest.json: unknown-format: a manifest of format 2"),
        ("fleet", json!("other"), "manifest.json: wrong-fleet: it is of the fleet other"),
        ("more", json!(1), "manifest.json: unknown-format: not a manifest: unknown field `more`"),
    ] {
        let mut manifest = Fleet::manifest(1, &files);
        manifest[key] = value;
        fleet.link("current", &fleet.put(&manifest, &files, &[&fleet.person]));
        refused(&fleet, &Known::default(), words);
    }
}

#[test]
fn a_link_leads_to_a_release_and_nowhere_else() {
    let fleet = Fleet::new("");
    let name = fleet.release(1, &saying("1"));
    let release = fleet.at(&format!("releases/{name}"));
    for (target, words) in [
        ("/etc", "fleet/current: bad-path: it leads to `/etc`"),
        ("../fleet/releases/x", "fleet/current: bad-path"),
        ("releases", "fleet/current: bad-path"),
        ("releases/..", "fleet/current: bad-path"),
        (release.to_str().expect("a path"), "fleet/current: bad-path"),
        ("releases/2-00000000", "releases/2-00000000/manifest.json: missing"),
    ] {
        fleet.link_to("current", Path::new(target));
        refused(&fleet, &Known::default(), words);
    }
    fs::rename(release, fleet.at("releases/9-00000000")).expect("it is there");
    fleet.link_to("current", Path::new("releases/9-00000000"));
    refused(&fleet, &Known::default(), "fleet/current: wrong-hash: it leads to releases/9-00000000");
    fs::remove_file(fleet.at("current")).expect("it is there");
    fs::create_dir(fleet.at("current")).expect("there is room");
    refused(&fleet, &Known::default(), "fleet/current: not-a-file: it is not a link");
}
