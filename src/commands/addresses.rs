//! `as112d addresses`: the service addresses on this host, by the commands that an operator would type.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::announce::service::{self, PREFIXES, Prefix};
use crate::cli::{AddressesOptions, ServiceName};
use crate::problem::Problem;
use crate::zone::Service;

const LOOPBACK: &str = "lo";
/// How `ip` tells who is not root.
const NOT_PERMITTED: &str = "Operation not permitted";

/// Prints the commands, runs them, checks whether they were run, or undoes them.
///
/// # Errors
/// What is not there, or each command that failed; the others were run all the same.
pub fn addresses(options: &AddressesOptions) -> Result<String, Vec<Problem>> {
    if options.check {
        return check(options);
    }
    let commands = if options.undo { undo(options) } else { apply(options) };
    let mut out = String::new();
    let mut problems = Vec::new();
    for command in commands {
        if options.apply || options.undo {
            match ip(&command) {
                Ok(_) => {}
                // Every other command would say the same.
                Err(message) if message.contains(NOT_PERMITTED) => {
                    return Err(vec![Problem::plain(format!(
                        "ip {command}: {NOT_PERMITTED}; run this as root"
                    ))]);
                }
                Err(message) if options.undo && is_gone(&message) => continue,
                Err(message) => problems.push(Problem { place: format!("ip {command}"), message }),
            }
        }
        let _ = writeln!(out, "ip {command}");
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    if out.is_empty() {
        out.push_str("none of the addresses is there\n");
    }
    Ok(out)
}

/// How the kernel refuses to remove what is not there.
fn is_gone(message: &str) -> bool {
    // Newer kernels say the first as `Error: ipv4: Address not found.`, with a small letter for IPv6.
    let refusals =
        ["Cannot assign requested address", "ddress not found", "No such process", "Cannot find device"];
    refusals.iter().any(|refusal| message.contains(refusal))
}

/// The prefixes of the services that were named; of both if none was.
fn prefixes(options: &AddressesOptions) -> impl Iterator<Item = Prefix> {
    let meant = options.service.unwrap_or(ServiceName::Both);
    PREFIXES.into_iter().filter(move |prefix| meant.is_of(prefix.service))
}

/// The arguments of `ip`, for what can be said twice.
fn apply(options: &AddressesOptions) -> Vec<String> {
    let interface = &options.interface;
    let mut commands = Vec::new();
    if interface != LOOPBACK && !Path::new("/sys/class/net").join(interface).exists() {
        commands.push(format!("link add {interface} type dummy"));
    }
    commands.push(format!("link set {interface} up"));
    for prefix in prefixes(options) {
        for address in prefix.addresses {
            // Nobody else can have it, so there is nothing to detect.
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            commands.push(format!("{} dev {interface}{nodad}", of_address("replace", address)));
        }
        if options.whole_prefix {
            commands.push(format!("{} dev {interface}", of_prefix("replace", prefix)));
        }
    }
    commands
}

/// The arguments of `ip` that undo it. The loopback interface stays as it is.
fn undo(options: &AddressesOptions) -> Vec<String> {
    let interface = &options.interface;
    let mut commands = Vec::new();
    for prefix in prefixes(options) {
        if options.whole_prefix {
            commands.push(format!("{} dev {interface}", of_prefix("del", prefix)));
        }
        for address in prefix.addresses {
            commands.push(format!("{} dev {interface}", of_address("del", address)));
        }
    }
    if interface != LOOPBACK {
        commands.push(format!("link del {interface}"));
    }
    commands
}

fn of_address(verb: &str, address: &IpAddr) -> String {
    format!("address {verb} {address}/{}", if address.is_ipv4() { 32 } else { 128 })
}

/// A prefix of which every address is this host's.
fn of_prefix(verb: &str, prefix: Prefix) -> String {
    let family = if prefix.net.addr().is_ipv4() { "-4" } else { "-6" };
    format!("{family} route {verb} local {}", prefix.net)
}

/// Asks the kernel whether it would take a packet to each address as its own.
fn check(options: &AddressesOptions) -> Result<String, Vec<Problem>> {
    let mut out = String::new();
    let mut problems = Vec::new();
    for prefix in prefixes(options) {
        // In a whole prefix the last address is local as well.
        let last = options.whole_prefix.then(|| prefix.net.broadcast());
        for address in prefix.addresses.iter().copied().chain(last) {
            match device(address) {
                Ok(device) => {
                    let _ = writeln!(out, "{address} is local ({device})");
                }
                Err(message) => problems.push(Problem { place: address.to_string(), message }),
            }
        }
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

/// The interface on which an address is local.
fn device(address: IpAddr) -> Result<String, String> {
    // Where there is no route at all, that is what `ip` says.
    let route = ip(&format!("-json route get {address}"))
        .ok()
        .and_then(|text| serde_json::from_str::<Value>(&text).ok())
        .map(|mut routes| routes[0].take())
        .unwrap_or_default();
    match (route["type"].as_str(), route["dev"].as_str()) {
        (Some("local"), device) => Ok(device.unwrap_or_default().to_owned()),
        _ => {
            let service = match service::of(address) {
                Some(Service::Dname) => "as112-dname",
                _ => "as112-direct",
            };
            Err(format!("is not an address of this host; `as112d addresses --apply {service}` makes it one"))
        }
    }
}

/// Runs `ip`; what it printed.
fn ip(arguments: &str) -> Result<String, String> {
    // Debian has it where the PATH of a user does not look.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("ip").env("PATH", path).args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("cannot run ip: {error}; install iproute2"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { output.status.to_string() } else { said })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(service: Option<ServiceName>, interface: &str, whole_prefix: bool) -> AddressesOptions {
        AddressesOptions {
            service,
            apply: false,
            check: false,
            undo: false,
            interface: interface.to_owned(),
            whole_prefix,
        }
    }

    #[test]
    fn commands_are_printed_unless_they_are_to_be_run() {
        let printed = addresses(&options(Some(ServiceName::Dname), "dummy112", true)).unwrap();
        assert_eq!(
            printed,
            "ip link add dummy112 type dummy\n\
             ip link set dummy112 up\n\
             ip address replace 192.31.196.1/32 dev dummy112\n\
             ip -4 route replace local 192.31.196.0/24 dev dummy112\n\
             ip address replace 2001:4:112::1/128 dev dummy112 nodad\n\
             ip -6 route replace local 2001:4:112::/48 dev dummy112\n"
        );
        let printed = addresses(&options(None, "lo", false)).unwrap();
        assert_eq!(printed.lines().filter(|line| line.contains(" address replace ")).count(), 8);
        assert!(!printed.contains("dummy") && !printed.contains("route"));
    }

    #[test]
    fn what_is_not_there_needs_no_removal() {
        for (said, gone) in [
            ("RTNETLINK answers: Cannot assign requested address", true),
            ("Error: ipv4: Address not found.", true),
            ("Error: ipv6: address not found.", true),
            ("RTNETLINK answers: No such process", true),
            ("Cannot find device \"dummy112\"", true),
            ("RTNETLINK answers: Operation not permitted", false),
        ] {
            assert_eq!(is_gone(said), gone, "{said}");
        }
    }

    #[test]
    fn what_is_applied_is_taken_back() {
        for (interface, whole_prefix) in [("lo", false), ("lo", true), ("dummy112", true)] {
            let options = options(None, interface, whole_prefix);
            let noun = |command: &String| {
                let words = command.split(' ').filter(|word| !matches!(*word, "replace" | "add" | "del"));
                words
                    .filter(|word| !matches!(*word, "nodad" | "type" | "dummy"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let mut applied: Vec<String> =
                apply(&options).iter().filter(|command| !command.contains("link set")).map(noun).collect();
            let mut undone: Vec<String> = undo(&options).iter().map(noun).collect();
            applied.sort();
            undone.sort();
            assert_eq!(applied, undone);
        }
    }
}
