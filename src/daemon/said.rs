//! What is said at the start, line by line, in the order in which a newcomer needs it.

use std::fs;
use std::net::SocketAddr;

use super::memory::Bound;
use super::placement::Placement;
use super::watched::Remembered;
use crate::announce::probe::reachable;
use crate::config::apps::notes;
use crate::config::doors::DEFAULT_ADDRESS;
use crate::config::{Config, CpuList};
use crate::log::{Level, Log};
use crate::net::Net;
use crate::policy::Policy;
use crate::sys::confine::Confined;
use crate::web::{Listeners, Opened};
use crate::work::sandbox::Apps;

/// The port where dig needs no `-p`.
const DNS_PORT: u16 = 53;

/// The lines, each with its level.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<(Level, String)>);

impl Lines {
    pub(super) fn say(&mut self, line: impl Into<String>) {
        self.0.push((Level::Info, line.into()));
    }

    pub(super) fn warn(&mut self, line: impl Into<String>) {
        self.0.push((Level::Warning, line.into()));
    }

    pub(super) fn log(&self, log: &Log) {
        for (level, line) in &self.0 {
            match level {
                Level::Info => log.info(line),
                Level::Error => log.error(line),
                _ => log.warning(line),
            }
        }
    }

    /// What this is, where its page is, and the addresses with the buffers that the kernel gave each. Those
    /// that are `absent` are not reachable yet.
    pub(super) fn begin(
        config: &Config,
        zones: usize,
        http: &Listeners,
        buffers: &[(usize, usize)],
        absent: &[SocketAddr],
    ) -> Self {
        let mut lines = Self::default();
        let node = &config.identity.node;
        lines.say(format!("as112d {} as {node}, serving {zones} zones", env!("CARGO_PKG_VERSION")));
        if let Some(address) = http.operator.address() {
            lines.say(format!("web: http://{address}/ (metrics: /metrics, operator's view: /node)"));
        }
        if let Some(address) = http.public.address() {
            lines.say(format!("public page: http://{address}/"));
        }
        if let Opened::Busy(error) = &http.operator {
            let error = error.kind();
            lines.say(format!("web: off; {DEFAULT_ADDRESS}: {error} (choose another address with --http)"));
        }
        for (address, (receive, send)) in config.listen.iter().zip(buffers) {
            let (receive, send) = (receive / 1024, send / 1024);
            lines.say(format!("listening on {address} (buffers: receive {receive} KiB, send {send} KiB)"));
        }
        absent.iter().for_each(|address| lines.warn(is_absent(*address)));
        lines
    }

    /// The datapath, what is answered in the driver, and the shards.
    pub(super) fn serving(
        &mut self,
        config: &Config,
        net: &Net,
        placement: &Placement,
        descriptors: u64,
        xdp: Vec<String>,
    ) {
        self.say(format!("datapath: {} ({})", net.datapath, net.reason));
        xdp.into_iter().for_each(|line| self.say(line));
        let pinned: Vec<usize> = placement.cpus().into_iter().flatten().collect();
        let place =
            if pinned.is_empty() { "not pinned".to_owned() } else { format!("on CPUs {}", CpuList(&pinned)) };
        let count = placement.places.len();
        self.say(format!("shards: {count}, {place}; at most {descriptors} open files"));
        if placement.steering.is_some() {
            self.say(format!("steering: {}", placement.steered));
        }
        if config.busy_poll > 0 {
            self.say(format!("busy polling: {} microseconds before a shard sleeps", config.busy_poll));
        }
        placement.notes.iter().for_each(|note| self.warn(note));
    }

    /// The rules, the workers for them, and the upstreams that they name.
    pub(super) fn rules(&mut self, policy: &Policy, workers: usize) {
        let rules = policy.rules().len();
        if rules == 0 && workers == 0 {
            return;
        }
        let upstreams: Vec<&str> = policy.upstreams().iter().map(|upstream| upstream.name.as_str()).collect();
        let asked = if upstreams.is_empty() {
            String::new()
        } else {
            format!("; upstreams: {}", upstreams.join(", "))
        };
        self.say(format!("rules: {rules} (as112d rules list has them); workers: {workers}{asked}"));
    }

