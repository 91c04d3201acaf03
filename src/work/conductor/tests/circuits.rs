//! Servers that are slow, ill or dead.

use super::sim::{Left, MS, QNAME, S, Sim, upstream};
use crate::policy::facts::Outcome;
use crate::policy::upstream::{Choose, Upstream};
use crate::stats::counters::UPSTREAM_QUERIES;
use crate::stats::labels::{TRIAL_ERROR, TRIAL_TIMEOUT, TRIAL_UNREACHABLE, WORK_REFUSED_UPSTREAM};
use crate::work::conductor::ask::{Ask, Asked};
use crate::work::conductor::network::Queued;

fn place(left: &Left) -> usize {
    usize::from(left.to.port()) - 1
}

/// Lets each of the servers answer once, in so many milliseconds.
fn measure(sim: &mut Sim, took: &[u64]) {
    for round in 0..took.len() {
        let name = [2, b'm', b'0' + round as u8, 0];
        sim.ask_for(&Sim::asking(&name), 9, 2 * S);
        let query = sim.only();
        sim.pass(took[place(&query)] * MS);
        sim.respond(&query, query.response(0));
    }
    sim.done.clear();
}

#[test]
fn the_fastest_is_asked_and_one_that_fails_is_not_for_long() {
    let mut sim = Sim::new(upstream(3));
    measure(&mut sim, &[30, 10, 20]);
    sim.ask(1);
    let query = sim.only();
    assert_eq!(place(&query), 1);
    sim.respond(&query, query.response(2));
    let next = sim.only();
    assert_eq!(place(&next), 2, "SERVFAIL of one is no answer");
    sim.respond(&next, next.response(3));
    assert_eq!((sim.done[0].outcome, sim.done[0].server), (Outcome::Ok, 2));
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([1, TRIAL_ERROR])), 1);
}

#[test]
fn what_all_say_is_passed_on() {
    for rcode in [2, 5, 4, 1] {
        let mut sim = Sim::new(upstream(2));
        sim.ask(1);
        let mut asked = Vec::new();
        for _ in 0..8 {
            for query in sim.left() {
                asked.push(place(&query));
                sim.respond(&query, query.response(rcode));
            }
        }
        assert_eq!(asked.len(), 3, "three tries");
        assert!(asked.contains(&0) && asked.contains(&1));
        assert_eq!((sim.done[0].outcome, sim.done[0].message[3] & 0xF), (Outcome::Ok, rcode as u8));
        sim.assert_nothing_is_left();
    }
}

#[test]
fn silence_sends_to_the_next_and_ends_in_a_timeout() {
    let mut sim = Sim::new(upstream(2));
    measure(&mut sim, &[1, 1]);
    let began = sim.now;
    sim.ask(1);
    let mut asked = Vec::new();
    while sim.done.is_empty() {
        asked.extend(sim.left().iter().map(|query| (sim.now - began, place(query))));
        sim.pass(MS);
    }
    assert_eq!(asked.len(), 3);
    assert!(asked[0].1 != asked[1].1 && asked[1].1 != asked[2].1, "{asked:?}");
    assert!((20 * MS..40 * MS).contains(&asked[1].0), "the least time-out: {asked:?}");
    assert!((600 * MS..640 * MS).contains(&asked[2].0), "the same server is not asked at once: {asked:?}");
    let ended = sim.now - began;
    assert_eq!(sim.done[0].outcome, Outcome::Timeout);
    assert!((1000 * MS..1060 * MS).contains(&ended), "the last one has all its time: {ended}");
    sim.assert_nothing_is_left();
    let timeouts: u64 = (0..2).map(|place| sim.count(UPSTREAM_QUERIES.at([place, TRIAL_TIMEOUT]))).sum();
    assert_eq!(timeouts, 3);
}

#[test]
fn a_refused_port_is_known_at_once_from_who_knows_the_query() {
    let mut sim = Sim::new(upstream(2));
    sim.ask(1);
    let query = sim.only();
    let mut other = query.bytes.clone();
    other[14] ^= 1;
    sim.refuse(&query, &other);
    sim.refuse(&query, &[]);
    sim.refuse(&query, &query.bytes[..1]);
    sim.refuse(&Left { to: "192.0.2.1:99".parse().unwrap(), ..query.clone() }, &query.bytes);
    assert!(sim.left().is_empty(), "anybody can send that");
    sim.refuse(&query, &query.bytes[..20]);
    let next = sim.only();
    assert_ne!(place(&query), place(&next));
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place(&query), TRIAL_UNREACHABLE])), 1);
    sim.refuse(&next, &next.bytes);
    let last = sim.only();
    sim.refuse(&last, &last.bytes);
    assert_eq!(sim.done[0].outcome, Outcome::Refused);
    sim.assert_nothing_is_left();
}

