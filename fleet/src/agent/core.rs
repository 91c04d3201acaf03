//! What an agent does next: pointers, what came of each step, what the node says and the time go in; the next
//! step, lines for the log and the verdict come out. No I/O and no clock.
//!
//! One step is under way at a time, and each can be repeated: whoever begins again after a crash does the
//! same once more. A release is fetched as a whole, then becomes `current` by the rename of one link, then
//! the node is told. While it bakes the node is watched; if it does worse than before, or refuses the
//! release, the agent goes back by itself, and takes that release no more until a new pointer wants it.

use std::collections::BTreeMap;
use std::time::Duration;

use as112d::release::pointer::Kind;
use as112d::release::{Pointer, Pointers, Refused, ReleaseName, Scope, Signed, Taken, Who};

use super::drain::Drain;
use super::retry::Retry;
pub use super::terms::{Fallen, Line, Outcome, Past, Step, Told, Trouble, Verdict};

/// Where the agent stands.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// The node has what is current.
    Settled,
    /// A release is on its way.
    Fetching(ReleaseName, bool),
    /// It is complete.
    Swapping(ReleaseName),
    /// The node has not answered yet.
    Telling(ReleaseName),
    /// The node serves it, until then on trial.
    Baking(ReleaseName, Duration),
    /// It is as good as the one before.
    Keeping(ReleaseName),
    /// It is worse: to the one before, and why.
    Falling(ReleaseName, String),
    /// The node has not been told yet that the one before is current again.
    Returning(ReleaseName),
}

/// The state of one node.
#[derive(Clone, Debug)]
pub struct Core {
    who: Who,
    bake: Duration,
    pointers: Pointers,
    /// Scopes whose pointers are not written down yet.
    unwritten: Vec<Scope>,
    current: Option<ReleaseName>,
    good: Option<ReleaseName>,
    /// What was current before.
    before: Option<ReleaseName>,
    floor: u64,
    /// The lowest number that is taken: the pointers were lost, and with them what would tell a rollback from
    /// a replay.
    least: u64,
    fallen: Option<Fallen>,
    stage: Stage,
    retry: Retry,
    /// When what is current was last hashed again, because the node served something else.
    mended: Option<Duration>,
    drain: Drain,
    problems: BTreeMap<&'static str, String>,
    lines: Vec<Line>,
}

/// How long after a mending the next one may be: the node may have reasons that hashes do not cure.
const MENDING_PAUSE: Duration = Duration::from_secs(600);

impl Core {
    /// A node with this past. `bake` is how long it bakes releases whose pointers do not say; `seed` makes
    /// its pauses other than those of others.
    #[must_use]
    pub fn new(who: Who, bake: Duration, past: Past, seed: u64, now: Duration) -> Self {
        let Past { pointers: kept, current, good, floor, fallen, drained } = past;
        let least = if kept.is_empty() { floor } else { 0 };
        let mut pointers = Pointers::default();
        for pointer in kept {
            pointers.note(&who, pointer);
        }
        let mut drain = Drain::new(drained, now);
        drain.heard(pointers.drain(), now);
        let mut core = Self {
            who,
            bake,
            pointers,
            unwritten: Vec::new(),
            current,
            good,
            before: good.filter(|good| current != Some(*good)),
            floor,
            least,
            fallen,
            stage: Stage::Settled,
            retry: Retry::new(seed),
            mended: None,
            drain,
            problems: BTreeMap::new(),
            lines: Vec::new(),
        };
        if let Some(why) = core.fallen.as_ref().map(|fallen| fallen.why.clone()) {
            core.problems.insert("fallen", why);
        }
        // It ended before the node was told, or before the release had proved itself.
        if let Some(current) = current.filter(|current| good != Some(*current)) {
            core.stage = Stage::Telling(current);
        }
        core
    }

