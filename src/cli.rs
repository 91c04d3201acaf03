//! The command line.

mod apps;
mod clients;
mod learn;
mod platform;
mod query;
mod resolver;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;
use crate::config::announce::ProbeTime;
use crate::config::cpus::{BusyPoll, Cpus, Shards, Steer};
use crate::config::doors::ControlPath;
use crate::config::doors::HttpListen;
use crate::config::listen::Listen;
use crate::config::written::{Text, Written as _};
use crate::config::xdp::InterfaceName;
use crate::limits::{NSID_LEN_MAX, TEXT_LEN_MAX};
use crate::log;
use crate::net::DatapathChoice;
use crate::zone::Service;

pub use apps::{AppsCheckOptions, AppsCommand, AppsNewOptions, AppsTryOptions};
pub use clients::{ExplainOptions, PopAction, PopOptions, WatchOptions};
pub use learn::LearnOptions;
pub use platform::{CacheCommand, CacheOptions, RulesCheckOptions, RulesCommand};
pub use query::{QueryClass, QueryOptions, SupposedRtt};
pub use resolver::ResolverOptions;

const EXAMPLES: &str = "\
Examples:
  as112d                                try it: 127.0.0.1:5300 and [::1]:5300
  as112d --listen as112                 all service addresses, port 53
  as112d config init as112d.toml        write a first configuration
  as112d check --config as112d.toml     check it
  as112d --config as112d.toml           run with it
  as112d query 1.0.0.10.in-addr.arpa PTR";

