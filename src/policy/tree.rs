//! A file of rules as a tree, as it is written: nothing of the node is known here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::language::{ActionId, FieldId};
use super::rule::Fallback;
use crate::dns::name::Name;

/// Something, and where it stands in its text, in bytes.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) at: usize,
    pub(super) it: T,
}

/// A value of a test.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Whatever is a number: words of a choice, types, codes, times in microseconds.
    Number(u64),
    /// A word that is looked up or compared later.
    Text(String),
    Network(IpNet),
    Name(Box<Name>),
    /// A listener, by address.
    Listener(IpAddr, Option<u16>),
    /// A share: the first number of the second.
    Ratio(u32, u32),
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// It is one of the values.
    In,
    Less,
    Greater,
    AtMost,
    AtLeast,
}

/// A comparison.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) field: FieldId,
    pub(super) op: Op,
    pub(super) values: Vec<At<Value>>,
    /// As an operator is told of it, long lists shortened.
    pub(super) text: String,
    /// It is `!=` or `not in`.
    pub(super) is_negated: bool,
    pub(super) at: usize,
}

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Cond {
    Any,
    Test(Box<Test>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

impl Cond {
    /// Gives each test to `see`.
    pub(super) fn each(&self, see: &mut impl FnMut(&Test)) {
        match self {
            Self::Any => {}
            Self::Test(test) => see(test),
            Self::Not(inner) => inner.each(see),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.each(see)),
        }
    }
}

/// What follows an action.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    None,
    Servers(Vec<SocketAddr>),
    Name(String),
    Code(u16),
}

/// An action, as written.
#[derive(Clone, Debug)]
pub(super) struct Doing {
    pub(super) id: ActionId,
    pub(super) at: usize,
    pub(super) argument: At<Argument>,
}

/// Options, as written.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    pub(super) dry_run: bool,
    pub(super) log: bool,
    /// In microseconds.
    pub(super) timeout: Option<u64>,
    pub(super) fallback: Option<At<Fallback>>,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) name: Option<At<String>>,
    pub(super) at: usize,
    /// Where the condition begins; it ends where the action begins.
    pub(super) cond_at: usize,
    pub(super) cond: Cond,
    /// How many tests that has.
    pub(super) tests: usize,
    pub(super) doing: Doing,
    pub(super) options: Chosen,
}

/// A mistake: where it stands, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) at: usize,
    pub(super) message: String,
    /// A word that is not known, and those that are.
    pub(super) unknown: Option<(String, Vec<String>)>,
}

impl Mistake {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), unknown: None }
    }

    /// One about a word that is not among `known`.
    pub(super) fn unknown<S: Into<String>>(
        at: usize,
        message: impl Into<String>,
        word: &str,
        known: impl IntoIterator<Item = S>,
    ) -> Self {
        let known = known.into_iter().map(Into::into).collect();
        Self { at, message: message.into(), unknown: Some((word.into(), known)) }
    }
}
