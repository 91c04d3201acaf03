//! What clients get besides the zones: `[answers]`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;

use super::written::{Count, Given, Line, Mistake, Written, choice, octets};
use crate::dns::cookie::{Secret, Secrets};
use crate::limits::{
    COOKIE_SECRETS_LEN_MAX, COOKIE_SECRETS_MAX, NETWORKS_MAX, RATE_LIMIT_CEILING, RATE_LIMIT_SLIP_MAX,
};
use crate::problem::Problem;
use crate::serve::{Cookies, UpdatePolicy, limiter};
use crate::sys::files;

/// Queries a second, or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate(Option<u32>);

impl Written for Rate {
    const EXPECTED: &'static str = "\"off\" or a number of queries per second";
    const INTEGER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let refused = |message: String| format!("{message}, or \"off\"");
        Count::<1, RATE_LIMIT_CEILING>::read(text).map(|Count(rate)| Self(Some(rate as u32))).map_err(refused)
    }
}

/// The networks of a list that is looked up by address.
pub(super) fn networks(key: &str, given: &[Given<IpNet>], mistakes: &mut Vec<Mistake>) -> Vec<IpNet> {
    if let Some(one) = given.get(NETWORKS_MAX) {
        let count = given.len();
        let message = format!("`{key}` has {count} networks, over the limit of {NETWORKS_MAX}; remove some");
        mistakes.push(Mistake::new(one.origin, message));
    }
    given.iter().map(|network| network.value).collect()
}

/// What is done with DNS cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// That option is ignored.
    #[default]
    Off,
    /// They are checked and counted, and replies are as with `Off`.
    DryRun,
    /// They are checked and sent.
    On,
}

impl CookieMode {
    const NAMES: [(&str, Self); 3] = [("off", Self::Off), ("dry-run", Self::DryRun), ("on", Self::On)];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

impl Written for CookieMode {
    const EXPECTED: &'static str = "\"off\", \"dry-run\" or \"on\"";

    fn read(text: &str) -> Result<Self, String> {
        choice::<Self>(text, &Self::NAMES)
    }
}

/// Cookies, and where their secrets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// What is done with them.
    pub mode: CookieMode,
    /// The file of the secrets, which there is unless they are off.
    pub secrets: Option<PathBuf>,
}

impl CookieSettings {
    /// Reads the secrets, unless cookies are off.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load(&self) -> Result<Option<Cookies>, Problem> {
        let Some(path) = self.in_use() else { return Ok(None) };
        let place = path.display().to_string();
        let problem = |message: String| Problem { place: place.clone(), message };
        let bytes = files::read(path, COOKIE_SECRETS_LEN_MAX).map_err(|error| {
            problem(format!("cannot be read ({error}); [answers] cookie_secrets names it"))
        })?;
        let secrets = secrets(&bytes)
            .map_err(|(line, message)| Problem { place: format!("{place}:{line}"), message })?;
        Ok(Some(Cookies { secrets, dry_run: self.mode == CookieMode::DryRun }))
    }

    fn in_use(&self) -> Option<&Path> {
        self.secrets.as_deref().filter(|_| self.mode != CookieMode::Off)
    }

    /// What is questionable about the file, if anything: whoever knows a secret can make cookies with it.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let path = self.in_use()?;
        let mode = fs::metadata(path).ok()?.permissions().mode();
        let path = path.display();
        (mode & 0o004 != 0).then(|| {
            format!("{path} holds the secrets of DNS cookies, and anybody can read it; run `chmod o= {path}`")
        })
    }
}

/// The secrets in a file, one a line. A mistake has its line; it does not quote what may be a secret.
fn secrets(bytes: &[u8]) -> Result<Secrets, (usize, String)> {
    let mut secrets = Secrets::default();
    let lines = bytes.split(|&byte| byte == b'\n').zip(1..);
    let mut last = 1;
    for (line, number) in lines {
        let text = line.split(|&byte| byte == b'#').next().unwrap_or_default().trim_ascii();
        if text.is_empty() {
            continue;
        }
        last = number;
        let secret = octets(text).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).ok_or_else(|| {
            let message = "is not a secret; give 32 hexadecimal digits, from `openssl rand -hex 16`";
            (number, message.to_owned())
        })?;
        let message = || format!("is one secret too many; keep at most {COOKIE_SECRETS_MAX}");
        secrets.0.try_push(Secret::new(secret)).map_err(|_| (number, message()))?;
    }
    if secrets.0.is_empty() {
        return Err((last, "has no secret; write one with `openssl rand -hex 16`".to_owned()));
    }
    Ok(secrets)
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a [answers] section")]
pub(super) struct AnswersSpec {
    pub(super) update: Given<UpdatePolicy>,
    cookies: Given<CookieMode>,
    cookie_secrets: Option<Given<Line>>,
    rate_limit: Given<Rate>,
    rate_limit_dry_run: bool,
    rate_limit_slip: Given<Count<1, RATE_LIMIT_SLIP_MAX>>,
    rate_limit_ipv4_prefix: Given<Count<8, 32>>,
    rate_limit_ipv6_prefix: Given<Count<16, 64>>,
    rate_limit_exempt: Vec<Given<IpNet>>,
}

