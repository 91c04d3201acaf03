//! What is learned from beacons, in a synthetic world whose truth is known: how much it helps, how little it
//! changes, and what those who lie can do.

mod beacons;
mod command;
mod world;

#[path = "../common/mod.rs"]
mod common;

#[expect(dead_code, reason = "fuzzing uses all of it")]
#[path = "../common/mutate.rs"]
mod mutate;

use std::collections::BTreeMap;
use std::net::IpAddr;

use as112d::learn::decide::{Around, Outcome, evaluate};
use as112d::learn::files::{learned_map, places_map};
use as112d::learn::observation::{DAY, Observation};
use as112d::learn::state::State;
use as112d::learn::subject::{Degrees, Place};
use as112d::learn::{kept, subject::Subject};
use as112d::tailor::PopId;

use mutate::Dice;
use world::{CITIES, Kind, POPS, Resolver, SAN_JOSE, World, nearest, of_place, pops};

/// The first day: 2026-11-14.
const FIRST: u64 = 20_771;

/// A learner of a world, that is evaluated once a day.
struct Learner<'a> {
    world: &'a World,
    base: BTreeMap<IpAddr, PopId>,
    state: State,
    changes: usize,
}

impl<'a> Learner<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, base: world.base(), state: State::default(), changes: 0 }
    }

    fn evaluate(&mut self, day: u64) -> Outcome {
        let pops = pops();
        let of_resolver = |resolver: IpAddr| self.base.get(&resolver).copied().unwrap_or(0);
        let around = Around { pops: &pops, of_resolver: &of_resolver, of_place: &of_place };
        let outcome = evaluate(&mut self.state, "world", &around, (day + 1) * DAY);
        let of_resolvers = outcome.changes.iter().filter(|change| change.subject.is_of_resolvers());
        self.changes += of_resolvers.count();
        outcome
    }

    fn days(&mut self, days: u64, thin: usize) -> String {
        let mut text = String::new();
        for day in FIRST..FIRST + days {
            self.world.day(day, thin).iter().for_each(|observation| self.state.add(observation));
            text = learned_map(&self.evaluate(day), &pops(), (day + 1) * DAY);
        }
        text
    }
}

/// What resolvers get by a file of what was learned, else by where they are.
fn by_file(text: &str, world: &World) -> BTreeMap<IpAddr, usize> {
    let mut gets: BTreeMap<IpAddr, usize> =
        world.base().into_iter().map(|(resolver, pop)| (resolver, usize::from(pop))).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let Some(Subject::Resolver(resolver)) = words.next().and_then(Subject::read) else {
            panic!("a resolver: {line}")
        };
        let pop = words.next().expect("a PoP");
        gets.insert(resolver, POPS.iter().position(|(name, ..)| *name == pop).expect("one of ours"));
    }
    gets
}

/// Worlds that differ in everything that is left to chance, and in how much the network detours; with
/// AS112D_WORLDS so many of each kind.
fn worlds() -> impl Iterator<Item = World> {
    let count = std::env::var("AS112D_WORLDS").map_or(2, |count| count.parse().expect("a number"));
    (1..=count).flat_map(|seed| [0.15, 0.35].map(|sigma| World::new(seed, sigma)))
}

/// The least, the median and the greatest.
fn spread(what: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (least, median, most) = (values[0], values[values.len() / 2], values[values.len() - 1]);
    println!("report: {} worlds, {what}: {least:.3}, {median:.3}, {most:.3}", values.len());
}

#[test]
fn users_of_misplaced_resolvers_get_what_is_near_them() {
    let (mut of_before, mut of_best, mut of_misplaced) = (Vec::new(), Vec::new(), Vec::new());
    for world in worlds() {
        let text = Learner::new(&world).days(14, 1);
        let gets = by_file(&text, &world);
        let learned = |resolver: &Resolver| gets[&resolver.address];
        let base = world.base();
        let geography = |resolver: &Resolver| usize::from(base[&resolver.address]);
        let best = |resolver: &Resolver| world.best(resolver);
        let (before, after, bound) = (world.mean(geography), world.mean(learned), world.mean(best));
        let misplaced = world.median(Kind::Misplaced, learned);
        let was = world.median(Kind::Misplaced, geography);
        let story = world.median(Kind::Story, learned);
        assert!(was >= 90.0, "the world is as hard as it should be: {was}");
        assert!(after <= 0.90 * before, "{after} of {before}");
        assert!(misplaced <= 30.0, "{misplaced}");
        assert!(after <= 1.05 * bound, "{after} of {bound}");
        assert!(story <= 30.0, "{story}");
        of_before.push(after / before);
        of_best.push(after / bound);
        of_misplaced.push(misplaced);
    }
    spread("mean time, of before", of_before);
    spread("mean time, of the best choice", of_best);
    spread("ms of misplaced resolvers", of_misplaced);
}

#[test]
fn little_changes_where_little_is_known() {
    let mut counts = Vec::new();
    for world in worlds() {
        let mut learner = Learner::new(&world);
        learner.days(28, 6);
        assert!((1..=25).contains(&learner.changes), "{}", learner.changes);
        counts.push(learner.changes as f64);
    }
    spread("changes in 28 thin days", counts);
}

