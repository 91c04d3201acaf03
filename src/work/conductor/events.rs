//! What happens to questions: responses, errors, time.

use std::net::SocketAddr;

use super::choose::Pick;
use super::exchange::{Progress, Try, Via};
use super::judge::{Judged, Sent, Verdict, judge};
use super::network::{Network, Port, TryKey};
use super::server::micros;
use super::table::{Manner, Place, Table, Turn, answered_place, key};
use super::wheel::Micros;
use crate::dns::consts::HEADER_LEN;
use crate::dns::u16_at;
use crate::limits::{ERROR_KEPT_LEN_MAX, LATE_WAIT};
use crate::policy::facts::Outcome;
use crate::stats::counters::{UPSTREAM_FORGED, UPSTREAM_RTT, UPSTREAM_RTT_SUM};
use crate::stats::labels::{
    FORGED_ID, TRIAL_ANSWERED, TRIAL_ERROR, TRIAL_LATE, TRIAL_MALFORMED, TRIAL_TIMEOUT, TRIAL_TRUNCATED,
    TRIAL_UNREACHABLE, rtt_bin,
};

impl Table {
    /// A datagram came to one of our ports.
    pub(super) fn datagram<N: Network>(
        &mut self,
        port: Port,
        from: SocketAddr,
        message: &mut [u8],
        turn: &mut Turn<'_, N>,
    ) {
        let Some(id) = u16_at(message, 0) else { return self.forged(port, FORGED_ID, turn) };
        let Some(&Place { exchange: at, nth }) = self.ids.get(&key(port, id)) else {
            let (answered, server) = self.answered[answered_place(key(port, id))];
            if answered == key(port, id) && self.directory.is_at(server, from) {
                // What comes twice was not guessed.
                return turn.ledger.count(UPSTREAM_FORGED.at([FORGED_ID]));
            }
            return self.forged(port, FORGED_ID, turn);
        };
        let nth = usize::from(nth);
        if !self.directory.is_at(self.exchanges[at as usize].tries[nth].server, from) {
            return self.forged(port, FORGED_ID, turn);
        }
        self.response(at, nth, message, turn);
    }

    /// A message came over a connection, in answer to this try.
    pub(super) fn message<N: Network>(&mut self, key: TryKey, message: &mut [u8], turn: &mut Turn<'_, N>) {
        if let Some((at, nth)) = self.find(key) {
            self.response(at, nth, message, turn);
        }
    }

    /// Where a try over a connection is, if anybody cares about it still.
    fn find(&self, key: TryKey) -> Option<(u32, usize)> {
        let exchange = self.exchanges.get(key.exchange as usize)?;
        let nth = usize::from(key.nth);
        let is_there = exchange.in_use && exchange.generation == key.generation;
        let is_open = exchange.tries.get(nth).is_some_and(|one| one.progress != Progress::Done);
        (is_there && is_open).then_some((key.exchange, nth))
    }

    /// Counts what answers no query. A port that gets much of it is left, and what waits there is asked
    /// over TCP.
    fn forged<N: Network>(&mut self, port: Port, what: usize, turn: &mut Turn<'_, N>) {
        turn.ledger.count(UPSTREAM_FORGED.at([what]));
        if !turn.net.forged(port) {
            return;
        }
        for at in 0..self.exchanges.len() as u32 {
            let waits_there = |one: &Try| {
                let is_there = matches!(one.via, Via::Udp { port: there, .. } if there == port);
                is_there && one.progress == Progress::Waiting
            };
            let tries = &self.exchanges[at as usize].tries;
            if let Some(nth) = tries.iter().position(waits_there) {
                self.over_stream(at, nth, turn);
            }
        }
    }

    /// Asks the server of a try once more over a connection. The try itself may still be answered.
    fn over_stream<N: Network>(&mut self, at: u32, nth: usize, turn: &mut Turn<'_, N>) {
        let exchange = &self.exchanges[at as usize];
        let one = exchange.tries[nth];
        let is_asked = |other: &Try| {
            matches!(other.via, Via::Stream) && other.place == one.place && other.progress != Progress::Done
        };
        if !exchange.is_over && !exchange.tries.iter().any(is_asked) {
            self.again(at, nth, Manner { is_stream: true, is_plain: !one.has_edns }, turn);
        }
    }

    /// Asks the server of a try once more.
    fn again<N: Network>(&mut self, at: u32, nth: usize, manner: Manner, turn: &mut Turn<'_, N>) {
        let place = usize::from(self.exchanges[at as usize].tries[nth].place);
        if self.exchanges[at as usize].is_over {
            return self.end_if_settled(at, turn);
        }
        if self.try_at(at, Pick { place, is_probe: false }, manner, turn) {
            self.set_timer(at);
        } else {
            self.go_on(at, turn);
        }
    }

