//! The side that takes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::{Condition, Line, Message, PROTOCOL, parse, unexpected};
use crate::history::{Legacy, Lock, Untold};
use crate::limits::{HANDOVER_DONE_MAX, HANDOVER_STEP_MAX};
use crate::net::SocketDrops;
use crate::problem::Problem;
use crate::sys::inherited::Inherited;
use crate::sys::launcher;
use crate::sys::passing::Passage;

/// The process that this one succeeds, until it has committed.
#[derive(Debug)]
pub struct Predecessor {
    line: Line,
    /// What came with the sockets.
    unread: Vec<u8>,
}

/// What it leaves.
#[derive(Debug, Default)]
pub struct Estate {
    /// What the node is in.
    pub condition: Condition,
    /// Up to where it has counted the drops of its sockets.
    pub drops: Vec<SocketDrops>,
    /// What it has counted that the history has not.
    pub untold: Untold,
}

/// What it says in the end.
#[derive(Debug)]
pub enum Verdict {
    /// The commit.
    Yours(Estate),
    /// There will be no hand-over, and why.
    Aborted(Vec<Problem>),
    /// It has died: all is ours, as nobody else serves.
    Died,
}

/// The same process, to be listened to on another thread from where only its word is missing.
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
        Ok(found?.map(|line| Self { line: Line(line), unread: Vec::new() }))
    }

    /// Tells it that everything was loaded and is good; gets its sockets. What it says with them is not
    /// looked at before [`heard`](Self::heard): it is confined, and this process is not yet.
    ///
    /// # Errors
    /// What went wrong; the other process then serves without us. The same holds for all that follow.
    pub fn hello(&mut self) -> Result<Inherited, Vec<Problem>> {
        let (version, pid) = (env!("CARGO_PKG_VERSION").to_owned(), std::process::id());
        self.line.say(&Message::Hello { protocol: PROTOCOL, version, pid }, &[])?;
        let parcel = self.line.receive(None, "sockets", Some(HANDOVER_STEP_MAX)).map_err(of_it)?;
        self.unread = parcel.bytes;
        Ok(Inherited::sort(parcel.descriptors))
    }

    /// Looks at what it has said with its sockets, now that privileges are dropped.
    ///
    /// # Errors
    /// If that is something else.
    pub fn heard(&mut self) -> Result<(), Vec<Problem>> {
        match parse(&std::mem::take(&mut self.unread)).map_err(of_it)? {
            Message::Sockets => Ok(()),
            other => Err(unexpected("sockets", &other)),
        }
    }

    /// Tells it that all threads wait at their gates; waits until they may be opened. Says what the node
    /// is in.
    ///
    /// # Errors
    /// See [`hello`](Self::hello).
    pub fn ready(&self) -> Result<Condition, Vec<Problem>> {
        self.line.say(&Message::Ready, &[])?;
        match self.hear("serve", HANDOVER_STEP_MAX)?.0 {
            Message::Serve(condition) => Ok(condition),
            other => Err(unexpected("serve", &other)),
        }
    }

    /// Tells it that all gates are open; waits until it has paused and lends its history: what of it was in
    /// memory, and the lock of its directory.
    ///
    /// # Errors
    /// See [`hello`](Self::hello). The gates are to be closed.
    pub fn serving(&self) -> Result<Legacy, Vec<Problem>> {
        self.line.say(&Message::Serving, &[])?;
        match self.hear("history", HANDOVER_DONE_MAX)? {
            (Message::History { image }, descriptors) => {
                let image = image.then(|| self.line.hear_image(HANDOVER_DONE_MAX)).transpose();
                let lock = descriptors.into_iter().next().map(Lock::inherited);
                Ok(Legacy { image: image.map_err(of_it)?, lock })
            }
            (other, _) => Err(unexpected("history", &other)),
        }
    }

    /// Its line for another thread, which from now on is the only one that listens.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn late(&self) -> io::Result<Late> {
        self.line.0.try_clone().map(|line| Late(Line(line)))
    }

    /// Tells it that everything was done that can fail, and at which path this process is controlled.
    ///
    /// # Errors
    /// It is gone, which its line tells as well.
    pub fn done(&self, control: Option<PathBuf>) -> Result<(), Vec<Problem>> {
        self.line.say(&Message::Done { control }, &[])
    }

    /// Tells it why there will be no hand-over.
    pub fn refuse(&self, problems: &[Problem]) {
        let problems = problems.iter().map(|problem| (problem.place.clone(), problem.message.clone()));
        // If it is gone, the text stands in the log all the same.
        let _ = self.line.say(&Message::Refused { problems: problems.collect() }, &[]);
    }

    fn hear(&self, awaited: &str, within: Duration) -> Result<(Message, Vec<OwnedFd>), Vec<Problem>> {
        match self.line.hear(awaited, Some(within)).map_err(of_it)? {
            (Message::Abort, _) => Err(aborted()),
            heard => Ok(heard),
        }
    }
}

fn of_it(problems: Vec<Problem>) -> Vec<Problem> {
    let of_it = |problem: Problem| Problem {
        message: format!("the process to replace: {}", problem.message),
        ..problem
    };
    problems.into_iter().map(of_it).collect()
}

