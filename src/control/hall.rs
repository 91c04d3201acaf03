//! What is said with one client.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest, Take};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, UCred};
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::client::GREETING;
use super::orders::{Client, Order, Wish, failure, moved};
use crate::board::State;
use crate::board::announcers::Announcers;
use crate::limits::{
    CONTROL_LINE_LEN_MAX, CONTROL_LOOK_EVERY, CONTROL_STEP_MAX, CONTROL_WATCHERS_MAX, HEALTH_REPORT_LEN_MAX,
    REPORT_AGE_MAX, REPORT_LEN_MAX,
};
use crate::log::Log;

/// The word of who wants to hear the state, now and at each change.
pub const WATCH: &str = "watch";
/// The same of who tells how its routes are: lines that follow.
pub const ANNOUNCE: &str = "announce";
/// The same of who tells which PoPs are up.
pub const HEALTH: &str = "health";

/// Says that another process has the socket: one that this one succeeds, or a successor.
#[derive(Debug, Default)]
pub(super) struct Leave {
    pub(super) is_left: AtomicBool,
    pub(super) news: Notify,
}

impl Leave {
    pub(super) fn change(&self, is_left: bool) {
        self.is_left.store(is_left, Ordering::Relaxed);
        self.news.notify_one();
    }
}

/// Where clients are received.
pub(super) struct Hall {
    pub(super) orders: Sender<Order>,
    pub(super) state: watch::Receiver<State>,
    pub(super) leave: Arc<Leave>,
    /// One count is its own, the others are those of who watches.
    pub(super) watchers: Arc<()>,
    pub(super) announcers: Announcers,
    pub(super) log: Log,
}

type Lines = BufReader<Take<OwnedReadHalf>>;

impl Hall {
    /// One request and what there is to answer.
    pub(super) async fn exchange(&self, stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred().ok();
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader.take(CONTROL_LINE_LEN_MAX));
        let mut line = String::new();
        timeout(CONTROL_STEP_MAX, reader.read_line(&mut line)).await??;
        // Of a line that is too long the end is missing, and the rest may mean something else.
        let is_whole = line.ends_with('\n') || (line.len() as u64) < CONTROL_LINE_LEN_MAX;
        let word = line.trim_end().strip_prefix(GREETING).filter(|_| is_whole);
        let answer = match (word, word.and_then(Wish::from_word)) {
            (Some(WATCH | ANNOUNCE | HEALTH), _)
                if Arc::strong_count(&self.watchers) > CONTROL_WATCHERS_MAX =>
            {
                failure("too many clients watch the node", &[])
            }
            (Some(word @ (WATCH | ANNOUNCE | HEALTH)), _) => {
                let _watcher = Arc::clone(&self.watchers);
                return select! {
                    told = tell(&mut writer, self.state.clone()) => told,
                    end = self.hear(&mut reader, word, peer.as_ref()) => end,
                };
            }
            (_, Some(_)) if self.leave.is_left.load(Ordering::Relaxed) => moved(),
            (Some(word), Some(wish)) => {
                self.note(word, &wish, peer.as_ref());
                let (client, answer) = Client::new();
                let asked = self.orders.send(Order { wish, client });
                let answer = select! {
                    answer = answer => answer,
                    // Its place is for another.
                    () = gone(&writer) => return Ok(()),
                };
                match (asked, answer) {
                    (Ok(()), Ok(answer)) => answer,
                    _ => failure("the node is stopping", &[]),
                }
            }
            _ => failure("malformed request; start it with `as112d 1`, as in `as112d 1 status`", &[]),
        };
        send(&mut writer, &answer).await
    }

    /// What a client says that watches. One that says nothing of itself says nothing more: whatever comes is
    /// its end.
    async fn hear(&self, reader: &mut Lines, word: &str, peer: Option<&UCred>) -> io::Result<()> {
        match word {
            ANNOUNCE => {
                let entry = self.announcers.enter(peer.and_then(pid));
                lines(reader, REPORT_LEN_MAX, |report| {
                    entry.said(report);
                    true
                })
                .await
            }
            HEALTH => {
                let order = |report| Order { wish: Wish::Seen(report), client: Client::default() };
                lines(reader, HEALTH_REPORT_LEN_MAX, |report| self.orders.send(order(report)).is_ok()).await
            }
            _ => reader.read_u8().await.map(|_| ()),
        }
    }

    /// Says who orders something, as the kernel knows him.
    fn note(&self, word: &str, wish: &Wish, peer: Option<&UCred>) {
        if wish.is_question() {
            return;
        }
        let who = peer.map_or_else(
            || "an unknown user".to_owned(),
            |peer| match peer.pid() {
                Some(pid) => format!("uid {}, process {pid}", peer.uid()),
                None => format!("uid {}", peer.uid()),
            },
        );
        self.log.info(format!("{word}: ordered by {who}"));
    }
}

fn pid(peer: &UCred) -> Option<u32> {
    peer.pid().and_then(|pid| u32::try_from(pid).ok())
}

/// Waits for the end of a client. One that has only said its last word waits for an answer.
async fn gone(writer: &OwnedWriteHalf) {
    loop {
        sleep(CONTROL_LOOK_EVERY).await;
        let ready = writer.ready(Interest::WRITABLE).await;
        if ready.is_ok_and(|ready| ready.is_write_closed()) {
            return;
        }
    }
}

/// The state now, and each one that comes.
async fn tell(writer: &mut OwnedWriteHalf, mut state: watch::Receiver<State>) -> io::Result<()> {
    loop {
        let now = *state.borrow_and_update();
        send(writer, &json!({ "state": now.name() })).await?;
        if now == State::Stopping {
            // The end of the process ends the connection.
            std::future::pending::<()>().await;
        }
        if state.changed().await.is_err() {
            // The end of the connection sends the client to the successor.
            return Ok(());
        }
    }
}

/// Gives each report that comes to `take`, until that has enough; until nothing comes for too long, or what
/// is not a report.
async fn lines<R: DeserializeOwned>(
    reader: &mut Lines,
    len_max: u64,
    take: impl Fn(R) -> bool,
) -> io::Result<()> {
    loop {
        reader.get_mut().set_limit(len_max);
        let mut line = String::new();
        timeout(REPORT_AGE_MAX, reader.read_line(&mut line)).await??;
        if !take(serde_json::from_str(&line)?) {
            return Ok(());
        }
    }
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Value) -> io::Result<()> {
    let line = format!("{answer}\n");
    timeout(CONTROL_STEP_MAX, writer.write_all(line.as_bytes())).await?
}
