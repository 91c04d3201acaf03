//! What a fleet asks of a node's history.

use std::fmt;

use serde_json::{Map, Value, json};

use super::uniques::UniquesOfDays;
use crate::stats::uniques::{KINDS, Sketch};

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The minutes after a number.
    Minutes(u64),
    /// The sketches of unique sources of a day of Unix time.
    Sketches(u64),
}

impl Question {
    /// The question that words of the control socket are.
    #[must_use]
    pub fn from_words(words: &str) -> Option<Self> {
        let (word, number) = words.split_once(' ')?;
        let number = number.parse().ok()?;
        match word {
            "minutes" => Some(Self::Minutes(number)),
            "sketches" => Some(Self::Sketches(number)),
            _ => None,
        }
    }
}

/// As it is asked.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minutes(after) => write!(f, "minutes {after}"),
            Self::Sketches(day) => write!(f, "sketches {day}"),
        }
    }
}

/// Who gets the answer: an object, or why there is none.
pub struct Asker(Box<dyn FnOnce(Result<Value, String>) + Send>);

impl Asker {
    /// One that does this with it.
    #[must_use]
    pub fn new(take: impl FnOnce(Result<Value, String>) + Send + 'static) -> Self {
        Self(Box::new(take))
    }

    /// Answers.
    pub fn answer(self, answer: Result<Value, String>) {
        (self.0)(answer);
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asker")
    }
}

/// The registers of a day as text, a letter for each: a register holds at most 51, and there are 52 letters.
/// Null where nothing is known of the day.
pub(super) fn sketches(uniques: &UniquesOfDays, day: u64) -> Value {
    let Some(sketches) = uniques.get(day) else { return Value::Null };
    let kinds = KINDS.iter().zip(sketches);
    kinds.map(|(kind, sketch)| ((*kind).to_owned(), letters(sketch).into())).collect::<Map<_, _>>().into()
}

const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn letters(sketch: &Sketch) -> String {
    let letter = |&register: &u8| LETTERS[usize::from(register).min(LETTERS.len() - 1)] as char;
    sketch.registers().iter().map(letter).collect()
}

/// The registers that letters stand for, if they do.
#[must_use]
pub fn registers(letters: &str) -> Option<Vec<u8>> {
    let register = |letter: u8| match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        _ => None,
    };
    letters.bytes().map(register).collect()
}

/// How many unique sources were seen on the days that are known, about: who has asked for sketches sees by
/// this whether to ask again.
pub(super) fn estimates(uniques: &UniquesOfDays) -> Value {
    let days = uniques.days();
    days.map(|day| json!({"day": day, "sources": uniques.estimates(day)})).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::stats::uniques::{REGISTERS, Uniques};

    #[test]
    fn questions_are_read_as_they_are_asked() {
        for question in [Question::Minutes(7), Question::Sketches(20_000)] {
            assert_eq!(Question::from_words(&question.to_string()), Some(question));
        }
        for wrong in ["minutes", "minutes -1", "minutes 1 2", "sketches x", "hours 1", ""] {
            assert_eq!(Question::from_words(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sketches_are_read_as_they_were_written() {
        let thread = Uniques::new(10);
        (0..200).for_each(|host| thread.see(Ipv4Addr::new(192, 0, 2, host).into()));
        let mut days = UniquesOfDays::default();
        days.gather(&thread, 10);
        let told = sketches(&days, 10);
        let letters = told["ipv4"].as_str().unwrap();
        assert_eq!(letters.len(), REGISTERS);
        assert_eq!(registers(letters).unwrap(), days.get(10).unwrap()[0].registers());
        assert_eq!(sketches(&days, 9), Value::Null);
        assert_eq!(
            estimates(&days).to_string(),
            format!(r#"[{{"day":10,"sources":[{},0,0]}}]"#, days.estimates(10)[0])
        );
        assert_eq!(registers("A!"), None);
        // Every rank has a letter.
        let ranks: Vec<u8> = (0..=51).collect();
        assert_eq!(registers(std::str::from_utf8(LETTERS).unwrap()).unwrap(), ranks);
    }
}
