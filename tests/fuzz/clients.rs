//! What answers that depend on the client are made from: files of networks, and what strangers say of
//! beacons.

#[path = "../../fuzz/beacons.rs"]
mod beacons;
#[path = "../../fuzz/networks.rs"]
mod networks;

use super::mutate::mutated;
use super::{assert_both_ways, fuzz};

#[test]
fn files_of_networks_are_refused_with_places_or_answers_hold_as_far_as_they_say() {
    let mut taken = 0;
    let steps = fuzz(100, |_, dice| {
        let (kind, file) = *dice.pick(&networks::FILES);
        taken += u64::from(networks::networks(&mutated(dice, &[file.to_vec()], &networks::WORDS), kind));
    });
    assert_both_ways(taken, steps);
}

#[test]
fn what_strangers_say_of_beacons_is_passed_over_or_kept_as_it_was_said() {
    let observation: &[u8] = br#"{"time":86400,"resolver":"192.0.2.1","country":"JP","at":[35,139],"as":1,
"group":1,"subnet":true,"rtt":{"nrt":9}}"#;
    let state: &[u8] = br#"{"kind":"as112d learned state 1","day":3,"read":{"a.jsonl":7}}
{"of":"192.0.2.1/32","seen":3,"places":[["JP",[35,139],1024],[null,null,7]],"groups":[[7,1024]]}
{"from":"place:35/139","to":"nrt","steps":[[9,256]]}
{"map":"world","gets":"192.0.2.0/24","pop":"nrt","since":3,"wish":["",86400]}
"#;
    type Kind = (fn(&[u8]) -> bool, &'static [u8]);
    let kinds: [Kind; 4] = [
        (beacons::ticket, b"mzxw6ytboiaaaaaaaaaaaaaaaa"),
        (beacons::body, br#"{"nrt":9,"sfo":119.5}"#),
        (beacons::observation, observation),
        (beacons::state, state),
    ];
    let words: [&[u8]; 8] = [b"\"", b"null", b"-1", b"1e9", b"4294967295", b"[", b"{}", b","];
    for (kind, corpus) in kinds {
        let mut taken = 0;
        let steps = fuzz(40, |_, dice| taken += u64::from(kind(&mutated(dice, &[corpus.to_vec()], &words))));
        assert_both_ways(taken, steps);
    }
}
