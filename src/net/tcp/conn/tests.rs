//! The connection byte by byte, with a clock of the tests' own.

mod pending;

use std::collections::VecDeque;

use super::*;
use crate::net::tcp::random::Random;
use crate::policy::RuleId;
use crate::serve::job::Way;

/// A connection, the clock, and what was asked and sent.
struct Bench {
    conn: Conn,
    now: Instant,
    slot: Box<Slot>,
    /// What is lent for a turn.
    output: Vec<u8>,
    settings: TcpSettings,
    /// The queries as `answer` saw them.
    asked: Vec<Vec<u8>>,
    /// What the client has taken.
    taken: Vec<u8>,
    /// Bytes that the toy appends to each reply.
    padding: usize,
    /// Queries with an odd ID are handed over.
    hands_over: bool,
    /// Those, until they are replied to.
    out: VecDeque<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            conn: Conn::new(now),
            now,
            slot: Box::new([0xEE; TCP_REPLY_LEN_MAX]),
            output: Vec::new(),
            settings: TcpSettings::default(),
            asked: Vec::new(),
            taken: Vec::new(),
            padding: 0,
            hands_over: false,
            out: VecDeque::new(),
        }
    }

    /// One turn.
    fn with(&mut self, step: impl FnOnce(&mut Conn, &mut Slot, &mut dyn FnMut(&mut [u8], usize) -> Verdict)) {
        let is_lent = self.conn.borrow(&mut self.output);
        let Self { asked, padding, hands_over, out, .. } = self;
        step(&mut self.conn, &mut self.slot, &mut |slot, len| {
            assert!((HEADER_LEN..=MESSAGE_LEN_KEPT).contains(&len));
            asked.push(slot[..len].to_vec());
            if *hands_over && slot[1] % 2 == 1 {
                out.push_back(slot[..len].to_vec());
                return Verdict::HandOff(Way { rule: RuleId::MAX, serial: 0 });
            }
            toy_answer(slot, len, *padding)
        });
        self.conn.give_back(&mut self.output, is_lent);
        assert!(self.output.is_empty(), "it is lent to another next");
    }

    fn receive(&mut self, bytes: &[u8]) {
        let now = self.now;
        self.with(|conn, slot, mut answer| conn.receive(bytes, now, slot, &mut answer));
    }

    /// The client takes up to `len` bytes; what that makes room for is answered.
    fn take(&mut self, len: usize) {
        let len = len.min(self.conn.unsent().len());
        self.taken.extend_from_slice(&self.conn.unsent()[..len]);
        let now = self.now;
        self.with(|conn, slot, mut answer| {
            if len > 0 {
                conn.sent(len, now);
            }
            conn.resume(now, slot, &mut answer);
        });
    }

    fn take_all(&mut self) {
        while !self.conn.unsent().is_empty() {
            self.take(usize::MAX);
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn overdue(&self) -> Option<Closed> {
        self.conn.overdue(self.now, &self.settings, self.settings.idle_timeout)
    }

    fn ending(&mut self) -> Option<Ending> {
        self.conn.ending(self.now)
    }
}

/// Echoes with QR set; a response gets nothing, and a query that is too long a header with FORMERR.
fn toy_answer(slot: &mut [u8], len: usize, padding: usize) -> Verdict {
    if slot[2] & 0x80 != 0 {
        return Verdict::Drop;
    }
    slot[2] |= 0x80;
    if len > QUERY_LEN_MAX {
        slot[3] = 1;
        return Verdict::Reply(HEADER_LEN);
    }
    slot[len..len + padding].fill(0);
    Verdict::Reply(len + padding)
}

fn query(id: u16, len: usize) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.push(0);
    query.resize(len, id as u8);
    query
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// What the client gets for `message`, its length first.
fn reply_to(message: &[u8], padding: usize) -> Vec<u8> {
    let mut slot = vec![0; TCP_REPLY_LEN_MAX];
    let len = message.len().min(MESSAGE_LEN_KEPT);
    slot[..len].copy_from_slice(&message[..len]);
    let Verdict::Reply(len) = toy_answer(&mut slot, len, padding) else { panic!("a reply was expected") };
    framed(&slot[..len])
}

#[test]
fn pipelined_queries_split_at_any_two_bytes_are_answered_in_order() {
    let queries = [query(1, 12), query(2, 41), query(3, 300)];
    let stream: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    let replies: Vec<u8> = queries.iter().flat_map(|query| reply_to(query, 0)).collect();
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let mut bench = Bench::new();
            bench.receive(&stream[..first]);
            bench.receive(&stream[first..second]);
            bench.receive(&stream[second..]);
            assert_eq!(bench.conn.unsent(), replies, "split at {first} and {second}");
            assert_eq!((bench.conn.held.capacity(), bench.conn.message_since), (0, None));
        }
    }
    let mut bench = Bench::new();
    stream.iter().for_each(|byte| bench.receive(&[*byte]));
    assert_eq!(bench.conn.unsent(), replies);
}

