//! `as112d apps list`: the applications of a running node.

use std::fmt::Write as _;

use serde_json::Value;

use crate::cli::ControlOptions;
use crate::commands::control::asked;
use crate::commands::failure::Failure;

/// The applications of the running node, as a table.
///
/// # Errors
/// If no node answers.
pub fn list(options: &ControlOptions) -> Result<String, Failure> {
    let (line, answer) = asked("apps", options)?;
    Ok(if options.json { line } else { table(&answer) })
}

/// Digits of a module's SHA-256 that tell it from others.
const VERSION_LEN: usize = 12;

const HEAD: [&str; 8] = ["app", "state", "memory", "held", "events", "traps", "version", "verdicts"];

fn table(answer: &Value) -> String {
    let rows: Vec<[String; 8]> = answer["apps"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no application is there\n".to_owned();
    }
    let rows: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for row in &rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Numbers end where they end.
            let _ = match column {
                2..=5 => write!(out, "{cell:>width$}  "),
                7 => writeln!(out, "{cell}"),
                _ => write!(out, "{cell:<width$}  "),
            };
        }
    }
    out
}

fn row(app: &Value) -> [String; 8] {
    let text = |key: &str| app[key].as_str().unwrap_or_default().to_owned();
    let number = |key: &str| app[key].as_u64().unwrap_or_default();
    let verdicts = app["verdicts"].as_object().into_iter().flatten();
    let verdicts: Vec<String> = verdicts
        .filter(|(_, count)| count.as_u64() != Some(0))
        .map(|(verdict, count)| format!("{verdict} {count}"))
        .collect();
    [
        text("name"),
        text("state"),
        format!("{} KiB", number("memory").div_ceil(1024)),
        number("held").to_string(),
        number("events").to_string(),
        number("traps").to_string(),
        text("version").chars().take(VERSION_LEN).collect(),
        if verdicts.is_empty() { "none".to_owned() } else { verdicts.join(", ") },
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn applications_are_a_table() {
        let app = |name: &str, events: u64| {
            json!({
                "name": name, "state": "running", "memory": 196_609, "held": 3, "events": events, "traps": 0,
                "version": "0123456789abcdef", "verdicts": { "pass": 0, "reply": 7, "drop": 1 },
            })
        };
        let answer = json!({ "apps": [app("as112", 1112), app("filter-long", 8)] });
        let wanted = "\
app          state     memory  held  events  traps  version       verdicts
as112        running  193 KiB     3    1112      0  0123456789ab  drop 1, reply 7
filter-long  running  193 KiB     3       8      0  0123456789ab  drop 1, reply 7
";
        assert_eq!(table(&answer), wanted);
        let idle = json!({ "apps": [{ "name": "a", "verdicts": {} }] });
        assert!(table(&idle).ends_with("none\n"));
        assert_eq!(table(&json!({ "apps": [] })), "no application is there\n");
    }
}
