//! A directory with a publisher's settings, keys, and a fleet's tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The exit code of what cannot be done as it was asked for.
pub const USAGE: i32 = 2;

/// A zone, with one address.
pub const ZONE: &str = "\
@ 3600 IN SOA ns.example.org. noc.example.org. 1 3600 600 86400 3600
@ 3600 IN NS ns.example.org.
www 3600 IN A 192.0.2.1
";

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// What it printed, as all is well.
    pub fn ok(self) -> String {
        assert!(self.code == 0, "{self:?}");
        self.out
    }

    /// What it said, as it failed like this.
    pub fn fails(self, code: i32) -> String {
        assert!(self.code == code, "{self:?}");
        self.err
    }

    /// What it printed, as something is off.
    pub fn off(self) -> String {
        assert!(self.code == 1 && self.err.is_empty(), "{self:?}");
        self.out
    }

    pub fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

pub struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    /// One person who publishes alone.
    pub fn new() -> Self {
        let desk = Self::bare();
        let key = desk.keygen("ann");
        desk.settings(&[&key], 1, &["ann"], "");
        desk
    }

    pub fn bare() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// Writes the settings; `tables` follow the main section.
    pub fn settings(&self, keys: &[&str], threshold: u8, secret_keys: &[&str], tables: &str) {
        let secret_keys: Vec<String> = secret_keys.iter().map(|name| format!("{name}.key")).collect();
        let text = format!(
            "fleet = \"as112\"\nat = \"dir:tree\"\nby = \"ann\"\nkeys = {keys:?}\nthreshold = {threshold}\n\
             secret_keys = {secret_keys:?}\n{tables}\n"
        );
        self.write("fleet.toml", &text);
    }

    /// A key without a password; its public half.
    pub fn keygen(&self, name: &str) -> String {
        let told = self.run(&["keygen", name, "--no-password", "--json"]).json();
        told["key"].as_str().unwrap().to_owned()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// All files of the tree.
    pub fn tree(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.path("tree")]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    pub fn run(&self, args: &[&str]) -> Done {
        let output = Command::new(program()).args(args).current_dir(self.folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What another program says here.
    pub fn other(&self, program: &str, args: &[&str]) -> bool {
        let status = Command::new(program).args(args).current_dir(self.folder.path()).output();
        status.unwrap().status.success()
    }

    /// A node says what it has; `more` are further fields.
    pub fn report(&self, node: &str, has: &str, more: &[(&str, Value)]) {
        let mut report = serde_json::json!({ "node": node, "has": has, "version": "0.1.0" });
        for (key, value) in more {
            report[*key] = value.clone();
        }
        self.write(&format!("tree/as112/status/{node}"), &report.to_string());
    }

    /// Publishes a release with this text in its configuration; its name.
    pub fn publish(&self, text: &str, args: &[&str]) -> String {
        self.write("site/config.toml", &format!("# {text}\n"));
        let told = self.run(&[&["publish", "site", "--json"][..], args].concat()).json();
        told["release"].as_str().unwrap().to_owned()
    }

    /// What the pointer of a scope says, as JSON.
    pub fn pointer(&self, scope: &str) -> Value {
        let file = self.read(&format!("tree/as112/pointers/{scope}"));
        serde_json::from_str(file.lines().next().unwrap()).unwrap()
    }

    /// Splits a pointer or a roll into its line and its signatures, as files for minisign.
    pub fn split(&self, name: &str) -> (String, String) {
        let file = self.read(name);
        let (line, signatures) = file.split_once('\n').unwrap();
        self.write("line", line);
        self.write("line.minisig", signatures);
        (line.to_owned(), signatures.to_owned())
    }
}

/// The program: that of `tests/run`, or else the one that was built with this.
fn program() -> PathBuf {
    std::env::var_os("AS112D_FLEET_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_as112d-fleet").into()).into()
}

/// Whether Debian's minisign is here.
pub fn has_minisign() -> bool {
    Path::new("/usr/bin/minisign").exists()
}
