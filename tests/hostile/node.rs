//! A node with guests, and what it counts.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::daemon::{Configured, Daemon, V4, free_port, get, program};
use crate::common::query;

pub const A: u16 = 1;
/// Of the packets of a query in its area, by WAT: the token, the length of the query, that of the reply, the
/// query, the reply. The area begins at 1024.
pub const TOKEN: u32 = 1028;
pub const QUERY_LEN: u32 = 1044;
pub const REPLY_LEN: u32 = 1048;
pub const QUERY: u32 = 1152;

/// A guest with these imports and data, whose events are `body`: `$kind`, `$token`, `$len`.
pub fn wat(imports: &str, start: &str, body: &str) -> Vec<u8> {
    let text = format!(
        "(module {imports}
           (memory (export \"memory\") 4)
           (func (export \"as112_abi\") (result i32) (i32.const 1))
           (func (export \"as112_area\") (result i32) (i32.const 1024))
           (func (export \"as112_start\") (param i32) (result i32) {start} (i32.const 0))
           (func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)
             {body}))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// One that says this of every query.
pub fn says(verdict: i64) -> Vec<u8> {
    wat("", "", &format!("(i64.const {verdict})"))
}

/// A guest: its name, its manifest, its module.
pub type Guest<'a> = (&'a str, &'a str, Vec<u8>);

pub struct Node {
    _configured: Configured,
    pub daemon: Daemon,
}

impl Node {
    /// A node with guests; `further` are more sections of its configuration.
    pub fn start(guests: &[Guest<'_>], further: &str) -> Self {
        let port = free_port();
        let mut text = format!(
            "[server]\nlisten = ['127.0.0.1:{port}']\nshards = 1\n[http]\nlisten = '127.0.0.1:0'\n\
             [control]\npath = 'control'\n"
        );
        if !further.contains("[platform]") {
            text += "[platform]\nworkers = 1\n";
        }
        let _ = write!(text, "{further}");
        let configured = Configured::new(&text);
        for (name, manifest, module) in guests {
            let dir = configured.path("apps.d").join(name);
            fs::create_dir_all(&dir).expect("there is room");
            fs::write(dir.join("app.toml"), manifest).expect("there is room");
            fs::write(dir.join(format!("{name}.wasm")), module).expect("there is room");
        }
        let mut command = Command::new(program());
        command.args(["run", "--config", &configured.config]);
        let daemon = Daemon::spawn(command, port);
        Self { _configured: configured, daemon }
    }

    pub fn ask(&self, name: &str) -> Vec<u8> {
        self.daemon.ask_udp(V4, &query(name, A))
    }

    /// The response code for a name.
    pub fn rcode(&self, name: &str) -> u8 {
        self.ask(name)[3] & 0xF
    }

    /// What it counts under this name with these labels.
    pub fn count(&self, series: &str) -> u64 {
        let text = get(self.daemon.http(), "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().expect("a number")
    }
}

/// A server that answers every query with an address, or with SERVFAIL below `servfail`; it counts them.
pub struct Upstream {
    pub address: SocketAddr,
    asked: Arc<AtomicU32>,
}

impl Upstream {
    pub fn start(last: u8) -> Self {
        let socket = UdpSocket::bind((V4, 0)).expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let asked = Arc::<AtomicU32>::default();
        let counted = Arc::clone(&asked);
        // It ends with the test.
        std::thread::spawn(move || {
            let mut packet = [0; 600];
            while let Ok((len, peer)) = socket.recv_from(&mut packet[..512]) {
                counted.fetch_add(1, Ordering::Relaxed);
                let end = 12 + packet[12..len].iter().position(|byte| *byte == 0).unwrap_or(0) + 5;
                let is_bad = packet[..end].windows(8).any(|part| part.eq_ignore_ascii_case(b"servfail"));
                let answers = u8::from(!is_bad);
                packet[2..12].copy_from_slice(&[0x84, 2 * u8::from(is_bad), 0, 1, 0, answers, 0, 0, 0, 0]);
                let answer = [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last];
                packet[end..end + 16].copy_from_slice(&answer);
                let len = if is_bad { end } else { end + 16 };
                let _ = socket.send_to(&packet[..len], peer);
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}
