//! The commands, one file each. A command gives back what it has to print, or all that is wrong.

pub mod agent;
pub mod check;
pub mod drain;
pub mod fetch;
pub mod hold;
pub mod keygen;
pub mod log;
pub mod metrics;
pub mod promote;
pub mod publish;
pub mod rollback;
mod sign;
pub mod status;
pub mod undrain;

mod shared;

use as112d::commands::Failure;
use serde_json::Value;

use crate::cli::Command;

/// What a command has to say.
#[derive(Debug)]
pub struct Told {
    /// What it prints.
    pub text: String,
    /// Whether something is off, which its exit code tells.
    pub is_off: bool,
}

impl Told {
    /// JSON, for programs.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::from(format!("{value:#}\n"))
    }

    /// JSON if that is wanted, or else the text.
    #[must_use]
    pub fn either(is_json: bool, text: String, value: &Value) -> Self {
        if is_json { Self::json(value) } else { Self::from(text) }
    }

    /// The same, and whether something is off.
    #[must_use]
    pub fn off(self, is_off: bool) -> Self {
        Self { is_off, ..self }
    }
}

impl From<String> for Told {
    fn from(text: String) -> Self {
        Self { text, is_off: false }
    }
}

/// Runs `command` to its end; what it prints.
///
/// # Errors
/// Why it failed or refused to start.
pub fn execute(command: &Command) -> Result<Told, Failure> {
    match command {
        Command::Keygen(options) => keygen::keygen(options),
        Command::Check(options) => check::check(options),
        Command::Publish(options) => publish::publish(options),
        Command::Status(options) => status::status(options),
        Command::Promote(options) => promote::promote(options),
        Command::Hold(options) => hold::hold(options),
        Command::Rollback(options) => rollback::rollback(options),
        Command::Drain(options) => drain::drain(options),
        Command::Undrain(options) => undrain::undrain(options),
        Command::Log(options) => log::log(options),
        Command::Agent(options) => agent::agent(options).map(Told::from),
        Command::Fetch(options) => fetch::fetch(options).map(Told::from),
        Command::Metrics(options) => metrics::metrics(options).map(Told::from),
    }
}

/// Runs `future` to its end on a runtime of one thread.
///
/// # Errors
/// If there can be no runtime.
pub fn wait<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::from(format!("cannot start: {error}")))?.block_on(future)
}
