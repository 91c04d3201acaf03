//! What options of a query do to its reply: the client subnet and the cookie.

use super::{Service, Verdict};
use crate::dns::arrival::{Arrival, Pace};
use crate::dns::consts::rcode;
use crate::dns::cookie;
use crate::dns::edns::{COOKIE_OPTION_LEN, Opt, OptReply, Span};
use crate::dns::name::Damaged;
use crate::dns::query::{Query, Question, client_subnet};
use crate::dns::reply::Reply;
use crate::stats::account::Account;
use crate::stats::client::Client;
use crate::tailor::Choice;

impl Service<'_> {
    /// Takes the options of a query that go into the OPT of its reply, of one that was answered before:
    /// nothing of it is counted.
    pub(super) fn takes_options_again(&mut self, slot: &[u8], opt: &Opt, records_at: usize) {
        let mut account = Account::default();
        if opt.subnet.is_some() {
            self.takes_subnet(slot, opt, records_at, &mut account);
        }
        if let Some(span) = opt.cookie {
            self.takes_cookie(slot, span, &mut account);
        }
    }

    /// Notes the client subnet, which every reply has then (RFC 7871, sections 7.2.1 and 12.1): SCOPE is 0 as
    /// long as nobody chooses by it. Returns whether it is sound, or nobody looks at it.
    #[inline(never)]
    pub(super) fn takes_subnet(
        &mut self,
        slot: &[u8],
        opt: &Opt,
        records_at: usize,
        account: &mut Account,
    ) -> bool {
        if self.snapshot.tailor.is_none() {
            return true;
        }
        match client_subnet(slot, opt, records_at) {
            Ok(Some(subnet)) => {
                account.client = Some(Client::with(&subnet));
                self.inserted_len += subnet.option_len();
                self.subnet = Some(subnet);
                true
            }
            Ok(None) => true,
            Err(Damaged) => {
                account.client = Some(Client::with_unsound());
                false
            }
        }
    }

    /// Notes what was chosen from a pool: what is counted of it, and for whom the reply holds (SCOPE).
    pub(in crate::serve) fn note_choice(&mut self, pool: u16, choice: &Choice, account: &mut Account) {
        let client = account.client.get_or_insert_default();
        client.result = choice.subnet as u8;
        client.tailored = Some(self.snapshot.tailored(pool, choice));
        self.set_scope(choice.scope, account);
    }

    /// Notes for whom the reply holds, if its query has a client subnet.
    pub(in crate::serve) fn set_scope(&mut self, scope: u8, account: &mut Account) {
        if let Some(subnet) = &mut self.subnet {
            subnet.set_scope(scope);
            let prefixes = account.client.as_mut().and_then(|client| client.subnet.as_mut());
            prefixes.into_iter().for_each(|prefixes| prefixes.scope = scope);
        }
    }

    /// The reply holds for the client's subnet, and perhaps for nobody else.
    pub(in crate::serve) fn narrow_to_subnet(&mut self) {
        if let Some(subnet) = &mut self.subnet {
            subnet.set_scope(subnet.source());
        }
    }

    /// FORMERR, with an OPT that does not have the client subnet: without one a resolver would conclude that
    /// we have no EDNS (RFC 6891, section 7).
    #[cold]
    pub(super) fn unsound_subnet(
        &mut self,
        slot: &mut [u8],
        query: &Query,
        opt: &Opt,
        account: &mut Account,
    ) -> Verdict {
        if let Some(span) = opt.cookie
            && !self.takes_cookie(slot, span, account)
        {
            return self.malformed_cookie(slot, &query.question, opt);
        }
        if self.arrival.pace != Pace::Within
            && let Some(verdict) = self.over_limit(slot, query, account)
        {
            return verdict;
        }
        let reply = Reply::with_question(slot, &self.header, query.question.end).rcode(rcode::FORMERR);
        self.finish(reply, Some(&self.opt(opt)))
    }

    /// Makes the cookie of the reply where cookies are on. Returns whether that of the query is well-formed,
    /// or nobody looks at it.
    #[inline]
    pub(super) fn takes_cookie(&mut self, slot: &[u8], span: Span, account: &mut Account) -> bool {
        let Some(cookies) = &self.snapshot.cookies else { return true };
        let (at, len) = (usize::from(span.at), usize::from(span.len));
        let is_well_formed = cookie::is_well_formed(len);
        if is_well_formed {
            let received = slot.get(at..at + len).unwrap_or_default();
            let Arrival { peer, unix_time, .. } = *self.arrival;
            let (cookie, standing) = cookies.secrets.answer(received, peer.ip(), unix_time);
            account.cookie = Some(standing);
            if !cookies.dry_run {
                self.cookie = Some(cookie);
                self.inserted_len += COOKIE_OPTION_LEN;
            }
        }
        is_well_formed || cookies.dry_run
    }

    #[cold]
    pub(super) fn malformed_cookie(&self, slot: &mut [u8], question: &Question, opt: &Opt) -> Verdict {
        let reply = Reply::with_question(slot, &self.header, question.end).rcode(rcode::FORMERR);
        self.finish(reply, Some(&self.bare_opt(opt)))
    }

    /// Inserts the client subnet and the cookie into `opt`, which was appended last.
    #[cold]
    pub(super) fn insert(&self, reply: &mut Reply<'_>, opt: &OptReply<'_>) {
        let mut opt_len = opt.len();
        if let Some(subnet) = &self.subnet {
            reply.subnet(opt, subnet);
            opt_len += subnet.option_len();
        }
        if let Some(cookie) = &self.cookie {
            reply.cookie(opt_len, cookie);
        }
    }
}
