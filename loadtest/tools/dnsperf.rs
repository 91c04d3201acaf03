//! dnsperf: a closed loop, with so many queries outstanding. Made for 2.10; later versions print more lines.

use std::process::Command;

use super::super::Outcome;
use super::super::bounds::{SOCKETS, TCP_CONNECTIONS, TCP_OUTSTANDING};
use super::{Run, Task, after, bound_to, number};

/// How it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Over UDP, with EDNS and DO.
    Udp,
    /// Over UDP, messages of the binary form as they are.
    Binary,
    /// Over TCP, with EDNS and DO, all queries on some connections.
    Tcp,
}

pub fn command(how: How, task: &Task) -> Command {
    let mut command = bound_to(task.cpu, "dnsperf");
    let (ip, port) = (task.target.ip().to_string(), task.target.port().to_string());
    command.args(["-s", &ip, "-p", &port, "-l", &task.seconds.to_string(), "-T", "1", "-t", "1"]);
    let (sockets, connections) = (SOCKETS.to_string(), TCP_CONNECTIONS.to_string());
    let outstanding = TCP_OUTSTANDING.to_string();
    match how {
        How::Udp => command.args(["-c", &sockets, "-e", "-D"]),
        How::Binary => command.args(["-c", &sockets, "-B"]),
        How::Tcp => command.args(["-m", "tcp", "-c", &connections, "-q", &outstanding, "-e", "-D"]),
    };
    command.arg("-d").arg(task.queries);
    command
}

/// Reads what it prints at its end.
///
/// # Errors
/// It is not the output of dnsperf.
pub fn parse(text: &str) -> Outcome<Run> {
    let latency = after(text, "Average Latency (s):")?;
    let part = |label: &str| -> Outcome<f64> {
        let words = latency.split_once(label).ok_or_else(|| format!("there is no `{label}` in {latency}"))?.1;
        Ok(number::<f64>(words)? * 1e3)
    };
    let latency_ms =
        [("mean", number::<f64>(latency)? * 1e3), ("min", part("min ")?), ("max", part("max ")?)];
    let codes = after(text, "Response codes:")?.split(',').map(str::trim).filter(|code| !code.is_empty());
    let rcodes = codes.map(|code| {
        let (name, count) = code.split_once(' ').ok_or_else(|| format!("`{code}` has no count"))?;
        Ok((name.to_owned(), number(count)?))
    });
    Ok(Run {
        tool: "dnsperf".to_owned(),
        command: after(text, "[Status] Command line:")?.to_owned(),
        sent: number(after(text, "Queries sent:")?)?,
        answered: number(after(text, "Queries completed:")?)?,
        seconds: number(after(text, "Run time (s):")?)?,
        rcodes: rcodes.collect::<Outcome<_>>()?,
        latency_ms: latency_ms.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Run::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_udp_run_is_read() {
        let run = parse(include_str!("../recorded/dnsperf-2.10-udp.txt")).unwrap();
        assert_eq!((run.sent, run.answered), (155_942, 155_942));
        assert!((run.seconds - 2.000_902).abs() < 1e-9);
        assert_eq!(run.rcodes, [("NOERROR".to_owned(), 77_971), ("NXDOMAIN".to_owned(), 77_971)].into());
        let latency = |name: &str| (run.latency_ms[name] * 1e3).round();
        assert_eq!(["mean", "min", "max"].map(latency), [759.0, 21.0, 9389.0]);
        assert!(run.command.starts_with("dnsperf -s "), "{}", run.command);
    }

    #[test]
    fn a_recorded_tcp_run_is_read() {
        let run = parse(include_str!("../recorded/dnsperf-2.10-tcp.txt")).unwrap();
        assert_eq!((run.sent, run.answered), (267_942, 267_942));
        // The latency of the queries, not that of the connections, which stands below.
        assert!((run.latency_ms["mean"] - 1.281).abs() < 1e-9);
    }

    #[test]
    fn a_recorded_run_that_lost_all_is_read() {
        let run = parse(include_str!("../recorded/dnsperf-2.10-lost.txt")).unwrap();
        assert_eq!((run.sent, run.answered), (20, 0));
        assert_eq!(run.rcodes.len(), 0);
    }

    #[test]
    fn other_output_is_an_error() {
        for text in ["", "Usage: dnsperf", include_str!("../recorded/kxdpgun-3.2-udp.txt")] {
            assert!(parse(text).is_err());
        }
    }
}
