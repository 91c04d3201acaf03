//! The load test: our node beside its peers and beside bare echoes on this host, in interleaved rounds, and a
//! page of what came out.
//!
//! ```text
//! main.rs      the command line
//! campaign/    the sections, round by round: start the servers, drive them, keep samples
//! servers.rs   our node, echoes, NSD, Knot, BIND
//! conf.rs      what each of them is started with
//! forward/     forwarders beside each other
//! guest/       AS112 as an application, built in, and by dnsdist's Lua; hostile applications
//! tailored/    answers by the client's subnet, beside static ones, gdnsd, Knot and PowerDNS
//! frames.rs    what our program in the driver takes
//! ceiling.rs   servers in the driver under a generator that is not the limit
//! netns.rs     where they run: the loopback, that of a namespace, or a namespace behind a veth pair
//! queries.rs   seeded query sets
//! generator/   our own open loop, the search for the highest rate, and a flood
//! tools/       dnsperf, kxdpgun, flamethrower: run and read
//! measure.rs   /proc and medians
//! report/      samples to figures, plots, Markdown, HTML
//! bounds.rs    every rate, duration and count that is allowed
//! ```
//!
//! It sends to the loopback and into its own namespace, and nowhere else unless `generate` is told to.
#![allow(
    dead_code,
    unused_imports,
    reason = "a bench is built with cfg(test), but without the tests and what they use"
)]

mod bounds;
mod campaign;
mod ceiling;
#[path = "../tests/common/mod.rs"]
mod common;
mod conf;
mod forward;
mod frames;
mod generator;
mod guest;
mod host;
mod measure;
#[path = "../tests/common/mutate.rs"]
#[allow(dead_code, reason = "only its dice are used")]
mod mutate;
mod netns;
mod queries;
mod report;
mod servers;
mod tailored;
mod tools;
#[path = "../tests/xdp/frames.rs"]
mod wire;

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use bounds::{QUERIES_MAX, RATE_MAX, ROUNDS_MAX, SAMPLE, SECONDS_MAX, SOCKETS, SOCKETS_MAX};
use generator::slo::{Slo, search};
use generator::{Judge, Load, connections};
use queries::QuerySet;
use report::Section;
use servers::Engine;
use tools::Run;

/// What fails here is told to a person, and nothing else is done about it.
type Outcome<T> = Result<T, Box<dyn Error>>;

fn fail<T>(message: impl Into<String>) -> Outcome<T> {
    Err(message.into().into())
}

/// Between two looks at something that tells nobody when it is there.
#[expect(clippy::disallowed_methods, reason = "there is no event to wait for")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

const EXAMPLES: &str = "\
Examples:
  cargo bench --profile dist --bench loadtest -- --against nsd,knot,bind --report report
  cargo bench --bench loadtest -- --quick
  cargo bench --bench loadtest -- --sections udp,latency --rounds 7
  cargo bench --bench loadtest -- generate --target 127.0.0.1:5300 --rate 50000
  cargo bench --bench loadtest -- generate --target 127.0.0.1:5300 --slo p99=1ms,loss=0.01%
  cargo bench --bench loadtest -- --make-queries 112 --into loadtest/queries";

/// Measures our node beside NSD, Knot, BIND and a bare echo.
#[derive(Parser)]
#[command(after_help = EXAMPLES, max_term_width = 80, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    test: TestOptions,
    /// What `cargo bench` adds.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Send an open loop of queries to a server, and print what came back
    Generate(GenerateOptions),
    /// Write a seeded query set in the forms of dnsperf: text and binary (-B)
    #[command(long_flag = "make-queries")]
    MakeQueries(QueriesOptions),
    /// Measure our node as a forwarder beside dnsdist, Unbound and Knot
    Forward(forward::ForwardOptions),
    /// Measure AS112 as an application next to AS112 built in and dnsdist with Lua
    Guest(guest::GuestOptions),
    /// Measure answers by the client's subnet beside static ones, gdnsd, Knot and PowerDNS
    Tailored(tailored::TailoredOptions),
    /// Serve as a bare echo
    #[command(hide = true)]
    Echo {
        #[arg(long, value_enum)]
        engine: Engine,
        #[arg(long)]
        listen: SocketAddr,
    },
}

