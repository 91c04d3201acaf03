//! Where people and programs reach the node: the control socket (`[control]`) and HTTP (`[http]`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::written::{Written, choice};
use crate::sys::user;

/// The control socket's name in its directory.
const CONTROL_FILE: &str = "control";
/// Where the control socket of the system's node is.
pub const SYSTEM_DIR: &str = "/run/as112d";

/// Where the control socket is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ControlPath {
    /// At [`default_path`], unless another node listens there.
    #[default]
    IfFree,
    /// There, or the start fails.
    At(PathBuf),
    /// Nowhere.
    Off,
}

impl ControlPath {
    /// Where a node with this setting may be found.
    #[must_use]
    pub fn candidates(self) -> Vec<PathBuf> {
        match self {
            Self::At(path) => vec![path],
            Self::IfFree => known_paths(),
            Self::Off => Vec::new(),
        }
    }
}

impl Written for ControlPath {
    const EXPECTED: &'static str = "a path such as \"/run/as112d/control\", or \"off\"";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "" => Err("the path is empty; give one such as /run/as112d/control, or \"off\"".to_owned()),
            path => Ok(Self::At(path.into())),
        }
    }
}

/// The default place of the socket: systemd's runtime directory of the service, else for
/// root below /run, for others in the user's runtime directory. `None` where there is none of these.
#[must_use]
pub fn default_path() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let user_dir = || of("XDG_RUNTIME_DIR").map(|dir| dir.join("as112d"));
    let dir = of("RUNTIME_DIRECTORY")
        .or_else(|| if user::is_root() { Some(SYSTEM_DIR.into()) } else { user_dir() });
    dir.map(|dir| dir.join(CONTROL_FILE))
}

/// Where a node may be found: the default first, then that of the system's node.
#[must_use]
pub fn known_paths() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = default_path().into_iter().collect();
    let system = Path::new(SYSTEM_DIR).join(CONTROL_FILE);
    if !paths.contains(&system) {
        paths.push(system);
    }
    paths
}

/// The default address of HTTP.
pub const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9112);

/// Where HTTP is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpListen {
    /// On [`DEFAULT_ADDRESS`], unless it is in use.
    #[default]
    IfFree,
    /// There, or the start fails. Port 0 is any that is free.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

impl Written for HttpListen {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:9112\", or \"off\"";

    fn read(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse().map_err(|_| {
            format!(
                "`{text}` is not an address with a port; give one such as 127.0.0.1:9112 or \
                 [::1]:9112, or \"off\""
            )
        });
        address.map(Self::At)
    }
}

impl fmt::Display for HttpListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IfFree => write!(f, "{DEFAULT_ADDRESS}, if it is free"),
            Self::At(address) => write!(f, "{address}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// Who may see the operator's view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeView {
    /// Clients on this host.
    #[default]
    Loopback,
    /// Every client.
    Everywhere,
}

impl Written for NodeView {
    const EXPECTED: &'static str = "\"loopback\" or \"everywhere\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("loopback", Self::Loopback), ("everywhere", Self::Everywhere)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_a_port() {
        assert_eq!(HttpListen::read("off"), Ok(HttpListen::Off));
        assert_eq!(HttpListen::read("127.0.0.1:9112"), Ok(HttpListen::At(DEFAULT_ADDRESS)));
        for bad in ["", "127.0.0.1", "on", "localhost:9112", "::1:9112:x", "[::1]"] {
            let message = HttpListen::read(bad).unwrap_err();
            assert!(message.contains("give one such as 127.0.0.1:9112"), "{bad}: {message}");
        }
    }
}
