//! `as112d config init`: a first configuration, with comments, and what to do next.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use toml::Value;

use crate::announce::service;
use crate::cli::InitOptions;
use crate::config::doors::DEFAULT_ADDRESS;
use crate::config::listen::Listen;
use crate::config::written::{Text, Written as _};
use crate::config::{self, Flags};
use crate::limits::TEXT_LEN_MAX;
use crate::problem::Problem;

/// The file. Each `{key}` becomes what was given for it, or an example after a `#`.
const TEMPLATE: &str = r#"# Configuration of an AS112 node. A setting after a # is an example.
# `as112d config show --effective -c FILE` prints every key and its value. Relative paths begin in the
# directory of this file.

[server]
# Addresses; the port is 53 unless one is given. as112-direct: those of RFC 7534, as112-dname: those of
# RFC 7535, as112: both.
{listen}
# User to run as once the sockets are open, if root starts it. Default: as112d if there is such a user,
# else nobody.
# user = "as112d"

[identity]
# What hostname.as112.net and hostname.as112.arpa say of this node (RFC 7534, section 3.5). Default for the
# name: the host's.
{node}
{facility}
{location}
# Further lines: a contact, the policy of the network.
{extra_txt}
# The node's own addresses, which reach no other node.
# unique_ip = ["192.0.2.53"]

[http]
# The public page, /metrics and, for this host only, /node. Everybody who can reach the address can read it.
{http}

[history]
# Directory that keeps the statistics over a restart. The node's user must be able to write to it.
{history}

[announce]
# Has `as112d announce` make a router announce the prefixes while the node answers: "bird", "exabgp" or
# "command".
# router = "bird"
"#;

/// Writes the file, or prints it where none is named. A file that is there is never written to.
///
/// # Errors
/// If the options do not fit together, or the file is there or cannot be written.
pub fn init(options: &InitOptions) -> Result<String, Vec<Problem>> {
    let listen = if options.listen.is_empty() { vec!["as112".to_owned()] } else { options.listen.clone() };
    // What does not fit together is found as on the command line of `run`.
    let given = |text: &String| Listen::read(text).map_err(Problem::alone);
    let flags = Flags { listen: listen.iter().map(given).collect::<Result<_, _>>()?, ..Flags::default() };
    let addresses = config::load(None, &flags)?.listen;
    let text = text(options, listen);
    let Some(file) = &options.file else { return Ok(text) };
    write(file, &text).map_err(|error| vec![not_written(file, &error)])?;
    let has_service = addresses.iter().any(|address| service::of(address.ip()).is_some());
    Ok(next_steps(file, has_service))
}

fn text(options: &InitOptions, listen: Vec<String>) -> String {
    let line = |text: &Option<Text<TEXT_LEN_MAX>>| text.as_ref().map(|text| Value::String(text.0.clone()));
    let list = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    let settings = [
        ("listen", "listen", Some(list(listen)), ""),
        ("node", "node", options.node.as_ref().map(|node| node.0.clone().into()), "\"as112-1.example.net\""),
        ("facility", "facility", line(&options.facility), "\"Example Internet Exchange\""),
        ("location", "location", line(&options.location), "\"Lisbon, Portugal\""),
        (
            "extra_txt",
            "extra_txt",
            options.contact.as_ref().map(|contact| list(vec![contact.0.clone()])),
            "[\"noc@example.net\"]",
        ),
        (
            "http",
            "listen",
            options.http.map(|http| Value::String(http.to_string())),
            &format!("\"{DEFAULT_ADDRESS}\""),
        ),
        ("history", "dir", line(&options.history), "\"/var/lib/as112d\""),
    ];
    let mut out = TEMPLATE.to_owned();
    for (place, key, value, example) in settings {
        let setting =
            value.map_or_else(|| format!("# {key} = {example}"), |value| format!("{key} = {value}"));
        out = out.replace(&format!("\n{{{place}}}\n"), &format!("\n{setting}\n"));
    }
    out
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(file)?.write_all(text.as_bytes())
}

