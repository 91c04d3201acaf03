//! `as112d probe`: does this address answer as it should?

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::announce;
use crate::announce::probe::{Place, probe_all};
use crate::announce::state::News;
use crate::cli::ProbeOptions;
use crate::config::listen::Listen;
use crate::config::written::Written as _;
use crate::config::{self, Flags};
use crate::limits::PROBE_TIMEOUT;
use crate::problem::Problem;

/// Asks each address what a resolver would; a line for each that answers.
///
/// # Errors
/// Each address that does not, and why; and that the node drains, where its control socket was named.
pub fn probe(options: &ProbeOptions) -> Result<String, Vec<Problem>> {
    let addresses: Vec<SocketAddr> = match &options.config {
        Some(path) => config::load(Some(path), &Flags::default())?.listen,
        None if options.address.is_empty() => Listen::read("as112").expect("it is a name").0,
        None => options.address.iter().flat_map(|listen| &listen.0).copied().collect(),
    };
    let place = if options.local { Place::Here } else { Place::Anywhere };
    let timeout = options.timeout.map_or(PROBE_TIMEOUT, |time| time.0);
    let mut out = String::new();
    let mut problems = Vec::new();
    for (address, result) in addresses.iter().zip(probe_all(&addresses, place, timeout)) {
        match result {
            Ok(took) => writeln!(out, "{address} answers ({:.2} ms)", took.as_secs_f64() * 1000.0)
                .expect("a String takes all that is written"),
            Err(message) => problems.push(Problem { place: address.to_string(), message }),
        }
    }
    // One that hangs would not say so either; it is asked last.
    if problems.is_empty()
        && let Some(control) = &options.control
        && announce::daemon(vec![control.clone()]).news(timeout) == Some(News::Leaving)
    {
        let message = "the node drains or stops; send nobody there".to_owned();
        problems.push(Problem { place: control.display().to_string(), message });
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}
