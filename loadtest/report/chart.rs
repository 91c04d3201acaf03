//! Plots as SVG: lines on linear or logarithmic axes, and bars with their least and most.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::super::measure::{Summary, whole};

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 52.0;
/// Height of one bar with its gap.
const BAR: f64 = 30.0;
/// Room for the names beside bars, and for the numbers behind them.
const NAMES: f64 = 150.0;
const NUMBERS: f64 = 170.0;

/// How values become places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From 0.
    Linear,
    Log,
    /// Of percentiles: the distance to 100 % is logarithmic, so that p90, p99 and p99.9 are as far apart.
    Percentile,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    pub label: &'static str,
    pub scale: Scale,
}

/// A line: its name and its points.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// The colour of a server, the same in every plot; it reads on white and on dark.
pub fn color(name: &str) -> &'static str {
    match name {
        "as112d io_uring" => "#1f77d0",
        "as112d mmsg" => "#56b4e9",
        "echo io_uring" => "#7a7f87",
        "echo mmsg" => "#a9adb3",
        "NSD" => "#d55e00",
        "Knot DNS" => "#cc79a7",
        "BIND" => "#009e73",
        _ => "#b58900",
    }
}

/// An axis that knows its ends and ticks.
struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

impl Ruler {
    /// For `values`, between two places.
    fn new(scale: Scale, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        let least = values.iter().copied().filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
        let (low, high, ticks) = match scale {
            Scale::Linear => linear_ticks(most),
            Scale::Log => log_ticks(least, most),
            Scale::Percentile => (50.0, 99.99, vec![50.0, 90.0, 99.0, 99.9, 99.99]),
        };
        Self { scale, low, high, ticks, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let map = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(self.low).log10(),
            Scale::Percentile => -(100.0 - value).max(1e-6).log10(),
        };
        let share = (map(value) - map(self.low)) / (map(self.high) - map(self.low));
        self.from + share * (self.to - self.from)
    }
}

/// Ticks at 1, 2 or 5 times a power of ten, up to the first beyond `most`.
fn linear_ticks(most: f64) -> (f64, f64, Vec<f64>) {
    let most = if most > 0.0 { most } else { 1.0 };
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| most / step <= 6.0);
    let step = step.unwrap_or(10.0 * power);
    let count = whole((most / step).ceil().max(1.0));
    (0.0, step * count as f64, (0..=count).map(|number| step * number as f64).collect())
}

/// Ticks at powers of ten, and at 2 and 5 times them where there are few.
fn log_ticks(least: f64, most: f64) -> (f64, f64, Vec<f64>) {
    if least > most {
        return (1.0, 10.0, vec![1.0, 10.0]);
    }
    let factors: &[f64] = if most / least < 300.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = least.log10().floor() as i32 - 1..=most.log10().ceil() as i32 + 1;
    let all = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)));
    let all: Vec<f64> = all.collect();
    let low = all.iter().copied().filter(|tick| *tick <= least).fold(f64::MIN, f64::max);
    let high = all.iter().copied().filter(|tick| *tick >= most && *tick > low).fold(f64::MAX, f64::min);
    (low, high, all.into_iter().filter(|tick| (low..=high).contains(tick)).collect())
}

