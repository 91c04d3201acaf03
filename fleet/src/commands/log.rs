//! `as112d-fleet log`: who published, promoted, rolled back, and why.

use as112d::commands::Failure;
use serde_json::Value;

use super::{Told, wait};
use crate::cli::LogOptions;
use crate::desk::{Desk, cannot, usage};
use crate::settings::seconds;

/// The fleet's log; what it prints.
///
/// # Errors
/// The carrier does not say.
pub fn log(options: &LogOptions) -> Result<Told, Failure> {
    let since = options.since.as_deref().map(since).transpose()?;
    wait(async {
        let desk = Desk::open(&options.publisher, None).await?;
        let lines = desk.carrier.log().await.map_err(|fault| cannot("the log", &fault))?;
        let lines: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is_meant = |line: &&Value| {
            let at = line["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
            since.is_none_or(|since| at.is_some_and(|at| at >= since))
        };
        let lines: Vec<&Value> = lines.iter().filter(is_meant).collect();
        let text = lines.iter().map(|line| told(line)).collect();
        Ok(Told::either(options.publisher.json, text, &serde_json::json!(lines)))
    })
}

/// `30d` ago, or a day or a time.
fn since(text: &str) -> Result<jiff::Timestamp, Failure> {
    if let Ok(seconds) = seconds(text) {
        let ago = jiff::SignedDuration::from_secs(seconds.into());
        return jiff::Timestamp::now().checked_sub(ago).map_err(|error| usage(format!("--since: {error}")));
    }
    let day = format!("{text}T00:00:00Z").parse();
    text.parse().or(day).map_err(|_| usage(format!("--since {text}: write 12h, 30d or 2026-11-30")))
}

/// One line for people: when, who, what, and all else that is said.
fn told(line: &Value) -> String {
    let shown = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.chars().map(|c| if c.is_control() { '?' } else { c }).collect::<String>()
    };
    let known = ["at", "by", "what"];
    let mut out = known.map(|key| shown(&line[key])).join(" ");
    let more = line
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !known.contains(&key.as_str()) && *key != "reason");
    for (key, value) in more {
        out.push_str(&format!(" {key}={}", shown(value)));
    }
    if !line["reason"].is_null() {
        out.push_str(&format!(" ({})", shown(&line["reason"])));
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_for_people() {
        let line = json!({
            "at": "2026-11-30T12:00:00Z", "by": "ann", "what": "held", "reason": "a\u{1b}b",
            "scope": "colo/ams",
            "keys": 2
        });
        assert_eq!(told(&line), "2026-11-30T12:00:00Z ann held keys=2 scope=colo/ams (a?b)\n");
    }

    #[test]
    fn since_is_a_time_or_ago() {
        let day = since("2026-11-30").unwrap();
        assert_eq!(day, since("2026-11-30T00:00:00Z").unwrap());
        let ago = jiff::Timestamp::now().duration_since(since("2h").unwrap()).as_secs();
        assert!((7199..7260).contains(&ago), "{ago}");
        assert!(jiff::Timestamp::now().duration_since(since("30d").unwrap()).as_hours() >= 719);
        assert_eq!(since("yesterday").unwrap_err().code, 2);
    }
}
