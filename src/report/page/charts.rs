//! Charts as SVG, written with `maud` like the rest of the page.
//!
//! No plotting library: those that write SVG (plotters 0.3 was read for this) give each shape a fixed
//! colour and a place, in whole pixels, in a picture of fixed size. They write neither classes, roles nor
//! titles: a chart would have one colour scheme, would say nothing to whoever does not see it, and its text
//! would shrink with it on a phone. What they would spare us are the scales, some forty lines. Places along
//! a chart's length are percentages: it takes any width while its text keeps its size; colours are
//! classes of the stylesheet, and so are light and dark.

use maud::{Markup, html};

use super::numbers::{axis, count, fraction, percent, round};

/// Room above the plot for the topmost mark, and below for the other axis, in pixels.
const ABOVE: usize = 18;
const BELOW: usize = 24;
/// Marks of the time that fit next to one another on a phone.
const TICKS_ON_A_PHONE: usize = 5;
/// Height of a row of a bar chart, and of its bar, in pixels.
const ROW: usize = 36;
const BAR: usize = 8;
/// Least distance of labels at the ends of lines from one another, and how far above or below a line one
/// is, in pixels.
const LABEL_GAP: f64 = 15.0;
const LABEL_ABOVE: f64 = 7.0;
const LABEL_BELOW: f64 = 16.0;

/// What a chart is, for those who do not see it.
pub(super) struct Told<'a> {
    /// Unique on the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) what: String,
}

impl Told<'_> {
    /// The element, with what is drawn in it.
    fn svg(&self, height: usize, drawn: &Markup) -> Markup {
        let (title, what) = (format!("{}-title", self.id), format!("{}-what", self.id));
        html! {
            svg.chart role="img" width="100%" height=(height) aria-labelledby=(title)
                aria-describedby=(what) {
                title id=(title) { (self.title) }
                desc id=(what) { (self.what) }
                (drawn)
            }
        }
    }
}

/// A line of a chart.
#[derive(Default)]
pub(super) struct Line<'a> {
    /// Its name, where it is written at its end.
    pub(super) label: Option<&'a str>,
    /// Its look: a class of the stylesheet.
    pub(super) class: &'static str,
    pub(super) has_area: bool,
    /// Whether its last value is of a time that is not over: it may still go anywhere.
    pub(super) is_unfinished: bool,
    pub(super) values: Vec<Option<f64>>,
}

impl Line<'_> {
    /// The values of times that are over.
    fn finished(&self) -> &[Option<f64>] {
        &self.values[..self.values.len().saturating_sub(usize::from(self.is_unfinished))]
    }

    /// The way to the last value from the one before it, and the last one as a point.
    fn unfinished(&self, y: impl Fn(f64) -> f64) -> (String, String) {
        let first = self.finished().len().saturating_sub(1);
        let runs = runs(&self.values[first..]);
        let to_last = runs.last().map(|(at, run)| (first + at, run.clone()));
        let point = to_last.as_ref().and_then(|(at, run)| Some((at + run.len() - 1, vec![*run.last()?])));
        (path(to_last.as_slice(), &y, None), path(point.as_slice(), &y, None))
    }
}

/// Lines over time. `ticks` are the marks of the time: which value, and what it says.
pub(super) fn lines(told: &Told<'_>, lines: &[Line<'_>], ticks: &[(usize, String)], plot: usize) -> Markup {
    let max = lines.iter().flat_map(|line| line.values.iter().flatten()).fold(0.0, |a: f64, b| a.max(*b));
    let (step, marks) = axis(max);
    let top = step * marks as f64;
    let last = lines.iter().map(|line| line.values.len()).max().unwrap_or_default().saturating_sub(1).max(1);
    let y = |value: f64| plot as f64 * (1.0 - value / top);
    told.svg(
        ABOVE + plot + BELOW,
        &html! {
            (grid(marks, plot))
            svg.plot x="0" y=(ABOVE) width="100%" height=(plot) viewBox=(format!("0 0 {last} {plot}"))
                preserveAspectRatio="none" {
                @for line in lines {
                    @let runs = runs(line.finished());
                    @if line.has_area {
                        path class={ "area " (line.class) } d=(path(&runs, y, Some(plot))) {}
                    }
                    path class={ "line " (line.class) } d=(path(&runs, y, None)) {}
                    @if line.is_unfinished {
                        @let (lead, point) = line.unfinished(y);
                        path class={ "line unfinished " (line.class) } d=(lead) {}
                        path class={ "line point " (line.class) } d=(point) {}
                    }
                }
            }
            (scale(marks, plot, step))
            @for (index, (at, text)) in ticks.iter().enumerate() {
                @let is_spare = ticks.len() > TICKS_ON_A_PHONE && index % 2 == 1;
                (tick(*at as f64 / last as f64, text, ABOVE + plot + 17, is_spare))
            }
            @for (line, at) in labelled(lines, plot, y) {
                text class={ "label " (line.class) } x="100%" y=(format!("{:.0}", at + ABOVE as f64))
                    text-anchor="end" { (line.label.unwrap_or_default()) }
            }
        },
    )
}

