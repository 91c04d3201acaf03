//! Where a server runs: on the loopback, or in a network namespace at the other end of a veth pair.
//!
//! The namespace is named for this process, made by it and removed by it, also on failure and Ctrl-C. What an
//! earlier process could not remove, because it was killed, is removed at the next start.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};

use super::{Outcome, fail};

const PREFIX: &str = "as112lt-";
/// What the interface of a namespace is called.
pub const INTERFACE: &str = "eth0";

/// Where servers run.
#[derive(Clone, Debug)]
pub struct Place {
    /// Their address.
    pub ip: IpAddr,
    /// What their command line begins with.
    pub before: Vec<String>,
    /// Whether nobody else sends datagrams there.
    pub is_alone: bool,
}

impl Place {
    pub fn loopback() -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), before: Vec::new(), is_alone: false }
    }
}

/// A namespace with one end of a veth pair; the other end is ours.
pub struct Namespace {
    name: String,
    /// The name of our end.
    pub interface: String,
    address: Ipv4Addr,
}

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    /// We are not root, or the kernel has no veth. What was made until then is removed.
    pub fn make() -> Outcome<Self> {
        sweep();
        let id = std::process::id();
        // From 198.18.0.0/15, which is for such tests (RFC 2544); another part of it for each process.
        let subnet = [198, 18, (id >> 6 & 255) as u8, (id << 2 & 255) as u8];
        let [ours, theirs] = [1, 2].map(|host| Ipv4Addr::from(u32::from_be_bytes(subnet) + host));
        let (name, interface) = (format!("{PREFIX}{id}"), format!("lt{id}"));
        ip(&format!("netns add {name}"))?;
        // From here on it is removed, whatever fails.
        let namespace = Self { name: name.clone(), interface: interface.clone(), address: theirs };
        ip(&format!("link add {interface} type veth peer name {INTERFACE} netns {name}"))?;
        ip(&format!("addr add {ours}/30 dev {interface}"))?;
        ip(&format!("link set {interface} up"))?;
        ip(&format!("-n {name} addr add {theirs}/30 dev {INTERFACE}"))?;
        ip(&format!("-n {name} link set {INTERFACE} up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        Ok(namespace)
    }

    pub fn place(&self) -> Place {
        let ip = super::tools::find("ip").map_or_else(|| "ip".to_owned(), |path| path.display().to_string());
        let before = [&ip, "netns", "exec", &self.name].map(str::to_owned).to_vec();
        Place { ip: IpAddr::V4(self.address), before, is_alone: true }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Either may be gone already, or never have been made.
        let _ = ip(&format!("link del {}", self.interface));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

/// Removes the namespaces of processes that are gone.
fn sweep() {
    let Ok(names) = std::fs::read_dir("/run/netns") else { return };
    let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    for id in names.filter_map(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok()) {
        if !std::path::Path::new(&format!("/proc/{id}")).exists() {
            drop(Namespace {
                name: format!("{PREFIX}{id}"),
                interface: format!("lt{id}"),
                address: Ipv4Addr::UNSPECIFIED,
            });
        }
    }
}

fn ip(arguments: &str) -> Outcome<()> {
    let program =
        super::tools::find("ip").ok_or("`ip` is not installed; it comes with the package iproute2")?;
    let mut command = Command::new(program);
    let output = command.args(arguments.split(' ')).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    fail(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> String {
        let output = Command::new("ip").args(["netns", "list"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_namespace_comes_and_goes() {
        // One whose process is gone: no process has a number beyond pid_max.
        match ip(&format!("netns add {PREFIX}4194305")).map_err(|error| error.to_string()) {
            Ok(()) => {}
            Err(error)
                if ["not permitted", "denied", "`ip` is not installed"]
                    .iter()
                    .any(|word| error.contains(word)) =>
            {
                eprintln!("this needs root: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        let namespace = Namespace::make().unwrap();
        assert!(!names().contains("4194305"), "what was left over is removed");
        assert!(names().contains(&namespace.name));
        let place = namespace.place();
        let mut command = Command::new(&place.before[0]);
        let output = command.args(&place.before[1..]).args(["ip", "addr"]).output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains(&place.ip.to_string()));
        let again = Namespace::make().map(drop).unwrap_err().to_string();
        assert!(again.contains("File exists"), "{again}");
        drop(namespace);
        assert!(!names().contains(PREFIX), "{}", names());
    }
}
