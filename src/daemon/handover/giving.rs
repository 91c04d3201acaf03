//! The side that gives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Condition, Line, Message, PROTOCOL, unexpected};
use crate::history::{Lent, Untold};
use crate::limits::{
    HANDOVER_ABORT_MAX, HANDOVER_DONE_MAX, HANDOVER_LOAD_MAX, HANDOVER_STEP_MAX, HANDOVER_TAKEN_MAX,
};
use crate::net::SocketDrops;
use crate::problem::Problem;
use crate::sys::launcher::Launcher;
use crate::sys::passing::Passage;

/// How long a successor may take.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For loading and checking everything.
    load: Duration,
    /// For each step after that.
    step: Duration,
    /// For opening everything else, and asking itself.
    done: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { load: HANDOVER_LOAD_MAX, step: HANDOVER_STEP_MAX, done: HANDOVER_DONE_MAX }
    }
}

/// A hand-over that has begun: a successor that was started. It can be waited for on any thread.
#[derive(Debug)]
pub struct Giving {
    launcher: Arc<Launcher>,
    line: Line,
    /// The hand-over is called off by closing the other end.
    off: Passage,
}

/// A successor that serves, and has done everything that can fail.
#[derive(Debug)]
pub struct Successor {
    launcher: Option<Arc<Launcher>>,
    line: Line,
    /// Its process.
    pub pid: u32,
    /// Its version of the program.
    pub version: String,
    /// Where it can be controlled.
    pub control: Option<PathBuf>,
}

impl Giving {
    /// Has a successor started. The second is what calls the hand-over off, when it is closed.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn begin(launcher: &Arc<Launcher>) -> io::Result<(Self, Passage)> {
        let (off, call_off) = Passage::pair()?;
        let line = Line(launcher.launch()?);
        Ok((Self { launcher: Arc::clone(launcher), line, off }, call_off))
    }

    /// Leads the successor to where nothing is left but to [`commit`](Successor::commit). It gets `sockets`:
    /// those of each address in the order in which they were bound, and the `links` of programs; and learns
    /// the `condition` of the node. When it serves, this process has to pause, and `lend` its history.
    ///
    /// # Errors
    /// What went wrong with it. It is gone then, or will be, and this process has to continue.
    pub fn finish(
        self,
        sockets: &[OwnedFd],
        links: &[OwnedFd],
        condition: Condition,
        lend: impl FnOnce() -> Result<Lent, String>,
    ) -> Result<(Successor, Lent), Vec<Problem>> {
        let Self { launcher, line, off } = self;
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().chain(links).map(AsFd::as_fd).collect();
        let led = lead(&line, &off, &sockets, condition, Patience::default(), lend);
        match led {
            Ok(Led { pid, version, control, lent }) => {
                Ok((Successor { launcher: Some(launcher), line, pid, version, control }, lent))
            }
            Err(mut problems) => {
                problems.extend(Problem::alone(abort(&line, &launcher)));
                Err(problems)
            }
        }
    }
}

/// Tells a successor that there will be no hand-over, and sees to it that it ends; what became of it. The
/// line has to last until then: its end would mean that this process is gone.
fn abort(line: &Line, launcher: &Launcher) -> String {
    // That it is gone shows by itself.
    let _ = line.say(&Message::Abort, &[]);
    let _ = line.0.await_end(HANDOVER_ABORT_MAX);
    let ended = launcher.kill().unwrap_or_else(|error| format!("the launcher does not answer: {error}"));
    format!("the new process: {ended}; this process keeps serving")
}

struct Led {
    pid: u32,
    version: String,
    control: Option<PathBuf>,
    lent: Lent,
}