    /// A message from the server of a try, with its ID.
    fn response<N: Network>(&mut self, at: u32, nth: usize, message: &mut [u8], turn: &mut Turn<'_, N>) {
        let exchange = &self.exchanges[at as usize];
        let one = exchange.tries[nth];
        let target = self.directory.target(exchange.target);
        let server = &self.directory.known[one.server as usize];
        let sent = Sent {
            qname: &exchange.qname,
            asked: &exchange.asked,
            is_case_random: target.is_case_random,
            has_edns: one.has_edns,
            cookie: one.has_cookie.then_some(&server.client_cookie),
            has_server_cookie: one.has_server_cookie,
            is_stream: one.via == Via::Stream,
        };
        let Judged { verdict, has_edns, server_cookie } = judge(message, &sent);
        match (verdict, one.via) {
            (Verdict::Forged(what), Via::Udp { port, .. }) => return self.forged(port, what, turn),
            (Verdict::Doubtful(what), _) => {
                turn.ledger.count(UPSTREAM_FORGED.at([what]));
                return self.over_stream(at, nth, turn);
            }
            _ => {}
        }
        let server = self.directory.server_mut(one.server);
        if has_edns {
            server.edns_seen();
        }
        if !server_cookie.is_empty() {
            server.keep_cookie(server_cookie);
        } else if one.has_server_cookie
            && one.via == Via::Stream
            && matches!(verdict, Verdict::Answer | Verdict::Error)
        {
            // It has forgotten cookies: that is certain over a connection.
            server.keep_cookie(&[]);
        }
        let is_bad = matches!(verdict, Verdict::Malformed | Verdict::Forged(_));
        let took = turn.now.saturating_sub(one.sent);
        if is_bad {
            server.failed(turn.now, one.is_probe);
        } else {
            // To say "cut" is as good an answer as any.
            let is_good = !matches!(verdict, Verdict::Error);
            let is_late = one.progress == Progress::Overdue;
            // What a stopped server answers at last says nothing of the way to it.
            let is_timed = one.is_timed && took <= micros(LATE_WAIT);
            server.answered(is_timed.then_some(took), is_good, is_late, turn.now);
            if one.is_plain_again && verdict == Verdict::Answer {
                server.edns_refused(turn.now);
            }
        }
        self.settle(at, nth, turn);
        let trial = match verdict {
            Verdict::Malformed | Verdict::Forged(_) | Verdict::Doubtful(_) => TRIAL_MALFORMED,
            _ if self.exchanges[at as usize].is_over && !self.exchanges[at as usize].is_copy => TRIAL_LATE,
            Verdict::Truncated => TRIAL_TRUNCATED,
            Verdict::WithoutEdns | Verdict::BadCookie | Verdict::Error => TRIAL_ERROR,
            Verdict::Answer => TRIAL_ANSWERED,
        };
        self.count(at, one.place, trial, turn);
        if !is_bad {
            self.count_time(at, one.place, took, turn);
        }
        self.act(at, nth, verdict, message, took, turn);
    }

    fn count_time<N: Network>(&self, at: u32, place: u8, took: Micros, turn: &mut Turn<'_, N>) {
        let target = self.directory.target(self.exchanges[at as usize].target);
        let label = usize::from(target.labels[usize::from(place)]);
        turn.ledger.count(UPSTREAM_RTT.at([label, rtt_bin(took)]));
        turn.ledger.add(UPSTREAM_RTT_SUM.at([label]), u32::try_from(took).unwrap_or(u32::MAX));
    }

    /// Does what a verdict asks for.
    fn act<N: Network>(
        &mut self,
        at: u32,
        nth: usize,
        verdict: Verdict,
        message: &mut [u8],
        took: Micros,
        turn: &mut Turn<'_, N>,
    ) {
        let exchange = &mut self.exchanges[at as usize];
        let one = exchange.tries[nth];
        if exchange.is_over {
            return self.end_if_settled(at, turn);
        }
        match verdict {
            Verdict::Answer => self.end(at, Outcome::Ok, message, one.place, took, turn),
            Verdict::Truncated => {
                self.again(at, nth, Manner { is_stream: true, is_plain: !one.has_edns }, turn);
            }
            Verdict::WithoutEdns => {
                self.again(at, nth, Manner { is_stream: one.via == Via::Stream, is_plain: true }, turn);
            }
            Verdict::BadCookie if exchange.bad_cookies < 2 => {
                // "SHOULD retry the request using TCP" when a new cookie is no help (RFC 7873, section 5.3).
                let is_stream = exchange.bad_cookies > 0 || one.via == Via::Stream;
                exchange.bad_cookies += 1;
                self.again(at, nth, Manner { is_stream, is_plain: false }, turn);
            }
            Verdict::Error | Verdict::BadCookie => {
                let kept = if message.len() <= ERROR_KEPT_LEN_MAX {
                    &mut *message
                } else {
                    without_records(message, exchange.qname.len())
                };
                exchange.error.clear();
                exchange.error.extend_from_slice(kept);
                (exchange.error_place, exchange.error_rtt) = (one.place, took);
                self.go_on(at, turn);
            }
            Verdict::Malformed | Verdict::Forged(_) | Verdict::Doubtful(_) => {
                exchange.failures.malformed = true;
                self.go_on(at, turn);
            }
        }
    }

