//! What an announcer is told to do.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::router::Router;
use super::state::Damping;

/// What to announce, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The prefixes, each with what must answer for it.
    pub routes: Vec<(IpNet, Vec<SocketAddr>)>,
    /// Who announces.
    pub router: Router,
    /// How often an address is probed.
    pub interval: Duration,
    /// How long a probe may take.
    pub timeout: Duration,
    /// What is needed for a change.
    pub damping: Damping,
}
