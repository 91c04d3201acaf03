//! Numbers for people: few digits, SI prefixes, and a narrow no-break space.

/// Between a number and its unit, and between groups of digits (SI Brochure, section 5.4.4).
const SPACE: char = '\u{202f}';
/// What stands where there is no number.
pub(super) const NOTHING: &str = "–";

/// Three digits, with an SI prefix where that helps: `12.3 k`.
pub(super) fn si(value: f64) -> String {
    let mut scaled = value;
    let mut prefixes = ["", "k", "M", "G", "T", "P", "E"].iter();
    let mut prefix = prefixes.next().expect("it has seven");
    // 999.5 would be written as 1000.
    while scaled.abs() >= 999.5 {
        let Some(next) = prefixes.next() else { break };
        (scaled, prefix) = (scaled / 1000.0, next);
    }
    let is_whole = prefix.is_empty() && scaled.fract() == 0.0;
    let digits = match scaled.abs() {
        0.0..9.995 if !is_whole => 2,
        0.0..99.95 if !is_whole => 1,
        _ => 0,
    };
    let number = format!("{scaled:.digits$}");
    if prefix.is_empty() { number } else { format!("{number}{SPACE}{prefix}") }
}

/// As [`si`], without digits that say nothing: for marks of an axis, which are round.
pub(super) fn round(value: f64) -> String {
    let text = si(value);
    let (number, prefix) = text.split_once(SPACE).unwrap_or((&text, ""));
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    if prefix.is_empty() { number.to_owned() } else { format!("{number}{SPACE}{prefix}") }
}

/// Three digits of what is less than one, as seconds may be: `12.3 µ`, to be followed by the unit.
pub(super) fn si_small(value: f64) -> String {
    let prefixes = [(1e-9, "n"), (1e-6, "µ"), (1e-3, "m")];
    let fitting = prefixes.into_iter().find(|(unit, _)| value < unit * 999.5);
    let (unit, prefix) = fitting.unwrap_or((1.0, ""));
    format!("{}{SPACE}{prefix}", si(value / unit).replace(SPACE, ""))
}

/// [`si`] of a count.
pub(super) fn count(count: u64) -> String {
    si(count as f64)
}

/// A whole number in full: `1 234 567`.
pub(super) fn exact(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(SPACE);
        }
        out.push(digit);
    }
    out
}

/// A part of a whole: `12.3 %`.
pub(super) fn percent(part: u64, all: u64) -> String {
    let share = fraction(part, all) * 100.0;
    match share {
        _ if all == 0 => NOTHING.to_owned(),
        _ if part == 0 => format!("0{SPACE}%"),
        0.0..0.05 => format!("<{SPACE}0.1{SPACE}%"),
        // What is not all must not look like it.
        99.95.. if part < all => format!(">{SPACE}99.9{SPACE}%"),
        _ => format!("{share:.1}{SPACE}%"),
    }
}

/// A part of a whole, from 0 to 1.
pub(super) fn fraction(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// A span of time in its two largest units.
pub(super) fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}{SPACE}s"),
        (0, 0, _) => format!("{minutes}{SPACE}min"),
        (0, ..) => format!("{hours}{SPACE}h {minutes}{SPACE}min"),
        _ => format!("{days}{SPACE}d {hours}{SPACE}h"),
    }
}

/// Marks of an axis from 0 that reaches `max`: their distance, 1, 2 or 5 times a power of ten, and how many.
pub(super) fn axis(max: f64) -> (f64, usize) {
    const MARKS: usize = 4;
    if max <= 0.0 {
        return (1.0, 1);
    }
    let power = 10f64.powf((max / MARKS as f64).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| step * MARKS as f64 >= max).unwrap_or(10.0 * power);
    (step, (1..MARKS).find(|marks| step * *marks as f64 >= max).unwrap_or(MARKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        for (value, text) in [
            (0.0, "0"),
            (0.126, "0.13"),
            (7.0, "7"),
            (12.34, "12.3"),
            (99.97, "100"),
            (999.4, "999"),
            (999.6, "1.00\u{202f}k"),
            (12_345.0, "12.3\u{202f}k"),
            (1.5e9, "1.50\u{202f}G"),
            (2e22, "20000\u{202f}E"),
        ] {
            assert_eq!(si(value), text, "{value}");
        }
        assert_eq!((exact(7), exact(1_234_567)), ("7".to_owned(), "1\u{202f}234\u{202f}567".to_owned()));
    }

    #[test]
    fn marks_and_short_times_are_short() {
        for (value, text) in [(0.5, "0.5"), (20.0, "20"), (1500.0, "1.5 k"), (2e6, "2 M"), (200.0, "200")] {
            assert_eq!(round(value).replace(SPACE, " "), text);
        }
        for (value, text) in [(0.0, "0 n"), (1.2345e-5, "12.3 µ"), (9.996e-4, "1.00 m"), (2.0, "2 ")] {
            assert_eq!(si_small(value).replace(SPACE, " "), text);
        }
    }

    #[test]
    fn a_share_is_nothing_or_all_only_where_it_is() {
        for (part, all, text) in [
            (0, 0, "–"),
            (0, 9, "0 %"),
            (1, 100_000, "< 0.1 %"),
            (123, 1000, "12.3 %"),
            (99_999, 100_000, "> 99.9 %"),
            (5, 5, "100.0 %"),
        ] {
            assert_eq!(percent(part, all).replace('\u{202f}', " "), text, "{part} of {all}");
        }
    }

    #[test]
    fn marks_are_round_and_few_and_cover() {
        for (max, step, marks) in
            [(0.0, 1.0, 1), (1.0, 0.5, 2), (4.0, 1.0, 4), (95.0, 50.0, 2), (81.0, 50.0, 2)]
        {
            assert_eq!(axis(max), (step, marks), "{max}");
        }
        for exponent in -3..12 {
            for factor in [1.0, 1.7, 3.3, 4.1, 9.9] {
                let max = factor * 10f64.powi(exponent);
                let (step, marks) = axis(max);
                assert!(
                    (1..=4).contains(&marks) && step * marks as f64 >= max * 0.999,
                    "{max}: {step} {marks}"
                );
            }
        }
    }

    #[test]
    fn times_have_two_units() {
        for (seconds, text) in [(59, "59 s"), (61, "1 min"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(span(seconds).replace('\u{202f}', " "), text);
        }
    }
}
