//! What is asked of the rules and the cache of a running node: `as112d query --why --live`, `rules list`,
//! `cache show` and `cache purge`.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use serde_json::Value;

use super::asking::Whereabouts;
use super::control::{asked, asked_at};
use super::failure::Failure;
use super::query::{packet, shown};
use crate::announce::probe::reachable;
use crate::cli::{CacheOptions, ControlOptions, NodeOptions, QueryOptions};
use crate::control::questions::{OfCache, Why};
use crate::limits::{LIVE_TIMEOUT, SLOT_PAYLOAD_LEN};
use crate::zone::name_from_text;

/// The way of a query through the running node; and, unless it is somebody else's, what that answers to it.
///
/// # Errors
/// If no node answers, or it cannot say.
pub(super) fn why(options: &QueryOptions) -> Result<String, Failure> {
    let packet = packet(options)?;
    let node = NodeOptions { config: options.config.config.clone(), control: options.control.clone() };
    let supposed = options.supposed();
    let question = Why { is_tcp: options.tcp, from: options.from, to: options.to, packet, supposed };
    let answer = asked_at(&question.to_string(), &Whereabouts::of(&node)?.paths)?;
    if options.json {
        return Ok(format!("{}\n", answer["way"]));
    }
    let mut out = lines(&answer["lines"]);
    if options.from.is_none() {
        let to = answer["to"].as_str().and_then(|text| text.parse::<SocketAddr>().ok());
        let to = to.ok_or_else(|| "the answer of the node names no address".to_owned())?;
        let to = SocketAddr::new(reachable(to.ip()), to.port());
        let reply = exchange(to, options.tcp, &question.packet);
        out.push('\n');
        out += &match reply {
            Ok(reply) => shown(&reply)?,
            Err(error) => format!(";; no reply from {to}: {error}\n"),
        };
    }
    Ok(out)
}

/// Sends a query once; the reply.
fn exchange(to: SocketAddr, is_tcp: bool, packet: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::{Read as _, Write as _};

    if is_tcp {
        let mut stream = TcpStream::connect_timeout(&to, LIVE_TIMEOUT)?;
        stream.set_read_timeout(Some(LIVE_TIMEOUT))?;
        let len = u16::try_from(packet.len()).map_err(io::Error::other)?;
        stream.write_all(&[&len.to_be_bytes()[..], packet].concat())?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut reply = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut reply)?;
        return Ok(reply);
    }
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LIVE_TIMEOUT))?;
    socket.send(packet)?;
    let mut reply = vec![0; SLOT_PAYLOAD_LEN];
    let len = socket.recv(&mut reply)?;
    reply.truncate(len);
    Ok(reply)
}

/// The rules of the running node, as a table.
///
/// # Errors
/// If no node answers.
pub(super) fn rules(options: &ControlOptions) -> Result<String, Failure> {
    let (line, answer) = asked("rules", options)?;
    Ok(if options.json { line } else { table(&answer) })
}

fn table(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let count = |value: &Value| value.as_u64().map_or_else(|| "-".to_owned(), |count| count.to_string());
    let rows = answer["rules"].as_array().into_iter().flatten().map(|rule| {
        let counts = [count(&rule["hits"]), count(&rule["would"])];
        let [hits, would] = counts;
        [
            text(&rule["name"]),
            text(&rule["phase"]),
            text(&rule["state"]),
            hits,
            would,
            text(&rule["action"]),
            text(&rule["place"]),
        ]
    });
    let head = ["rule", "phase", "state", "hits", "would", "does", "place"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(rows).collect();
    let mut out = String::new();
    if rows.len() == 1 {
        out.push_str("no rule is in effect\n");
    } else {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for row in &rows {
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Numbers end where they end.
                let _ = match column {
                    3 | 4 => write!(out, "{cell:>width$}  "),
                    _ => write!(out, "{cell:<width$}  "),
                };
            }
            out.push_str(&row[6]);
            out.push('\n');
        }
    }
    for folded in answer["folded"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "folded: {}", text(folded));
    }
    out
}

/// What the cache has, or what became of that.
///
/// # Errors
/// If no node answers, or it has no cache.
pub(super) fn cache(options: &CacheOptions, purges: bool) -> Result<String, Failure> {
    name_from_text(&options.name).map_err(|message| format!("{message}; give a name such as example.com"))?;
    let words = OfCache::words(purges, options.subtree, &options.name);
    let (line, answer) = asked(&words, &options.control)?;
    if options.control.json {
        return Ok(line);
    }
    let lines = lines(&answer["lines"]);
    Ok(if lines.is_empty() { format!("nothing is kept of {}\n", options.name) } else { lines })
}

fn lines(list: &Value) -> String {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .fold(String::new(), |out, line| out + line + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_are_a_table_and_those_without_a_counter_have_no_number() {
        let rule = |name: &str, hits: Value| {
            json!({
                "name": name, "phase": "route", "state": "in effect", "hits": hits, "would": 0,
                "action": "refuse", "place": "rules.d/10.rules:3:1",
            })
        };
        let answer = json!({ "rules": [rule("first", json!(1112)), rule("second-one", Value::Null)],
                             "folded": ["third: colo is another"] });
        let expected = "\
rule        phase  state      hits  would  does    place
first       route  in effect  1112      0  refuse  rules.d/10.rules:3:1
second-one  route  in effect     -      0  refuse  rules.d/10.rules:3:1
folded: third: colo is another
";
        assert_eq!(table(&answer), expected);
        assert_eq!(table(&json!({ "rules": [], "folded": [] })), "no rule is in effect\n");
    }
}
