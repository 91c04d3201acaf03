//! Landlock: which files the process may open from now on, whatever its user may. What is open stays open.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    PathBeneath, RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::{ConfineError, Plan, Want};
use crate::limits::DIRECTORY_WAIT_MAX;
use crate::sys::aside::{self, Answer};

/// The newest rights that we know: those on files, on TCP ports, and to reach other processes by signal or
/// abstract socket.
const KNOWN: ABI = ABI::V6;

/// What may be done in a directory that is written to: files come, grow, are renamed within it, and go.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile
});

/// Confines the process to the plan's files and ports; says what holds it, for people.
pub(super) fn confine(plan: &Plan, notes: &mut Vec<String>) -> Result<String, ConfineError> {
    // As the user that will write there. None of them is worth a start that hangs.
    let written = aside::each(&plan.write, DIRECTORY_WAIT_MAX, |dir| open_dir(dir));
    if plan.landlock == Want::Off {
        return Ok("off (as configured)".to_owned());
    }
    let result = restrict(plan, written, &mut |path, why| {
        notes.push(format!("{} {why}; it can only be used after a restart", path.display()));
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

/// A handle of a file or a directory, good for nothing else.
fn look_at(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)
}

/// A handle of a directory, which is made if it is not there. One that cannot be made cannot be written to;
/// whoever wants to tells so.
fn open_dir(dir: &Path) -> Answer {
    // First a look: on a file system that takes no changes for a while, to make one that is there would hang.
    let opened = look_at(dir).or_else(|_| fs::create_dir_all(dir).and_then(|()| look_at(dir)));
    opened.map(|file| Some(file.into())).map_err(|error| error.to_string())
}

fn restrict(
    plan: &Plan,
    written: Vec<Option<Answer>>,
    missing: &mut impl FnMut(&Path, &str),
) -> Result<RestrictionStatus, RulesetError> {
    let rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(scopes())?
        .create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let opened =
        plan.read.iter().map(|path| (path, Some(look_at(path).map(OwnedFd::from).map_err(drop)), read));
    let written = plan.write.iter().zip(written).map(|(path, answer)| {
        let handle = answer.map(|answer| answer.map_err(drop).and_then(|handle| handle.ok_or(())));
        (path, handle, WRITE)
    });
    let rules = opened.chain(written).try_fold(rules, |rules, (path, handle, access)| match handle {
        Some(Ok(handle)) => beneath(rules, handle, access),
        Some(Err(())) => {
            missing(path, "does not exist");
            Ok(rules)
        }
        None => {
            missing(path, "does not respond");
            Ok(rules)
        }
    })?;
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
    opened: OwnedFd,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let opened = File::from(opened);
    let is_dir = opened.metadata().is_ok_and(|metadata| metadata.is_dir());
    let access = if is_dir { access } else { access & AccessFs::from_file(KNOWN) };
    rules.add_rule(PathBeneath::new(opened, access))
}
