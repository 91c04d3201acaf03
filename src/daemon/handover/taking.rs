//! The side that takes.

use std::path::PathBuf;
use std::time::Duration;

use super::{Line, Message, PROTOCOL, unexpected};
use crate::history::{Counted, Legacy, Lock};
use crate::limits::{HANDOVER_DONE_MAX, HANDOVER_STEP_MAX};
use crate::problem::Problem;
use crate::sys::inherited::Inherited;
use crate::sys::launcher;
use crate::sys::passing::Passage;

/// The process that this one succeeds, until this one serves.
#[derive(Debug)]
pub struct Predecessor(Line);

/// What it leaves.
#[derive(Debug, Default)]
pub struct Estate {
    /// The history: what of it was in memory, and the lock of its directory.
    pub legacy: Legacy,
    /// Whether the node is draining.
    pub draining: bool,
}

/// The same, once it has left everything but its connections.
#[derive(Debug)]
pub struct Late(Line);

impl Predecessor {
    /// The one that had this process started, if there is one.
    ///
    /// # Errors
    /// If there should be one, and it cannot be reached.
    pub fn find() -> Result<Option<Self>, Vec<Problem>> {
        let found = launcher::predecessor();
        let found = found.map_err(|error| Problem::alone(format!("the process to replace is gone: {error}")));
        Ok(found?.map(|line| Self(Line(line))))
    }

    /// Tells it that everything was loaded and is good; gets its sockets.
    ///
    /// # Errors
    /// What went wrong; the other process then serves without us. The same holds for [`ready`](Self::ready).
    pub fn hello(&self) -> Result<Inherited, Vec<Problem>> {
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        self.0.say(&Message::Hello { protocol: PROTOCOL, version, pid }, &[])?;
        match self.hear("sockets", HANDOVER_STEP_MAX)? {
            (Message::Sockets, descriptors) => Ok(Inherited::sort(descriptors)),
            (other, _) => Err(unexpected("sockets", &other)),
        }
    }

    /// Tells it that all threads wait at their gates; waits until they may be opened. Says whether the node
    /// drains.
    ///
    /// # Errors
    /// See [`hello`](Self::hello).
    pub fn ready(&self) -> Result<bool, Vec<Problem>> {
        self.0.say(&Message::Ready, &[])?;
        match self.hear("serve", HANDOVER_STEP_MAX)?.0 {
            Message::Serve { draining } => Ok(draining),
            other => Err(unexpected("serve", &other)),
        }
    }

    /// Tells it that all gates are open; waits until everything is ours.
    ///
    /// # Errors
    /// What went wrong. Everything is ours all the same.
    pub fn serving(&self) -> Result<Estate, Vec<Problem>> {
        self.0.say(&Message::Serving, &[])?;
        match self.hear("yours", HANDOVER_DONE_MAX)? {
            (Message::Yours { image, draining }, descriptors) => {
                let image = image.then(|| self.0.hear_image(HANDOVER_DONE_MAX)).transpose()?;
                let lock = descriptors.into_iter().next().map(Lock::inherited);
                Ok(Estate { legacy: Legacy { image, lock }, draining })
            }
            (other, _) => Err(unexpected("yours", &other)),
        }
    }

    /// Tells it that people are served as well, and at which path this process is controlled.
    #[must_use]
    pub fn done(self, control: Option<PathBuf>) -> Late {
        // If it is gone by now it has nothing more to tell.
        let _ = self.0.say(&Message::Done { control }, &[]);
        Late(self.0)
    }

    /// Tells it why there will be no hand-over.
    pub fn refuse(&self, problems: &[Problem]) {
        let problems = problems.iter().map(|problem| (problem.place.clone(), problem.message.clone()));
        // If it is gone, the text stands in the log all the same.
        let _ = self.0.say(&Message::Refused { problems: problems.collect() }, &[]);
    }

