//! The page: what a node tells the public of its work, as HTML that is complete without a script.
//!
//! A document for each [`Span`] of time, with its numbers once more as JSON and CSV for programs, a
//! stylesheet and a small script. They refer to one another by relative names alone: so they are the same
//! files whether the node serves them, or `as112d site` has written them to a folder.

mod charts;
mod document;
mod figures;
mod numbers;
pub mod operator;

use std::time::Duration;

use crate::board::Reading;
use crate::board::recent::Pace;
use crate::limits::PAGE_KEPT_DIVISOR;
pub use figures::Figures;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// How much earlier the time is that a span is compared with: weekdays meet their like.
const BACK: u64 = 7 * DAY;
const BACK_TITLE: &str = "a week earlier";

/// The time that a document is about: the last whole steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// 24 hours by quarters.
    Day,
    /// A week by hours.
    Week,
    /// 30 days by four hours.
    Month,
    /// A year by days.
    Year,
}

impl Span {
    /// All, the shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    /// As in the names of files.
    const fn name(self) -> &'static str {
        ["24h", "7d", "30d", "1y"][self as usize]
    }

    const fn title(self) -> &'static str {
        ["24 hours", "7 days", "30 days", "1 year"][self as usize]
    }

    const fn len(self) -> u64 {
        [DAY, 7 * DAY, 30 * DAY, 365 * DAY][self as usize]
    }

    const fn step(self) -> u64 {
        [HOUR / 4, HOUR, 4 * HOUR, DAY][self as usize]
    }

    const fn step_title(self) -> &'static str {
        ["15 minutes", "1 hour", "4 hours", "1 day"][self as usize]
    }

    /// For how long its figures are as good as new.
    #[must_use]
    pub const fn kept_for(self) -> Duration {
        Duration::from_secs(self.step() / PAGE_KEPT_DIVISOR)
    }

    const fn document(self) -> &'static str {
        ["index.html", "7d.html", "30d.html", "1y.html"][self as usize]
    }
}

/// How the numbers of a span are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    /// HTML with a stream of live numbers.
    Live,
    /// HTML to be kept: nothing moves, and it refers to what can be kept with it.
    Saved,
    Json,
    Csv,
}

/// One of the documents that need the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    span: Span,
    form: Form,
}

/// The part of the URL behind `?` that asks for a document to be kept.
pub const SAVED: &str = "saved";

/// The file among [`files`] that lists the days about which there is a file in [`DAYS_DIR`].
pub const DAYS_FILE: &str = "24h.json";

/// Where the files about days are, as `2026-01-31.yaml`.
pub const DAYS_DIR: &str = "rssac002";

/// The path of the stream of live numbers.
pub const EVENTS: &str = "/events";

impl Page {
    /// The document at a path.
    #[must_use]
    pub fn at(path: &str, query: Option<&str>) -> Option<Self> {
        let name = path.strip_prefix('/')?;
        let name = if name.is_empty() { Span::Day.document() } else { name };
        let html = if query == Some(SAVED) { Form::Saved } else { Form::Live };
        Span::ALL.into_iter().find_map(|span| {
            let form = match name.strip_prefix(span.name()) {
                _ if name == span.document() => html,
                Some(".json") => Form::Json,
                Some(".csv") => Form::Csv,
                _ => return None,
            };
            Some(Self { span, form })
        })
    }

    /// The Content-Type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self.form {
            Form::Live | Form::Saved => "text/html; charset=utf-8",
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The time that it is about.
    #[must_use]
    pub const fn span(self) -> Span {
        self.span
    }

    /// Writes it.
    #[must_use]
    pub fn render(self, figures: &Figures, reading: &Reading<'_>, pace: &Pace) -> String {
        match self.form {
            Form::Live | Form::Saved => {
                document::render(figures, reading, pace, self.form == Form::Live).into_string()
            }
            Form::Json => format!("{:#}\n", figures.json()),
            Form::Csv => figures.csv(),
        }
    }
}

/// What is the same on every node: its Content-Type and its text.
#[must_use]
pub fn asset(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/page.css" => Some(("text/css; charset=utf-8", include_str!("page/assets/page.css"))),
        "/page.js" => Some(("text/javascript; charset=utf-8", include_str!("page/assets/page.js"))),
        _ => None,
    }
}

/// What a saved page consists of: for each file where to ask for it, and its name.
pub fn files() -> impl Iterator<Item = (String, String)> {
    let of_span = |span: Span| {
        let document = span.document().to_owned();
        let data = ["json", "csv"].map(|form| format!("{}.{form}", span.name()));
        data.map(|name| (format!("/{name}"), name))
            .into_iter()
            .chain([(format!("/{document}?{SAVED}"), document)])
    };
    let assets = ["page.css", "page.js"].map(|name| (format!("/{name}"), name.to_owned()));
    assets.into_iter().chain(Span::ALL.into_iter().flat_map(of_span))
}

/// What has changed on the page by now, as JSON for its script: the text of each element by its name there.
#[must_use]
pub fn news(reading: &Reading<'_>, pace: &Pace) -> String {
    let texts = document::live(reading, pace).into_iter();
    serde_json::Value::Object(texts.map(|(name, text)| (name.to_owned(), text.into())).collect()).to_string()
}
