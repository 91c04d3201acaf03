//! The core with a carrier, a disk and a node that are not there.

use as112d::release::{Code, Digest, Label};

use super::*;

fn who() -> Who {
    let label = |text: &str| text.parse::<Label>().unwrap();
    Who { fleet: label("f"), colo: Some(label("ams")), node: label("ams1") }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn release(number: u64) -> ReleaseName {
    ReleaseName { number, digest: Digest::of(&number.to_be_bytes()) }
}

/// A pointer, as if it had been verified.
fn pointer(scope: &str, serial: u64, more: &str) -> Signed<Pointer> {
    let line = format!(
        "{{\"format\":1,\"fleet\":\"f\",\"scope\":\"{scope}\",\"serial\":{serial},\"by\":\"b\",\
         \"made_at\":\"m\",{more}}}"
    );
    Signed { content: Pointer::parse(&line).unwrap(), digest: Digest::of(line.as_bytes()), by: Vec::new() }
}

fn want(serial: u64, number: u64, bake: u32) -> Signed<Pointer> {
    let release = serde_json::to_string(&release(number)).unwrap();
    pointer("fleet", serial, &format!("\"kind\":\"want\",\"bake\":{bake},\"release\":{release}"))
}

fn hear(core: &mut Core, pointer: Signed<Pointer>, now: u64) -> Taken {
    let scope = pointer.content.scope.clone();
    core.heard(&scope, Ok(pointer), at(now))
}

fn new() -> Core {
    Core::new(who(), Duration::ZERO, Past::default(), 1, at(0))
}

/// A node that has the release `number`, which has proved itself.
fn settled(number: u64) -> Core {
    let past = Past {
        pointers: vec![want(number, number, 0).content],
        current: Some(release(number)),
        good: Some(release(number)),
        floor: number,
        ..Past::default()
    };
    Core::new(who(), Duration::ZERO, past, 1, at(0))
}

/// Does what the core wants, and all goes well, until it waits.
fn go(core: &mut Core, now: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let step = core.step(at(now));
        match step {
            Step::Wait => return steps,
            Step::Fetch(name, _) => core.fetched(name, Ok(()), at(now)),
            Step::Point => core.pointed(Ok(()), at(now)),
            Step::Swap(name) => core.swapped(name, Ok(()), at(now)),
            Step::Tell(name) => core.told(name, Told::Taken("{}".to_owned()), at(now)),
            Step::Keep(name) => core.kept(name, Ok(()), at(now)),
            Step::Back(name) => core.went_back(name, Ok(()), at(now)),
        }
        steps.push(step);
        assert!(steps.len() < 20, "{steps:?}");
    }
}

fn words(core: &mut Core) -> Vec<&'static str> {
    core.lines().iter().map(|line| line.word).collect()
}

#[test]
fn a_release_is_fetched_swapped_told_and_kept() {
    let mut core = new();
    assert_eq!((core.step(at(0)), core.verdict()), (Step::Wait, Verdict::Unled));
    assert_eq!(hear(&mut core, want(1, 1, 0), 1), Taken::New);
    assert_eq!(core.verdict(), Verdict::Behind);
    let [one, two] = [release(1), release(2)];
    assert_eq!(
        go(&mut core, 1),
        [Step::Fetch(one, false), Step::Swap(one), Step::Tell(one), Step::Keep(one)]
    );
    assert_eq!(words(&mut core), ["wanted", "fetched", "swapped", "baked"]);
    assert_eq!((core.current(), core.good(), core.verdict()), (Some(one), Some(one), Verdict::Settled));
    // The next one bakes.
    hear(&mut core, want(2, 2, 60), 10);
    assert_eq!(go(&mut core, 10), [Step::Fetch(two, false), Step::Swap(two), Step::Tell(two)]);
    assert_eq!(
        (core.verdict(), core.baking(at(30)), core.due(at(30))),
        (Verdict::Baking, Some(at(40)), Some(at(70)))
    );
    assert_eq!(go(&mut core, 69), []);
    assert_eq!(go(&mut core, 70), [Step::Keep(two)]);
    assert_eq!((core.good(), core.verdict(), core.floor()), (Some(two), Verdict::Settled, 2));
    // The same is heard again and again.
    assert_eq!(hear(&mut core, want(2, 2, 60), 80), Taken::Known);
    assert_eq!(go(&mut core, 80), []);
    // A rollback is a later pointer to an earlier release.
    hear(&mut core, want(3, 1, 0), 90);
    assert_eq!(go(&mut core, 90).last(), Some(&Step::Keep(one)));
}

