//! What a running node is asked to do: by signals, which want no answer, and over the control socket.

use std::io;

use crossbeam_channel::Sender;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;

use super::questions::{OfCache, Why};
use crate::board::pops::ByHand;
use crate::config::written::Written as _;
use crate::log::Level;
use crate::net::{self, Event};
use crate::pops::Report;
use crate::problem::Problem;
use crate::report::explain::Question;
use crate::sys::confine::{Class, Confined};

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Show the state of the node.
    Status,
    /// Read the configuration again.
    Reload,
    /// Read the maps again, and nothing else.
    ReloadMaps,
    /// Withdraw the routes, but answer queries that still arrive.
    Drain,
    /// Be there for everybody again.
    Undrain,
    /// Drain, and end. Asked for a second time: end now.
    Stop,
    /// Write the counts to the log.
    Statistics,
    /// Leave out of the log what matters less.
    Verbosity(Level),
    /// Leave everything to a new process.
    Upgrade,
    /// Show rules and routes, and how often each has matched.
    Rules,
    /// Show the applications, and what they have done.
    Apps,
    /// Show the way of a query.
    Why(Why),
    /// Show or remove what the cache has.
    Cache(OfCache),
    /// Explain the answer to a query.
    Explain(Question),
    /// Show which PoPs are up.
    Pops,
    /// A PoP is up or drained, whatever probes say; or as they say.
    Pop(PopOrder),
    /// Take over what a watcher of PoPs has seen.
    Seen(Report),
}

/// What is to be of a PoP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopOrder {
    /// Its name.
    pub name: String,
    /// What goes before what was seen, if anything.
    pub by_hand: Option<ByHand>,
}

impl PopOrder {
    /// The words for what can be ordered.
    pub const WORDS: [(&'static str, Option<ByHand>); 3] =
        [("drain", Some(ByHand::Drain)), ("up", Some(ByHand::Up)), ("auto", None)];

    /// What the words after `pop ` order.
    fn from_words(words: &str) -> Option<Self> {
        let (name, word) = words.split_once(' ')?;
        let (_, by_hand) = Self::WORDS.into_iter().find(|(known, _)| *known == word)?;
        Some(Self { name: name.to_owned(), by_hand })
    }
}

impl Wish {
    /// The wishes that have a word on the control socket.
    const WORDS: [(&'static str, Self); 10] = [
        ("status", Self::Status),
        ("reload", Self::Reload),
        ("reload maps", Self::ReloadMaps),
        ("drain", Self::Drain),
        ("undrain", Self::Undrain),
        ("shutdown", Self::Stop),
        ("upgrade", Self::Upgrade),
        ("rules", Self::Rules),
        ("apps", Self::Apps),
        ("pops", Self::Pops),
    ];

    /// The wish that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(level) = word.strip_prefix("verbosity ") {
            return Level::read(level).ok().map(Self::Verbosity);
        }
        if let Some(words) = word.strip_prefix("why ") {
            return Why::from_words(words).map(Self::Why);
        }
        if let Some(words) = word.strip_prefix("cache ") {
            return OfCache::from_words(words).map(Self::Cache);
        }
        if let Some(words) = word.strip_prefix("explain ") {
            return Question::from_words(words).map(Self::Explain);
        }
        if let Some(words) = word.strip_prefix("pop ") {
            return PopOrder::from_words(words).map(Self::Pop);
        }
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, wish)| wish.clone())
    }

    /// Whether it only wants to know something.
    pub fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::Rules
                | Self::Apps
                | Self::Explain(_)
                | Self::Pops
                | Self::Seen(_)
                | Self::Why(_)
                | Self::Cache(OfCache { purges: false, .. })
        )
    }

    /// The word for it, if there is one.
    fn word(&self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(_, known)| known == self).map(|(word, _)| *word)
    }

    fn from_signal(signal: i32) -> Option<Self> {
        match signal {
            SIGTERM | SIGINT => Some(Self::Stop),
            SIGHUP => Some(Self::Reload),
            SIGUSR1 => Some(Self::Statistics),
            SIGUSR2 => Some(Self::Upgrade),
            _ => None,
        }
    }
}

/// A wish, and the client that waits for the answer.
#[derive(Debug)]
pub struct Order {
    /// What is to be done.
    pub wish: Wish,
    /// Who is told what came of it.
    pub client: Client,
}

impl Order {
    /// Leaves it to the process that serves meanwhile: a client asks that one by itself; what a signal wants
    /// comes back as a word, to be told to it.
    pub fn leave(self) -> Option<&'static str> {
        let word = self.wish.word().filter(|_| self.client.is_signal());
        self.client.answer(moved());
        word
    }
}

/// Who waits for an answer, if anybody does.
#[derive(Debug, Default)]
pub struct Client(Option<oneshot::Sender<Value>>);

impl Client {
    /// One, and where the answer comes out.
    pub fn new() -> (Self, oneshot::Receiver<Value>) {
        let (sender, answer) = oneshot::channel();
        (Self(Some(sender)), answer)
    }

    /// Whether it is a signal, and nobody waits.
    pub const fn is_signal(&self) -> bool {
        self.0.is_none()
    }

    /// It is done; `more` is what there is to say of it, an object.
    pub fn done(self, mut more: Value) {
        more["ok"] = true.into();
        self.answer(more);
    }

    /// It is not, and why.
    pub fn failed(self, error: &str, problems: &[Problem]) {
        self.answer(failure(error, problems));
    }

    fn answer(self, answer: Value) {
        if let Some(client) = self.0 {
            // Who does not wait for the answer any more does not need it.
            let _ = client.send(answer);
        }
    }
}

/// The answer to what could not be done.
pub fn failure(error: &str, problems: &[Problem]) -> Value {
    json!({ "ok": false, "error": error, "problems": problems_as_json(problems) })
}

/// The answer of a process that was succeeded.
pub fn moved() -> Value {
    let mut answer = failure("another process has taken over; ask again", &[]);
    answer["moved"] = true.into();
    answer
}

/// Problems as answers have them.
pub fn problems_as_json(problems: &[Problem]) -> Value {
    problems.iter().map(|Problem { place, message }| json!({ "place": place, "message": message })).collect()
}

/// From now on signals that do not end a process are kept for [`watch_signals`]: a reload or an upgrade that
/// comes while it starts is carried out once it serves. Those that do end it still do so at once.
///
/// # Errors
/// If the process may have no more descriptors.
pub fn early_signals() -> io::Result<Signals> {
    Signals::new([SIGHUP, SIGUSR1, SIGUSR2])
}

/// From now on the others are kept as well.
///
/// # Errors
/// As those of [`early_signals`].
pub fn keep_all(signals: &Signals) -> io::Result<()> {
    [SIGTERM, SIGINT].into_iter().try_for_each(|signal| signals.add_signal(signal))
}

/// From now on signals are orders, on a thread of their own.
///
/// # Errors
/// If there can be no such thread.
pub fn watch_signals(
    mut signals: Signals,
    orders: &Sender<Order>,
    events: &Sender<Event>,
    confined: &Confined,
) -> io::Result<()> {
    let (orders, confined) = (orders.clone(), confined.clone());
    net::spawn("signals".to_owned(), events.clone(), move || {
        confined.thread(Class::Signals)?;
        for wish in signals.forever().filter_map(Wish::from_signal) {
            if orders.send(Order { wish, client: Client::default() }).is_err() {
                return Ok(());
            }
        }
        // A process that cannot be told to end would be a nuisance.
        Err("signals can no longer be received".to_owned())
    })?;
    Ok(())
}
