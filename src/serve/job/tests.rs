//! Jobs are neither lost nor doubled, whatever workers do.

use bytes::BytesMut;
use std::collections::VecDeque;

use super::*;
use crate::serve::tests::Random;

fn taken<'a>(arrival: &'a Arrival, account: &'a Account, label: usize, packet: &'a [u8]) -> Taken<'a> {
    let (connection, share, asked) = (None, u32::MAX, Instant::now());
    Taken { arrival, socket: 3, connection, account, label, share, asked, packet }
}

fn query(id: u16, name: &[u8]) -> Vec<u8> {
    [&id.to_be_bytes(), &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], name, &[0, 12, 0, 1]].concat()
}

fn arrival() -> Arrival {
    Job::empty(BytesMut::new()).arrival
}

fn way(rule: RuleId) -> Way {
    Way { rule, serial: 7 }
}

fn wakers(count: usize) -> Vec<Waker> {
    (0..count).map(|_| Waker::new().unwrap()).collect()
}

const NAME: &[u8] = b"\x0210\x07in-addr\x04arpa\0";

#[test]
fn a_job_holds_all_that_is_known() {
    let settings = JobSettings { workers: 1, jobs: 2, share: 2 };
    let (mut desk, mut inboxes) = desk(&settings, &wakers(1));
    let mut ruled = crate::stats::account::Ruled::default();
    ruled.note(5, false);
    (ruled.tags, ruled.divert, ruled.is_traced) = (9, Some((1, 2)), true);
    let account = Account { len: 41, ruled: Some(ruled), ..Account::default() };
    let (arrival, packet) = (Arrival { listener: 4, ..arrival() }, query(0x1234, NAME));
    let connection = Some(Connection { key: 6, generation: 8 });
    let given = Taken { connection, ..taken(&arrival, &account, 5, &packet) };
    assert!(inboxes[0].is_empty());
    desk.hand_over(way(11), &given).unwrap();
    assert!(!inboxes[0].is_empty());
    let job = inboxes[0].take().unwrap();
    assert_eq!((job.way, job.query(), job.socket), (way(11), &packet[..], 3));
    assert_eq!((job.connection, job.arrival.listener, job.account.len), (connection, 4, 41));
    assert_eq!((job.tags, job.divert, job.is_traced), (Tags(9), Some((1, 2)), true));
    assert_eq!(job.asked, given.asked);
    assert!(inboxes[0].take().is_none());
    // The next that it is used for has nothing of this.
    inboxes[0].give_back(job);
    desk.end_turn();
    let account = Account::default();
    for _ in 0..2 {
        desk.hand_over(way(1), &taken(&arrival, &account, 0, &packet[..20])).unwrap();
        let job = inboxes[0].take().unwrap();
        assert_eq!((job.tags, job.divert, job.is_traced, job.connection), (Tags(0), None, false, None));
        assert_eq!(job.query(), &packet[..20]);
    }
}

#[test]
fn a_rule_has_its_share_and_the_others_what_is_left() {
    let settings = JobSettings { workers: 1, jobs: 8, share: 3 };
    let (mut desk, mut inboxes) = desk(&settings, &wakers(1));
    let (arrival, account, packet) = (arrival(), Account::default(), query(1, NAME));
    let hand = |desk: &mut Desk, label| desk.hand_over(way(0), &taken(&arrival, &account, label, &packet));
    for label in [1, 2] {
        assert!((0..3).all(|_| hand(&mut desk, label).is_ok()));
        assert_eq!(hand(&mut desk, label), Err(WORK_REFUSED_SHARE));
    }
    assert!((0..2).all(|_| hand(&mut desk, 3).is_ok()));
    assert_eq!(hand(&mut desk, 3), Err(WORK_REFUSED_POOL));
    // What comes back is there for the next, without an end of the turn.
    let job = inboxes[0].take().unwrap();
    inboxes[0].give_back(job);
    assert_eq!(hand(&mut desk, 1), Ok(()));
    assert_eq!(hand(&mut desk, 1), Err(WORK_REFUSED_SHARE));
    assert_eq!(hand(&mut desk, RULE.len), Err(WORK_REFUSED_SHARE), "there is no such rule");
}

