//! Where a publisher works: the fleet's tree at its carrier, the keys that count, and what is there now.
//! Whatever the carrier hands out is verified before anything is decided by it.

use std::collections::BTreeMap;
use std::path::Path;

use as112d::commands::Failure;
use as112d::limits::{
    POINTER_LEN_MAX, RELEASE_ERAS_MAX, RELEASE_MANIFEST_LEN_MAX, RELEASE_SIGNATURES_LEN_MAX,
};
use as112d::problem::Problem;
use as112d::release::layout::{self, MANIFEST, POINTERS, RELEASES, ROLL, SIGNATURES};
use as112d::release::manifest::FORMAT;
use as112d::release::pointer::Kind;
use as112d::release::{
    Digest, Eras, Keys, Label, Manifest, Pointer, Refused, ReleaseName, Scope, Signed, SignedLine, Words,
};
use serde_json::{Value, json};

use crate::carry::{Address, Carrier, Fault};
use crate::cli::{PublisherOptions, SignOptions};
use crate::limits::RELEASES_READ_MAX;
use crate::roll::Roll;
use crate::settings::Settings;

/// The exit code of what cannot be done as it was asked for.
pub const USAGE: u8 = 2;

/// Something cannot be done as it was asked for.
#[must_use]
pub fn usage(message: impl Into<String>) -> Failure {
    Failure { problems: Problem::alone(message), code: USAGE }
}

/// What a carrier did not do.
#[must_use]
pub fn cannot(what: &str, fault: &Fault) -> Failure {
    Failure { problems: Problem::alone(format!("{what}: {fault}")), code: USAGE }
}

/// A value at the carrier.
#[derive(Clone, Debug)]
pub struct Held<T> {
    /// As it lies there.
    pub raw: Vec<u8>,
    /// What it says, or why it counts for nothing.
    pub read: Result<Signed<T>, Refused>,
}

impl<T> Held<T> {
    /// What it says, if it counts.
    pub fn content(&self) -> Option<&T> {
        self.read.as_ref().ok().map(|signed| &signed.content)
    }
}

/// The pointers of a fleet by their scopes.
pub type AllPointers = BTreeMap<Scope, Held<Pointer>>;

/// A release at the carrier.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it is known by.
    pub name: ReleaseName,
    /// What it consists of.
    pub manifest: Manifest,
    /// Whether enough have signed it.
    pub is_signed: bool,
}

/// Where a publisher works.
#[derive(Debug)]
pub struct Desk {
    /// The fleet.
    pub fleet: Label,
    /// What the publisher's file says.
    pub settings: Settings,
    /// The tree.
    pub carrier: Carrier,
    /// Whose signatures count.
    pub eras: Eras,
    /// The changes of keys that are at the carrier.
    pub eras_there: usize,
}

impl Desk {
    /// Opens the tree that is meant. `near` is a directory that may have the publisher's settings.
    ///
    /// # Errors
    /// Something that is not said, or cannot be read.
    pub async fn open(options: &PublisherOptions, near: Option<&Path>) -> Result<Self, Failure> {
        let settings = Settings::read(options.config.as_deref(), near);
        let mut settings = settings.map_err(|problems| Failure { problems, code: USAGE })?;
        if let Some(fleet) = &options.fleet {
            settings.fleet = Some(fleet.clone());
        }
        if let Some(at) = &options.at {
            settings.at = Some(at.clone());
            settings.access = options.access.access();
        }
        let missing = |what: &str, option: &str| {
            usage(format!("which {what} is meant? Say it with {option}, or in {}", crate::settings::FILE))
        };
        let fleet = settings.fleet.clone().ok_or_else(|| missing("fleet", "--fleet"))?;
        let at = settings.at.clone().ok_or_else(|| missing("tree", "--at"))?;
        let Some(keys) = settings.keys.clone() else {
            let file = crate::settings::FILE;
            return Err(usage(format!(
                "whose signatures count? Name the public keys in {file}: keys = [\"RWQ...\"]"
            )));
        };
        let carrier = Carrier::open(&at, &settings.access, fleet.as_str()).await;
        let carrier = carrier.map_err(|fault| cannot(&at.to_string(), &fault))?;
        let (eras, eras_there) = eras(&carrier, &fleet, keys).await?;
        Ok(Self { fleet, settings, carrier, eras, eras_there })
    }