#[test]
fn a_message_has_its_time_from_its_first_byte_however_it_drips() {
    let stream = framed(&query(7, 41));
    let mut bench = Bench::new();
    bench.pass(9_900);
    for byte in &stream[..20] {
        assert_eq!(bench.overdue(), None);
        bench.receive(&[*byte]);
        bench.pass(100);
    }
    assert_eq!(bench.overdue(), Some(Closed::Message));
    assert!(bench.asked.is_empty());
}

#[test]
fn the_next_message_has_a_time_of_its_own() {
    let stream = [framed(&query(7, 41)), framed(&query(8, 41))].concat();
    let mut bench = Bench::new();
    bench.receive(&stream[..42]);
    bench.pass(1_999);
    bench.receive(&stream[42..50]);
    assert_eq!(bench.asked.len(), 1);
    bench.take_all();
    bench.pass(1_999);
    assert_eq!(bench.overdue(), None);
    bench.pass(1);
    assert_eq!(bench.overdue(), Some(Closed::Message));
}

#[test]
fn idle_time_counts_from_the_accept_and_from_the_last_answer_taken() {
    let mut bench = Bench::new();
    bench.pass(9_999);
    assert_eq!(bench.overdue(), None);
    bench.receive(&framed(&query(1, 41)));
    bench.pass(5_000);
    assert_eq!(bench.overdue(), None);
    bench.take_all();
    bench.pass(9_999);
    assert_eq!(bench.overdue(), None);
    bench.pass(1);
    assert_eq!(bench.overdue(), Some(Closed::Idle));
}

#[test]
fn a_length_under_12_ends_the_connection_behind_the_answers_due() {
    for len in 0..HEADER_LEN as u16 {
        let mut bench = Bench::new();
        bench.receive(&framed(&query(1, 41)));
        bench.receive(&len.to_be_bytes()[..1]);
        assert!(bench.conn.wants_input());
        bench.receive(&len.to_be_bytes()[1..]);
        assert!(!bench.conn.wants_input(), "length {len}");
        bench.receive(&framed(&query(2, 41)));
        assert_eq!((bench.ending(), bench.asked.len()), (None, 1));
        bench.take_all();
        assert_eq!(bench.taken, reply_to(&query(1, 41), 0));
        assert_eq!((bench.ending(), bench.ending()), (Some(Ending::Fin), None));
    }
}

#[test]
fn a_connection_lingers_until_the_client_ends_or_the_time_of_a_message_is_over() {
    for client_ends in [true, false] {
        let mut bench = Bench::new();
        bench.receive(&[0, 0]);
        assert_eq!(bench.ending(), Some(Ending::Fin));
        assert!(bench.conn.wants_input());
        for _ in 0..100 {
            bench.receive(&[0; 10_000]);
        }
        assert_eq!((bench.conn.buffered(), bench.asked.len()), (0, 0));
        if client_ends {
            bench.conn.end_input();
            assert_eq!(bench.ending(), Some(Ending::Close(Closed::Protocol)));
        } else {
            assert_eq!(bench.overdue(), None);
            bench.pass(2_000);
            assert_eq!(bench.overdue(), Some(Closed::Protocol));
        }
        assert_eq!(bench.conn.failed(), Closed::Protocol);
    }
}

#[test]
fn after_a_drop_verdict_nothing_is_answered_and_what_was_due_is_sent() {
    let mut response = query(2, 41);
    response[2] = 0x80;
    let stream = [query(1, 41), response, query(3, 41)].map(|message| framed(&message)).concat();
    let mut bench = Bench::new();
    bench.receive(&stream);
    assert_eq!((bench.asked.len(), bench.conn.failed()), (2, Closed::Failed));
    bench.take_all();
    assert_eq!(bench.taken, reply_to(&query(1, 41), 0));
    assert_eq!(bench.ending(), Some(Ending::Fin));
}

