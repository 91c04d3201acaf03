//! Which PoP is best for the users of a resolver, and for a place: the one that costs them least, in time. A
//! change needs many users, of many networks, who gain much by it, for a day at least; and few change at
//! once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::heavy::ONE;
use super::observation::DAY;
use super::state::{Decision, Decisions, Evidence, State, spot};
use super::subject::{Place, Subject, km, pool_of};
use crate::limits::{
    LEARN_CHANGE_DAYS, LEARN_CHANGES_MIN, LEARN_CHANGES_PART, LEARN_GAIN_MIN, LEARN_GAIN_PART,
    LEARN_GROUP_PART, LEARN_GROUPS_MIN, LEARN_LIST_LEN, LEARN_MOVED_PART, LEARN_NETWORKS_MIN,
    LEARN_PLACE_PART, LEARN_PLACE_SAMPLES, LEARN_RTT_CEILING, LEARN_RTT_SAMPLES, LEARN_UNSEEN_DAYS,
    LEARN_WELL_KNOWN, LEARN_WISH_AGE,
};
use crate::tailor::PopId;
use crate::tailor::spec::Pop;

/// What a decision depends on besides what was observed.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The PoPs that there are.
    pub pops: &'a [Pop],
    /// What a resolver gets where nothing is learned.
    pub of_resolver: &'a dyn Fn(IpAddr) -> PopId,
    /// What a client gets in a place where nothing is measured.
    pub of_place: &'a dyn Fn(Place) -> PopId,
}

/// A subject that gets a PoP because of what was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Which.
    pub subject: Subject,
    /// What it gets, the best first: one PoP for resolvers, for places all that were measured.
    pub pops: Vec<PopId>,
    /// Client networks for resolvers, samples for places.
    pub count: u64,
    /// The countries of the users, in hundredths, the largest first.
    pub shares: Vec<([u8; 2], u64)>,
    /// PoPs and their cost in tenths of a millisecond: those it gets, and the one that it would get.
    pub costs: Vec<(PopId, u64)>,
    /// Since which day.
    pub since: u32,
    /// The last day on which a user was seen.
    pub seen: u32,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Of what.
    pub subject: Subject,
    /// The PoP before; `None` for what is not learned.
    pub from: Option<String>,
    /// The PoP from now on.
    pub to: Option<String>,
}

/// What came of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// All that is decided, in order.
    pub decided: Vec<Decided>,
    /// What is new of it.
    pub changes: Vec<Change>,
}

/// One subject, weighed.
#[derive(Debug)]
struct Case {
    /// By PoP, in tenths of a millisecond.
    costs: Vec<u64>,
    /// What was not measured enough to be given; for resolvers nothing.
    samples: Option<Vec<u64>>,
    /// The cost where nothing is learned, and the PoP that most of them get then.
    base: (PopId, u64),
    /// Client networks, as weight.
    weight: u64,
    is_sound: bool,
    shares: Vec<([u8; 2], u64)>,
    seen: u32,
}

/// Evaluates what is known for one map at this time, in seconds of Unix time, and notes what is decided.
pub fn evaluate(state: &mut State, map: &str, around: &Around<'_>, at: u64) -> Outcome {
    // At midnight the day before has just been seen whole.
    state.turn_to((at.saturating_sub(1) / DAY) as u32);
    forget(state);
    let decisions = state.decisions.remove(map).unwrap_or_default();
    let mut evaluation = Evaluation {
        times: Times::new(state, around.pops),
        state,
        around,
        at,
        decisions,
        outcome: Outcome::default(),
    };
    evaluation.decisions.retain(|_, decision| {
        let is_there = |pop: &String| around.pops.iter().any(|known| known.name == *pop);
        decision.pop.as_ref().is_none_or(is_there)
    });
    evaluation.places();
    evaluation.resolvers();
    let Evaluation { decisions, mut outcome, .. } = evaluation;
    outcome.decided.sort_by_key(|decided| decided.subject);
    state.decisions.insert(map.to_owned(), decisions);
    outcome
}

