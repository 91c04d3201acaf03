//! Options of `metrics`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::AccessOptions;
use crate::carry::Address;
use crate::metrics::nodes::Node;

/// Options of `metrics`.
#[derive(Args, Clone, Debug)]
pub struct MetricsOptions {
    /// The fleet's name
    #[arg(long, value_name = "NAME")]
    pub fleet: String,
    /// The hub: nats://HOST or tls://HOST
    #[arg(long, value_name = "ADDRESS", required_unless_present = "nodes")]
    pub at: Option<Address>,
    /// How to get in.
    #[command(flatten)]
    pub access: AccessOptions,
    /// A node, and its control socket: NAME=PATH or NAME@COLO=PATH; without a hub, for each node
    #[arg(long = "node", value_name = "NODE=SOCKET", conflicts_with = "at")]
    pub nodes: Vec<Node>,
    /// The directory of the history
    #[arg(long, value_name = "DIR", default_value = "/var/lib/as112d-fleet")]
    pub dir: PathBuf,
    /// Where the page, the API and /metrics are served
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9113")]
    pub http: SocketAddr,
    /// Where all of that is served but /metrics
    #[arg(long, value_name = "ADDRESS")]
    pub public: Option<SocketAddr>,
    /// A name by which --http is reached, besides localhost and addresses
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub allowed_hosts: Vec<String>,
}
