//! The gates of a release on a node: whether the node serves as well with it as before. Two readings of
//! counters and a few checks go in, what fell comes out. Without I/O and without a clock.
//!
//! Nobody is asked: a node that is cut off falls back by itself. A gate compares shares, so it holds for a
//! node of ten queries in a second as for one of a million; what chance may do to few queries is allowed for.

use std::fmt;
use std::time::Duration;

use crate::limits::{
    GATE_CPU_FLOOR, GATE_CPU_QUERIES_MIN, GATE_CPU_TIMES, GATE_DROPPED_MORE, GATE_FAILED_MORE,
    GATE_FAILED_TIMES, GATE_RSS_LEN_MORE, GATE_RSS_TIMES, GATE_UNANSWERED,
};

/// What a node has counted since it started, at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// When, on a clock that only goes forward.
    pub at: Duration,
    /// Which start of the process counts: another number, another process.
    pub start: u64,
    /// Queries that came in.
    pub received: u64,
    /// Queries that were answered.
    pub answered: u64,
    /// Of those the ones with SERVFAIL, REFUSED or FORMERR.
    pub failed: u64,
    /// Datagrams that the kernel dropped as no socket took them in time.
    pub dropped: u64,
    /// CPU time of the process.
    pub cpu: Duration,
}

/// What happened between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// How long it was.
    pub span: Duration,
    /// See [`Reading`].
    pub received: u64,
    /// See [`Reading`].
    pub answered: u64,
    /// See [`Reading`].
    pub failed: u64,
    /// See [`Reading`].
    pub dropped: u64,
    /// See [`Reading`].
    pub cpu: Duration,
}

impl Reading {
    /// What happened since an earlier reading. Nothing can be said if the process is another one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Window> {
        (self.start == earlier.start).then_some(())?;
        Some(Window {
            span: self.at.checked_sub(earlier.at)?,
            received: self.received.checked_sub(earlier.received)?,
            answered: self.answered.checked_sub(earlier.answered)?,
            failed: self.failed.checked_sub(earlier.failed)?,
            dropped: self.dropped.checked_sub(earlier.dropped)?,
            cpu: self.cpu.checked_sub(earlier.cpu)?,
        })
    }
}

/// What is asked and looked at while the release is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// What the node said to the reload: why it failed, if it did.
    pub reload: Result<(), String>,
    /// What a query to each address said, if any was asked: which did not answer as they should.
    pub probe: Option<Result<(), String>>,
    /// How often the process started before the release and since.
    pub starts: (u64, u64),
    /// Memory of the process before, if it was read, and now, in bytes.
    pub rss_len: (Option<u64>, u64),
    /// The most memory that it may have, if there is a limit, in bytes.
    pub memory_len_max: Option<u64>,
}

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gate {
    /// The node takes the release.
    Reload,
    /// The process is the same.
    Starts,
    /// Its addresses answer as they should.
    Probe,
    /// What comes in is answered.
    Answered,
    /// Answers are not errors.
    Failed,
    /// The kernel drops nothing.
    Dropped,
    /// A query costs what it did.
    Cpu,
    /// Memory is what it was.
    Memory,
}

impl Gate {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Starts => "starts",
            Self::Probe => "probe",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// A gate that fell, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallen {
    /// Which.
    pub gate: Gate,
    /// What was seen, and what is allowed.
    pub words: String,
}

impl fmt::Display for Fallen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.gate.word(), self.words)
    }
}

/// All gates that fell; none, and the release may stay. Without `before` (a node that has just started) there
/// is nothing to compare with, and only what holds by itself is looked at; `during` is missing if the process
/// is another one.
#[must_use]
pub fn judge(before: Option<&Window>, during: Option<&Window>, checks: &Checks) -> Vec<Fallen> {
    let mut fallen = Vec::new();
    let mut fell = |gate, words: String| fallen.push(Fallen { gate, words });
    if let Err(why) = &checks.reload {
        fell(Gate::Reload, why.clone());
    }
    let (starts, starts_now) = checks.starts;
    if starts_now != starts {
        fell(Gate::Starts, format!("the process started {} times since", starts_now.saturating_sub(starts)));
    }
    if let Some(Err(why)) = &checks.probe {
        fell(Gate::Probe, why.clone());
    }
    if let Some(during) = during {
        shares(before, during, &mut fell);
    }
    memory(checks, &mut fell);
    fallen
}

