//! The commands, one file each. A command gives back what it has to print, or all that is wrong.

pub mod addresses;
pub mod announce;
pub mod apps;
mod asking;
mod change;
pub mod check;
pub mod control;
pub mod doctor;
pub mod explain;
mod failure;
pub mod init;
pub mod learn;
mod live;
pub mod pop;
pub mod probe;
pub mod query;
#[cfg(feature = "resolver")]
pub mod resolver;
pub mod rules;
pub mod run;
pub mod show;
pub mod site;
pub mod stats;
pub mod top;
pub mod watch;
mod way;
pub mod zones;

use crate::cli::{AppsCommand, CacheCommand, Command, ConfigCommand, RulesCommand};

#[cfg(not(feature = "resolver"))]
use crate::problem::Problem;

pub use failure::Failure;

/// What a build without the resolver says.
#[cfg(not(feature = "resolver"))]
const NO_RESOLVER: &str = "this program was built without its resolver; build it with `--features resolver`, \
                           or give [resolver] the address of another one";

/// Runs `command` to its end; what it prints.
///
/// # Errors
/// Why it failed or refused to start.
pub fn execute(command: &Command) -> Result<String, Failure> {
    let printed = match command {
        Command::Run(options) => run::run(options),
        Command::Check(options) => check::check(options),
        Command::Config(ConfigCommand::Show(options)) => show::show(options),
        Command::Config(ConfigCommand::Init(options)) => init::init(options),
        Command::Zones(options) => zones::zones(options),
        Command::Query(options) if options.live => return live::why(options),
        Command::Query(options) if options.why => way::why(options),
        Command::Query(options) => query::query(options),
        Command::Explain(options) => return explain::explain(options),
        Command::Rules(RulesCommand::Check(options)) => rules::check(options),
        Command::Rules(RulesCommand::List(options)) => return live::rules(options),
        Command::Apps(AppsCommand::Check(options)) => apps::check(options),
        Command::Apps(AppsCommand::List(options)) => return apps::list(options),
        Command::Apps(AppsCommand::Try(options)) => apps::trial(options),
        Command::Apps(AppsCommand::New(options)) => apps::new(options),
        Command::Cache(CacheCommand::Show(options)) => return live::cache(options, false),
        Command::Cache(CacheCommand::Purge(options)) => return live::cache(options, true),
        Command::Doctor(options) => return doctor::doctor(options),
        Command::Probe(options) => probe::probe(options),
        Command::Learn(options) => learn::learn(options),
        Command::Announce(options) => announce::announce(options),
        #[cfg(feature = "resolver")]
        Command::Resolver(options) => resolver::resolver(options),
        #[cfg(not(feature = "resolver"))]
        Command::Resolver(_) => Err(Problem::alone(NO_RESOLVER)),
        Command::Watch(options) => watch::watch(options),
        Command::Pop(options) => return pop::pop(options),
        Command::Addresses(options) => addresses::addresses(options),
        Command::Stats(options) => return stats::stats(options),
        Command::Site(options) => return site::site(options),
        Command::Top(options) => return top::top(options),
        Command::Status(options) => return control::ask("status", options),
        Command::Reload(options) => {
            let word = if options.maps { "reload maps" } else { "reload" };
            return control::ask(word, &options.control);
        }
        Command::Drain(options) => return control::ask("drain", options),
        Command::Undrain(options) => return control::ask("undrain", options),
        Command::Upgrade(options) => return control::ask("upgrade", options),
        Command::Shutdown(options) => return control::ask("shutdown", options),
        Command::Verbosity(options) => {
            return control::ask(&format!("verbosity {}", options.level.name()), &options.control);
        }
    };
    printed.map_err(Failure::from)
}
