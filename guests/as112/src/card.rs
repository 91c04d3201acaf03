//! What the node says of itself.

use alloc::string::String;
use alloc::vec::Vec;

use as112_guest::{NameBuf, StartError, Value};

use crate::loc;

/// What the hostname zones say (RFC 7534, section 3.5).
pub struct Card {
    /// The strings of the first TXT record.
    pub place: Vec<String>,
    /// The text with the node's own addresses, for hostname.as112.net alone.
    pub unique_ip: Option<String>,
    /// Further TXT records, of one string each.
    pub extra_txt: Vec<String>,
    /// The data of the LOC record.
    pub loc: Option<[u8; 16]>,
    pub mname: Option<NameBuf>,
    pub rname: Option<NameBuf>,
}

const KEYS: [&str; 8] = [
    "node",
    "facility",
    "location",
    "loc",
    "unique_ip",
    "extra_txt",
    "hostname_soa_mname",
    "hostname_soa_rname",
];

impl Card {
    /// Reads the configuration.
    pub fn read(config: &Value) -> Result<Self, StartError> {
        if let Some((key, _)) = config.pairs().iter().find(|(key, _)| !KEYS.contains(&&key[..])) {
            return Err(["unknown key `", key, "`; there are ", &KEYS.join(", ")].concat().into());
        }
        let mut place = Vec::new();
        for key in ["facility", "location"] {
            place.extend(text(config, key)?);
        }
        if place.is_empty() {
            place.push(text(config, "node")?.ok_or("the key `node` is missing: name the node")?);
        }
        let addresses = texts(config, "unique_ip")?;
        let unique_ip = match addresses.is_empty() {
            true => None,
            false => Some(string("unique_ip", &["Unique IP: ", &addresses.join(" and "), "."].concat())?),
        };
        let loc = match text(config, "loc")? {
            None => None,
            Some(text) => Some(loc::read(&text).ok_or("loc: write it as in `45 25 0 N 75 42 0 W 80m`")?),
        };
        Ok(Self {
            place,
            unique_ip,
            extra_txt: texts(config, "extra_txt")?,
            loc,
            mname: name(config, "hostname_soa_mname")?,
            rname: name(config, "hostname_soa_rname")?,
        })
    }
}

/// A text that becomes one string of a TXT record.
fn string(key: &str, text: &str) -> Result<String, StartError> {
    match text.len() {
        1..=255 => Ok(text.into()),
        _ => Err([key, ": give 1 to 255 bytes"].concat().into()),
    }
}

fn text(config: &Value, key: &str) -> Result<Option<String>, StartError> {
    match config.get(key) {
        None => Ok(None),
        Some(value) => {
            let text = value.text().ok_or_else(|| [key, ": give a text"].concat())?;
            string(key, text).map(Some)
        }
    }
}

fn texts(config: &Value, key: &str) -> Result<Vec<String>, StartError> {
    let values = config.get(key).map(Value::list).unwrap_or_default();
    values.iter().map(|value| string(key, value.text().unwrap_or_default())).collect()
}

fn name(config: &Value, key: &str) -> Result<Option<NameBuf>, StartError> {
    let text = match text(config, key)? {
        None => return Ok(None),
        Some(text) => text,
    };
    let name = text.parse::<NameBuf>().map(Some);
    name.map_err(|error| [key, ": ", error.message()].concat().into())
}
