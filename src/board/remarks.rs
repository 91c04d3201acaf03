//! What an operator should hear of although it is only counted: threads that answer do not log.

use std::time::Instant;

use super::Board;
use crate::limits::REMARKS_EVERY;
use crate::stats::counters::TCP_CLOSED;
use crate::stats::labels::CLOSED_REFUSED;

/// What has been said, and when.
#[derive(Debug, Default)]
pub struct Remarks {
    refused: u64,
    said: Option<Instant>,
}

impl Remarks {
    /// Looks at the counters, and logs what there is to say.
    pub fn look(&mut self, board: &Board, now: Instant) {
        let refused = TCP_CLOSED.of(&board.tcp.read_own())[CLOSED_REFUSED];
        if let Some(line) = self.of_refused(refused, now) {
            board.log.warning(line);
        }
    }

    /// Said at the first, and while it continues once per [`REMARKS_EVERY`].
    fn of_refused(&mut self, refused: u64, now: Instant) -> Option<String> {
        let is_due = self.said.is_none_or(|said| now.saturating_duration_since(said) >= REMARKS_EVERY);
        let new = refused.saturating_sub(self.refused);
        if !is_due || new == 0 {
            return None;
        }
        (self.refused, self.said) = (refused, Some(now));
        let (connections, their) = if new == 1 { ("connection", "its") } else { ("connections", "their") };
        Some(format!(
            "TCP: {new} {connections} refused: {their} client has as many as one may have, all in use; \
             raise [tcp] connections_per_address_max if that is right"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn refused_connections_are_told_at_once_and_then_seldom() {
        let (mut remarks, began) = (Remarks::default(), Instant::now());
        let mut told = |refused, after: Duration| {
            let line = remarks.of_refused(refused, began + after);
            line.map(|line| line.split(" refused").next().unwrap().to_owned())
        };
        let second = Duration::from_secs(1);
        assert_eq!(told(0, second), None);
        assert_eq!(told(1, 2 * second).as_deref(), Some("TCP: 1 connection"));
        assert_eq!(told(30, 3 * second), None);
        assert_eq!(told(40, 2 * second + REMARKS_EVERY).as_deref(), Some("TCP: 39 connections"));
        assert_eq!(told(40, 9 * REMARKS_EVERY), None, "it is over");
    }
}