    /// The next step.
    #[must_use]
    pub fn step(&self, now: Duration) -> Step {
        if !self.retry.is_due(now) {
            return Step::Wait;
        }
        match &self.stage {
            Stage::Settled if !self.unwritten.is_empty() && self.is_consistent() => Step::Point,
            Stage::Settled => Step::Wait,
            Stage::Fetching(release, again) => Step::Fetch(*release, *again),
            Stage::Swapping(release) => Step::Swap(*release),
            Stage::Telling(release) | Stage::Returning(release) => Step::Tell(*release),
            Stage::Baking(release, until) if now >= *until => Step::Keep(*release),
            Stage::Baking(..) if !self.unwritten.is_empty() && self.is_consistent() => Step::Point,
            Stage::Baking(..) => Step::Wait,
            Stage::Keeping(release) => Step::Keep(*release),
            Stage::Falling(release, _) => Step::Back(*release),
        }
    }

    /// When the next step may be another one though nothing was heard.
    #[must_use]
    pub fn due(&self, now: Duration) -> Option<Duration> {
        let until = match self.stage {
            Stage::Baking(_, until) => Some(until),
            _ => None,
        };
        self.retry.until(now).or(until).into_iter().chain(self.drain.until()).filter(|at| *at > now).min()
    }

    /// Whether what all pointers say together agrees with what is current: they can be written down then.
    /// While something else is on its way a node that starts would find a pointer that wants what is not
    /// there.
    fn is_consistent(&self) -> bool {
        let Some(effective) = self.pointers.effective() else { return true };
        effective.wanted(&self.who).is_none_or(|wanted| Some(*wanted) == self.current)
    }

    /// The release that the node should have, whatever became of it, and the pointer that says so.
    fn wanted(&self) -> Option<(ReleaseName, &Pointer)> {
        let effective = self.pointers.effective()?;
        Some((*effective.wanted(&self.who)?, effective))
    }

    /// What is to be fetched, if anything.
    fn target(&self) -> Option<ReleaseName> {
        let (wanted, pointer) = self.wanted()?;
        let is_fallen = self.fallen.as_ref().is_some_and(|fallen| {
            (fallen.release, &fallen.scope, fallen.serial) == (wanted, &pointer.scope, pointer.serial)
        });
        (self.current != Some(wanted) && !is_fallen && wanted.number >= self.least).then_some(wanted)
    }

    //------------ What is heard ---

    /// A source has a pointer, which is verified, or could not be.
    pub fn heard(
        &mut self,
        scope: &Scope,
        pointer: Result<Signed<Pointer>, Refused>,
        now: Duration,
    ) -> Taken {
        let area = area(scope);
        let pointer = match pointer {
            Ok(signed) => signed.content,
            Err(refused) => {
                let text = refused.to_string();
                if self.problems.get(area) != Some(&text) {
                    self.line("refused", None, text.clone());
                    self.problems.insert(area, text);
                }
                return Taken::Foreign;
            }
        };
        let serial = pointer.serial;
        let taken = self.pointers.note(&self.who, pointer);
        match taken {
            Taken::New => {
                self.problems.remove(area);
                if !self.unwritten.contains(scope) {
                    self.unwritten.push(scope.clone());
                }
                self.drain.heard(self.pointers.drain(), now);
                self.aim(now);
            }
            Taken::Known => drop(self.problems.remove(area)),
            Taken::Older => {
                let words =
                    format!("older: the source has serial {serial} of {scope}, and a later one is known");
                self.problem(area, words);
            }
            Taken::Clash => {
                let words =
                    format!("replayed: two pointers of {scope} have serial {serial}; publish another");
                self.problem(area, words);
            }
            Taken::Foreign => self.problem(area, format!("wrong-fleet: it is not for {scope}")),
        }
        taken
    }

    /// Notes a problem; the log hears of it once.
    pub fn problem(&mut self, area: &'static str, text: String) {
        if self.problems.get(area) != Some(&text) {
            self.line("problem", None, text.clone());
            self.problems.insert(area, text);
        }
    }