#[test]
fn the_same_input_makes_the_same_bytes_and_two_nodes_decide_as_one() {
    let world = World::new(5, 0.15);
    let (mut one, mut again) = (Learner::new(&world), Learner::new(&world));
    assert_eq!(one.days(5, 1), again.days(5, 1));
    assert_eq!(kept::write(&one.state), kept::write(&again.state));
    // Each node sees half of it; what one knows is added to the other's, as text.
    let (mut left, mut right) = (State::default(), State::default());
    let mut whole = Learner::new(&world);
    for day in FIRST..FIRST + 8 {
        for (number, observation) in world.day(day, 1).iter().enumerate() {
            whole.state.add(observation);
            if number % 2 == 0 { left.add(observation) } else { right.add(observation) }
        }
    }
    left.merge(kept::read(&kept::write(&right)).expect("it was written by us"));
    let mut merged = Learner { state: left, ..Learner::new(&world) };
    let decisions = |learner: &mut Learner<'_>| {
        let outcomes = [0, 1, 2].map(|later| learner.evaluate(FIRST + 8 + later));
        outcomes.map(|outcome| {
            let of_resolvers = outcome.decided.into_iter().filter(|of| of.subject.is_of_resolvers());
            of_resolvers.map(|of| (of.subject, of.pops)).collect::<Vec<_>>()
        })
    };
    let (whole, merged) = (decisions(&mut whole), decisions(&mut merged));
    assert!(whole[2].len() > 10, "{}", whole[2].len());
    assert_eq!(whole, merged);
}

/// An honest resolver in San Jose with 300 networks a day, all in California.
fn honest() -> World {
    let mut world = World::new(6, 0.15);
    world.resolvers.truncate(1);
    world.resolvers[0].users = vec![(SAN_JOSE, 1.0)];
    world.resolvers[0].beacons = 300;
    world
}

#[test]
fn poison_needs_as_many_networks_as_there_are_users() {
    let world = honest();
    let resolver = world.resolvers[0].address;
    let johannesburg = CITIES.iter().position(|city| city.0 == "Johannesburg").expect("it is there");
    for (networks, groups, is_moved) in
        [(1, 1, false), (20, 20, false), (200, 200, false), (2000, 3, false), (2000, 2000, true)]
    {
        let mut learner = Learner::new(&world);
        let mut dice = Dice::new(7);
        for day in FIRST..FIRST + 14 {
            // A node counts a network once a day, whatever it sends.
            for network in 0..networks {
                let lie = world.observation(&mut dice, resolver, johannesburg, day);
                learner.state.add(&Observation { group: u16::try_from(network % groups).unwrap(), ..lie });
            }
            world.day(day, 1).iter().for_each(|observation| learner.state.add(observation));
            learner.evaluate(day);
        }
        assert_eq!(learner.changes > 0, is_moved, "{networks} networks of {groups} groups");
    }
}

#[test]
fn a_resolver_goes_back_when_its_users_leave() {
    let mut world = World::new(8, 0.15);
    world.resolvers.truncate(1);
    let mut learner = Learner::new(&world);
    let text = learner.days(4, 1);
    let line = text.lines().nth(1).expect("a line");
    assert!(line.starts_with("11.0.0.1/32 nrt # ") && line.contains(" networks; JP "), "{line}");
    let mut gone = world.resolvers[0].clone();
    gone.users = vec![(SAN_JOSE, 1.0)];
    gone.beacons = 38;
    let later = World { resolvers: vec![gone], ..World::new(8, 0.15) };
    learner.world = &later;
    let back = (1..=10).find(|day| {
        later.day(FIRST + 4 + day, 1).iter().for_each(|observation| learner.state.add(observation));
        learner.evaluate(FIRST + 4 + day).decided.iter().all(|of| !of.subject.is_of_resolvers())
    });
    assert!((2..=6).contains(&back.expect("it goes back")), "{back:?}");
    // Nobody is seen behind it: it is forgotten.
    for day in 15..40 {
        learner.evaluate(FIRST + 4 + day);
    }
    assert_eq!(learner.state.resolvers(), 0);
}

#[test]
fn what_is_measured_goes_before_what_is_near() {
    let japan = Place { country: Some(*b"JP"), at: Degrees::new(35.7, 139.7) };
    let mut dice = Dice::new(9);
    for (rtts, list) in [
        ([("nrt", 80), ("icn", 35)], Some("icn,nrt")),
        // It is not worth a change, or none is better.
        ([("nrt", 40), ("icn", 38)], None),
        ([("nrt", 9), ("icn", 35)], None),
    ] {
        let world = honest();
        let mut learner = Learner::new(&world);
        let mut text = String::new();
        for day in FIRST..FIRST + 3 {
            for _ in 0..400 {
                let observation = world.observation(&mut dice, world.resolvers[0].address, 0, day);
                let rtts = rtts.iter().map(|(pop, ms)| ((*pop).to_owned(), *ms)).collect();
                learner.state.add(&Observation { place: japan, rtts, ..observation });
            }
            text = places_map(&learner.evaluate(day), &pops(), (day + 1) * DAY);
        }
        assert_eq!(nearest([35.7, 139.7]), 0, "Narita is nearer");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        match list {
            Some(list) => assert!(lines[0].starts_with(&format!("country:JP {list} # ")), "{text}"),
            None => assert_eq!(lines, [""; 0], "{text}"),
        }
    }
}

#[test]
fn addresses_of_one_network_are_one_resolver() {
    let mut world = World::new(10, 0.15);
    let story = world.resolvers[0].clone();
    // Sixteen addresses, none of which has seen enough by itself.
    world.resolvers = (1..=16)
        .map(|last| Resolver { address: IpAddr::from([11, 0, 0, last]), beacons: 4, ..story.clone() })
        .collect();
    let text = Learner::new(&world).days(3, 1);
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].starts_with("11.0.0.0/24 nrt # "), "{text}");
}
