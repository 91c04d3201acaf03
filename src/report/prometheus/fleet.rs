//! Which release of its fleet the node serves.

use super::Text;
use crate::board::Reading;

impl Text {
    /// Nothing of a node that belongs to no fleet.
    pub(super) fn fleet(&mut self, reading: &Reading<'_>) {
        let Some(served) = reading.board.fleet.read() else { return };
        let name = "as112_release_info";
        self.head(name, "info", "Release that is in effect, and whether it is the one that should be.");
        let number = served.name.map(|name| name.number.to_string()).unwrap_or_default();
        let hash = served.name.map(|name| name.digest.to_string()).unwrap_or_default();
        let labels = [("number", number.as_str()), ("hash", hash.as_str()), ("state", served.state.name())];
        self.sample(name, &labels, 1);
        let gauges: [(&str, &str, u64); 3] = [
            ("as112_release_number", "Number of the release that is in effect; 0 if there is none.", {
                served.name.map_or(0, |name| name.number)
            }),
            (
                "as112_release_time_seconds",
                "Time since when the release is in effect, in seconds since the Unix epoch.",
                served.since,
            ),
            (
                "as112_release_problems",
                "Problems of the release that should be in effect; the node does not serve it with any.",
                served.problems,
            ),
        ];
        for (name, help, value) in gauges {
            self.head(name, "gauge", help);
            self.sample(name, &[], value);
        }
    }
}
