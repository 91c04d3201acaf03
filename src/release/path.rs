//! Paths within a release: they lead down and nowhere else.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::refused::{Code, Refused, shown};
use super::scope::{Label, Scope};
use crate::limits::{RELEASE_PATH_LEN_MAX, RELEASE_PATH_PART_LEN_MAX};

/// A relative path of parts that begin with a letter, a digit, `_` or `-` and have nothing else but dots.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RelPath(String);

impl RelPath {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it has between slashes.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The directories that it is in, the innermost first.
    pub fn directories(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// Whom a file at this path is for: what lies in `colo/NAME/` is for that colo, what lies in `node/NAME/`
    /// for that node, all else for the fleet.
    ///
    /// # Errors
    /// It lies in `colo` or `node`, but not in a directory of one there.
    pub fn scope(&self) -> Result<Scope, Refused> {
        let mut parts = self.parts();
        let kind = parts.next();
        let (name, rest) = (parts.next(), parts.next());
        let label = || match (name, rest) {
            (Some(name), Some(_)) => name.parse::<Label>(),
            _ => {
                let words =
                    format!("{self}: files lie in directories of a name there: `colo/NAME/`, `node/NAME/`");
                Err(Refused::new(Code::BadPath, words))
            }
        };
        match kind {
            Some("colo") => label().map(Scope::Colo),
            Some("node") => label().map(Scope::Node),
            _ => Ok(Scope::Fleet),
        }
    }
}

impl FromStr for RelPath {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let is_fine = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        let is_part = |part: &str| {
            (1..=RELEASE_PATH_PART_LEN_MAX).contains(&part.len())
                && part.bytes().all(is_fine)
                && !part.starts_with('.')
        };
        if text.len() > RELEASE_PATH_LEN_MAX || !text.split('/').all(is_part) {
            let words = format!(
                "`{}` is not a path in a release: relative, at most {RELEASE_PATH_LEN_MAX} bytes, of \
                 letters, digits, `.`, `_` and `-`, no part with a dot in front; rename it",
                shown(text)
            );
            return Err(Refused::new(Code::BadPath, words));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<Path> for RelPath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_elsewhere_is_not_a_path() {
        for good in ["config.toml", "zones/10.in-addr.arpa.zone", "node/ams1/a", "_x/-y/z..w"] {
            assert_eq!(good.parse::<RelPath>().unwrap().to_string(), good);
        }
        let (part, long) = ("a".repeat(RELEASE_PATH_PART_LEN_MAX + 1), "ab/".repeat(200) + "a");
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "/a",
            ".git/x",
            "a/.b",
            "a b",
            "a\\b",
            "a\0",
            "a\n",
            "\u{e4}",
            "a:b",
            "~",
            &part,
            &long,
        ] {
            assert_eq!(bad.parse::<RelPath>().unwrap_err().code, Code::BadPath, "{bad:?}");
        }
    }

    #[test]
    fn where_a_file_lies_says_whom_it_is_for() {
        let scope = |text: &str| text.parse::<RelPath>().unwrap().scope();
        for (path, is) in [
            ("config.toml", "fleet"),
            ("zones/colo/x", "fleet"),
            ("colo/ams/config.toml", "colo/ams"),
            ("node/ams1/zones/a/b.zone", "node/ams1"),
        ] {
            assert_eq!(scope(path).unwrap().to_string(), is);
        }
        assert_eq!(scope("colo").unwrap_err().code, Code::BadPath);
        assert_eq!(scope("node/ams1").unwrap_err().code, Code::BadPath);
        assert_eq!(scope("node/Ams1/x").unwrap_err().code, Code::NotAllowed);
        let path: RelPath = "a/b/c".parse().unwrap();
        assert_eq!(path.directories().collect::<Vec<_>>(), ["a/b", "a"]);
    }
}
