//! The hand-over from a process to its successor, without a packet lost.
//!
//! | the one that gives (`giving.rs`) | | the one that takes (`taking.rs`) |
//! |---|---|---|
//! | has the launcher start it | | loads and checks everything |
//! | | ← `hello` | |
//! | passes its sockets | `sockets` → | adopts them, starts its threads with closed gates, tests each |
//! | | ← `ready` | |
//! | | `serve` → | opens the gates |
//! | | ← `serving` | |
//! | **the trial**: pauses, lends its history | `history` → | opens that, HTTP, control; asks itself |
//! | | ← `done` | all that can fail has been done |
//! | **commits** | `yours` → | |
//! | retires | ← `taken` | takes over the steering and the driver |
//! | passes on what signals have told it meanwhile | `orders` → | carries it out |
//! | serves the connections that it has, then ends | `late` → | adds what those have counted |
//!
//! Both hold the same sockets, with what is queued in them, and every datagram is read by one of them. Until
//! `taken` the first is whole: if anything goes wrong it says `abort`, to which the other answers what it has
//! read and ends, has it killed where it does not, and continues. So the end of the line means one thing to
//! the one that takes: the other has died, and everything is its own. And `taken` tells the one that gives
//! that there is somebody who has everything.

mod giving;
mod taking;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::board::pops::State;
use crate::history::Untold;
use crate::limits::{HANDOVER_IMAGE_LEN_MAX, HANDOVER_LEN_MAX, HANDOVER_STEP_MAX};
use crate::net::SocketDrops;
use crate::problem::Problem;
use crate::sys::passing::{Parcel, Passage};

pub use giving::{Giving, Successor};
pub use taking::{Estate, Late, Predecessor, Verdict};

/// The version of this protocol. A field that is added needs no new one: who does not know it ignores it.
const PROTOCOL: u32 = 2;

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Message {
    Hello {
        protocol: u32,
        version: String,
        pid: u32,
    },
    /// With all sockets. What they are the kernel tells.
    Sockets,
    Ready,
    Serve(Condition),
    Serving,
    /// The history is the other's to write, with the lock of its directory, if there is one. With `image` it
    /// is in memory, or a part of it, which comes as the next message.
    History {
        image: bool,
    },
    /// With where it can be controlled.
    Done {
        #[serde(default)]
        control: Option<PathBuf>,
    },
    /// The commit.
    Yours {
        /// As it is by now.
        #[serde(flatten)]
        condition: Condition,
        /// Up to where the drops of each socket were counted.
        drops: Vec<SocketDrops>,
        /// What the history has not.
        untold: Untold,
    },
    /// It has heard that, and nobody else is needed.
    Taken,
    /// There will be no hand-over.
    Abort,
    /// What this process was told to do and the other is to, by the words of the control socket.
    Orders {
        words: Vec<String>,
    },
    /// What was counted since the last time.
    Late {
        untold: Untold,
    },
    /// Instead of anything else, by the one that takes: there will be no hand-over.
    Refused {
        /// For each its place and what is wrong.
        problems: Vec<(String, String)>,
    },
}

/// What the node is in that its configuration does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Whether it is draining.
    #[serde(default)]
    pub draining: bool,
    /// Which PoPs are up.
    #[serde(default)]
    pub pops: Vec<State>,
}

/// The line between the two.
#[derive(Debug)]
struct Line(Passage);

impl Line {
    /// Whether the other process is gone.
    fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    fn say(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<(), Vec<Problem>> {
        let text = serde_json::to_vec(message).expect("names and numbers have a form in JSON");
        self.0.send(&text, descriptors).map_err(|error| Problem::alone(lost(&error, "did not read in time")))
    }

    /// Waits for what the other says next. `awaited` is what that should be, for people.
    fn hear(&self, awaited: &str, within: Option<Duration>) -> Result<(Message, Vec<OwnedFd>), Vec<Problem>> {
        self.hear_unless(None, awaited, within)
    }

    /// The same, while the other end of `off` is open.
    fn hear_unless(
        &self,
        off: Option<&Passage>,
        awaited: &str,
        within: Option<Duration>,
    ) -> Result<(Message, Vec<OwnedFd>), Vec<Problem>> {
        let parcel = self.receive(off, awaited, within)?;
        Ok((parse(&parcel.bytes)?, parcel.descriptors))
    }

    /// What the other says next, as it came.
    fn receive(
        &self,
        off: Option<&Passage>,
        awaited: &str,
        within: Option<Duration>,
    ) -> Result<Parcel, Vec<Problem>> {
        // What has begun to come is there in a moment.
        let came = self.0.await_message(within, off);
        let parcel = came.and_then(|()| self.0.receive(HANDOVER_LEN_MAX, Some(HANDOVER_STEP_MAX)));
        parcel.map_err(|error| Problem::alone(lost(&error, &format!("did not send `{awaited}` in time"))))
    }

    fn say_image(&self, image: &[u8]) -> Result<(), Vec<Problem>> {
        self.0.send(image, &[]).map_err(|error| Problem::alone(lost(&error, "did not read in time")))
    }

    fn hear_image(&self, within: Duration) -> Result<Vec<u8>, Vec<Problem>> {
        let why = |error: io::Error| Problem::alone(lost(&error, "did not hand over its history in time"));
        self.0.receive(HANDOVER_IMAGE_LEN_MAX, Some(within)).map(|parcel| parcel.bytes).map_err(why)
    }
}

fn parse(bytes: &[u8]) -> Result<Message, Vec<Problem>> {
    match serde_json::from_slice(bytes) {
        Ok(Message::Refused { problems }) => {
            Err(problems.into_iter().map(|(place, message)| Problem { place, message }).collect())
        }
        Ok(message) => Ok(message),
        Err(error) => Err(Problem::alone(format!("it does not speak the handover protocol: {error}"))),
    }
}

/// What an error of the line says of the other end.
fn lost(error: &io::Error, too_slow: &str) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("it {too_slow}"),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => "it ended".to_owned(),
        io::ErrorKind::ConnectionAborted => "it was called off".to_owned(),
        io::ErrorKind::InvalidData if error.get_ref().is_none() => {
            "it does not speak the handover protocol".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Something else was said than `awaited`.
fn unexpected(awaited: &str, said: &Message) -> Vec<Problem> {
    Problem::alone(format!("expected `{awaited}`, got {said:?}"))
}
