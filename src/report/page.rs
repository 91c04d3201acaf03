//! The page: what a node tells the public of its work, as HTML that is complete without a script.
//!
//! A document for each [`Span`] of time, with its numbers once more as JSON and CSV for programs, a
//! stylesheet and a small script. The index is the document of the span that says most at the node's age.
//! They refer to one another by relative names alone, so they are the same files whether the node serves
//! them or `as112d site` has written them to a directory.

mod charts;
mod clients;
mod document;
mod figures;
mod numbers;
pub mod operator;
mod platform;
mod pops;
mod span;
#[cfg(test)]
mod tests;

use crate::board::Reading;
use crate::board::recent::Pace;
pub use figures::Figures;
pub use span::{DAYS_DIR, Span};

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
