//! LOC: where in the world a node is (RFC 1876), between its presentation form and its 16 bytes.

use std::fmt::Write;

/// Bytes of the rdata of version 0, the only one.
const LEN: usize = 16;
/// What latitudes and longitudes are counted from: the equator and the prime meridian are 2^31.
const MIDDLE: i64 = 1 << 31;
/// Thousandths of a second of arc in a degree, and in a minute.
const DEGREE: i64 = 3_600_000;
/// See [`DEGREE`].
const MINUTE: i64 = 60_000;
/// Altitudes are counted in centimetres from 100,000 m below the reference spheroid.
const ALTITUDE_BASE: i64 = 10_000_000;
/// Largest size or precision: 90,000,000 m, in centimetres.
const SIZE_MAX: i64 = 9_000_000_000;

/// Why a presentation form is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The index of the token to blame; the number of tokens when one is missing.
    pub(super) token: usize,
    /// What is wrong.
    pub(super) message: String,
}

/// The rdata of the presentation form `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W alt [size [hp [vp]]]`, one token
/// each (RFC 1876, section 3). What is left out is zero for minutes and seconds, and 1 m, 10,000 m, 10 m for
/// the last three.
pub(super) fn from_text(tokens: &[&str]) -> Result<[u8; LEN], Refusal> {
    let mut at = 0;
    let latitude = angle(tokens, &mut at, 90, ["N", "S"])?;
    let longitude = angle(tokens, &mut at, 180, ["E", "W"])?;
    let altitude = metres(tokens, at, -ALTITUDE_BASE, i64::from(u32::MAX) - ALTITUDE_BASE)?;
    let mut sizes = [scaled(100), scaled(1_000_000), scaled(1_000)];
    for size in &mut sizes {
        at += 1;
        if at < tokens.len() {
            *size = scaled(metres(tokens, at, 0, SIZE_MAX)?);
        }
    }
    if at + 1 < tokens.len() {
        return Err(refuse(at + 1, "a LOC record ends with its vertical precision: nothing may follow"));
    }
    let mut rdata = [0; LEN];
    rdata[1..4].copy_from_slice(&sizes);
    for (field, value) in [(4, latitude + MIDDLE), (8, longitude + MIDDLE), (12, altitude + ALTITUDE_BASE)] {
        let value = u32::try_from(value).expect("the ranges of the three were checked");
        rdata[field..field + 4].copy_from_slice(&value.to_be_bytes());
    }
    Ok(rdata)
}

/// The presentation form, or `None` for bytes that no presentation form stands for.
pub(super) fn to_text(rdata: &[u8]) -> Option<String> {
    let rdata: &[u8; LEN] = rdata.try_into().ok()?;
    let word = |at: usize| {
        i64::from(u32::from_be_bytes(rdata[at..at + 4].try_into().expect("four of sixteen bytes")))
    };
    let (latitude, longitude, altitude) = (word(4) - MIDDLE, word(8) - MIDDLE, word(12) - ALTITUDE_BASE);
    if rdata[0] != 0 || latitude.abs() > 90 * DEGREE || longitude.abs() > 180 * DEGREE {
        return None;
    }
    let mut text = String::new();
    write_angle(&mut text, latitude, ["N", "S"]);
    write_angle(&mut text, longitude, ["E", "W"]);
    let sign = if altitude < 0 { "-" } else { "" };
    let _ = write!(text, "{sign}{}.{:02}m", altitude.abs() / 100, altitude.abs() % 100);
    for &size in &rdata[1..4] {
        let (base, exponent) = (i64::from(size >> 4), u32::from(size & 0x0F));
        if base > 9 || exponent > 9 {
            return None;
        }
        let centimetres = base * 10_i64.pow(exponent);
        let _ = write!(text, " {}.{:02}m", centimetres / 100, centimetres % 100);
    }
    Some(text)
}