fn shares(before: Option<&Window>, during: &Window, fell: &mut impl FnMut(Gate, String)) {
    let unanswered = during.received.saturating_sub(during.answered);
    if is_more(unanswered, during.received, GATE_UNANSWERED) {
        fell(Gate::Answered, format!("{unanswered} of {} queries were not answered", during.received));
    }
    let Some(before) = before else { return };
    let allowed = share(before.failed, before.answered) * GATE_FAILED_TIMES + GATE_FAILED_MORE;
    if is_more(during.failed, during.answered, allowed) {
        let words = format!(
            "{} of {} answers were SERVFAIL, REFUSED or FORMERR, and {} of {} before",
            during.failed, during.answered, before.failed, before.answered
        );
        fell(Gate::Failed, words);
    }
    let allowed = share(before.dropped, before.received) + GATE_DROPPED_MORE;
    if is_more(during.dropped, during.received, allowed) {
        let words = format!(
            "the kernel dropped {} datagrams of {}, and {} of {} before",
            during.dropped, during.received, before.dropped, before.received
        );
        fell(Gate::Dropped, words);
    }
    cpu(before, during, fell);
}

/// CPU time of a query. A node that is asked less than before has more of it for each query, as some of it is
/// for none: so it counts only where the process as a whole takes more than before, and not just next to
/// nothing.
fn cpu(before: &Window, during: &Window, fell: &mut impl FnMut(Gate, String)) {
    let each = |window: &Window| window.cpu.as_secs_f64() / window.received.max(1) as f64;
    let load = |window: &Window| window.cpu.as_secs_f64() / window.span.as_secs_f64().max(f64::MIN_POSITIVE);
    let is_known = before.received.min(during.received) >= GATE_CPU_QUERIES_MIN;
    let is_load = load(during) > load(before) && load(during) >= GATE_CPU_FLOOR;
    if is_known && is_load && each(during) > each(before) * GATE_CPU_TIMES {
        let micros = |window: &Window| each(window) * 1e6;
        let words =
            format!("a query takes {:.1} us of CPU, and {:.1} us before", micros(during), micros(before));
        fell(Gate::Cpu, words);
    }
}