    /// An error came back for a datagram, with its beginning: nobody listens at that port of the server, or
    /// there is no way to it. Anybody can send errors, so it must show the ID and, as far as it goes, the
    /// name.
    pub(super) fn refused<N: Network>(
        &mut self,
        port: Port,
        to: SocketAddr,
        query: &[u8],
        turn: &mut Turn<'_, N>,
    ) {
        let Some(id) = u16_at(query, 0) else { return };
        let Some(&Place { exchange: at, nth }) = self.ids.get(&key(port, id)) else { return };
        let exchange = &self.exchanges[at as usize];
        let name = query.get(HEADER_LEN..).unwrap_or_default();
        let len = name.len().min(exchange.qname.len());
        if self.directory.is_at(exchange.tries[usize::from(nth)].server, to)
            && name[..len] == exchange.qname[..len]
        {
            self.unreachable(at, usize::from(nth), turn);
        }
    }

    /// The kernel did not take a datagram.
    pub(super) fn lost<N: Network>(&mut self, port: Port, id: u16, turn: &mut Turn<'_, N>) {
        if let Some(&Place { exchange, nth }) = self.ids.get(&key(port, id)) {
            self.unreachable(exchange, usize::from(nth), turn);
        }
    }

    /// A connection has ended before its answer to this try. One that has answered others may just have been
    /// closed at rest: then the same server is asked again, and it does not count.
    pub(super) fn given_back<N: Network>(&mut self, key: TryKey, was_useful: bool, turn: &mut Turn<'_, N>) {
        let Some((at, nth)) = self.find(key) else { return };
        if !was_useful {
            return self.unreachable(at, nth, turn);
        }
        let one = self.lose(at, nth, turn);
        if one.is_probe {
            self.directory.server_mut(one.server).probe_given_up(turn.now);
        }
        self.again(at, nth, Manner { is_stream: true, is_plain: !one.has_edns }, turn);
    }

    fn unreachable<N: Network>(&mut self, at: u32, nth: usize, turn: &mut Turn<'_, N>) {
        let one = self.lose(at, nth, turn);
        let is_here = self.directory.address(one.server).socket.ip().is_loopback();
        self.directory.server_mut(one.server).refused(turn.now, one.is_probe, is_here);
        self.go_on(at, turn);
    }

    /// Settles and counts a try that will have no answer.
    fn lose<N: Network>(&mut self, at: u32, nth: usize, turn: &mut Turn<'_, N>) -> Try {
        let one = self.exchanges[at as usize].tries[nth];
        self.settle(at, nth, turn);
        // On a busy machine errors come late too: those who waited have been told of a time-out.
        let trial = if one.progress == Progress::Overdue { TRIAL_TIMEOUT } else { TRIAL_UNREACHABLE };
        self.count(at, one.place, trial, turn);
        one
    }

    /// Does what is due.
    pub(super) fn expire<N: Network>(&mut self, turn: &mut Turn<'_, N>) {
        while let Some(at) = self.wheel.pop(turn.now) {
            self.event(at, turn);
        }
    }

    fn event<N: Network>(&mut self, at: u32, turn: &mut Turn<'_, N>) {
        let mut is_overdue = false;
        for nth in 0..self.exchanges[at as usize].tries.len() {
            let exchange = &mut self.exchanges[at as usize];
            let one = &mut exchange.tries[nth];
            if one.progress == Progress::Waiting && one.due <= turn.now {
                one.progress = Progress::Overdue;
                exchange.failures.timed_out = true;
                is_overdue = true;
                let server = &mut self.directory.known[one.server as usize];
                server.settled();
                server.failed(turn.now, one.is_probe);
            }
        }
        self.let_go(at, turn.now);
        let exchange = &self.exchanges[at as usize];
        let is_hopeless = exchange.hope_until(self.directory.target(exchange.target).timeout) <= turn.now;
        if exchange.is_over {
            self.end_if_settled(at, turn);
        } else if exchange.waiters.is_empty() {
            self.end(at, Outcome::Timeout, &mut [], 0, 0, turn);
        } else if is_overdue || is_hopeless {
            self.go_on(at, turn);
        } else {
            self.set_timer(at);
        }
    }

    /// Those whose time is up wait no more.
    fn let_go(&mut self, at: u32, now: Micros) {
        let exchange = &mut self.exchanges[at as usize];
        if exchange.is_over || !exchange.waiters.iter().any(|&(_, deadline)| deadline <= now) {
            return;
        }
        let upstream = self.directory.target(exchange.target).upstream;
        let late =
            exchange.waiters.extract_if(.., |&mut (_, deadline)| deadline <= now).map(|(waiter, _)| waiter);
        let waiting = &mut self.waiting;
        let late = late.inspect(|waiter| waiting[waiter.0 as usize] = u32::MAX);
        let server = usize::from(exchange.last);
        self.ended.add(late, Outcome::Timeout, &[], upstream, server, std::time::Duration::ZERO);
    }
}

/// Header and question of an error that is too long to be kept.
fn without_records(message: &mut [u8], qname_len: usize) -> &mut [u8] {
    let end = (HEADER_LEN + qname_len + 4).min(message.len());
    message[6..HEADER_LEN].fill(0);
    &mut message[..end]
}