    /// There is no such problem.
    pub fn fine(&mut self, area: &'static str) {
        self.problems.remove(area);
    }

    /// Someone asks for another attempt, at whatever was refused.
    pub fn again(&mut self, now: Duration) {
        self.fallen = None;
        self.problems.remove("fallen");
        self.retry.reset();
        self.aim(now);
    }

    /// Whom one waited for is there again.
    pub fn again_now(&mut self) {
        self.retry.reset();
    }

    /// Turns to what should be there now.
    fn aim(&mut self, now: Duration) {
        let target = self.target();
        match self.wanted().map(|(wanted, _)| wanted).filter(|wanted| wanted.number < self.least) {
            Some(wanted) => {
                let words = format!(
                    "older: {wanted} is wanted, and this node had release {} before its pointers were lost; \
                     publish another pointer, or remove the file `floor`",
                    self.least
                );
                self.problem("floor", words);
            }
            None => self.fine("floor"),
        }
        match (&self.stage, target) {
            (Stage::Fetching(release, _) | Stage::Swapping(release), Some(target)) if *release == target => {}
            // The node must first have what was current: it is told of nothing else meanwhile.
            (Stage::Falling(..) | Stage::Returning(_), _) => {}
            (_, Some(target)) => {
                self.line("wanted", Some(target), self.reason());
                self.stage = Stage::Fetching(target, false);
                self.retry.reset();
            }
            // What was on its way is wanted no more.
            (Stage::Fetching(..) | Stage::Swapping(_), None) => {
                self.problems.remove("fetch");
                self.stage = Stage::Settled;
                self.retry.reset();
                self.settle(now);
            }
            (_, None) => {}
        }
    }

    /// What is current but has not proved itself goes on baking.
    fn settle(&mut self, now: Duration) {
        if let Some(current) = self.current.filter(|current| self.good != Some(*current)) {
            self.stage = Stage::Baking(current, now + self.bake_time());
        }
    }

    fn reason(&self) -> String {
        let Some(pointer) = self.pointers.effective() else { return String::new() };
        let reason = pointer.reason.as_ref().map(|reason| format!(": {}", reason));
        let Pointer { scope, serial, by, .. } = pointer;
        format!("pointer {serial} of {scope} by {}{}", by, reason.unwrap_or_default())
    }

    fn bake_time(&self) -> Duration {
        let said = self.pointers.effective().and_then(|pointer| pointer.bake);
        said.map_or(self.bake, |seconds| Duration::from_secs(seconds.into()))
    }

    //------------ What came of a step ---

    /// The release was fetched, or was not.
    pub fn fetched(&mut self, release: ReleaseName, outcome: Outcome, now: Duration) {
        let Stage::Fetching(under_way, again) = self.stage else { return };
        if under_way != release {
            return;
        }
        if self.done("fetch", Some(release), outcome, now) {
            self.line("fetched", Some(release), String::new());
            // What was mended is current already.
            self.stage = if again && self.current == Some(release) {
                Stage::Telling(release)
            } else {
                Stage::Swapping(release)
            };
        }
    }

    /// The pointers were written down, or were not.
    pub fn pointed(&mut self, outcome: Outcome, now: Duration) {
        if self.done("disk", None, outcome, now) {
            self.unwritten.clear();
        }
    }

    /// `current` is the release, or is not.
    pub fn swapped(&mut self, release: ReleaseName, outcome: Outcome, now: Duration) {
        if self.done("disk", Some(release), outcome, now) {
            self.unwritten.clear();
            self.before = self.current.filter(|current| *current != release).or(self.before);
            self.current = Some(release);
            self.floor = self.floor.max(release.number);
            self.least = 0;
            self.stage = Stage::Telling(release);
        }
    }