    fn hear(
        &self,
        awaited: &str,
        within: Duration,
    ) -> Result<(Message, Vec<std::os::fd::OwnedFd>), Vec<Problem>> {
        self.0.hear(awaited, Some(within)).map_err(|problems| {
            let of_it = |problem: Problem| Problem {
                message: format!("the process to replace: {}", problem.message),
                ..problem
            };
            problems.into_iter().map(of_it).collect()
        })
    }
}

impl Late {
    /// Waits until it ends; what it still counted, if it came to tell. `obey` gets the words of what it was
    /// told to do, also where it left everything too late to be waited for.
    pub fn wait(self, obey: impl Fn(&str)) -> Option<Vec<Counted>> {
        loop {
            match self.0.hear("late", None) {
                Ok((Message::Orders { words }, _)) => words.iter().for_each(|word| obey(word)),
                Ok((Message::Yours { image, draining }, _)) => {
                    if draining {
                        obey("drain");
                    }
                    if image {
                        // There is a history already, which goes on from what it had.
                        self.0.hear_image(HANDOVER_DONE_MAX).ok()?;
                    }
                }
                Ok((Message::Late { counted }, _)) => return Some(counted),
                _ => return None,
            }
        }
    }

    /// A handle with which another thread can end the wait.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn way_out(&self) -> std::io::Result<Passage> {
        self.0.0.try_clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::thread;

    use super::*;
    use crate::daemon::handover::giving::tests::lead_calmly;

    fn pair() -> (Predecessor, Line) {
        let (here, there) = Passage::pair().unwrap();
        (Predecessor(Line(here)), Line(there))
    }

    #[test]
    fn both_sides_speak_one_language() {
        let (taker, giver) = pair();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let counted = vec![("as112_queries_total".to_owned(), "{}".to_owned(), 3)];
        let late = counted.clone();
        let giving = thread::spawn(move || {
            let successor = lead_calmly(giver, &[socket.as_fd()]).unwrap();
            let control = successor.leave(Some(b"image"), None, true).unwrap();
            assert_eq!(control, Some(Some("/run/node".into())));
            successor.order(vec!["reload".to_owned(), "shutdown".to_owned()]);
            successor.part(late);
        });
        assert_eq!(taker.hello().unwrap().take_group(address).len(), 1);
        assert!(taker.ready().unwrap(), "it drains");
        let estate = taker.serving().unwrap();
        assert_eq!((estate.legacy.image.as_deref(), estate.draining), (Some(&b"image"[..]), true));
        let told = RefCell::new(Vec::new());
        let obey = |word: &str| told.borrow_mut().push(word.to_owned());
        assert_eq!(taker.done(Some("/run/node".into())).wait(obey).unwrap(), counted);
        assert_eq!(told.into_inner(), ["reload", "shutdown"]);
        giving.join().unwrap();
    }

    #[test]
    fn one_that_is_gone_is_missed_at_every_step() {
        let gone = || pair().0;
        for problems in
            [gone().hello().unwrap_err(), gone().ready().unwrap_err(), gone().serving().unwrap_err()]
        {
            assert!(problems[0].message.contains("it ended"), "{problems:?}");
        }
        assert!(gone().done(None).wait(|_| ()).is_none());
    }

    #[test]
    fn why_there_is_no_hand_over_is_told() {
        let (taker, giver) = pair();
        let problem = Problem { place: "a.toml:3:1".to_owned(), message: "no such key".to_owned() };
        taker.refuse(&[problem]);
        drop(taker);
        let problems = lead_calmly(giver, &[]).unwrap_err();
        assert_eq!(problems[0].to_string(), "a.toml:3:1: no such key");
    }

    #[test]
    fn who_waits_for_the_last_word_can_be_let_off() {
        let (taker, _giver) = pair();
        let late = taker.done(None);
        let way_out = late.way_out().unwrap();
        let waiting = thread::spawn(move || late.wait(|_| ()));
        way_out.close();
        assert!(waiting.join().unwrap().is_none());
    }
}
