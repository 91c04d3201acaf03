//! Text into words and signs.

use super::tree::Mistake;

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Word(&'t str),
    /// One of `{ } ( ) , = != < > <= >=`; another one where nothing can be read.
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 11] = ["!=", "<=", ">=", "{", "}", "(", ")", ",", "=", "<", ">"];

/// A place in a text, and the token there.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    /// Where the token ends.
    end: usize,
    /// Where the token begins.
    pub(super) at: usize,
    pub(super) token: Token<'t>,
    /// It is the first on its line.
    pub(super) is_first: bool,
}

impl<'t> Lexer<'t> {
    /// Before the first token of the text.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, end: 0, at: 0, token: Token::End, is_first: true }
    }

    /// To the next token.
    pub(super) fn advance(&mut self) -> Result<(), Mistake> {
        let bytes = self.text.as_bytes();
        let mut at = self.end;
        self.is_first = self.end == 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' => self.is_first = true,
                b' ' | b'\t' | b'\r' => {}
                b'#' => {
                    at += self.text[at..].find('\n').unwrap_or(self.text.len() - at);
                    continue;
                }
                _ => break,
            }
            at += 1;
        }
        (self.at, self.end, self.token) = (at, at, Token::End);
        if at == bytes.len() {
            return Ok(());
        }
        if let Some(sign) = SIGNS.iter().find(|sign| self.text[at..].starts_with(**sign)) {
            (self.end, self.token) = (at + sign.len(), Token::Sign(sign));
            return Ok(());
        }
        self.word()
    }

    /// As far as the word goes.
    fn word(&mut self) -> Result<(), Mistake> {
        let mut chars = self.text[self.at..].char_indices();
        let mut len = self.text.len() - self.at;
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, ' '..='~')) => {}
                    _ => {
                        (self.end, self.token) = (self.at + at + 1, Token::Sign("\\"));
                        return Err(Mistake::new(self.at + at, "`\\` escapes nothing here"));
                    }
                },
                ' ' | '\t' | '\r' | '\n' | '{' | '}' | '(' | ')' | ',' | '=' | '<' | '>' | '#' => {
                    len = at;
                    break;
                }
                '!' if self.text[self.at + at..].starts_with("!=") => {
                    len = at;
                    break;
                }
                '!'..='~' if !matches!(c, '"' | '\'' | '`' | ';') => {}
                _ => {
                    (self.end, self.token) = (self.at + at + c.len_utf8(), Token::Sign("?"));
                    let what = match c {
                        '"' | '\'' => "words have no quotation marks".into(),
                        ' '..='~' => alloc::format!("`{c}` stands in no word"),
                        _ => {
                            "words are ASCII; write a name as in DNS: `xn--...`, or `\\DDD` for a byte".into()
                        }
                    };
                    return Err(Mistake::new(self.at + at, what));
                }
            }
        }
        self.end = self.at + len;
        self.token = Token::Word(&self.text[self.at..self.end]);
        Ok(())
    }

    /// Ends the token after `len` bytes of it: what follows is the next.
    pub(super) fn split(&mut self, len: usize) {
        self.end = self.at + len;
    }

    /// To the next token; what cannot be one is skipped.
    pub(super) fn advance_over_mistakes(&mut self) {
        while self.advance().is_err() {}
    }
}