#[test]
fn a_message_that_is_too_long_is_cut_and_the_next_one_is_found_behind_it() {
    for len in [2047, 2048, 2049, 2050, 2051, 2052, 4096, 65_534, 65_535] {
        for chunk in [1, 2, 1000, 2051, 2052, 16_384, usize::MAX] {
            let (long, good) = (query(1, len), query(2, 41));
            let stream = [framed(&long), framed(&good)].concat();
            let mut bench = Bench::new();
            for bytes in stream.chunks(chunk.min(stream.len())) {
                bench.receive(bytes);
                assert!(bench.conn.held.capacity() <= PREFIX_LEN + MESSAGE_LEN_KEPT);
            }
            assert_eq!(bench.asked, [&long[..len.min(MESSAGE_LEN_KEPT)], &good[..]], "{len} in {chunk}");
            assert_eq!(bench.conn.unsent(), [reply_to(&long, 0), reply_to(&good, 0)].concat());
            assert_eq!(bench.conn.skipped, 0);
        }
    }
}

#[test]
fn half_close_is_answered_then_closed_and_an_incomplete_message_is_lost() {
    for rest in [&[][..], &[0], &[0, 41, 1, 2, 3]] {
        let mut bench = Bench::new();
        bench.receive(&[framed(&query(1, 41)), rest.to_vec()].concat());
        bench.conn.end_input();
        assert_eq!((bench.ending(), bench.conn.wants_input()), (None, false));
        assert_eq!(bench.overdue(), None);
        bench.take_all();
        assert_eq!(bench.taken, reply_to(&query(1, 41), 0));
        assert_eq!(bench.ending(), Some(Ending::Close(Closed::Client)));
    }
}

#[test]
fn unsent_answers_stop_the_reading_and_nothing_is_lost() {
    let queries: Vec<_> = (0..400).map(|id| query(id, 41)).collect();
    let stream: Vec<u8> = queries.iter().flat_map(|query| framed(query)).collect();
    let replies: Vec<u8> = queries.iter().flat_map(|query| reply_to(query, 1000)).collect();
    let mut bench = Bench { padding: 1000, ..Bench::new() };
    bench.receive(&stream);
    let reply_len = 2 + 41 + 1000;
    assert_eq!(bench.conn.unsent().len(), TCP_UNSENT_LEN_MAX.next_multiple_of(reply_len));
    assert!(!bench.conn.wants_input());
    // No byte came that could be late: a message held back has no deadline, only the answers have.
    bench.pass(9_999);
    assert_eq!(bench.overdue(), None);
    bench.take(1);
    bench.pass(9_999);
    assert_eq!(bench.overdue(), None);
    bench.pass(1);
    assert_eq!(bench.overdue(), Some(Closed::Unread));
    bench.take(reply_len);
    assert_eq!(bench.asked.len(), TCP_UNSENT_LEN_MAX.div_ceil(reply_len) + 1);
    while bench.taken.len() < replies.len() {
        bench.take(777);
        assert!(bench.conn.buffered() < 3 * TCP_UNSENT_LEN_MAX);
    }
    assert!(bench.taken == replies);
    assert!(bench.conn.wants_input());
    assert_eq!(bench.conn.buffered(), 0);
}

#[test]
fn a_connection_that_rests_holds_nothing() {
    let mut bench = Bench { padding: 60_000, ..Bench::new() };
    bench.receive(&framed(&query(1, 41)));
    assert!(bench.conn.buffered() > 60_000);
    bench.take(60_000);
    assert!(bench.conn.buffered() <= 2 * bench.conn.unsent().len(), "it holds little more than what is due");
    bench.take_all();
    assert_eq!(bench.conn.buffered(), 0);
}

/// What the client takes at once never leaves the buffer that is lent: whoever is asked next has the same.
#[test]
fn answers_that_are_taken_at_once_need_no_buffer() {
    let mut bench = Bench::new();
    bench.receive(&framed(&query(1, 500)));
    bench.take_all();
    let lent = bench.output.as_ptr();
    for id in 0..100 {
        let (now, query) = (bench.now, framed(&query(id, 41)));
        bench.with(|conn, slot, mut answer| {
            conn.receive(&query, now, slot, &mut answer);
            assert_eq!(conn.unsent().as_ptr(), lent);
            conn.sent(conn.unsent().len(), now);
        });
        assert_eq!((bench.conn.buffered(), bench.output.as_ptr()), (0, lent));
    }
}

