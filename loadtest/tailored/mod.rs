//! Answers that depend on the client's subnet: what one costs beside a static one of the same node, with two
//! million rules, and beside gdnsd, Knot and PowerDNS with the same map of 20,000; and beside a bare echo,
//! which is what the kernel takes of each figure. Rounds are interleaved, each run has a server that was just
//! started and gets more than it can answer, and CPU time is that of all threads.

mod servers;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use as112d::dns::consts::rcode;
use clap::Args;

use super::bounds::{ROUNDS_MAX, SECONDS_MAX};
use super::common::query;
use super::forward::Figures;
use super::generator::{Judge, flood};
use super::mutate::Dice;
use super::queries::QuerySet;
use super::servers::Engine;
use super::{Outcome, at_most, fail, pause};
use servers::{Maps, Subject};

/// Different queries: as many as a flood tells apart.
const QUERIES: usize = 1 << 16;
/// What is compared with what, in one round, and the most that it may be.
const RATIOS: [(Subject, Subject, &str); 8] = [
    (Subject::Tailored, Subject::Static, "2 x 1,000,000 rules: tailored / static (at most 1.15)"),
    (Subject::Few, Subject::Gdnsd, "20,000 rules: as112d / gdnsd (at most 0.6)"),
    (Subject::Few, Subject::Knot, "20,000 rules: as112d / Knot geoip (at most 0.5)"),
    (Subject::Few, Subject::PowerDns, "20,000 rules: as112d / PowerDNS geoip (at most 0.3)"),
    (Subject::Few, ECHO, "20,000 rules: as112d / echo"),
    (Subject::Gdnsd, ECHO, "20,000 rules: gdnsd / echo"),
    (Subject::Knot, ECHO, "20,000 rules: Knot geoip / echo"),
    (Subject::PowerDns, ECHO, "20,000 rules: PowerDNS geoip / echo"),
];
/// The datapath of ours with nothing behind it, as it is chosen where there is io_uring.
const ECHO: Subject = Subject::Echo(Engine::IoUring);

#[derive(Args)]
pub struct TailoredOptions {
    /// Interleaved rounds; an odd number has a median
    #[arg(long, default_value_t = 7, value_parser = at_most(ROUNDS_MAX))]
    rounds: usize,
    /// Seconds of one run
    #[arg(long, default_value_t = 3, value_parser = at_most(SECONDS_MAX as usize))]
    seconds: usize,
    /// The CPU of the servers
    #[arg(long, default_value_t = 0)]
    server_cpu: usize,
    /// The CPU of the generator
    #[arg(long, default_value_t = 1)]
    generator_cpu: usize,
}

/// Runs the rounds and prints a table.
///
/// # Errors
/// A server does not start, or answers wrongly; interrupted by `stop`.
pub fn run(options: &TailoredOptions, stop: &AtomicBool) -> Outcome<()> {
    as112d::sys::cpu::pin(options.generator_cpu)?;
    let files = tempfile::tempdir()?;
    let maps = Maps::write(files.path())?;
    let sets = Sets {
        plain: queries("plain.example.net", true),
        tailored: queries("www.example.net", true),
        few: queries("www.example.net", false),
    };
    let mut figures = Figures::default();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        let mut subjects = Subject::ALL;
        let by = round % subjects.len();
        subjects.rotate_left(by);
        let mut cpu = Vec::new();
        for subject in subjects.into_iter().filter(|subject| subject.is_there()) {
            cpu.push((subject, measure(subject, &maps, &sets, options, &mut figures, stop)?));
        }
        let of = |wanted| cpu.iter().find(|(subject, _)| *subject == wanted).map(|(_, cpu)| cpu);
        for (ours, other, name) in RATIOS {
            if let (Some(ours), Some(other)) = (of(ours), of(other)) {
                figures.keep("client subnet: CPU, ratio", name, ours / other);
            }
        }
    }
    print!("{}", figures.table());
    Ok(())
}

/// Queries for a name that has one address for everybody, and for one of a pool, with both maps.
struct Sets {
    plain: QuerySet,
    tailored: QuerySet,
    few: QuerySet,
}

impl Sets {
    fn of(&self, subject: Subject) -> &QuerySet {
        match subject {
            Subject::Static => &self.plain,
            Subject::Tailored => &self.tailored,
            _ => &self.few,
        }
    }
}

/// Microseconds of CPU for an answer of a server that gets more than it can answer.
fn measure(
    subject: Subject,
    maps: &Maps,
    sets: &Sets,
    options: &TailoredOptions,
    figures: &mut Figures,
    stop: &AtomicBool,
) -> Outcome<f64> {
    let server = subject.start(maps, options.server_cpu)?;
    // What a start does after its first answer.
    pause(Duration::from_millis(500));
    let judge = if matches!(subject, Subject::Echo(_)) { Judge::Echo } else { Judge::AnyServer };
    let flood = |seconds: usize| {
        let duration = Duration::from_secs(seconds as u64);
        flood::run(&[server.address], sets.of(subject), duration, judge, stop)
    };
    flood(1)?;
    let before = server.cpu_nanoseconds();
    let harvest = flood(options.seconds)?;
    let used = (server.cpu_nanoseconds() - before) as f64;
    if harvest.answered == 0 {
        return fail(format!("{} answers nothing", subject.name()));
    }
    if harvest.wrong > 0 {
        return fail(format!("{}: {} of {} are wrong", subject.name(), harvest.wrong, harvest.answered));
    }
    let cpu_us = used / 1e3 / harvest.answered as f64;
    figures.keep("client subnet: CPU, us", subject.name(), cpu_us);
    figures.keep(
        "client subnet: answers a second",
        subject.name(),
        harvest.answered as f64 / harvest.seconds,
    );
    figures.keep("client subnet: queries a second", subject.name(), harvest.sent as f64 / harvest.seconds);
    figures.keep("client subnet: its CPU is busy, %", subject.name(), used / 1e7 / harvest.seconds);
    Ok(cpu_us)
}

/// Queries for the address of a name, for random clients of IPv4 by 24 bits, every other one of IPv6 by 48 if
/// there are such.
fn queries(owner: &str, with_ipv6: bool) -> QuerySet {
    let mut dice = Dice::new(7871);
    let messages = (0..QUERIES).map(|number| {
        let option = if with_ipv6 && number % 2 == 1 {
            let address = Ipv6Addr::from(servers::ipv6(dice.roll()));
            [&[0, 8, 0, 10, 0, 2, 48, 0][..], &address.octets()[..6]].concat()
        } else {
            let address = Ipv4Addr::from(dice.roll() as u32);
            [&[0, 8, 0, 7, 0, 1, 24, 0][..], &address.octets()[..3]].concat()
        };
        let mut message = query(owner, 1);
        message[11] = 1;
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, option.len() as u8]);
        message.extend(option);
        message
    });
    QuerySet::of(messages, rcode::NOERROR)
}