/// Forgets those without users for long: they are back to what is not learned.
fn forget(state: &mut State) {
    let until = state.day.saturating_sub(LEARN_UNSEEN_DAYS);
    state.resolvers.retain(|_, evidence| evidence.seen >= until);
    state.places.retain(|_, evidence| evidence.seen >= until);
}

struct Evaluation<'a> {
    state: &'a State,
    around: &'a Around<'a>,
    times: Times,
    at: u64,
    decisions: Decisions,
    outcome: Outcome,
}

impl Evaluation<'_> {
    /// Countries, then places within them, then autonomous systems: each knows what it would get by the ones
    /// before.
    fn places(&mut self) {
        let of_kind: [fn(&Subject) -> bool; 3] = [
            |subject| matches!(subject, Subject::Country(_)),
            |subject| matches!(subject, Subject::Place(_)),
            |subject| matches!(subject, Subject::As(_)),
        ];
        for is_of_kind in of_kind {
            let of_kind = self.state.places.iter().filter(|(subject, _)| is_of_kind(subject));
            let cases: Vec<(Subject, Case)> =
                of_kind.map(|(subject, evidence)| (*subject, self.place(*subject, evidence))).collect();
            let total = cases.iter().map(|(_, case)| case.weight).sum();
            self.decide(cases, &mut Budget::of(total, u64::MAX));
        }
        let known = &self.state.places;
        self.decisions.retain(|subject, _| subject.is_of_resolvers() || known.contains_key(subject));
    }

    /// Pools, then resolvers: each resolver knows what it would get by its pool.
    fn resolvers(&mut self) {
        let known = &self.state.resolvers;
        let total = known.values().map(Evidence::weight).sum();
        let mut budget = Budget::of(total, self.changes_left());
        let pools = self.pools();
        let cases = pools
            .iter()
            .map(|(pool, (base, evidence))| (*pool, self.case(evidence, Some(*base), None)))
            .collect();
        self.decide(cases, &mut budget);
        let of_pool = |resolver: IpAddr| {
            let decision = self.decisions.get(&Subject::Pool(pool_of(resolver)))?;
            self.number(decision.pop.as_deref()?)
        };
        let cases = known
            .iter()
            .map(|(resolver, evidence)| {
                let base = of_pool(*resolver).unwrap_or_else(|| (self.around.of_resolver)(*resolver));
                (Subject::Resolver(*resolver), self.case(evidence, Some(base), None))
            })
            .collect();
        self.decide(cases, &mut budget);
        self.decisions.retain(|subject, _| match subject {
            Subject::Resolver(resolver) => known.contains_key(resolver),
            Subject::Pool(_) => pools.contains_key(subject),
            _ => true,
        });
    }

    /// Networks of two and more resolvers that all get the same PoP: they work for the same users.
    fn pools(&self) -> BTreeMap<Subject, (PopId, Evidence)> {
        let mut pools: BTreeMap<Subject, (usize, Option<PopId>, Evidence)> = BTreeMap::new();
        for (resolver, evidence) in &self.state.resolvers {
            let base = (self.around.of_resolver)(*resolver);
            let pool = Subject::Pool(pool_of(*resolver));
            let (members, common, sum) =
                pools.entry(pool).or_insert_with(|| (0, Some(base), Evidence::default()));
            *common = common.filter(|common| *common == base);
            *members += 1;
            sum.merge(evidence);
        }
        let shared = pools.into_iter().filter(|(_, (members, ..))| *members > 1);
        shared.filter_map(|(pool, (_, base, sum))| Some((pool, (base?, sum)))).collect()
    }

    /// A place, weighed. Only PoPs that it was measured to are given.
    fn place(&self, subject: Subject, evidence: &Evidence) -> Case {
        let mut case = self.case(evidence, None, Some(subject));
        let mut samples = vec![0; self.around.pops.len()];
        for (pop, count) in self.around.pops.iter().zip(&mut samples) {
            let of = |subject| self.state.times(subject, &pop.name);
            if matches!(subject, Subject::As(_)) {
                let Some(times) = of(subject) else { continue };
                *count = times.samples();
            } else {
                let spots = evidence.places.iter().filter_map(|(place, _)| spot(place));
                *count = spots.filter_map(of).map(super::rtt::Histogram::samples).sum();
            }
        }
        // What users of an AS say of themselves concerns nobody else.
        if matches!(subject, Subject::As(_)) {
            case.is_sound = case.weight >= LEARN_NETWORKS_MIN * u64::from(ONE);
            for (at, pop) in self.around.pops.iter().enumerate() {
                let times = self.state.times(subject, &pop.name);
                let median = times.filter(|_| samples[at] >= LEARN_PLACE_SAMPLES).and_then(|of| of.median());
                case.costs[at] = median.map_or(case.costs[at], |median| median.min(LEARN_RTT_CEILING));
            }
            if samples[usize::from(case.base.0)] >= LEARN_PLACE_SAMPLES {
                case.base.1 = case.costs[usize::from(case.base.0)];
            }
        }
        case.samples = Some(samples);
        case
    }

    /// Users, weighed: they get `base` where nothing is learned, or what is of each place.
    fn case(&self, evidence: &Evidence, base: Option<PopId>, subject: Option<Subject>) -> Case {
        let pops = self.around.pops.len();
        let weight = evidence.weight();
        let (mut costs, mut base_cost, mut sum) = (vec![0; pops], 0, 0);
        let mut most = (0, base.unwrap_or(0));
        let mut countries: BTreeMap<[u8; 2], u64> = BTreeMap::new();
        for (place, part) in evidence.places.iter() {
            let part = u64::from(part);
            if let Some(code) = place.country {
                *countries.entry(code).or_default() += part;
            }
            if part * LEARN_PLACE_PART < weight {
                continue;
            }
            sum += part;
            let times = self.times.of(place);
            for (cost, time) in costs.iter_mut().zip(times) {
                *cost += part * u64::from(*time);
            }
            let gets = base.unwrap_or_else(|| self.of_place(place, subject));
            base_cost += part * times.get(usize::from(gets)).map_or(LEARN_RTT_CEILING, |time| (*time).into());
            most = most.max((part, gets));
        }
        for cost in &mut costs {
            *cost = cost.checked_div(sum).unwrap_or(LEARN_RTT_CEILING);
        }
        let mut shares: Vec<([u8; 2], u64)> = countries
            .into_iter()
            .map(|(code, part)| (code, (part * 100 + weight / 2) / weight.max(1)))
            .filter(|(_, hundredths)| hundredths * LEARN_PLACE_PART >= 100)
            .collect();
        shares.sort_by_key(|(code, part)| (u64::MAX - part, *code));
        Case {
            costs,
            samples: None,
            base: (most.1, base_cost.checked_div(sum).unwrap_or(LEARN_RTT_CEILING)),
            weight,
            is_sound: is_sound(evidence),
            shares,
            seen: evidence.seen,
        }
    }

    /// What clients in a place get by what is decided of wider subjects.
    fn of_place(&self, place: Place, subject: Option<Subject>) -> PopId {
        let of_place = place.at.map(Subject::Place);
        let of_country = place.country.map(Subject::Country);
        let wider = [of_place, of_country].into_iter().flatten();
        let learned = wider
            .filter(|wider| subject.is_none_or(|subject| *wider < subject && !is_same_kind(*wider, subject)))
            .find_map(|wider| self.number(self.decisions.get(&wider)?.pop.as_deref()?));
        learned.unwrap_or_else(|| (self.around.of_place)(place))
    }

    fn number(&self, name: &str) -> Option<PopId> {
        self.around.pops.iter().position(|pop| pop.name == name).map(|at| at as PopId)
    }

    fn name(&self, pop: PopId) -> String {
        self.around.pops[usize::from(pop)].name.clone()
    }

    /// How many resolvers and pools may change now, after those that did lately: few if few are well known.
    fn changes_left(&self) -> u64 {
        let is_well_known = |of: &&Evidence| of.weight() >= LEARN_WELL_KNOWN * u64::from(ONE);
        let well_known = self.state.resolvers.values().filter(is_well_known).count() as u64;
        let of_resolvers = self.decisions.iter().filter(|(subject, _)| subject.is_of_resolvers());
        let lately = of_resolvers.filter(|(_, decision)| self.is_new(decision)).count() as u64;
        (well_known / LEARN_CHANGES_PART).max(LEARN_CHANGES_MIN).saturating_sub(lately)
    }

    /// Whether a decision counts among the latest changes.
    fn is_new(&self, decision: &Decision) -> bool {
        decision.since > self.state.day.saturating_sub(LEARN_CHANGE_DAYS)
    }

    /// Decides of cases that do not depend on each other.
    fn decide(&mut self, cases: Vec<(Subject, Case)>, budget: &mut Budget) {
        let mut due = Vec::new();
        for (at, (subject, case)) in cases.iter().enumerate() {
            let mut decision = self.decisions.remove(subject).unwrap_or_default();
            if let Some((gain, to)) = self.wish(case, &mut decision) {
                due.push((gain * case.weight, at, to));
            }
            self.decisions.insert(*subject, decision);
        }
        // Those first by which most is gained.
        due.sort_by_key(|(gain, at, _)| (u64::MAX - gain, *at));
        for (_, at, to) in due {
            let (subject, case) = &cases[at];
            if budget.allows(case.weight) {
                let to = to.map(|pop| self.name(pop));
                let decision = Decision { pop: to.clone(), since: self.state.day, wish: None };
                let before = self.decisions.insert(*subject, decision);
                let from = before.and_then(|before| before.pop);
                self.outcome.changes.push(Change { subject: *subject, from, to });
            }
        }
        for (subject, case) in cases {
            let Some(decision) = self.decisions.get(&subject) else { continue };
            match decision.pop.as_deref().and_then(|name| self.number(name)) {
                Some(pop) => {
                    let decided = decided(subject, &case, pop, decision.since);
                    self.outcome.decided.push(decided);
                }
                None if decision.wish.is_none() && !self.is_new(decision) => {
                    self.decisions.remove(&subject);
                }
                None => {}
            }
        }
    }

    /// What a subject should get, if that is another PoP and has been for long enough; and what it gains.
    fn wish(&self, case: &Case, decision: &mut Decision) -> Option<(u64, Option<PopId>)> {
        let before = decision.wish.take();
        let now = decision.pop.as_deref().and_then(|name| self.number(name));
        let cost = now.map_or(case.base.1, |pop| case.costs[usize::from(pop)]);
        let (best, best_cost) = case.best();
        let gain = cost.saturating_sub(best_cost);
        let is_worth_it = gain >= LEARN_GAIN_MIN && gain * LEARN_GAIN_PART >= cost;
        if !case.is_sound || best == now || !is_worth_it {
            return None;
        }
        let name = best.map(|pop| self.name(pop));
        let since = before.filter(|(wished, _)| *wished == name).map_or(self.at, |(_, since)| since);
        decision.wish = Some((name, since));
        (self.at.saturating_sub(since) >= LEARN_WISH_AGE).then_some((gain, best))
    }
}

