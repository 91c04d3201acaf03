//! A guest that calls: its memory, what the host knows of it, and the calls that need no more than that.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use rand::Rng;

use super::super::abi::{REPLY_LEN, Refusal, SCRATCH_AT, SCRATCH_LEN};
use super::super::app::Registered;
use super::super::area::{phase_number, wrong_condition};
use super::super::host::{Host, Lines, Span, Stop};
use crate::limits::{GUEST_CONDITION_LEN_MAX, GUEST_HOOKS_MAX, GUEST_LINE_LEN_MAX};
use crate::log::Level;
use crate::policy::phase::Phase;

/// A guest that calls.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub memory: &'a mut [u8],
    pub host: &'a mut Host,
}

/// Why it does not get what it wants.
#[derive(Debug)]
pub(super) enum No {
    Refused(Refusal),
    Stop(Stop),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Stop> for No {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

pub(super) type Answer = Result<i32, No>;

impl Guest<'_> {
    /// The place of `len` bytes at `ptr`, which are the guest's.
    pub(super) fn range(&self, ptr: i32, len: i32) -> Result<Range<usize>, Stop> {
        let at = ptr.cast_unsigned() as usize;
        let end = at.checked_add(len.cast_unsigned() as usize).ok_or(Stop::Pointer)?;
        if end > self.memory.len() { Err(Stop::Pointer) } else { Ok(at..end) }
    }

    /// What stands there, if it is not longer than `most`.
    pub(super) fn bytes(&mut self, ptr: i32, len: i32, most: usize) -> Result<&[u8], No> {
        let range = self.range(ptr, len)?;
        if range.len() > most {
            return Err(Refusal::TooLong.into());
        }
        self.host.charge(range.len());
        Ok(&self.memory[range])
    }

    /// A text, of which what is too long is cut.
    fn text(&mut self, ptr: i32, len: i32) -> Result<String, Stop> {
        let mut range = self.range(ptr, len)?;
        range.end = range.end.min(range.start + GUEST_LINE_LEN_MAX);
        self.host.charge(range.len());
        // One line, whatever the guest thinks: nobody writes lines of others.
        let is_plain = |c: &char| !c.is_control();
        Ok(String::from_utf8_lossy(&self.memory[range]).chars().filter(is_plain).collect())
    }

    /// The area, which the start has found to lie within the memory.
    pub(super) fn area(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.host.area..).unwrap_or_default()
    }

    #[expect(clippy::unnecessary_wraps, reason = "as all hostcalls")]
    pub(super) fn now(&mut self) -> Result<i64, No> {
        Ok(self.host.doing.unix_ns.cast_signed())
    }

    #[expect(clippy::unnecessary_wraps, reason = "as all hostcalls")]
    pub(super) fn ticks(&mut self) -> Result<i64, No> {
        Ok(self.host.doing.ticks_ns.cast_signed())
    }

    pub(super) fn random(&mut self, ptr: i32, len: i32) -> Answer {
        let range = self.range(ptr, len)?;
        if range.len() > SCRATCH_LEN {
            return Err(Refusal::TooLong.into());
        }
        // ChaCha takes a nanosecond a byte.
        self.host.spent += range.len() as u64;
        self.host.random.fill_bytes(&mut self.memory[range]);
        Ok(0)
    }

    pub(super) fn config(&mut self, from: i32, ptr: i32, len: i32) -> Answer {
        let range = self.range(ptr, len)?;
        let app = std::sync::Arc::clone(&self.host.app);
        let rest = app.manifest.config.get(from.cast_unsigned() as usize..).ok_or(Refusal::Invalid)?;
        let len = rest.len().min(range.len());
        self.host.charge(len);
        self.memory[range.start..range.start + len].copy_from_slice(&rest[..len]);
        Ok(i32::try_from(len).unwrap_or(i32::MAX))
    }

