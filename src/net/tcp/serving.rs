//! What connections are served with: the same [`serve`] as datagrams, and counters of their own.

use std::net::IpAddr;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::{Closed, TcpEvent, TcpHandler};
use crate::dns::arrival::Arrival;
use crate::net::drops::SocketDrops;
use crate::net::hand_over::Handed;
use crate::serve::job::{Connection, Desk, Job};
use crate::serve::published::Follower;
use crate::serve::{Verdict, serve};
use crate::stats::account::Account;
use crate::stats::counters::{
    DROPPED, TCP_ACCEPT_FAILED, TCP_ACCEPT_PAUSED, TCP_ACCEPTED, TCP_CLOSED, TCP_TURNS,
};
use crate::stats::labels::{CLOSED_REFUSED, DROPPED_LISTED};
use crate::stats::ledger::Ledger;

/// The answers to connections.
#[derive(Debug)]
pub struct Serving {
    snapshot: Follower,
    ledger: Ledger,
    /// Where queries are handed over, if there are workers.
    desk: Option<Desk>,
    /// When the thread woke up.
    woken: Instant,
    /// Where it says that it accepts nothing for now.
    paused: Option<Sender<Vec<SocketDrops>>>,
}

impl Serving {
    /// Serves from `snapshot`, counts with `ledger`, and hands over at `desk`.
    #[must_use]
    pub fn new(snapshot: Follower, ledger: Ledger, desk: Option<Desk>) -> Self {
        Self { snapshot, ledger, desk, woken: Instant::now(), paused: None }
    }

    /// It says to `paused` when it accepts nothing for now.
    pub(in crate::net) fn telling(mut self, paused: Sender<Vec<SocketDrops>>) -> Self {
        self.paused = Some(paused);
        self
    }
}

impl TcpHandler for Serving {
    fn woken(&mut self) {
        self.woken = Instant::now();
        self.ledger.count(TCP_TURNS.at([]));
        self.ledger.end_batch();
        self.snapshot.refresh();
    }

    fn refuses(&mut self, address: IpAddr) -> bool {
        let refuses = self.snapshot.drops(address);
        if refuses {
            self.ledger.count(DROPPED.at([DROPPED_LISTED]));
        }
        refuses
    }

    fn answer(&mut self, arrival: &Arrival, connection: Connection, slot: &mut [u8], len: usize) -> Verdict {
        self.ledger.see(slot, len, &arrival.peer, &arrival.local);
        let mut account = Account::default();
        let mut verdict = serve(&self.snapshot, arrival, slot, len, &mut account);
        if let Verdict::HandOff(way) = verdict {
            let (asked, connection) = (self.woken, Some(connection));
            let handed = Handed { way, arrival, socket: 0, connection, asked, slot, len };
            match handed.over(self.desk.as_mut(), &self.snapshot, &mut self.ledger, &mut account) {
                Some(instead) => verdict = instead,
                None => return verdict,
            }
        }
        let reply = match verdict {
            Verdict::Reply(len) => Some(&slot[..len]),
            Verdict::Drop | Verdict::HandOff(_) => None,
        };
        self.ledger.post(&account, arrival.peer.ip(), reply);
        verdict
    }

    fn returned(&mut self) -> Option<Box<Job>> {
        self.desk.as_mut()?.returned()
    }

    fn put(&mut self, job: Box<Job>) {
        if let Some(desk) = &mut self.desk {
            desk.put(job);
        }
    }

    fn rests(&mut self) {
        self.snapshot.rest();
        if let Some(desk) = &mut self.desk {
            desk.wake();
        }
    }

    fn paused(&mut self) {
        // What the kernel drops at a listener is not counted. Nobody waits where the process ends.
        let _ = self.paused.as_ref().map(|paused| paused.send(Vec::new()));
    }

    fn count(&mut self, event: TcpEvent) {
        self.ledger.count(match event {
            TcpEvent::Opened => TCP_ACCEPTED.at([]),
            TcpEvent::Closed(reason) => TCP_CLOSED.at([reason as usize]),
            TcpEvent::AcceptFailed => TCP_ACCEPT_FAILED.at([]),
            TcpEvent::AcceptPaused => TCP_ACCEPT_PAUSED.at([]),
        });
    }
}

// The label's values stand in the order of `Closed`.
const _: () = assert!(Closed::Refused as usize == CLOSED_REFUSED);

impl Drop for Serving {
    /// What was counted since the last fold is not lost when the thread ends.
    fn drop(&mut self) {
        self.ledger.end_batch();
    }
}
