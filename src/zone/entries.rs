//! A zone file cut into entries and tokens (RFC 1035, section 5.1). Every token keeps its line and column, so
//! a mistake is reported where it was made, and the next entry is read after it.

use super::text::{plain_name, resolve, seconds_from_text, shorten};
use crate::dns::name::Name;
use crate::limits::ZONE_ENTRY_TOKENS_MAX;

/// A mistake in the text of one file.
#[derive(Debug)]
pub(super) struct Mistake {
    /// The line, counted from 1.
    pub(super) line: u32,
    /// The offset in the file's bytes.
    pub(super) at: usize,
    /// What is wrong and what to do.
    pub(super) message: String,
}

/// A word or a quoted string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// The bytes as they stand in the file, quotes and escapes included.
    pub(super) raw: &'a [u8],
    /// The line on which it stands, counted from 1.
    pub(super) line: u32,
    /// The offset of its first byte in the file.
    pub(super) at: usize,
    /// No blank before it: `alpn="h2"` is two tokens that belong together.
    pub(super) glued: bool,
}

impl Token<'_> {
    /// Whether it stands in quotes, where nothing but escapes has a meaning.
    pub(super) fn is_quoted(&self) -> bool {
        self.raw.starts_with(b"\"")
    }

    /// The token in printable ASCII: what is not becomes `\DDD`. Quotes stay.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.raw.len());
        let mut bytes = self.raw.iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => match bytes.next() {
                    Some(escaped @ b'!'..=b'~') => text.extend(['\\', char::from(escaped)]),
                    Some(escaped) => text.push_str(&format!("\\{escaped:03}")),
                    None => text.push('\\'),
                },
                b' '..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03}")),
            }
        }
        text
    }

    /// The bytes that it stands for: without its quotes, escapes resolved.
    pub(super) fn bytes(&self) -> Vec<u8> {
        unescape(
            self.raw.strip_prefix(b"\"").map_or(self.raw, |rest| rest.strip_suffix(b"\"").unwrap_or(rest)),
        )
    }

    /// A mistake that this token is to blame for.
    pub(super) fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { line: self.line, at: self.at, message: message.into() }
    }
}

/// The tokens of one record or directive: a line, or several in parentheses. There is at least one.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The line began with a blank: it has no owner of its own.
    pub(super) blank: bool,
    /// The tokens.
    pub(super) tokens: Vec<Token<'a>>,
}

/// Cuts a file into entries. After a mistake it continues with the next entry.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    source: &'a [u8],
    at: usize,
    line: u32,
    /// The source ended within the last entry.
    is_cut: bool,
}

impl<'a> Entries<'a> {
    /// The entries of `source`.
    pub(super) fn new(source: &'a [u8]) -> Self {
        // Editors of Windows put a byte order mark before the text. It is no part of it.
        let at = if source.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        Self { source, at, line: 1, is_cut: false }
    }

    /// The entries of `source`, which is a part of a file that begins at this line.
    pub(super) fn from_line(source: &'a [u8], line: u32) -> Self {
        if line == 1 { Self::new(source) } else { Self { source, at: 0, line, is_cut: false } }
    }

    /// The line and the offset of what comes next.
    pub(super) fn place(&self) -> (u32, usize) {
        (self.line, self.at)
    }

