//! The side that gives.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Line, Message, PROTOCOL, unexpected};
use crate::history::Counted;
use crate::limits::{HANDOVER_DONE_MAX, HANDOVER_LOAD_MAX, HANDOVER_STEP_MAX};
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
}

impl Default for Patience {
    fn default() -> Self {
        Self { load: HANDOVER_LOAD_MAX, step: HANDOVER_STEP_MAX }
    }
}

/// A hand-over that has begun: a successor that was started. It can be waited for on any thread.
#[derive(Debug)]
pub struct Giving {
    launcher: Arc<Launcher>,
    line: Line,
}

/// A successor that serves.
#[derive(Debug)]
pub struct Successor {
    line: Line,
    /// Its process.
    pub pid: u32,
    /// Its version of the program.
    pub version: String,
}

impl Giving {
    /// Has a successor started.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn begin(launcher: &Arc<Launcher>) -> io::Result<Self> {
        let line = launcher.launch()?;
        Ok(Self { launcher: Arc::clone(launcher), line: Line(line) })
    }

    /// Leads the successor to where it serves, along with this process. It gets `sockets`: those of each
    /// address in the order in which they were bound, and the `links` of programs; and learns whether the
    /// node is `draining`.
    ///
    /// # Errors
    /// What went wrong with it. It is gone then, and this process serves on.
    pub fn finish(
        self,
        sockets: &[OwnedFd],
        links: &[OwnedFd],
        draining: bool,
    ) -> Result<Successor, Vec<Problem>> {
        let Self { launcher, line } = self;
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().chain(links).map(AsFd::as_fd).collect();
        lead(line, &sockets, draining, Patience::default()).map_err(|mut problems| {
            let ended = launcher.kill().unwrap_or_else(|error| format!("the launcher has ended: {error}"));
            problems.extend(Problem::alone(format!("the new process: {ended}; this process keeps serving")));
            problems
        })
    }

    /// A handle with which another thread can end this: [`finish`](Self::finish) fails then.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn way_out(&self) -> io::Result<Passage> {
        self.line.0.try_clone()
    }
}