/// Options of the load test.
#[derive(Args, Clone)]
struct TestOptions {
    /// Show in two minutes that all of it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// The peers, as far as they are installed
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nsd,knot,bind")]
    against: Vec<Peer>,
    /// Where the report goes
    #[arg(long, value_name = "DIR", default_value = "target/loadtest")]
    report: PathBuf,
    /// The parts to run
    #[arg(long, value_enum, value_delimiter = ',')]
    sections: Vec<Section>,
    /// Interleaved rounds; an odd number has a median
    #[arg(long, default_value_t = bounds::ROUNDS, value_parser = at_most(ROUNDS_MAX))]
    rounds: usize,
    /// Seconds of one run
    #[arg(long, default_value_t = bounds::SECONDS as usize, value_parser = at_most(SECONDS_MAX as usize))]
    seconds: usize,
    /// The query sets' seed
    #[arg(long, default_value_t = 112)]
    seed: u64,
    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The CPU of the generator; without a second one, the same
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Nsd,
    Knot,
    Bind,
}

#[derive(Args)]
struct GenerateOptions {
    /// The server
    #[arg(long)]
    target: SocketAddr,
    /// Queries a second
    #[arg(long, default_value_t = 10_000, value_parser = at_most(RATE_MAX as usize))]
    rate: usize,
    /// Search the highest rate that keeps a promise, as p99=1ms,loss=0.01%, instead
    #[arg(long)]
    slo: Option<Slo>,
    /// Send as much as can be sent instead, whatever is lost
    #[arg(long, conflicts_with_all = ["rate", "slo"])]
    flood: bool,
    /// How long each rate is kept
    #[arg(long, default_value_t = 5, value_parser = at_most(SECONDS_MAX as usize))]
    seconds: usize,
    /// Sockets to send from
    #[arg(long, default_value_t = SOCKETS, value_parser = at_most(SOCKETS_MAX))]
    sockets: usize,
    /// A connection for each query over TCP instead, so many at a time, as fast as they end
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "20")]
    #[arg(value_parser = at_most(SOCKETS_MAX))]
    tcp_connections: Option<usize>,
    /// Send all that a node gets (EDNS options, updates, TKEY) instead of ordinary queries
    #[arg(long)]
    mixed: bool,
    /// The query set's seed
    #[arg(long, default_value_t = 112)]
    seed: u64,
    /// The CPU to stay on
    #[arg(long)]
    cpu: Option<usize>,
}

#[derive(Args)]
struct QueriesOptions {
    seed: u64,
    /// How many
    #[arg(long, default_value_t = SAMPLE, value_parser = at_most(QUERIES_MAX))]
    count: usize,
    /// The folder that they are written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

/// Reads a number from 1 to `most`.
fn at_most(most: usize) -> impl Fn(&str) -> Result<usize, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| format!("give a number from 1 to {most}"))
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Outcome<()> {
    let stop = stop_flag()?;
    match cli.command {
        None => campaign::run(&cli.test, &stop),
        Some(Command::Generate(options)) => generate(&options, &stop),
        Some(Command::MakeQueries(options)) => make_queries(&options),
        Some(Command::Forward(options)) => forward::run(&options, &stop),
        Some(Command::Guest(options)) => guest::run(&options, &stop),
        Some(Command::Tailored(options)) => tailored::run(&options, &stop),
        Some(Command::Echo { engine, listen }) => servers::echo(engine, listen, &stop),
    }
}

