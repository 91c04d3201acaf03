//! What the command line says of a query.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::ConfigOptions;
use crate::config::listen::Listen;
use crate::config::written::{Time, Written as _};
use crate::limits::{QUERY_TIMEOUT_CEILING_MS, SUPPOSED_RTT};
use crate::policy::facts::Outcome;
use crate::work::rehearsal::{KeptAnswer, Saying, Supposed};

/// Options of `query`.
#[derive(Args, Clone, Debug)]
pub struct QueryOptions {
    /// The name to ask for
    #[arg(required_unless_present_any = ["reverse", "batch"])]
    pub name: Option<String>,
    /// The type to ask for: PTR, SOA, TXT, TYPE65280 ...
    #[arg(value_name = "TYPE", required_unless_present_any = ["reverse", "batch"])]
    pub rtype: Option<String>,
    /// Ask for the PTR record of an address
    #[arg(short = 'x', long = "reverse", value_name = "ADDR", conflicts_with_all = ["name", "rtype"])]
    pub reverse: Option<IpAddr>,
    /// The class: IN, or CH for the server's own identity
    #[arg(long, value_enum, ignore_case = true, default_value_t = QueryClass::In)]
    #[arg(hide_possible_values = true)]
    pub class: QueryClass,
    /// Answer as over TCP, where a reply may have 65535 bytes
    #[arg(long)]
    pub tcp: bool,
    /// Ask for the name server's identifier (RFC 5001)
    #[arg(long)]
    pub nsid: bool,
    /// Set the DO bit: ask for DNSSEC records
    #[arg(long, visible_alias = "do")]
    pub dnssec: bool,
    /// Set the RD bit: ask for recursion
    #[arg(long)]
    pub rd: bool,
    /// Set the CD bit: ask for what was not validated
    #[arg(long)]
    pub cd: bool,
    /// Send no EDNS
    #[arg(long, conflicts_with_all = ["nsid", "dnssec", "subnet"])]
    pub no_edns: bool,
    /// Send a client subnet (RFC 7871)
    #[arg(long, value_name = "PREFIX")]
    pub subnet: Option<IpNet>,
    /// Who asks. Default: this host
    #[arg(long, visible_alias = "resolver", value_name = "ADDR")]
    pub from: Option<IpAddr>,
    /// The address that is asked. Default: the first that the node listens on
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = address)]
    pub to: Option<SocketAddr>,
    /// The data centre that rules see as `colo`
    #[arg(long, value_name = "NAME", conflicts_with = "live")]
    pub colo: Option<String>,
    /// Print the way of the query term by term: which rules are asked, and what decides
    #[arg(long)]
    pub why: bool,
    /// With --why: what the cache has, hit, stale, failure or miss; repeatable. Default: miss
    #[arg(long, value_name = "[UPSTREAM=]WHAT[=RCODE]", requires = "why", value_parser = Saying::kept)]
    pub cache: Vec<Saying<KeptAnswer>>,
    /// With --why: what comes of asking servers, ok, timeout, refused or bad; repeatable. Default: ok
    #[arg(long, value_name = "[UPSTREAM=]WHAT", requires = "why", value_parser = Saying::outcome)]
    pub outcome: Vec<Saying<Outcome>>,
    /// With --why: the response code of servers; repeatable. Default: NOERROR
    #[arg(long, value_name = "[UPSTREAM=]RCODE", requires = "why", value_parser = Saying::rcode)]
    pub rcode: Vec<Saying<u16>>,
    /// With --why: how long servers take. Default: 10ms
    #[arg(long, value_name = "TIME", requires = "why", value_parser = SupposedRtt::read)]
    pub rtt: Option<SupposedRtt>,
    /// With --why: print it as JSON, one object in one line
    #[arg(long, requires = "why")]
    pub json: bool,
    /// With --why: for each line of a file, or of stdin (-): NAME TYPE and options as here
    #[arg(long, value_name = "FILE|-", requires = "why")]
    #[arg(conflicts_with_all = ["name", "rtype", "reverse", "live"])]
    pub batch: Option<PathBuf>,
    /// With --why, ask the running node; without --from, also send it the query once
    #[arg(long, requires = "why")]
    pub live: bool,
    /// The control socket of the running node. Default: as in the configuration
    #[arg(long, value_name = "PATH", requires = "live")]
    pub control: Option<PathBuf>,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// How long servers take that are not asked.
pub type SupposedRtt = Time<0, QUERY_TIMEOUT_CEILING_MS>;

impl QueryOptions {
    /// What is supposed of the cache and of servers.
    #[must_use]
    pub fn supposed(&self) -> Supposed {
        Supposed {
            cache: self.cache.clone(),
            outcomes: self.outcome.clone(),
            rcodes: self.rcode.clone(),
            rtt: self.rtt.map_or(SUPPOSED_RTT, |rtt| rtt.0),
        }
    }
}

/// One address.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    match Listen::read(text)?.0[..] {
        [address] => Ok(address),
        _ => Err(format!("`{text}` is several addresses; give one of them")),
    }
}

/// The classes that a query may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueryClass {
    /// The Internet
    #[value(name = "IN")]
    In,
    /// Chaosnet
    #[value(name = "CH")]
    Ch,
}
