//! What a node with this configuration needs once it has opened everything: the rest is dropped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::certificates::SYSTEM;
use crate::config::doors::SYSTEM_DIR;
use crate::config::platform::Trace;
use crate::config::pops::Pop;
use crate::policy::upstream::Over;
use crate::sys::confine::{self, Confined, Plan, Refused};
use crate::sys::files::folder_of;
use crate::tailor::spec::Map;
use crate::taps::DnstapReceiver;

/// Where the kernel tells of the host, and of this process.
const KERNEL: [&str; 2] = ["/proc", "/sys"];

/// Confines this process to what `config` needs; workers may connect to these ports of upstreams.
///
/// # Errors
/// Why it cannot be, and what to do.
pub fn give_up(
    config: &Config,
    file: Option<&Path>,
    control: Option<&Path>,
    upstreams: &[u16],
) -> Result<Confined, String> {
    let mut plan = plan(config, file, control);
    plan.connect.extend(upstreams);
    confine::process(&plan).map_err(|error| error.to_string())
}

/// The plan for `config`, which was read from `file`: a reload reads below the directories that were known at
/// the start, and nowhere else; written is below those of the history, the exports and the logs, and in that
/// of the control socket, which is taken away at the end.
#[must_use]
pub fn plan(config: &Config, file: Option<&Path>, control: Option<&Path>) -> Plan {
    let folder = |path: &Path| folder_of(path).to_owned();
    let files = config.zones.entries.iter().filter_map(|entry| match &entry.source {
        crate::zone::ZoneSource::File(path) => Some(path.as_path()),
        _ => None,
    });
    let files = files.chain(config.zones.packs.iter().map(PathBuf::as_path));
    let secrets = config.cookies.secrets.iter().map(PathBuf::as_path);
    let secrets = secrets.chain(config.beacons.iter().map(|beacons| beacons.key_file.as_path()));
    let roots = config.upstreams.iter().filter_map(|upstream| match &upstream.over {
        Over::Tls { ca: Some(ca), .. } => Some(Path::new(ca)),
        Over::Tls { ca: None, .. } => SYSTEM.iter().map(Path::new).find(|path| path.is_file()),
        _ => None,
    });
    let maps = config.tailoring.maps.iter().flat_map(Map::files);
    let files = files.chain(roots).chain(maps).chain(config.pops.iter().filter_map(Pop::file));
    let files =
        files.chain(secrets).chain(config.databases.iter().map(PathBuf::as_path)).chain(file).map(folder);
    let read = files.chain(config.zones.dir.clone()).chain(config.platform.rules.clone());
    let read = read.chain(config.platform.apps.clone());
    let read = read.chain(KERNEL.map(PathBuf::from));
    let written = config.export.folders().map(|(_, dir)| dir.to_owned()).chain(config.history.clone());
    let written = written.chain(config.beacons.iter().map(|beacons| beacons.observations.clone()));
    let query_log = config.query_log.as_ref().and_then(|query_log| query_log.file.as_deref());
    let traces = config.trace.as_ref().and_then(|trace| trace.file());
    let logs = || config.log.file.as_deref().into_iter().chain(query_log).chain(traces);
    let written = written.chain(logs().map(folder)).chain(control.map(Path::to_owned));
    let tap = config.dnstap.as_ref().and_then(|dnstap| match dnstap.to {
        DnstapReceiver::Tcp(address) => Some(address.port()),
        DnstapReceiver::Unix(_) => None,
    });
    let collector = config.trace.as_ref().and_then(Trace::port);
    Plan {
        user: config.user.clone(),
        keeps_user: false,
        landlock: config.confine.landlock,
        seccomp: config.confine.seccomp,
        read: unique(read),
        write: unique(written),
        own: control.filter(|dir| *dir == Path::new(SYSTEM_DIR)).map(Path::to_owned),
        logs: logs().map(Path::to_owned).collect(),
        // The node asks itself before it says that it serves.
        connect: config.listen.iter().map(SocketAddr::port).chain(tap).chain(collector).collect(),
    }
}

fn unique(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort();
    paths.dedup();
    paths
}

/// What an operator is told at the end, if a thread was refused a system call: it is a mistake in the table
/// of its class, or an intruder.
#[must_use]
pub fn refusals(refused: &[Refused]) -> Option<String> {
    let calls: Vec<String> = refused.iter().map(ToString::to_string).collect();
    (!calls.is_empty())
        .then(|| format!("system calls refused by seccomp: {}; please report this", calls.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags};
    use crate::sys::confine::Want;

    #[test]
    fn a_plan_names_the_folders_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("as112d.toml");
        let text = "[server]\nuser = 'nobody'\n[zones]\ndir = 'zones'\n[[zone]]\nname = 'example.com'\n\
                    file = 'own/example.com.zone'\n[history]\ndir = '/var/lib/history'\n[export]\n\
                    dsc = '/var/lib/dsc'\n[sources]\ndatabases = ['geo/country.mmdb']\n\
                    [platform]\nrules = 'policy'\n[[upstream]]\nname = 'u'\nservers = ['192.0.2.9']\n\
                    over = 'tls'\ntls_name = 'u.example'\ntls_ca = 'ca/roots.pem'\n[confine]\n\
                    landlock = 'required'\nseccomp = 'off'\n\
                    [[pop]]\nname = 'p'\nhealth = 'file'\nfile = 'up/pops'\n\
                    [[map]]\nname = 'm'\ndefault = ['p']\nnetworks = ['nets/n']\nresolvers = ['by/r']\n\
                    learned = 'learned/l'\nplaces = 'measured/p'\ndatabases = ['city/c.mmdb']\n";
        std::fs::write(&path, text).unwrap();
        let plan = plan(
            &config::load(Some(&path), &Flags::default()).unwrap(),
            Some(&path),
            Some(Path::new("/run/node")),
        );
        let below = |name: &str| folder.path().join(name);
        let mut read = vec![
            folder.path().to_owned(),
            below("geo"),
            below("own"),
            below("zones"),
            below("policy"),
            below("ca"),
            below("up"),
            below("nets"),
            below("by"),
            below("learned"),
            below("measured"),
            below("city"),
            "/proc".into(),
            "/sys".into(),
        ];
        read.sort();
        assert_eq!(plan.read, read);
        assert_eq!(
            plan.write,
            [PathBuf::from("/run/node"), "/var/lib/dsc".into(), "/var/lib/history".into()]
        );
        assert_eq!(plan.user.as_deref(), Some("nobody"));
        assert_eq!((plan.landlock, plan.seccomp), (Want::Required, Want::Off));
    }

    #[test]
    fn a_plan_of_nothing_reads_what_the_kernel_tells() {
        let plan = plan(&config::load(None, &Flags::default()).unwrap(), None, None);
        assert_eq!(plan.read, KERNEL.map(PathBuf::from));
        assert!(plan.write.is_empty());
        assert_eq!((plan.landlock, plan.seccomp), (Want::Auto, Want::Auto));
    }
}