    /// The applications, and what an operator should know of them.
    pub(super) fn apps(&mut self, apps: &Apps, policy: &Policy) {
        if apps.apps.is_empty() {
            return;
        }
        let names: Vec<&str> = apps.apps.iter().map(|app| app.manifest.name.as_str()).collect();
        self.say(format!("applications: {} (as112d apps list has them): {}", names.len(), names.join(", ")));
        notes(apps, policy).into_iter().for_each(|note| self.warn(note));
    }

    /// Which privileges the process dropped, what memory it holds now, and what that can come to.
    pub(super) fn process(&mut self, confined: &Confined, memory: &Bound) {
        let Confined { user, landlock, seccomp, notes, .. } = confined;
        self.say(format!("confined: user {user}, no capabilities, landlock {landlock}, seccomp {seccomp}"));
        notes.iter().for_each(|note| self.warn(note));
        let now = held_now().map_or_else(String::new, |mebibytes| format!("{mebibytes} MiB now; "));
        self.say(format!("memory: {now}{} (as112d check has the parts)", memory.brief()));
    }

    /// The history, files for other programs, and the query log and dnstap.
    pub(super) fn kept(&mut self, config: &Config, remembered: &Remembered) {
        self.say(remembered.line.clone());
        remembered.trouble(config).into_iter().for_each(|why| self.0.push((Level::Error, why)));
        for (name, dir) in config.export.folders() {
            // Its thread tells whether it can be written.
            self.say(format!("export: {name} to {}", dir.display()));
        }
        config.query_log.iter().for_each(|query_log| self.say(format!("query log: {query_log}")));
        config.dnstap.iter().for_each(|dnstap| self.say(format!("dnstap: {dnstap}")));
    }

    /// A query to try, if somebody looks on.
    pub(super) fn try_it(&mut self, first: SocketAddr, is_read: bool) {
        if is_read {
            let port = if first.port() == DNS_PORT { String::new() } else { format!(" -p {}", first.port()) };
            self.say(format!("try: dig @{}{port} -x 192.168.1.1", reachable(first.ip())));
        }
    }
}

/// What is said of an address that the node listens on, and that is not reachable yet.
pub fn is_absent(address: SocketAddr) -> String {
    format!("{} is on no interface of this host yet", address.ip())
}

/// MiB of memory that this process holds, rounded up.
fn held_now() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::memory::Footprint;

    fn texts(lines: &Lines) -> Vec<&str> {
        lines.0.iter().map(|(_, line)| line.as_str()).collect()
    }

    #[test]
    fn dig_is_told_the_port_where_it_is_another_than_its_own() {
        let mut lines = Lines::default();
        for listen in ["127.0.0.1:5300", "192.175.48.1:53", "0.0.0.0:53"] {
            lines.try_it(listen.parse().unwrap(), true);
            lines.try_it(listen.parse().unwrap(), false);
        }
        let expected = ["@127.0.0.1 -p 5300", "@192.175.48.1", "@127.0.0.1"]
            .map(|server| format!("try: dig {server} -x 192.168.1.1"));
        assert_eq!(texts(&lines), expected);
    }

    #[test]
    fn memory_is_what_is_held_before_what_it_may_become() {
        let mut lines = Lines::default();
        let config = crate::config::load(None, &crate::config::Flags::default()).unwrap();
        lines.process(&Confined::default(), &Bound::new(&config, 1, 0, &Apps::default(), Footprint::now()));
        let (now, rest) = texts(&lines)[1].split_once(" MiB now; bounded at ").unwrap();
        let now: usize = now.strip_prefix("memory: ").unwrap().parse().unwrap();
        assert!((1..1000).contains(&now), "{now}");
        assert!(rest.ends_with(" of kernel socket buffers (as112d check has the parts)"), "{rest}");
    }
}
