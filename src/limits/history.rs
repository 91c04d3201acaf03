//! Bounds of the history, and of directories that may be slow.

use std::time::Duration;

/// Bytes that the history may have in its directory, and in memory where it has none. A busy node has some
/// 200 counters that move in a minute and 300 rows of sources, at 20 bytes and 19,500 rows each in ten years:
/// 200 MiB, and the names of networks. What comes on top is rolled up before its time.
pub const HISTORY_LEN_MAX: u64 = 1 << 30;
/// See [`HISTORY_LEN_MAX`].
pub const HISTORY_IN_MEMORY_LEN_MAX: u64 = 128 << 20;
/// Bytes of the minutes that wait in memory while its directory cannot be used: two days of them on a busy
/// node, at 500 rows of 20 bytes each; those that come on top are rolled up before their time.
pub const HISTORY_WAITING_LEN_MAX: u64 = 48 << 20;
const _: () = assert!(HISTORY_WAITING_LEN_MAX < HISTORY_IN_MEMORY_LEN_MAX);
/// Bytes that its log keeps after a reader held it for long; a minute takes a hundredth of it.
pub const HISTORY_LOG_LEN_MAX: u64 = 16 << 20;
/// Bytes that its log may have while a reader holds it: a backup of hours. Then minutes wait in memory.
pub const HISTORY_HELD_LOG_LEN_MAX: u64 = 64 << 20;
const _: () = assert!(HISTORY_HELD_LOG_LEN_MAX > HISTORY_LOG_LEN_MAX);
/// Days that get a row of their own in one minute, at most: in a file of an earlier version there are years
/// of them. A day has some 10,000 finer rows, so this takes a tenth of a second.
pub const HISTORY_DAYS_AT_ONCE: usize = 16;
/// How long a start waits for the history to be opened. It takes some milliseconds; a directory that does not
/// respond keeps nobody from serving.
pub const HISTORY_OPEN_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long an end waits for the history to be stored, and for the last files of exports.
pub const HISTORY_CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);
const _: () = assert!(HISTORY_CLOSE_WAIT_MAX.as_millis() > HISTORY_BUSY_MAX.as_millis());
/// How long a directory may take to respond where nothing depends on it. A disk that has to spin up takes
/// longer, and is as good as none.
pub const DIRECTORY_WAIT_MAX: Duration = Duration::from_secs(1);
/// How often an end looks whether a thread that it waits for has ended.
pub const WATCHED_TICK: Duration = Duration::from_millis(5);
/// How far the history ages in a minute at most. A clock that is wrong for a minute costs an hour of detail;
/// what a month of absence has made old is rolled up within half a day.
pub const HISTORY_AGED_AT_ONCE: Duration = Duration::from_secs(3600);
/// The part of its time by which a resolution is cut when the history has no more room.
pub const HISTORY_CUT: u64 = 8;
/// How long the history waits for a person who locks its file.
pub const HISTORY_BUSY_MAX: Duration = Duration::from_secs(5);
/// The resolutions of the history in seconds, and for how many seconds each is kept before it is rolled up to
/// the next; after the last it is forgotten.
pub const HISTORY_RESOLUTIONS: [(u64, u64); 4] =
    [(60, 48 * 3600), (15 * 60, 35 * 24 * 3600), (3600, 400 * 24 * 3600), (24 * 3600, 3653 * 24 * 3600)];
const _: () = {
    let mut at = 1;
    while at < HISTORY_RESOLUTIONS.len() {
        // A row of the finer resolution lies within one of the coarser.
        assert!(HISTORY_RESOLUTIONS[at].0.is_multiple_of(HISTORY_RESOLUTIONS[at - 1].0));
        assert!(HISTORY_RESOLUTIONS[at].1 > HISTORY_RESOLUTIONS[at - 1].1);
        at += 1;
    }
};
