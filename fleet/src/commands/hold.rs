//! `as112d-fleet hold`: nodes stay with what they have.

use as112d::commands::Failure;
use as112d::release::Scope;
use as112d::release::pointer::Kind;
use serde_json::json;

use super::shared::{put, signers, waits};
use super::{Told, wait};
use crate::cli::HoldOptions;
use crate::desk::{Desk, usage};

/// Holds the fleet, a colo or a node, or ends that; what it prints.
///
/// # Errors
/// Why it cannot.
pub fn hold(options: &HoldOptions) -> Result<Told, Failure> {
    let scope = options.scope.scope().unwrap_or(Scope::Fleet);
    if options.end && scope == Scope::Fleet {
        return Err(usage("what should the fleet have then? Say it with `promote` or `rollback NUMBER`"));
    }
    wait(async {
        let desk = Desk::open(&options.publisher, None).await?;
        let signers = signers(&desk, &options.sign)?;
        let pointers = desk.pointers().await?;
        let mut pointer = desk.next(&pointers, scope.clone(), &options.sign)?;
        pointer.kind = if options.end { Kind::Follow } else { Kind::Hold };
        let count = put(&desk, &signers, vec![pointer]).await?;
        let (what, text) = if options.end {
            ("hold-ended", format!("{scope} follows the fleet again\n"))
        } else {
            ("held", format!("{scope} stays with what it has\n"))
        };
        let unsaid = desk.say(what, json!({ "scope": scope.to_string() }), &options.sign).await;
        let mut out = if count > 0 { waits(count) } else { text };
        // What is said for a narrower scope still holds there.
        let others = pointers.values().filter_map(|held| held.content());
        for other in
            others.filter(|other| scope == Scope::Fleet && other.scope != scope && other.kind == Kind::Want)
        {
            out.push_str(&format!("{} has a pointer of its own: it is not held\n", other.scope));
        }
        out.extend(unsaid.map(|unsaid| unsaid + "\n"));
        let value =
            json!({ "scope": scope.to_string(), "held": !options.end, "waits_for_signatures": count });
        Ok(Told::either(options.publisher.json, out, &value))
    })
}
