//! LOC: where in the world a node is (RFC 1876).

/// Thousandths of a second of arc in a degree, and in a minute.
const DEGREE: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

/// The data of the record that a text says: `d1 [m1 [s1]] N|S d2 [m2 [s2]] E|W alt [size [hp [vp]]]`.
pub fn read(text: &str) -> Option<[u8; 16]> {
    let mut tokens = text.split_ascii_whitespace();
    let latitude = angle(&mut tokens, 90, ["N", "S"])?;
    let longitude = angle(&mut tokens, 180, ["E", "W"])?;
    let altitude = metres(tokens.next()?, -10_000_000, i64::from(u32::MAX) - 10_000_000)?;
    let mut data = [0; 16];
    for (at, usual) in [100, 1_000_000, 1_000].into_iter().enumerate() {
        let centimetres = match tokens.next() {
            Some(token) => metres(token, 0, 9_000_000_000)?,
            None => usual,
        };
        data[1 + at] = scaled(centimetres);
    }
    if tokens.next().is_some() {
        return None;
    }
    let words = [latitude + (1 << 31), longitude + (1 << 31), altitude + 10_000_000];
    for (bytes, word) in data[4..].chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&u32::try_from(word).ok()?.to_be_bytes());
    }
    Some(data)
}

/// Thousandths of a second of arc; south and west below 0.
fn angle<'t>(tokens: &mut impl Iterator<Item = &'t str>, most: i64, sides: [&str; 2]) -> Option<i64> {
    let parts = [(most, 0, DEGREE), (59, 0, MINUTE), (59_999, 3, 1)];
    let mut sum = 0;
    for index in 0.. {
        let token = tokens.next()?;
        if let Some(side) = sides.iter().position(|side| token.eq_ignore_ascii_case(side)) {
            let is_whole = index > 0 && sum <= most * DEGREE;
            return Some(if side == 0 { sum } else { -sum }).filter(|_| is_whole);
        }
        let (most, decimals, worth) = *parts.get(index)?;
        sum += fixed(token, decimals).filter(|value| (0..=most).contains(value))? * worth;
    }
    None
}

/// Centimetres.
fn metres(token: &str, least: i64, most: i64) -> Option<i64> {
    let number = token.strip_suffix('m').or_else(|| token.strip_suffix('M')).unwrap_or(token);
    fixed(number, 2).filter(|value| (least..=most).contains(value))
}

/// A decimal number as an integer of its last place.
fn fixed(text: &str, decimals: usize) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 12
        || fraction.len() > decimals
        || !is_number(whole)
        || !is_number(fraction)
    {
        return None;
    }
    let mut value = whole.parse::<i64>().ok()?;
    for place in 0..decimals {
        value = value * 10 + fraction.as_bytes().get(place).map_or(0, |digit| i64::from(digit - b'0'));
    }
    Some(sign * value)
}

/// A digit and a power of ten.
fn scaled(mut centimetres: i64) -> u8 {
    let mut exponent = 0;
    while centimetres > 9 {
        centimetres /= 10;
        exponent += 1;
    }
    (centimetres << 4) as u8 | exponent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_of_rfc_7534_has_its_wire_form() {
        let node =
            [0, 0x12, 0x16, 0x13, 0x89, 0xBE, 0xCF, 0xE0, 0x6F, 0xC1, 0xAC, 0xC0, 0x00, 0x98, 0xB5, 0xC0];
        assert_eq!(read("45 25 0.000 N 75 42 0.000 W 80.00m 1m 10000m 10m"), Some(node));
        assert_eq!(read("45 25 n 75 42 w 80"), Some(node));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "",
            "N 75 W 0m",
            "91 N 75 W 0m",
            "90 0 0.001 N 75 W 0m",
            "45 60 N 75 W 0m",
            "45 0 1.2345 N 75 W 0m",
            "45 0 0 0 N 75 W 0m",
            "45 N 75 N 0m",
            "45 N 75 W",
            "45 N 75 W -100000.01m",
            "45 N 75 W 42849672.96m",
            "45 N 75 W 0m 1m 1m 90000000.01m",
            "45 N 75 W 0m 1m 1m 1m 1m",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
