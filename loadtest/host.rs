//! What the figures were measured on.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::tools::{self, Tool};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// What and its value, in the order of the report.
    pub facts: Vec<(String, String)>,
}

impl Host {
    pub fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let of_cpu = |label: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(label));
            line.and_then(|line| line.split_once(':')).map_or("unknown", |line| line.1.trim()).to_owned()
        };
        let is_virtual = of_cpu("flags").split(' ').any(|flag| flag == "hypervisor");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory =
            memory.lines().next().unwrap_or_default().trim_start_matches("MemTotal:").trim().to_owned();
        let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = system.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
        let governor = first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
        let facts = [
            ("CPU", of_cpu("model name")),
            ("CPUs", cpuinfo.lines().filter(|line| line.starts_with("processor")).count().to_string()),
            ("machine", if is_virtual { "virtual" } else { "not known to be virtual" }.to_owned()),
            ("frequency governor", governor.unwrap_or_else(|| "none visible".to_owned())),
            ("mitigations", mitigations()),
            ("memory", memory),
            ("system", system.trim_matches('"').to_owned()),
            ("kernel", ["osrelease", "version"].map(kernel).join(", ")),
            ("net.core.rmem_max", first_line("/proc/sys/net/core/rmem_max").unwrap_or_default()),
            ("load when it began", first_line("/proc/loadavg").unwrap_or_default()),
            ("source", revision()),
            (
                "harness",
                if cfg!(debug_assertions) { "built without optimisation" } else { "optimised" }.to_owned(),
            ),
        ];
        let tools = [(tools::DNSPERF, "-h"), (tools::KXDPGUN, "-V"), (tools::FLAME, "--version")];
        let tools = tools.map(|(tool, argument)| (tool.program.to_owned(), version(tool, argument)));
        let facts = facts.map(|(name, value)| (name.to_owned(), value));
        Self { facts: facts.into_iter().chain(tools).collect() }
    }
}

fn kernel(what: &str) -> String {
    first_line(&format!("/proc/sys/kernel/{what}")).unwrap_or_default()
}

fn first_line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

/// Mitigations that cost something, as the kernel tells them.
fn mitigations() -> String {
    let Ok(files) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return "unknown".to_owned();
    };
    let mut found: Vec<String> = files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let line = first_line(path.to_str()?)?;
            let what = line.strip_prefix("Mitigation: ")?;
            Some(format!("{}: {}", path.file_name()?.to_str()?, what.split(';').next()?))
        })
        .collect();
    found.sort();
    if found.is_empty() { "none".to_owned() } else { found.join("; ") }
}

/// The commit that was built, and whether files differ from it.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let is_changed = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    if is_changed { format!("{commit}, with changes") } else { commit }
}

fn version(tool: Tool, argument: &str) -> String {
    let Some(path) = tool.find() else { return format!("not installed: {}", tool.origin) };
    let output = Command::new(path).arg(argument).output();
    let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    // dnsperf says it at the end of its help.
    let line = said.lines().find(|line| line.contains("ersion") || line.contains("(Knot DNS)"));
    line.or_else(|| said.lines().next()).unwrap_or("unknown").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_described() {
        let host = Host::read();
        let fact = |name: &str| &host.facts.iter().find(|(key, _)| key == name).unwrap().1;
        assert!(fact("CPUs").parse::<usize>().unwrap() > 0);
        assert!(fact("kernel").contains(", #"), "{}", fact("kernel"));
        assert!(fact("memory").ends_with("kB"));
        assert!(host.facts.iter().all(|(_, value)| !value.is_empty()));
    }
}
