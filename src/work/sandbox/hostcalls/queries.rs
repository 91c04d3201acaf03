//! Queries that a guest holds.

use super::super::abi::{QUERY_AT, REPLY_AT, REQUEST_AT, Refusal};
use super::super::call::Called;
use super::super::host::Finished;
use super::super::judge;
use super::super::verdict::Verdict;
use super::guest::{Answer, Guest};
use crate::stats::app_labels::BAD_REPLY_VERDICT;

impl Guest<'_> {
    pub(super) fn load(&mut self, token: i32) -> Answer {
        let held = self.host.held.get(&token.cast_unsigned()).ok_or(Refusal::NotFound)?;
        let area = self.memory.get_mut(self.host.area..).unwrap_or_default();
        let parts =
            [(REQUEST_AT, held.request.as_slice()), (QUERY_AT, held.query()), (REPLY_AT, held.reply())];
        let mut copied = 0;
        for (at, bytes) in parts {
            if let Some(there) = area.get_mut(at..at + bytes.len()) {
                there.copy_from_slice(bytes);
                copied += bytes.len();
            }
        }
        let len = held.query_len;
        self.host.charge(copied);
        Ok(i32::try_from(len).unwrap_or(i32::MAX))
    }

    pub(super) fn finish(&mut self, token: i32, verdict: i64) -> Answer {
        let query = token.cast_unsigned();
        let verdict = Verdict::read(verdict);
        if verdict == Some(Verdict::Later) {
            return Err(Refusal::Invalid.into());
        }
        let held = self.host.held.remove(&query).ok_or(Refusal::NotFound)?;
        let area = self.memory.get(self.host.area..).unwrap_or_default();
        let mut message = Vec::new();
        let about = judge::About {
            app: &held.app,
            phase: held.phase,
            query: held.query(),
            question_end: held.question_end,
        };
        let judged =
            verdict.ok_or(BAD_REPLY_VERDICT).and_then(|verdict| about.judge(verdict, area, &mut message));
        // What it takes to check a reply.
        self.host.spent += 500 + message.len() as u64;
        self.host.counts.is_any = true;
        if let Some(verdict) = verdict {
            self.host.counts.verdicts[verdict.word() as usize] += 1;
        }
        let called = judged.unwrap_or(Called::Failed);
        self.host.finished.push_back(Finished { query, called, message });
        match judged {
            Ok(_) => Ok(0),
            Err(bad) => {
                self.host.counts.bad[bad] += 1;
                Err(Refusal::Invalid.into())
            }
        }
    }
}
