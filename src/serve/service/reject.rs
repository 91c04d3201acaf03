//! Replies to packets that are not queries, but are answered all the same.

use super::{Service, Verdict, edns};
use crate::dns::arrival::Pace;
use crate::dns::consts::{HEADER_LEN, rcode};
use crate::dns::cookie::Standing;
use crate::dns::edns::{Opt, OptReply};
use crate::dns::name::Walk;
use crate::dns::query::Reject;
use crate::dns::reply::Reply;
use crate::dns::u16_at;
use crate::serve::snapshot::UpdatePolicy;
use crate::stats::account::{Account, ZoneLabels};
use crate::stats::labels::{
    DROPPED_RATE_LIMIT, OVER_LIMIT_BADCOOKIE, OVER_LIMIT_DROPPED, OVER_LIMIT_TRUNCATED,
};

impl Service<'_> {
    /// A packet that is not a query.
    #[cold]
    pub(super) fn reject(&mut self, slot: &mut [u8], reject: &Reject, account: &mut Account) -> Verdict {
        let header = &{ self.header };
        match *reject {
            Reject::Opcode => self.finish(Reply::new(slot, header).rcode(rcode::NOTIMP), None),
            Reject::Question => self.finish(Reply::new(slot, header).rcode(rcode::FORMERR), None),
            Reject::QuestionAbsent(ref opt) => self.question_absent(slot, opt, account),
            Reject::Update { question_end } => {
                account.zone = self.zone_to_update(slot);
                let rcode = match self.snapshot.update {
                    UpdatePolicy::Refused => rcode::REFUSED,
                    UpdatePolicy::Notimp => rcode::NOTIMP,
                    UpdatePolicy::Drop => return Verdict::Drop,
                };
                self.finish(Reply::with_question(slot, header, question_end).rcode(rcode), None)
            }
            Reject::Records { question_end } => {
                account.question = question_before(slot, question_end);
                let reply = Reply::with_question(slot, header, question_end).rcode(rcode::FORMERR);
                self.finish(reply, None)
            }
            Reject::Version { question_end, opt } => {
                account.question = question_before(slot, question_end);
                account.edns = Some(edns(&opt));
                let mut reply = Reply::with_question(slot, header, question_end);
                reply.opt(&OptReply { extended_rcode: (rcode::BADVERS >> 4) as u8, ..self.bare_opt(&opt) });
                Verdict::Reply(reply.finish())
            }
        }
    }

    /// No question but an OPT. With a cookie in it, that is how a client asks for one (RFC 7873, section
    /// 5.4).
    #[cold]
    fn question_absent(&mut self, slot: &mut [u8], opt: &Opt, account: &mut Account) -> Verdict {
        account.edns = Some(edns(opt));
        let is_subnet_sound = opt.subnet.is_none() || self.takes_subnet(slot, opt, HEADER_LEN, account);
        let mut bare = opt.cookie.is_some_and(|span| !self.takes_cookie(slot, span, account));
        if self.arrival.pace != Pace::Within {
            let over = self.over(account);
            account.over_limit = Some(over as u8);
            if over == OVER_LIMIT_DROPPED {
                account.dropped = Some(DROPPED_RATE_LIMIT);
                return Verdict::Drop;
            }
            // There is nothing to truncate: it is short without the options.
            bare |= matches!(over, OVER_LIMIT_TRUNCATED | OVER_LIMIT_BADCOOKIE);
        }
        let reply = Reply::new(slot, &self.header);
        let opt_reply = match bare {
            true => self.bare_opt(opt),
            false => self.opt(opt),
        };
        if self.cookie.is_none() || !is_subnet_sound {
            return self.finish(reply.rcode(rcode::FORMERR), Some(&opt_reply));
        }
        match account.cookie {
            Some(Standing::Expired | Standing::Unknown) => self.bad_cookie(reply, opt_reply),
            _ => self.finish(reply, Some(&opt_reply)),
        }
    }

    /// The zone that an update is for.
    fn zone_to_update(&self, slot: &[u8]) -> Option<ZoneLabels> {
        let name = Walk::new(slot, HEADER_LEN).ok()?;
        Some(self.snapshot.answers.find(slot, HEADER_LEN, name)?.zone)
    }
}

/// Type and class of the question that ends at `end`.
fn question_before(slot: &[u8], end: usize) -> Option<(u16, u16)> {
    Some((u16_at(slot, end - 4)?, u16_at(slot, end - 2)?))
}
