//! Real servers as upstreams, each in a folder of its own that goes with it.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::daemon::{PATIENCE, V4, free_port};
use crate::common::lab::{Process, is_there};
use crate::common::peers::{ZoneFile, knot_configuration, nsd_configuration};
use crate::common::skip::skipped;
use crate::common::{folder, query};

/// The name in the servers' certificates.
pub const TLS_NAME: &str = "upstream.example";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nsd,
    Knot,
    Bind,
    Unbound,
}

impl Kind {
    fn program(self) -> (&'static str, &'static str) {
        match self {
            Self::Nsd => ("nsd", "nsd"),
            Self::Knot => ("knotd", "knot"),
            Self::Bind => ("named", "bind9"),
            Self::Unbound => ("unbound", "unbound"),
        }
    }

    /// Whether it is installed; said aloud where not.
    pub fn is_there(self) -> bool {
        let (program, package) = self.program();
        let found = is_there(program);
        if !found {
            skipped(&format!("{program} is missing (Debian package {package})"));
        }
        found
    }
}

/// A running server with a zone.
pub struct Server {
    pub address: SocketAddr,
    /// Where it speaks TLS.
    pub tls: SocketAddr,
    _process: Process,
    folder: TempDir,
}

impl Server {
    /// Starts a server with `zones` and waits until it answers. `certificates` are those of [`certificates`].
    /// Unbound gets the zones from `behind`.
    pub fn start(kind: Kind, zones: &[ZoneFile], certificates: &Path, behind: Option<SocketAddr>) -> Self {
        let folder = folder();
        let [address, tls] = [free_port(), free_port()].map(|port| SocketAddr::new(V4, port));
        let path = folder.path();
        let text = match kind {
            Kind::Nsd => nsd(path, address, tls, zones, certificates),
            Kind::Knot => knot_configuration(path, address, zones),
            Kind::Bind => bind(path, address, tls, zones, certificates),
            Kind::Unbound => unbound(path, address, tls, zones, certificates, behind.expect("a server")),
        };
        let conf = path.join("conf");
        fs::write(&conf, text).expect("written");
        let mut command = Command::new(kind.program().0);
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/sbin:/usr/local/sbin"));
        match kind {
            Kind::Nsd | Kind::Unbound => command.arg("-d"),
            Kind::Knot => &mut command,
            Kind::Bind => command.args(["-g", "-n", "1"]),
        };
        command.arg("-c").arg(&conf);
        let process = Process::spawn(command, &path.join("said"));
        let server = Self { address, tls, _process: process, folder };
        server.wait(&zones[0].name);
        server
    }

    fn wait(&self, zone: &str) {
        let socket = UdpSocket::bind((V4, 0)).expect("a socket");
        socket.connect(self.address).expect("connected");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let (began, soa, mut reply) = (Instant::now(), query(zone, 6), [0; 4096]);
        loop {
            let len = socket.send(&soa).and_then(|_| socket.recv(&mut reply)).unwrap_or(0);
            if len > 12 && reply[3] & 15 == 0 && reply[7] == 1 {
                return;
            }
            let said = || fs::read_to_string(self.folder.path().join("said")).unwrap_or_default();
            assert!(began.elapsed() < 2 * PATIENCE, "it does not serve {zone}; it said: {}", said());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// Makes an authority and a certificate of [`TLS_NAME`] in `folder`: `ca.pem`, `cert.pem`, `key.pem`; and
/// those of another authority, `other-*.pem`.
pub fn certificates(folder: &Path) {
    for prefix in ["", "other-"] {
        let file = |name: &str| folder.join(format!("{prefix}{name}")).display().to_string();
        let openssl = |words: &[&str]| {
            let output = Command::new("openssl").args(words).output().expect("openssl is part of Debian");
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
        let [ca, ca_key, cert, own_key, request, names] =
            ["ca.pem", "ca-key.pem", "cert.pem", "key.pem", "request.pem", "names"].map(file);
        let authority =
            [&["req", "-x509"], &key[..], &["-subj", "/CN=Test", "-keyout", &ca_key, "-out", &ca]];
        openssl(&authority.concat());
        let asked =
            [&["req"], &key[..5], &["-subj", "/CN=upstream", "-keyout", &own_key, "-out", &request]].concat();
        openssl(&asked);
        fs::write(&names, format!("subjectAltName=DNS:{TLS_NAME}\n")).expect("written");
        let sign =
            ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
        openssl(&[&sign[..], &["-extfile", &names, "-out", &cert]].concat());
    }
    crate::common::open_up(folder);
}

fn nsd(
    folder: &Path,
    address: SocketAddr,
    tls: SocketAddr,
    zones: &[ZoneFile],
    certificates: &Path,
) -> String {
    let text = nsd_configuration(folder, address, zones);
    let (dir, ip, port) = (certificates.display(), tls.ip(), tls.port());
    let own = format!(
        "server:\n  ip-address: {ip}@{port}\n  tls-port: {port}\n  tls-service-key: \"{dir}/key.pem\"\n  \
         tls-service-pem: \"{dir}/cert.pem\"\n  tcp-count: 200\n"
    );
    text.replacen("server:\n", &own, 1)
}

fn bind(
    folder: &Path,
    address: SocketAddr,
    tls: SocketAddr,
    zones: &[ZoneFile],
    certificates: &Path,
) -> String {
    let (dir, certs) = (folder.display(), certificates.display());
    let (ip, port, tls_port) = (address.ip(), address.port(), tls.port());
    let mut text = format!(
        r#"tls own {{ key-file "{certs}/key.pem"; cert-file "{certs}/cert.pem"; }};
options {{
  directory "{dir}";
  listen-on port {port} {{ {ip}; }};
  listen-on port {tls_port} tls own {{ {ip}; }};
  listen-on-v6 {{ none; }};
  pid-file "{dir}/pid";
  session-keyfile "{dir}/session.key";
  recursion no;
  empty-zones-enable no;
  dnssec-validation no;
  minimal-responses yes;
  notify no;
  max-udp-size 1232;
  edns-udp-size 1232;
}};
controls {{ }};
"#
    );
    for ZoneFile { name, path } in zones {
        let _ = writeln!(text, "zone \"{name}\" {{ type primary; file \"{}\"; }};", path.display());
    }
    text
}

fn unbound(
    folder: &Path,
    address: SocketAddr,
    tls: SocketAddr,
    zones: &[ZoneFile],
    certificates: &Path,
    behind: SocketAddr,
) -> String {
    let (dir, certs) = (folder.display(), certificates.display());
    let mut text = format!(
        r#"server:
  interface: {}@{}
  interface: {}@{}
  tls-port: {}
  tls-service-key: "{certs}/key.pem"
  tls-service-pem: "{certs}/cert.pem"
  directory: "{dir}"
  pidfile: "{dir}/pid"
  username: ""
  chroot: ""
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  unblock-lan-zones: yes
  insecure-lan-zones: yes
  incoming-num-tcp: 200
remote-control:
  control-enable: no
"#,
        address.ip(),
        address.port(),
        tls.ip(),
        tls.port(),
        tls.port(),
    );
    for zone in zones {
        let _ = write!(
            text,
            "stub-zone:\n  name: \"{}\"\n  stub-addr: {}@{}\n",
            zone.name,
            behind.ip(),
            behind.port()
        );
    }
    text
}
