//! What a query is told, and what it says.

use std::time::Duration;

use crate::dns::consts::rcode;
use crate::policy::facts::Outcome;
use crate::policy::phase::Phase;
use crate::policy::upstream::UpstreamId;
use crate::policy::{Decision, Rule, RuleId};
use crate::work::sandbox::call::Called;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    /// It begins.
    Begin,
    /// What a phase comes to: after [`Effect::Decide`].
    Decided(Decision),
    /// What the application says: after [`Effect::Call`], or later if it holds the query.
    Called(Called),
    /// What the cache has: after [`Effect::LookUp`].
    Looked(Looked),
    /// The exchange has begun: after [`Effect::Ask`].
    Asked,
    /// Nobody can be asked, by a value of `WORK_REFUSAL`: after [`Effect::Ask`] and [`Effect::Call`].
    NotAsked(usize),
    /// The exchange has ended.
    Finished(Response),
    /// The reply is made, with this response code; or there is none: after [`Effect::Make`].
    Made(Option<u16>),
    /// That is done: after any other effect.
    Done,
    /// It is time to answer with what is stale.
    StaleDue,
    /// Its time is up; the exchange was cancelled, or the application has let it go.
    Deadline,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Ask the rules of a phase; with a rule, only those after it.
    Decide(Phase, Option<RuleId>),
    /// Ask an application, in this phase, for this rule.
    Call(Phase, RuleId, u16),
    /// Look into the cache, where it keeps what comes from this upstream; without one, what rules of phase
    /// `post-cache` have got for queries that no route takes.
    LookUp(Option<UpstreamId>),
    /// Ask this upstream.
    Ask(UpstreamId),
    /// Send a copy to this upstream, and compare, for this rule.
    Copy(RuleId, UpstreamId),
    /// Store the response where the cache was looked into.
    Store,
    /// Note there that asking has failed.
    Fail,
    /// Count that the query gets the fallback of this rule, by a value of `WORK_REFUSAL`.
    Refused(Option<RuleId>, usize),
    /// Make the reply.
    Make(Reply),
    /// Send it, if there is one, and give the job back.
    Send,
    /// Nothing, until something happens.
    Wait,
    /// Nothing: it has ended.
    End,
}

/// What the cache has for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// An answer.
    Fresh,
    /// One whose time has passed.
    Stale,
    /// One whose time has passed, and servers are not to be asked for a fresh one yet.
    Held,
    /// It is known that asking has failed a short while ago.
    Failure,
    /// Nothing.
    Miss,
}

/// What came of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// In a word.
    pub(crate) outcome: Outcome,
    /// Its response code, if there is a response.
    pub(crate) rcode: Option<u16>,
    /// How long it took.
    pub(crate) rtt: Option<Duration>,
}

impl Response {
    /// It says something of the name.
    pub(crate) fn is_answer(&self) -> bool {
        self.outcome == Outcome::Ok && !self.rcode.is_some_and(is_error)
    }
}

/// Whether a response code says that the server cannot answer, and nothing of the name.
pub(super) fn is_error(code: u16) -> bool {
    ![rcode::NOERROR, rcode::NXDOMAIN, rcode::YXDOMAIN].map(u16::from).contains(&code)
}

/// What a reply is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The node's own zones.
    Native,
    /// What the cache had when it was looked into.
    Cached,
    /// The same, but its time has passed. It is given because servers were asked in vain, or in time, if so.
    Stale {
        /// See there.
        is_tried: bool,
    },
    /// The response.
    Response,
    /// What the application said last.
    App,
    /// A response code, and what is wrong (RFC 8914).
    Code(u16, Option<u16>),
    /// The question with TC.
    Truncated,
    /// There is none.
    None,
}

/// What is asked of the policy here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<'a> {
    /// All rules.
    pub(crate) rules: &'a [Rule],
    /// The upstream that is the resolver.
    pub(crate) resolver: Option<UpstreamId>,
    /// There are rules of phase `post-cache`.
    pub(crate) has_post_cache: bool,
}

impl Rules<'_> {
    pub(super) fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id))
    }
}

/// How long queries may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// Until they get their fallback, unless their rule says otherwise.
    pub(crate) query: Duration,
    /// Until they get what is stale, if there is something.
    pub(crate) stale: Duration,
}
