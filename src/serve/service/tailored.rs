//! Answers that depend on who asks: the addresses of the PoP that is chosen for a client, and aliases that
//! lead to such names.

use super::{Service, Verdict};
use crate::answer::dname::{self, End};
use crate::answer::{Kind, RuleRef, Set};
use crate::dns::arrival::Transport;
use crate::dns::consts::{HEADER_LEN, flag, rcode, rtype};
use crate::dns::query::{Query, Question};
use crate::dns::reply::Reply;
use crate::dns::u16_at;
use crate::stats::account::Account;
use crate::tailor::Asking;

impl<'a> Service<'a> {
    /// The answer where it is not ready: the suffix of the name that begins at `node_start` has `rule`.
    #[cold]
    pub(super) fn at_run_time(
        &mut self,
        slot: &mut [u8],
        query: &Query,
        rule: RuleRef<'a>,
        node_start: usize,
        account: &mut Account,
    ) -> Verdict {
        let RuleRef::Set(set) = rule else { return self.chain(slot, query, account) };
        if set.kind().is_beacon() {
            account.client.get_or_insert_default().is_beacon = true;
            if self.snapshot.beacons_over_tcp && !self.is_over_tcp() {
                return Verdict::Reply(self.truncated(slot, query));
            }
        }
        let qtype = query.question.qtype;
        let is_followed = matches!(set.kind(), Kind::Followed { .. });
        if is_followed && qtype != rtype::CNAME && qtype != rtype::ANY {
            return self.chain(slot, query, account);
        }
        let end = self.suited(set, &Asked::new(slot, &query.question), account);
        self.reply_with(slot, query, &end, HEADER_LEN + node_start)
    }

    /// What a set has for whoever asks. Where that is not ready, it is noted for whom it holds.
    fn suited(&mut self, set: &'a Set, asked: &Asked, account: &mut Account) -> End<'a> {
        let (snapshot, over_tcp) = (self.snapshot, self.is_over_tcp());
        let answers = &snapshot.answers;
        let ready = || End { tail: Some(answers.select(set, asked.qtype, over_tcp)), ..End::default() };
        match (set.kind(), &snapshot.tailor) {
            (Kind::Tailored { pool, .. }, Some(tailor)) => {
                let Some(variants) = answers.variants(set, asked.qtype, over_tcp) else { return ready() };
                if asked.is_alias && self.subnet.is_some() {
                    return End::default();
                }
                let asking =
                    Asking { peer: self.arrival.peer.ip().to_canonical(), id: asked.id, subnet: self.subnet };
                let choice = tailor.choose(pool, &asking);
                self.note_choice(pool, &choice, account);
                // All sets of a name stay in their order.
                let turn = if asked.qtype == rtype::ANY { 0 } else { asking.hash() as u16 };
                let tail = Some(answers.variant(variants, choice.variant));
                End { tail, turn, ..End::default() }
            }
            (Kind::Identity, _) => self.identity(asked, ready(), account),
            _ => ready(),
        }
    }

    /// Replies with what is made for whoever asks.
    fn reply_with(&self, slot: &mut [u8], query: &Query, end: &End<'_>, node_at: usize) -> Verdict {
        let Query { question, opt, .. } = query;
        let opt_reply = opt.as_ref().map(|opt| self.opt(opt));
        let room = self.room(opt.as_ref(), opt_reply.as_ref());
        let rcode = end.tail.map_or(rcode::NOERROR, |tail| tail.head.rcode());
        let mut reply = Reply::with_question(slot, &self.header, question.end).rcode(rcode);
        if end.tail.is_none_or(|tail| tail.head.is_authoritative()) {
            reply.set(flag::AA);
        }
        let made_len = end.records.as_ref().map_or(0, |records| records.len());
        if question.end + end.tail.map_or(0, |tail| tail.len()) + made_len > room {
            reply.set(flag::TC);
            return self.finish(reply, opt_reply.as_ref());
        }
        if let Some(tail) = end.tail {
            self.snapshot.answers.write(&mut reply, tail, node_at, HEADER_LEN);
            if end.turn != 0 {
                reply.turn(question.end, tail.answers(), end.turn);
            }
        }
        if let Some(records) = &end.records {
            records.write(&mut reply, HEADER_LEN);
        }
        self.finish(reply, opt_reply.as_ref())
    }

    /// Replies with an answer that is assembled at run time: aliases are followed. To a query with a client
    /// subnet a chain ends before a name whose answer depends on who asks: SCOPE would be of that answer
    /// alone, and a cache has it for all of them (RFC 7871, section 7.2.1).
    fn chain(&mut self, slot: &mut [u8], query: &Query, account: &mut Account) -> Verdict {
        let Query { question, opt, .. } = query;
        let asked = Asked { is_alias: true, ..Asked::new(slot, question) };
        let room = self.room(opt.as_ref(), opt.as_ref().map(|opt| self.opt(opt)).as_ref());
        let (header, snapshot) = (self.header, self.snapshot);
        let over_tcp = self.is_over_tcp();
        let mut reply = Reply::with_question(slot, &header, question.end);
        let ends = |set: &'a Set| self.suited(set, &asked, account);
        let ending = dname::follow(&snapshot.answers, &mut reply, question, over_tcp, room, ends);
        if !ending.fits {
            reply = Reply::with_question(slot, &header, question.end);
            reply.set(flag::TC);
        }
        reply.set(flag::AA);
        let opt_reply = opt.as_ref().map(|opt| self.opt(opt));
        self.finish(reply.rcode(ending.rcode), opt_reply.as_ref())
    }

    pub(super) fn is_over_tcp(&self) -> bool {
        self.arrival.transport != Transport::Udp
    }
}

/// What is asked, as far as answers that depend on who asks need it.
pub(super) struct Asked {
    pub(super) qtype: u16,
    /// The ID of the query.
    pub(super) id: u16,
    /// An alias leads there.
    pub(super) is_alias: bool,
}

impl Asked {
    fn new(slot: &[u8], question: &Question) -> Self {
        Self { qtype: question.qtype, id: u16_at(slot, 0).unwrap_or(0), is_alias: false }
    }
}