/// A number as short as its size allows: 350 k, 1.25, 40.
pub fn short(value: f64) -> String {
    let trimmed = |value: f64, digits: usize| {
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    match value.abs() {
        size if size >= 1e6 => trimmed(value / 1e6, 2) + " M",
        size if size >= 1e3 => trimmed(value / 1e3, 1) + " k",
        size if size >= 100.0 => trimmed(value, 0),
        size if size >= 10.0 => trimmed(value, 1),
        size if size >= 0.1 || size == 0.0 => trimmed(value, 2),
        _ => trimmed(value, 4),
    }
}

/// A drawing, piece by piece.
struct Svg {
    height: f64,
    title: String,
    pieces: Vec<Markup>,
}

impl Svg {
    fn new(height: f64, title: &str) -> Self {
        Self { height, title: title.to_owned(), pieces: Vec::new() }
    }

    fn end(self) -> String {
        let (view, title) = (format!("0 0 {WIDTH} {}", self.height), self.title);
        let font = "system-ui, sans-serif";
        let svg = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox=(view) role="img" aria-label=(title)
                font-family=(font) font-size="13" fill="currentColor" {
                text x="8" y="20" font-size="15" font-weight="600" { (title) }
                @for piece in &self.pieces { (piece) "\n" }
            }
        };
        svg.into_string() + "\n"
    }

    /// Words at a place; `anchor` is `start`, `middle` or `end`.
    fn text(&mut self, x: f64, y: f64, anchor: &str, words: &str) {
        self.pieces.push(html! { text x=(at(x)) y=(at(y)) text-anchor=(anchor) { (words) } });
    }

    /// A line in the colour of the text.
    fn line(&mut self, from: (f64, f64), to: (f64, f64), opacity: &str, dashes: Option<&str>) {
        let ([x1, y1], [x2, y2]) = ([from.0, from.1].map(at), [to.0, to.1].map(at));
        self.pieces.push(html! {
            line x1=(x1) y1=(y1) x2=(x2) y2=(y2) stroke="currentColor" opacity=(opacity)
                stroke-dasharray=[dashes] {}
        });
    }

    fn rect(&mut self, x: f64, y: f64, size: (f64, f64), color: &str) {
        let [width, height] = [size.0, size.1].map(at);
        self.pieces.push(html! {
            rect x=(at(x)) y=(at(y)) width=(width) height=(height) rx="2" fill=(color) {}
        });
    }
}

/// A place, to a tenth.
fn at(place: f64) -> String {
    format!("{place:.1}")
}