fn aborted() -> Vec<Problem> {
    Problem::alone("the process to replace has called the upgrade off")
}

impl Late {
    /// Waits for the last word on the hand-over, as long as it takes: either that comes, or the end.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.0.hear("yours", None) {
            Ok((Message::Yours { condition, drops, untold }, _)) => {
                // One that died with that word is not there to hear it.
                let _ = self.0.say(&Message::Taken, &[]);
                Verdict::Yours(Estate { condition, drops, untold })
            }
            Ok((Message::Abort, _)) => Verdict::Aborted(aborted()),
            Ok((other, _)) => Verdict::Aborted(unexpected("yours", &other)),
            Err(_) if self.0.has_ended() => Verdict::Died,
            Err(problems) => Verdict::Aborted(of_it(problems)),
        }
    }

    /// Waits until it ends. `obey` gets the words of what it was told to do, `add` what it counts meanwhile.
    pub fn wait(&self, obey: impl Fn(&str), add: impl Fn(&Untold)) {
        loop {
            match self.0.hear("late", None) {
                Ok((Message::Orders { words }, _)) => words.iter().for_each(|word| obey(word)),
                Ok((Message::Late { untold }, _)) => add(&untold),
                // It has not heard that everything was taken, and serves on.
                Ok((Message::Abort, _)) => return obey("shutdown"),
                _ => return,
            }
        }
    }

    /// A handle with which another thread can end the wait.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn way_out(&self) -> io::Result<Passage> {
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
    use crate::daemon::handover::giving::tests::{condition, lead_calmly};

    fn pair() -> (Predecessor, Line) {
        let (here, there) = Passage::pair().unwrap();
        (Predecessor { line: Line(here), unread: Vec::new() }, Line(there))
    }

    fn untold(count: u64) -> Untold {
        Untold { sockets: vec![("as112_queries_total".to_owned(), "{}".to_owned(), count)], xdp: Vec::new() }
    }

    #[test]
    fn both_sides_speak_one_language() {
        let (mut taker, giver) = pair();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let giving = thread::spawn(move || {
            let (successor, lent) = lead_calmly(giver, &[socket.as_fd()]).unwrap();
            assert_eq!(successor.control, Some("/run/node".into()));
            successor.commit(condition(), vec![(u64::MAX, 7)], untold(3)).unwrap();
            successor.order(vec!["reload".to_owned(), "shutdown".to_owned()]);
            successor.tell(Untold::default());
            successor.tell(untold(4));
            lent.image
        });
        assert_eq!(taker.hello().unwrap().take_group(address).len(), 1);
        taker.heard().unwrap();
        assert_eq!(taker.ready().unwrap(), condition());
        let image = taker.serving().unwrap().image;
        assert!(image.as_ref().is_some_and(|image| image.starts_with(b"SQLite")));
        let late = taker.late().unwrap();
        taker.done(Some("/run/node".into())).unwrap();
        let Verdict::Yours(estate) = late.verdict() else { panic!("it has committed") };
        assert_eq!(estate.condition, condition());
        assert_eq!((estate.drops, estate.untold), (vec![(u64::MAX, 7)], untold(3)));
        let (told, counted) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        late.wait(
            |word| told.borrow_mut().push(word.to_owned()),
            |untold| counted.borrow_mut().push(untold.clone()),
        );
        assert_eq!(told.into_inner(), ["reload", "shutdown"]);
        assert_eq!(counted.into_inner(), [untold(4)]);
        assert_eq!(giving.join().unwrap(), image);
    }

    #[test]
    fn one_that_is_gone_is_missed_at_every_step() {
        let gone = || pair().0;
        for problems in
            [gone().hello().unwrap_err(), gone().ready().unwrap_err(), gone().serving().unwrap_err()]
        {
            assert!(problems[0].message.contains("it ended"), "{problems:?}");
        }
        assert!(matches!(gone().late().unwrap().verdict(), Verdict::Died));
    }

    #[test]
    fn one_that_calls_it_off_is_told_from_one_that_died() {
        let (taker, giver) = pair();
        giver.say(&Message::Abort, &[]).unwrap();
        let problems = taker.ready().unwrap_err();
        assert_eq!(problems[0].message, "the process to replace has called the upgrade off");
        for last in [&Message::Abort, &Message::Ready] {
            let (taker, giver) = pair();
            giver.say(last, &[]).unwrap();
            drop(giver);
            assert!(matches!(taker.late().unwrap().verdict(), Verdict::Aborted(_)), "{last:?}");
        }
    }

    /// What came with the sockets is no text before privileges are dropped.
    #[test]
    fn what_is_said_with_the_sockets_is_looked_at_later() {
        for bytes in [&b"{"[..], br#"{"say":"ready"}"#] {
            let (mut taker, giver) = pair();
            giver.0.send(bytes, &[]).unwrap();
            assert!(taker.hello().is_ok());
            assert!(taker.heard().is_err());
        }
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
        let late = taker.late().unwrap();
        let way_out = late.way_out().unwrap();
        let waiting = thread::spawn(move || late.wait(|_| (), |_| ()));
        way_out.close();
        waiting.join().unwrap();
    }
}
