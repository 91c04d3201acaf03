//! kxdpgun: AF_XDP, so that the sender costs little; an open loop at a given rate. Made for 3.2, whose output
//! is text. It does not look at the answers.

use std::process::Command;

use super::super::Outcome;
use super::{Run, Task, after, number};

/// It binds its threads itself: `-F`.
pub fn command(interface: &str, rate: u64, task: &Task) -> Command {
    let mut command = Command::new("kxdpgun");
    let (seconds, rate) = (task.seconds.to_string(), rate.to_string());
    let (port, cpu) = (task.target.port().to_string(), format!("{}s1", task.cpu));
    command.args(["-t", &seconds, "-Q", &rate, "-p", &port, "-F", &cpu, "-I", interface, "-i"]);
    command.arg(task.queries).arg(task.target.ip().to_string());
    command
}

/// Reads what it prints at its end.
///
/// # Errors
/// It is not the output of kxdpgun.
pub fn parse(text: &str, command: &str) -> Outcome<Run> {
    let codes = text.lines().filter_map(|line| line.strip_prefix("responded ")?.split_once(':'));
    let rcodes = codes.map(|(name, count)| Ok((name.to_owned(), number(count.trim())?)));
    Ok(Run {
        tool: "kxdpgun".to_owned(),
        command: command.to_owned(),
        sent: number(after(text, "total queries:")?)?,
        answered: number(after(text, "total replies:")?)?,
        seconds: number(after(text, "duration:")?)?,
        rcodes: rcodes.collect::<Outcome<_>>()?,
        ..Run::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_run_is_read() {
        let run = parse(include_str!("../recorded/kxdpgun-3.2-udp.txt"), "kxdpgun -t 2").unwrap();
        assert_eq!((run.sent, run.answered, run.command.as_str()), (100_010, 100_010, "kxdpgun -t 2"));
        assert!((run.seconds - 2.0).abs() < 1e-9);
        assert_eq!(run.rcodes, [("NOERROR".to_owned(), 50_005), ("NXDOMAIN".to_owned(), 50_005)].into());
        assert!(run.latency_ms.is_empty() && run.wrong.is_none());
    }

    #[test]
    fn a_recorded_overload_is_read() {
        let run = parse(include_str!("../recorded/kxdpgun-3.2-overload.txt"), "").unwrap();
        assert_eq!((run.sent, run.answered), (656_740, 155_452));
    }

    #[test]
    fn other_output_is_an_error() {
        assert!(parse("", "").is_err());
        assert!(parse(include_str!("../recorded/dnsperf-2.10-udp.txt"), "").is_err());
    }
}
