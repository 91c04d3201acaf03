//! `as112d status`, `reload`, `drain` and others: what a running node is asked over its control socket.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::asking::Whereabouts;
use super::change::span;
use super::failure::Failure;
use crate::cli::ControlOptions;
use crate::control::client;
use crate::daemon::is_absent;
use crate::limits::CONTROL_TRIES_MAX;
use crate::problem::Problem;
use crate::sys::sockets;

/// Asks for `word`, and waits until that is done. Prints what there is to say, with `--json` all of it.
///
/// # Errors
/// If no node answers; if it could not do that, and why.
pub fn ask(word: &str, options: &ControlOptions) -> Result<String, Failure> {
    let (line, answer) = asked(word, options)?;
    Ok(if options.json { line } else { said(word, &answer) })
}

/// The same, and the answer as it came.
///
/// # Errors
/// As those of [`ask`].
pub(super) fn asked(word: &str, options: &ControlOptions) -> Result<(String, Value), Failure> {
    let (line, answer) = exchanged(word, &Whereabouts::of(&options.node)?.paths)?;
    if answer["ok"] != true {
        return Err(failure(&answer, options.json.then_some(&line)));
    }
    Ok((line, answer))
}

/// What the node at one of these sockets answers.
///
/// # Errors
/// As those of [`ask`].
pub(super) fn asked_at(word: &str, paths: &[PathBuf]) -> Result<Value, Failure> {
    let (_, answer) = exchanged(word, paths)?;
    if answer["ok"] == true { Ok(answer) } else { Err(failure(&answer, None)) }
}

fn exchanged(word: &str, paths: &[PathBuf]) -> Result<(String, Value), Failure> {
    let (mut line, mut answer) = once(word, paths)?;
    // A process that was just succeeded sends its clients to the successor, which may be succeeded in turn.
    for _ in 0..CONTROL_TRIES_MAX {
        if answer["moved"] != true {
            break;
        }
        (line, answer) = once(word, paths)?;
    }
    Ok((line, answer))
}

/// Asks once.
fn once(word: &str, paths: &[PathBuf]) -> Result<(String, Value), Failure> {
    let (path, stream) = client::connect(paths).map_err(|refused| not_reached(&refused))?;
    let line = client::exchange(stream, word, None).map_err(|error| {
        Failure::no_answer(format!("the node at {} does not answer: {error}", path.display()))
    })?;
    let answer = serde_json::from_str(&line)
        .map_err(|error| format!("the answer at {} is not JSON: {error}", path.display()))?;
    Ok((line, answer))
}

/// Why no socket took us: there is no node, or it is not for us.
fn not_reached(refused: &[(&Path, io::Error)]) -> Failure {
    let is_forbidden = |(_, error): &&(&Path, io::Error)| error.kind() == io::ErrorKind::PermissionDenied;
    if let Some((path, error)) = refused.iter().find(is_forbidden) {
        let dir = path.parent().unwrap_or(path).display();
        return Failure::from(format!(
            "cannot open the control socket {}: {}; run this as root, or as a member of the group of {dir}",
            path.display(),
            error.kind()
        ));
    }
    let reason = |(path, error): &(&Path, io::Error)| {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no socket".to_owned(),
            io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            _ => error.to_string(),
        };
        format!("{}: {why}", path.display())
    };
    let reasons: Vec<String> = refused.iter().map(reason).collect();
    let reasons =
        if reasons.is_empty() { "its control socket is off".to_owned() } else { reasons.join("; ") };
    Failure::no_answer(format!("no node answers ({reasons}); if it runs, give its --config or --control"))
}

/// What went wrong, as the node tells it; all of it as JSON where that is wanted.
fn failure(answer: &Value, json: Option<&str>) -> Failure {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = answer["problems"].as_array().into_iter().flatten();
    let problems: Vec<Problem> = listed
        .map(|problem| Problem { place: text(&problem["place"]), message: text(&problem["message"]) })
        .collect();
    let mut failure =
        Failure::from(json.map_or_else(|| text(&answer["error"]), |json| json.trim_end().to_owned()));
    if json.is_none() {
        failure.problems.extend(problems);
    }
    failure
}

