//! Bounds of beacons, and of what is learned from them.

use std::time::Duration;

/// Countries, autonomous systems and places of which something is known: there are fewer places of one degree
/// with people in them.
pub const PLACES_MAX: usize = 65_536;
/// Histograms of round-trip times, of 128 bytes: 8 MiB.
pub const RTTS_MAX: usize = 65_536;
/// Places, and groups of networks, that are told apart of one resolver's users.
pub const HEAVIEST_MAX: usize = 16;
/// PoPs whose times one observation may have.
pub const OBSERVED_POPS_MAX: usize = 8;
/// Milliseconds of a round trip that are told apart from more: whoever waits longer has another problem.
pub const RTT_MAX_MS: u32 = 60_000;
/// Bytes of one observation.
pub const OBSERVATION_LEN_MAX: usize = 1024;
/// Bytes of a state's line: a resolver with all it can have.
pub const STATE_LINE_LEN_MAX: usize = 4096;
/// Bytes of the file that a state is kept in.
pub const STATE_LEN_MAX: u64 = 256 << 20;

/// What a weight loses in a day, in 1024: half of it in three days.
pub const DECAY: u64 = 813;
/// Client networks, as weight, without which nothing is decided.
pub const LEARN_NETWORKS_MIN: u64 = 20;
/// Groups of networks (a /16, a /32 of IPv6) that they must come from.
pub const LEARN_GROUPS_MIN: usize = 3;
/// Of the weight no group may have more than this part: one in five.
pub const LEARN_GROUP_PART: u64 = 5;
/// Places with less than one in fifty of the users do not decide.
pub const LEARN_PLACE_PART: u64 = 50;
/// Tenths of a millisecond that a change must gain.
pub const LEARN_GAIN_MIN: u64 = 50;
/// The part of the time that it must gain: one in ten.
pub const LEARN_GAIN_PART: u64 = 10;
/// Seconds for which the same must have been wished.
pub const LEARN_WISH_AGE: u64 = 86_400;
/// The part of all weight that may change in one evaluation: one in twenty.
pub const LEARN_MOVED_PART: u64 = 20;
/// Client networks, as weight, from which on a resolver is well known.
pub const LEARN_WELL_KNOWN: u64 = 150;
/// Days that changes of resolvers are counted over.
pub const LEARN_CHANGE_DAYS: u32 = 5;
/// So many of them, for each well known resolver, may change in that time: one for three.
pub const LEARN_CHANGES_PART: u64 = 3;
/// And so many however few are well known: 24 in four weeks.
pub const LEARN_CHANGES_MIN: u64 = 4;
/// Days after which a resolver is forgotten whose users were not seen.
pub const LEARN_UNSEEN_DAYS: u32 = 14;
/// Samples without which a measured time is not believed.
pub const LEARN_RTT_SAMPLES: u64 = 50;
/// Samples without which a place, an AS or a country gets nothing of its own.
pub const LEARN_PLACE_SAMPLES: u64 = 100;
/// A time that nobody knows, and the longest that counts, in tenths of a millisecond.
pub const LEARN_RTT_CEILING: u64 = 5000;
/// PoPs of a measured place's list.
pub const LEARN_LIST_LEN: usize = 3;

/// Tickets whose name was asked for and whose hit has not come, or the other way round.
pub const NONCES_MAX: usize = 65_536;
/// Sightings that a thread which answers may have on their way.
pub const BEACONS_QUEUED_MAX: usize = 16_384;
/// For how long the two sides of a beacon wait for each other.
pub const BEACON_JOIN_MAX: Duration = Duration::from_secs(60);
/// Bytes of a hit's body.
pub const BEACON_BODY_LEN_MAX: usize = 1024;
/// Connections that beacons may have of those of a listener: the rest is for health and pages.
pub const BEACON_CONNECTIONS_MAX: usize = 16;
/// Bits of the filter that knows which client networks were counted today: one in a hundred of 14 million is
/// taken for another.
pub const BEACON_FILTER_BITS: u64 = 1 << 27;
/// Bytes of a key of beacons.
pub const BEACON_KEY_LEN: usize = 16;
/// PoPs that a ticket has a page measure.
pub const BEACON_TARGETS_MAX: usize = 3;
/// One view of a page in so many sends a beacon, unless the operator says something else.
pub const BEACON_SAMPLE_EVERY: usize = 100;
/// Bytes of the file of a key: 32 digits, and what an editor adds.
pub const BEACON_KEY_FILE_LEN_MAX: u64 = 128;
/// Time after which the sides of beacons are joined: well within what a queue holds.
pub const BEACON_TICK: Duration = Duration::from_millis(250);
/// Bytes of `X-Forwarded-For` that are looked at.
pub const FORWARDED_LEN_MAX: usize = 1024;
/// Malformed lines of observations that are told with their place.
pub const OBSERVATION_PROBLEMS_MAX: usize = 10;
/// How often `as112d learn` learns.
pub const LEARN_EVERY: Duration = Duration::from_secs(3600);
