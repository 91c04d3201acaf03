//! Whom something is for: the whole fleet, one colo, or one node.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::refused::{Code, Refused, shown};
use crate::limits::LABEL_LEN_MAX;

/// The name of a fleet, a colo or a node: lower-case letters, digits and hyphens. So it can be part of a file
/// name, of a subject and of a domain name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Label(String);

impl Label {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let is_fine = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if !(1..=LABEL_LEN_MAX).contains(&text.len()) || !text.bytes().all(is_fine) {
            let words = format!(
                "`{}` is not a name: 1 to {LABEL_LEN_MAX} lower-case letters, digits and hyphens, such as \
                 `ams1`",
                shown(text)
            );
            return Err(Refused::new(Code::NotAllowed, words));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Whom something is for: `fleet`, `colo/ams`, `node/ams1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Every node.
    Fleet,
    /// The nodes of a colo.
    Colo(Label),
    /// One node.
    Node(Label),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fleet => f.write_str("fleet"),
            Self::Colo(name) => write!(f, "colo/{name}"),
            Self::Node(name) => write!(f, "node/{name}"),
        }
    }
}

impl FromStr for Scope {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match text.split_once('/') {
            None if text == "fleet" => Ok(Self::Fleet),
            Some(("colo", name)) => name.parse().map(Self::Colo),
            Some(("node", name)) => name.parse().map(Self::Node),
            _ => {
                let words = format!("`{}` is not `fleet`, `colo/NAME` or `node/NAME`", shown(text));
                Err(Refused::new(Code::NotAllowed, words))
            }
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// What a node is: its fleet, its colo and its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Who {
    /// The fleet that it belongs to.
    pub fleet: Label,
    /// Where it stands, if it stands with others.
    pub colo: Option<Label>,
    /// Its name in the fleet.
    pub node: Label,
}

impl Who {
    /// The scopes that concern it, the most specific first.
    pub fn scopes(&self) -> impl Iterator<Item = Scope> {
        let colo = self.colo.clone().map(Scope::Colo);
        [Some(Scope::Node(self.node.clone())), colo, Some(Scope::Fleet)].into_iter().flatten()
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Fleet => true,
            Scope::Colo(name) => self.colo.as_ref() == Some(name),
            Scope::Node(name) => self.node == *name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for text in ["fleet", "colo/ams", "node/ams1", "node/1-2"] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        let long = format!("node/{}", "a".repeat(LABEL_LEN_MAX + 1));
        for bad in [
            "", "Fleet", "fleet/", "colo", "colo/", "colo/Ams", "node/a.b", "node/a/b", "node/..", "rack/1",
            &long,
        ] {
            assert_eq!(bad.parse::<Scope>().unwrap_err().code, Code::NotAllowed, "{bad}");
        }
    }

    #[test]
    fn a_node_has_its_own_scopes() {
        let label = |text: &str| text.parse::<Label>().unwrap();
        let who = Who { fleet: label("f"), colo: Some(label("ams")), node: label("ams1") };
        let scopes: Vec<String> = who.scopes().map(|scope| scope.to_string()).collect();
        assert_eq!(scopes, ["node/ams1", "colo/ams", "fleet"]);
        assert!(who.scopes().all(|scope| who.has(&scope)));
        assert!(!who.has(&Scope::Node(label("ams"))) && !who.has(&Scope::Colo(label("ams1"))));
        let alone = Who { colo: None, ..who };
        assert_eq!(alone.scopes().count(), 2);
        assert!(!alone.has(&Scope::Colo(label("ams"))));
    }
}
