//! The process: start, what a running node is asked to do, and stop. It may block and fail; a shard never
//! calls it.

pub mod apps;
mod beacons;
mod bound;
pub mod confine;
mod depart;
mod explain;
pub mod handover;
mod itself;
mod life;
pub mod logging;
mod maps;
pub mod memory;
mod origin;
pub mod placement;
pub mod platform;
mod pops;
mod questions;
mod reload;
pub mod resolver;
mod said;
mod start;
mod succession;
mod systemd;
mod taps;
mod traces;
mod watched;
pub mod why;
mod writable;
mod xdp;
mod xdp_host;

use crossbeam_channel::unbounded;

use crate::config::Config;
use crate::problem::Problem;

use life::End;
use logging::Logging;
pub use origin::Origin;
pub use reload::Source;
pub use said::is_absent;
use start::Start;
pub use writable::written;

/// Serves what `source` says, which is `config`, until it is told to end. What it has to say goes to the log.
///
/// # Errors
/// Why it cannot start, or which of its threads has ended by itself.
pub fn run(
    origin: &mut Origin,
    source: Source,
    config: Config,
    logging: &mut Logging,
) -> Result<(), Vec<Problem>> {
    let (sender, ordered) = unbounded();
    let (events, happened) = unbounded();
    let start = Start { origin: &mut *origin, config, logging, orders: sender, events, happened: &happened };
    let started = start.node(source);
    let mut node = origin.tell(started)?;

    // Serve, and do as ordered.
    match node.live(&ordered, &happened) {
        // Everything is a successor's.
        Ok(End::Succeeded(successor, lent)) => node.depart(&successor, lent, &ordered),
        // Stop: what has come in is answered, then the sockets close.
        Ok(End::Ordered) => {
            node.stop();
            Ok(())
        }
        Err(problems) => {
            node.stop();
            Err(problems)
        }
    }
}
