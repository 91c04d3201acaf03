//! Landlock: which files the process may open from now on, whatever its user may. What is open stays open.

use std::fs;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::{ConfineError, Plan, Want};

/// The newest rights that we know: those on files, on TCP ports, and to reach other processes by signal or
/// abstract socket.
const KNOWN: ABI = ABI::V6;

/// What may be done in a directory that is written to: files come, grow, are renamed within it, and go.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile
});

/// Confines the process to the plan's files and ports; says what holds it, for people.
pub(super) fn confine(plan: &Plan, notes: &mut Vec<String>) -> Result<String, ConfineError> {
    // As the user that will write there.
    for dir in &plan.write {
        // One that cannot be made cannot be written to; whoever wants to tells so.
        let _ = fs::create_dir_all(dir);
    }
    if plan.landlock == Want::Off {
        return Ok("off (as configured)".to_owned());
    }
    let result = restrict(plan, &mut |path| {
        notes.push(format!("{} does not exist; it can only be used after a restart", path.display()));
    });
    let reason = match result {
        Ok(RestrictionStatus { ruleset: RulesetStatus::FullyEnforced, .. }) => return Ok("on".to_owned()),
        Ok(RestrictionStatus { ruleset: RulesetStatus::PartiallyEnforced, landlock, .. }) => {
            let LandlockStatus::Available { effective_abi, .. } = landlock else {
                return Ok("on".to_owned());
            };
            // Files can always be had; rules for ports and for other processes came later.
            return Ok(format!("on, limited to ABI version {} of this kernel", effective_abi as i32));
        }
        Ok(RestrictionStatus { landlock: LandlockStatus::NotEnabled, .. }) => {
            "it is disabled by the kernel command line (lsm=)".to_owned()
        }
        Ok(_) => "the kernel does not support it: Linux 5.13 or later is needed".to_owned(),
        Err(error) => error.to_string(),
    };
    if plan.landlock == Want::Required {
        return Err(ConfineError::Unavailable { key: "landlock", reason });
    }
    notes.push(format!("file access is not restricted (landlock): {reason}"));
    Ok(format!("off ({reason})"))
}

fn restrict(plan: &Plan, missing: &mut impl FnMut(&Path)) -> Result<RestrictionStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(scopes())?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rules = plan.read.iter().try_fold(rules, |rules, path| beneath(rules, path, read, missing))?;
    let rules = plan.write.iter().try_fold(rules, |rules, path| beneath(rules, path, WRITE, missing))?;
    let connect =
        |rules: RulesetCreated, port: &u16| rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp));
    plan.connect.iter().try_fold(rules, connect)?.restrict_self()
}

/// Scopes (landlock ABI 6, Linux 6.12): no signal to a process outside, no connection to an abstract socket
/// outside, unless the service manager's is one.
fn scopes() -> BitFlags<Scope> {
    let notify = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    if notify.as_encoded_bytes().first() == Some(&b'@') {
        return Scope::Signal.into();
    }
    Scope::from_all(KNOWN)
}

/// Adds a rule for a file, or for a directory with all below.
fn beneath(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
    missing: &mut impl FnMut(&Path),
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else {
        missing(path);
        return Ok(rules);
    };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(opened, access))
}
