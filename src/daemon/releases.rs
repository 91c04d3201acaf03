//! What a reload does to the release of a fleet.

use super::fleet::Standing;
use super::life::Node;
use super::said::Lines;
use crate::problem::Problem;
use crate::release::ReleaseName;

impl Node {
    /// Says with which release the node starts.
    pub(super) fn release_begins(&self) {
        let Some(standing) = &self.course.fleet else { return };
        let mut lines = Lines::default();
        standing.say(&mut lines);
        lines.log(&self.log);
        self.board.fleet.set(Some(standing.served()));
    }

    /// What was read is in effect: `answers` is what is answered, in one number, of a node of a fleet.
    pub(super) fn release_taken(&mut self, answers: Option<u64>) {
        let before = self.release_name();
        self.course.fleet = answers.map(|answers| {
            let mut standing = self.course.fleet.take().unwrap_or_else(|| Standing::empty(Vec::new()));
            standing.reloaded(&self.source.known, &self.config, answers);
            standing
        });
        let after = self.release_name();
        if before != after {
            let name =
                |name: Option<ReleaseName>| name.map_or_else(|| "none".into(), |name| name.to_string());
            self.say(&format!("reload: release {} in place of {}", name(after), name(before)));
        }
        self.board.fleet.set(self.course.fleet.as_ref().map(Standing::served));
    }

    /// What was read may not take effect.
    pub(super) fn release_refused(&mut self, problems: &[Problem]) {
        let Some(standing) = &mut self.course.fleet else { return };
        standing.refused(problems);
        self.board.fleet.set(Some(standing.served()));
    }

    fn release_name(&self) -> Option<ReleaseName> {
        self.course.fleet.as_ref().and_then(|standing| standing.served().name)
    }
}
