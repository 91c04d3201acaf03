//! What connections are served with: the same [`serve`] as datagrams, and counters of their own.

use std::sync::Arc;

use super::{Closed, TcpEvent, TcpHandler};
use crate::serve::snapshot::Snapshot;
use crate::serve::{Arrival, Verdict, serve};
use crate::stats::counters::{Counters, Tally};

/// The answers to connections.
#[derive(Debug)]
pub struct Serving {
    snapshot: Arc<Snapshot>,
    tally: Tally,
    counters: Arc<Counters>,
}

impl Serving {
    /// Serves from `snapshot` and counts into `counters`, which nobody else writes.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, counters: Arc<Counters>) -> Self {
        Self { snapshot, tally: Tally::default(), counters }
    }
}

impl TcpHandler for Serving {
    fn woken(&mut self) {
        self.counters.fold(&mut self.tally);
    }

    fn answer(&mut self, arrival: &Arrival, slot: &mut [u8], len: usize) -> Verdict {
        serve(&self.snapshot, arrival, slot, len, &mut self.tally)
    }

    fn count(&mut self, event: TcpEvent) {
        let tally = &mut self.tally;
        *match event {
            TcpEvent::Opened => &mut tally.tcp_opened,
            TcpEvent::AcceptFailed => &mut tally.tcp_accept_failed,
            TcpEvent::AcceptPaused => &mut tally.tcp_accept_paused,
            TcpEvent::Closed(reason) => match reason {
                Closed::Client => &mut tally.tcp_closed_client,
                Closed::Idle => &mut tally.tcp_closed_idle,
                Closed::Message => &mut tally.tcp_closed_message,
                Closed::Unread => &mut tally.tcp_closed_unread,
                Closed::RoomInTable => &mut tally.tcp_closed_table,
                Closed::RoomOfClient => &mut tally.tcp_closed_address,
                Closed::Buffers => &mut tally.tcp_closed_buffers,
                Closed::Protocol => &mut tally.tcp_closed_protocol,
                Closed::Failed => &mut tally.tcp_closed_failed,
                Closed::Stop => &mut tally.tcp_closed_stop,
            },
        } += 1;
    }
}

impl Drop for Serving {
    /// What was counted since the last fold is not lost when the thread ends.
    fn drop(&mut self) {
        self.counters.fold(&mut self.tally);
    }
}