/// Above the base line, how far up a mark is.
const fn up(mark: usize, marks: usize, plot: usize) -> usize {
    ABOVE + plot - plot * mark / marks
}

/// The lines across.
fn grid(marks: usize, plot: usize) -> Markup {
    html! {
        @for mark in 0..=marks {
            @let y = up(mark, marks, plot);
            line.grid[mark > 0].base[mark == 0] x1="0" x2="100%" y1=(y) y2=(y) {}
        }
    }
}

/// What they stand for, above them, and above what is drawn.
fn scale(marks: usize, plot: usize, step: f64) -> Markup {
    html! {
        @for mark in 1..=marks {
            text.axis x="0" y=(up(mark, marks, plot) - 5) { (round(step * mark as f64)) }
        }
    }
}

/// A mark of the axis along the length. At its ends the text stays within the chart. One that `is_spare` is
/// not shown where there is little room.
fn tick(at: f64, text: &str, y: usize, is_spare: bool) -> Markup {
    let anchor = match at {
        0.0..0.04 => "start",
        0.96.. => "end",
        _ => "middle",
    };
    let x = format!("{:.2}%", at * 100.0);
    html! { text.axis.spare[is_spare] x=(x) y=(y) text-anchor=(anchor) { (text) } }
}

/// Parts of a line without a gap: the first place, and the values.
fn runs(values: &[Option<f64>]) -> Vec<(usize, Vec<f64>)> {
    let mut runs: Vec<(usize, Vec<f64>)> = Vec::new();
    for (at, value) in values.iter().enumerate() {
        let Some(value) = *value else { continue };
        match runs.last_mut() {
            Some((first, run)) if *first + run.len() == at => run.push(value),
            _ => runs.push((at, vec![value])),
        }
    }
    runs
}

/// Through all values; with `base` down to it and closed.
fn path(runs: &[(usize, Vec<f64>)], y: impl Fn(f64) -> f64, base: Option<usize>) -> String {
    let mut path = String::new();
    for (first, run) in runs {
        let points = run.iter().enumerate().map(|(at, value)| format!("{} {:.1}", first + at, y(*value)));
        let points: Vec<String> = points.collect();
        // A lone value is a line of no length, which a round cap makes a dot.
        path += &match base {
            None if run.len() == 1 => format!("M{0}L{0}", points[0]),
            None => format!("M{}", points.join("L")),
            Some(base) => format!("M{first} {base}L{}L{} {base}Z", points.join("L"), first + run.len() - 1),
        };
    }
    path
}

/// The lines that have a label, each with the height of its text: above the line's end, but not on one
/// another. Where two come close the lowest is below its line, if there is room.
fn labelled<'l, 'a>(lines: &'l [Line<'a>], plot: usize, y: impl Fn(f64) -> f64) -> Vec<(&'l Line<'a>, f64)> {
    let ends = lines.iter().filter(|line| line.label.is_some());
    let ends = ends.filter_map(|line| Some((line, y(line.values.iter().rev().flatten().copied().next()?))));
    let mut ends: Vec<_> = ends.map(|(line, end)| (line, end - LABEL_ABOVE)).collect();
    ends.sort_by(|a, b| b.1.total_cmp(&a.1));
    if let [lowest, next, ..] = &mut ends[..]
        && lowest.1 - next.1 < 2.0 * LABEL_GAP
        && lowest.1 + LABEL_ABOVE + LABEL_BELOW < plot as f64
    {
        lowest.1 += LABEL_ABOVE + LABEL_BELOW;
    }
    for at in 1..ends.len() {
        ends[at].1 = ends[at].1.min(ends[at - 1].1 - LABEL_GAP);
    }
    ends
}

/// Shares of a whole, a row for each: its name, its part in per cent, a bar.
pub(super) fn bars(told: &Told<'_>, shares: &[(String, u64)], all: u64) -> Markup {
    told.svg(
        shares.len() * ROW,
        &html! {
            @for (row, (name, part)) in shares.iter().enumerate() {
                @let y = row * ROW;
                @let width = format!("{:.2}%", fraction(*part, all) * 100.0);
                text.name x="0" y=(y + 15) { (name) }
                text.value x="100%" y=(y + 15) text-anchor="end" { (percent(*part, all)) }
                rect.track x="0" y=(y + 21) width="100%" height=(BAR) rx="2" {}
                rect.bar.rest[name == "other"] x="0" y=(y + 21) width=(width) height=(BAR) rx="2" {}
            }
        },
    )
}

