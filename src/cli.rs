//! The command line.

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
use crate::limits::NSID_LEN_MAX;
use crate::log;
use crate::net::DatapathChoice;
use crate::zone::Service;

const EXAMPLES: &str = "\
Examples:
  as112d                                try it: 127.0.0.1:5300 and [::1]:5300
  as112d --listen as112                 all service addresses, port 53
  as112d -c /etc/as112d/as112d.toml     as the file says
  as112d check --config as112d.toml     is the file right?
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
    /// Serve, until SIGTERM or SIGINT (the default)
    Run(RunOptions),
    /// Say what `run` would serve, or every mistake; open no port
    Check(ServeOptions),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at this host: what is good for a node, and what to do
    Doctor(DoctorOptions),
    /// Print the zones that `run` would serve
    Zones(ZonesOptions),
    /// Answer one query without a network, and print the reply
    Query(QueryOptions),
    /// Print what a running node counts
    Stats(StatsOptions),
    /// Watch a running node, live on a terminal
    Top(TopOptions),
    /// Write the public page of a running node to a folder, as files
    Site(SiteOptions),
    /// Ask an address what a resolver would: exit code 0 if it answers, else 1
    Probe(ProbeOptions),
    /// Have a router announce the prefixes while the node answers
    Announce(AnnounceOptions),
    /// Put the service addresses on this host: print the commands, or run them
    Addresses(AddressesOptions),
    /// Say how a running node is
    Status(ControlOptions),
    /// Let a running node read its configuration and zones again
    Reload(ControlOptions),
    /// Let nobody be sent to a running node any more; it answers who still comes
    Drain(ControlOptions),
    /// Take a drain back
    Undrain(ControlOptions),
    /// Let a new process take the place of a running node, with what program and configuration there are now
    Upgrade(ControlOptions),
    /// Drain a running node, and end it
    Shutdown(ControlOptions),
    /// Set what a running node logs, until it ends
    Verbosity(VerbosityOptions),
}

/// Options of `verbosity`.
#[derive(Args, Clone, Debug)]
pub struct VerbosityOptions {
    /// What is logged, and what matters more: error, warning, info or debug
    #[arg(value_parser = log::Level::read)]
    pub level: log::Level,
    /// Which node.
    #[command(flatten)]
    pub control: ControlOptions,
}

/// Options of what speaks to a running node.
#[derive(Args, Clone, Debug)]
pub struct ControlOptions {
    /// Its control socket, else /run/as112d/control or that in $XDG_RUNTIME_DIR
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// Print the whole answer, as JSON
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
    /// A folder of zone files: example.com.zone is example.com
    #[arg(long, value_name = "DIR")]
    pub zones: Option<PathBuf>,
    /// The node's name, else the host's
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
    /// Print where each shard would run, and why; open nothing
    #[arg(long, help_heading = "Serving")]
    pub dry_run: bool,
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
    /// Where to listen; repeatable. Port 53 if none is given. Names: as112-direct,
    /// as112-dname, as112 (both)
    #[arg(long, short, value_name = "ADDR[:PORT]", value_parser = Listen::read)]
    pub listen: Vec<Listen>,
    /// Threads that answer: a number, or auto for one per CPU
    #[arg(long, value_name = "N|auto", value_parser = Shards::read)]
    pub shards: Option<Shards>,
    /// The CPUs of the shards: 0-7,16-23; nic:IFACE, where its queues interrupt;
    /// node:N; or physical, one thread of each core
    #[arg(long, value_name = "CPUS", value_parser = Cpus::read)]
    pub cpus: Option<Cpus>,
    /// Which shard gets a query: auto, off, cpu (where it was received), hash (that
    /// of the network card)
    #[arg(long, value_name = "HOW", value_parser = Steer::read)]
    pub steer: Option<Steer>,
    /// Poll the network card for so long before a shard sleeps, 0 to 1000
    #[arg(long, value_name = "USEC", value_parser = BusyPoll::read)]
    pub busy_poll: Option<BusyPoll>,
    /// How to receive and send: auto, io_uring or mmsg
    #[arg(long, value_name = "HOW", value_parser = DatapathChoice::read)]
    pub datapath: Option<DatapathChoice>,
    /// Where statistics and health are served over HTTP, or off; 127.0.0.1:9112 if
    /// it is free
    #[arg(long, value_name = "ADDR:PORT|off", value_parser = HttpListen::read)]
    pub http: Option<HttpListen>,
    /// Answer in the driver of this interface what can be answered there (XDP);
    /// repeatable
    #[arg(long, value_name = "IFACE", value_parser = InterfaceName::read)]
    pub xdp: Vec<InterfaceName>,
    /// The form of the log: text, or json
    #[arg(long, value_name = "FORM", value_parser = log::Format::read)]
    pub log_format: Option<log::Format>,
    /// The file of the log, else standard error
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// The socket over which the node is controlled, or off; /run/as112d/control or
    /// in $XDG_RUNTIME_DIR if it is free
    #[arg(long, value_name = "PATH|off", value_parser = ControlPath::read)]
    pub control: Option<ControlPath>,
}

