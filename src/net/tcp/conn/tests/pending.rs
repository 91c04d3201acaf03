//! Queries that were handed over: their replies come later, in any order, while all else goes on.

use super::super::*;
use super::{Bench, framed, query, reply_to};
use crate::net::tcp::random::Random;

impl Bench {
    /// A connection of which queries with an odd ID are handed over.
    fn handing_over() -> Self {
        Self { hands_over: true, ..Self::new() }
    }

    /// The reply to the one at `at` is made.
    fn reply(&mut self, at: usize) {
        let query = self.out.remove(at).unwrap();
        let reply = reply_to(&query, 0);
        self.conn.reply(Some(&reply[PREFIX_LEN..]), self.now);
    }
}

fn stream(ids: impl IntoIterator<Item = u16>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| framed(&query(id, 41))).collect()
}

#[test]
fn an_answer_overtakes_one_that_is_made_elsewhere() {
    let mut bench = Bench::handing_over();
    bench.receive(&stream([1, 2, 3, 4]));
    bench.take(usize::MAX);
    assert_eq!(bench.taken, [reply_to(&query(2, 41), 0), reply_to(&query(4, 41), 0)].concat());
    assert!(bench.conn.wants_input());
    bench.taken.clear();
    bench.reply(1);
    bench.reply(0);
    bench.take(usize::MAX);
    assert_eq!(bench.taken, [reply_to(&query(3, 41), 0), reply_to(&query(1, 41), 0)].concat());
    assert!(bench.conn.is_settled());
}

#[test]
fn with_so_many_pending_it_is_not_read_from_and_then_again() {
    let mut bench = Bench::handing_over();
    let ids = (0..100).map(|number| 2 * number + 1);
    bench.receive(&stream(ids));
    assert_eq!((bench.asked.len(), bench.conn.wants_input()), (TCP_PENDING_MAX, false));
    for next in TCP_PENDING_MAX..100 {
        bench.reply(next % bench.out.len());
        // The reply is in the buffer; nobody has to take it for the next query to be answered.
        bench.take(0);
        assert_eq!((bench.asked.len(), bench.out.len()), (next + 1, TCP_PENDING_MAX));
    }
    assert!(!bench.conn.wants_input() && bench.conn.held.is_empty());
    bench.reply(0);
    assert!(bench.conn.wants_input());
    while !bench.out.is_empty() {
        bench.reply(0);
    }
    bench.take(usize::MAX);
    assert_eq!(bench.taken.len(), 100 * 43);
    assert_eq!(bench.conn.buffered(), bench.conn.unsent.capacity());
}

#[test]
fn who_waits_for_a_reply_is_not_idle_but_not_for_ever() {
    let mut bench = Bench::handing_over();
    bench.receive(&stream([1]));
    bench.pass(30_000);
    assert_eq!(bench.overdue(), None);
    assert_eq!(bench.conn.rank().class, Class::Unsent);
    bench.pass(30_000);
    assert_eq!(bench.overdue(), Some(Closed::Idle), "whoever should reply is gone");
    let mut bench = Bench::handing_over();
    bench.receive(&stream([1]));
    bench.pass(30_000);
    bench.reply(0);
    assert_eq!(bench.overdue(), None);
    bench.take(usize::MAX);
    bench.pass(9000);
    assert_eq!((bench.overdue(), bench.conn.rank().class), (None, Class::Rests));
    bench.pass(1000);
    assert_eq!(bench.overdue(), Some(Closed::Idle));
    // The beginning of a message has its time, whatever else it waits for.
    let mut bench = Bench::handing_over();
    bench.receive(&[stream([1]), vec![0]].concat());
    bench.pass(2000);
    assert_eq!(bench.overdue(), Some(Closed::Message));
}

#[test]
fn a_client_that_has_closed_its_half_gets_what_is_pending() {
    for taken_late in [false, true] {
        let mut bench = Bench::handing_over();
        bench.receive(&stream([1, 2, 3]));
        if !taken_late {
            bench.take(usize::MAX);
        }
        bench.conn.end_input();
        assert_eq!((bench.conn.ending(bench.now), bench.conn.wants_input()), (None, false));
        bench.reply(0);
        bench.take(usize::MAX);
        assert_eq!((bench.conn.ending(bench.now), bench.overdue()), (None, None), "one is still made");
        bench.reply(0);
        bench.take(usize::MAX);
        assert_eq!(bench.taken.len(), 3 * 43);
        assert_eq!(bench.conn.ending(bench.now), Some(Ending::Close(Closed::Client)));
    }
}

