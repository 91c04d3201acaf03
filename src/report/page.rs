//! The page: what a node tells the public of its work, as HTML that is complete without a script.
//!
//! A document for each [`Span`] of time, with its numbers once more as JSON and CSV for programs, a
//! stylesheet and a small script. The index is the document of the span that says most at the node's age.
//! They refer to one another by relative names alone, so they are the same files whether the node serves
//! them or `as112d site` has written them to a directory.

mod charts;
mod document;
mod figures;
mod numbers;
pub mod operator;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::board::Reading;
use crate::board::recent::Pace;
use crate::limits::{HISTORY_RESOLUTIONS, PAGE_KEPT_DIVISOR};
pub use figures::Figures;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// The time that a document is about: the last whole steps, and the one under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// An hour by minutes.
    Hour,
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
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The one that is shown first of a node that has counted for so many seconds: a day by quarters of an
    /// hour says nothing of the first minutes.
    #[must_use]
    pub const fn first_at(age: u64) -> Self {
        if age < DAY { Self::Hour } else { Self::Day }
    }

    /// As in the names of files.
    const fn name(self) -> &'static str {
        ["1h", "24h", "7d", "30d", "1y"][self as usize]
    }

    const fn title(self) -> &'static str {
        ["1 hour", "24 hours", "7 days", "30 days", "1 year"][self as usize]
    }

    const fn last_title(self) -> &'static str {
        ["last hour", "last 24 hours", "last 7 days", "last 30 days", "last year"][self as usize]
    }

    const fn len(self) -> u64 {
        [HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY][self as usize]
    }

    const fn step(self) -> u64 {
        [MINUTE, HOUR / 4, HOUR, 4 * HOUR, DAY][self as usize]
    }

    const fn step_title(self) -> &'static str {
        ["minute", "15 minutes", "hour", "4 hours", "day"][self as usize]
    }

    const fn averages_title(self) -> &'static str {
        ["1-minute", "15-minute", "1-hour", "4-hour", "1-day"][self as usize]
    }

    /// How much earlier the time is that it is compared with: hours and weekdays meet their like.
    const fn back(self) -> u64 {
        if matches!(self, Self::Hour) { DAY } else { 7 * DAY }
    }

    const fn back_title(self) -> &'static str {
        if matches!(self, Self::Hour) { "a day earlier" } else { "a week earlier" }
    }

    /// For how long its figures are as good as new.
    #[must_use]
    pub const fn kept_for(self) -> Duration {
        Duration::from_secs(self.step() / PAGE_KEPT_DIVISOR)
    }

    const fn document(self) -> &'static str {
        ["1h.html", "24h.html", "7d.html", "30d.html", "1y.html"][self as usize]
    }
}

// There are still minutes of the hour that the last one is compared with.
const _: () = assert!(HISTORY_RESOLUTIONS[0].1 > Span::Hour.back() + 2 * Span::Hour.len());

/// The document of the span that is shown first.
const INDEX: &str = "index.html";

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
    /// The document at a path; the index is that of `first`.
    #[must_use]
    pub fn at(path: &str, query: Option<&str>, first: Span) -> Option<Self> {
        let name = path.strip_prefix('/')?;
        let name = if ["", INDEX].contains(&name) { first.document() } else { name };
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
    let as_it_is = |name: String| (format!("/{name}"), name);
    let saved = |name: &str| (format!("/{name}?{SAVED}"), name.to_owned());
    let of_span = move |span: Span| {
        let data = ["json", "csv"].map(|form| as_it_is(format!("{}.{form}", span.name())));
        data.into_iter().chain([saved(span.document())])
    };
    let assets = ["page.css", "page.js"].map(|name| as_it_is(name.to_owned()));
    assets.into_iter().chain([saved(INDEX)]).chain(Span::ALL.into_iter().flat_map(of_span))
}

/// What has changed on the page by now, as JSON for its script: the text of each element by its name there.
#[must_use]
pub fn news(reading: &Reading<'_>, pace: &Pace) -> String {
    let texts = document::live(reading, pace).into_iter();
    serde_json::Value::Object(texts.map(|(name, text)| (name.to_owned(), text.into())).collect()).to_string()
}
