//! `as112d-fleet status`: which node has which release, those in trouble first.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use as112d::commands::Failure;
use serde_json::{Value, json};

use super::shared::nodes;
use super::{Told, wait};
use crate::cli::StatusOptions;
use crate::desk::{AllPointers, Desk, Held};
use crate::limits::WATCH_EVERY;
use crate::proposal;
use crate::roll::{Reached, Roll};
use crate::view::{self, NodeView, Trouble};

/// What clears a terminal and returns to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Shows the fleet; what it prints.
///
/// # Errors
/// The carrier does not say.
pub fn status(options: &StatusOptions) -> Result<Told, Failure> {
    wait(async {
        let desk = Desk::open(&options.publisher, None).await?;
        loop {
            let view = View::read(&desk).await?;
            if !options.watch {
                let is_off = view.is_off();
                return Ok(Told::either(options.publisher.json, view.text(), &view.value()).off(is_off));
            }
            let mut out = io::stdout().lock();
            if write!(out, "{CLEAR}{}", view.text()).and_then(|()| out.flush()).is_err() {
                return Ok(Told::from(String::new()));
            }
            drop(out);
            tokio::time::sleep(WATCH_EVERY).await;
        }
    })
}

/// The fleet at one time.
struct View {
    fleet: String,
    pointers: AllPointers,
    roll: Option<Held<Roll>>,
    nodes: Vec<NodeView>,
    waiting: Vec<String>,
}

impl View {
    async fn read(desk: &Desk) -> Result<Self, Failure> {
        let pointers = desk.pointers().await?;
        let nodes = nodes(desk, &pointers).await?;
        let roll = desk.roll().await?;
        let waiting = proposal::waiting(desk).await?;
        let waiting = waiting.iter().map(|proposal| format!("{} ({})", proposal.words(), proposal.made()));
        let waiting = waiting.collect();
        Ok(Self { fleet: desk.fleet.to_string(), pointers, roll, nodes, waiting })
    }

    /// Whether somebody should look: at a node, or at a pointer that counts for nothing.
    fn is_off(&self) -> bool {
        let is_refused = self.pointers.values().any(|held| held.read.is_err());
        is_refused || self.nodes.iter().any(|node| node.trouble.is_off())
    }

    /// How far the roll is, while it is under way.
    fn roll(&self) -> Option<String> {
        let roll = match &self.roll.as_ref()?.read {
            Err(refused) => return Some(format!("counts for nothing: {refused}")),
            Ok(signed) => &signed.content,
        };
        match roll.reached(|scope| self.pointers.get(scope).and_then(Held::content)) {
            Reached::Stage(stage) if stage + 1 < roll.stages.len() => {
                let fleet = self.fleet.parse().ok()?;
                let seen = view::seen(&self.nodes, &fleet, &roll.release);
                let (to, next) = (&roll.stages[stage].to, &roll.stages[stage + 1].to);
                Some(format!("{} at {to}: {}; next {next}", roll.release, roll.tally(stage, &seen)))
            }
            _ => None,
        }
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (scope, held) in &self.pointers {
            let said = match &held.read {
                Err(refused) => format!("counts for nothing: {refused}"),
                Ok(signed) => said(&signed.content),
            };
            let _ = writeln!(out, "{:<16} {said}", scope.to_string());
        }
        if let Some(roll) = self.roll() {
            let _ = writeln!(out, "{:<16} {roll}", "roll");
        }
        for words in &self.waiting {
            let _ = writeln!(out, "{:<16} {words}", "to be signed");
        }
        if self.nodes.is_empty() {
            out.push_str("no node has reported\n");
            return out;
        }
        out.push('\n');
        for (has, answers, count) in view::groups(&self.nodes) {
            let _ = writeln!(out, "{count:>6} with {has}, answers {answers}");
        }
        out.push('\n');
        let _ = writeln!(
            out,
            "{:<16} {:<10} {:<10} {:<16} {:<16} {:>6}  word",
            "node", "colo", "state", "has", "wants", "age"
        );
        for node in &self.nodes {
            let _ = writeln!(out, "{}", line(node));
        }
        out
    }

    fn value(&self) -> Value {
        let pointers = self.pointers.iter().map(|(scope, held)| match &held.read {
            Ok(signed) => json!({
                "scope": scope,
                "pointer": signed.content,
                "release": signed.content.release.map(|release| release.to_string()),
                "signed_by": signed.by,
            }),
            Err(refused) => json!({ "scope": scope, "refused": refused.to_string() }),
        });
        let groups = view::groups(&self.nodes)
            .into_iter()
            .map(|(has, answers, count)| json!({ "has": has, "answers": answers, "nodes": count }));
        json!({
            "fleet": self.fleet,
            "is_off": self.is_off(),
            "pointers": pointers.collect::<Vec<_>>(),
            "roll": self.roll(),
            "to_be_signed": self.waiting,
            "groups": groups.collect::<Vec<_>>(),
            "nodes": self.nodes,
        })
    }
}

/// What a pointer says.
fn said(pointer: &as112d::release::Pointer) -> String {
    let mut said = format!("{:?}", pointer.kind).to_lowercase();
    if let Some(release) = &pointer.release {
        let _ = write!(said, " {release}");
    }
    if let (true, Some(otherwise)) = (pointer.share < 100, &pointer.otherwise) {
        let _ = write!(said, " for {} %, {otherwise} for the others", pointer.share);
    }
    if let Some(seconds) = pointer.drain.filter(|seconds| *seconds > 0) {
        let _ = write!(said, ", drained for {seconds} s");
    }
    let _ = write!(said, " ({} {}", pointer.by, pointer.made_at);
    if let Some(reason) = &pointer.reason {
        let _ = write!(said, ": {reason}");
    }
    said + ")"
}

fn line(node: &NodeView) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let age = node.age.map_or_else(|| "never".to_owned(), |age| format!("{age}s"));
    let word = match node.trouble {
        Trouble::Drift => node.drift.clone(),
        _ => node.problems.first().cloned(),
    };
    let text = format!(
        "{:<16} {:<10} {:<10} {:<16} {:<16} {age:>6}  {}",
        node.node,
        or(&node.colo),
        node.trouble.word(),
        or(&node.has),
        or(&node.wants),
        word.unwrap_or_default()
    );
    text.trim_end().to_owned()
}