/// Reads `d [m [s]]` and the hemisphere from `tokens[*at..]`; thousandths of a second of arc, south and west
/// below 0.
fn angle(tokens: &[&str], at: &mut usize, degrees_max: i64, hemispheres: [&str; 2]) -> Result<i64, Refusal> {
    // Degrees, minutes, seconds: the largest of each, its decimals, and what one unit of its last place is
    // worth.
    let parts = [(degrees_max, 0, DEGREE), (59, 0, MINUTE), (59_999, 3, 1)];
    let (mut sum, mut index) = (0, 0);
    loop {
        let token = *tokens.get(*at).ok_or_else(|| {
            refuse(*at, &format!("the LOC record ends before its {} or {}", hemispheres[0], hemispheres[1]))
        })?;
        if let Some(side) = hemispheres.iter().position(|hemisphere| token.eq_ignore_ascii_case(hemisphere)) {
            if index == 0 {
                return Err(refuse(*at, &format!("degrees are missing before `{token}`")));
            }
            if sum > degrees_max * DEGREE {
                return Err(refuse(*at, &format!("more than {degrees_max} degrees")));
            }
            *at += 1;
            return Ok(if side == 0 { sum } else { -sum });
        }
        let (max, decimals, worth) = *parts.get(index).ok_or_else(|| {
            refuse(*at, &format!("`{token}` where {} or {} is expected", hemispheres[0], hemispheres[1]))
        })?;
        let value = fixed(token, decimals).filter(|value| (0..=max).contains(value)).ok_or_else(|| {
            let unit = ["degrees", "minutes", "seconds"][index];
            let max = if decimals > 0 { "59.999".to_owned() } else { max.to_string() };
            refuse(*at, &format!("`{token}` is not a number of {unit} from 0 to {max}"))
        })?;
        sum += value * worth;
        index += 1;
        *at += 1;
    }
}

/// Reads a length in metres, `m` after it or not; centimetres.
fn metres(tokens: &[&str], at: usize, min: i64, max: i64) -> Result<i64, Refusal> {
    let token = *tokens.get(at).ok_or_else(|| refuse(at, "the LOC record ends before its altitude"))?;
    let number = token.strip_suffix(['m', 'M']).unwrap_or(token);
    fixed(number, 2).filter(|value| (min..=max).contains(value)).ok_or_else(|| {
        let (min, max) = (min / 100, max / 100);
        refuse(at, &format!("`{token}` is not a length from {min} m to {max} m with at most two decimals"))
    })
}

fn refuse(token: usize, message: &str) -> Refusal {
    Refusal { token, message: message.to_owned() }
}

/// A decimal number as an integer of its `decimals`-th place; `None` for anything else.
fn fixed(text: &str, decimals: usize) -> Option<i64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    // Twelve digits are beyond every bound of a LOC record, and nothing below can overflow with them.
    if whole.is_empty()
        || whole.len() > 12
        || fraction.len() > decimals
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    let scale = |places: usize| 10_i64.pow(u32::try_from(places).expect("at most three decimals"));
    let fraction_value = if fraction.is_empty() { 0 } else { fraction.parse::<i64>().ok()? };
    let value =
        whole.parse::<i64>().ok()? * scale(decimals) + fraction_value * scale(decimals - fraction.len());
    Some(sign * value)
}

/// Centimetres as a digit and a power of ten, further digits cut off (RFC 1876, section 2).
fn scaled(centimetres: i64) -> u8 {
    let (mut base, mut exponent) = (centimetres, 0);
    while base > 9 {
        base /= 10;
        exponent += 1;
    }
    u8::try_from(base << 4 | exponent).expect("a digit and an exponent of at most 9 share a byte")
}