#[test]
fn what_is_worse_is_taken_back_and_not_tried_again() {
    let mut core = settled(1);
    let [one, two, three] = [release(1), release(2), release(3)];
    hear(&mut core, want(2, 2, 60), 0);
    go(&mut core, 0);
    core.worse("probe: ::1 does not answer");
    assert_eq!((core.verdict(), core.falling_now().unwrap().release), (Verdict::Baking, two));
    assert_eq!(go(&mut core, 5), [Step::Back(one), Step::Tell(one)]);
    assert_eq!((core.current(), core.verdict()), (Some(one), Verdict::FellBack));
    assert_eq!(core.fallen().map(|fallen| (fallen.release, fallen.serial)), Some((two, 2)));
    hear(&mut core, want(2, 2, 60), 6);
    assert_eq!(go(&mut core, 100), []);
    assert!(words(&mut core).contains(&"fell-back"));
    // Neither by the next agent.
    let past = Past {
        pointers: vec![want(2, 2, 60).content],
        current: Some(one),
        good: Some(one),
        floor: 2,
        fallen: core.fallen().cloned(),
        drained: None,
    };
    let mut next = Core::new(who(), Duration::ZERO, past, 7, at(0));
    assert_eq!((go(&mut next, 0), next.verdict()), (vec![], Verdict::FellBack));
    // Another pointer can want it, or somebody who has mended what was wrong.
    let mut asked = next.clone();
    asked.again(at(1));
    assert_eq!(asked.step(at(1)), Step::Fetch(two, false));
    hear(&mut next, want(3, 2, 60), 1);
    assert_eq!(next.step(at(1)), Step::Fetch(two, false));
    hear(&mut core, want(3, 3, 0), 101);
    assert_eq!(go(&mut core, 101).last(), Some(&Step::Keep(three)));
    assert_eq!((core.fallen(), core.verdict()), (None, Verdict::Settled));
}

#[test]
fn what_the_node_refuses_is_taken_back() {
    let mut core = settled(1);
    let [one, two] = [release(1), release(2)];
    hear(&mut core, want(2, 2, 60), 0);
    assert_eq!(core.step(at(0)), Step::Fetch(two, false));
    core.fetched(two, Ok(()), at(0));
    core.swapped(two, Ok(()), at(0));
    // A node that is gone is waited for: it takes what is current when it starts.
    core.told(two, Told::Gone("no such file".to_owned()), at(0));
    assert_eq!((core.step(at(0)), core.current()), (Step::Wait, Some(two)));
    assert!(core.problems().any(|problem| problem == "gone: no such file"));
    assert_eq!(core.step(at(5)), Step::Tell(two));
    let answer = "{\"ok\":false,\"problems\":[{\"place\":\"a.zone:1\",\"message\":\"no SOA\"}]}";
    core.told(two, Told::Refused(answer.to_owned()), at(5));
    assert_eq!(go(&mut core, 5), [Step::Back(one), Step::Tell(one)]);
    assert_eq!(core.fallen().map(|fallen| fallen.why.as_str()), Some("a.zone:1: no SOA"));
    assert!(core.problems().any(|problem| problem == "a.zone:1: no SOA"));
    assert!(core.lines().iter().any(|line| line.text == answer), "word for word");
    // The first release that a node gets has none before it.
    let mut core = new();
    hear(&mut core, want(1, 1, 60), 0);
    core.fetched(one, Ok(()), at(0));
    core.swapped(one, Ok(()), at(0));
    core.told(one, Told::Refused("no".to_owned()), at(0));
    assert_eq!((go(&mut core, 1), core.verdict()), (vec![], Verdict::Settled));
    assert!(core.fallen().is_some_and(|fallen| fallen.release == one));
}

#[test]
fn whatever_fails_is_tried_again_after_a_pause() {
    for trouble in [
        Trouble::Away("no answer".to_owned()),
        Trouble::Refused("wrong-hash: object".to_owned()),
        Trouble::Disk("disk: full".to_owned()),
    ] {
        let mut core = settled(1);
        hear(&mut core, want(2, 2, 0), 0);
        let mut now = 0;
        for _ in 0..20 {
            assert_eq!(core.step(at(now)), Step::Fetch(release(2), false));
            core.fetched(release(2), Err(trouble.clone()), at(now));
            assert_eq!(core.step(at(now)), Step::Wait);
            let due = core.due(at(now)).unwrap();
            assert!(due > at(now) && due < at(now + 70), "{due:?}");
            now = due.as_secs() + 1;
        }
        assert_eq!(core.problems().count(), 1);
        assert_eq!(core.lines().len(), 2, "what is wanted, and what is wrong, once");
        assert_eq!(core.current(), Some(release(1)));
        // Another pointer is heard at once.
        core.fetched(release(2), Err(trouble), at(now));
        hear(&mut core, want(3, 3, 0), now);
        assert_eq!(core.step(at(now)), Step::Fetch(release(3), false));
        go(&mut core, now);
        assert_eq!((core.current(), core.problems().count()), (Some(release(3)), 0));
    }
}