/// A plot of lines.
///
/// Where both axes are linear, the dashed diagonal is where both values are equal.
pub fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    const GRID: &str = "0.12";
    let points = || series.iter().flat_map(|series| &series.points);
    let across = Ruler::new(x.scale, points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let up = Ruler::new(y.scale, points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let mut svg = Svg::new(HEIGHT, title);
    legend(&mut svg, series);
    for &tick in &across.ticks {
        let at = across.at(tick);
        let label = if x.scale == Scale::Percentile { format!("p{tick}") } else { short(tick) };
        svg.line((at, TOP), (at, bottom), GRID, None);
        svg.text(at, bottom + 18.0, "middle", &label);
    }
    for &tick in &up.ticks {
        let at = up.at(tick);
        svg.line((LEFT, at), (right, at), GRID, None);
        svg.text(LEFT - 8.0, at + 4.5, "end", &short(tick));
    }
    svg.text(f64::midpoint(LEFT, right), HEIGHT - 10.0, "middle", x.label);
    let turned = format!("translate(16 {}) rotate(-90)", f64::midpoint(TOP, bottom));
    svg.pieces.push(html! { text transform=(turned) text-anchor="middle" { (y.label) } });
    if x.scale == Scale::Linear && y.scale == Scale::Linear {
        let (begin, end) = (0.0, across.high.min(up.high));
        let place = |value| (across.at(value), up.at(value));
        svg.line(place(begin), place(end), "0.5", Some("4 4"));
    }
    for series in series {
        let color = color(&series.name);
        let places = series.points.iter().map(|point| (across.at(point.0), up.at(point.1)));
        let path: Vec<String> = places.clone().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        svg.pieces.push(html! {
            polyline points=(path) fill="none" stroke=(color) stroke-width="2" {}
            @for (x, y) in places { circle cx=(at(x)) cy=(at(y)) r="2.8" fill=(color) {} }
        });
    }
    svg.end()
}

fn legend(svg: &mut Svg, series: &[Series]) {
    let mut at = LEFT;
    for Series { name, .. } in series {
        svg.rect(at, 35.0, (14.0, 4.0), color(name));
        svg.text(at + 20.0, 42.0, "start", name);
        // About so much to a letter.
        at += 36.0 + 7.2 * name.chars().count() as f64;
    }
}

/// Bars of medians; the thin line goes from the least to the most.
pub fn bars(title: &str, unit: &str, rows: &[(String, Summary)]) -> String {
    let height = 40.0 + BAR * rows.len() as f64 + 8.0;
    let ends = rows.iter().map(|(_, summary)| summary.max);
    let across = Ruler::new(Scale::Linear, ends, NAMES, WIDTH - NUMBERS);
    let mut svg = Svg::new(height, title);
    for (number, (name, summary)) in rows.iter().enumerate() {
        let top = 36.0 + BAR * number as f64;
        let end = across.at(summary.median);
        let (least, most) = (across.at(summary.min), across.at(summary.max));
        svg.text(NAMES - 8.0, top + 15.0, "end", name);
        svg.rect(NAMES, top, ((end - NAMES).max(1.0), 20.0), color(name));
        let mut words = format!("{} {unit}", short(summary.median));
        if summary.count > 1 {
            let middle = top + 10.0;
            svg.line((least, middle), (most, middle), "1", None);
            for at in [least, most] {
                svg.line((at, middle - 5.0), (at, middle + 5.0), "1", None);
            }
            let _ = write!(words, " ({} – {})", short(summary.min), short(summary.max));
        }
        svg.text(most.max(end) + 8.0, top + 15.0, "start", &words);
    }
    svg.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        assert_eq!(linear_ticks(347_000.0).2, [0.0, 100e3, 200e3, 300e3, 400e3]);
        assert_eq!(linear_ticks(2.3).2, [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(linear_ticks(0.0).1, 1.0);
        let (low, high, ticks) = log_ticks(0.03, 4.0);
        assert!(low <= 0.03 && high >= 4.0 && ticks.len() >= 6, "{ticks:?}");
        let (low, high, ticks) = log_ticks(0.01, 9000.0);
        assert!(low <= 0.01 && high >= 9000.0 && ticks.len() <= 8, "{ticks:?}");
        let (low, high, _) = log_ticks(1.0, 1.0);
        assert!(low < high);
    }

    #[test]
    fn places_follow_the_scale() {
        let ruler = Ruler::new(Scale::Percentile, std::iter::empty(), 0.0, 100.0);
        let step = ruler.at(99.0) - ruler.at(90.0);
        assert!((ruler.at(99.9) - ruler.at(99.0) - step).abs() < 1e-6);
        let ruler = Ruler::new(Scale::Log, [1.0, 1000.0].into_iter(), 0.0, 3.0);
        assert!((ruler.at(10.0) - ruler.at(1.0) - 1.0).abs() < 1e-9);
        // What cannot be on the axis stands at its end.
        assert!(ruler.at(0.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [347_123.0, 1_250_000.0, 112.4, 12.34, 1.234, 0.0, 0.0123, 1000.0, 100.0];
        let expected = ["347.1 k", "1.25 M", "112", "12.3", "1.23", "0", "0.0123", "1 k", "100"];
        assert_eq!(numbers.map(short), expected);
    }

    #[test]
    fn plots_are_whole() {
        let series = [Series { name: "a<b".to_owned(), points: vec![(1.0, 2.0), (2.0, 0.0)] }];
        let axis = |scale| Axis { label: "x & y", scale };
        for scale in [Scale::Linear, Scale::Log, Scale::Percentile] {
            let svg = lines("title", &axis(scale), &axis(Scale::Log), &series);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(svg.contains("a&lt;b") && svg.contains("x &amp; y"));
        }
        assert!(!lines("none", &axis(Scale::Linear), &axis(Scale::Log), &[]).contains("NaN"));
        let summary = Summary { median: 2.0, min: 1.0, max: 3.0, count: 5 };
        let svg = bars("title", "us", &[("NSD".to_owned(), summary)]);
        assert!(svg.contains(">2 us (1 – 3)<") && !svg.contains("NaN"));
    }
}
