//! Pieces of which pages are made: figures in tiles, tables.

use maud::{Markup, html};

pub(super) fn tile(name: &str, value: &str, note: &str) -> Markup {
    html! { div { dt { (name) } dd.number { (value) } dd.note { (note) } } }
}

/// `2026-01-31 12:00`.
pub(super) fn minute(written: &str) -> String {
    written.get(..16).unwrap_or_default().replace('T', " ")
}

/// The numbers of a figure, for those who want or need them.
pub(super) fn table(caption: &str, head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        details {
            summary { "Table" span.of { " of " (caption) } }
            div.scroll tabindex="0" role="region" aria-label={ "Table of " (caption) } {
                (rows_of(head, rows))
            }
        }
    }
}

/// A table that may be wider than the document.
pub(super) fn table_card(title: &str, drawn: &Markup) -> Markup {
    html! {
        figure.card {
            @if !title.is_empty() { figcaption { h3 { (title) } } }
            div.scroll tabindex="0" role="region" aria-label=(title) { (drawn) }
        }
    }
}

pub(super) fn rows_of(head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        table {
            thead { tr { @for name in head { th scope="col" { (name) } } } }
            tbody {
                @for row in rows {
                    tr {
                        @for (column, cell) in row.iter().enumerate() {
                            @if column == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                        }
                    }
                }
            }
        }
    }
}