#[test]
fn a_rule_may_have_a_smaller_share_of_its_own() {
    let settings = JobSettings { workers: 1, jobs: 8, share: 3 };
    let (mut desk, _inboxes) = desk(&settings, &wakers(1));
    let (arrival, account, packet) = (arrival(), Account::default(), query(1, NAME));
    let mut hand =
        |label, share| desk.hand_over(way(0), &Taken { share, ..taken(&arrival, &account, label, &packet) });
    assert_eq!((hand(1, 1), hand(1, 1)), (Ok(()), Err(WORK_REFUSED_SHARE)));
    assert!((0..3).all(|_| hand(2, 8).is_ok()));
    assert_eq!(hand(2, 8), Err(WORK_REFUSED_SHARE), "no rule has more than any may");
}

#[test]
fn equal_names_have_the_same_worker_and_all_workers_have_some() {
    let settings = JobSettings { workers: 3, jobs: 300, share: 300 };
    let (mut desk, mut inboxes) = desk(&settings, &wakers(3));
    let (arrival, account) = (arrival(), Account::default());
    for round in 0..2_u16 {
        for number in 0..100_u8 {
            let letter = if round == 0 { b'a' } else { b'A' };
            let name = [&[2, letter + number % 26, b'0' + number / 26][..], NAME].concat();
            let packet = query(u16::from(number), &name);
            desk.hand_over(way(0), &taken(&arrival, &account, 0, &packet)).unwrap();
        }
    }
    let mut homes = vec![Vec::new(); 100];
    for (worker, inbox) in inboxes.iter_mut().enumerate() {
        let mut count = 0;
        while let Some(job) = inbox.take() {
            homes[usize::from(job.query[1])].push(worker);
            count += 1;
        }
        assert!(count > 20, "{count} for worker {worker}");
    }
    assert!(homes.iter().all(|home| home.len() == 2 && home[0] == home[1]), "{homes:?}");
}

#[test]
fn a_turn_wakes_those_who_sleep_and_were_given_something() {
    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    let (settings, wakers) = (JobSettings { workers: 1, ..JobSettings::default() }, wakers(1));
    let (mut desk, mut inboxes) = desk(&settings, &wakers);
    let mut poll = Poll::new().unwrap();
    let mut events = Events::with_capacity(4);
    let fd = wakers[0].as_raw_fd();
    poll.registry().register(&mut SourceFd(&fd), Token(0), Interest::READABLE).unwrap();
    let mut is_rung = || {
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    };
    assert!(wakers[0].rest(|| inboxes[0].is_empty()));
    desk.end_turn();
    assert!(!is_rung(), "there was nothing");
    let (arrival, account, packet) = (arrival(), Account::default(), query(1, NAME));
    for _ in 0..5 {
        desk.hand_over(way(0), &taken(&arrival, &account, 0, &packet)).unwrap();
        assert!(!is_rung(), "not for each");
    }
    desk.end_turn();
    assert!(is_rung());
    desk.end_turn();
    assert!(!is_rung(), "once");
    wakers[0].awake();
    assert!((0..5).all(|_| inboxes[0].take().is_some()));
}

/// A worker as the desk can have one: it takes when it likes, keeps jobs for as long as it likes, gives them
/// back in any order, and may be gone with all it has.
struct Worker {
    inbox: Option<Inbox>,
    held: VecDeque<Box<Job>>,
}

