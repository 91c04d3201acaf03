//! What is asked, and what comes of it.

use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::policy::facts::Outcome;
use crate::policy::upstream::UpstreamId;

/// Who waits for an answer: a number that the asker chooses, the smaller the better (see
/// [`WAITERS_MAX`](crate::limits::WAITERS_MAX)). It is free again when it has finished or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter(pub u32);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Whom.
    pub upstream: UpstreamId,
    /// The name in wire form, not compressed, in any letter case.
    pub qname: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The RD bit.
    pub recursion_desired: bool,
    /// The CD bit.
    pub checking_disabled: bool,
    /// The AD bit.
    pub authentic_data: bool,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The client subnet that is sent (RFC 7871): what the upstream's [`Ecs`](crate::policy::upstream::Ecs)
    /// says was applied already.
    pub subnet: Option<IpNet>,
    /// From when on nobody wants the answer.
    pub deadline: Instant,
    /// It is a copy: it neither joins others nor is joined.
    pub is_alone: bool,
    /// Something stale is at hand, so no server is asked twice, and an answer is hoped for to the deadline.
    pub is_once: bool,
}

/// What became of an [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It will finish.
    Waiting,
    /// It will finish with an equal one that was asked before.
    Joined,
    /// It will not be asked: a value of [`WORK_REFUSAL`](crate::stats::labels::WORK_REFUSAL).
    Refused(usize),
}

/// What came of asking.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// All who waited for it.
    pub waiters: &'a [Waiter],
    /// What came.
    pub outcome: Outcome,
    /// The message as received, but for the qname in its question, which is in lower case; empty without one.
    pub message: &'a [u8],
    /// Who was asked.
    pub upstream: UpstreamId,
    /// Which of its servers said so; without a message, the last one that was asked.
    pub server: usize,
    /// How long that server took.
    pub rtt: Duration,
}
