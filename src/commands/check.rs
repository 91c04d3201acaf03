//! `as112d check`: what `run` would serve, without serving it.

mod maps;

use std::fmt::{self, Write as _};

use crate::cli::CheckOptions;
use crate::config::loaded::Loaded;
use crate::config::written::SizeText;
use crate::config::{self, Config};
use crate::daemon::apps;
use crate::daemon::memory::{Bound, Footprint, Limit};
use crate::daemon::placement::Placement;
use crate::daemon::platform;
use crate::daemon::written;
use crate::problem::Problem;
use crate::stats::labels::Names;
use crate::sys::{confine, user};
use crate::zone::{self, Service, ZoneSet};

/// Loads everything as `run` would, and tells of it. What `run` would serve without is a warning.
///
/// # Errors
/// All that would keep `run` from starting; with `--strict` every warning too.
pub fn check(options: &CheckOptions) -> Result<String, Vec<Problem>> {
    let CheckOptions { serve: options, strict } = options;
    let config = config::load(options.config.config.as_deref(), &options.flags())?;
    let (loaded, placement) = (Loaded::read(&config, &Names::default()), Placement::with_user(&config));
    let errors = [loaded.as_ref().err(), placement.as_ref().err()];
    let mut problems: Vec<Problem> = errors.into_iter().flatten().flatten().cloned().collect();
    // As who will write there, because root may more. A user that is not there was told of above.
    let is_root = user::is_root();
    let mut warnings = Vec::new();
    if !is_root || confine::become_user(config.user.as_deref()).is_ok() {
        let (errors, told) = written(&config);
        problems.extend(errors);
        warnings = told;
    }
    let (Ok(loaded), Ok(mut placement)) = (loaded, placement) else { return Err(problems) };
    if !problems.is_empty() {
        return Err(problems);
    }
    let policy = loaded.snapshot.policy();
    let workers = platform::workers(&config, policy)?;
    let apps = apps::of(&loaded.snapshot);
    let memory = Bound::new(&config, placement.places.len(), workers, &apps, Footprint::now());
    placement.notes.extend(memory.within(Limit::here().as_ref())?);
    warnings.extend(config.notes().into_iter().map(Problem::plain));
    warnings.extend(loaded.zones.warnings.iter().chain(&loaded.unread).cloned());
    if *strict && !warnings.is_empty() {
        return Err(warnings);
    }
    let mut out = String::new();
    let mut told = platform::told(&config, policy, &apps, &placement, workers);
    if let Some(tailor) = loaded.snapshot.tailor() {
        told.extend(maps::told(tailor, &loaded.zones));
    }
    report(&config, &loaded.zones, &placement, &memory, &told, &warnings, &mut out)
        .expect("a String takes all that is written");
    Ok(out)
}

fn report(
    config: &Config,
    zones: &ZoneSet,
    placement: &Placement,
    memory: &Bound,
    rules: &[(&str, String)],
    warnings: &[Problem],
    out: &mut String,
) -> fmt::Result {
    let addresses: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    line(out, "listen", &addresses.join(" "))?;
    line(out, "shards", &format!("{} ({})", placement.places.len(), config.shards))?;
    line(out, "cpus", &config.cpus.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string))?;
    line(out, "steer", &placement.steered)?;
    line(out, "busy_poll", &config.busy_poll.to_string())?;
    for note in &placement.notes {
        line(out, "note", note)?;
    }
    line(out, "datapath", &config.datapath.to_string())?;
    let (rcvbuf, sndbuf) = (SizeText(config.rcvbuf), SizeText(config.sndbuf));
    line(out, "buffers", &format!("{rcvbuf} to receive, {sndbuf} to send"))?;
    line(out, "memory", &memory.to_string())?;
    for (key, text) in rules {
        line(out, key, text)?;
    }
    line(out, "http", &config.http.to_string())?;
    if let Some(settings) = &config.announce {
        let nets: Vec<String> = settings.routes.iter().map(|(net, _)| net.to_string()).collect();
        line(out, "announce", &format!("{} by {}", nets.join(" "), settings.router))?;
    }
    for (name, dir) in config.export.folders() {
        line(out, "export", &format!("{name} to {}", dir.display()))?;
    }
    line(out, "log", &config.log.to_string())?;
    if let Some(query_log) = &config.query_log {
        line(out, "query_log", &query_log.to_string())?;
    }
    if let Some(dnstap) = &config.dnstap {
        line(out, "dnstap", &dnstap.to_string())?;
    }
    if !config.xdp.interfaces.is_empty() {
        line(out, "xdp", &format!("{} ({})", config.xdp.interfaces.join(" "), config.xdp.mode))?;
    }
    line(out, "zones", &count(zones))?;

    let identity = &config.identity;
    line(out, "node", &identity.node)?;
    line(out, "nsid", &printable(&config.nsid))?;
    for (key, text) in
        [("facility", &identity.facility), ("location", &identity.location), ("loc", &identity.loc)]
    {
        if let Some(text) = text {
            line(out, key, text)?;
        }
    }
    for text in &identity.extra_txt {
        line(out, "extra_txt", text)?;
    }
    for address in &identity.unique_ip {
        line(out, "unique_ip", &address.to_string())?;
    }
    for missing in zone::missing(identity) {
        line(out, "missing", &missing)?;
    }
    for warning in warnings {
        line(out, "warning", &warning.to_string())?;
    }
    writeln!(out, "\nThe configuration is valid.")
}

