//! A node with applications.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::daemon::{Configured, Daemon, PATIENCE, V4, free_port, program};

/// A guest that says the same of every query.
pub fn guest(verdict: u64) -> Vec<u8> {
    event(&format!("(i64.const {verdict})"))
}

/// A guest whose events are `body`.
pub fn event(body: &str) -> Vec<u8> {
    let text = format!(
        "(module (memory (export \"memory\") 2)
           (func (export \"as112_abi\") (result i32) (i32.const 1))
           (func (export \"as112_area\") (result i32) (i32.const 1024))
           (func (export \"as112_start\") (param i32) (result i32) (i32.const 0))
           (func (export \"as112_event\") (param $kind i32) (param $token i32) (param $len i32) (result i64)
             {body}))"
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The verdict that a query gets this response code, and this extended error.
pub const fn coded(rcode: u8, error: u16) -> u64 {
    2 | (rcode as u64) << 8 | (error as u64 + 1) << 16
}

/// A node, and the directory that it reads.
pub struct Node {
    pub configured: Configured,
    pub daemon: Daemon,
}

/// Writes an application into a directory, as people do: the module under another name first.
pub fn put(configured: &Configured, name: &str, manifest: &str, module: &[u8]) {
    let dir = configured.path("apps.d").join(name);
    fs::create_dir_all(&dir).expect("there is room");
    fs::write(dir.join("app.toml"), manifest).expect("there is room");
    fs::write(dir.join("new"), module).expect("there is room");
    fs::rename(dir.join("new"), dir.join(format!("{name}.wasm"))).expect("renamed");
}

impl Node {
    /// One with these applications: name, manifest, module.
    pub fn start(apps: &[(&str, &str, Vec<u8>)]) -> Self {
        let port = free_port();
        let configured = Configured::new(&format!(
            "[server]\nlisten = ['127.0.0.1:{port}']\nshards = 1\n[http]\nlisten = '127.0.0.1:0'\n[control]\n\
             path = 'control'\n[platform]\nworkers = 1\n"
        ));
        for (name, manifest, module) in apps {
            put(&configured, name, manifest, module);
        }
        let mut command = Command::new(program());
        command.args(["run", "--config", &configured.config]);
        let daemon = Daemon::spawn(command, port);
        Self { configured, daemon }
    }

    pub fn address(&self) -> SocketAddr {
        self.daemon.address(V4)
    }

    pub fn put(&self, name: &str, manifest: &str, module: &[u8]) {
        put(&self.configured, name, manifest, module);
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.configured.path("apps.d").join(name)
    }

    /// What the node answers to a word on its control socket.
    pub fn ask(&self, word: &str) -> Value {
        let mut stream = UnixStream::connect(self.configured.path("control")).expect("the control socket");
        // A program that is not optimized takes its time over an endless start.
        stream.set_read_timeout(Some(6 * PATIENCE)).expect("a time-out");
        writeln!(stream, "as112d 1 {word}").expect("asked");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Reads the configuration again, which is right.
    pub fn reload(&self) {
        let answer = self.ask("reload");
        assert!(answer["ok"] == true, "{answer}");
    }

    /// Reads it again, which has these mistakes.
    pub fn fail_to_reload(&self) -> String {
        let answer = self.ask("reload");
        assert!(answer["ok"] == false, "{answer}");
        answer["problems"].to_string()
    }

    /// The application of this name, as `apps list` has it.
    pub fn app(&self, name: &str) -> Value {
        let answer = self.ask("apps");
        let apps = answer["apps"].as_array().expect("a list");
        apps.iter().find(|app| app["name"] == name).cloned().unwrap_or_default()
    }

    /// What a command says of this node's configuration.
    pub fn run(&self, arguments: &[&str]) -> Output {
        run(&self.configured, arguments)
    }
}

/// What a command says of a configuration.
pub fn run(configured: &Configured, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).args(["--config", &configured.config]).output().expect("it runs")
}

/// All that a command has said.
pub fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}
