//! The thread that makes lines and frames of what was copied.

use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::dnstap::{Encoder, Identity};
use super::frames::{Frames, Receiver as DnstapReceiver, Status as DnstapStatus};
use super::{Addresses, query_log};
use crate::limits::{DNSTAP_END_MAX, TAP_TICK};
use crate::log::Log;
use crate::stats::tap::Taken;

/// The query log: where lines go, and what they tell of clients.
#[derive(Debug)]
pub struct QueryLog {
    /// Where.
    pub log: Log,
    /// Of clients.
    pub addresses: Addresses,
}

/// dnstap: who gets it, and what it tells.
#[derive(Debug)]
pub struct Dnstap {
    encoder: Encoder,
    frames: Frames,
}

impl Dnstap {
    /// Frames for `receiver`, which `status` tells of. Nothing is opened yet.
    #[must_use]
    pub fn new(
        receiver: DnstapReceiver,
        identity: Identity,
        addresses: Addresses,
        status: std::sync::Arc<DnstapStatus>,
        log: Log,
    ) -> Self {
        Self { encoder: Encoder::new(identity, addresses), frames: Frames::new(receiver, status, log) }
    }
}

/// What is copied out, and what is made of it.
#[derive(Debug)]
pub struct Taps {
    /// Of each thread that answers.
    pub taken: Vec<Taken>,
    /// The query log, if there is one.
    pub query_log: Option<QueryLog>,
    /// dnstap, if somebody gets it.
    pub dnstap: Option<Dnstap>,
}

impl Taps {
    /// Looks at what is handed over until there is no more `stop`, and then once more.
    ///
    /// # Errors
    /// None: what nobody takes is dropped and counted.
    pub fn run(mut self, stop: &Receiver<()>) -> Result<(), String> {
        loop {
            let goes_on = stop.recv_timeout(TAP_TICK) == Err(RecvTimeoutError::Timeout);
            self.look(Instant::now());
            if !goes_on {
                break;
            }
        }
        if let Some(dnstap) = self.dnstap {
            dnstap.frames.end(Instant::now() + DNSTAP_END_MAX);
        }
        Ok(())
    }

    fn look(&mut self, now: Instant) {
        let Self { taken, query_log, dnstap } = self;
        if let Some(dnstap) = dnstap {
            dnstap.frames.turn(now);
        }
        for taken in taken {
            taken.take(|tapped| {
                if let Some(query_log) = query_log.as_ref().filter(|_| tapped.for_query_log) {
                    query_log.log.each("query", query_log::fields(tapped, query_log.addresses));
                }
                if let Some(dnstap) = dnstap.as_mut().filter(|_| tapped.for_dnstap) {
                    dnstap.encoder.encode(tapped, |frame| dnstap.frames.offer(frame));
                }
            });
        }
        if let Some(dnstap) = dnstap {
            dnstap.frames.turn(now);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;
    use crate::limits::SLOT_PAYLOAD_LEN;
    use crate::stats::account::Account;
    use crate::stats::ledger::{LedgerSettings, ledger};
    use crate::stats::tap::{TapSettings, Tapped};

    /// Gives `read` a query over TCP and its reply, as they are copied out.
    pub(in crate::taps) fn tapped(query: &[u8], reply: Option<&[u8]>, read: impl FnMut(&Tapped)) {
        let taps = TapSettings { query_log: Some(std::num::NonZeroU32::MIN), dnstap: None };
        let (mut ledger, mut stream) = ledger(&LedgerSettings { taps, ..LedgerSettings::default() });
        let (peer, local): (SocketAddr, SocketAddr) =
            ("[2001:db8:1:2:3::4]:40000".parse().unwrap(), "192.0.2.1:53".parse().unwrap());
        let mut slot = [0; SLOT_PAYLOAD_LEN];
        slot[..query.len()].copy_from_slice(query);
        ledger.see(&slot, query.len(), &peer, &local);
        ledger.post(&Account { transport: 1, ..Account::default() }, peer.ip(), reply);
        stream.tapped.as_mut().unwrap().take(read);
    }

    #[test]
    fn addresses_are_shortened() {
        for (address, told, ip) in [
            ("192.0.2.77", "192.0.2.0/24", "192.0.2.0"),
            ("2001:db8:1:2:3::4", "2001:db8:1::/48", "2001:db8:1::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            let short = Addresses::default().of(address);
            assert_eq!((short.to_string().as_str(), short.ip().to_string().as_str()), (told, ip));
            let whole = Addresses::Whole.of(address);
            assert_eq!((whole.ip(), whole.to_string()), (address, address.to_string()));
        }
    }
}
