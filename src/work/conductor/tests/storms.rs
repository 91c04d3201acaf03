//! Everything at once: loss, lies, dead servers, clocks that jump, questions without end.

use std::collections::BTreeSet;

use super::sim::{Left, MS, S, Sim, upstream};
use crate::limits::EXCHANGES_MAX;
use crate::policy::facts::Outcome;
use crate::stats::labels::WORK_REFUSED_TASKS;
use crate::work::conductor::ask::{Asked, Waiter};
use crate::work::conductor::random::Random;

fn name(number: usize) -> Vec<u8> {
    let label = format!("n{number:x}");
    [&[label.len() as u8], label.as_bytes(), &[0]].concat()
}

/// Each question is answered or ends by its deadline, once, whatever happens; and nothing is left of it.
#[test]
fn whatever_happens_each_ends_once() {
    for seed in 0..12 {
        let mut random = Random::from_seed(1000 + seed);
        let mut upstream = upstream(1 + (seed % 5) as u16);
        upstream.explore = 0.2;
        upstream.tries = 1 + (seed % 6) as u8;
        let servers = upstream.servers.len();
        let mut sim = Sim::seeded(upstream, seed);
        let mut waiting = BTreeSet::new();
        let mut on_the_way: Vec<Left> = Vec::new();
        for _ in 0..6000 {
            let waiter = random.below(300) as u32;
            if !waiting.contains(&waiter) {
                let name = name(random.below(200));
                let mut ask = Sim::asking(&name);
                ask.is_alone = random.below(10) == 0;
                if matches!(
                    sim.ask_for(&ask, waiter, S + random.below(1000) as u64 * MS),
                    Asked::Waiting | Asked::Joined
                ) {
                    waiting.insert(waiter);
                }
            }
            if random.below(40) == 0 && waiting.remove(&waiter) {
                sim.table.cancel(Waiter(waiter));
            }
            on_the_way.extend(sim.left());
            for _ in 0..2 {
                if !on_the_way.is_empty() {
                    let query = on_the_way.swap_remove(random.below(on_the_way.len()));
                    happen(&mut sim, &query, servers, &mut random);
                }
            }
            match random.below(30) {
                0 => sim.at(sim.now.saturating_sub(random.below(3_000_000) as u64)),
                1 => sim.pass(random.below(3_000_000) as u64),
                _ => sim.pass(random.below(4000) as u64),
            }
            for done in sim.done.drain(..) {
                assert!(waiting.remove(&done.waiter), "seed {seed}: {} is told twice", done.waiter);
            }
        }
        sim.assert_nothing_is_left();
        for done in sim.done.drain(..) {
            assert!(waiting.remove(&done.waiter), "seed {seed}: {} is told twice", done.waiter);
        }
        assert!(waiting.is_empty(), "seed {seed}: {waiting:?} still wait");
    }
}

fn happen(sim: &mut Sim, query: &Left, servers: usize, random: &mut Random) {
    let is_dead = servers > 1 && query.to.port() == 1;
    let mut response = query.response([0, 0, 0, 3, 2, 5, 1, 4, 16, 9][random.below(10)]);
    match random.below(12) {
        _ if is_dead => {}
        0..=2 => {}
        3 if query.key.is_some() => sim.give_back(query, random.below(2) == 0),
        3 => sim.refuse(query, &query.bytes),
        4 => {
            let at = random.below(response.len());
            response[at] ^= 1 << random.below(8);
            sim.respond(query, response);
        }
        5 => {
            response.truncate(random.below(response.len()));
            sim.respond(query, response);
        }
        6 => {
            response[2] |= 2;
            sim.respond(query, response);
        }
        7 if query.cookie().is_some() => sim.respond(query, query.response_with_cookie(23, &[3; 8])),
        8 => (0..3).for_each(|_| sim.respond(query, response.clone())),
        _ => sim.respond(query, response),
    }
}

/// With three tries, three in a hundred of them are lost in a row; an answer may be lost as well.
#[test]
fn a_third_lost_is_hardly_felt() {
    let mut sim = Sim::new(upstream(3));
    let mut random = Random::from_seed(7);
    let mut on_the_way: Vec<(u64, Left)> = Vec::new();
    for number in 0..20_000 {
        sim.ask_for(&Sim::asking(&name(number)), (number % 5000) as u32, 2 * S);
        for query in sim.left() {
            if random.below(10) >= 3 {
                on_the_way.push((sim.now + (5 + random.below(10) as u64) * MS, query));
            }
        }
        sim.pass(MS);
        let due = on_the_way.extract_if(.., |(at, _)| *at <= sim.now).collect::<Vec<_>>();
        for (_, query) in due {
            sim.respond(&query, query.response(0));
        }
    }
    let failed = sim.done.iter().filter(|done| done.outcome != Outcome::Ok).count();
    assert!(sim.done.len() > 19_000 && failed * 20 < sim.done.len(), "{failed} of {}", sim.done.len());
}

#[test]
fn a_clock_that_jumps_ends_what_is_due_and_nothing_else() {
    let mut sim = Sim::new(upstream(1));
    sim.at(100 * S);
    sim.ask(1);
    sim.at(0);
    assert!(sim.done.is_empty(), "nothing is due");
    let query = sim.only();
    sim.respond(&query, query.response(0));
    assert_eq!(sim.done[0].outcome, Outcome::Ok, "its answer is taken");
    sim.ask(2);
    sim.at(1_000_000 * S);
    assert_eq!((sim.done[1].waiter, sim.done[1].outcome), (2, Outcome::Timeout));
    sim.assert_nothing_is_left();
}

#[test]
fn there_is_an_end_to_questions() {
    let mut sim = Sim::new(upstream(8));
    let mut refused = 0;
    for number in 0..EXCHANGES_MAX + 10 {
        let asked = sim.ask_for(&Sim::asking(&name(number)), number as u32, 2 * S);
        refused += usize::from(asked == Asked::Refused(WORK_REFUSED_TASKS));
    }
    assert_eq!((refused, sim.table.in_use()), (10, EXCHANGES_MAX));
    // One server has four thousand at most; the others share what is left.
    let most = sim.table.directory.known.iter().map(crate::work::conductor::server::Server::in_flight).max();
    assert!(most.unwrap() <= crate::limits::IN_FLIGHT_PER_SERVER_MAX as u32);
    let queries = sim.left();
    for query in &queries {
        sim.respond(query, query.response(0));
    }
    assert_eq!(sim.done.len(), EXCHANGES_MAX);
    sim.assert_nothing_is_left();
}
