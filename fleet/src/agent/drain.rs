//! A drain that a pointer orders: for a time that the node's own clock counts, from when it heard of it.

use std::time::Duration;

use as112d::release::{Pointer, Scope};
use serde::{Deserialize, Serialize};

/// A drain as it is kept over a restart of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Of the pointer that orders it.
    pub scope: Scope,
    /// Of the pointer that orders it.
    pub serial: u64,
    /// Seconds that are left of it.
    pub left: u64,
    /// Whether it was us who drained the node: what somebody else has drained stays so.
    pub is_ours: bool,
}

/// What is to be done about the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Withdraw its routes.
    Drain,
    /// Have it in service again.
    Undrain,
}

/// The drain of a node.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// The pointer that counts, and until when.
    by: Option<(Scope, u64, Duration)>,
    is_ours: bool,
}

impl Drain {
    /// As it was kept.
    #[must_use]
    pub fn new(drained: Option<Drained>, now: Duration) -> Self {
        let Some(drained) = drained else { return Self::default() };
        let until = now + Duration::from_secs(drained.left);
        Self { by: Some((drained.scope, drained.serial, until)), is_ours: drained.is_ours }
    }

    /// The pointer that decides, if one speaks of it. One that is known already does not begin again.
    pub fn heard(&mut self, pointer: Option<&Pointer>, now: Duration) {
        // A release for a node that is drained does not return it to service.
        let Some((pointer, seconds)) = pointer.and_then(|pointer| Some((pointer, pointer.drain?))) else {
            return;
        };
        let is_known = |(scope, serial, _): &(Scope, u64, Duration)| {
            (scope, *serial) == (&pointer.scope, pointer.serial)
        };
        if !self.by.as_ref().is_some_and(is_known) {
            let until = now + Duration::from_secs(seconds.into());
            self.by = Some((pointer.scope.clone(), pointer.serial, until));
        }
    }

    /// What is to be done about a node in this state.
    pub fn order(&mut self, state: &str, now: Duration) -> Option<Order> {
        let is_wanted = self.is_wanted(now);
        let is_serving = state == "serving";
        match (is_wanted, is_serving) {
            (true, true) => {
                self.is_ours = true;
                Some(Order::Drain)
            }
            (false, false) if self.is_ours => {
                self.is_ours = false;
                Some(Order::Undrain)
            }
            (false, true) => {
                self.is_ours = false;
                None
            }
            _ => None,
        }
    }

    /// Whether the node should be drained.
    #[must_use]
    pub fn is_wanted(&self, now: Duration) -> bool {
        self.by.as_ref().is_some_and(|(_, _, until)| now < *until)
    }

    /// When it is over.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        self.by.as_ref().map(|(_, _, until)| *until)
    }

    /// As it is to be kept; nothing once it is over and the node is in service.
    #[must_use]
    pub fn kept(&self, now: Duration) -> Option<Drained> {
        let (scope, serial, until) = self.by.as_ref()?;
        let left = until.saturating_sub(now).as_secs();
        Some(Drained { scope: scope.clone(), serial: *serial, left, is_ours: self.is_ours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(serial: u64, drain: Option<u32>) -> Pointer {
        let drain = drain.map_or_else(String::new, |seconds| format!(",\"drain\":{seconds}"));
        let line = format!(
            "{{\"format\":1,\"fleet\":\"f\",\"scope\":\"node/n\",\"serial\":{serial},\"kind\":\"follow\",\
             \"by\":\"b\",\"made_at\":\"m\"{drain}}}"
        );
        Pointer::parse(&line).unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_is_drained_for_a_time_from_when_it_heard_of_it() {
        let mut drain = Drain::default();
        assert_eq!(drain.order("serving", at(0)), None);
        drain.heard(Some(&pointer(1, Some(60))), at(10));
        assert_eq!(drain.order("serving", at(10)), Some(Order::Drain));
        assert_eq!(drain.order("draining", at(11)), None);
        // The same pointer is heard of again, and the node was started again.
        drain.heard(Some(&pointer(1, Some(60))), at(50));
        assert_eq!(drain.order("serving", at(60)), Some(Order::Drain));
        assert_eq!(drain.order("drained", at(69)), None);
        assert_eq!(drain.order("drained", at(70)), Some(Order::Undrain));
        assert_eq!(drain.order("serving", at(71)), None);
    }

    #[test]
    fn what_is_left_of_it_lasts_over_a_restart() {
        let mut drain = Drain::default();
        drain.heard(Some(&pointer(1, Some(60))), at(0));
        assert_eq!(drain.order("serving", at(0)), Some(Order::Drain));
        let mut drain = Drain::new(drain.kept(at(20)), at(1000));
        drain.heard(Some(&pointer(1, Some(60))), at(1000));
        assert_eq!((drain.until(), drain.order("drained", at(1039))), (Some(at(1040)), None));
        assert_eq!(drain.order("drained", at(1040)), Some(Order::Undrain));
    }

    #[test]
    fn an_undrain_is_heard_and_what_others_drain_is_theirs() {
        let mut drain = Drain::default();
        assert_eq!(drain.order("drained", at(0)), None, "an operator did that");
        drain.heard(Some(&pointer(1, Some(60))), at(0));
        assert_eq!(drain.order("serving", at(0)), Some(Order::Drain));
        drain.heard(Some(&pointer(2, None)), at(4));
        assert_eq!(drain.order("draining", at(4)), None, "a pointer that does not speak of it");
        drain.heard(Some(&pointer(3, Some(0))), at(5));
        assert_eq!(drain.order("draining", at(5)), Some(Order::Undrain));
        assert_eq!(drain.order("serving", at(6)), None);
    }
}