fn line(out: &mut String, key: &str, value: &str) -> fmt::Result {
    writeln!(out, "{key:<10} {value}")
}

/// How many zones there are, and of which groups.
fn count(zones: &ZoneSet) -> String {
    let groups = [
        (Service::Direct, "direct"),
        (Service::Dname, "dname"),
        (Service::Hostname, "hostname"),
        (Service::Special, "special-use"),
        (Service::Configured, "configured"),
    ];
    let counts = groups.iter().filter_map(|(service, name)| {
        let count = zones.zones.iter().filter(|zone| zone.service == *service).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    let counts: Vec<String> = counts.collect();
    format!("{} ({})", zones.zones.len(), counts.join(", "))
}

/// Bytes as text where they are text, else in hexadecimal.
fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Cpus, Flags};
    use crate::daemon::placement::ShardPlacement;
    use crate::dns::name::Name;
    use crate::work::sandbox::Apps;
    use crate::zone::Zone;

    #[test]
    fn report_tells_what_would_be_served() {
        let mut config = config::load(None, &Flags::default()).unwrap();
        config.listen = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        config.cpus = Some(Cpus::Physical);
        let place = ShardPlacement { cpu: None, queues: vec![], why: String::new() };
        let placement = Placement {
            places: vec![place.clone(), place],
            steering: None,
            steered: "off (as configured)".to_owned(),
            notes: vec!["a note".to_owned()],
            spare: Vec::new(),
        };
        config.nsid = vec![0xC0, 0xFF];
        config.identity = zone::Identity {
            node: "node-1".to_owned(),
            location: Some("Lisbon, Portugal".to_owned()),
            extra_txt: vec!["noc@example.net".to_owned()],
            unique_ip: vec!["192.0.2.1".parse().unwrap()],
            ..zone::Identity::default()
        };
        let zone = |service| Zone::new(&Name::root(), service, &[]);
        let zones = ZoneSet {
            zones: vec![zone(Service::Direct), zone(Service::Configured), zone(Service::Direct)],
            ..ZoneSet::default()
        };
        let warnings = [Problem { place: "a.zone:3".to_owned(), message: "odd".to_owned() }];
        let memory = Bound::new(&config, 2, 0, &Apps::default(), Footprint::now());
        let mut out = String::new();
        let rules = [("workers", "0 (auto): no rule needs one".to_owned())];
        report(&config, &zones, &placement, &memory, &rules, &warnings, &mut out).unwrap();
        let expected = "\
listen     192.0.2.1:53 [2001:db8::1]:53
shards     2 (auto)
cpus       physical
steer      off (as configured)
busy_poll  0
note       a note
datapath   auto
buffers    8MiB to receive, 4MiB to send
memory     MEMORY
workers    0 (auto): no rule needs one
http       127.0.0.1:9112, if it is free
log        info and above, as text, to standard error
zones      3 (2 direct, 1 configured)
node       node-1
nsid       0xc0ff
location   Lisbon, Portugal
extra_txt  noc@example.net
unique_ip  192.0.2.1
";
        assert!(out.starts_with(&expected.replace("MEMORY", &memory.to_string())), "{out}");
        assert!(out.ends_with("\n\nThe configuration is valid.\n"), "{out}");
        assert!(out.contains("\nwarning    a.zone:3: odd\n"), "{out}");
        let missing = zone::missing(&config.identity);
        assert_eq!(out.lines().filter(|line| line.starts_with("missing ")).count(), missing.len());
    }

    #[test]
    fn nsid_prints_as_text_where_it_is_text() {
        assert_eq!(printable("nœud".as_bytes()), "nœud");
        assert_eq!(printable(b"a\0"), "0x6100");
        assert_eq!(printable(&[0xFF]), "0xff");
    }
}
