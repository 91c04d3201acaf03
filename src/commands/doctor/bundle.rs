//! `doctor --bundle`: one file with what a bug report needs. It is text: whoever sends it can
//! read before what he sends.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::Value;

use super::host::Host;
use crate::cli::ServeOptions;
use crate::commands::asking::Node;
use crate::config::{self, Wanted};
use crate::limits::BUNDLE_PART_LEN_MAX;

/// Files that are looked at.
const FILES: [&str; 14] = [
    "etc/os-release",
    "proc/version",
    "proc/sys/kernel/io_uring_disabled",
    "proc/self/status",
    "proc/self/limits",
    "proc/self/cgroup",
    "sys/fs/cgroup/cpu.max",
    "sys/fs/cgroup/memory.max",
    "proc/meminfo",
    "proc/interrupts",
    "proc/net/snmp",
    "proc/net/snmp6",
    "proc/net/softnet_stat",
    "proc/net/sockstat",
];
/// What tools say of the host, and of each NIC.
const TOOLS: [&str; 6] = [
    "lscpu",
    "ip -s link",
    "ip address",
    "nft list ruleset",
    "sysctl net.core net.ipv4.udp_mem net.ipv4.udp_early_demux net.netfilter",
    "ss -lnup",
];
const CARD_TOOLS: [&str; 6] = ["-i", "-l", "-g", "-k", "-x", "-S"];
/// Words in the name of a key whose value is nobody's business.
const SECRET: [&str; 5] = ["secret", "password", "passphrase", "token", "credential"];

/// Keys whose value is a command.
const COMMANDS: [&str; 2] = ["birdc", "command"];

/// Everything, each part under its name. What is not there is left out.
pub(super) fn collect(
    host: &Host,
    report: &str,
    serve: &ServeOptions,
    node: &Node,
    status: Option<&Value>,
) -> String {
    let mut out = format!(
        "as112d {}; made by `as112d doctor --bundle`. It tells much of this host, such as its addresses, \
         firewall and sockets: read it before you send it\n",
        env!("CARGO_PKG_VERSION")
    );
    part(&mut out, "doctor", report);
    let wanted = Wanted { effective: true, origin: true };
    let shown = config::show(serve.config.config.as_deref(), &serve.flags(), wanted);
    let shown = shown
        .unwrap_or_else(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    part(&mut out, "configuration", &redacted(&shown));
    for path in FILES {
        if let Some(text) = host.text(path) {
            part(&mut out, &format!("/{path}"), &text);
        }
    }
    let mut tools: Vec<Vec<&str>> = TOOLS.iter().map(|line| line.split(' ').collect()).collect();
    let cards = host.cards();
    for card in &cards {
        tools.extend(CARD_TOOLS.iter().map(|option| vec!["ethtool", option, card]));
        tools.push(vec!["ethtool", "-n", card, "rx-flow-hash", "udp4"]);
    }
    for words in tools {
        if let Some(text) = host.tool(&words) {
            part(&mut out, &words.join(" "), &text);
        }
    }
    if let Some(status) = status {
        part(&mut out, "status", &format!("{status:#}"));
    }
    for path in ["/stats.json", "/metrics"] {
        match node.get(path) {
            Ok(text) => part(&mut out, &format!("{}{path}", node.url()), &text),
            Err(error) => part(&mut out, &format!("{}{path}", node.url()), &error.to_string()),
        }
    }
    out
}

/// A part, with an end to what is too long.
fn part(out: &mut String, name: &str, text: &str) {
    let mut end = text.len().min(BUNDLE_PART_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.push_str(&format!("\n==== {name}\n{}\n", text[..end].trim_end()));
    if end < text.len() {
        out.push_str(&format!("... and {} bytes more\n", text.len() - end));
    }
}

/// The configuration without what should not leave the host: what is called a secret, and all words of
/// commands but the program.
fn redacted(shown: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some((key, _)) if SECRET.iter().any(|word| key.contains(word)) => format!("{key} = (left out)\n"),
        Some((key, _)) if COMMANDS.contains(&key) => format!("{key} = {}\n", program(line, key)),
        _ => format!("{line}\n"),
    };
    shown.lines().map(line).collect()
}

/// The list of words that a line gives to `key`, without those after the first.
fn program(line: &str, key: &str) -> String {
    let table: toml::Table = line.parse().unwrap_or_default();
    match table.get(key).and_then(|words| words.as_array()).map(Vec::as_slice) {
        Some([]) => "[]".to_owned(),
        Some([program]) => format!("[{program}]"),
        Some([program, more @ ..]) => format!("[{program}, ({} more words left out)]", more.len()),
        None => "(left out)".to_owned(),
    }
}

/// Writes a new file that only its owner may read: it tells much of a host.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::host::tests::host;

    #[test]
    fn a_bundle_has_what_there_is_and_no_secret() {
        let (_folder, host) = host(&[
            ("proc/version", "Linux 6.12\n"),
            ("tools/lscpu", "CPUs: 2"),
            ("sys/class/net/eth0/device/vendor", "1"),
            ("sys/class/net/eth0/operstate", "up"),
            ("tools/ethtool -l eth0", "Combined: 4"),
        ]);
        let node = Node::at("http://127.0.0.1:1".to_owned()).unwrap();
        let text = collect(&host, "good  all\n", &ServeOptions::default(), &node, Some(&"said".into()));
        for part in [
            "\n==== doctor\ngood  all\n",
            "\n==== configuration\n",
            "shards = \"auto\"",
            "\n==== /proc/version\nLinux 6.12\n",
            "\n==== status\n\"said\"\n",
            "\n==== lscpu\nCPUs: 2\n",
            "\n==== ethtool -l eth0\nCombined: 4\n",
            "\n==== http://127.0.0.1:1/stats.json\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains("meminfo"), "{text}");
        let commands = "command = [\"/etc/gobgp\", \"--token\", \"x\"] # f:1:2\nbirdc = [\"birdc\"]\n\
                        command = []\ncommand = [";
        let expected = "command = [\"/etc/gobgp\", (2 more words left out)]\nbirdc = [\"birdc\"]\n\
                        command = []\ncommand = (left out)\n";
        assert_eq!(redacted(commands), expected);
        let shown = "shards = 2\napi_token = \"abc\" # f:1:2\n";
        assert_eq!(redacted(shown), "shards = 2\napi_token = (left out)\n");
    }

    #[test]
    fn parts_and_files_have_their_bounds() {
        let mut out = String::new();
        part(&mut out, "x", &"é".repeat(BUNDLE_PART_LEN_MAX));
        assert!(out.len() < BUNDLE_PART_LEN_MAX + 100 && out.ends_with("bytes more\n"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b");
        write(&path, "text").unwrap();
        assert_eq!(write(&path, "again").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
