//! Text into a tree, by the grammar:
//!
//! ```text
//! rule   = [ name ":" ] cond action { option }
//! cond   = conj { "or" conj }    conj = term { "and" term }    term = ["not"] ( "(" cond ")" | test )
//! test   = field ( "=" | "!=" | "<" | ">" | "<=" | ">=" ) value
//!        | field ["not"] "in" "{" { value [","] } "}" | "any"
//! ```
//!
//! A rule begins on a line of its own and may span lines.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;
use core::net::SocketAddr;

use super::language::{ACTIONS, ActionId, FIELDS, FieldId, Kind, OPTIONS, OptionId};
use super::lexer::{Lexer, Token};
use super::rule::Fallback;
use super::tree::{Argument, At, Chosen, Cond, Doing, Mistake, Op, Statement, Test};
use super::values;
use crate::limits::{RULE_NESTING_MAX, RULE_SERVERS_MAX, RULE_TESTS_MAX, RULE_TIMEOUT_MILLIS_MAX};

/// The rules of a file, with every mistake in it. Only without any do the rules mean something.
pub(super) fn rules(text: &str) -> (Vec<Statement>, Vec<Mistake>) {
    let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
    let mut parser = Parser::new(text, &mut mistakes);
    while parser.lexer.token != Token::End {
        match parser.rule() {
            Ok(rule) => rules.push(rule),
            Err(mistake) => {
                parser.skip(mistake.at);
                mistakes.push(mistake);
            }
        }
    }
    (rules, mistakes)
}

/// A condition of a rule, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'t> {
    /// It may end with a comment: what follows it begins on a new line.
    pub text: &'t str,
    /// How many tests it has.
    pub tests: usize,
    /// It asks for a tag, which some other rule sets.
    pub asks_tags: bool,
    /// It says in which phases it is true.
    pub asks_phase: bool,
}

/// The conditions of the rules of a file without mistakes, in their order.
#[must_use]
pub fn conditions(text: &str) -> Vec<Written<'_>> {
    let written = |rule: Statement| {
        let (mut asks_tags, mut asks_phase) = (false, false);
        rule.cond.each(&mut |test| {
            asks_tags |= test.field == FieldId::Tag;
            asks_phase |= test.field == FieldId::Phase;
        });
        let text = text.get(rule.cond_at..rule.doing.at).unwrap_or_default().trim_end();
        Written { text, tests: rule.tests, asks_tags, asks_phase }
    };
    rules(text).0.into_iter().map(written).collect()
}

/// The condition that a text is.
pub(super) fn condition(text: &str) -> Result<Cond, Mistake> {
    let mut parser = Parser::alone(text)?;
    let cond = parser.cond(0)?;
    match parser.lexer.token {
        Token::End => Ok(cond),
        Token::Word(word) if ACTIONS.iter().any(|action| action.name == word) => {
            Err(parser.mistake(format!("`{word}` is an action; here only a condition stands")))
        }
        _ => Err(parser.unexpected("`and`, `or` or the end")),
    }
}