    /// Whether the source ended before the parentheses of the last entry did.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn mistake(&self, message: &str) -> Mistake {
        Mistake { line: self.line, at: self.at, message: message.to_owned() }
    }

    /// Passes a token. With it comes what is wrong in it, if anything.
    fn token(&mut self, glued: bool) -> (Token<'a>, Option<Mistake>) {
        let (start, quoted) = (self.at, self.peek() == Some(b'"'));
        let mut mistake = None;
        self.at += usize::from(quoted);
        loop {
            match self.peek() {
                None | Some(b'\n') if quoted => {
                    mistake = mistake.or_else(|| {
                        let message = "a quoted string does not end on its line: close it with `\"`";
                        Some(Mistake { at: start, ..self.mistake(message) })
                    });
                    break;
                }
                None | Some(b'\n') => break,
                Some(b'"') if quoted => {
                    self.at += 1;
                    break;
                }
                Some(b' ' | b'\t' | b'\r' | b';' | b'(' | b')' | b'"') if !quoted => break,
                Some(b'\\') => {
                    let wrong = self.escape();
                    mistake = mistake.or(wrong);
                }
                Some(_) => self.at += 1,
            }
        }
        (Token { raw: &self.source[start..self.at], line: self.line, at: start, glued }, mistake)
    }

    /// Passes a backslash and what it escapes: one character, or three digits up to 255.
    fn escape(&mut self) -> Option<Mistake> {
        let mistake = self.mistake("`\\` is followed by one character or by three digits up to 255");
        self.at += 1;
        match self.peek() {
            None | Some(b'\n' | b'\r') => Some(mistake),
            Some(b'0'..=b'9') => {
                let digits = self.source.get(self.at..self.at + 3);
                let is_byte = digits.is_some_and(|digits| {
                    digits.iter().all(u8::is_ascii_digit) && digits <= b"255".as_slice()
                });
                self.at += if is_byte { 3 } else { 1 };
                (!is_byte).then_some(mistake)
            }
            Some(_) => {
                self.at += 1;
                None
            }
        }
    }

    fn skip_comment(&mut self) {
        let rest = &self.source[self.at..];
        self.at += rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Mistake>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut entry = Entry { blank: matches!(self.peek(), Some(b' ' | b'\t')), tokens: Vec::new() };
        // The first mistake of the entry. The rest of it is passed all the same, so that the next one begins
        // aright.
        let mut mistake: Option<Mistake> = None;
        let mut opened: Vec<Mistake> = Vec::new();
        let mut glued = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    if opened.is_empty() {
                        if mistake.is_some() || !entry.tokens.is_empty() {
                            break;
                        }
                        entry.blank = matches!(self.peek(), Some(b' ' | b'\t'));
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => self.skip_comment(),
                b'(' if opened.len() < PARENTHESES_MAX => {
                    opened.push(
                        self.mistake("this `(` is never closed: put `)` after the last value of the record"),
                    );
                    self.at += 1;
                }
                b')' if opened.pop().is_some() => self.at += 1,
                b'(' | b')' => {
                    let message = if byte == b')' { "`)` without a `(`" } else { "too many nested `(`" };
                    mistake = mistake.or_else(|| Some(self.mistake(message)));
                    self.at += 1;
                }
                _ => {
                    let (token, wrong) = self.token(glued);
                    mistake = mistake.or(wrong);
                    if entry.tokens.len() < ZONE_ENTRY_TOKENS_MAX {
                        entry.tokens.push(token);
                    } else {
                        mistake = mistake.or_else(|| Some(token.mistake("the entry has too many values")));
                    }
                    glued = true;
                    continue;
                }
            }
            glued = false;
        }
        self.is_cut = !opened.is_empty();
        match opened.into_iter().next().or(mistake) {
            Some(mistake) => Some(Err(mistake)),
            None if entry.tokens.is_empty() => None,
            None => Some(Ok(entry)),
        }
    }
}

/// Parentheses within parentheses: RFC 1035 has none, other servers read a few.
const PARENTHESES_MAX: usize = 8;

/// `text` with its escapes (RFC 1035, section 5.1) resolved.
pub(super) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        (rest, _) = match (first, after) {
            (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) => {
                let value =
                    [a, b, c].into_iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
                (after, bytes.push(u8::try_from(value).unwrap_or(u8::MAX)))
            }
            (b'\\', [escaped, after @ ..]) => (after, bytes.push(*escaped)),
            (byte, after) => (after, bytes.push(*byte)),
        };
    }
    bytes
}

/// The name that `token` says, completed by `origin`.
pub(super) fn name(token: &Token<'_>, origin: &Name) -> Result<Name, Mistake> {
    match token.raw {
        b"@" => Ok(origin.clone()),
        _ if token.is_quoted() => Err(token.mistake("a name is written without quotes")),
        raw if let Some(name) = plain_name(raw, origin) => Ok(name),
        _ => resolve(&token.text(), origin).map_err(|message| token.mistake(message)),
    }
}

/// The seconds that `token` says, with units or without.
pub(super) fn seconds(token: &Token<'_>) -> Result<u32, Mistake> {
    let text = token.text();
    seconds_from_text(&text).ok_or_else(|| {
        token.mistake(format!(
            "`{}` is not a time: write seconds, or numbers with units such as 1h30m or 1W",
            shorten(&text)
        ))
    })
}

/// The column of offset `at`, counted from 1 in characters.
pub(super) fn column(source: &[u8], at: usize) -> usize {
    let before = &source[..at];
    let line = before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    // The bytes of a character behind its first, in UTF-8, are 10xxxxxx. So is the byte order mark, whole.
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    line.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1
}