/// What can be done with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print what was configured, as a configuration file
    Show(ShowOptions),
}

/// Options of `config show`.
#[derive(Args, Clone, Debug)]
pub struct ShowOptions {
    /// Every value, with those that nobody gave
    #[arg(long)]
    pub effective: bool,
    /// Say of each value where it came from: default, file:line:column or option
    #[arg(long)]
    pub origin: bool,
    /// What would be served, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorOptions {
    /// Write what a report of a fault needs to this new file, as text
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Where the node serves HTTP, else http://127.0.0.1:9112
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// What would be served, and how.
    #[command(flatten)]
    pub serve: ServeOptions,
}

/// Options of `zones`.
#[derive(Args, Clone, Debug)]
pub struct ZonesOptions {
    /// How to print them: zone, as zone files
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

/// Options of `query`.
#[derive(Args, Clone, Debug)]
pub struct QueryOptions {
    /// The name to ask for
    pub name: String,
    /// The type to ask for: PTR, SOA, TXT, TYPE65280 ...
    #[arg(value_name = "TYPE")]
    pub rtype: String,
    /// The class: IN, or CH for the server's own identity
    #[arg(long, value_enum, ignore_case = true, default_value_t = QueryClass::In)]
    #[arg(hide_possible_values = true)]
    pub class: QueryClass,
    /// Ask as over TCP, where a reply may have 65535 bytes
    #[arg(long)]
    pub tcp: bool,
    /// Ask for the name server's identifier (RFC 5001)
    #[arg(long)]
    pub nsid: bool,
    /// Set the DO bit: ask for DNSSEC records
    #[arg(long)]
    pub dnssec: bool,
    /// What every command takes.
    #[command(flatten)]
    pub config: ConfigOptions,
}

/// Options of `stats`.
#[derive(Args, Clone, Debug)]
pub struct StatsOptions {
    /// Print all numbers, as JSON
    #[arg(long)]
    pub json: bool,
    /// Ask again every 2 seconds, and show the rates in between
    #[arg(long)]
    pub watch: bool,
    /// Where the node serves HTTP, else http://127.0.0.1:9112
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Options of `top`.
#[derive(Args, Clone, Debug)]
pub struct TopOptions {
    /// Where the node serves HTTP, else http://127.0.0.1:9112
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Options of `site`.
#[derive(Args, Clone, Debug)]
pub struct SiteOptions {
    /// The folder; made if it is not there
    pub dir: PathBuf,
    /// Where the node serves HTTP, else http://127.0.0.1:9112
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// Options of `probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeOptions {
    /// What to probe, as in --listen of run; repeatable. Else all service addresses
    #[arg(long, short, value_name = "ADDR[:PORT]", value_parser = Listen::read)]
    pub address: Vec<Listen>,
    /// How long an address may take, 10ms to 60m; else 500ms
    #[arg(long, short, value_name = "TIME", value_parser = ProbeTime::read)]
    pub timeout: Option<ProbeTime>,
    /// Probe what this configuration listens on
    #[arg(long, short, value_name = "FILE", conflicts_with = "address")]
    pub config: Option<PathBuf>,
    /// An address that is not on this host has failed, whoever answers there
    #[arg(long)]
    pub local: bool,
    /// The node's control socket: a node that drains or stops has failed then,
    /// although it answers
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
}

/// Options of `announce`.
#[derive(Args, Clone, Debug)]
pub struct AnnounceOptions {
    /// The configuration file (TOML), with a router in `[announce]`
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the node is controlled, or off; else as the configuration says
    #[arg(long, value_name = "PATH|off", value_parser = ControlPath::read)]
    pub control: Option<ControlPath>,
    /// Withdraw everything, once, and end: for what cleans up behind another
    #[arg(long)]
    pub withdraw: bool,
}

/// Options of `addresses`.
#[derive(Args, Clone, Debug)]
pub struct AddressesOptions {
    /// Whose addresses: as112-direct or as112-dname; else both
    #[arg(value_enum, hide_possible_values = true)]
    pub service: Option<ServiceName>,
    /// Run the commands, instead of only printing them
    #[arg(long)]
    pub apply: bool,
    /// Say whether the addresses are there: exit code 0 if all are, else 1
    #[arg(long, conflicts_with_all = ["apply", "undo"])]
    pub check: bool,
    /// Take the addresses away
    #[arg(long, conflicts_with = "apply")]
    pub undo: bool,
    /// Where to put them: another name than lo is a dummy interface to be made
    #[arg(long, value_name = "NAME", default_value = "lo", hide_default_value = true)]
    pub interface: String,
    /// Every address of the prefixes as well, and not those that answer alone
    #[arg(long)]
    pub whole_prefix: bool,
}

/// A service of AS112 by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// RFC 7534
    #[value(name = "as112-direct")]
    Direct,
    /// RFC 7535
    #[value(name = "as112-dname")]
    Dname,
}

impl From<ServiceName> for Service {
    fn from(name: ServiceName) -> Self {
        match name {
            ServiceName::Direct => Self::Direct,
            ServiceName::Dname => Self::Dname,
        }
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        let arguments = std::iter::once("as112d").chain(line.split_whitespace());
        Cli::try_parse_from(arguments).map(Cli::into_command).map_err(|error| error.to_string())
    }

