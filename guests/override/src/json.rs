//! The configuration: JSON that the node has written, so no more than that is read.

use alloc::string::String;
use alloc::vec::Vec;

/// A value. Numbers are not needed, and so are not kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Other,
    Bool(bool),
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Value {
    /// Reads a text; `None` if it is not JSON.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        (reader.at == text.len()).then_some(value)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

/// Maps and lists within each other.
const DEPTH_MAX: usize = 16;

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn takes(&mut self, word: &str) -> bool {
        self.space();
        let is_here = self.rest().starts_with(word);
        self.at += if is_here { word.len() } else { 0 };
        is_here
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.takes("\"") {
            return self.string().map(Value::Text);
        }
        if self.takes("[") {
            let items = self.items("]", |reader| reader.value(depth + 1));
            return items.map(Value::List);
        }
        if self.takes("{") {
            let entries = self.items("}", |reader| {
                let key = reader.takes("\"").then(|| reader.string())??;
                reader.takes(":").then_some(())?;
                Some((key, reader.value(depth + 1)?))
            });
            return entries.map(Value::Map);
        }
        for (word, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Other)]
        {
            if self.takes(word) {
                return Some(value);
            }
        }
        let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let len = self.rest().find(|c| !is_of_number(c)).unwrap_or(self.rest().len());
        self.at += len;
        (len > 0).then_some(Value::Other)
    }

    /// What stands between commas, up to the sign that ends it.
    fn items<T>(&mut self, end: &str, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        if self.takes(end) {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.takes(end) {
                return Some(items);
            }
            self.takes(",").then_some(())?;
        }
    }

    /// A string, from after its first quote on.
    fn string(&mut self) -> Option<String> {
        let mut string = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['"', '\\'])?;
            string.push_str(&rest[..plain]);
            let is_end = rest[plain..].starts_with('"');
            self.at += plain + 1;
            if is_end {
                return Some(string);
            }
            let c = self.rest().chars().next()?;
            self.at += c.len_utf8();
            string.push(match c {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.escaped()?,
                '"' | '\\' | '/' => c,
                _ => return None,
            });
        }
    }

    /// A character by its number, of which those beyond 16 bits have two.
    fn escaped(&mut self) -> Option<char> {
        let first = self.unit()?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first);
        }
        self.rest().starts_with("\\u").then_some(())?;
        self.at += 2;
        let second = self.unit()?.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        let unit = u32::from_str_radix(digits, 16).ok()?;
        self.at += 4;
        Some(unit)
    }
}
