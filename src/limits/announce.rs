//! Bounds of the announcer and of probes.

use std::time::Duration;

/// Time for each exchange of `as112d probe` with an address, unless somebody says otherwise, and for one of
/// `as112d announce`: a reply from this host takes under a millisecond, and a stall of this long is a fault.
pub const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// See [`PROBE_TIMEOUT`].
pub const ANNOUNCE_TIMEOUT: Duration = Duration::from_millis(300);
/// How often `as112d announce` probes an address, from begin to begin. With two failed probes for a fall,
/// what hangs is withdrawn after 1.3 s at most.
pub const ANNOUNCE_INTERVAL: Duration = Duration::from_millis(500);
const _: () = assert!(ANNOUNCE_TIMEOUT.as_millis() < ANNOUNCE_INTERVAL.as_millis());
/// One in this many good probes of an address asks over TCP too: a node that answers over UDP rarely fails
/// over TCP alone, and each such probe is a connection.
pub const ANNOUNCE_TCP_EVERY: usize = 5;
/// Failed probes in a row for a fall, and good ones for a rise: one lost packet is not a fall, and what has
/// just started has two and a half seconds to show that it stays.
pub const ANNOUNCE_FALL: usize = 2;
/// See [`ANNOUNCE_FALL`].
pub const ANNOUNCE_RISE: usize = 5;
/// Most probes that may be asked for of either.
pub const ANNOUNCE_PROBES_MAX: usize = 1000;
/// How long what fell is held down the first time, and the longest: a flap in five minutes is below what
/// routers elsewhere would damp.
pub const ANNOUNCE_HOLD_DOWN: Duration = Duration::from_secs(10);
/// See [`ANNOUNCE_HOLD_DOWN`].
pub const ANNOUNCE_HOLD_DOWN_MAX: Duration = Duration::from_secs(300);
/// The shortest and the longest of the times of `[announce]`, in milliseconds.
pub const ANNOUNCE_FLOOR_MS: u64 = 10;
/// See [`ANNOUNCE_FLOOR_MS`].
pub const ANNOUNCE_CEILING_MS: u64 = 3_600_000;
/// Words of a configured command.
pub const COMMAND_WORDS_MAX: usize = 32;
/// Time that a router's command may take before it is killed, and tried again: birdc takes milliseconds.
pub const ROUTER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether a command whose output has ended has ended too: mostly it has at once.
pub const COMMAND_LOOK_EVERY: Duration = Duration::from_millis(2);
/// Commands that could not be killed and still run: with so many no other is run.
pub const COMMANDS_LEFT_MAX: usize = 16;
/// Bytes of what it prints that are read, of which the last line is told where it failed.
pub const ROUTER_OUTPUT_LEN_MAX: u64 = 4 << 10;
/// How often a router that did not take a change is told again.
pub const ROUTER_RETRY_EVERY: Duration = Duration::from_secs(1);
/// How long the last withdrawal is tried again: supervisors kill after 90 s (systemd).
pub const ANNOUNCE_WITHDRAW_MAX: Duration = Duration::from_secs(60);
/// Bytes of the file that says what is announced: four lines.
pub const ANNOUNCED_LEN_MAX: u64 = 4 << 10;
/// How often `as112d announce` tells the node how its routes are, if nothing is new.
pub const REPORT_EVERY: Duration = Duration::from_secs(10);
/// How long the node believes the last report: who says nothing for so long has stopped.
pub const REPORT_AGE_MAX: Duration = Duration::from_secs(60);
const _: () = assert!(REPORT_AGE_MAX.as_secs() >= 3 * REPORT_EVERY.as_secs());
/// Bytes of a report, and characters of a reason in it: the reasons of all eight addresses fit.
pub const REPORT_LEN_MAX: u64 = 16 << 10;
/// See [`REPORT_LEN_MAX`].
pub const REPORT_REASON_LEN_MAX: usize = 200;
/// Prefixes that a report is about; of more the rest is not kept.
pub const REPORT_ROUTES_MAX: usize = 16;
/// Results of probes that wait for `as112d announce`; a probe with one more waits.
pub const ANNOUNCE_EVENTS_MAX: usize = 64;
/// Bytes of a line of the control socket that `as112d announce` reads.
pub const NEWS_LEN_MAX: u64 = 4 << 10;
