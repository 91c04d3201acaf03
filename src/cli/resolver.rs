//! The options of `resolver`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Options of `resolver`.
#[derive(Args, Clone, Debug)]
pub struct ResolverOptions {
    /// The configuration file (TOML), with `[resolver]`
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, UDP and TCP. Default: as in the configuration, else
    /// 127.0.0.1:5354
    #[arg(long, short, value_name = "ADDR:PORT")]
    pub address: Option<SocketAddr>,
    /// A file of root servers. Default: as in the configuration, else those of the
    /// Internet
    #[arg(long, value_name = "FILE")]
    pub hints: Option<PathBuf>,
    /// Listen on an address that is not a loopback address: open to all who reach it
    #[arg(long)]
    pub open: bool,
}
