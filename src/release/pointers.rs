//! What the pointers of a node's scopes say together.

use super::pointer::{Kind, Pointer};
use super::scope::{Scope, Who};

/// What became of a pointer that was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the newest of its scope, and was not known.
    New,
    /// It was known.
    Known,
    /// There is a newer one, which stays.
    Older,
    /// Another one with the same serial is known, and stays: two people published at once, or a key is in
    /// wrong hands.
    Clash,
    /// It does not concern this node.
    Foreign,
}

/// The newest pointer of each scope of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointers {
    /// Of the fleet.
    pub fleet: Option<Pointer>,
    /// Of its colo.
    pub colo: Option<Pointer>,
    /// Of itself.
    pub node: Option<Pointer>,
}

impl Pointers {
    /// Takes a pointer in, which was verified.
    pub fn note(&mut self, who: &Who, pointer: Pointer) -> Taken {
        if pointer.fleet != who.fleet || !who.has(&pointer.scope) {
            return Taken::Foreign;
        }
        let known = match pointer.scope {
            Scope::Fleet => &mut self.fleet,
            Scope::Colo(_) => &mut self.colo,
            Scope::Node(_) => &mut self.node,
        };
        match known {
            Some(known) if known.serial > pointer.serial => Taken::Older,
            Some(known) if *known == pointer => Taken::Known,
            Some(known) if known.serial == pointer.serial => Taken::Clash,
            _ => {
                *known = Some(pointer);
                Taken::New
            }
        }
    }

    /// Those that are there, the most specific first.
    pub fn all(&self) -> impl Iterator<Item = &Pointer> {
        [&self.node, &self.colo, &self.fleet].into_iter().flatten()
    }

    /// The one that decides which release the node has: the most specific that has an opinion.
    #[must_use]
    pub fn effective(&self) -> Option<&Pointer> {
        self.all().find(|pointer| pointer.kind != Kind::Follow)
    }

    /// The one that decides whether the node is drained: the most specific that speaks of it.
    #[must_use]
    pub fn drain(&self) -> Option<&Pointer> {
        self.all().find(|pointer| pointer.drain.is_some())
    }
}
