//! What replies are made of, and the making.

use crate::dns::arrival::{Arrival, Transport};
use crate::dns::consts::{flag, rcode};
use crate::dns::u16_at;
use crate::limits::TCP_REPLY_LEN_MAX;
use crate::policy::Policy;
use crate::policy::upstream::{Ecs, Over, UpstreamId};
use crate::serve::snapshot::Snapshot;
use crate::serve::{self, Made, Verdict, identity};
use crate::stats::account::Account;
use crate::work::query::Reply;

/// "Stale Answer" (RFC 8914, section 4.4).
const EDE_STALE: u16 = 3;
/// "Stale NXDOMAIN Answer" (RFC 8914, section 4.20).
const EDE_STALE_NXDOMAIN: u16 = 19;

/// What a reply may be made of.
#[derive(Debug)]
pub(super) struct Material<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) arrival: &'a Arrival,
    /// The query.
    pub(super) packet: &'a [u8],
    /// What the cache had.
    pub(super) cached: &'a mut [u8],
    /// The response without its OPT, and its response code.
    pub(super) response: &'a mut [u8],
    pub(super) rcode: u16,
    /// What an application said.
    pub(super) said: &'a [u8],
    /// Recursion is available to this query.
    pub(super) is_routed: bool,
    /// It asks whether the answer is authentic.
    pub(super) wants_authentic: bool,
    /// Who has said what the cache has, or the response.
    pub(super) upstream: Option<UpstreamId>,
}

/// Where replies are made.
#[derive(Debug)]
pub(super) struct Bench {
    slot: Box<[u8]>,
    len: usize,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { slot: vec![0; TCP_REPLY_LEN_MAX].into(), len: 0 }
    }

    /// The reply that was made last; empty if that was none.
    pub(super) fn reply(&self) -> &[u8] {
        &self.slot[..self.len]
    }

    /// This is the reply that was made last.
    pub(super) fn put(&mut self, reply: &[u8]) {
        self.len = reply.len().min(self.slot.len());
        self.slot[..self.len].copy_from_slice(&reply[..self.len]);
    }

    /// Takes all records out of the reply that was made last: its client comes back over TCP.
    pub(super) fn empty(&mut self) {
        self.len = identity::emptied(&mut self.slot, self.len);
    }

    /// Makes a reply: its response code, if there is a reply.
    pub(super) fn make(
        &mut self,
        reply: Reply,
        with: &mut Material<'_>,
        account: &mut Account,
    ) -> Option<u16> {
        let Material { snapshot, arrival, packet, rcode, .. } = *with;
        let out = &mut self.slot[..];
        let (len, code) = match reply {
            Reply::Native => {
                out[..packet.len()].copy_from_slice(packet);
                match serve::native(snapshot, arrival, out, packet.len(), account) {
                    Verdict::Reply(len) => (len, low_rcode(out)),
                    Verdict::Drop | Verdict::HandOff(_) => (0, 0),
                }
            }
            Reply::Code(code, error) => {
                let len = serve::answer_code(snapshot, arrival, packet, code, error, out);
                if with.is_routed && len > 0 {
                    out[3] |= flag::RA as u8;
                }
                (len, code)
            }
            Reply::Truncated => (serve::truncated(snapshot, arrival, packet, out), 0),
            Reply::Cached | Reply::Stale { .. } => {
                with.set_flags(Part::Cached);
                let code = low_rcode(with.cached);
                let error = stale_error(reply, code);
                let knows_subnet = with.is_of_subnet();
                let made = Made { message: with.cached, rcode: code, error, knows_subnet };
                (serve::complete(snapshot, arrival, packet, &made, out), code)
            }
            Reply::Response => {
                with.set_flags(Part::Response);
                let knows_subnet = with.is_of_subnet();
                let made = Made { message: with.response, rcode, error: None, knows_subnet };
                (serve::complete(snapshot, arrival, packet, &made, out), rcode)
            }
            Reply::App => {
                let code = low_rcode(with.said);
                // It has read the query.
                let made = Made { message: with.said, rcode: code, error: None, knows_subnet: true };
                let len = serve::complete(snapshot, arrival, packet, &made, out);
                if with.is_routed && len > 0 {
                    out[3] |= flag::RA as u8;
                }
                (len, code)
            }
            Reply::None => (0, 0),
        };
        if code > 0xF {
            account.ruled.get_or_insert_default().extended_rcode = (code >> 4) as u8;
        }
        self.len = len;
        (len > 0).then_some(code)
    }

    /// Whether the reply does not have all that there is to say.
    pub(super) fn is_truncated(&self) -> bool {
        u16_at(self.reply(), 2).is_some_and(|flags| flags & flag::TC != 0)
    }
}

#[derive(Clone, Copy)]
enum Part {
    Cached,
    Response,
}

impl Material<'_> {
    /// Whether the upstream was told the client's subnet: what it says may depend on that.
    fn is_of_subnet(&self) -> bool {
        let upstreams = self.snapshot.policy().upstreams();
        let upstream = self.upstream.and_then(|id| upstreams.get(usize::from(id)));
        upstream.is_some_and(|upstream| upstream.ecs == Ecs::Pass)
    }

    /// RA says that recursion is available to clients whose queries a route takes. AD is passed on where a
    /// client asks for it (RFC 6840, sections 5.7 and 5.8), and only from servers that cannot be spoofed.
    fn set_flags(&mut self, part: Part) {
        let is_trusted = self.upstream.is_some_and(|id| is_trusted(self.snapshot.policy(), id));
        let message = match part {
            Part::Cached => &mut *self.cached,
            Part::Response => &mut *self.response,
        };
        let Some(flags) = u16_at(message, 2) else { return };
        let mut flags = flags & !flag::RA;
        if self.is_routed {
            flags |= flag::RA;
        }
        if !(self.wants_authentic && is_trusted) {
            flags &= !flag::AD;
        }
        message[2..4].copy_from_slice(&flags.to_be_bytes());
    }
}

/// Whether what an upstream says of DNSSEC is believed: nobody can be in its place on the way.
fn is_trusted(policy: &Policy, id: UpstreamId) -> bool {
    let Some(upstream) = policy.upstreams().get(usize::from(id)) else { return false };
    let is_here = || upstream.servers.iter().all(|server| server.ip().is_loopback());
    policy.resolver() == Some(id) || matches!(upstream.over, Over::Tls { .. }) || is_here()
}

fn stale_error(reply: Reply, code: u16) -> Option<u16> {
    let is_stale = matches!(reply, Reply::Stale { .. });
    let error = if code == u16::from(rcode::NXDOMAIN) { EDE_STALE_NXDOMAIN } else { EDE_STALE };
    is_stale.then_some(error)
}

fn low_rcode(message: &[u8]) -> u16 {
    u16_at(message, 2).unwrap_or_default() & 0xF
}

/// The same arrival, but with room for the whole of an answer.
pub(super) fn with_room(arrival: &Arrival) -> Arrival {
    Arrival { transport: Transport::Tcp { keepalive: 0 }, ..*arrival }
}
