//! Where a fleet's tree is, as an operator writes it, and what one needs to get in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What carries a fleet's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder: shared, or the checkout of a repository.
    Dir(PathBuf),
    /// A web server, with or without TLS: the URL of the folder.
    Web(String),
    /// A server of NATS: its URL.
    Nats(String),
}

/// How one gets in. A seed and a password are in files of their own, so that no list of processes shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A file with the seed of an nkey.
    pub nkey: Option<PathBuf>,
    /// A user of NATS.
    pub user: Option<String>,
    /// A file with that user's password.
    pub password_file: Option<PathBuf>,
    /// A file of certificates that are trusted in place of the system's.
    pub ca: Option<PathBuf>,
    /// The JetStream domain of the hub, where the address is that of a leaf.
    pub domain: Option<String>,
    /// The name that a node has there: replies to it go to inboxes of that name.
    pub name: Option<String>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: &str| {
            format!("`{text}`: {what}; write dir:PATH, https://HOST/PATH, nats://HOST or tls://HOST")
        };
        let rest = |rest: &str| rest.trim_end_matches('/').to_owned();
        let (scheme, behind) = text.split_once(':').ok_or_else(|| wrong("it says no scheme"))?;
        let host = behind.strip_prefix("//").unwrap_or_default();
        match scheme {
            "dir" if behind.is_empty() => Err(wrong("it names no folder")),
            "dir" => Ok(Self::Dir(PathBuf::from(behind))),
            "http" | "https" | "nats" | "tls" if host.is_empty() => Err(wrong("it names no host")),
            "http" | "https" => Ok(Self::Web(rest(text))),
            "nats" | "tls" if host.contains('@') => Err(wrong("a password does not belong into an address")),
            "nats" | "tls" => Ok(Self::Nats(rest(text))),
            _ => Err(wrong("there is no such scheme")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Web(url) | Self::Nats(url) => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_operators_write() {
        for (text, is) in [
            ("dir:/srv/fleet", Address::Dir("/srv/fleet".into())),
            ("dir:fleet", Address::Dir("fleet".into())),
            ("https://host/a/", Address::Web("https://host/a".to_owned())),
            ("nats://hub:4222", Address::Nats("nats://hub:4222".to_owned())),
            ("tls://hub", Address::Nats("tls://hub".to_owned())),
        ] {
            assert_eq!(text.parse::<Address>().unwrap(), is, "{text}");
        }
        for (text, why) in [
            ("", "no scheme"),
            ("/srv", "no scheme"),
            ("dir:", "no folder"),
            ("https:host", "no host"),
            ("nats://", "no host"),
            ("nats://a:b@hub", "a password"),
            ("ftp://host", "no such scheme"),
        ] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.contains(why) && error.contains("; write dir:PATH"), "{error}");
        }
    }
}
