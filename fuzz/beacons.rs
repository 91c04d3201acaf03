//! What strangers say of beacons: tickets, bodies of hits, observations; and what is kept of it.

use as112d::learn::collector::rtts;
use as112d::learn::kept;
use as112d::learn::observation::Observation;
use as112d::learn::state::State;
use as112d::learn::ticket::{Key, Network, Nonce};
use as112d::limits::{OBSERVED_POPS_MAX, RTT_MAX_MS};

/// Reads bytes as the label of a ticket: whatever is one is written alike, and none of a stranger is ours.
/// Whether it is one.
pub fn ticket(bytes: &[u8]) -> bool {
    let Some(nonce) = Nonce::read(bytes) else { return false };
    assert_eq!(nonce.to_string().as_bytes(), bytes.to_ascii_lowercase());
    let network = Network::of([192, 0, 2, 1].into());
    let now = 1_795_824_000;
    let key = Key::new([7; 16]);
    if key.check(&nonce, now, network).is_ok() {
        key.check_given(&nonce, now).expect("what is whole is given");
    }
    true
}

/// Reads bytes as the body of a hit. Whether it says anything.
pub fn body(bytes: &[u8]) -> bool {
    let rtts = rtts(bytes, |name| ["nrt", "sfo"].contains(&name));
    assert!(rtts.len() <= OBSERVED_POPS_MAX.min(2));
    assert!(rtts.iter().all(|(name, ms)| ["nrt", "sfo"].contains(&name.as_str()) && *ms <= RTT_MAX_MS));
    !rtts.is_empty()
}

/// Reads bytes as an observation: one that is sound is written alike, and adds up to a state that is read as
/// it was written. Whether it is one.
pub fn observation(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let observation = match Observation::read(text) {
        Ok(observation) => observation,
        Err(why) => {
            assert!(!why.is_empty());
            return false;
        }
    };
    let again = Observation::read(observation.line().trim_end()).expect("it is written as it is read");
    assert_eq!(again, observation);
    let mut state = State::default();
    state.add(&observation);
    let written = kept::write(&state);
    assert_eq!(kept::write(&kept::read(&written).expect("it is read as it is written")), written);
    true
}

/// Reads bytes as a state: one that is sound is written so that it is read again, and adds to another.
/// Whether it is one.
pub fn state(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let state = match kept::read(text) {
        Ok(state) => state,
        Err((line, why)) => {
            assert!((1..=text.lines().count().max(1)).contains(&line) && !why.is_empty(), "{line}: {why}");
            return false;
        }
    };
    let written = kept::write(&state);
    assert_eq!(kept::write(&kept::read(&written).expect("it is read as it is written")), written);
    let mut sum = state.clone();
    sum.merge(state);
    true
}