#[test]
fn no_reply_closes_once_the_others_are_there() {
    let mut bench = Bench::handing_over();
    bench.receive(&stream([1, 3, 5]));
    bench.conn.reply(None, bench.now);
    bench.out.remove(1);
    assert_eq!((bench.conn.wants_input(), bench.conn.ending(bench.now)), (false, None));
    bench.receive(&stream([2]));
    assert_eq!(bench.asked.len(), 3, "nothing more is answered");
    bench.reply(0);
    bench.reply(0);
    bench.take(usize::MAX);
    assert_eq!(bench.taken, [reply_to(&query(1, 41), 0), reply_to(&query(5, 41), 0)].concat());
    assert_eq!(bench.conn.ending(bench.now), Some(Ending::Fin));
}

/// All ways through a few events: a query that is handed over or not, half of one, a reply, none, the
/// client's FIN, time, and the client taking what there is. Whatever comes first, what is asked is
/// replied to once, a connection ends, and nothing is kept.
#[test]
fn every_order_of_events_ends_well() {
    const EVENTS: usize = 8;
    const STEPS: u32 = 5;
    for walk in 0..EVENTS.pow(STEPS) {
        let (mut bench, mut left) = (Bench::handing_over(), walk);
        let (mut id, mut dropped, mut half, mut answered) = (0, 0, false, 0);
        for _ in 0..STEPS {
            let event = left % EVENTS;
            left /= EVENTS;
            // The driver reads only where that is wanted.
            match event {
                0..=2 if !bench.conn.wants_input() || bench.conn.lingers_since.is_some() => {}
                0 | 1 => {
                    // The rest of a message that has begun comes first.
                    let rest = if half { framed(&query(0, 41))[20..].to_vec() } else { Vec::new() };
                    answered += usize::from(half);
                    half = false;
                    id += 2;
                    answered += usize::from(event == 0);
                    bench.receive(&[rest, stream([id + event as u16])].concat());
                }
                2 if half => {}
                2 => {
                    half = true;
                    bench.receive(&framed(&query(0, 41))[..20]);
                }
                3 if !bench.out.is_empty() => {
                    answered += 1;
                    bench.reply(bench.out.len() - 1);
                }
                4 if !bench.out.is_empty() => {
                    dropped += 1;
                    bench.out.pop_front();
                    bench.conn.reply(None, bench.now);
                }
                5 if bench.conn.wants_input() => bench.conn.end_input(),
                6 => bench.pass(1000),
                7 => bench.take(30),
                _ => {}
            }
            if bench.conn.ending(bench.now).is_some() {
                assert!(bench.out.is_empty() && bench.conn.unsent().is_empty(), "walk {walk}");
            }
        }
        assert_eq!(bench.conn.pending, bench.out.len(), "walk {walk}");
        while !bench.out.is_empty() {
            answered += 1;
            bench.reply(0);
        }
        bench.take(usize::MAX);
        assert_eq!(bench.taken.len(), answered * 43, "walk {walk}, {dropped} dropped");
        assert_eq!(bench.conn.held.is_empty(), !half || bench.conn.finishing.is_some(), "walk {walk}");
        // It has come to its end, or comes to it when nobody does anything.
        let is_finished = bench.conn.ending(bench.now).is_some() || bench.conn.lingers_since.is_some();
        assert_eq!(is_finished, bench.conn.finishing.is_some(), "walk {walk}");
        bench.pass(60_000);
        assert!(is_finished || bench.overdue().is_some(), "walk {walk}");
        assert!(bench.conn.buffered() <= PREFIX_LEN + MESSAGE_LEN_KEPT);
    }
}

#[test]
fn random_chunks_replies_and_takes_lose_nothing() {
    let mut random = Random::new();
    let mut steps = 0;
    while steps < 100_000 {
        let mut bench = Bench::handing_over();
        let count = random.below(300) as u16;
        let stream = stream(0..count);
        let mut rest = &stream[..];
        while !rest.is_empty() || bench.conn.stalled || !bench.out.is_empty() {
            steps += 1;
            match random.below(4) {
                0 | 1 if bench.conn.wants_input() => {
                    let len = (1 + random.len(16_383)).min(rest.len());
                    bench.receive(&rest[..len]);
                    rest = &rest[len..];
                }
                2 if !bench.out.is_empty() => bench.reply(random.below(bench.out.len())),
                _ => {
                    let len = random.len(65_536);
                    bench.take(len);
                }
            }
            assert!(bench.conn.pending <= TCP_PENDING_MAX && bench.conn.pending == bench.out.len());
        }
        bench.take(usize::MAX);
        let mut ids: Vec<u16> =
            bench.taken.chunks(43).map(|reply| u16::from_be_bytes([reply[2], reply[3]])).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..count));
        assert_eq!((bench.conn.held.len(), bench.overdue()), (0, None));
    }
}