#[test]
fn a_refusal_that_comes_late_was_a_timeout() {
    let mut sim = Sim::new(Upstream { tries: 1, ..upstream(1) });
    sim.ask(1);
    let first = sim.only();
    while sim.done.is_empty() {
        sim.pass(10 * MS);
    }
    sim.refuse(&first, &first.bytes);
    assert_eq!(sim.done[0].outcome, Outcome::Timeout);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place(&first), TRIAL_UNREACHABLE])), 0);
    assert_eq!(sim.count(UPSTREAM_QUERIES.at([place(&first), TRIAL_TIMEOUT])), 1);
    sim.assert_nothing_is_left();
}

/// Asks all the time; returns when which server was asked. Those in `dead` say nothing.
fn ask_on(sim: &mut Sim, seconds: u64, dead: &[usize]) -> Vec<(u64, usize)> {
    let (mut asked, mut number, end) = (Vec::new(), 0_u32, sim.now + seconds * S);
    while sim.now < end {
        let name = [
            5,
            b'0' + (number >> 12) as u8,
            b'a' + (number >> 8 & 15) as u8,
            b'a' + (number >> 4 & 15) as u8,
            b'a' + (number & 15) as u8,
            b'x',
            0,
        ];
        let began = sim.now;
        let result = sim.ask_for(&Sim::asking(&name), number % 60_000, 2 * S);
        number += 1;
        assert!(matches!(result, Asked::Waiting | Asked::Refused(WORK_REFUSED_UPSTREAM)), "{result:?}");
        for query in sim.left() {
            asked.push((sim.now, place(&query)));
            if !dead.contains(&place(&query)) {
                sim.respond(&query, query.response(0));
            }
        }
        sim.pass(10 * MS);
        assert!(sim.done.iter().all(|done| done.at <= began + 2 * S + 20 * MS));
    }
    asked
}

#[test]
fn all_dead_means_one_probe_in_each_step_of_the_back_off() {
    let mut sim = Sim::new(upstream(2));
    let asked = ask_on(&mut sim, 130, &[0, 1]);
    for server in 0..2 {
        // It takes two seconds of silence to believe it, and what was on its way then.
        let start = asked[0].0 + 3 * S;
        let probes: Vec<u64> =
            asked.iter().filter(|(at, place)| *place == server && *at > start).map(|(at, _)| *at).collect();
        let steps: Vec<u64> = probes.windows(2).map(|pair| (pair[1] - pair[0]) / S).collect();
        assert!((4..=8).contains(&probes.len()), "{probes:?}");
        assert!(
            steps.windows(2).all(|pair| pair[1] >= (2 * pair[0].max(1) - 1).min(59)),
            "doubled each time: {steps:?}"
        );
    }
    assert!(sim.table.is_down(0, 0, sim.now));
    assert_eq!(sim.ask(0), Asked::Refused(WORK_REFUSED_UPSTREAM), "at once");
    // Now they live again: the next probe finds out.
    let asked = ask_on(&mut sim, 61, &[]);
    assert!(asked.len() > 10 && !sim.table.is_down(0, 0, sim.now));
    assert_eq!(sim.ask(0), Asked::Waiting);
    sim.assert_nothing_is_left();
}

