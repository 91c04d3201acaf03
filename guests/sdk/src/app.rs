//! What an application is.

use alloc::string::{String, ToString};
use core::fmt;

use crate::host::Refused;
use crate::json::{NotJson, Value};
use crate::name::NameError;
use crate::query::{Phase, Query};
use crate::reply::{BuildError, Reply};
use crate::sys;
use crate::verdict::Verdict;

/// An application: what a guest's module holds. [`export!`](crate::export) makes it one.
pub trait App: Sized + 'static {
    /// Makes the application, with its configuration; registers hooks.
    ///
    /// # Errors
    /// The node does not take the application, and logs why.
    fn start(start: &mut Start<'_>) -> Result<Self, StartError>;

    /// Says what becomes of a query: of one that the manifest's `router` takes (in the phase
    /// [`Request`](Phase::Request)), or that a hook concerns.
    fn query(&mut self, query: Query<'_>, reply: Reply<'_>) -> Verdict;

    /// A second has passed.
    fn tick(&mut self) {}

    /// There is nothing more to come: a newer version has taken over, or the node stops.
    fn stop(&mut self) {}
}

/// What an application has at its start.
#[derive(Debug)]
pub struct Start<'a> {
    config: &'a Value,
}

impl<'a> Start<'a> {
    pub(crate) fn new(config: &'a Value) -> Self {
        Self { config }
    }

    /// What the manifest's `[config]` says.
    #[must_use]
    pub fn config(&self) -> &'a Value {
        self.config
    }

    /// Registers the application for queries in these phases for which a condition in the language of rules
    /// is true. The host evaluates it, so the application is not woken for others. The manifest's `phases`
    /// must name them.
    ///
    /// ```
    /// # use as112_guest::{App, Phase, Query, Reply, Start, StartError, Verdict};
    /// # struct Log;
    /// # impl App for Log {
    /// fn start(start: &mut Start<'_>) -> Result<Self, StartError> {
    ///     start.hook(&[Phase::Done], "rcode = REFUSED and transport = tcp")?;
    ///     Ok(Self)
    /// }
    /// # fn query(&mut self, _: Query<'_>, _: Reply<'_>) -> Verdict { Verdict::pass() }
    /// # }
    /// ```
    ///
    /// # Errors
    /// The condition is wrong, or the manifest does not name a phase.
    pub fn hook(&mut self, phases: &[Phase], condition: &str) -> Result<(), HookError> {
        let bits = phases.iter().fold(0, |bits, phase| bits | 1 << (*phase as i32));
        let refused = match Refused::of(sys::hook(bits, condition.as_bytes())) {
            Ok(_) => return Ok(()),
            Err(refused) => refused,
        };
        let told = sys::with(|globals| {
            let area = globals.area.borrow();
            let scratch = &area.0[crate::abi::SCRATCH_AT..];
            let number = |at: usize| {
                u32::from_le_bytes([scratch[at], scratch[at + 1], scratch[at + 2], scratch[at + 3]])
            };
            let (column, len) = (number(0), number(4) as usize);
            let message = scratch.get(8..8 + len).unwrap_or_default();
            (column, String::from_utf8_lossy(message).into_owned())
        });
        let is_told = refused == Refused::Invalid;
        let (column, message) = if is_told { told } else { (0, refused.message().into()) };
        Err(HookError { refused, column, message })
    }
}

/// Why a hook is not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookError {
    /// The host's word.
    pub refused: Refused,
    /// Where the condition is wrong: 1 is its first byte.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column > 0 {
            write!(f, "column {}: ", self.column)?;
        }
        f.write_str(&self.message)
    }
}

/// Why an application cannot start: a sentence, for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(String);

impl StartError {
    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StartError {
    fn from(message: &str) -> Self {
        Self(message.into())
    }
}

impl From<String> for StartError {
    fn from(message: String) -> Self {
        Self(message)
    }
}

macro_rules! from_errors {
    ($($error:ty),*) => {
        $(impl From<$error> for StartError {
            fn from(error: $error) -> Self {
                Self(error.message().into())
            }
        })*
    };
}

from_errors!(NameError, BuildError, Refused);

impl From<HookError> for StartError {
    fn from(error: HookError) -> Self {
        Self(error.to_string())
    }
}

impl From<NotJson> for StartError {
    fn from(error: NotJson) -> Self {
        Self(error.to_string())
    }
}
