//! What all of the screen is made of: lines with a title, shares with bars, and numbers for people.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use crate::commands::change::Change;

/// What is good, what deserves a look, and what is bad.
pub(super) const GOOD: Color = Color::Green;
pub(super) const ODD: Color = Color::Yellow;
pub(super) const BAD: Color = Color::Red;

/// A line that begins with what it is about.
pub(super) fn titled(title: &str, spans: impl IntoIterator<Item = Span<'static>>) -> Line<'static> {
    let mut line = Line::from(Span::from(format!("{title:<11}")).bold());
    line.extend(spans);
    line
}

/// A title with a line after it.
pub(super) fn ruled(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).border_style(Style::new().dark_gray()).title(title)
}

//------------ Shares ---

/// The parts of something that was counted.
pub(super) struct Share {
    pub(super) title: &'static str,
    /// Each with its count, the largest first.
    pub(super) parts: Vec<(String, u64)>,
    /// What is 100 per cent.
    pub(super) all: u64,
}

/// Cells of `100.0 %` and of a space before it.
const PERCENTAGE_LEN: usize = 8;
/// A bar that is shorter says nothing.
const BAR_LEN_MIN: usize = 5;

impl Share {
    pub(super) fn draw(&self, frame: &mut Frame<'_>, area: Rect) {
        let block = ruled(format!(" {} ", self.title));
        let inner = block.inner(area);
        frame.render_widget(block, area);
        let width = usize::from(inner.width);
        let longest = self.parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        let name_len = longest.min(width.saturating_sub(PERCENTAGE_LEN));
        let bar_len = width.saturating_sub(name_len + PERCENTAGE_LEN + 1);
        let lines = self.parts.iter().map(|(name, count)| {
            let part = *count as f64 * 100.0 / self.all.max(1) as f64;
            let percentage = format!("{:>PERCENTAGE_LEN$}", format!("{part:.1} %"));
            let bar =
                if bar_len < BAR_LEN_MIN { " ".repeat(bar_len + 1) } else { bar(*count, self.all, bar_len) };
            Line::from(vec![
                shortened(name, name_len).into(),
                Span::from(bar).fg(Color::Cyan),
                percentage.into(),
            ])
        });
        let mut lines: Vec<Line<'_>> = lines.take(inner.height.into()).collect();
        if lines.is_empty() {
            lines.push(Line::from("-").dark_gray());
        }
        frame.render_widget(Paragraph::new(lines), inner);
    }
}

/// A space, and a bar that takes its part of `len` cells, in eighths.
pub(super) fn bar(part: u64, all: u64, len: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let (part, all) = (u128::from(part.min(all)), u128::from(all.max(1)));
    let filled = usize::try_from((part * 8 * len as u128 + all / 2) / all).expect("at most 8 a cell");
    let bar = "█".repeat(filled / 8) + EIGHTHS[filled % 8];
    format!(" {bar:<len$}")
}

pub(super) fn shortened(text: &str, len: usize) -> String {
    if text.chars().count() <= len {
        return format!("{text:<len$}");
    }
    text.chars().take(len.saturating_sub(1)).chain(['…']).take(len).collect()
}

//------------ Numbers ---

/// Whether it counts now.
pub(super) fn is_moving(part: Change<'_>) -> bool {
    !part.is_since_start() && part.count() > 0
}

/// A rate; with one answer of the node there is none yet.
pub(super) fn per_second(of: Change<'_>) -> String {
    if of.is_since_start() { "-/s".to_owned() } else { format!("{}/s", grouped(of.rate())) }
}

/// A number with its thousands apart, and tenths where it is small and has some.
pub(super) fn grouped(number: f64) -> String {
    if number < 100.0 && number.fract() > 0.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time for people, of three digits.
pub(super) fn nanoseconds(count: u64) -> String {
    let time = Duration::from_nanos(count);
    let (value, unit) = match count {
        0..1_000 => return format!("{count} ns"),
        1_000..1_000_000 => (time.as_secs_f64() * 1e6, "µs"),
        1_000_000..1_000_000_000 => (time.as_secs_f64() * 1e3, "ms"),
        _ => (time.as_secs_f64(), "s"),
    };
    let tenths = usize::from(value < 10.0) + usize::from(value < 100.0);
    format!("{value:.tenths$} {unit}")
}