fn not_written(file: &Path, error: &io::Error) -> Problem {
    let why = match error.kind() {
        io::ErrorKind::AlreadyExists => "exists already, and is left as it is; give another name".to_owned(),
        io::ErrorKind::NotFound => "cannot be written: its directory does not exist".to_owned(),
        _ => format!("cannot be written: {error}; give a file in a directory that you may write to"),
    };
    Problem { place: file.display().to_string(), message: why }
}

/// What to do with the file, command by command.
fn next_steps(file: &Path, has_service: bool) -> String {
    let name = file.display();
    let mut steps = vec![
        (format!("as112d check -c {name}"), "is it valid, and what would be served?"),
        (format!("as112d doctor -c {name}"), "is this host ready?"),
        (format!("as112d -c {name}"), "run (as root, for port 53)"),
        (format!("as112d probe -c {name}"), "does it answer?"),
    ];
    if has_service {
        steps.insert(
            2,
            ("as112d addresses --apply".to_owned(), "add the service addresses to this host (as root)"),
        );
    }
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let mut out = format!("{name} is written. Edit it as you like, then:\n");
    for (command, what) in steps {
        writeln!(out, "  {command:<width$}  # {what}").expect("a String takes all that is written");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, ConfigCommand};
    use clap::Parser as _;

    fn options(line: &[&str]) -> InitOptions {
        let words = ["as112d", "config", "init"].iter().chain(line);
        match Cli::try_parse_from(words).unwrap().into_command() {
            Command::Config(ConfigCommand::Init(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    /// The configuration that a text is.
    fn loaded(text: &str) -> config::Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("as112d.toml");
        write(&file, text).unwrap();
        config::load(Some(&file), &Flags::default()).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    #[test]
    fn every_option_is_in_the_file() {
        let given = [
            "--node",
            "say \"hi\"",
            "--facility",
            "IX",
            "--location",
            "Lisbon",
            "--contact",
            "noc@example.net",
            "--listen",
            "as112-dname",
            "-l",
            "192.0.2.1:5300",
            "--history",
            "past",
            "--http",
            "[::1]:9113",
        ];
        let config = loaded(&init(&options(&given)).unwrap());
        assert_eq!(config.identity.node, "say \"hi\"");
        assert_eq!(config.identity.facility.as_deref(), Some("IX"));
        assert_eq!(config.identity.location.as_deref(), Some("Lisbon"));
        assert_eq!(config.identity.extra_txt, ["noc@example.net"]);
        assert_eq!(config.listen.len(), 3);
        assert!(config.history.is_some_and(|dir| dir.ends_with("past")));
        assert_eq!(config.http.to_string(), "[::1]:9113");
    }

    #[test]
    fn without_options_the_service_addresses_are_served_and_examples_are_right() {
        let text = init(&options(&[])).unwrap();
        assert!(!text.contains('{'), "{text}");
        assert_eq!(loaded(&text).listen.len(), 8);
        let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let examples: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ").filter(|rest| is_setting(rest)) {
                Some(setting) => format!("{setting}\n"),
                None => format!("{line}\n"),
            })
            .collect();
        let config = loaded(&examples);
        assert!(config.announce.is_some() && config.history.is_some() && config.user.is_some(), "{examples}");
        assert_eq!(loaded(&init(&options(&["--node", "{http}"])).unwrap()).identity.node, "{http}");
    }

    #[test]
    fn what_does_not_fit_together_is_refused_and_a_file_is_never_overwritten() {
        let problems = init(&options(&["-l", "::1", "-l", "[::1]:53"])).unwrap_err();
        assert_eq!(problems[0].to_string(), "--listen: [::1]:53 is listed twice; remove one");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine");
        std::fs::write(&file, "mine").unwrap();
        let problems = init(&options(&[file.to_str().unwrap()])).unwrap_err();
        assert!(problems[0].message.starts_with("exists already"), "{problems:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    }
}