    pub(super) fn geo(&mut self, ptr: i32, family: i32, out: i32) -> Answer {
        let out = self.range(out, 8)?;
        let len = match family {
            4 => 4,
            6 => 16,
            // Nothing is read, but a pointer may still be wrong.
            _ => {
                self.range(ptr, 0)?;
                return Err(Refusal::Invalid.into());
            }
        };
        let range = self.range(ptr, len)?;
        if !self.host.app.manifest.allow.geo {
            return Err(Refusal::Denied.into());
        }
        let bytes = &self.memory[range];
        let address = bytes.first_chunk::<16>().map_or_else(
            || bytes.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes)),
            |bytes| Some(IpAddr::from(*bytes)),
        );
        // The databases are searched bit by bit.
        self.host.spent += 1000;
        let place = address.map(|address| self.host.tools.places.look(address)).unwrap_or_default();
        if place.country.is_none() && place.asn.is_none() {
            return Err(Refusal::NotFound.into());
        }
        let [first, second] = place.country.unwrap_or_default();
        let [a, b, c, d] = place.asn.unwrap_or_default().to_le_bytes();
        self.memory[out].copy_from_slice(&[first, second, 0, 0, a, b, c, d]);
        Ok(0)
    }

    pub(super) fn hook(&mut self, phases: i32, ptr: i32, len: i32) -> Answer {
        let condition = self.bytes(ptr, len, GUEST_CONDITION_LEN_MAX)?.to_vec();
        if !self.host.doing.is_start {
            return Err(Refusal::State.into());
        }
        let condition = String::from_utf8(condition).map_err(|_| Refusal::Invalid)?;
        let phases = phases.cast_unsigned();
        let hookable = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Route);
        let bit = |phase: Phase| 1 << phase_number(phase);
        let known = hookable.clone().fold(0, |bits, phase| bits | bit(phase));
        if phases == 0 || phases & !known != 0 {
            return Err(Refusal::Invalid.into());
        }
        let allowed = &self.host.app.manifest.phases;
        if hookable.clone().any(|phase| phases & bit(phase) != 0 && !allowed.contains(&phase)) {
            return Err(Refusal::Denied.into());
        }
        let host = &mut *self.host;
        let so_far = if host.is_trial { &host.registered } else { &host.app.registered };
        let known = so_far.iter().find(|known| known.phases == phases && known.condition == condition);
        let Some(known) = known.cloned() else {
            if !host.is_trial {
                return Err(Stop::Hooks.into());
            }
            if host.registered.len() >= GUEST_HOOKS_MAX {
                return Err(Refusal::Limit.into());
            }
            host.registered.push(Registered { phases, condition, outcome: Ok(()) });
            return Err(Stop::Condition.into());
        };
        self.hooked(&known)
    }

    /// What a guest is told of a condition that was looked at.
    pub(super) fn hooked(&mut self, registered: &Registered) -> Answer {
        let Err((column, message)) = &registered.outcome else { return Ok(0) };
        let area = self.area();
        wrong_condition(area.get_mut(SCRATCH_AT..).unwrap_or_default(), *column, message);
        Err(Refusal::Invalid.into())
    }

    pub(super) fn log(&mut self, level: i32, ptr: i32, len: i32) -> Answer {
        let text = self.text(ptr, len)?;
        let level =
            usize::try_from(level).ok().and_then(|level| Level::ALL.get(level)).ok_or(Refusal::Invalid)?;
        let host = &mut *self.host;
        let now = host.doing.now;
        if now.saturating_duration_since(host.lines.since) >= Duration::from_secs(1) {
            host.lines = Lines { left: host.app.manifest.limits.log_lines, since: now };
        }
        let Some(left) = host.lines.left.checked_sub(1) else {
            host.counts.log_dropped += 1;
            return Err(Refusal::Limit.into());
        };
        host.lines.left = left;
        // A line takes what it is made of, and a place in a queue.
        host.spent += 1000;
        if let Some(logged) = &mut host.logged {
            logged.push(text);
            return Ok(0);
        }
        let line = format!("{}: {text}", host.app.manifest.name);
        match level {
            Level::Error => host.tools.log.error(line),
            Level::Warning => host.tools.log.warning(line),
            Level::Info => host.tools.log.info(line),
            Level::Debug => host.tools.log.debug(line),
        }
        Ok(0)
    }

    pub(super) fn metric(&mut self, index: i32, by: i64) -> Answer {
        let by = u32::try_from(by).map_err(|_| Refusal::Invalid)?;
        let counts = &mut self.host.counts;
        let index = usize::try_from(index).map_err(|_| Refusal::NotFound)?;
        let count = counts.metrics.get_mut(index).ok_or(Refusal::NotFound)?;
        *count = count.saturating_add(by);
        counts.is_any = true;
        Ok(0)
    }

    pub(super) fn span(&mut self, token: i32, kind: i32, ptr: i32, len: i32) -> Answer {
        let range = self.range(ptr, len)?;
        let kind = u8::try_from(kind).ok().filter(|kind| *kind <= 2).ok_or(Refusal::Invalid)?;
        let query = token.cast_unsigned();
        let host = &mut *self.host;
        let is_this = host.doing.query == Some(query);
        let (is_traced, left) = match (host.held.get_mut(&query), is_this) {
            (Some(held), _) => (held.is_traced, &mut held.spans_left),
            (None, true) => (host.doing.is_traced, &mut host.doing.spans_left),
            (None, false) => return Err(Refusal::NotFound.into()),
        };
        if !is_traced {
            return Ok(0);
        }
        *left = left.checked_sub(1).ok_or(Refusal::Limit)?;
        let label = host.app.label;
        let text = self.text(range.start as i32, range.len() as i32)?;
        self.host.spans.push_back(Span { query, label, kind, text });
        Ok(0)
    }
}

const _: () = assert!(GUEST_CONDITION_LEN_MAX <= REPLY_LEN);
