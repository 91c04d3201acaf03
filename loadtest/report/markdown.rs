//! The page as Markdown; the plots are files beside it.

use std::fmt::Write as _;

use super::page::{Page, Part, Table};

pub fn render(page: &Page) -> String {
    let mut out = format!("# {}\n", page.title);
    for part in &page.parts {
        out.push('\n');
        let _ = match part {
            Part::Heading(text) => writeln!(out, "## {text}"),
            Part::Text(text) => writeln!(out, "{text}"),
            Part::List(items) => items.iter().try_for_each(|item| writeln!(out, "- {item}")),
            Part::Table(table) => write!(out, "{}", rows(table)),
            Part::File(title, text) => {
                writeln!(out, "<details><summary>{title}</summary>\n\n```\n{text}```\n\n</details>")
            }
            Part::Chart(name, title, _) => writeln!(out, "![{title}]({name}.svg)"),
        };
    }
    out
}

/// The table of aims alone.
pub fn targets(page: &Page) -> String {
    page.targets().map(rows).unwrap_or_default()
}

fn rows(table: &Table) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | ").replace('\n', " "));
    let rule = format!("|{}\n", "---|".repeat(table.head.len()));
    row(&table.head) + &rule + &table.rows.iter().map(|cells| row(cells)).collect::<String>()
}