impl Default for AnswersSpec {
    fn default() -> Self {
        Self {
            update: Given::default(UpdatePolicy::Refused),
            cookies: Given::default(CookieMode::Off),
            cookie_secrets: None,
            rate_limit: Given::default(Rate(None)),
            rate_limit_dry_run: false,
            rate_limit_slip: Given::default(Count(1)),
            rate_limit_ipv4_prefix: Given::default(Count(24)),
            rate_limit_ipv6_prefix: Given::default(Count(56)),
            rate_limit_exempt: Vec::new(),
        }
    }
}

impl AnswersSpec {
    /// Cookies. Paths begin in `dir`.
    pub(super) fn cookies(&self, dir: &Path, mistakes: &mut Vec<Mistake>) -> CookieSettings {
        let Given { value: mode, origin } = self.cookies;
        let secrets = self.cookie_secrets.as_ref().map(|path| dir.join(&path.value.0));
        if mode != CookieMode::Off && secrets.is_none() {
            mistakes.push(Mistake::new(
                origin,
                "cookies need secrets, the same at all servers that share an address; name their file with \
                 `cookie_secrets`",
            ));
        }
        CookieSettings { mode, secrets }
    }

    /// The rate limit, unless it is off.
    pub(super) fn rate_limit(&self, mistakes: &mut Vec<Mistake>) -> Option<limiter::Settings> {
        let exempt = networks("rate_limit_exempt", &self.rate_limit_exempt, mistakes);
        Some(limiter::Settings {
            per_second: self.rate_limit.value.0?,
            dry_run: self.rate_limit_dry_run,
            slip: self.rate_limit_slip.value.0 as u32,
            ipv4_prefix: self.rate_limit_ipv4_prefix.value.0 as u8,
            ipv6_prefix: self.rate_limit_ipv6_prefix.value.0 as u8,
            exempt,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    #[test]
    fn secrets_stand_one_a_line() {
        let count = |text: &str| secrets(text.as_bytes()).map(|secrets| secrets.0.len());
        assert_eq!(count(ONE), Ok(1));
        assert_eq!(count(&format!("# first\n\n  {ONE} # now\r\n{ONE}\n{}\n", ONE.to_uppercase())), Ok(3));
        let refused = |text: &str| count(text).unwrap_err();
        assert_eq!(refused(&[ONE; 4].join("\n")).0, 4);
        assert_eq!(refused("# nothing\n").1, "has no secret; write one with `openssl rand -hex 16`");
        for wrong in
            [&ONE[1..], "0x", &format!("{ONE}00"), &format!("{ONE} {ONE}"), &"x".repeat(32), "\u{e9}"]
        {
            let (line, message) = refused(&format!("{ONE}\n{wrong}"));
            assert_eq!(line, 2, "{wrong}");
            assert!(message.starts_with("is not a secret; ") && !message.contains(wrong), "{message}");
        }
        let current = secrets(format!("{ONE}\n{}", "0".repeat(32)).as_bytes()).unwrap();
        assert_eq!(
            current.0[..],
            [
                Secret::new([
                    0xE5, 0xE9, 0x73, 0xE5, 0xA6, 0xB2, 0xA4, 0x3F, 0x48, 0xE7, 0xDC, 0x84, 0x9E, 0x37, 0xBF,
                    0xCF,
                ]),
                Secret::new([0; 16])
            ]
        );
    }

    #[test]
    fn a_file_that_anybody_can_read_is_noted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let on = CookieSettings { mode: CookieMode::On, secrets: Some(file.path().to_owned()) };
        for (mode, noted) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(on.note().is_some(), noted, "{mode:o}");
        }
        assert!(on.load().unwrap_err().message.starts_with("has no secret"));
        fs::write(file.path(), ONE).unwrap();
        let off = CookieSettings { mode: CookieMode::Off, ..on.clone() };
        assert_eq!((off.load().unwrap(), off.note()), (None, None));
        assert_eq!(on.load().unwrap().unwrap().secrets.0.len(), 1);
    }
}