/// Set by SIGINT and SIGTERM, so that all that was started and made is ended and removed. A second signal
/// ends at once.
fn stop_flag() -> Outcome<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn make_queries(options: &QueriesOptions) -> Outcome<()> {
    std::fs::create_dir_all(&options.into)?;
    let write = |name: &str, bytes: &[u8]| -> Outcome<()> {
        let path: &Path = &options.into.join(name);
        std::fs::write(path, bytes)?;
        println!("{}", path.display());
        Ok(())
    };
    write("sample.txt", QuerySet::ordinary(options.seed, options.count).text.as_bytes())?;
    write("sample.bin", &QuerySet::mixed(options.seed, options.count).binary())
}

fn generate(options: &GenerateOptions, stop: &AtomicBool) -> Outcome<()> {
    if let Some(cpu) = options.cpu {
        as112d::sys::cpu::pin(cpu)?;
    }
    let make = if options.mixed { QuerySet::mixed } else { QuerySet::ordinary };
    let queries = make(options.seed, bounds::QUERIES);
    let duration = Duration::from_secs(options.seconds as u64);
    let (target, sockets, judge) = (options.target, options.sockets, Judge::AnyServer);
    let print = |run: &Run| -> Outcome<()> {
        println!("{}", serde_json::to_string_pretty(run)?);
        Ok(())
    };
    if let Some(at_once) = options.tcp_connections {
        let patience = connections::PATIENCE;
        let harvest = connections::run(target, &queries, at_once, duration, patience, judge, stop)?;
        return print(&Run::of(&harvest, command_line()));
    }
    let bar = progress_bar();
    if options.flood {
        let harvest = generator::flood::run(&[target], &queries, duration, judge, stop)?;
        return print(&Run::of(&harvest, command_line()));
    }
    let (queries, timeout) = (&queries, bounds::TIMEOUT);
    let targets = &[target];
    let load = |rate: u64| Load { targets, rate, duration, sockets, queries, judge, timeout };
    let Some(slo) = &options.slo else {
        let harvest = generator::run(&load(options.rate as u64), &bar, stop)?;
        bar.finish_and_clear();
        return print(&Run::of(&harvest, command_line()));
    };
    let best = search(bounds::RATE_BEGIN, 2.0, |rate| {
        let harvest = generator::run(&load(rate), &bar, stop)?;
        let holds = slo.holds(&harvest);
        let (p99, loss) = (harvest.latency_ms(0.99), harvest.loss() * 100.0);
        bar.suspend(|| {
            eprintln!(
                "{rate}/s: p99 {p99:.3} ms, {loss:.4} % lost: {}",
                if holds { "holds" } else { "fails" }
            );
        });
        Ok(holds)
    })?;
    bar.finish_and_clear();
    println!("{best} queries a second");
    Ok(())
}

/// Shown on a terminal alone.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
    bar.set_style(style.expect("the template is sound"));
    bar
}

fn command_line() -> String {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    std::iter::once("loadtest".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let parse =
            |line: &str| Cli::try_parse_from(std::iter::once("loadtest").chain(line.split_whitespace()));
        let cli = parse("--quick --against nsd,bind --report there --bench").unwrap();
        assert!(cli.test.quick && cli.test.against == [Peer::Nsd, Peer::Bind]);
        let cli = parse("--make-queries 7 --count 9 --bench").unwrap();
        assert!(matches!(cli.command, Some(Command::MakeQueries(QueriesOptions { seed: 7, count: 9, .. }))));
        let line = "generate --target 127.0.0.1:53 --rate 100 --slo p99=1ms,loss=0.01% --bench";
        let Some(Command::Generate(options)) = parse(line).unwrap().command else { panic!("{line}") };
        assert_eq!((options.rate, options.tcp_connections, options.slo.unwrap().loss), (100, None, 0.0001));
        for line in ["--rounds 0", "--seconds 61", "generate --target 127.0.0.1:53 --rate 5000001"] {
            let error = parse(line).err().expect("it is out of bounds").to_string();
            assert!(error.contains("give a number from 1 to"), "{line}: {error}");
        }
        assert_eq!(bounds::TCP_CONNECTIONS, 20, "what `--tcp-connections` alone means");
    }
}
