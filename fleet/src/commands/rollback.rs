//! `as112d-fleet rollback`: nodes take an older release again.

use as112d::commands::Failure;
use as112d::release::pointer::Kind;
use as112d::release::{Pointer, ReleaseName, Scope};
use serde_json::json;

use super::shared::{follow, put, signers, waits};
use super::{Told, wait};
use crate::cli::RollbackOptions;
use crate::desk::{AllPointers, Desk, Held, usage};

/// Gives an older release; what it prints.
///
/// # Errors
/// Why it cannot.
pub fn rollback(options: &RollbackOptions) -> Result<Told, Failure> {
    wait(async {
        let desk = Desk::open(&options.publisher, None).await?;
        let signers = signers(&desk, &options.sign)?;
        let pointers = desk.pointers().await?;
        let scope = options.scope.scope().unwrap_or(Scope::Fleet);
        let target = match options.number {
            Some(number) => numbered(&desk, number).await?,
            None => before(&desk, &pointers, &scope).await?,
        };
        // What nodes should take must be there, and be signed by keys that still count for it.
        desk.release(&target.digest).await?;
        let made = made(&desk, &pointers, &scope, target, options)?;
        if made.is_empty() {
            let text = format!("{scope} should have {target} already\n");
            let value =
                json!({ "scope": scope.to_string(), "release": target.to_string(), "changed": false });
            return Ok(Told::either(options.publisher.json, text, &value));
        }
        let count = put(&desk, &signers, made).await?;
        let more = json!({ "scope": scope.to_string(), "release": target.to_string() });
        let unsaid = desk.say("rolled-back", more, &options.sign).await;
        let text = format!("{scope} goes back to {target}\n");
        let mut out = if count > 0 { waits(count) } else { text };
        out.extend(unsaid.map(|unsaid| unsaid + "\n"));
        let value = json!({
            "scope": scope.to_string(),
            "release": target.to_string(),
            "changed": true,
            "waits_for_signatures": count,
        });
        Ok(Told::either(options.publisher.json, out, &value))
    })
}

/// The pointers that say it. What a colo or a node wants beyond that is over, unless only one of them is
/// meant.
fn made(
    desk: &Desk,
    pointers: &AllPointers,
    scope: &Scope,
    target: ReleaseName,
    options: &RollbackOptions,
) -> Result<Vec<Pointer>, Failure> {
    let mut made = Vec::new();
    let says_so = |pointer: &Pointer| pointer.release == Some(target) && pointer.share == 100;
    if !pointers.get(scope).and_then(Held::content).is_some_and(says_so) {
        let mut pointer = desk.next(pointers, scope.clone(), &options.sign)?;
        (pointer.kind, pointer.release, pointer.bake) =
            (Kind::Want, Some(target), Some(desk.settings.roll.bake));
        made.push(pointer);
    }
    if *scope == Scope::Fleet {
        let is_beyond =
            |pointer: &Pointer| pointer.release.is_some_and(|release| release.number > target.number);
        made.extend(follow(desk, pointers, &options.sign, is_beyond)?);
    }
    Ok(made)
}

async fn numbered(desk: &Desk, number: u64) -> Result<ReleaseName, Failure> {
    let releases = desk.releases().await?;
    let found = releases.iter().find(|known| known.name.number == number && known.is_signed);
    found.map(|known| known.name).ok_or_else(|| {
        let there: Vec<String> = releases.iter().rev().take(10).map(|known| known.name.to_string()).collect();
        usage(format!("there is no release {number} that is signed; there are {}", there.join(", ")))
    })
}

/// The release before the one that is being rolled out, or before the one that all have.
async fn before(desk: &Desk, pointers: &AllPointers, scope: &Scope) -> Result<ReleaseName, Failure> {
    let nothing = || usage("there is no release before; name one: rollback NUMBER");
    let fleet = pointers.get(&Scope::Fleet).and_then(Held::content);
    let wanted = fleet.and_then(|fleet| fleet.otherwise.or(fleet.release));
    let its = pointers.get(scope).and_then(Held::content).and_then(|pointer| pointer.release);
    let newest =
        pointers.values().filter_map(|held| held.content()?.release).max_by_key(|release| release.number);
    let concerned = if *scope == Scope::Fleet { newest } else { its.or(wanted) };
    // Somebody has a newer one than the fleet should have: that is what goes back.
    if let (Some(concerned), Some(wanted)) = (concerned, wanted)
        && concerned.number > wanted.number
    {
        return Ok(wanted);
    }
    let now = concerned.or(wanted).ok_or_else(nothing)?;
    let roll = desk.roll().await?;
    if let Some(roll) = roll.as_ref().and_then(Held::content).filter(|roll| roll.release == now)
        && let Some(before) = roll.before
    {
        return Ok(before);
    }
    let previous = desk.release(&now.digest).await?.content.previous.ok_or_else(nothing)?;
    let number = desk.release(&previous).await?.content.number;
    Ok(ReleaseName { number, digest: previous })
}