fn write_angle(text: &mut String, angle: i64, hemispheres: [&str; 2]) {
    let rest = angle.abs();
    let hemisphere = hemispheres[usize::from(angle < 0)];
    let (minutes, seconds) = (rest % DEGREE / MINUTE, rest % MINUTE);
    let _ =
        write!(text, "{} {minutes} {}.{:03} {hemisphere} ", rest / DEGREE, seconds / 1000, seconds % 1000);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> Result<[u8; LEN], Refusal> {
        from_text(&text.split_whitespace().collect::<Vec<_>>())
    }

    /// The record of RFC 7534, section 3.5.
    const NODE: [u8; LEN] =
        [0, 0x12, 0x16, 0x13, 0x89, 0xBE, 0xCF, 0xE0, 0x6F, 0xC1, 0xAC, 0xC0, 0x00, 0x98, 0xB5, 0xC0];

    #[test]
    fn the_record_of_rfc_7534_has_its_wire_form() {
        assert_eq!(encode("45 25 0.000 N 75 42 0.000 W 80.00m 1m 10000m 10m").unwrap(), NODE);
        assert_eq!(encode("45 25 n 75 42 w 80").unwrap(), NODE, "defaults");
        let text = to_text(&NODE).unwrap();
        assert_eq!(text, "45 25 0.000 N 75 42 0.000 W 80.00m 1.00m 10000.00m 10.00m");
        assert_eq!(encode(&text).unwrap(), NODE);
    }

    #[test]
    fn the_edges_of_every_field_round_trip() {
        for text in [
            "90 0 0.000 N 180 0 0.000 E 42849672.95m 90000000.00m 0.00m 0.01m",
            "90 0 0.000 S 180 0 0.000 W -100000.00m 1.00m 10000.00m 10.00m",
            "0 0 0.001 S 0 59 59.999 W -0.01m 30.00m 0.09m 9000.00m",
            "0 0 0.000 N 0 0 0.000 E 0.00m 1.00m 10000.00m 10.00m",
        ] {
            assert_eq!(to_text(&encode(text).unwrap()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_token() {
        for (text, token, fragment) in [
            ("", 0, "ends before its N or S"),
            ("N 75 W 0m", 0, "degrees are missing"),
            ("91 N 75 W 0m", 0, "0 to 90"),
            ("90 0 0.001 N 75 W 0m", 3, "more than 90"),
            ("45 60 N 75 W 0m", 1, "minutes from 0 to 59"),
            ("45 0 60 N 75 W 0m", 2, "seconds from 0 to 59.999"),
            ("45 0 1.2345 N 75 W 0m", 2, "seconds"),
            ("45 0 0 0 N 75 W 0m", 3, "where N or S is expected"),
            ("45 N 181 W 0m", 2, "0 to 180"),
            ("45 N 75 N 0m", 3, "minutes"),
            ("45 N 75 W", 4, "before its altitude"),
            ("45 N 75 W high", 4, "not a length"),
            ("45 N 75 W -100000.01m", 4, "not a length"),
            ("45 N 75 W 42849672.96m", 4, "not a length"),
            ("45 N 75 W 0m -1m", 5, "not a length"),
            ("45 N 75 W 0m 1m 1m 90000000.01m", 7, "not a length"),
            ("45 N 75 W 0m 1m 1m 1m 1m", 8, "nothing may follow"),
            ("99999999999999999999 N 75 W 0m", 0, "0 to 90"),
        ] {
            let refusal = encode(text).unwrap_err();
            assert!(refusal.message.contains(fragment), "{text}: {}", refusal.message);
            assert_eq!(refusal.token, token, "{text}");
        }
    }

    #[test]
    fn bytes_without_a_presentation_form_have_none() {
        let with = |at: usize, byte: u8| {
            let mut rdata = NODE;
            rdata[at] = byte;
            to_text(&rdata)
        };
        assert_eq!(with(0, 1), None, "version 1");
        assert_eq!(with(1, 0xA0), None, "a base of 10");
        assert_eq!(with(2, 0x1A), None, "an exponent of 10");
        assert_eq!(with(4, 0xFF), None, "beyond the pole");
        assert_eq!(to_text(&NODE[..15]), None);
    }
}
