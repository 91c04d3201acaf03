//! What nodes send of their history, in JSON: a minute, or the sketches of a day.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::history::asked::registers;
use crate::history::compact::{self, Row};
use crate::limits::{FLEET_MESSAGE_LEN_MAX, MINUTE_SECONDS_MAX};
use crate::stats::uniques::{KINDS, REGISTERS};

/// The form of messages that this program writes and reads.
const FORMAT: u32 = 1;

/// A minute on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfMinute {
    /// The form of the message.
    format: u32,
    /// Where the node is.
    #[serde(default)]
    pub colo: String,
    /// When it was sent, by the clock of the node, in seconds of Unix time.
    pub sent: u64,
    /// What tells the numbers of this history from others.
    pub epoch: String,
    /// Its number.
    pub seq: u64,
    /// When it began, by the clock of the node.
    pub minute: u64,
    /// How many seconds were counted.
    pub seconds: u64,
    counts: Value,
    /// What people call countries and ASes, by label and value.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub names: Map<String, Value>,
}

/// The sketches of unique sources of a day, on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSketches {
    format: u32,
    /// Where the node is.
    #[serde(default)]
    pub colo: String,
    /// When they were sent, by the clock of the node.
    pub sent: u64,
    /// The day, by the clock of the node, in days of Unix time.
    pub day: u64,
    sketches: Map<String, Value>,
}

impl OfMinute {
    /// The message that one of the minutes becomes which a node has told of, at `sent`.
    ///
    /// # Errors
    /// If that is not a minute.
    pub fn new(epoch: &str, minute: &Value, colo: &str, sent: u64) -> Result<Self, String> {
        let mut whole = minute.clone();
        let object = whole.as_object_mut().ok_or("a minute is not an object")?;
        object.insert("format".to_owned(), FORMAT.into());
        object.insert("colo".to_owned(), colo.into());
        object.insert("sent".to_owned(), sent.into());
        object.insert("epoch".to_owned(), epoch.into());
        serde_json::from_value(whole).map_err(|error| error.to_string())
    }

    /// Reads a message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(message: &[u8]) -> Result<(Self, Vec<Row>), String> {
        let of: Self = parsed(message)?;
        known(of.format)?;
        let rows = compact::read(&of.counts)?;
        if of.epoch.is_empty() || of.epoch.len() > 32 || of.seconds > MINUTE_SECONDS_MAX {
            return Err("`epoch` or `seconds` is out of bounds".to_owned());
        }
        // What a database of SQLite cannot hold, no node has.
        if [of.seq, of.minute, of.sent].iter().any(|number| *number > u64::from(u32::MAX) << 8) {
            return Err("`seq`, `minute` or `sent` is out of bounds".to_owned());
        }
        Ok((of, rows))
    }
}

impl OfSketches {
    /// The message that the answer of a node becomes; `None` if the node knows nothing of the day.
    #[must_use]
    pub fn new(answer: &Value, colo: &str, sent: u64) -> Option<Self> {
        let sketches = answer["sketches"].as_object()?.clone();
        Some(Self { format: FORMAT, colo: colo.to_owned(), sent, day: answer["day"].as_u64()?, sketches })
    }

    /// Reads a message: besides it the registers of each kind.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(message: &[u8]) -> Result<(Self, [Vec<u8>; KINDS.len()]), String> {
        let of: Self = parsed(message)?;
        known(of.format)?;
        let kinds = KINDS.map(|kind| of.sketches.get(kind)?.as_str().and_then(registers));
        if of.day > u64::from(u32::MAX) || of.sent > u64::from(u32::MAX) << 8 {
            return Err("`day` or `sent` is out of bounds".to_owned());
        }
        match kinds {
            [Some(ipv4), Some(ipv6), Some(networks)]
                if [&ipv4, &ipv6, &networks].iter().all(|kind| kind.len() == REGISTERS) =>
            {
                Ok((of, [ipv4, ipv6, networks]))
            }
            _ => Err(format!("`sketches` has not {REGISTERS} registers of each kind")),
        }
    }
}

fn parsed<'m, T: Deserialize<'m>>(message: &'m [u8]) -> Result<T, String> {
    if message.len() > FLEET_MESSAGE_LEN_MAX {
        return Err(format!("it has {} bytes", message.len()));
    }
    serde_json::from_slice(message).map_err(|error| error.to_string())
}

fn known(format: u32) -> Result<(), String> {
    (format == FORMAT)
        .then_some(())
        .ok_or_else(|| format!("its format is {format}, this program knows {FORMAT}"))
}