/// A server that was stopped finds what it was asked in its buffer. Its answer to the last probe, or to the
/// last try for something stale, shows that it is back, however late it is.
#[test]
fn a_late_answer_shows_that_a_server_is_back() {
    let mut sim = Sim::new(upstream(1));
    let (mut probe, mut number) = (None, 0_u8);
    let is_quiet = |sim: &Sim, probe: &Option<(u64, Left)>| {
        let waited = probe.as_ref().map_or(0, |(asked, _)| sim.now - asked);
        sim.table.is_down(0, 0, sim.now) && waited > 6 * S
    };
    while !is_quiet(&sim, &probe) {
        assert!(sim.now < 100 * S);
        number = number.wrapping_add(1);
        sim.ask_for(&Sim::asking(&[2, number / 16 + 1, number % 16 + 1, 0]), u32::from(number), 2 * S);
        probe = sim.left().pop().map(|query| (sim.now, query)).or(probe);
        sim.pass(50 * MS);
    }
    let (_, probe) = probe.expect("there was one");
    assert!(!sim.table.directory.has_recovered_since(Some(0), 0));
    let before = sim.now;
    sim.pass(MS);
    sim.respond(&probe, probe.response(0));
    assert!(!sim.table.is_down(0, 0, sim.now));
    let has = |sim: &Sim, at| sim.table.directory.has_recovered_since(Some(0), at);
    assert!(has(&sim, before) && !has(&sim, sim.now));

    // With one thing to ask for there is no circuit to open.
    let refresh = Ask { is_once: true, ..Sim::asking(QNAME) };
    sim.ask_for(&refresh, 2, 1800 * MS);
    let query = sim.only();
    (0..29).for_each(|_| sim.pass(S));
    let before = sim.now;
    sim.pass(MS);
    assert!(!has(&sim, before));
    sim.respond(&query, query.response(0));
    assert!(has(&sim, before), "it is worth asking for it again");
    // An answer in time is no news.
    let before = sim.now;
    sim.pass(MS);
    sim.ask(3);
    let query = sim.only();
    sim.respond(&query, query.response(0));
    assert!(!has(&sim, before));
    sim.assert_nothing_is_left();
}

/// A probe that is given up at last does not disturb the next one.
#[test]
fn a_probe_is_forgotten_without_consequences() {
    let mut sim = Sim::new(upstream(1));
    let mut probes = Vec::new();
    for number in 0..20_000_u32 {
        let name = [3, (number >> 12) as u8 + 1, (number >> 6 & 63) as u8 + 1, (number & 63) as u8 + 1, 0];
        sim.ask_for(&Sim::asking(&name), number % 60_000, 2 * S);
        probes.extend(sim.left().iter().map(|_| sim.now));
        sim.pass(10 * MS);
    }
    let last: Vec<u64> = probes.windows(2).map(|pair| (pair[1] - pair[0]) / S).rev().take(2).collect();
    assert!(last.iter().all(|&step| step >= 60), "{last:?}");
}

#[test]
fn half_of_them_dead_costs_nobody_an_answer() {
    let mut sim = Sim::new(upstream(4));
    ask_on(&mut sim, 30, &[1, 2]);
    let outcomes = |sim: &Sim| sim.done.iter().filter(|done| done.outcome != Outcome::Ok).count();
    assert_eq!(outcomes(&sim), 0, "of {}", sim.done.len());
    let asked = ask_on(&mut sim, 30, &[1, 2]);
    let wasted = asked.iter().filter(|(_, place)| [1, 2].contains(place)).count();
    assert!(wasted <= 8, "{wasted} of {}", asked.len());
}

#[test]
fn errors_alone_open_no_circuit() {
    let mut sim = Sim::new(upstream(1));
    for number in 0..400_u32 {
        sim.ask_for(&Sim::asking(&[2, b'a' + (number / 26 % 26) as u8, b'a' + (number % 26) as u8, 0]), 1, S);
        for _ in 0..3 {
            for query in sim.left() {
                sim.respond(&query, query.response(2));
            }
        }
        sim.pass(20 * MS);
    }
    assert_eq!(sim.ask(1), Asked::Waiting, "anybody can ask for names that nobody can resolve");
}

#[test]
fn the_order_is_kept_and_a_name_stays_with_its_server() {
    let mut ordered = upstream(3);
    ordered.choose = Choose::Order;
    let mut sim = Sim::new(ordered);
    measure(&mut sim, &[300, 1, 1]);
    sim.ask(1);
    assert_eq!(place(&sim.only()), 0);
    let mut hashed = upstream(3);
    hashed.choose = Choose::Hash;
    let chosen = |seed| {
        let mut sim = Sim::seeded(hashed.clone(), seed);
        (0..60_u8)
            .map(|number| {
                let name = [2, b'n', number + 1, 0];
                sim.ask_for(&Sim::asking(&name), u32::from(number), S);
                place(&sim.only())
            })
            .collect::<Vec<_>>()
    };
    let places = chosen(1);
    assert_eq!(places, chosen(2), "whenever and by whom");
    assert!((0..3).all(|server| places.iter().filter(|&&place| place == server).count() > 8), "{places:?}");
}

