//! `as112d-fleet drain`: nodes withdraw their routes for a time, which each counts by itself.

use as112d::commands::Failure;
use serde_json::json;

use super::shared::{put, scope, signers, waits};
use super::{Told, wait};
use crate::cli::{DrainOptions, PublisherOptions, SignOptions};
use crate::desk::{Desk, Held};

/// Drains a node or a colo; what it prints.
///
/// # Errors
/// Why it cannot.
pub fn drain(options: &DrainOptions) -> Result<Told, Failure> {
    order(&options.who, options.seconds, &options.publisher, &options.sign)
}

/// Has the pointer of a node or a colo say for how long it is drained; 0 ends it. Which release it has stays
/// as it was.
pub(super) fn order(
    who: &str,
    seconds: u32,
    publisher: &PublisherOptions,
    sign: &SignOptions,
) -> Result<Told, Failure> {
    wait(async {
        let desk = Desk::open(publisher, None).await?;
        let signers = signers(&desk, sign)?;
        let scope = scope(&desk, who).await?;
        let pointers = desk.pointers().await?;
        let mut pointer = desk.next(&pointers, scope.clone(), sign)?;
        if let Some(now) = pointers.get(&scope).and_then(Held::content) {
            (pointer.kind, pointer.release) = (now.kind, now.release);
            (pointer.share, pointer.otherwise, pointer.bake) = (now.share, now.otherwise, now.bake);
        }
        pointer.drain = Some(seconds);
        let count = put(&desk, &signers, vec![pointer]).await?;
        let (what, text) = if seconds == 0 {
            ("undrained", format!("{scope} returns to service\n"))
        } else {
            ("drained", format!("{scope} is drained for {seconds} s from when it hears of it\n"))
        };
        let more = json!({ "scope": scope.to_string(), "seconds": seconds });
        let unsaid = desk.say(what, more, sign).await;
        let mut out = if count > 0 { waits(count) } else { text };
        out.extend(unsaid.map(|unsaid| unsaid + "\n"));
        let value = json!({ "scope": scope.to_string(), "seconds": seconds, "waits_for_signatures": count });
        Ok(Told::either(publisher.json, out, &value))
    })
}
