//! What commands have in common.

use as112d::commands::Failure;
use as112d::release::pointer::Kind;
use as112d::release::{Label, Pointer, ReleaseName, Scope};

use crate::carry::{Fault, Said};
use crate::cli::SignOptions;
use crate::desk::{AllPointers, Desk, Held, USAGE, cannot, usage};
use crate::proposal::{self, Proposal, Put};
use crate::roll::{Roll, To};
use crate::sign::Signers;
use crate::view::{self, NodeView};

/// Who signs here: as the options say, or else the settings.
pub(super) fn signers(desk: &Desk, options: &SignOptions) -> Result<Signers, Failure> {
    let is_said = !options.keys.is_empty() || !options.sign_with.is_empty();
    let (keys, commands) = if is_said {
        (&options.keys, &options.sign_with)
    } else {
        (&desk.settings.secret_keys, &desk.settings.sign_with)
    };
    let signers = Signers::open(keys, commands, options.key_password_file.as_deref());
    let signers = signers.map_err(|problem| Failure { problems: vec![problem], code: USAGE })?;
    if signers.is_empty() {
        let file = crate::settings::FILE;
        return Err(usage(format!(
            "who signs? Give --key FILE or --sign-with COMMAND, or secret_keys in {file}"
        )));
    }
    Ok(signers)
}

/// What nodes say of themselves; nothing where the carrier takes no reports.
pub(super) async fn reports(desk: &Desk) -> Result<Vec<Said>, Failure> {
    match desk.carrier.reports().await {
        Err(Fault::Refused(_)) => Ok(Vec::new()),
        said => said.map_err(|fault| cannot("reports", &fault)),
    }
}

/// The nodes as they are, those in trouble first.
pub(super) async fn nodes(desk: &Desk, pointers: &AllPointers) -> Result<Vec<NodeView>, Failure> {
    Ok(view::nodes(&desk.settings, &desk.fleet, &reports(desk).await?, pointers))
}

/// Whether a pointer names this release.
pub(super) fn wanted_by_any(pointers: &AllPointers, name: &ReleaseName) -> bool {
    pointers.values().filter_map(Held::content).any(|pointer| pointer.release.as_ref() == Some(name))
}

/// The pointers that a stage of a roll needs. With the last one those of the first stages follow the fleet
/// again.
pub(super) fn stage_pointers(
    desk: &Desk,
    roll: &Roll,
    stage: usize,
    pointers: &AllPointers,
    options: &SignOptions,
) -> Result<Vec<Pointer>, Failure> {
    let to = &roll.stages[stage];
    let mut pointer = desk.next(pointers, to.to.scope(), options)?;
    (pointer.kind, pointer.release, pointer.bake) = (Kind::Want, Some(roll.release), Some(to.bake));
    if let To::Share(share) = to.to {
        pointer.share = share;
        pointer.otherwise = roll.before.filter(|_| share < 100);
    }
    let mut made = vec![pointer];
    if to.to == To::ALL {
        made.extend(follow(desk, pointers, options, |pointer| pointer.release == Some(roll.release))?);
    }
    Ok(made)
}

/// Pointers by which colos and nodes follow the fleet again, of those whose pointers are like this.
pub(super) fn follow(
    desk: &Desk,
    pointers: &AllPointers,
    options: &SignOptions,
    is_like: impl Fn(&Pointer) -> bool,
) -> Result<Vec<Pointer>, Failure> {
    let narrow = pointers.values().filter_map(Held::content).filter(|pointer| pointer.scope != Scope::Fleet);
    narrow
        .filter(|pointer| is_like(pointer))
        .map(|pointer| desk.next(pointers, pointer.scope.clone(), options))
        .collect()
}

/// Signs pointers and puts them into the tree; how many more people must sign.
pub(super) async fn put(desk: &Desk, signers: &Signers, pointers: Vec<Pointer>) -> Result<usize, Failure> {
    let mut waits = 0;
    for pointer in pointers {
        pointer.check().map_err(|refused| usage(refused.to_string()))?;
        let proposal = Proposal::Pointer(Box::new(pointer));
        if let Put::Waits(count) = proposal::put(desk, signers, &proposal, None).await? {
            waits = waits.max(count);
        }
    }
    Ok(waits)
}

/// What is said when more people must sign.
pub(super) fn waits(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!("{count} more must sign: as112d-fleet publish --add-signature --key FILE\n"),
    }
}

/// The node or the colo that an operator means.
pub(super) async fn scope(desk: &Desk, text: &str) -> Result<Scope, Failure> {
    if text.contains('/') {
        return text.parse().map_err(|refused: as112d::release::Refused| usage(refused.words));
    }
    let name: Label = text.parse().map_err(|refused: as112d::release::Refused| usage(refused.words))?;
    let nodes = nodes(desk, &AllPointers::new()).await?;
    let is_node = nodes.iter().any(|node| node.node == text);
    let is_colo = nodes.iter().any(|node| node.colo.as_deref() == Some(text));
    match (is_node, is_colo) {
        (true, false) => Ok(Scope::Node(name)),
        (false, true) => Ok(Scope::Colo(name)),
        (true, true) => Err(usage(format!("{text} is a node and a colo; write node/{text} or colo/{text}"))),
        (false, false) => {
            Err(usage(format!("nobody has heard of {text}; write node/{text} or colo/{text} if it is right")))
        }
    }
}