impl Case {
    /// The best that there is, and its cost; `None` for what it would get anyway.
    fn best(&self) -> (Option<PopId>, u64) {
        let measured =
            |at: usize| self.samples.as_ref().is_none_or(|samples| samples[at] >= LEARN_PLACE_SAMPLES);
        let given = self.costs.iter().enumerate().filter(|(at, _)| measured(*at));
        match given.min_by_key(|(_, cost)| **cost) {
            Some((at, cost)) if *cost < self.base.1 => (Some(at as PopId), *cost),
            _ => (None, self.base.1),
        }
    }
}

/// Whether users are enough, and of enough networks that do not belong together, to be believed.
fn is_sound(evidence: &Evidence) -> bool {
    let weight = evidence.weight();
    weight >= LEARN_NETWORKS_MIN * u64::from(ONE)
        && evidence.groups.len() >= LEARN_GROUPS_MIN
        && evidence.groups.most() * LEARN_GROUP_PART <= evidence.groups.sum()
}

fn is_same_kind(one: Subject, other: Subject) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

fn decided(subject: Subject, case: &Case, pop: PopId, since: u32) -> Decided {
    let cost = |pop: PopId| (pop, case.costs[usize::from(pop)]);
    let mut pops = vec![pop];
    let mut costs = vec![cost(pop)];
    if let Some(samples) = &case.samples {
        let mut others: Vec<(u64, PopId)> = (0..samples.len())
            .filter(|at| samples[*at] >= LEARN_PLACE_SAMPLES && *at != usize::from(pop))
            .map(|at| (case.costs[at], at as PopId))
            .collect();
        others.sort_unstable();
        pops.extend(others.iter().map(|other| other.1));
        pops.truncate(LEARN_LIST_LEN);
        costs.extend(pops[1..].iter().map(|pop| cost(*pop)));
    } else if case.base.0 != pop {
        costs.push(case.base);
    }
    let count = match &case.samples {
        Some(samples) => samples.iter().sum(),
        None => (case.weight + u64::from(ONE) / 2) / u64::from(ONE),
    };
    Decided { subject, pops, count, shares: case.shares.clone(), costs, since, seen: case.seen }
}

