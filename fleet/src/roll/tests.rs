//! Rolls of a hundred nodes, and what stops them.

use as112d::release::Digest;

use super::*;

type Change = fn(&mut Roll);

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

fn name(number: u64) -> ReleaseName {
    ReleaseName { number, digest: Digest::of(&number.to_be_bytes()) }
}

fn roll(stages: &[&str]) -> Roll {
    let stage = |to: &&str| Stage { to: to.parse().unwrap(), bake: 300 };
    Roll {
        format: FORMAT,
        fleet: label("as112"),
        serial: 1,
        release: name(41),
        before: Some(name(40)),
        stages: stages.iter().map(stage).collect(),
        quorum: 95,
        reason: None,
        by: Words::new("ann").unwrap(),
        made_at: Words::new("now").unwrap(),
    }
}

fn usual() -> Roll {
    roll(&["colo/ams", "10%", "50%", "all"])
}

/// A hundred nodes, five of them in ams, in this state.
fn nodes(state: &State) -> Vec<Seen> {
    let node = |at: usize| Who {
        fleet: label("as112"),
        colo: Some(label(if at < 5 { "ams" } else { "fra" })),
        node: label(&format!("n{at}")),
    };
    (0..100).map(|at| Seen { who: node(at), state: state.clone() }).collect()
}

/// The nodes of a stage which those before do not have.
fn new_in(roll: &Roll, stage: usize, nodes: &[Seen]) -> Vec<usize> {
    let is_new = |who: &Who| roll.has(stage, who) && !roll.has(stage - 1, who);
    (0..nodes.len()).filter(|at| is_new(&nodes[*at].who)).collect()
}

fn pointer(scope: &str, release: Option<u64>, share: u8) -> Pointer {
    Pointer {
        format: FORMAT,
        fleet: label("as112"),
        scope: scope.parse().unwrap(),
        serial: 1,
        kind: if release.is_some() { pointer::Kind::Want } else { pointer::Kind::Hold },
        release: release.map(name),
        share,
        otherwise: (share < 100).then(|| name(40)),
        bake: None,
        drain: None,
        reason: None,
        by: Words::new("ann").unwrap(),
        made_at: Words::new("now").unwrap(),
    }
}

#[test]
fn a_roll_is_read_as_it_is_written() {
    assert_eq!(Roll::parse(&usual().to_line()).unwrap(), usual());
    for text in ["colo/ams", "node/a", "10%", "99%", "all"] {
        assert_eq!(text.parse::<To>().unwrap().to_string(), text);
    }
    assert_eq!("100%".parse::<To>().unwrap(), To::ALL);
    for bad in ["", "fleet", "0%", "101%", "%", "colo/", "x", "-1%", "10 %"] {
        assert!(bad.parse::<To>().is_err(), "{bad}");
    }
}

#[test]
fn what_a_roll_may_not_say_is_refused() {
    let changes: [(Change, &str); 9] = [
        (|r| r.stages.clear(), "1 to 16 stages"),
        (|r| drop(r.stages.pop()), "the last stage"),
        (|r| r.stages.swap(1, 2), "shares grow"),
        (|r| r.stages.swap(0, 1), "come before"),
        (|r| r.stages.insert(0, r.stages[0].clone()), "twice"),
        (|r| r.stages[0].bake = BAKE_MAX_SECONDS + 1, "`bake`"),
        (|r| r.quorum = 0, "`quorum`"),
        (|r| r.before = None, "first release"),
        (|r| r.format = 2, "format 2"),
    ];
    for (change, words) in changes {
        let mut changed = usual();
        change(&mut changed);
        let refused = Roll::parse(&changed.to_line()).unwrap_err();
        assert!(refused.words.contains(words), "{refused}");
    }
    let first = Roll { before: None, ..roll(&["colo/ams", "all"]) };
    assert_eq!(first.check(), Ok(()));
}

#[test]
fn how_far_it_is_stands_in_the_pointers() {
    let roll = usual();
    let reached = |pointers: &[Pointer]| roll.reached(|scope| pointers.iter().find(|p| p.scope == *scope));
    assert_eq!(reached(&[]), Reached::Nothing);
    assert_eq!(reached(&[pointer("fleet", Some(40), 100)]), Reached::Nothing);
    let canary = pointer("colo/ams", Some(41), 100);
    assert_eq!(reached(std::slice::from_ref(&canary)), Reached::Stage(0));
    assert_eq!(reached(&[pointer("colo/fra", Some(41), 100)]), Reached::Nothing);
    for (share, stage) in [(9, 0), (10, 1), (49, 1), (50, 2), (99, 2), (100, 3)] {
        let fleet = pointer("fleet", Some(41), share);
        assert_eq!(reached(&[canary.clone(), fleet]), Reached::Stage(stage), "{share}");
    }
    let held = reached(&[canary.clone(), pointer("fleet", None, 100)]);
    assert!(matches!(held, Reached::Elsewhere(why) if why.contains("held")));
    let newer = reached(&[canary, pointer("fleet", Some(42), 100)]);
    assert!(matches!(newer, Reached::Elsewhere(why) if why.contains("wants 42-")));
}