    /// What has this name, up to so many bytes.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn read(&self, name: &str, len_max: usize) -> Result<Option<Vec<u8>>, Failure> {
        read(&self.carrier, name, len_max).await
    }

    /// All pointers that are there; at a web server, which has no lists, those that the settings tell of.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn pointers(&self) -> Result<AllPointers, Failure> {
        let mut scopes = vec![Scope::Fleet];
        for kind in ["colo", "node"] {
            let names = self.list(&format!("{POINTERS}/{kind}")).await?;
            scopes.extend(names.iter().filter_map(|name| format!("{kind}/{name}").parse().ok()));
        }
        if self.is_web() {
            let nodes = &self.settings.nodes;
            scopes.extend(nodes.iter().map(|(node, _)| Scope::Node(node.clone())));
            scopes.extend(nodes.iter().map(|(_, colo)| Scope::Colo(colo.clone())));
            scopes.extend(self.settings.roll.stages.iter().map(|stage| stage.to.scope()));
            scopes.sort_unstable();
            scopes.dedup();
        }
        let mut found = AllPointers::new();
        for scope in scopes {
            let Some(raw) = self.read(&layout::source_pointer(&scope), POINTER_LEN_MAX).await? else {
                continue;
            };
            let read = self.eras.pointer(&raw).and_then(|signed| {
                let is_its = signed.content.scope == scope;
                let words =
                    || format!("it is for {}, and lies where that of {scope} does", signed.content.scope);
                if is_its {
                    Ok(signed)
                } else {
                    Err(Refused::new(as112d::release::Code::WrongFleet, words()))
                }
            });
            found.insert(scope, Held { raw, read });
        }
        Ok(found)
    }

    /// The names in a directory of the tree; none at a web server, which has no lists.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, Failure> {
        if self.is_web() {
            return Ok(Vec::new());
        }
        self.carrier.list(folder).await.map_err(|fault| cannot(folder, &fault))
    }

    fn is_web(&self) -> bool {
        matches!(self.settings.at, Some(Address::Web(_)))
    }

    /// A release, verified.
    ///
    /// # Errors
    /// It is not there, or was not signed as it must be.
    pub async fn release(&self, digest: &Digest) -> Result<Signed<Manifest>, Failure> {
        let folder = layout::source_release(digest);
        let bytes = self.read(&format!("{folder}/{MANIFEST}"), RELEASE_MANIFEST_LEN_MAX).await?;
        let signatures = self.read(&format!("{folder}/{SIGNATURES}"), RELEASE_SIGNATURES_LEN_MAX).await?;
        let (Some(bytes), Some(signatures)) = (bytes, signatures) else {
            return Err(usage(format!("{folder}: there is no such release, or it waits for signatures")));
        };
        let signed = self.eras.manifest(&bytes, &String::from_utf8_lossy(&signatures));
        let signed = signed.map_err(|refused| usage(format!("{folder}: {refused}")))?;
        if signed.digest != *digest {
            return Err(usage(format!("{folder}: wrong-hash: it is {}; publish it again", signed.digest)));
        }
        Ok(signed)
    }

    /// The releases that are there, by their numbers. What is not a manifest of this fleet counts for
    /// nothing.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn releases(&self) -> Result<Vec<Known>, Failure> {
        let names = self.list(RELEASES).await?;
        let mut found = Vec::new();
        for name in names.iter().rev().take(RELEASES_READ_MAX) {
            let Ok(digest) = name.parse::<Digest>() else { continue };
            let folder = layout::source_release(&digest);
            let Some(bytes) = self.read(&format!("{folder}/{MANIFEST}"), RELEASE_MANIFEST_LEN_MAX).await?
            else {
                continue;
            };
            let Ok(manifest) = Manifest::parse(&bytes) else { continue };
            if manifest.fleet != self.fleet || Digest::of(&bytes) != digest {
                continue;
            }
            let signatures = self.read(&format!("{folder}/{SIGNATURES}"), RELEASE_SIGNATURES_LEN_MAX).await?;
            let text =
                signatures.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let is_signed = self.eras.manifest(&bytes, &text).is_ok();
            found.push(Known { name: ReleaseName { number: manifest.number, digest }, manifest, is_signed });
        }
        found.sort_by_key(|known| known.name.number);
        Ok(found)
    }

    /// The roll that is there.
    ///
    /// # Errors
    /// The carrier does not say.
    pub async fn roll(&self) -> Result<Option<Held<Roll>>, Failure> {
        let Some(raw) = self.read(ROLL, POINTER_LEN_MAX).await? else { return Ok(None) };
        let read = SignedLine::parse(&raw).and_then(|signed| {
            let by = signed.verify(self.eras.now())?;
            Ok(Signed { content: Roll::parse(signed.line)?, digest: signed.digest(), by })
        });
        Ok(Some(Held { raw, read }))
    }

    /// The next pointer of a scope; it says nothing yet.
    ///
    /// Its serial is one more than that of the one before, and at least the time of now: a carrier that lost
    /// what it had does not make what comes next older than what nodes have.
    ///
    /// # Errors
    /// What the log should say cannot be said.
    pub fn next(&self, pointers: &AllPointers, scope: Scope, sign: &SignOptions) -> Result<Pointer, Failure> {
        let held = pointers.get(&scope).and_then(Held::content);
        let made = Made::now(&self.settings, sign)?;
        Ok(Pointer {
            format: FORMAT,
            fleet: self.fleet.clone(),
            serial: next_serial(held.map(|held| held.serial)),
            kind: Kind::Follow,
            release: None,
            share: 100,
            otherwise: None,
            bake: None,
            // A drain that runs goes on until its time or another pointer ends it.
            drain: None,
            reason: made.reason,
            by: made.by,
            made_at: made.at,
            scope,
        })
    }

    /// Adds a line to the fleet's log. What was done stays done if that fails, which is told.
    pub async fn say(&self, what: &str, more: Value, sign: &SignOptions) -> Option<String> {
        let at = now();
        let mut line = json!({
            "at": at,
            "by": who(&self.settings, sign),
            "what": what,
            "reason": sign.reason,
        });
        if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
            line.extend(more);
            line.retain(|_, value| !value.is_null());
        }
        let said = self.carrier.append(&line.to_string()).await;
        said.err().map(|fault| format!("the log has no line about it: {fault}"))
    }
}