fn lead(
    line: Line,
    sockets: &[BorrowedFd<'_>],
    draining: bool,
    patience: Patience,
) -> Result<Successor, Vec<Problem>> {
    let (pid, version) = match line.hear("hello", Some(patience.load))?.0 {
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
    match line.hear("ready", Some(patience.step))?.0 {
        Message::Ready => line.say(&Message::Serve { draining }, &[])?,
        other => return Err(unexpected("ready", &other)),
    }
    match line.hear("serving", Some(patience.step))?.0 {
        Message::Serving => Ok(Successor { line, pid, version }),
        other => Err(unexpected("serving", &other)),
    }
}

impl Successor {
    /// Leaves the history to it, with its `image` where it was in memory and the `lock` of its directory; and a
    /// drain that has begun. When
    /// this returns, all that this process did but its connections is the successor's; with the path at which
    /// it can be controlled, or `None` if it takes longer to say.
    ///
    /// # Errors
    /// What went wrong: it ends, or has ended.
    pub fn leave(
        &self,
        image: Option<&[u8]>,
        lock: Option<&OwnedFd>,
        draining: bool,
    ) -> Result<Option<Option<PathBuf>>, Vec<Problem>> {
        let lock: Vec<BorrowedFd<'_>> = lock.into_iter().map(AsFd::as_fd).collect();
        self.line.say(&Message::Yours { image: image.is_some(), draining }, &lock)?;
        if let Some(image) = image {
            self.line.say_image(image)?;
        }
        let until = Instant::now() + HANDOVER_DONE_MAX;
        match self.line.hear("done", Some(HANDOVER_DONE_MAX)) {
            Ok((Message::Done { control }, _)) => Ok(Some(control)),
            Ok((other, _)) => Err(unexpected("done", &other)),
            Err(_) if Instant::now() >= until && !self.has_ended() => Ok(None),
            Err(problems) => Err(problems),
        }
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

    /// Tells what was counted after that, as the last word.
    pub fn part(self, counted: Vec<Counted>) {
        // If the successor is gone by now, nobody is left who counts.
        let _ = self.line.say(&Message::Late { counted }, &[]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::UdpSocket;
    use std::thread;

    use super::*;

    /// For what comes, however late on a busy host.
    const LONG: Duration = Duration::from_secs(10);
    /// For what does not come.
    const SHORT: Duration = Duration::from_millis(300);
    /// For steps of which one comes and the next does not.
    const BOTH: Duration = Duration::from_secs(3);
    const CALM: Patience = Patience { load: LONG, step: LONG };

    pub(in super::super) fn lead_calmly(
        line: Line,
        sockets: &[BorrowedFd<'_>],
    ) -> Result<Successor, Vec<Problem>> {
        lead(line, sockets, true, CALM)
    }

    /// Plays a successor that says each line when the step before it is through, and then ends, or hangs.
    fn play(script: &'static [&'static str], hangs: bool, patience: Patience) -> Result<Successor, String> {
        let (here, there) = Passage::pair().unwrap();
        let player = thread::spawn(move || {
            for (index, line) in script.iter().enumerate() {
                if index > 0 && there.receive(1 << 20, Some(LONG)).is_err() {
                    return;
                }
                there.send(line.as_bytes(), &[]).unwrap();
            }
            while hangs && there.receive(1 << 20, None).is_ok() {}
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let outcome = lead(Line(here), &[socket.as_fd()], false, patience);
        let outcome = outcome
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        // The line is dropped on an error, which ends one that hangs; on success it would be kept.
        if outcome.is_err() {
            player.join().unwrap();
        }
        outcome
    }

    const HELLO: &str =
        r#"{"say":"hello","protocol":1,"version":"9.9.9","pid":7,"news":"of later versions"}"#;
    const READY: &str = r#"{"say":"ready"}"#;
    const SERVING: &str = r#"{"say":"serving"}"#;

    #[test]
    fn one_that_does_everything_right_serves() {
        let successor = play(&[HELLO, READY, SERVING], false, CALM).unwrap();
        assert_eq!((successor.pid, successor.version.as_str()), (7, "9.9.9"));
        let problems = successor.leave(None, None, false).unwrap_err();
        assert_eq!(problems[0].message, "it ended");
    }

    #[test]
    fn one_that_dies_when_it_has_everything_is_not_taken_for_a_slow_one() {
        let (here, there) = Passage::pair().unwrap();
        let dying = thread::spawn(move || {
            // It takes what is said, so that the end is seen by the one that waits for its word.
            let said = there.receive(1 << 20, Some(LONG)).unwrap();
            String::from_utf8(said.bytes).unwrap()
        });
        let successor = Successor { line: Line(here), pid: 7, version: "9.9.9".to_owned() };
        let problems = successor.leave(None, None, false).unwrap_err();
        assert_eq!(problems[0].message, "it ended");
        assert!(dying.join().unwrap().contains("yours"));
    }

    #[test]
    fn whatever_goes_wrong_is_told() {
        for (script, hangs, fragment) in [
            (&[][..], false, "it ended"),
            (&[][..], true, "it did not send `hello` in time"),
            (&["GET / HTTP/1.1"], true, "it does not speak the handover protocol"),
            (&[READY], true, "expected `hello`, got Ready"),
            (&[r#"{"say":"hello","protocol":2,"version":"2","pid":1}"#], true, "restart instead"),
            (&[r#"{"say":"hello"}"#], true, "it does not speak the handover protocol: missing field"),
            (&[HELLO], false, "it ended"),
            (&[HELLO], true, "it did not send `ready` in time"),
            (&[HELLO, SERVING], true, "expected `ready`, got Serving"),
            (&[HELLO, READY], false, "it ended"),
            (&[HELLO, READY], true, "it did not send `serving` in time"),
            (&[HELLO, READY, READY], true, "expected `serving`, got Ready"),
            (
                &[r#"{"say":"refused","problems":[["a.toml:1:2","no"],["","yes"]]}"#],
                true,
                "a.toml:1:2: no; yes",
            ),
        ] {
            let patience = match fragment {
                "it did not send `hello` in time" => Patience { load: SHORT, step: LONG },
                "it did not send `ready` in time" => Patience { load: LONG, step: SHORT },
                "it did not send `serving` in time" => Patience { load: LONG, step: BOTH },
                _ => CALM,
            };
            let error = play(script, hangs, patience).unwrap_err();
            assert!(error.contains(fragment), "{script:?}: {error}");
        }
    }
}