#[test]
fn a_stage_is_done_when_enough_are_healthy() {
    let (roll, mut seen) = (usual(), nodes(&State::Behind));
    assert!(matches!(roll.step(0, &seen), Step::Wait(why) if why.contains("0 of 5 healthy, 5 behind")));
    seen[..4].iter_mut().for_each(|seen| seen.state = State::Healthy);
    seen[4].state = State::Baking;
    assert!(matches!(roll.step(0, &seen), Step::Wait(why) if why.contains("4 of 5 healthy, 1 baking")));
    // Who is silent is not waited for.
    seen[4].state = State::Silent;
    assert_eq!(roll.step(0, &seen), Step::Next(1));
    let all = nodes(&State::Healthy);
    assert_eq!(
        [0, 1, 2, 3].map(|stage| roll.step(stage, &all)),
        [Step::Next(1), Step::Next(2), Step::Next(3), Step::Done]
    );
    // Of a hundred that have it five may be behind.
    let mut most = all;
    most[10..15].iter_mut().for_each(|seen| seen.state = State::Behind);
    assert_eq!(roll.step(3, &most), Step::Done);
    most[15].state = State::Behind;
    assert!(matches!(roll.step(3, &most), Step::Wait(why) if why.ends_with("95 % must be healthy")));
}

#[test]
fn silence_is_not_health() {
    let (roll, silent) = (usual(), nodes(&State::Silent));
    for stage in 0..4 {
        assert!(matches!(roll.step(stage, &silent), Step::Wait(_)), "{stage}");
    }
    assert!(matches!(roll.step(0, &[]), Step::Wait(_)));
    assert!(matches!(roll.step(3, &[]), Step::Wait(_)));
    // The first stage is silent, whatever others say.
    let mut seen = nodes(&State::Healthy);
    seen[..5].iter_mut().for_each(|seen| seen.state = State::Silent);
    assert!(matches!(roll.step(0, &seen), Step::Wait(why) if why.contains("no node")));
    // A share of a small fleet may be nobody: it is passed over.
    let few = &nodes(&State::Healthy)[..3];
    let roll = Roll { stages: usual().stages[1..].to_vec(), ..usual() };
    let nobody = (1..200).map(name).find(|release| {
        let roll = Roll { release: *release, ..roll.clone() };
        few.iter().all(|seen| !roll.has(0, &seen.who))
    });
    let roll = Roll { release: nobody.unwrap(), ..roll };
    assert_eq!(roll.step(0, few), Step::Next(1));
}

#[test]
fn failures_stop_it() {
    let (roll, mut seen) = (usual(), nodes(&State::Healthy));
    let failed = || State::Failed("probe: no answer".to_owned());
    // One of the first stage, at any time.
    seen[2].state = failed();
    for stage in 0..4 {
        assert_eq!(
            roll.step(stage, &seen),
            Step::Stop("n2, of the first stage: probe: no answer".to_owned())
        );
    }
    // Later it takes a second one.
    let mut seen = nodes(&State::Healthy);
    let later = new_in(&roll, 2, &seen);
    assert!(later.len() > 20, "{later:?}");
    seen[later[0]].state = failed();
    assert_eq!(roll.step(2, &seen), Step::Next(3));
    seen[later[1]].state = failed();
    assert!(matches!(roll.step(2, &seen), Step::Stop(why) if why.starts_with("2 of ")));
    // Of a thousand nodes it takes twenty.
    let mut many: Vec<Seen> = (0..10).flat_map(|_| nodes(&State::Healthy)).collect();
    let colo = many.iter().map(|seen| roll.has(0, &seen.who)).collect::<Vec<_>>();
    let rest: Vec<usize> = (0..many.len()).filter(|at| !colo[*at]).collect();
    rest[..19].iter().for_each(|at| many[*at].state = failed());
    assert_eq!(roll.step(3, &many), Step::Done);
    many[rest[19]].state = failed();
    assert!(matches!(roll.step(3, &many), Step::Stop(why) if why.starts_with("20 of 1000 ")));
    // What fails outside of the stage is another matter.
    assert!(matches!(roll.step(0, &seen), Step::Next(1)));
    // All there are.
    let roll = self::roll(&["node/n7", "node/n8", "all"]);
    let mut two = nodes(&State::Healthy)[7..9].to_vec();
    two[1].state = failed();
    assert!(matches!(roll.step(1, &two), Step::Wait(_)));
    two.remove(0);
    assert!(matches!(roll.step(1, &two), Step::Stop(_)));
}

#[test]
fn stages_only_grow() {
    let (roll, seen) = (usual(), nodes(&State::Healthy));
    let counts: Vec<usize> = (0..4).map(|stage| roll.tally(stage, &seen).nodes).collect();
    assert!(counts.is_sorted() && counts[0] == 5 && counts[3] == 100, "{counts:?}");
    assert!((10..30).contains(&counts[1]) && (40..65).contains(&counts[2]), "{counts:?}");
    for stage in 1..4 {
        assert!(seen.iter().all(|seen| !roll.has(stage - 1, &seen.who) || roll.has(stage, &seen.who)));
    }
    let tally = Tally { nodes: 9, healthy: 2, baking: 1, behind: 1, silent: 4, ..Tally::default() };
    assert_eq!(tally.to_string(), "2 of 9 healthy, 1 baking, 1 behind, 4 silent");
}