/// The action, with its options, that a text is.
pub(super) fn action(text: &str) -> Result<(Doing, Chosen), Mistake> {
    let mut parser = Parser::alone(text)?;
    let doing = parser.action()?;
    let options = parser.options()?;
    match parser.lexer.token {
        Token::End => Ok((doing, options)),
        _ => Err(parser.unexpected("the end")),
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    /// How many tests the rule has so far.
    tests: usize,
}

impl<'t> Parser<'t> {
    /// At the first token that can be read.
    fn new(text: &'t str, mistakes: &mut Vec<Mistake>) -> Self {
        let mut lexer = Lexer::new(text);
        if let Err(mistake) = lexer.advance() {
            mistakes.push(mistake);
            lexer.advance_over_mistakes();
        }
        lexer.is_first = true;
        Self { lexer, tests: 0 }
    }

    fn alone(text: &'t str) -> Result<Self, Mistake> {
        let mut lexer = Lexer::new(text);
        lexer.advance()?;
        Ok(Self { lexer, tests: 0 })
    }

    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake::new(self.lexer.at, message)
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        match self.lexer.token {
            Token::Word(word) => self.mistake(format!("{wanted} should stand here, not `{word}`")),
            Token::Sign(sign) => self.mistake(format!("{wanted} should stand here, not `{sign}`")),
            Token::End => self.mistake(format!("the rule is not whole: {wanted} should follow")),
        }
    }

    /// The word here, which `wanted` describes; the next token is ahead then.
    fn word(&mut self, wanted: &str) -> Result<At<&'t str>, Mistake> {
        let Token::Word(word) = self.lexer.token else { return Err(self.unexpected(wanted)) };
        let at = self.lexer.at;
        self.lexer.advance()?;
        Ok(At { at, it: word })
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.lexer.token, Token::Sign(here) if here == sign)
    }

    fn sign(&mut self, sign: &str) -> Result<(), Mistake> {
        if !self.is_sign(sign) {
            return Err(self.unexpected(&format!("`{sign}`")));
        }
        self.lexer.advance()
    }

    fn is_word(&self, word: &str) -> bool {
        self.lexer.token == Token::Word(word)
    }

    /// Goes over the word if it is here.
    fn takes(&mut self, word: &str) -> Result<bool, Mistake> {
        let is_here = self.is_word(word);
        if is_here {
            self.lexer.advance()?;
        }
        Ok(is_here)
    }

    /// From a mistake to where another rule seems to begin: at the first word of a line, unless what stands
    /// before it asks for one.
    fn skip(&mut self, from: usize) {
        let mut goes_on = false;
        loop {
            match self.lexer.token {
                Token::End => return,
                Token::Word(word) => {
                    let begins = word.contains(':') || begins_condition(word);
                    if self.lexer.at > from && self.lexer.is_first && begins && !goes_on {
                        return;
                    }
                    goes_on = matches!(word, "and" | "or" | "not" | "in");
                }
                Token::Sign(sign) => goes_on = !matches!(sign, "}" | ")"),
            }
            self.lexer.advance_over_mistakes();
        }
    }

    fn rule(&mut self) -> Result<Statement, Mistake> {
        if !self.lexer.is_first {
            return Err(match self.lexer.token {
                Token::Word(word) if matches!(word, "and" | "or") => {
                    self.mistake(format!("`{word}` stands after the action; all conditions stand before it"))
                }
                Token::Word(word) => Mistake::unknown(
                    self.lexer.at,
                    format!("unknown option `{word}` (a rule begins on a line of its own)"),
                    word,
                    OPTIONS.iter().map(|option| option.1),
                ),
                _ => self.unexpected("an option or a new line"),
            });
        }
        self.tests = 0;
        let at = self.lexer.at;
        let name = self.name()?;
        let cond_at = self.lexer.at;
        let cond = self.cond(0)?;
        let doing = self.action()?;
        let options = self.options()?;
        Ok(Statement { name, at, cond_at, cond, tests: self.tests, doing, options })
    }

    /// The name before a `:`, if there is one.
    fn name(&mut self) -> Result<Option<At<String>>, Mistake> {
        let Token::Word(word) = self.lexer.token else { return Ok(None) };
        let at = self.lexer.at;
        let name = match word.split_once(':') {
            Some((name, _)) => {
                self.lexer.split(name.len() + 1);
                name
            }
            None => {
                let mut next = self.lexer.clone();
                let is_name = next.advance().is_ok()
                    && matches!(next.token, Token::Word(word) if word.starts_with(':'));
                if !is_name {
                    return Ok(None);
                }
                self.lexer = next;
                self.lexer.split(1);
                word
            }
        };
        let name = values::rule_name(name, at)?;
        self.lexer.advance()?;
        Ok(Some(At { at, it: name }))
    }

    fn cond(&mut self, depth: usize) -> Result<Cond, Mistake> {
        let mut parts = Vec::from([self.conj(depth)?]);
        while self.takes("or")? {
            parts.push(self.conj(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Cond::Or(parts) })
    }

    fn conj(&mut self, depth: usize) -> Result<Cond, Mistake> {
        let mut parts = Vec::from([self.term(depth)?]);
        while self.takes("and")? {
            parts.push(self.term(depth)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Cond::And(parts) })
    }

    fn term(&mut self, depth: usize) -> Result<Cond, Mistake> {
        let is_negated = self.takes("not")?;
        let cond = if self.is_sign("(") {
            if depth == RULE_NESTING_MAX {
                let message = format!("more than {RULE_NESTING_MAX} parentheses within each other");
                return Err(self.mistake(message));
            }
            self.lexer.advance()?;
            let cond = self.cond(depth + 1)?;
            self.sign(")")?;
            cond
        } else {
            self.test()?
        };
        Ok(if is_negated { Cond::Not(Box::new(cond)) } else { cond })
    }

    fn test(&mut self) -> Result<Cond, Mistake> {
        if self.tests == RULE_TESTS_MAX {
            return Err(self.mistake(format!(
                "the rule has more than {RULE_TESTS_MAX} tests; list values in `in {{ }}`, or make two rules"
            )));
        }
        self.tests += 1;
        if self.takes("any")? {
            return Ok(Cond::Any);
        }
        let wanted = "a field, `not`, `(` or `any`";
        if let Token::Word("and" | "or" | "not" | "in") = self.lexer.token {
            return Err(self.unexpected(wanted));
        }
        let At { at, it: word } = self.word(wanted)?;
        let Some(field) = FIELDS.iter().find(|field| field.name == word) else {
            return Err(unknown_field(word, at));
        };
        let operator_at = self.lexer.at;
        if self.takes("not")? {
            if !self.is_word("in") {
                return Err(self.unexpected("`in`"));
            }
            return self.list(field.id, at, operator_at, true);
        }
        if self.is_word("in") {
            return self.list(field.id, at, operator_at, false);
        }
        let (sign, op, is_negated) = match self.lexer.token {
            Token::Sign(sign @ "=") => (sign, Op::In, false),
            Token::Sign(sign @ "!=") => (sign, Op::In, true),
            Token::Sign(sign @ "<") => (sign, Op::Less, false),
            Token::Sign(sign @ ">") => (sign, Op::Greater, false),
            Token::Sign(sign @ "<=") => (sign, Op::AtMost, false),
            Token::Sign(sign @ ">=") => (sign, Op::AtLeast, false),
            _ => return Err(self.unexpected(&format!("an operator for `{word}` (= != < > <= >= in not)"))),
        };
        if op != Op::In && !field.kind.is_ordered() {
            let message =
                format!("`{sign}` compares numbers and times; `{word}` is {}", field.kind.meaning());
            return Err(self.mistake(message));
        }
        self.lexer.advance()?;
        let value = self.word("a value")?;
        let text = format!("{word} {sign} {}", value.it);
        let value = At { at: value.at, it: values::value(field.kind, value.it, value.at)? };
        let values = Vec::from([value]);
        Ok(Cond::Test(Box::new(Test { field: field.id, op, values, text, is_negated, at })))
    }

    /// `in { A B }`, from its `in` on.
    fn list(
        &mut self,
        field: FieldId,
        at: usize,
        operator_at: usize,
        is_negated: bool,
    ) -> Result<Cond, Mistake> {
        let row = field.row();
        if matches!(row.kind, Kind::Ratio) {
            let message = format!("`{}` has one value; write it as `{} = 1/1000`", row.name, row.name);
            return Err(Mistake::new(operator_at, message));
        }
        self.lexer.advance()?;
        self.sign("{")?;
        let (mut words, mut values) = (Vec::new(), Vec::new());
        while !self.is_sign("}") {
            let word = self.word("a value or `}`")?;
            values.push(At { at: word.at, it: values::value(row.kind, word.it, word.at)? });
            words.push(word.it);
            if self.is_sign(",") {
                self.lexer.advance()?;
            }
        }
        if values.is_empty() {
            return Err(self.mistake("the list is empty: no query would ever be in it"));
        }
        self.lexer.advance()?;
        let text =
            format!("{} {}in {{{}}}", row.name, if is_negated { "not " } else { "" }, shortened(&words));
        Ok(Cond::Test(Box::new(Test { field, op: Op::In, values, text, is_negated, at })))
    }

    fn action(&mut self) -> Result<Doing, Mistake> {
        let At { at, it: word } = self.word("`and`, `or` or an action")?;
        let Some(row) = ACTIONS.iter().find(|row| row.name == word) else {
            return Err(unknown_action(word, at));
        };
        let mut argument_at = self.lexer.at;
        let argument = match row.id {
            ActionId::Forward if self.takes("upstream")? => {
                argument_at = self.lexer.at;
                self.named("the name of an upstream")?
            }
            ActionId::Forward => Argument::Servers(self.servers()?),
            ActionId::Divert => {
                let server = self.word("a server")?;
                Argument::Servers(Vec::from([values::server(server.it, server.at)?]))
            }
            ActionId::Retry => {
                if !self.takes("upstream")? {
                    return Err(self.unexpected("`upstream NAME`"));
                }
                argument_at = self.lexer.at;
                self.named("the name of an upstream")?
            }
            ActionId::App => self.named("the name of an application")?,
            ActionId::Tag => {
                let word = self.word("a tag")?;
                Argument::Name(values::label(word.it, word.at, "tag")?)
            }
            ActionId::Answer => {
                let word = self.word("a response code")?;
                Argument::Code(values::answer_code(word.it, word.at)?)
            }
            _ => Argument::None,
        };
        Ok(Doing { id: row.id, at, argument: At { at: argument_at, it: argument } })
    }

    fn named(&mut self, wanted: &str) -> Result<Argument, Mistake> {
        self.word(wanted).map(|word| Argument::Name(word.it.into()))
    }

    fn servers(&mut self) -> Result<Vec<SocketAddr>, Mistake> {
        let mut servers: Vec<SocketAddr> = Vec::new();
        loop {
            let word = self.word("a server or `upstream NAME`")?;
            let server = values::server(word.it, word.at)?;
            if servers.contains(&server) {
                return Err(Mistake::new(word.at, format!("`{}` stands here twice", word.it)));
            }
            servers.push(server);
            if servers.len() > RULE_SERVERS_MAX {
                let message = format!("more than {RULE_SERVERS_MAX} servers; name them in an `[[upstream]]`");
                return Err(Mistake::new(word.at, message));
            }
            if !self.is_sign(",") {
                return Ok(servers);
            }
            self.lexer.advance()?;
        }
    }

    fn options(&mut self) -> Result<Chosen, Mistake> {
        let mut chosen = Chosen::default();
        while let Token::Word(word) = self.lexer.token {
            let Some(option) = OPTIONS.iter().find(|option| option.1 == word) else { break };
            let at = self.lexer.at;
            self.lexer.advance()?;
            let is_again = match option.0 {
                OptionId::DryRun => mem::replace(&mut chosen.dry_run, true),
                OptionId::Log => mem::replace(&mut chosen.log, true),
                OptionId::Timeout => chosen.timeout.replace(self.timeout()?).is_some(),
                OptionId::Fallback => chosen.fallback.replace(self.fallback()?).is_some(),
            };
            if is_again {
                return Err(Mistake::new(at, format!("`{word}` stands here twice")));
            }
        }
        Ok(chosen)
    }

    fn timeout(&mut self) -> Result<u64, Mistake> {
        let word = self.word("a time")?;
        let micros = values::time(word.it, word.at)?;
        if !(1000..=RULE_TIMEOUT_MILLIS_MAX * 1000).contains(&micros) {
            let message = format!("`timeout` is from 1ms to {RULE_TIMEOUT_MILLIS_MAX}ms");
            return Err(Mistake::new(word.at, message));
        }
        Ok(micros)
    }

    fn fallback(&mut self) -> Result<At<Fallback>, Mistake> {
        let word = self.word("a fallback")?;
        let found = Fallback::ALL.iter().find(|fallback| fallback.name() == word.it);
        found.map(|fallback| At { at: word.at, it: *fallback }).ok_or_else(|| {
            let known = Fallback::ALL.iter().map(|fallback| fallback.name());
            Mistake::unknown(word.at, format!("`{}` is not a fallback", word.it), word.it, known)
        })
    }
}