/// How much may change at once: of the weight, of which the first change may have more, as a single resolver
/// may; and of changes, with those of the last days: little changes where little is known.
struct Budget {
    weight: u64,
    changes: u64,
    is_fresh: bool,
}

impl Budget {
    const fn of(total: u64, changes: u64) -> Self {
        Self { weight: total / LEARN_MOVED_PART, changes, is_fresh: true }
    }

    fn allows(&mut self, weight: u64) -> bool {
        let is_allowed = self.changes > 0 && (self.is_fresh || weight <= self.weight);
        if is_allowed {
            self.is_fresh = false;
            self.changes -= 1;
            self.weight = self.weight.saturating_sub(weight);
        }
        is_allowed
    }
}

/// The time from each place to each PoP, in tenths of a millisecond: measured, else guessed by the distance.
struct Times {
    by_place: BTreeMap<Place, Vec<u16>>,
    unknown: Vec<u16>,
}

impl Times {
    fn new(state: &State, pops: &[Pop]) -> Self {
        let mut by_place: BTreeMap<Place, Vec<u16>> = BTreeMap::new();
        for evidence in state.resolvers.values().chain(state.places.values()) {
            for (place, _) in evidence.places.iter() {
                by_place
                    .entry(place)
                    .or_insert_with(|| pops.iter().map(|pop| time(state, place, pop) as u16).collect());
            }
        }
        Self { by_place, unknown: vec![LEARN_RTT_CEILING as u16; pops.len()] }
    }

    fn of(&self, place: Place) -> &[u16] {
        self.by_place.get(&place).unwrap_or(&self.unknown)
    }
}

/// The time from a place to a PoP, in tenths of a millisecond.
#[expect(clippy::cast_sign_loss, reason = "no way is negative")]
fn time(state: &State, place: Place, pop: &Pop) -> u64 {
    let times = spot(place).and_then(|spot| state.times(spot, &pop.name));
    let measured = times.filter(|times| times.samples() >= LEARN_RTT_SAMPLES).and_then(|of| of.median());
    let guessed = || {
        let (from, to) = (place.at?, pop.at?);
        // 10 ms, and 1.5 ms for 100 km: networks do not go straight.
        Some(100 + (km(from.middle(), to) * 0.15).round() as u64)
    };
    measured.or_else(guessed).unwrap_or(LEARN_RTT_CEILING).min(LEARN_RTT_CEILING)
}