#[test]
fn jobs_are_conserved_whatever_workers_do() {
    const LABELS: usize = 4;
    let mut random = Random::new();
    let (arrival, account) = (arrival(), Account::default());
    let (mut handed, mut refused, mut gone) = (0, [0; 2], 0);
    for _ in 0..200 {
        let workers = 1 + random.below(3);
        let (jobs, share) = (1 + random.below(12), 1 + random.below(8));
        let settings = JobSettings { workers, jobs, share };
        let (mut desk, inboxes) = desk(&settings, &wakers(workers));
        let mut workers: Vec<Worker> =
            inboxes.into_iter().map(|inbox| Worker { inbox: Some(inbox), held: VecDeque::new() }).collect();
        // Of each rule: what is out, as a model counts it; what died with a worker stays out.
        let mut out = [0_usize; LABELS];
        let mut dead = 0;
        for step in 0..300_u32 {
            match random.below(10) {
                0..4 => {
                    let (label, letter) = (random.below(LABELS), b'a' + random.below(26) as u8);
                    let packet = query(step as u16, &[&[1, letter][..], NAME].concat());
                    // As the desk would: jobs that are back count as free once it has to look.
                    let before = desk.free.len();
                    match desk.hand_over(way(label as u16), &taken(&arrival, &account, label, &packet)) {
                        Ok(()) => (out[label], handed) = (out[label] + 1, handed + 1),
                        Err(reason) => {
                            assert!(before == 0 || out[label] >= share || dead > 0, "refused without need");
                            refused[reason] += 1;
                        }
                    }
                }
                4 => desk.end_turn(),
                5 if random.below(40) == 0 => {
                    // A worker that dies takes its jobs, and what waits for it, with it.
                    let at = random.below(workers.len());
                    let worker = &mut workers[at];
                    if worker.inbox.take().is_some() {
                        (dead, gone) = (dead + 1, gone + 1);
                        worker.held.clear();
                    }
                }
                _ => {
                    let at = random.below(workers.len());
                    let Worker { inbox: Some(inbox), held } = &mut workers[at] else { continue };
                    match random.below(3) {
                        0 => held.extend(inbox.take()),
                        1 => held.extend(std::iter::from_fn(|| inbox.take())),
                        _ if held.is_empty() => {}
                        _ => {
                            let at = random.below(held.len());
                            if let Some(job) = held.remove(at) {
                                assert_eq!(usize::from(job.way.rule), job.label, "it is whole");
                                out[job.label] -= 1;
                                inbox.give_back(job);
                            }
                        }
                    }
                }
            }
            assert!(desk.taken.iter().all(|taken| *taken as usize <= share.min(jobs)));
        }
        // All that live give back all they have: then all is there but what died.
        for worker in &mut workers {
            let Worker { inbox: Some(inbox), held } = worker else { continue };
            held.extend(std::iter::from_fn(|| inbox.take()));
            for job in held.drain(..) {
                out[job.label] -= 1;
                inbox.give_back(job);
            }
        }
        desk.end_turn();
        let lost: usize = out.iter().sum();
        assert_eq!(desk.free.len() + lost, jobs);
        assert!(dead > 0 || lost == 0);
        for (label, out) in out.into_iter().enumerate() {
            assert_eq!(desk.taken[label] as usize, out, "of rule {label}");
        }
    }
    assert!(handed > 5_000 && refused.iter().all(|count| *count > 500) && gone > 20, "{handed} {refused:?}");
}

/// The same between threads, which really run at the same time.
#[test]
fn jobs_go_round_between_threads() {
    const HANDED: usize = 20_000;
    let settings = JobSettings { workers: 2, jobs: 16, share: 16 };
    let wakers = wakers(2);
    let (mut desk, inboxes) = desk(&settings, &wakers);
    let over = std::sync::atomic::AtomicBool::new(false);
    let (arrival, account) = (arrival(), Account::default());
    let seen = std::thread::scope(|scope| {
        let over = &over;
        let works = |mut inbox: Inbox| {
            scope.spawn(move || {
                let mut seen = Vec::new();
                loop {
                    let ends = over.load(std::sync::atomic::Ordering::Acquire);
                    match inbox.take() {
                        Some(job) => {
                            seen.push(u16::from_be_bytes([job.query[0], job.query[1]]));
                            inbox.give_back(job);
                        }
                        None if ends => return seen,
                        None => std::thread::yield_now(),
                    }
                }
            })
        };
        let workers: Vec<_> = inboxes.into_iter().map(works).collect();
        for number in 0..HANDED {
            let name = [&[1, b'a' + (number % 26) as u8][..], NAME].concat();
            let packet = query(number as u16, &name);
            while desk.hand_over(way(0), &taken(&arrival, &account, 0, &packet)).is_err() {
                std::thread::yield_now();
            }
            desk.end_turn();
        }
        over.store(true, std::sync::atomic::Ordering::Release);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let mut sorted = seen;
    sorted.sort_unstable();
    assert!(sorted.iter().map(|id| usize::from(*id)).eq(0..HANDED), "each once");
    desk.end_turn();
    assert_eq!(desk.free.len(), 16);
}