/// A name server for AS112 nodes (RFC 7534, RFC 7535).
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without one, `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `run`, where it is not named.
    #[command(flatten)]
    pub run: RunOptions,
}

impl Cli {
    /// The command that was given or meant.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT (the default)
    #[command(alias = "start")]
    Run(RunOptions),
    /// Check configuration and zones: report every error, or what would be served
    Check(CheckOptions),
    /// Write a first configuration, or show the one in effect
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check this host and say what to change
    Doctor(DoctorOptions),
    /// Print the zones that `run` would serve
    Zones(ZonesOptions),
    /// Answer one query without using the network, and print the reply or why it is that
    Query(QueryOptions),
    /// Explain which PoP a client gets, and why
    Explain(ExplainOptions),
    /// Check rules and routes, or list those of a running node
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Check, list, try or begin applications: guests in WebAssembly
    #[command(subcommand)]
    Apps(AppsCommand),
    /// Show or purge what the cache of a running node has of a name
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Print the statistics of a running node
    Stats(StatsOptions),
    /// Watch a running node live, on a terminal
    Top(TopOptions),
    /// Write the public page of a running node to a directory, as files
    Site(SiteOptions),
    /// Send test queries to addresses: exit status 0 if all answer as they should, else 1
    Probe(ProbeOptions),
    /// Have a router announce the prefixes while the node answers
    Announce(AnnounceOptions),
    /// Learn from beacons which PoP is best for the users of each resolver, and write maps
    Learn(LearnOptions),
    /// Resolve for a node: a recursive resolver on a loopback address, which the node starts itself
    Resolver(ResolverOptions),
    /// Print or run the commands that add the service addresses to this host
    Addresses(AddressesOptions),
    /// Show the state of a running node
    Status(ControlOptions),
    /// Read configuration and zones again
    Reload(ReloadOptions),
    /// Take a running node out of service: withdraw its routes, answer what still arrives
    Drain(ControlOptions),
    /// Return a drained node to service
    Undrain(ControlOptions),
    /// Replace a running node with the program and configuration now on disk, losing no query
    Upgrade(ControlOptions),
    /// Drain a running node, then stop it
    Shutdown(ControlOptions),
    /// Show which PoPs are up, or drain one, or leave it to its probes again
    Pop(PopOptions),
    /// Probe PoPs, and tell the running node which are up
    Watch(WatchOptions),
    /// Set the log level of a running node, until it stops
    Verbosity(VerbosityOptions),
}

/// Options of `reload`.
#[derive(Args, Clone, Debug)]
pub struct ReloadOptions {
    /// Read the files of the maps again, and nothing else
    #[arg(long)]
    pub maps: bool,
    /// Which node.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// Options of `verbosity`.
#[derive(Args, Clone, Debug)]
pub struct VerbosityOptions {
    /// Lowest level to log: error, warning, info or debug
    #[arg(value_parser = log::Level::read)]
    pub level: log::Level,
    /// Which node.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// Which running node is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct NodeOptions {
    /// The configuration of the node: says where its control socket and HTTP are
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's control socket. Default: as in the configuration, else
    /// /run/as112d/control or as112d/control in $XDG_RUNTIME_DIR
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// Options of what speaks to a running node.
#[derive(Args, Clone, Debug)]
pub struct ControlOptions {
    /// Which node.
    #[command(flatten)]
    pub node: NodeOptions,
    /// Print the full reply as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the configuration is, and what of it every command may replace.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Configuration (options go before the file)")]
pub struct ConfigOptions {
    /// The configuration file (TOML)
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A directory of zone files: example.com.zone is example.com
    #[arg(long, value_name = "DIR")]
    pub zones: Option<PathBuf>,
    /// The node's name. Default: the host's name
    #[arg(long, value_name = "NAME", value_parser = Text::<NSID_LEN_MAX>::read)]
    pub node: Option<Text<NSID_LEN_MAX>>,
}

impl ConfigOptions {
    /// What goes before the file.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags { node: self.node.clone(), zones: self.zones.clone(), ..Flags::default() }
    }
}

/// Options of `run`.
#[derive(Args, Clone, Debug, Default)]
pub struct RunOptions {
    /// What to serve, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
    /// Print where each shard would run, and why; open no socket
    #[arg(long, help_heading = "Serving")]
    pub dry_run: bool,
}

/// Options of `check`.
#[derive(Args, Clone, Debug, Default)]
pub struct CheckOptions {
    /// What would be served, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
    /// Treat warnings as errors
    #[arg(long)]
    pub strict: bool,
}

/// What `run` serves, and `check` tells of.
#[derive(Args, Clone, Debug, Default)]
pub struct ServeOptions {
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
    /// How to serve.
    #[command(flatten)]
    pub serving: ServingOptions,
}

impl ServeOptions {
    /// What goes before the file.
    #[must_use]
    pub fn flags(&self) -> Flags {
        let serving = self.serving.clone();
        Flags {
            listen: serving.listen,
            shards: serving.shards,
            cpus: serving.cpus,
            steer: serving.steer,
            busy_poll: serving.busy_poll,
            datapath: serving.datapath,
            http: serving.http,
            http_public: serving.http_public,
            xdp: serving.xdp,
            log_format: serving.log_format,
            log_file: serving.log_file,
            control: serving.control,
            ..self.config.flags()
        }
    }
}

/// Where to serve, and on which means of the host.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Serving")]
pub struct ServingOptions {
    /// Address to listen on; repeatable. Default port: 53. Names: as112-direct,
    /// as112-dname, as112 (both)
    #[arg(long, short, value_name = "ADDR[:PORT]", value_parser = Listen::read)]
    pub listen: Vec<Listen>,
    /// Number of threads that answer, or auto for one per CPU
    #[arg(long, value_name = "N|auto", value_parser = Shards::read)]
    pub shards: Option<Shards>,
    /// CPUs to pin shards to: 0-7,16-23; nic:IFACE, those its queues interrupt;
    /// node:N, a NUMA node; or physical, one thread of each core
    #[arg(long, value_name = "CPUS", value_parser = Cpus::read)]
    pub cpus: Option<Cpus>,
    /// Which shard gets a query: auto, off, cpu (the one that received it), hash (by
    /// the NIC's hash)
    #[arg(long, value_name = "HOW", value_parser = Steer::read)]
    pub steer: Option<Steer>,
    /// How long a shard polls the NIC before it sleeps, 0 to 1000
    #[arg(long, value_name = "USEC", value_parser = BusyPoll::read)]
    pub busy_poll: Option<BusyPoll>,
    /// How to receive and send: auto, io_uring or mmsg
    #[arg(long, value_name = "HOW", value_parser = DatapathChoice::read)]
    pub datapath: Option<DatapathChoice>,
    /// Address for the page, metrics and health over HTTP, or off. Default:
    /// 127.0.0.1:9112 if it is free
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = HttpListen::read)]
    pub http: Option<HttpListen>,
    /// Address for the public page alone, for everybody or a proxy, or off. Default: off
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = HttpListen::read)]
    pub http_public: Option<HttpListen>,
    /// Answer in the driver of this interface where possible (XDP); repeatable
    #[arg(long, value_name = "IFACE", value_parser = InterfaceName::read)]
    pub xdp: Vec<InterfaceName>,
    /// Log format: text or json
    #[arg(long, value_name = "FORM", value_parser = log::Format::read)]
    pub log_format: Option<log::Format>,
    /// Log file. Default: standard error
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Control socket, or off. Default: /run/as112d/control, or as112d/control in
    /// $XDG_RUNTIME_DIR, if it is free
    #[arg(long, value_name = "PATH|off", value_parser = ControlPath::read)]
    pub control: Option<ControlPath>,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print what is configured, as a configuration file
    Show(ShowOptions),
    /// Write a first configuration, with comments
    Init(InitOptions),
}

/// Options of `config show`.
#[derive(Args, Clone, Debug)]
pub struct ShowOptions {
    /// Every value, defaults included
    #[arg(long)]
    pub effective: bool,
    /// Show where each value came from: default, file:line:column or option
    #[arg(long)]
    pub origin: bool,
    /// What would be served, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// Options of `config init`.
#[derive(Args, Clone, Debug)]
pub struct InitOptions {
    /// The file to write; must not exist. Without it the configuration is printed
    pub file: Option<PathBuf>,
    /// The node's name. Default: the host's name
    #[arg(long, value_name = "NAME", value_parser = Text::<NSID_LEN_MAX>::read)]
    pub node: Option<Text<NSID_LEN_MAX>>,
    /// Name of the facility
    #[arg(long, value_name = "TEXT", value_parser = Text::<TEXT_LEN_MAX>::read)]
    pub facility: Option<Text<TEXT_LEN_MAX>>,
    /// City and country
    #[arg(long, value_name = "TEXT", value_parser = Text::<TEXT_LEN_MAX>::read)]
    pub location: Option<Text<TEXT_LEN_MAX>>,
    /// A contact, for example a mail address
    #[arg(long, value_name = "TEXT", value_parser = Text::<TEXT_LEN_MAX>::read)]
    pub contact: Option<Text<TEXT_LEN_MAX>>,
    /// Address to listen on; repeatable. Default: as112, all service addresses
    #[arg(long, short, value_name = "ADDR[:PORT]", value_parser = listen_text)]
    pub listen: Vec<String>,
    /// Directory for the history, absolute or relative to the file
    #[arg(long, value_name = "DIR", value_parser = Text::<TEXT_LEN_MAX>::read)]
    pub history: Option<Text<TEXT_LEN_MAX>>,
    /// Address for the page, metrics and health over HTTP, or off
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = HttpListen::read)]
    pub http: Option<HttpListen>,
}

/// An address to listen on, as it was written.
fn listen_text(text: &str) -> Result<String, String> {
    Listen::read(text).map(|_| text.to_owned())
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorOptions {
    /// Write what a bug report needs to this new file, as text
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// The node's HTTP address. Default: as the running node says
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// What would be served, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// Options of `zones`.
#[derive(Args, Clone, Debug)]
pub struct ZonesOptions {
    /// Output format: zone, as zone files
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = ZonesFormat::Zone)]
    pub format: ZonesFormat,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// How zones are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ZonesFormat {
    /// Zone files (RFC 1035, section 5), one after the other
    Zone,
}

/// Options of `stats`.
#[derive(Args, Clone, Debug)]
pub struct StatsOptions {
    /// Print all numbers as JSON
    #[arg(long)]
    pub json: bool,
    /// Ask again every 2 seconds, and show rates
    #[arg(long)]
    pub watch: bool,
    /// The node's HTTP address. Default: as the running node says
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Which node.
    #[command(flatten)]
    pub node: NodeOptions,
}

/// Options of `top`.
#[derive(Args, Clone, Debug)]
pub struct TopOptions {
    /// The node's HTTP address. Default: as the running node says
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Which node.
    #[command(flatten)]
    pub node: NodeOptions,
}

/// Options of `site`.
#[derive(Args, Clone, Debug)]
pub struct SiteOptions {
    /// The directory; created if it does not exist
    pub dir: PathBuf,
    /// The node's HTTP address. Default: as the running node says
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Which node.
    #[command(flatten)]
    pub node: NodeOptions,
}

/// Options of `probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeOptions {
    /// Address to probe, as in `run --listen`; repeatable. Default: what the running
    /// node listens on, else all service addresses
    #[arg(long, short, value_name = "ADDR[:PORT]", value_parser = Listen::read)]
    pub address: Vec<Listen>,
    /// Time limit for each address, 10ms to 60m. Default: 500ms
    #[arg(long, short, value_name = "TIME", value_parser = ProbeTime::read)]
    pub timeout: Option<ProbeTime>,
    /// Probe what this configuration listens on
    #[arg(long, short, value_name = "FILE", conflicts_with = "address")]
    pub config: Option<PathBuf>,
    /// Fail for an address that is not on this host, whoever answers there
    #[arg(long)]
    pub local: bool,
    /// Fail if the node at this control socket is draining, stopping or gone, even
    /// if the addresses answer
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// Options of `announce`.
#[derive(Args, Clone, Debug)]
pub struct AnnounceOptions {
    /// The configuration file (TOML), with a router in `[announce]`
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's control socket, or off. Default: as in the configuration
    #[arg(long, value_name = "PATH|off", value_parser = ControlPath::read)]
    pub control: Option<ControlPath>,
    /// Withdraw everything once and exit: for cleaning up after a crash
    #[arg(long)]
    pub withdraw: bool,
}

/// Options of `addresses`.
#[derive(Args, Clone, Debug)]
pub struct AddressesOptions {
    /// Whose addresses: as112-direct, as112-dname or as112. Default: as112, both
    #[arg(value_enum, hide_possible_values = true)]
    pub service: Option<ServiceName>,
    /// Run the commands instead of printing them only
    #[arg(long)]
    pub apply: bool,
    /// Check that the addresses are there: exit status 0 if all are, else 1
    #[arg(long, conflicts_with_all = ["apply", "undo"])]
    pub check: bool,
    /// Remove the addresses
    #[arg(long, conflicts_with = "apply")]
    pub undo: bool,
    /// Interface to add them to: any name but lo is a dummy interface, created here
    #[arg(long, value_name = "NAME", default_value = "lo", hide_default_value = true)]
    pub interface: String,
    /// Every address of the prefixes, not only those that answer
    #[arg(long)]
    pub whole_prefix: bool,
}

/// The services of AS112 by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// RFC 7534
    #[value(name = "as112-direct")]
    Direct,
    /// RFC 7535
    #[value(name = "as112-dname")]
    Dname,
    /// Both
    #[value(name = "as112")]
    Both,
}

impl ServiceName {
    /// Whether it stands for `service`.
    #[must_use]
    pub fn is_of(self, service: Service) -> bool {
        match self {
            Self::Direct => service == Service::Direct,
            Self::Dname => service == Service::Dname,
            Self::Both => true,
        }
    }
}

#[cfg(test)]
mod tests;
