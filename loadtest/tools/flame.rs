//! flamethrower (`flame`): so many queries each millisecond up to a rate, whatever comes back. It writes a
//! line of JSON a second; the last one has the totals.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::super::bounds::{SOCKETS, TIMEOUT};
use super::super::{Outcome, fail};
use super::{Run, Task, bound_to};

/// It writes its lines to `lines`.
pub fn command(rate: u64, task: &Task, lines: &Path) -> Command {
    let mut command = bound_to(task.cpu, "flame");
    let (ip, port, rate) = (task.target.ip().to_string(), task.target.port().to_string(), rate.to_string());
    let (sockets, seconds) = (SOCKETS.to_string(), task.seconds.to_string());
    let timeout = TIMEOUT.as_secs().to_string();
    command.args([&ip, "-p", &port, "-Q", &rate, "-c", &sockets, "-q", "10", "-d", "1"]);
    command.args(["-l", &seconds, "-t", &timeout, "-n", "0", "-v", "0", "--dnssec", "-g", "file", "-f"]);
    command.arg(task.queries).arg("-o").arg(lines);
    command
}

/// Reads the lines that it wrote.
///
/// # Errors
/// They are not those of flamethrower.
pub fn parse(lines: &str) -> Outcome<Run> {
    let rows = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    let first = |key: &str| rows.iter().find_map(|row| row.get(key));
    // A version may write rows of other kinds behind the totals.
    let totals = rows.iter().rfind(|row| row.get("total_s_count").is_some());
    let totals = totals.ok_or("there is no row with total_s_count")?;
    let field = |key: &str| totals.get(key).ok_or_else(|| format!("there is no `{key}` in {totals}"));
    let count = |key: &str| field(key)?.as_u64().ok_or_else(|| format!("`{key}` is not a count in {totals}"));
    let time = |key: &str| field(key)?.as_f64().ok_or_else(|| format!("`{key}` is not a number in {totals}"));
    let none = serde_json::Map::new();
    let rcodes = totals.get("total_responses").and_then(Value::as_object).unwrap_or(&none);
    if count("total_s_count")? == 0 {
        return fail("flame sent nothing: reading its queries took the whole run");
    }
    let latency_ms = ["avg", "min", "max"].map(|name| {
        let name_of_ours = if name == "avg" { "mean" } else { name };
        Ok((name_of_ours.to_owned(), time(&format!("total_response_{name}_ms"))?))
    });
    Ok(Run {
        tool: "flame".to_owned(),
        command: first("cmdline").and_then(Value::as_str).unwrap_or_default().to_owned(),
        sent: count("total_s_count")?,
        answered: count("total_r_count")?,
        seconds: time("runtime_s")?,
        rcodes: rcodes.iter().filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect(),
        wrong: Some(count("total_bad_count")?),
        latency_ms: latency_ms.into_iter().collect::<Outcome<_>>()?,
        ..Run::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = include_str!("../recorded/flame-0.12-udp.json");

    #[test]
    fn a_recorded_run_is_read() {
        let run = parse(RECORDED).unwrap();
        assert_eq!((run.sent, run.answered, run.wrong), (13_000, 13_000, Some(0)));
        assert!((run.seconds - 0.991_163_043).abs() < 1e-9);
        assert_eq!(run.rcodes, [("NOERROR".to_owned(), 226), ("NXDOMAIN".to_owned(), 12_774)].into());
        let latency = |name: &str| (run.latency_ms[name] * 1e3).round();
        assert_eq!(["mean", "min", "max"].map(latency), [202.0, 71.0, 1195.0]);
        assert!(run.command.starts_with("flame 127.0.0.1 -p "), "{}", run.command);
    }

    #[test]
    fn a_file_that_is_cut_off_or_of_another_kind_is_an_error() {
        assert!(parse("").is_err());
        assert!(parse("not JSON").is_err());
        let nothing = RECORDED.replace("\"total_s_count\":13000", "\"total_s_count\":0");
        assert!(parse(&nothing).unwrap_err().to_string().contains("sent nothing"));
        assert!(parse(RECORDED.lines().next().unwrap()).is_err(), "the header alone has no totals");
        assert!(parse(&RECORDED[..RECORDED.len() - 20]).is_err());
        assert!(parse("{\"total_s_count\": \"many\"}").is_err(), "a total that is none");
    }
}