fn lead(
    line: &Line,
    off: &Passage,
    sockets: &[BorrowedFd<'_>],
    condition: Condition,
    patience: Patience,
    lend: impl FnOnce() -> Result<Lent, String>,
) -> Result<Led, Vec<Problem>> {
    let hear =
        |awaited, within| line.hear_unless(Some(off), awaited, Some(within)).map(|(message, _)| message);
    let (pid, version) = match hear("hello", patience.load)? {
        Message::Hello { protocol: PROTOCOL, version, pid } => (pid, version),
        Message::Hello { protocol, version, .. } => {
            let message = format!(
                "version {version} uses handover protocol {protocol}, this one {PROTOCOL}; restart instead"
            );
            return Err(Problem::alone(message));
        }
        other => return Err(unexpected("hello", &other)),
    };
    line.say(&Message::Sockets, sockets)?;
    match hear("ready", patience.step)? {
        Message::Ready => line.say(&Message::Serve(condition), &[])?,
        other => return Err(unexpected("ready", &other)),
    }
    match hear("serving", patience.step)? {
        Message::Serving => {}
        other => return Err(unexpected("serving", &other)),
    }
    let lent = lend().map_err(Problem::alone)?;
    let lock: Vec<BorrowedFd<'_>> = lent.lock.iter().map(AsFd::as_fd).collect();
    line.say(&Message::History { image: lent.image.is_some() }, &lock)?;
    if let Some(image) = &lent.image {
        line.say_image(image)?;
    }
    match hear("done", patience.done)? {
        Message::Done { control } => Ok(Led { pid, version, control, lent }),
        other => Err(unexpected("done", &other)),
    }
}

impl Successor {
    /// Leaves everything to it, for good: the node's `condition`, up to where the `drops` of sockets were
    /// counted, and what the history has not.
    ///
    /// # Errors
    /// It has ended or does not respond: this process has to continue, once that one was aborted.
    pub fn commit(
        &self,
        condition: Condition,
        drops: Vec<SocketDrops>,
        untold: Untold,
    ) -> Result<(), Vec<Problem>> {
        self.line.say(&Message::Yours { condition, drops, untold }, &[])?;
        match self.line.hear("taken", Some(HANDOVER_TAKEN_MAX))?.0 {
            Message::Taken => Ok(()),
            other => Err(unexpected("taken", &other)),
        }
    }

    /// Ends it instead; what became of it.
    pub fn abort(self) -> String {
        self.launcher.map(|launcher| abort(&self.line, &launcher)).unwrap_or_default()
    }

    /// Passes on what this process was told to do.
    pub fn order(&self, words: Vec<String>) {
        // That it is gone shows by itself.
        let _ = self.line.say(&Message::Orders { words }, &[]);
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.line.has_ended()
    }

    /// Tells what was counted meanwhile.
    pub fn tell(&self, untold: Untold) {
        if !untold.is_empty() {
            // If the successor is gone by now, nobody is left who counts.
            let _ = self.line.say(&Message::Late { untold }, &[]);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::UdpSocket;
    use std::{iter, thread};

    use super::*;
    use crate::board::pops::{ByHand, Health, State};
    use crate::history::History;
    use crate::stats::labels::Names;

    /// For what comes, however late on a busy host.
    const LONG: Duration = Duration::from_secs(10);
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(300);
    /// For steps of which one comes and the next does not.
    const BOTH: Duration = Duration::from_secs(3);
    const CALM: Patience = Patience { load: LONG, step: LONG, done: LONG };

    /// A history of which there is nothing yet.
    pub(in super::super) fn lent() -> Lent {
        let names = Names::default();
        History::in_memory(&names, 1, 0).unwrap().0.lend().unwrap()
    }

    /// It drains, and so does one of its PoPs.
    pub(in super::super) fn condition() -> Condition {
        let mut drained = State::new("nrt".to_owned(), Health::Probe);
        (drained.by_hand, drained.up, drained.since) = (Some(ByHand::Drain), false, Some(112));
        Condition { draining: true, pops: vec![drained] }
    }

    pub(in super::super) fn lead_calmly(
        line: Line,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<(Successor, Lent), Vec<Problem>> {
        let (off, _call_off) = Passage::pair().unwrap();
        let led = lead(&line, &off, sockets, condition(), CALM, || Ok(lent()))?;
        let Led { pid, version, control, lent } = led;
        Ok((Successor { launcher: None, line, pid, version, control }, lent))
    }

    fn led(led: Result<Led, Vec<Problem>>) -> Result<(u32, String), String> {
        let told = |problems: Vec<Problem>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        led.map(|led| (led.pid, led.version)).map_err(|problems| told(problems).join("; "))
    }

    /// Plays a successor that says each line when the step before it is through, and then ends, or hangs.
    fn play(
        script: &'static [&'static str],
        hangs: bool,
        patience: Patience,
        lend: impl FnOnce() -> Result<Lent, String>,
    ) -> Result<(u32, String), String> {
        let ((here, there), (off, _call_off)) = (Passage::pair().unwrap(), Passage::pair().unwrap());
        let player = thread::spawn(move || {
            for (index, line) in script.iter().enumerate() {
                // `serving` follows `ready` with nothing but `serve` between; each of the others is awaited.
                if index > 0 && there.receive(1 << 20, Some(LONG)).is_err() {
                    return;
                }
                there.send(line.as_bytes(), &[]).unwrap();
            }
            while hangs && there.receive(1 << 20, None).is_ok() {}
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let line = Line(here);
        let outcome = lead(&line, &off, &[socket.as_fd()], Condition::default(), patience, lend);
        drop(line);
        player.join().unwrap();
        led(outcome)
    }

    const HELLO: &str =
        r#"{"say":"hello","protocol":2,"version":"9.9.9","pid":7,"news":"of later versions"}"#;
    const READY: &str = r#"{"say":"ready"}"#;
    const SERVING: &str = r#"{"say":"serving"}"#;
    const DONE: &str = r#"{"say":"done"}"#;

    #[test]
    fn one_that_does_everything_right_gets_everything() {
        let led = play(&[HELLO, READY, SERVING, DONE], true, CALM, || Ok(lent()));
        assert_eq!(led, Ok((7, "9.9.9".to_owned())));
    }

    #[test]
    fn nothing_is_left_to_one_that_is_gone() {
        let (here, there) = Passage::pair().unwrap();
        let (pid, version, control) = (7, "9.9.9".to_owned(), None);
        let successor = Successor { launcher: None, line: Line(here), pid, version, control };
        assert!(!successor.has_ended());
        drop(there);
        assert!(successor.has_ended());
        let problems = successor.commit(Condition::default(), Vec::new(), Untold::default()).unwrap_err();
        assert_eq!(problems[0].message, "it ended");
        // One that dies with the commit in its hands has not taken it.
        let (here, there) = Passage::pair().unwrap();
        let (launcher, version, control) = (None, "9.9.9".to_owned(), None);
        let successor = Successor { launcher, line: Line(here), pid, version, control };
        let dying = thread::spawn(move || there.receive(1 << 20, Some(LONG)).unwrap().bytes);
        let problems = successor.commit(Condition::default(), Vec::new(), Untold::default()).unwrap_err();
        assert_eq!(problems[0].message, "it ended");
        assert!(String::from_utf8(dying.join().unwrap()).unwrap().contains("yours"));
    }

    #[test]
    fn a_hand_over_can_be_called_off_at_every_step() {
        for script in [&[][..], &[HELLO], &[HELLO, READY], &[HELLO, READY, SERVING]] {
            let ((here, there), (off, call_off)) = (Passage::pair().unwrap(), Passage::pair().unwrap());
            let player = thread::spawn(move || {
                for (index, line) in script.iter().enumerate() {
                    assert!(index == 0 || there.receive(1 << 20, Some(LONG)).is_ok());
                    there.send(line.as_bytes(), &[]).unwrap();
                }
                drop(call_off);
                there
            });
            let line = Line(here);
            let outcome = lead(&line, &off, &[], Condition::default(), CALM, || Ok(lent()));
            assert_eq!(led(outcome), Err("it was called off".to_owned()), "{script:?}");
            line.say(&Message::Abort, &[]).unwrap();
            let there = player.join().unwrap();
            let said = iter::from_fn(|| there.receive(1 << 20, Some(LONG)).ok());
            assert!(said.map(|said| said.bytes).any(|bytes| bytes == br#"{"say":"abort"}"#));
        }
    }

    #[test]
    fn whatever_goes_wrong_is_told() {
        let no_history = || Err("the history does not come".to_owned());
        for (script, hangs, fragment) in [
            (&[][..], false, "it ended"),
            (&[][..], true, "it did not send `hello` in time"),
            (&["GET / HTTP/1.1"], true, "it does not speak the handover protocol"),
            (&[READY], true, "expected `hello`, got Ready"),
            (
                &[r#"{"say":"hello","protocol":1,"version":"2","pid":1}"#],
                true,
                "protocol 1, this one 2; restart",
            ),
            (&[r#"{"say":"hello"}"#], true, "it does not speak the handover protocol: missing field"),
            (&[HELLO], false, "it ended"),
            (&[HELLO], true, "it did not send `ready` in time"),
            (&[HELLO, SERVING], true, "expected `ready`, got Serving"),
            (&[HELLO, READY], false, "it ended"),
            (&[HELLO, READY], true, "it did not send `serving` in time"),
            (&[HELLO, READY, READY], true, "expected `serving`, got Ready"),
            (&[HELLO, READY, SERVING], false, "it ended"),
            (&[HELLO, READY, SERVING], true, "it did not send `done` in time"),
            (&[HELLO, READY, SERVING, READY], true, "expected `done`, got Ready"),
            (
                &[HELLO, READY, SERVING, r#"{"say":"refused","problems":[["","no history"]]}"#],
                true,
                "no history",
            ),
            (
                &[r#"{"say":"refused","problems":[["a.toml:1:2","no"],["","yes"]]}"#],
                true,
                "a.toml:1:2: no; yes",
            ),
        ] {
            let patience = match fragment {
                "it did not send `hello` in time" => Patience { load: SHORT, ..CALM },
                "it did not send `ready` in time" => Patience { step: SHORT, ..CALM },
                "it did not send `serving` in time" => Patience { step: BOTH, ..CALM },
                "it did not send `done` in time" => Patience { done: SHORT, ..CALM },
                _ => CALM,
            };
            let error = play(script, hangs, patience, || Ok(lent())).unwrap_err();
            assert!(error.contains(fragment), "{script:?}: {error}");
        }
        let error = play(&[HELLO, READY, SERVING], true, CALM, no_history).unwrap_err();
        assert_eq!(error, "the history does not come");
    }
}
