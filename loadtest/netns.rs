//! Where a server runs: on the loopback, or in a network namespace at the other end of a veth pair. Or all of
//! a section runs in a namespace that has a loopback alone, whose settings are then not those of the host.
//!
//! The namespace is named for this process, made by it and removed by it, also on failure and Ctrl-C. What an
//! earlier process could not remove, because it was killed, is removed at the next start.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

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

    /// The address of our end.
    pub fn ours(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(u32::from(self.address) - 1))
    }

    /// Makes one that has a loopback alone: no rule of the host's firewall looks at what goes there, and none
    /// of its connections is tracked.
    ///
    /// # Errors
    /// As above.
    pub fn alone() -> Outcome<Self> {
        sweep();
        let id = std::process::id();
        let (name, interface) = (format!("{PREFIX}{id}"), format!("lt{id}"));
        ip(&format!("netns add {name}"))?;
        let namespace = Self { name, interface, address: Ipv4Addr::LOCALHOST };
        ip(&format!("-n {} link set lo up", namespace.name))?;
        Ok(namespace)
    }

    /// The same. What is received there, the replies to a client as well as the
    /// queries, is processed on one CPU, whoever sends it (receive packet steering).
    ///
    /// # Errors
    /// As above.
    pub fn steered(cpu: usize) -> Outcome<Self> {
        let namespace = Self::alone()?;
        let mut command = Command::new(ip_program()?);
        // The name is ours, and the mask is digits.
        let setting = format!("echo {} > /sys/class/net/lo/queues/rx-0/rps_cpus", mask(cpu));
        command.args(["netns", "exec", &namespace.name, "sh", "-c", &setting]).stdin(Stdio::null());
        let output = command.output()?;
        if !output.status.success() {
            return fail(format!("{setting}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(namespace)
    }

    /// Does something in it: sockets that are opened there are of the namespace, and what is started runs in
    /// it.
    ///
    /// # Errors
    /// It cannot be entered; those of `work`.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Outcome<T> + Send) -> Outcome<T> {
        let enter = || -> Outcome<()> {
            let there = std::fs::File::open(Path::new("/run/netns").join(&self.name))?;
            Ok(setns(there, CloneFlags::CLONE_NEWNET)?)
        };
        // A thread belongs to a namespace; this one ends with the work.
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| enter().and_then(|()| work()).map_err(|error| error.to_string()));
            thread.join().map_err(|_| "it panicked".to_owned())
        });
        Ok(done??)
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
        if !Path::new(&format!("/proc/{id}")).exists() {
            drop(Namespace {
                name: format!("{PREFIX}{id}"),
                interface: format!("lt{id}"),
                address: Ipv4Addr::UNSPECIFIED,
            });
        }
    }
}

/// A CPU as the kernel writes sets of them: digits of 16, a comma between 32 bits.
fn mask(cpu: usize) -> String {
    format!("{:x}{}", 1_u32 << (cpu % 32), ",00000000".repeat(cpu / 32))
}

fn ip_program() -> Outcome<PathBuf> {
    Ok(super::tools::find("ip").ok_or("`ip` is not installed; it comes with the package iproute2")?)
}

fn ip(arguments: &str) -> Outcome<()> {
    let mut command = Command::new(ip_program()?);
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
        replies_go_to_one_cpu();
    }

    fn replies_go_to_one_cpu() {
        let namespace = Namespace::steered(0).unwrap();
        let seen = namespace.inside(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            // A thread's own view; /sys is that of the namespace which mounted it.
            let interfaces = std::fs::read_to_string("/proc/thread-self/net/dev")?;
            let setting = Command::new("ip")
                .args(["netns", "exec", &namespace.name, "cat", "/sys/class/net/lo/queues/rx-0/rps_cpus"])
                .output()?;
            Ok((socket.local_addr()?, interfaces.lines().count(), setting.stdout))
        });
        let (address, lines, setting) = seen.unwrap();
        assert!(address.ip().is_loopback());
        assert_eq!(lines, 3, "two lines of head, and the loopback");
        assert_eq!(String::from_utf8(setting).unwrap().trim().trim_start_matches(['0', ',']), "1");
        let error = namespace.inside(|| fail::<()>("why")).unwrap_err().to_string();
        assert_eq!(error, "why");
        assert_eq!([0, 5, 33].map(mask), ["1", "20", "2,00000000"]);
    }
}