fn memory(checks: &Checks, fell: &mut impl FnMut(Gate, String)) {
    let mib = |len: u64| len >> 20;
    let (before, now) = checks.rss_len;
    if let Some(max) = checks.memory_len_max.filter(|max| now > *max) {
        fell(Gate::Memory, format!("{} MiB, and {} MiB is the limit", mib(now), mib(max)));
    } else if let Some(before) = before
        && now as f64 > before as f64 * GATE_RSS_TIMES
        && now - before > GATE_RSS_LEN_MORE
    {
        fell(Gate::Memory, format!("{} MiB, and {} MiB before", mib(now), mib(before)));
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Whether `part` of `whole` is more than `allowed` of it, and more than chance makes of that: three times
/// the spread of such a count (Poisson), and three more, as of ten queries one may fail.
fn is_more(part: u64, whole: u64, allowed: f64) -> bool {
    let expected = allowed * whole as f64;
    part as f64 > expected + 3.0 * expected.sqrt() + 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil<T> = fn(&mut T);

    /// An hour of 1,000 queries in a second, of which one in a thousand fails.
    const HOUR: Window = Window {
        span: Duration::from_secs(3600),
        received: 3_600_000,
        answered: 3_599_900,
        failed: 3_600,
        dropped: 0,
        cpu: Duration::from_secs(90),
    };

    /// Five minutes of the same.
    const BAKE: Window = Window {
        span: Duration::from_secs(300),
        received: 300_000,
        answered: 299_990,
        failed: 300,
        dropped: 0,
        cpu: Duration::from_millis(7_500),
    };

    fn fine() -> Checks {
        Checks {
            reload: Ok(()),
            probe: Some(Ok(())),
            starts: (4, 4),
            rss_len: (Some(40 << 20), 44 << 20),
            memory_len_max: Some(1 << 30),
        }
    }

    fn fallen(before: Option<&Window>, during: &Window, checks: &Checks) -> Vec<Gate> {
        judge(before, Some(during), checks).into_iter().map(|fallen| fallen.gate).collect()
    }

    #[test]
    fn what_is_as_before_may_stay() {
        assert_eq!(fallen(Some(&HOUR), &BAKE, &fine()), []);
        assert_eq!(fallen(None, &BAKE, &fine()), []);
        assert_eq!(fallen(Some(&HOUR), &Window::default(), &fine()), []);
        assert_eq!(judge(Some(&HOUR), None, &Checks { probe: None, ..fine() }), []);
    }

    #[test]
    fn each_gate_falls_by_itself() {
        let spoiled: [(Spoil<Window>, Gate); 4] = [
            (|bake| bake.answered -= 600, Gate::Answered),
            (|bake| bake.failed = 1_200, Gate::Failed),
            (|bake| bake.dropped = 60, Gate::Dropped),
            (|bake| bake.cpu = Duration::from_secs(12), Gate::Cpu),
        ];
        for (spoil, gate) in spoiled {
            let mut bake = BAKE;
            spoil(&mut bake);
            assert_eq!(fallen(Some(&HOUR), &bake, &fine()), [gate]);
        }
        let spoiled: [(Spoil<Checks>, Gate, &str); 5] = [
            (|checks| checks.reload = Err("a.zone:3: no".to_owned()), Gate::Reload, "reload: a.zone:3: no"),
            (|checks| checks.starts.1 += 2, Gate::Starts, "starts: the process started 2 times since"),
            (|checks| checks.probe = Some(Err("no answer".to_owned())), Gate::Probe, "probe: no answer"),
            (|checks| checks.rss_len.1 = 90 << 20, Gate::Memory, "memory: 90 MiB, and 40 MiB before"),
            (
                |checks| checks.memory_len_max = Some(42 << 20),
                Gate::Memory,
                "memory: 44 MiB, and 42 MiB is the limit",
            ),
        ];
        for (spoil, gate, words) in spoiled {
            let mut checks = fine();
            spoil(&mut checks);
            let found = judge(Some(&HOUR), Some(&BAKE), &checks);
            assert_eq!((found.len(), found[0].gate, found[0].to_string().as_str()), (1, gate, words));
        }
    }

    #[test]
    fn chance_does_not_make_a_gate_fall() {
        // Ten queries in five minutes, of which one fails: that is ten in a hundred.
        let quiet = Window { received: 10, answered: 10, failed: 1, cpu: Duration::ZERO, ..BAKE };
        assert_eq!(fallen(Some(&HOUR), &quiet, &fine()), []);
        // All of them fail: that is not chance.
        assert_eq!(fallen(Some(&HOUR), &Window { failed: 10, ..quiet }, &fine()), [Gate::Failed]);
        // A quiet night: more CPU for each query, and less in all.
        let night =
            Window { received: 30_000, answered: 30_000, failed: 30, cpu: Duration::from_secs(2), ..BAKE };
        assert_eq!(fallen(Some(&HOUR), &night, &fine()), []);
        // A small process that doubled takes no more than others do.
        let checks = Checks { rss_len: (Some(8 << 20), 20 << 20), ..fine() };
        assert_eq!(fallen(Some(&HOUR), &BAKE, &checks), []);
    }

    #[test]
    fn another_process_is_not_compared() {
        let reading = |at, start, received| Reading {
            at: Duration::from_secs(at),
            start,
            received,
            answered: received,
            ..Reading::default()
        };
        let window = reading(20, 1, 500).since(&reading(10, 1, 200)).unwrap();
        assert_eq!((window.span, window.received, window.answered), (Duration::from_secs(10), 300, 300));
        assert_eq!(reading(20, 2, 500).since(&reading(10, 1, 200)), None);
        assert_eq!(reading(20, 1, 100).since(&reading(10, 1, 200)), None);
        assert_eq!(reading(5, 1, 300).since(&reading(10, 1, 200)), None);
    }

    #[test]
    fn numbers_of_any_size_do_no_harm() {
        let most = Window {
            span: Duration::MAX,
            received: u64::MAX,
            answered: u64::MAX,
            failed: u64::MAX,
            dropped: u64::MAX,
            cpu: Duration::MAX,
        };
        let checks = Checks { starts: (u64::MAX, 0), rss_len: (Some(0), u64::MAX), ..fine() };
        for before in [Window::default(), most, HOUR] {
            for during in [Window::default(), most, BAKE] {
                assert!(judge(Some(&before), Some(&during), &checks).len() >= 2);
            }
        }
    }
}
