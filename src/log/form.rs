//! The form of a line: text for people, with the journal's priority where the journal reads, or JSON.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use jiff::Timestamp;
use serde_json::Value;

use super::{Format, Level, Line};
use crate::limits::LOG_LINE_LEN_MAX;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// To standard error: the message, after its level unless that is info. Whoever reads that
    /// knows the time, or notes it, as containers and supervisors do.
    Plain,
    /// To the journal: the message after its priority, such as `<6>`.
    Journal,
    /// To a file: the message after time and level.
    Stamped,
    /// An object. For the journal, after its priority.
    Json {
        /// The journal reads it.
        priority: bool,
    },
}

impl Form {
    /// The form for lines to a file, or to standard error, which `JOURNAL_STREAM` is said to be about.
    pub(super) fn new(format: Format, is_file: bool, stderr: &File, journal_stream: Option<&str>) -> Self {
        let is_journal = !is_file && is_journal(stderr, journal_stream);
        match format {
            Format::Json => Self::Json { priority: is_journal },
            Format::Text if is_journal => Self::Journal,
            Format::Text if is_file => Self::Stamped,
            Format::Text => Self::Plain,
        }
    }

    /// Appends `line` and its end to `out`.
    pub(super) fn write(self, line: &Line, out: &mut Vec<u8>) {
        let Line { level, at, .. } = line;
        let time = || Timestamp::try_from(*at).unwrap_or(Timestamp::UNIX_EPOCH);
        let text = match self {
            Self::Plain => match level {
                Level::Info => Text::new(""),
                level => Text::new(&format!("{}: ", level.name())),
            }
            .message(line),
            Self::Journal => Text::new(&format!("<{}>", level.priority())).message(line),
            Self::Stamped => Text::new(&format!("{:.3} {:<7} ", time(), level.name())).message(line),
            Self::Json { priority } => {
                let before = if priority { format!("<{}>", level.priority()) } else { String::new() };
                let message = Value::from(shortened(&line.message));
                let (time, level) = (time(), level.name());
                let object = format!(r#"{before}{{"time":"{time:.3}","level":"{level}","message":{message}"#);
                let field = |text, (name, value): &(&str, Value)| format!(r#"{text},"{name}":{value}"#);
                line.fields.iter().fold(object, field) + "}"
            }
        };
        out.extend(text.as_bytes());
        out.push(b'\n');
    }
}

/// One line of text.
struct Text(String);

impl Text {
    fn new(start: &str) -> Self {
        Self(start.to_owned())
    }

    fn message(mut self, line: &Line) -> String {
        self.push(shortened(&line.message));
        for (name, value) in &line.fields {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push('=');
            match value {
                // What would not be one word is quoted.
                Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '=']) => self.push(text),
                value => self.push(&value.to_string()),
            }
        }
        self.0
    }

    /// A text that stays on its line whatever it holds.
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            match c.is_control() {
                true => write!(self.0, "{}", c.escape_default()).expect("a String takes all that is written"),
                false => self.0.push(c),
            }
        }
    }
}

fn shortened(message: &str) -> &str {
    let mut len = message.len().min(LOG_LINE_LEN_MAX);
    while !message.is_char_boundary(len) {
        len -= 1;
    }
    &message[..len]
}

/// Whether the journal reads what is written to `stderr`: the variable has its device and inode
/// (systemd.exec(5)), so a program started by a service, whose standard error is another, sees that.
fn is_journal(stderr: &File, journal_stream: Option<&str>) -> bool {
    let named = journal_stream.and_then(|stream| {
        let (device, inode) = stream.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let is = stderr.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    named.is_some() && named == is
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn line(level: Level, message: &str, fields: Vec<(&'static str, Value)>) -> Line {
        let at = UNIX_EPOCH + Duration::from_millis(1_796_000_000_250);
        Line { level, at, message: message.to_owned(), fields }
    }

    fn written(form: Form, line: &Line) -> String {
        let mut out = Vec::new();
        form.write(line, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_for_people() {
        let (info, error) = (line(Level::Info, "serving", vec![]), line(Level::Error, "no disk", vec![]));
        assert_eq!(written(Form::Plain, &info), "serving\n");
        assert_eq!(written(Form::Plain, &error), "error: no disk\n");
        assert_eq!(written(Form::Journal, &info), "<6>serving\n");
        assert_eq!(written(Form::Journal, &error), "<3>no disk\n");
        assert_eq!(written(Form::Journal, &line(Level::Warning, "w", vec![])), "<4>w\n");
        assert_eq!(written(Form::Journal, &line(Level::Debug, "d", vec![])), "<7>d\n");
        assert_eq!(written(Form::Stamped, &error), "2026-11-30T00:53:20.250Z error   no disk\n");
        assert_eq!(written(Form::Stamped, &info), "2026-11-30T00:53:20.250Z info    serving\n");
    }

    #[test]
    fn a_line_is_one_line() {
        let bad =
            line(Level::Info, "a\nb\u{1b}[2J", vec![("k", "x y".into()), ("n", 7.into()), ("w", "w".into())]);
        assert_eq!(written(Form::Plain, &bad), "a\\nb\\u{1b}[2J k=\"x y\" n=7 w=w\n");
        let json = written(Form::Json { priority: false }, &bad);
        assert_eq!(json.lines().count(), 1);
        let object: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(object["message"], "a\nb\u{1b}[2J");
        assert_eq!((&object["n"], &object["level"]), (&Value::from(7), &Value::from("info")));
        assert_eq!(object["time"], "2026-11-30T00:53:20.250Z");
        assert!(written(Form::Json { priority: true }, &bad).starts_with("<6>{\"time\""));
        let long = line(Level::Info, &"ł".repeat(LOG_LINE_LEN_MAX), vec![]);
        let len = written(Form::Plain, &long).len();
        assert!((LOG_LINE_LEN_MAX - 1..=LOG_LINE_LEN_MAX + 1).contains(&len), "{len}");
    }

    #[test]
    fn the_journal_is_known_by_its_stream() {
        let file = tempfile::tempfile().unwrap();
        let metadata = file.metadata().unwrap();
        let stream = format!("{}:{}", metadata.dev(), metadata.ino());
        let form = |format, is_file, stream: &str| Form::new(format, is_file, &file, Some(stream));
        assert_eq!(form(Format::Text, false, &stream), Form::Journal);
        assert_eq!(form(Format::Json, false, &stream), Form::Json { priority: true });
        assert_eq!(form(Format::Text, true, &stream), Form::Stamped);
        assert_eq!(form(Format::Json, true, &stream), Form::Json { priority: false });
        for other in ["", "1", "1:2", "x:y", &format!("{stream}0")] {
            assert_eq!(form(Format::Text, false, other), Form::Plain, "{other}");
        }
        assert_eq!(Form::new(Format::Text, false, &file, None), Form::Plain);
    }
}