#[test]
fn those_who_make_room_are_ranked() {
    let mut bench = Bench::new();
    bench.pass(1);
    let rested = Conn::new(bench.now);
    let mut partial = Conn::new(bench.now - Duration::from_millis(1));
    let mut never = |_: &mut [u8], _: usize| -> Verdict { panic!("no message is whole") };
    partial.receive(&[0], bench.now + Duration::from_secs(5), &mut bench.slot, &mut never);
    let mut lingers = Conn::new(bench.now + Duration::from_secs(1));
    lingers.receive(&[0, 0], bench.now, &mut bench.slot, &mut never);
    lingers.ending(bench.now);
    let mut unsent = Conn::new(bench.now - Duration::from_secs(1));
    unsent.push(&[0; 12], bench.now);
    assert!(lingers.rank() < partial.rank());
    assert!(partial.rank() < rested.rank());
    assert!(rested.rank() < unsent.rank());
}

#[test]
fn random_chunks_and_random_takes_give_what_whole_messages_give() {
    let mut random = Random::new();
    let mut steps = 0;
    while steps < 300_000 {
        let mut bench = Bench { padding: random.len(1000), ..Bench::new() };
        let messages: Vec<_> = (0..random.below(300) as u16)
            .map(|id| query(id, HEADER_LEN + random.len(65_535 - HEADER_LEN)))
            .collect();
        let stream: Vec<u8> = messages.iter().flat_map(|message| framed(message)).collect();
        let mut rest = &stream[..];
        while !rest.is_empty() || bench.conn.stalled {
            steps += 1;
            if bench.conn.wants_input() {
                let len = (1 + random.len(16_383)).min(rest.len());
                bench.receive(&rest[..len]);
                rest = &rest[len..];
            }
            if random.below(4) == 0 {
                let len = random.len(65_536);
                bench.take(len);
            }
        }
        bench.take_all();
        assert!(bench.asked.iter().eq(messages.iter().map(|m| &m[..m.len().min(MESSAGE_LEN_KEPT)])));
        let replies: Vec<u8> = messages.iter().flat_map(|m| reply_to(m, bench.padding)).collect();
        assert!(bench.taken == replies);
        assert_eq!((bench.conn.held.len(), bench.overdue()), (0, None));
    }
}

#[test]
fn hostile_bytes_do_no_harm() {
    let mut random = Random::new();
    let held_len_max = PREFIX_LEN + MESSAGE_LEN_KEPT + 16_384;
    // A vector that grows by doubling has at most twice the capacity that it needs.
    let buffered_max = held_len_max + 2 * (TCP_UNSENT_LEN_MAX + PREFIX_LEN + TCP_REPLY_LEN_MAX);
    let mut endings = 0;
    for _ in 0..2_000 {
        let mut bench = Bench { padding: random.len(50_000), ..Bench::new() };
        for _ in 0..200 {
            match random.below(8) {
                0 => bench.take(random.len(65_536)),
                1 => bench.pass(random.len(3_000) as u64),
                2 if random.below(20) == 0 => bench.conn.end_input(),
                _ if bench.conn.wants_input() => {
                    let len = random.len(16_384);
                    let mut bytes = random.bytes(len);
                    // Lengths that end soon, and no QR bit, let some streams live longer.
                    if random.below(3) > 0 {
                        bytes.iter_mut().for_each(|byte| *byte &= 0x0F);
                    }
                    bench.receive(&bytes);
                }
                _ => {}
            }
            assert!(bench.conn.buffered() <= buffered_max, "{} bytes", bench.conn.buffered());
            bench.overdue();
            endings += usize::from(bench.ending().is_some());
        }
        bench.pass(20_000);
        bench.take_all();
        bench.ending();
        bench.pass(20_000);
        let over = bench.overdue().is_some() || bench.conn.input_ended;
        assert!(over, "every connection comes to an end: {:?}", bench.conn);
    }
    assert!(endings > 500, "{endings} streams had an end of their own");
}