    #[test]
    fn tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_what_a_bare_command_means() {
        for prefix in ["", "run "] {
            let line = format!(
                "{prefix}--listen as112-dname --listen [::1]:5300 --shards 2 --cpus 0-1 --datapath mmsg \
                 --steer cpu --busy-poll 50 --dry-run --http off \
                 --log-format json --log-file l --node n --zones z --config c"
            );
            let Command::Run(RunOptions { serve: options, dry_run: true }) = parse(&line).unwrap() else {
                panic!("{line}")
            };
            let flags = options.flags();
            assert_eq!(flags.listen.iter().map(|listen| listen.0.len()).collect::<Vec<_>>(), [2, 1]);
            assert_eq!(flags.shards.unwrap().to_string(), "2");
            assert_eq!(flags.cpus, Some(Cpus::List(vec![0, 1])));
            assert_eq!((flags.steer, flags.busy_poll.map(|micros| micros.0)), (Some(Steer::Cpu), Some(50)));
            assert_eq!(flags.datapath, Some(DatapathChoice::Mmsg));
            assert_eq!(flags.http, Some(HttpListen::Off));
            assert_eq!((flags.log_format, flags.log_file), (Some(log::Format::Json), Some("l".into())));
            assert_eq!((flags.node.unwrap().0.as_str(), flags.zones), ("n", Some("z".into())));
            assert_eq!(options.config.config, Some("c".into()));
        }
        assert!(matches!(parse(""), Ok(Command::Run(_))));
    }

    #[test]
    fn every_command_takes_the_configuration() {
        for command in ["check", "config show", "doctor", "zones", "query example.com A"] {
            let options = match parse(&format!("{command} --config c --zones z --node n")).unwrap() {
                Command::Run(RunOptions { serve: options, .. }) | Command::Check(options) => options.config,
                Command::Zones(options) => options.config,
                Command::Query(options) => options.config,
                Command::Config(ConfigCommand::Show(options)) => options.serve.config,
                Command::Doctor(options) => options.serve.config,
                other => panic!("{command} is another command: {other:?}"),
            };
            assert_eq!(options.config, Some("c".into()), "{command}");
            let flags = options.flags();
            assert_eq!((flags.node.unwrap().0.as_str(), flags.zones), ("n", Some("z".into())), "{command}");
        }
    }

    #[test]
    fn wrong_values_say_what_to_write() {
        for (line, fragment) in [
            ("--listen 1.2.3", "`1.2.3` is not an address; give one such as 192.0.2.1"),
            ("--cpus 0,0", "CPU 0 is listed twice; list it once"),
            ("--shards none", "give 1 to 1024, or \"auto\""),
            ("--cpus nic:", "is not an interface name; give one that `ip link` lists"),
            ("--steer rss", "give \"auto\", \"off\", \"cpu\" or \"hash\""),
            ("--busy-poll 1s", "give a whole number from 0 to 1000"),
            ("check --dry-run", "unexpected argument '--dry-run'"),
            ("check --datapath xdp", "give \"auto\", \"io_uring\" or \"mmsg\""),
            ("--http 9112", "give one such as 127.0.0.1:9112 or [::1]:9112, or \"off\""),
            ("--log-format xml", "give \"text\" or \"json\""),
            ("--node ", "a value is required"),
            ("query example.com", "<TYPE>"),
            ("zones --format json", "possible values: zone"),
            ("probe --address 1.2.3", "`1.2.3` is not an address; give one such as 192.0.2.1"),
            ("probe --timeout 5", "`5` is not a time; give a number with ms, s or m"),
            ("addresses --apply --undo", "cannot be used with"),
            ("addresses as113", "possible values: as112-direct, as112-dname"),
            ("query a A --class HS", "possible values: IN, CH"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(fragment), "{line}: {message}");
        }
    }
}
