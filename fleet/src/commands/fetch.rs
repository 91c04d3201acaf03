//! `as112d-fleet fetch`: fetches the release that is wanted, once: for cron, and for whoever logs in from
//! elsewhere.

use as112d::commands::Failure;

use super::wait;
use crate::agent::{Agent, Settings};
use crate::cli::FetchOptions;

/// Fetches what is wanted, has the node take it, and waits until it has proved itself. What the node has.
///
/// # Errors
/// Why it does not have what it should have.
pub fn fetch(options: &FetchOptions) -> Result<String, Failure> {
    let settings = Settings::read(&options.config)?;
    wait(async { Ok(Agent::open(settings).await?.run_once().await?) })
}