fn begins_condition(word: &str) -> bool {
    matches!(word, "not" | "any") || FIELDS.iter().any(|field| field.name == word)
}

fn unknown_field(word: &str, at: usize) -> Mistake {
    if ACTIONS.iter().any(|action| action.name == word) {
        let message = format!("a condition stands before `{word}`; `any` is true for every query");
        return Mistake::new(at, message);
    }
    let known = FIELDS.iter().map(|field| field.name).chain(["not", "any"]);
    // What stands at the beginning of a line may be an option of the rule before it.
    let known = known.chain(OPTIONS.iter().map(|option| option.1));
    Mistake::unknown(at, format!("unknown field `{word}`"), word, known)
}

fn unknown_action(word: &str, at: usize) -> Mistake {
    if begins_condition(word) {
        return Mistake::new(at, format!("`and` or `or` is missing before `{word}`, or the action is"));
    }
    let known = ACTIONS.iter().map(|action| action.name).chain(["and", "or"]);
    Mistake::unknown(at, format!("unknown action `{word}`"), word, known)
}

/// The words of a list as an operator is told of them.
fn shortened(words: &[&str]) -> String {
    match words {
        [first, second, third, _, rest @ ..] if !rest.is_empty() => {
            format!("{first} {second} {third} ... and {} more", rest.len() + 1)
        }
        _ => words.join(" "),
    }
}