    /// The node was told of what is current.
    pub fn told(&mut self, release: ReleaseName, told: Told, now: Duration) {
        let returning = match self.stage {
            Stage::Returning(under_way) if under_way == release => true,
            Stage::Telling(under_way) if under_way == release => false,
            _ => return,
        };
        match told {
            Told::Gone(why) => {
                self.problem("daemon", format!("gone: {why}"));
                self.retry.later(now);
                return;
            }
            Told::Taken(answer) => {
                self.problems.remove("daemon");
                self.line("swapped", Some(release), answer);
                let until = now + self.bake_time();
                self.stage = match self.good == Some(release) || returning {
                    true => Stage::Settled,
                    false if until == now || self.before.is_none() => Stage::Keeping(release),
                    false => Stage::Baking(release, until),
                };
            }
            Told::Refused(answer) => {
                let why = reason(&answer);
                self.line("refused", Some(release), answer);
                self.problems.insert("daemon", why.clone());
                self.stage = match self.before.filter(|_| !returning) {
                    Some(before) => Stage::Falling(before, why),
                    // There is nothing to go back to: the node serves what it has built in.
                    None => {
                        self.fell(why);
                        Stage::Settled
                    }
                };
            }
        }
        self.retry.reset();
        // Something else may be wanted meanwhile.
        self.aim(now);
    }

    /// The node does worse than before it took the release that is baking.
    pub fn worse(&mut self, why: &str) {
        if let (Stage::Baking(..), Some(before)) = (&self.stage, self.before) {
            self.stage = Stage::Falling(before, why.to_owned());
            self.retry.reset();
        }
    }

    /// The release is `good`, or cannot be.
    pub fn kept(&mut self, release: ReleaseName, outcome: Outcome, now: Duration) {
        if self.done("disk", Some(release), outcome, now) {
            self.line("baked", Some(release), String::new());
            self.good = Some(release);
            self.fallen = None;
            self.problems.remove("fallen");
            self.stage = Stage::Settled;
            self.aim(now);
        }
    }

    /// What was there before is `current` again, or is not.
    pub fn went_back(&mut self, release: ReleaseName, outcome: Outcome, now: Duration) {
        let Stage::Falling(_, why) = &self.stage else { return };
        let why = why.clone();
        if self.done("disk", Some(release), outcome, now) {
            self.fell(why);
            self.current = Some(release);
            self.before = self.good.filter(|good| *good != release);
            self.stage = Stage::Returning(release);
        }
    }

    /// What is current was taken back.
    fn fell(&mut self, why: String) {
        self.line("fell-back", self.current, why.clone());
        self.problems.insert("fallen", why.clone());
        self.fallen = self.falling(why);
    }

    /// What is to be written down of a release that is taken back.
    #[must_use]
    pub fn falling_now(&self) -> Option<Fallen> {
        match &self.stage {
            Stage::Falling(_, why) => self.falling(why.clone()),
            _ => None,
        }
    }

    fn falling(&self, why: String) -> Option<Fallen> {
        let pointer = self.pointers.effective()?;
        Some(Fallen { release: self.current?, scope: pointer.scope.clone(), serial: pointer.serial, why })
    }

    /// The node serves something else than what is current, without having been told to: files may have
    /// rotted. What is current is hashed again and mended, and the node is told.
    pub fn drifted(&mut self, now: Duration) {
        let is_due = self.mended.is_none_or(|mended| now >= mended + MENDING_PAUSE);
        if let (Stage::Settled, Some(current), true) = (&self.stage, self.current, is_due) {
            self.line("drifted", Some(current), String::new());
            self.mended = Some(now);
            self.stage = Stage::Fetching(current, true);
        }
    }

