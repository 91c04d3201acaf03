//! `$GENERATE`: one line of a zone file for each number of a range, as BIND has it.

use super::entries::{Mistake, Token};
use super::text::number;
use crate::limits::ZONE_RECORDS_MAX;

/// The lines that the `values` of a `$GENERATE` stand for: a range, and a line in which each `$` is a number.
pub(super) fn lines<'t>(
    directive: &Token<'_>,
    values: &'t [Token<'_>],
) -> Result<impl Iterator<Item = Result<Vec<u8>, Mistake>> + 't, Mistake> {
    let [range, line @ ..] = values else {
        return Err(directive.mistake("$GENERATE takes a range such as 1-100, and a record"));
    };
    let text = range.text();
    let (first, last, step) = read_range(&text).ok_or_else(|| {
        range.mistake(format!("`{text}` is not a range: write it as in 1-100, or 0-100/2 with a step"))
    })?;
    if (last - first) as usize / step >= ZONE_RECORDS_MAX {
        return Err(range.mistake(format!("more than {ZONE_RECORDS_MAX} records: split the zone")));
    }
    Ok((first..=last).step_by(step).map(move |value| with(line, value)))
}

/// `line` with `value` in place of each `$`.
fn with(line: &[Token<'_>], value: u32) -> Result<Vec<u8>, Mistake> {
    let mut text = Vec::new();
    for token in line {
        if !token.glued && !text.is_empty() {
            text.push(b' ');
        }
        substitute(token.raw, value, &mut text).ok_or_else(|| {
            token.mistake("after `$` may stand {offset,width,base}, with a base of d, o, x, X, n or N")
        })?;
    }
    Ok(text)
}

/// `first-last[/step]`.
fn read_range(text: &str) -> Option<(u32, u32, usize)> {
    let (range, step) = text.split_once('/').unwrap_or((text, "1"));
    let (first, last) = range.split_once('-')?;
    let (first, last, step) = (number(first)?, number(last)?, number(step)?);
    (first <= last && step > 0).then_some((first, last, step))
}

/// Adds `raw` with `value` in place of each `$`; `\$` and `$$` stay a dollar sign.
fn substitute(raw: &[u8], value: u32, line: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'\\', [escaped, after @ ..]) => {
                line.extend([b'\\', *escaped]);
                after
            }
            (b'$', [b'$', after @ ..]) => {
                line.extend(b"\\$");
                after
            }
            (b'$', [b'{', after @ ..]) => {
                let end = after.iter().position(|&byte| byte == b'}')?;
                line.extend(modified(std::str::from_utf8(&after[..end]).ok()?, value)?.bytes());
                &after[end + 1..]
            }
            (b'$', after) => {
                line.extend(value.to_string().bytes());
                after
            }
            (byte, after) => {
                line.push(*byte);
                after
            }
        };
    }
    Some(())
}

/// `value` as `offset[,width[,base]]` has it.
fn modified(modifier: &str, value: u32) -> Option<String> {
    const WIDTH_MAX: usize = 255;

    let mut parts = modifier.split(',');
    let offset: i32 = parts.next()?.parse().ok()?;
    let width = parts.next().map_or(Some(0), number::<usize>).filter(|&width| width <= WIDTH_MAX)?;
    let base = parts.next().unwrap_or("d");
    let value = value.checked_add_signed(offset)?;
    if parts.next().is_some() {
        return None;
    }
    Some(match base {
        "d" => format!("{value:0width$}"),
        "o" => format!("{value:0width$o}"),
        "x" => format!("{value:0width$x}"),
        "X" => format!("{value:0width$X}"),
        "n" | "N" => nibbles(value, width, base == "N"),
        _ => return None,
    })
}

/// The hexadecimal digits of `value` from the last to the first, with dots, as in ip6.arpa. The dots count in
/// `width`, even one at the end.
fn nibbles(mut value: u32, mut width: usize, is_upper: bool) -> String {
    let mut text = String::new();
    loop {
        let digit = char::from_digit(value & 0xF, 16).unwrap_or('0');
        text.push(if is_upper { digit.to_ascii_uppercase() } else { digit });
        value >>= 4;
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return text;
        }
        text.push('.');
        width = width.saturating_sub(1);
        if value == 0 && width == 0 {
            return text;
        }
    }
}