/// The answer, for a person.
fn said(word: &str, answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let restart = |list: &Value| {
        let names: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let note = format!("not in effect until a restart or an upgrade: {}\n", names.join(", "));
        if names.is_empty() { String::new() } else { note }
    };
    match word {
        "status" => status(answer, &restart(&answer["configuration"]["need_restart"])),
        "reload" => {
            format!("reloaded: serving {} zones\n{}", answer["zones"], restart(&answer["need_restart"]))
        }
        "reload maps" => match answer["maps"].as_u64().unwrap_or_default() {
            1 => "reloaded 1 map\n".to_owned(),
            maps => format!("reloaded {maps} maps\n"),
        },
        "drain" => {
            "drained; queries that still arrive are answered. `as112d undrain` returns it to service\n"
                .to_owned()
        }
        "undrain" => "serving\n".to_owned(),
        "upgrade" => {
            format!("upgraded: process {} serves, version {}\n", answer["pid"], text(&answer["version"]))
        }
        "shutdown" => format!("stopped after {} queries\n", answer["queries"]),
        _ if word.starts_with("verbosity ") => {
            format!("logging at {} and above\n", answer["level"].as_str().unwrap_or_default())
        }
        _ => "done\n".to_owned(),
    }
}

fn status(answer: &Value, restart: &str) -> String {
    let mut out = String::new();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let ago = |value: &Value| ago(value.as_u64().unwrap_or_default());
    let configuration = &answer["configuration"];
    let file = configuration["file"].as_str().unwrap_or("none, the defaults");
    let listen: Vec<String> = answer["listen"].as_array().into_iter().flatten().map(text).collect();
    let rate = answer["queries_per_second"].as_f64().unwrap_or_default();
    let mut line = |name: &str, value: String| {
        writeln!(out, "{name:<14} {value}").expect("a String takes all that is written");
    };
    line("node", format!("{} at {}", text(&answer["node"]), text(&answer["site"])));
    line("state", text(&answer["state"]));
    line("version", format!("{}, process {}", text(&answer["version"]), answer["pid"]));
    line("up", ago(&answer["started"]));
    line("web", answer["http"].as_str().map_or_else(|| "off".to_owned(), |http| format!("http://{http}/")));
    line("datapath", format!("{} ({})", text(&answer["datapath"]), text(&answer["datapath_reason"])));
    let places: Vec<String> = answer["xdp"].as_array().into_iter().flatten().map(text).collect();
    if !places.is_empty() {
        let [answered, passed, lost] = ["xdp_answered", "xdp_passed", "xdp_lost"].map(|key| &answer[key]);
        let counts = format!("{answered} answered, {passed} passed, {lost} lost since the start");
        line("xdp", format!("{}: {counts}", places.join(", ")));
    }
    line("shards", text(&answer["shards"]));
    if answer["rules"].as_u64().is_some_and(|rules| rules > 0) {
        line("rules", format!("{}, with {} workers", answer["rules"], answer["workers"]));
    }
    line("listening on", listen.join(", "));
    // Only who is on the same host can tell; and that is who can open its socket.
    let addresses = listen.iter().filter_map(|text| text.parse::<SocketAddr>().ok());
    addresses
        .filter(|address| !sockets::is_local(*address))
        .for_each(|address| line("warning", is_absent(address)));
    line("zones", text(&answer["zones"]));
    line("queries", format!("{} since the start, {rate:.0}/s now", answer["queries"]));
    if answer["probes"].as_u64().is_some_and(|probes| probes > 0) {
        line("probes", format!("{} from this host itself, in no other count", answer["probes"]));
    }
    line("configuration", format!("{file}, read {} ago", ago(&configuration["loaded_at"])));
    line("history", text(&answer["history"]));
    if let Some(obstacle) = answer["upgrade_obstacle"].as_str() {
        line("upgrade", format!("not possible: {obstacle}; restart instead"));
    }
    for announcer in answer["announcers"].as_array().into_iter().flatten() {
        routes(announcer).into_iter().for_each(|(name, value)| line(name, value));
    }
    if let Some(since) = configuration["stale"].get("since") {
        let (time, ago) = (since.as_u64().unwrap_or_default() % 86_400, ago(since));
        let clock = format!("{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60);
        writeln!(out, "running an old configuration since {clock} UTC, {ago} ago: the new one has mistakes")
            .expect("a String takes all that is written");
        for problem in configuration["stale"]["problems"].as_array().into_iter().flatten() {
            let problem = Problem { place: text(&problem["place"]), message: text(&problem["message"]) };
            writeln!(out, "  {problem}").expect("a String takes all that is written");
        }
    }
    out + restart
}

/// What an announcer says: who is told of the routes, and each prefix.
fn routes(announcer: &Value) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = vec![("announced by", text(&announcer["router"]))];
    if let Some(refused) = announcer["refused"].as_str() {
        lines.push(("warning", format!("the router does not accept changes: {refused}")));
    }
    for route in announcer["routes"].as_array().into_iter().flatten() {
        let mut state = if route["announced"] == true { "announced" } else { "withdrawn" }.to_owned();
        if let Some(seconds) = route["held_seconds"].as_u64() {
            state += &format!(", held down for {}", span(seconds as f64));
        }
        for failing in route["failing"].as_array().into_iter().flatten() {
            state += &format!("; {}", text(failing));
        }
        lines.push(("route", format!("{} {state}", text(&route["prefix"]))));
    }
    lines
}

