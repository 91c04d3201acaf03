//! What stands after the `?` of a URL.

use std::collections::BTreeMap;

/// Parameters, by name, each with all of its values.
///
/// # Errors
/// What is wrong, as a sentence.
pub(super) fn parameters(query: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        given.entry(decoded(key)?).or_default().push(decoded(value)?);
    }
    Ok(given)
}

/// Without `%` and `+`.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                match digit().zip(digit()).and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
                    Some(byte) => byte,
                    None => {
                        return Err("A % in the URL must be followed by two hexadecimal digits.".to_owned());
                    }
                }
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| "The URL is not UTF-8.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_kept_apart() {
        let given = parameters("a=1%2C2&b=+&a=%C3%A9&c").unwrap();
        let told: Vec<String> =
            given.iter().map(|(key, values)| format!("{key}={}", values.join("|"))).collect();
        assert_eq!(told, ["a=1,2|é", "b= ", "c="]);
        assert!(parameters("").unwrap().is_empty());
        for (query, told) in
            [("a=%4", "two hexadecimal digits"), ("a=%G0", "two hexadecimal"), ("%FF=", "not UTF-8")]
        {
            assert!(parameters(query).unwrap_err().contains(told), "{query}");
        }
    }
}