#[test]
fn others_are_measured_now_and_then() {
    let mut exploring = upstream(2);
    exploring.explore = 0.1;
    let mut sim = Sim::new(exploring);
    measure(&mut sim, &[10, 200]);
    let (mut copies, mut on_the_way) = (0, Vec::new());
    for number in 0..1000_u32 {
        let name = [3, b'e', (number >> 8) as u8 + 1, number as u8, 0];
        sim.ask_for(&Sim::asking(&name), number, 2 * S);
        let left = sim.left();
        assert_eq!(place(&left[0]), 0, "clients do not wait for one that is far slower");
        assert!(left[1..].iter().all(|copy| place(copy) == 1));
        copies += left.len() - 1;
        on_the_way.extend(left.into_iter().map(|query| (sim.now + [10, 200][place(&query)] * MS, query)));
        sim.pass(10 * MS);
        for (_, query) in on_the_way.extract_if(.., |(at, _)| *at <= sim.now).collect::<Vec<_>>() {
            sim.respond(&query, query.response(0));
        }
    }
    assert!((60..140).contains(&copies), "{copies}");
    assert_eq!(sim.done.len(), 1000, "what only measures answers nobody");
    sim.assert_nothing_is_left();
}

#[test]
fn a_connection_that_ends_gives_its_query_back() {
    let mut streams = upstream(2);
    streams.over = crate::policy::upstream::Over::Tcp;
    let mut sim = Sim::new(streams);
    sim.ask(1);
    let first = sim.only();
    sim.give_back(&first, true);
    let again = sim.only();
    assert_eq!(place(&first), place(&again), "closed at rest: the same server once more");
    sim.give_back(&first, true);
    assert!(sim.left().is_empty(), "only once");
    sim.give_back(&again, false);
    let other = sim.only();
    assert_ne!(place(&first), place(&other));
    sim.respond(&other, other.response(0));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    sim.net.streams = Some(Queued::No);
    sim.ask(1);
    assert_eq!(sim.done[1].outcome, Outcome::Refused, "no way at all");
    sim.assert_nothing_is_left();
}

#[test]
fn without_a_socket_nobody_waits() {
    let mut sim = Sim::new(upstream(2));
    sim.net.has_ports = false;
    assert_eq!(sim.ask_for(&Sim::asking(QNAME), 1, S), Asked::Waiting);
    assert_eq!(sim.done[0].outcome, Outcome::Refused);
    sim.assert_nothing_is_left();
}

/// A server that takes half a second is asked once, however fast it was; and so is one that says nothing,
/// where something stale is at hand.
#[test]
fn a_slow_server_alone_is_asked_once() {
    let mut sim = Sim::new(upstream(1));
    measure(&mut sim, &[1]);
    sim.ask(1);
    let query = sim.only();
    sim.pass(500 * MS);
    assert!(sim.left().is_empty(), "it is waited for");
    sim.respond(&query, query.response(0));
    assert_eq!(sim.done[0].outcome, Outcome::Ok);
    sim.assert_nothing_is_left();

    let refresh = Ask { is_once: true, ..Sim::asking(QNAME) };
    assert_eq!(sim.ask_for(&refresh, 2, 1800 * MS), Asked::Waiting);
    let asked = sim.left().len();
    for _ in 0..1700 {
        sim.pass(MS);
        assert!(sim.left().is_empty());
    }
    assert_eq!((asked, sim.done.len()), (1, 1), "it may come up to the deadline");
    sim.pass(200 * MS);
    assert_eq!((sim.done.len(), sim.done[1].outcome), (2, Outcome::Timeout));
}

/// In an order, a server that answers without saying anything of the name comes last, until it is well.
#[test]
fn an_order_passes_over_who_cannot_answer() {
    let mut sim = Sim::new(Upstream { choose: Choose::Order, explore: 0.05, ..upstream(2) });
    let (mut first, mut is_well) = ([0; 2], false);
    for round in 0..4000_u32 {
        let name = [&[3][..], &name_of(round), &[0]].concat();
        sim.ask_for(&Sim::asking(Vec::leak(name)), round % 8, 2 * S);
        let mut is_first = true;
        while sim.done.is_empty() {
            for query in sim.left() {
                let place = place(&query);
                if std::mem::take(&mut is_first) && (500..2000).contains(&round) {
                    first[place] += 1;
                }
                let rcode = if place == 0 && !is_well { 2 } else { 0 };
                sim.respond(&query, query.response(rcode));
            }
        }
        sim.done.clear();
        is_well |= round == 2000;
    }
    assert!(first[1] > 1400 && first[0] < 100, "{first:?}");
    sim.ask(9);
    assert_eq!(place(&sim.left()[0]), 0, "it is the first again");
}

fn name_of(number: u32) -> [u8; 3] {
    std::array::from_fn(|place| b'a' + (number / 20_u32.pow(place as u32) % 20) as u8)
}