/// One more than this, and at least the milliseconds of Unix time.
#[must_use]
pub fn next_serial(before: Option<u64>) -> u64 {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    before.map_or(1, |before| before.saturating_add(1)).max(now)
}

/// The time of now, for people.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default().to_string()
}

/// Who does it, as is said for the log: an option, the settings, or the user of this session.
fn who(settings: &Settings, sign: &SignOptions) -> String {
    let user = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    sign.by.clone().or_else(|| settings.by.clone()).or_else(user).unwrap_or_else(|| "unknown".to_owned())
}

/// Who makes something, when, and why.
#[derive(Debug)]
pub struct Made {
    /// Who.
    pub by: Words<{ as112d::limits::MADE_LEN_MAX }>,
    /// When.
    pub at: Words<{ as112d::limits::MADE_LEN_MAX }>,
    /// Why.
    pub reason: Option<Words<{ as112d::limits::REASON_LEN_MAX }>>,
}

impl Made {
    /// Now, as the options and the settings say.
    ///
    /// # Errors
    /// What they say cannot be said.
    pub fn now(settings: &Settings, sign: &SignOptions) -> Result<Self, Failure> {
        let bad = |option: &str| {
            let option = option.to_owned();
            move |refused: Refused| usage(format!("{option}: {refused}"))
        };
        Ok(Self {
            by: Words::new(who(settings, sign)).map_err(bad("--by"))?,
            at: Words::new(now()).map_err(bad("the time"))?,
            reason: sign.reason.clone().map(Words::new).transpose().map_err(bad("--reason"))?,
        })
    }
}

async fn read(carrier: &Carrier, name: &str, len_max: usize) -> Result<Option<Vec<u8>>, Failure> {
    carrier.read(name, len_max as u64).await.map_err(|fault| cannot(name, &fault))
}

/// The keys over time: those of the settings, and what releases brought, which are so many.
async fn eras(carrier: &Carrier, fleet: &Label, keys: Keys) -> Result<(Eras, usize), Failure> {
    let mut changes = Vec::new();
    for number in 1..=RELEASE_ERAS_MAX {
        let folder = layout::era(number);
        let bytes = match carrier.read(&format!("{folder}/{MANIFEST}"), RELEASE_MANIFEST_LEN_MAX as u64).await
        {
            Ok(Some(bytes)) => bytes,
            // A tree that nobody has made yet has no changes of keys either.
            Ok(None) | Err(Fault::Away(_)) => break,
            Err(fault) => return Err(cannot(&folder, &fault)),
        };
        let signatures = read(carrier, &format!("{folder}/{SIGNATURES}"), RELEASE_SIGNATURES_LEN_MAX).await?;
        let signatures = signatures.unwrap_or_default();
        changes.push((bytes, String::from_utf8_lossy(&signatures).into_owned()));
    }
    let parts = changes.iter().map(|(bytes, signatures)| (bytes.as_slice(), signatures.as_str()));
    let eras = Eras::chain(fleet.clone(), keys, parts);
    let eras = eras.map_err(|refused| usage(format!("{}: {refused}", layout::ERAS)))?;
    Ok((eras, changes.len()))
}