/// How long ago a time was, in seconds of Unix time.
fn ago(time: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    span(now.saturating_sub(Duration::from_secs(time)).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::NodeOptions;

    #[test]
    fn failures_have_their_places_and_old_configurations_are_told_of() {
        let problems = json!([{ "place": "a.toml:1:2", "message": "wrong; fix it" }]);
        let failed = failure(&json!({ "ok": false, "error": "it has mistakes", "problems": problems }), None);
        let lines: Vec<String> = failed.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            (failed.code, lines.join("\n").as_str()),
            (1, "it has mistakes\na.toml:1:2: wrong; fix it")
        );
        let answer = json!({
            "node": "n", "site": "s", "state": "serving", "listen": ["127.0.0.1:53", "192.0.2.112:53"],
            "xdp": ["eth0 (native)", "bond0 (generic)"],
            "xdp_answered": 112, "xdp_passed": 9, "xdp_lost": 1,
            "configuration": {
                "file": null,
                "stale": { "since": 0, "problems": problems },
                "need_restart": ["[tcp]"],
            },
        });
        let text = said("status", &answer);
        assert!(
            text.contains("\nwarning        192.0.2.112 is on no interface of this host yet\n"),
            "{text}"
        );
        assert!(!text.contains("warning        127."), "{text}");
        let xdp = "eth0 (native), bond0 (generic): 112 answered, 9 passed, 1 lost since the start";
        assert!(text.contains(&format!("\nxdp            {xdp}\n")), "{text}");
        assert!(text.contains("\nrunning an old configuration since "), "{text}");
        assert!(text.contains("\n  a.toml:1:2: wrong; fix it\n"), "{text}");
        assert!(text.ends_with("until a restart or an upgrade: [tcp]\n"), "{text}");
    }

    #[test]
    fn where_no_node_is_that_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let node = NodeOptions { config: None, control: Some(folder.path().join("none")) };
        let options = ControlOptions { node, json: false };
        assert_eq!(ask("status", &options).unwrap_err().code, 3);
    }
}
