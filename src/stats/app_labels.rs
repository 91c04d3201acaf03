//! The labels of what applications do.

use super::labels::{Label, Values};
use crate::limits::{APP_SERIES_MAX, METRIC_SERIES_MAX};

/// The application, by its name.
pub static APP: Label = Label { name: "app", len: APP_SERIES_MAX + 1, values: Values::Apps };
/// The first value of [`APP`]: no application.
pub const APP_NONE: &str = "none";
/// The application that has the counter which [`METRIC`] says.
pub static METRIC_APP: Label = Label { name: "app", len: 1, values: Values::OwnerOfMetric };
/// A counter that an application has of its own.
pub static METRIC: Label = Label { name: "metric", len: METRIC_SERIES_MAX + 1, values: Values::Metrics };
/// What happened to an application.
pub static APP_EVENT: Label = Label::fixed("kind", &["start", "query", "done", "timer", "tick", "stop"]);
/// Values of [`APP_EVENT`]: an instance was started.
pub const APP_EVENT_START: usize = 0;
/// A query, in some phase.
pub const APP_EVENT_QUERY: usize = 1;
/// Something that it wanted has ended.
pub const APP_EVENT_DONE: usize = 2;
/// A timer has run out.
pub const APP_EVENT_TIMER: usize = 3;
/// A second has passed.
pub const APP_EVENT_TICK: usize = 4;
/// An instance was stopped.
pub const APP_EVENT_STOP: usize = 5;
/// What an application says of a query: by what it returns, or by `finish`.
pub static APP_VERDICT: Label =
    Label::fixed("verdict", &["pass", "reply", "rcode", "drop", "later", "changed", "retry", "fail"]);
/// Values of [`APP_VERDICT`], as the interface numbers them.
pub const APP_VERDICT_FAIL: usize = 7;
/// Why an instance was thrown away.
pub static TRAP: Label = Label::fixed(
    "why",
    &["time", "calls", "pointer", "stack", "memory", "unreachable", "code", "start", "hooks"],
);
/// Values of [`TRAP`]: its time for one event was up.
pub const TRAP_TIME: usize = 0;
/// As many hostcalls as one event may make.
pub const TRAP_CALLS: usize = 1;
/// It gave a hostcall an address outside of its memory.
pub const TRAP_POINTER: usize = 2;
/// Its stack was full.
pub const TRAP_STACK: usize = 3;
/// It read or wrote outside of its memory.
pub const TRAP_MEMORY: usize = 4;
/// It ran into `unreachable`, as panics are compiled.
pub const TRAP_UNREACHABLE: usize = 5;
/// Any other mistake of its code: a division by zero, a call of what is not a function.
pub const TRAP_CODE: usize = 6;
/// It says that it cannot start.
pub const TRAP_START: usize = 7;
/// It registered other hooks than when it was loaded.
pub const TRAP_HOOKS: usize = 8;
/// Why what an application says of a query is not taken.
pub static BAD_REPLY: Label = Label::fixed("why", &["length", "malformed", "question", "verdict"]);
/// Values of [`BAD_REPLY`]: shorter than a header, or longer than the area.
pub const BAD_REPLY_LENGTH: usize = 0;
/// It cannot be read, or something is left over.
pub const BAD_REPLY_MALFORMED: usize = 1;
/// It answers another question.
pub const BAD_REPLY_QUESTION: usize = 2;
/// There is no such verdict, or not in this phase.
pub const BAD_REPLY_VERDICT: usize = 3;
/// Why a hostcall was refused.
pub static HOSTCALL_REFUSED: Label =
    Label::fixed("why", &["invalid", "denied", "limit", "not_found", "busy", "closed", "too_long", "state"]);
/// Values of [`HOSTCALL_REFUSED`]: an argument is not valid.
pub const HOSTCALL_INVALID: usize = 0;
/// The manifest does not allow it.
pub const HOSTCALL_DENIED: usize = 1;
/// Too much of it.
pub const HOSTCALL_LIMIT: usize = 2;
/// There is no such thing.
pub const HOSTCALL_NOT_FOUND: usize = 3;
/// Too much is under way.
pub const HOSTCALL_BUSY: usize = 4;
/// The other side has closed.
pub const HOSTCALL_CLOSED: usize = 5;
/// It does not fit.
pub const HOSTCALL_TOO_LONG: usize = 6;
/// Not now.
pub const HOSTCALL_STATE: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::labels::Names;

    #[test]
    fn counters_of_applications_keep_their_place_by_name() {
        let mut names = Names::default();
        let places = [("a", "x"), ("b", "x"), ("a", "x")].map(|(app, name)| names.place_metric(app, name));
        assert_eq!(places, [0, 1, 0]);
        let labels: [&Label; 2] = [&METRIC_APP, &METRIC];
        assert_eq!(names.values(&labels, &[0, 1]), ["b", "x"]);
        assert_eq!(names.values(&labels, &[0, METRIC.len - 1]), ["other", "other"]);
        for number in names.metrics.len()..METRIC_SERIES_MAX {
            names.place_metric("c", &number.to_string());
        }
        assert_eq!((names.place_metric("d", "x"), names.place_metric("b", "x")), (METRIC.len - 1, 1));
    }
}