#[test]
fn pointers_are_believed_by_their_serials_alone() {
    let mut core = settled(5);
    for (pointer, taken, problem) in [
        (want(4, 4, 0), Taken::Older, "older: the source has serial 4"),
        (want(5, 4, 0), Taken::Clash, "replayed: two pointers of fleet"),
    ] {
        assert_eq!(hear(&mut core, pointer, 1), taken);
        assert!(core.problems().any(|found| found.starts_with(problem)), "{problem}");
        assert_eq!(go(&mut core, 1), []);
    }
    let refused = Refused::new(Code::BadSignature, "a signature is not one");
    core.heard(&Scope::Fleet, Err(refused.clone()), at(2));
    core.heard(&Scope::Fleet, Err(refused), at(3));
    assert_eq!((go(&mut core, 3), core.current()), (vec![], Some(release(5))));
    assert_eq!(words(&mut core).iter().filter(|word| **word == "refused").count(), 1);
    assert_eq!(hear(&mut core, want(5, 5, 0), 4), Taken::Known);
    assert_eq!(core.problems().count(), 0);
}

#[test]
fn the_most_specific_scope_decides_and_is_written_down_when_it_fits() {
    let mut core = settled(1);
    hear(&mut core, pointer("node/ams1", 1, "\"kind\":\"hold\""), 0);
    assert_eq!((go(&mut core, 0), core.verdict()), (vec![Step::Point], Verdict::Held));
    hear(&mut core, want(2, 2, 0), 1);
    assert_eq!(go(&mut core, 1), [Step::Point], "it is held, whatever the fleet wants");
    hear(&mut core, pointer("node/ams1", 2, "\"kind\":\"follow\""), 2);
    assert_eq!(core.unwritten().len(), 1);
    let two = release(2);
    assert_eq!(
        go(&mut core, 2),
        [Step::Fetch(two, false), Step::Swap(two), Step::Tell(two), Step::Keep(two)]
    );
    assert_eq!(core.unwritten(), [], "with the swap");
    // While something is fetched another scope takes over.
    hear(&mut core, want(3, 3, 0), 3);
    assert_eq!(core.step(at(3)), Step::Fetch(release(3), false));
    hear(&mut core, pointer("colo/ams", 1, "\"kind\":\"hold\""), 4);
    core.fetched(release(3), Ok(()), at(4));
    assert_eq!((go(&mut core, 4), core.current()), (vec![Step::Point], Some(two)));
}

/// A crash between any two steps: the next agent goes on, and the node is told in the end.
#[test]
fn whoever_begins_again_completes_what_was_begun() {
    let [one, two] = [release(1), release(2)];
    for crash in 0..5 {
        let mut core = settled(1);
        hear(&mut core, want(2, 2, 0), 0);
        let (mut current, mut good, mut written) = (one, one, want(1, 1, 0));
        for _ in 0..crash {
            match core.step(at(0)) {
                Step::Fetch(name, _) => core.fetched(name, Ok(()), at(0)),
                Step::Swap(name) => {
                    (current, written) = (name, want(2, 2, 0));
                    core.swapped(name, Ok(()), at(0));
                }
                Step::Tell(name) => core.told(name, Told::Taken(String::new()), at(0)),
                Step::Keep(name) => {
                    good = name;
                    core.kept(name, Ok(()), at(0));
                }
                other => assert_eq!(other, Step::Wait),
            }
        }
        let past = Past {
            pointers: vec![written.content],
            current: Some(current),
            good: Some(good),
            floor: current.number,
            ..Past::default()
        };
        let mut next = Core::new(who(), Duration::ZERO, past, 3, at(0));
        hear(&mut next, want(2, 2, 0), 1);
        let steps = go(&mut next, 1);
        assert_eq!((next.current(), next.good()), (Some(two), Some(two)), "{crash}: {steps:?}");
        assert!(good == two || steps.contains(&Step::Tell(two)), "{crash}: {steps:?}");
    }
}

#[test]
fn lost_pointers_do_not_bring_an_older_release() {
    let past = Past { current: Some(release(5)), good: Some(release(5)), floor: 5, ..Past::default() };
    let mut core = Core::new(who(), Duration::ZERO, past, 1, at(0));
    hear(&mut core, want(3, 3, 0), 0);
    assert_eq!(core.current(), Some(release(5)));
    assert!(!matches!(core.step(at(0)), Step::Fetch(..)));
    assert!(core.problems().any(|problem| problem.starts_with("older: 3-")));
    hear(&mut core, want(6, 6, 0), 1);
    assert_eq!(go(&mut core, 1).last(), Some(&Step::Keep(release(6))));
    hear(&mut core, want(7, 3, 0), 2);
    assert_eq!(go(&mut core, 2).last(), Some(&Step::Keep(release(3))), "a rollback, now that there is order");
}

#[test]
fn rotten_files_are_mended_once_in_a_while() {
    let mut core = settled(1);
    core.drifted(at(10));
    assert_eq!(go(&mut core, 10), [Step::Fetch(release(1), true), Step::Tell(release(1))]);
    core.drifted(at(20));
    assert_eq!(go(&mut core, 20), []);
    core.drifted(at(700));
    assert_eq!(core.step(at(700)), Step::Fetch(release(1), true));
}
