//! `as112d-fleet publish --add-signature`: signs what somebody else has published.

use std::fmt::Write as _;

use as112d::commands::Failure;
use serde_json::json;

use super::Told;
use super::shared::signers;
use crate::cli::SignOptions;
use crate::desk::Desk;
use crate::proposal::{self, Proposal, Put};

/// Signs all that waits and puts into the tree what has enough signatures, or only tells of it; what it
/// prints.
pub(super) async fn add(
    desk: &Desk,
    options: &SignOptions,
    is_dry_run: bool,
    is_json: bool,
) -> Result<Told, Failure> {
    let proposals = proposal::waiting(desk).await?;
    if proposals.is_empty() {
        let text = "nothing waits for a signature\n".to_owned();
        return Ok(Told::either(is_json, text, &json!({ "signed": [] })));
    }
    if is_dry_run {
        let lines = proposals.iter().map(|proposal| format!("{} ({})", proposal.words(), proposal.made()));
        let lines: Vec<String> = lines.collect();
        let text = lines.iter().map(|line| format!("{line}\n")).collect();
        return Ok(Told::either(is_json, text, &json!({ "would_sign": lines })));
    }
    let signers = signers(desk, options)?;
    // The keys that a release is about to bring sign what comes with it.
    let new = proposals.iter().find_map(|proposal| match proposal {
        Proposal::Manifest(manifest) => manifest.keys.clone(),
        _ => None,
    });
    let (mut out, mut signed, mut still) = (String::new(), Vec::new(), 0);
    for proposal in &proposals {
        let put = proposal::put(desk, &signers, proposal, new.as_ref()).await?;
        let words = proposal.words();
        let state = match put {
            Put::Done => "signed, and in the tree".to_owned(),
            Put::Waits(count) => {
                still += 1;
                format!("signed; {count} more must sign")
            }
        };
        let _ = writeln!(out, "{words}: {state}");
        signed.push(json!({ "what": words, "done": put == Put::Done }));
    }
    let more = json!({ "signed": proposals.iter().map(Proposal::words).collect::<Vec<_>>() });
    if let Some(unsaid) = desk.say("signed", more, options).await {
        let _ = writeln!(out, "{unsaid}");
    }
    Ok(Told::either(is_json, out, &json!({ "signed": signed, "still_waiting": still })))
}