/// Counts by size, a column for each bin.
pub(super) fn columns(told: &Told<'_>, counts: &[u64], ticks: &[(usize, String)], plot: usize) -> Markup {
    let (step, marks) = axis(counts.iter().copied().max().unwrap_or_default() as f64);
    let top = step * marks as f64;
    told.svg(
        ABOVE + plot + BELOW,
        &html! {
            (grid(marks, plot))
            svg.plot x="0" y=(ABOVE) width="100%" height=(plot)
                viewBox=(format!("0 0 {} {plot}", counts.len() * 10)) preserveAspectRatio="none" {
                @for (at, value) in counts.iter().enumerate().filter(|(_, value)| **value > 0) {
                    // Of what is there something is seen.
                    @let height = (plot as f64 * *value as f64 / top).max(1.0);
                    rect.bar x=(at * 10 + 1) y=(format!("{:.1}", plot as f64 - height)) width="8"
                        height=(format!("{height:.1}")) {}
                }
            }
            (scale(marks, plot, step))
            @for (at, text) in ticks {
                (tick(*at as f64 / counts.len().max(1) as f64, text, ABOVE + plot + 17, false))
            }
        },
    )
}

/// What a chart of shares says in a sentence.
pub(super) fn shares_told(shares: &[(String, u64)], all: u64) -> String {
    if all == 0 {
        return "No queries counted yet.".to_owned();
    }
    let parts: Vec<String> =
        shares.iter().map(|(name, part)| format!("{name} {}", percent(*part, all))).collect();
    format!("{}; {} in total.", parts.join(", "), count(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[Option<f64>]) -> Line<'static> {
        Line { label: Some("l"), class: "first", values: values.to_vec(), ..Line::default() }
    }

    #[test]
    fn a_gap_is_no_line() {
        let runs = runs(&[None, Some(1.0), Some(2.0), None, Some(3.0)]);
        assert_eq!(runs, [(1, vec![1.0, 2.0]), (4, vec![3.0])]);
        let y = |value| 10.0 - value;
        assert_eq!(path(&runs, y, None), "M1 9.0L2 8.0M4 7.0L4 7.0");
        assert_eq!(path(&runs, y, Some(10)), "M1 10L1 9.0L2 8.0L2 10ZM4 10L4 7.0L4 10Z");
        assert_eq!(path(&[], y, Some(10)), "");
    }

    #[test]
    fn what_is_not_over_is_drawn_apart() {
        let y = |value| 10.0 - value;
        let unfinished = |values: &[Option<f64>]| {
            let line = Line { is_unfinished: true, ..line(values) };
            (path(&runs(line.finished()), y, None), line.unfinished(y))
        };
        let (whole, (lead, point)) = unfinished(&[Some(1.0), Some(2.0), Some(3.0)]);
        assert_eq!((&whole[..], &lead[..], &point[..]), ("M0 9.0L1 8.0", "M1 8.0L2 7.0", "M2 7.0L2 7.0"));
        // There is nothing before it to come from.
        let (whole, (lead, point)) = unfinished(&[None, Some(3.0)]);
        assert_eq!((&whole[..], &lead[..], &point[..]), ("", "M1 7.0L1 7.0", "M1 7.0L1 7.0"));
    }

    #[test]
    fn labels_are_not_on_one_another() {
        let lines = [line(&[Some(50.0)]), line(&[Some(51.0), None]), line(&[Some(52.0)]), line(&[None])];
        for plot in [100, 60] {
            let heights: Vec<f64> =
                labelled(&lines, plot, |value| 100.0 - value).iter().map(|(_, at)| *at).collect();
            assert_eq!(heights.len(), 3, "what has no value has no end");
            assert!(heights.windows(2).all(|pair| pair[0] - pair[1] >= LABEL_GAP), "{heights:?}");
        }
    }

    #[test]
    fn every_text_is_escaped() {
        let shares = [("<b>&\"".to_owned(), 3), ("other".to_owned(), 1)];
        let told = Told { id: "i", title: "<t>", what: shares_told(&shares, 4) };
        let svg = bars(&told, &shares, 4).into_string();
        assert!(svg.contains("&lt;b&gt;&amp;") && svg.contains("&lt;t&gt;"), "{svg}");
        assert!(!svg.contains("<b>") && !svg.contains("<t>"), "{svg}");
        assert!(svg.contains("width=\"75.00%\"") && svg.contains("class=\"bar rest\""), "{svg}");
    }
}
