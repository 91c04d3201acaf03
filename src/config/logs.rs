//! What is logged of the node and of its queries: `[log]`, `[query_log]` and `[dnstap]`.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::written::{Count, Given, Mistake, Origin, Written, choice};
use crate::limits::{DNSTAP_EVERY, TAP_EVERY_MAX};
use crate::log::{self, Format, Level};
use crate::taps::{Addresses, DnstapReceiver};

/// The query log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLog {
    /// One query in so many of a thread is logged.
    pub sample_every: NonZeroU32,
    /// The file; without one, lines go to the log.
    pub file: Option<PathBuf>,
    /// How much of a client's address is shown.
    pub addresses: Addresses,
}

/// dnstap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnstap {
    /// The receiver.
    pub to: DnstapReceiver,
    /// One query in so many of a thread is logged.
    pub sample_every: NonZeroU32,
    /// How much of a client's address is shown.
    pub addresses: Addresses,
}

type TapEvery = Count<1, TAP_EVERY_MAX>;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [log] section")]
pub(super) struct LogSpec {
    level: Given<Level>,
    format: Given<Format>,
    file: Option<PathBuf>,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { level: Given::default(Level::Info), format: Given::default(Format::Text), file: None }
    }
}

impl LogSpec {
    /// What holds. Paths are relative to `dir`; what the command line says goes first.
    pub(super) fn settings(self, dir: &Path, format: Option<Format>, file: Option<&Path>) -> log::Settings {
        log::Settings {
            level: self.level.value,
            format: format.unwrap_or(self.format.value),
            file: file.map(Path::to_owned).or_else(|| self.file.map(|file| dir.join(file))),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [query_log] section")]
pub(super) struct QueryLogSpec {
    sample_every: Option<Given<TapEvery>>,
    file: Option<Spanned<PathBuf>>,
    addresses: Given<Addresses>,
}

impl Default for QueryLogSpec {
    fn default() -> Self {
        Self { sample_every: None, file: None, addresses: Given::default(Addresses::Short) }
    }
}

impl QueryLogSpec {
    /// The query log that is wanted, if one is.
    pub(super) fn settings(self, dir: &Path, mistakes: &mut Vec<Mistake>) -> Option<QueryLog> {
        let Self { sample_every, file, addresses } = self;
        let Some(sample_every) = sample_every else {
            let mistake = |file: Spanned<PathBuf>| {
                let message = "nothing is logged there without sample_every; give it, 1 for every query";
                Mistake::new(Origin::File(file.span().start), message)
            };
            mistakes.extend(file.map(mistake));
            return None;
        };
        Some(QueryLog {
            sample_every: every(sample_every.value),
            file: file.map(|file| dir.join(file.into_inner())),
            addresses: addresses.value,
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [dnstap] section")]
pub(super) struct DnstapSpec {
    to: Option<Given<DnstapReceiver>>,
    sample_every: Given<TapEvery>,
    addresses: Given<Addresses>,
}

impl Default for DnstapSpec {
    fn default() -> Self {
        Self {
            to: None,
            sample_every: Given::default(Count(DNSTAP_EVERY as usize)),
            addresses: Given::default(Addresses::Short),
        }
    }
}

impl DnstapSpec {
    /// dnstap, if somebody gets it.
    pub(super) fn settings(self, dir: &Path) -> Option<Dnstap> {
        let Self { to, sample_every, addresses } = self;
        let to = match to?.value {
            DnstapReceiver::Unix(path) => DnstapReceiver::Unix(dir.join(path)),
            tcp @ DnstapReceiver::Tcp(_) => tcp,
        };
        Some(Dnstap { to, sample_every: every(sample_every.value), addresses: addresses.value })
    }
}

fn every(Count(every): TapEvery) -> NonZeroU32 {
    let every = u32::try_from(every).ok().and_then(NonZeroU32::new);
    every.expect("its range begins at 1 and ends below 2^32")
}

impl Written for Level {
    const EXPECTED: &'static str = "\"error\", \"warning\", \"info\" or \"debug\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &Self::ALL.map(|level| (level.name(), level)))
    }
}

impl Written for Format {
    const EXPECTED: &'static str = "\"text\" or \"json\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("text", Self::Text), ("json", Self::Json)])
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl Written for Addresses {
    const EXPECTED: &'static str = "\"short\" or \"whole\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("short", Self::Short), ("whole", Self::Whole)])
    }
}

impl Written for DnstapReceiver {
    const EXPECTED: &'static str = "a socket such as \"unix:/run/dnstap.sock\" or \"tcp:127.0.0.1:6000\"";

    fn read(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").filter(|path| !path.is_empty());
        let address = text.strip_prefix("tcp:").and_then(|address| address.parse().ok());
        path.map(|path| Self::Unix(path.into()))
            .or_else(|| address.map(Self::Tcp))
            .ok_or_else(|| format!("`{text}` is not a dnstap receiver; give {}", Self::EXPECTED))
    }
}

/// How much, in what form, and where.
impl fmt::Display for log::Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let format = if self.format == Format::Json { "JSON" } else { "text" };
        write!(f, "{} and above, as {format}, to ", self.level.name())?;
        match &self.file {
            Some(file) => file.display().fmt(f),
            None => f.write_str("standard error"),
        }
    }
}

impl fmt::Display for QueryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one query in {} to ", self.sample_every)?;
        match &self.file {
            Some(file) => file.display().fmt(f),
            None => f.write_str("the log"),
        }
    }
}

impl fmt::Display for Dnstap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one query in {} to {}", self.sample_every, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_say_what_to_write() {
        assert_eq!(Level::read("warning"), Ok(Level::Warning));
        assert_eq!(
            Level::read("warn").unwrap_err(),
            "`warn` is not a valid value; give \"error\", \"warning\", \"info\" or \"debug\""
        );
        assert_eq!(Format::read("json"), Ok(Format::Json));
        assert_eq!(Addresses::read("whole"), Ok(Addresses::Whole));
        for (text, receiver) in [
            ("unix:/run/a", DnstapReceiver::Unix("/run/a".into())),
            ("unix:a b", DnstapReceiver::Unix("a b".into())),
            ("tcp:[::1]:6000", DnstapReceiver::Tcp("[::1]:6000".parse().unwrap())),
        ] {
            assert_eq!(DnstapReceiver::read(text).as_ref(), Ok(&receiver));
            assert_eq!(receiver.to_string(), text);
        }
        for bad in ["", "unix:", "/run/a", "tcp:", "tcp:localhost:1", "tcp:1.2.3.4", "udp:1.2.3.4:5"] {
            assert!(DnstapReceiver::read(bad).unwrap_err().contains("is not a dnstap receiver"), "{bad}");
        }
    }
}
