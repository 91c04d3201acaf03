//! The configuration: what the manifest's `[config]` says, as JSON.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Lists and tables within each other.
const DEPTH_MAX: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Any other number, as it is written.
    Decimal(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A table: keys and values, in their order.
    Table(Vec<(String, Value)>),
}

/// Where the text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// The byte.
    pub at: usize,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not JSON at byte {}", self.at)
    }
}

impl Value {
    /// Reads a text.
    ///
    /// ```
    /// # use as112_guest::Value;
    /// let config = Value::parse(r#"{"lists": ["a.txt"], "most": 3}"#).unwrap();
    /// assert_eq!(config.get("most").and_then(Value::number), Some(3));
    /// assert_eq!(config.get("lists").unwrap().list()[0].text(), Some("a.txt"));
    /// ```
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        let mut parser = Parser { text: text.as_bytes(), at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at == text.len() {
            Ok(value)
        } else {
            Err(NotJson { at: parser.at })
        }
    }

    /// The value of a key of a table.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Table(pairs) => pairs.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The pairs of a table; none of anything else.
    #[must_use]
    pub fn pairs(&self) -> &[(String, Self)] {
        match self {
            Self::Table(pairs) => pairs,
            _ => &[],
        }
    }

    /// The values of a list; none of anything else.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }

    /// The text that it is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number that it is.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value that it is.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

/// Reads bytes that are UTF-8. (As a `str` each slice would check where its characters begin.)
struct Parser<'t> {
    text: &'t [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn wrong<T>(&self) -> Result<T, NotJson> {
        Err(NotJson { at: self.at })
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, NotJson> {
        if !self.rest().starts_with(word.as_bytes()) {
            return self.wrong();
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, NotJson> {
        self.space();
        match self.peek() {
            _ if depth > DEPTH_MAX => self.wrong(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'"') => self.string().map(Value::Text),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.table(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.wrong(),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, NotJson> {
        self.at += 1;
        let mut values = Vec::new();
        if self.takes(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Value::List(values));
            }
            if !self.takes(b',') {
                return self.wrong();
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, NotJson> {
        self.at += 1;
        let mut pairs = Vec::new();
        if self.takes(b'}') {
            return Ok(Value::Table(pairs));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.wrong();
            }
            let key = self.string()?;
            if !self.takes(b':') {
                return self.wrong();
            }
            pairs.push((key, self.value(depth + 1)?));
            if self.takes(b'}') {
                return Ok(Value::Table(pairs));
            }
            if !self.takes(b',') {
                return self.wrong();
            }
        }
    }

    fn number(&mut self) -> Result<Value, NotJson> {
        let from = self.at;
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        if !text.last().map_or(false, u8::is_ascii_digit) {
            return self.wrong();
        }
        Ok(whole(text)
            .map_or_else(|| Value::Decimal(text.iter().copied().map(char::from).collect()), Value::Number))
    }

    fn string(&mut self) -> Result<String, NotJson> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            // A long text, such as a file, is copied in pieces as long as can be.
            let from = self.at;
            while self.peek().map_or(false, |byte| byte != b'"' && byte != b'\\' && byte >= 0x20) {
                self.at += 1;
            }
            out.extend_from_slice(self.text.get(from..self.at).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(out).or_else(|_| self.wrong());
                }
                Some(b'\\') => {
                    let escaped = self.escape()?;
                    out.extend_from_slice(escaped.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return self.wrong(),
            }
        }
    }

    fn escape(&mut self) -> Result<char, NotJson> {
        self.at += 1;
        let byte = self.peek();
        self.at += 1;
        Ok(match byte {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'u') => {
                let first = self.hex()?;
                let code = match first {
                    0xD800..=0xDBFF if self.rest().starts_with(b"\\u") => {
                        self.at += 2;
                        let second = self.hex()?.wrapping_sub(0xDC00);
                        0x10000 + (first - 0xD800) * 0x400 + second.min(0x3FF)
                    }
                    code => code,
                };
                char::from_u32(code).unwrap_or('\u{FFFD}')
            }
            _ => return self.wrong(),
        })
    }

    fn hex(&mut self) -> Result<u32, NotJson> {
        let digits = self.text.get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
        });
        self.at += 4;
        value.ok_or(NotJson { at: self.at - 4 })
    }
}

/// A whole number that fits.
fn whole(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let mut value = 0_i64;
    for digit in digits {
        let digit = i64::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        // Below 0, as there is one number more on that side.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if digits.len() < text.len() {
        Some(value)
    } else {
        value.checked_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn values_are_read() {
        let text =
            r#" {"a": [1, -2, 3.5, true, false, null], "b": {"c": "x\n\"\\\u00e9\ud83d\ude00"}, "d": []} "#;
        let value = Value::parse(text).unwrap();
        let list = value.get("a").unwrap().list();
        assert_eq!(list[..2], [Value::Number(1), Value::Number(-2)]);
        assert_eq!(list[2], Value::Decimal("3.5".into()));
        for number in [0, i64::MAX, i64::MIN] {
            assert_eq!(Value::parse(&number.to_string()), Ok(Value::Number(number)));
        }
        assert_eq!(Value::parse("9223372036854775808"), Ok(Value::Decimal("9223372036854775808".into())));
        assert_eq!((list[3].bool(), list[4].bool(), &list[5]), (Some(true), Some(false), &Value::Null));
        assert_eq!(value.get("b").unwrap().get("c").unwrap().text(), Some("x\n\"\\é😀"));
        assert_eq!(value.get("d").unwrap().list().len() + value.get("e").map_or(0, |_| 1), 0);
    }

    #[test]
    fn what_is_not_json_is_refused_where_it_ends() {
        for (text, at) in [
            ("", 0),
            ("{", 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("{\"a\" 1}", 5),
            ("{a:1}", 1),
            ("\"a", 2),
            ("\"\\x\"", 3),
            ("\"\\u12g4\"", 3),
            ("nul", 0),
            ("1 1", 2),
            ("-", 1),
        ] {
            assert_eq!(Value::parse(text), Err(NotJson { at }), "{text}");
        }
        assert!(Value::parse(&"[".repeat(100_000)).is_err());
        // However it is cut, or changed, it is read or refused.
        let text = r#"{"a": [1, -2.5e3, true], "b": "x\u00e9\\"}"#;
        for at in 0..text.len() {
            let _ = Value::parse(&text[..at]);
            for other in ["\"", "\\", "{", "u", "é"] {
                let _ = Value::parse(&[&text[..at], other, &text[at + 1..]].concat());
            }
        }
    }
}
