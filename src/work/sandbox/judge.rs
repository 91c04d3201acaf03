//! From a verdict to what becomes of the query: whether it may be said in the phase, and whether what the
//! guest made is taken.

use super::abi::{QUERY_AT, QUERY_LEN, REPLY_AT, REPLY_LEN};
use super::app::App;
use super::area::{QUERY_LEN_AT, REPLY_LEN_AT, u32_at};
use super::call::Called;
use super::check::{self, Bad};
use super::settings::Isolation;
use super::verdict::Verdict;
use crate::policy::phase::Phase;
use crate::stats::app_labels::BAD_REPLY_VERDICT;

/// The query that a verdict is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub app: &'a App,
    pub phase: Phase,
    pub query: &'a [u8],
    pub question_end: usize,
}

impl About<'_> {
    /// What becomes of the query; what goes with it stands in `message`.
    pub(super) fn judge(&self, verdict: Verdict, area: &[u8], message: &mut Vec<u8>) -> Result<Called, Bad> {
        if self.phase == Phase::Done {
            return Ok(Called::Pass);
        }
        if !verdict.is_allowed(self.phase) {
            return Err(BAD_REPLY_VERDICT);
        }
        let Self { app, query, question_end, .. } = *self;
        Ok(match verdict {
            Verdict::Pass => Called::Pass,
            Verdict::Reply => {
                let made = area.get(REPLY_AT..REPLY_AT + REPLY_LEN).unwrap_or_default();
                let is_authoritative = app.manifest.allow.authoritative;
                check::reply(
                    made,
                    u32_at(area, REPLY_LEN_AT),
                    query,
                    question_end,
                    is_authoritative,
                    message,
                )?;
                Called::Reply
            }
            Verdict::Code(rcode, error) => Called::Code(rcode, error),
            Verdict::Drop => Called::Drop,
            Verdict::Later if app.manifest.isolation == Isolation::Query => return Err(BAD_REPLY_VERDICT),
            Verdict::Later => Called::Later,
            Verdict::Changed => {
                let made = area.get(QUERY_AT..QUERY_AT + QUERY_LEN).unwrap_or_default();
                check::changed(made, u32_at(area, QUERY_LEN_AT), query, question_end, message)?;
                Called::Changed
            }
            Verdict::Retry(place) => Called::Retry(app.upstream(place).ok_or(BAD_REPLY_VERDICT)?),
            Verdict::Fail => Called::Failed,
        })
    }
}
