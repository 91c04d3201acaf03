//! The page as one HTML file that needs nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::page::{Page, Part, Table};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
p, ul { max-width: 50rem; }
svg { width: 100%; max-width: 820px; height: auto; display: block; margin: 1rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.87rem; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.7rem 0.3rem 0; }
tr { border-bottom: 1px solid var(--line); }
code { font-size: 0.85em; background: var(--soft); border-radius: 3px; padding: 0.1em 0.3em; }
code { overflow-wrap: anywhere; }
pre { font-size: 0.85em; overflow-x: auto; background: var(--soft); padding: 0.7rem; }
.yes { color: #1a8a4c; font-weight: 600; } .no { color: #d1442e; font-weight: 600; } .none { opacity: 0.6; }
";

pub fn render(page: &Page) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (page.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (page.title) }
                @for part in &page.parts { (shown(part)) "\n" }
            }
        }
    };
    page.into_string() + "\n"
}

fn shown(part: &Part) -> Markup {
    html! {
        @match part {
            Part::Heading(text) => h2 { (text) },
            Part::Text(text) => p { (inline(text)) },
            Part::List(items) => ul { @for item in items { li { (inline(item)) } } },
            Part::Table(table) => (rows(table)),
            Part::File(title, text) => details { summary { (title) } pre { (text) } },
            // The drawing is ours, and escaped where it was made.
            Part::Chart(_, _, svg) => (PreEscaped(svg)),
        }
    }
}

fn rows(table: &Table) -> Markup {
    let class = |cell: &str| match cell {
        "yes" => Some("yes"),
        "no" => Some("no"),
        "not measured" => Some("none"),
        _ => None,
    };
    html! {
        div class="wide" { table {
            thead { tr { @for name in &table.head { th { (name) } } } }
            tbody {
                @for row in &table.rows {
                    tr { @for cell in row { td class=[class(cell)] { (inline(cell)) } } }
                }
            }
        } }
    }
}

/// Text in which what stands between backticks is code.
fn inline(text: &str) -> Markup {
    html! {
        @for (number, piece) in text.split('`').enumerate() {
            @if number % 2 == 0 { (piece) } @else { code { (piece) } }
        }
    }
}