    /// Notes what came of a step; whether it was done.
    fn done(
        &mut self,
        area: &'static str,
        release: Option<ReleaseName>,
        outcome: Outcome,
        now: Duration,
    ) -> bool {
        let (area, word, text) = match outcome {
            Ok(()) => {
                self.problems.remove(area);
                self.problems.remove("disk");
                self.retry.reset();
                return true;
            }
            Err(Trouble::Away(text)) => (area, "away", text),
            Err(Trouble::Refused(text)) => (area, "refused", text),
            Err(Trouble::Disk(text)) => ("disk", "disk", text),
        };
        if self.problems.get(area) != Some(&text) {
            self.line(word, release, text.clone());
            self.problems.insert(area, text);
        }
        self.retry.later(now);
        false
    }

    fn line(&mut self, word: &'static str, release: Option<ReleaseName>, text: String) {
        self.lines.push(Line { word, release, text });
    }

    //------------ What is told ---

    /// What has happened since this was asked last.
    pub fn lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// The scopes whose pointers are to be written down.
    #[must_use]
    pub fn unwritten(&self) -> &[Scope] {
        &self.unwritten
    }

    /// What the node should have.
    #[must_use]
    pub fn wants(&self) -> Option<ReleaseName> {
        self.wanted().map(|(wanted, _)| wanted)
    }

    /// What is current.
    #[must_use]
    pub fn current(&self) -> Option<ReleaseName> {
        self.current
    }

    /// What is good.
    #[must_use]
    pub fn good(&self) -> Option<ReleaseName> {
        self.good
    }

    /// What the node may still need: what is current, what it would go back to, and what is on its way.
    #[must_use]
    pub fn needed(&self) -> Vec<ReleaseName> {
        let under_way = match self.stage {
            Stage::Fetching(release, _) | Stage::Swapping(release) => Some(release),
            _ => None,
        };
        [self.current, self.good, self.before, under_way].into_iter().flatten().collect()
    }

    /// Whether a release is on trial, and how much of that is over, in percent.
    #[must_use]
    pub fn baking(&self, now: Duration) -> Option<Duration> {
        match self.stage {
            Stage::Baking(_, until) => Some(until.saturating_sub(now)),
            _ => None,
        }
    }

    /// What was refused or taken back, until another pointer wants something.
    #[must_use]
    pub fn fallen(&self) -> Option<&Fallen> {
        self.fallen.as_ref()
    }

    /// The highest number that was current.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// The drain that pointers order.
    pub fn drain(&mut self) -> &mut Drain {
        &mut self.drain
    }

    /// How it fares.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let effective = self.pointers.effective();
        match (&self.stage, effective, self.wants()) {
            (_, None, _) => Verdict::Unled,
            (Stage::Baking(..) | Stage::Keeping(_) | Stage::Falling(..) | Stage::Returning(_), ..) => {
                Verdict::Baking
            }
            (_, _, Some(wanted)) if self.current != Some(wanted) => match &self.fallen {
                Some(fallen) if fallen.release == wanted => Verdict::FellBack,
                _ if self.problems.contains_key("fetch") => Verdict::Refused,
                _ => Verdict::Behind,
            },
            (Stage::Telling(_), ..) => Verdict::Behind,
            (_, Some(pointer), None) if pointer.kind == Kind::Hold => Verdict::Held,
            _ => Verdict::Settled,
        }
    }

    /// What is wrong.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        self.problems.values().map(String::as_str)
    }
}

/// What a node has against a release: the first of its problems, with the place, or its answer word for word.
fn reason(answer: &str) -> String {
    let read: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    let first = &read["problems"][0];
    match (first["place"].as_str(), first["message"].as_str()) {
        (Some(""), Some(message)) => message.to_owned(),
        (Some(place), Some(message)) => format!("{place}: {message}"),
        _ => answer.to_owned(),
    }
}

/// What a problem with the pointer of a scope is known by.
fn area(scope: &Scope) -> &'static str {
    match scope {
        Scope::Fleet => "pointer-fleet",
        Scope::Colo(_) => "pointer-colo",
        Scope::Node(_) => "pointer-node",
    }
}

#[cfg(test)]
mod tests;
