//! `as112d apps`: what applications there are, what they may do, and what one says of a query.

mod list;
mod new;
mod trial;

use std::fmt::Write as _;

use crate::cli::AppsCheckOptions;
use crate::config::apps::{self, hexadecimal};
use crate::config::upstreams::fallback_name;
use crate::config::written::SizeText;
use crate::config::{self, Config, rules};
use crate::daemon::apps::may;
use crate::limits::FUEL_A_MILLISECOND;
use crate::policy::{Policy, Rule, Series};
use crate::problem::Problem;
use crate::stats::labels::Names;
use crate::work::sandbox::settings::{Isolation, Limits, Manifest};
use crate::work::sandbox::{App, Apps, Sandbox};

pub use list::list;
pub use new::new;
pub use trial::trial;

/// Loads the applications of the configuration as `run` would, or one, and tells of each.
///
/// # Errors
/// Every mistake in them.
pub fn check(options: &AppsCheckOptions) -> Result<String, Vec<Problem>> {
    let config = config::load(options.config.config.as_deref(), &options.config.flags())?;
    let loaded = match &options.dir {
        Some(dir) => apps::load_all(&config, vec![apps::read(dir)?])?,
        None => apps::load(&config)?,
    };
    // Rules may name other applications than one alone.
    let policy = match &options.dir {
        Some(_) => rules::compile(&config, &[], loaded.guests(), Series::default())?,
        None => rules::policy(&config, loaded.guests(), Series::default())?,
    };
    let apps = loaded.settled(&policy, &mut Names::default());
    Ok(told(&config, &apps, &policy))
}

fn told(config: &Config, apps: &Apps, policy: &Policy) -> String {
    let mut out = String::new();
    if apps.apps.is_empty() {
        return match &config.platform.apps {
            Some(dir) => format!("no application is in {}\n", dir.display()),
            None => "no application: [platform] apps names no directory, and there is no apps.d next to the \
                     configuration\n"
                .to_owned(),
        };
    }
    for (number, app) in (0..).zip(&apps.apps) {
        one(&mut out, app, policy, number).expect("a String takes all that is written");
    }
    for note in apps::notes(apps, policy) {
        writeln!(out, "note: {note}").expect("a String takes all that is written");
    }
    let count = apps.apps.len();
    let count = if count == 1 { "1 application is".to_owned() } else { format!("{count} applications are") };
    let memory = Mebibytes(Sandbox::memory_len(apps));
    writeln!(out, "{count} right; at most {memory} of memory in each worker")
        .expect("a String takes all that is written");
    out
}

fn one(out: &mut String, app: &App, policy: &Policy, number: u16) -> std::fmt::Result {
    let Manifest { name, place, module, fallback, order, isolation, limits, config, .. } = &app.manifest;
    let mut line = |key: &str, text: &str| writeln!(out, "  {key:<9} {text}");
    line(name, place)?;
    line("module", &format!("{}, sha256 {}", module.display(), hexadecimal(&app.hash)))?;
    let its = |rule: &&Rule| rule.action == crate::policy::Action::App(number);
    for rule in policy.rules().iter().filter(its) {
        line("called", &format!("phase {}, at {}", rule.phase.name(), rule.place))?;
    }
    line("fails", &format!("a query that it cannot handle gets \"{}\"", fallback_name(*fallback)))?;
    line("may", &may(&app.manifest))?;
    let Limits { memory, time, in_flight, queue, upstreams, log_lines, restart } = limits;
    let fuel = u64::try_from(time.as_millis()).unwrap_or(u64::MAX) * FUEL_A_MILLISECOND;
    let limits = format!(
        "{} of memory, {time:?} an event ({fuel} units of fuel), {in_flight} queries held, {queue} jobs of \
         each thread, {upstreams} exchanges a query, {log_lines} lines a second, off for {:?} to \
         {:?} after traps",
        SizeText(*memory),
        restart.0,
        restart.1
    );
    line("limits", &limits)?;
    let instance = if *isolation == Isolation::App {
        "one instance for all queries"
    } else {
        "an instance for each query"
    };
    line("order", &format!("{order}; {instance} of a worker"))?;
    line("config", &format!("{} bytes of JSON", config.len()))
}

/// Bytes as MiB, rounded up.
struct Mebibytes(usize);

impl std::fmt::Display for Mebibytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB", self.0.div_ceil(1 << 20))
    }
}
