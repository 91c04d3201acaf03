//! What a node tells its fleet of its minutes, without I/O and without a clock: questions for the control
//! socket, and messages made of the answers.
//!
//! The node numbers its minutes; the last number that a carrier has taken is all that is remembered. What is
//! told twice counts once, so after any failure one asks again from there.

use std::collections::BTreeMap;

use as112d::history::asked::Question;
use as112d::history::fleet::Kind;
use as112d::history::fleet::message::{OfMinute, OfSketches};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::{SKETCH_CHANGE, SKETCH_EVERY_SECONDS};

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// What the subject has after the node's name, as `.20787`; empty for a minute.
    pub suffix: String,
    /// The text.
    pub text: Vec<u8>,
    /// The number of the minute, or the day.
    number: u64,
}

/// The last minute that a carrier has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    epoch: String,
    after: u64,
}

/// What was told of a day, and when that was.
#[derive(Clone, Debug, Default)]
struct Told {
    sources: Vec<u64>,
    at: u64,
}

/// What is told of a node.
#[derive(Debug)]
pub struct Sender {
    colo: String,
    memory: Memory,
    /// The newest estimates by day, as the node has them, and what was told.
    days: BTreeMap<u64, (Vec<u64>, Told)>,
    /// The node's clock.
    now: u64,
}

impl Sender {
    /// One of a node at `colo` (empty if it is at none), which goes on from what another has remembered.
    #[must_use]
    pub fn new(colo: &str, memory: &str) -> Self {
        let mut new =
            Self { colo: colo.to_owned(), memory: Memory::default(), days: BTreeMap::new(), now: 0 };
        new.recall(memory);
        new
    }

    /// Goes on from what another has remembered of the minutes.
    pub fn recall(&mut self, memory: &str) {
        self.memory = serde_json::from_str(memory).unwrap_or_default();
    }

    /// What is to be remembered, a line of JSON.
    #[must_use]
    pub fn memory(&self) -> String {
        serde_json::to_string(&self.memory).expect("it has a text and a number")
    }

    /// What to ask the control socket.
    #[must_use]
    pub fn question(&self) -> String {
        Question::Minutes(self.memory.after).to_string()
    }

    /// Takes the answer: the messages that are due, the oldest first, and whether to ask again at once.
    ///
    /// # Errors
    /// If the node has not answered that question.
    pub fn answered(&mut self, answer: &Value) -> Result<(Vec<Message>, bool), String> {
        let wrong = || format!("the node has no minutes to tell of: {}", answer["error"]);
        let epoch = answer["epoch"].as_str().ok_or_else(wrong)?;
        let (head, now) =
            (answer["head"].as_u64().ok_or_else(wrong)?, answer["now"].as_u64().ok_or_else(wrong)?);
        self.note_days(answer, now);
        if epoch != self.memory.epoch || head < self.memory.after {
            let is_new = self.memory.after > 0;
            // The history is another one, or was restored: its numbers begin anew.
            self.memory = Memory { epoch: epoch.to_owned(), after: 0 };
            if is_new {
                return Ok((Vec::new(), true));
            }
        }
        let mut messages = Vec::new();
        let minutes = answer["minutes"].as_array().ok_or_else(wrong)?;
        for minute in minutes {
            let of = OfMinute::new(epoch, minute, &self.colo, now)?;
            let text = serde_json::to_vec(&of).expect("it was read from JSON");
            messages.push(Message { kind: Kind::Minute, suffix: String::new(), text, number: of.seq });
        }
        let has_more = messages.last().is_some_and(|last| last.number < head);
        Ok((messages, has_more))
    }

    fn note_days(&mut self, answer: &Value, now: u64) {
        self.now = now;
        let days = answer["unique_sources"].as_array().into_iter().flatten();
        let estimates = days.filter_map(|of| {
            let sources = of["sources"].as_array()?.iter().filter_map(Value::as_u64).collect();
            Some((of["day"].as_u64()?, sources))
        });
        let estimates: BTreeMap<u64, Vec<u64>> = estimates.collect();
        self.days.retain(|day, _| estimates.contains_key(day));
        for (day, sources) in estimates {
            self.days.entry(day).or_default().0 = sources;
        }
    }

    /// What to ask about the sketches of a day of which more is known than was told: of one that is over at
    /// once, of today from time to time and where it is a per cent.
    #[must_use]
    pub fn question_of_sketches(&self) -> Option<(u64, String)> {
        let today = self.now / 86_400;
        let is_due = |day: u64, sources: &[u64], told: &Told| {
            if sources == told.sources || sources.iter().all(|count| *count == 0) {
                return false;
            }
            let grew = |(now, then): (&u64, &u64)| *now as f64 > *then as f64 * SKETCH_CHANGE;
            let grew = told.sources.is_empty() || sources.iter().zip(&told.sources).any(grew);
            day < today || grew && self.now.abs_diff(told.at) >= SKETCH_EVERY_SECONDS
        };
        let mut days = self.days.iter();
        let (day, _) = days.find(|(day, (sources, told))| is_due(**day, sources, told))?;
        Some((*day, Question::Sketches(*day).to_string()))
    }

    /// Takes the answer to that.
    ///
    /// # Errors
    /// If the node has not answered that question.
    pub fn answered_sketches(&mut self, day: u64, answer: &Value) -> Result<Option<Message>, String> {
        let now =
            answer["now"].as_u64().ok_or_else(|| format!("the node has no sketches: {}", answer["error"]))?;
        let Some(of) = OfSketches::new(answer, &self.colo, now) else {
            // There is nothing to tell of it any more.
            self.days.remove(&day);
            return Ok(None);
        };
        let text = serde_json::to_vec(&of).expect("it was read from JSON");
        Ok(Some(Message { kind: Kind::Sketches, suffix: format!(".{day}"), text, number: day }))
    }

    /// A carrier has taken it.
    pub fn taken(&mut self, message: &Message) {
        match message.kind {
            Kind::Minute => self.memory.after = self.memory.after.max(message.number),
            _ => {
                if let Some((sources, told)) = self.days.get_mut(&message.number) {
                    *told = Told { sources: sources.clone(), at: self.now };
                }
            }
        }
    }

    /// One round: everything that is due is asked for with `ask`, which asks the control socket, and
    /// told with `tell`. How many messages that were.
    ///
    /// # Errors
    /// Of either; what was told until then is remembered.
    pub async fn turn(
        &mut self,
        mut ask: impl AsyncFnMut(&str) -> Result<Value, String>,
        mut tell: impl AsyncFnMut(&Message) -> Result<(), String>,
    ) -> Result<usize, String> {
        let mut told = 0;
        loop {
            let answer = ask(&self.question()).await?;
            let (messages, has_more) = self.answered(&answer)?;
            for message in &messages {
                tell(message).await?;
                self.taken(message);
                told += 1;
            }
            if !has_more {
                break;
            }
        }
        while let Some((day, question)) = self.question_of_sketches() {
            let answer = ask(&question).await?;
            let Some(message) = self.answered_sketches(day, &answer)? else { continue };
            tell(&message).await?;
            self.taken(&message);
            told += 1;
        }
        Ok(told)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 20_000 * 86_400 + 600;

    fn minute(number: u64) -> Value {
        json!({"seq": number, "minute": number * 60, "seconds": 60,
               "counts": [["as112_queries_do_total", [], [[number]]]]})
    }

    fn answer(epoch: &str, head: u64, numbers: &[u64]) -> Value {
        let minutes: Vec<Value> = numbers.iter().map(|number| minute(*number)).collect();
        json!({"ok": true, "epoch": epoch, "head": head, "now": NOW, "minutes": minutes})
    }

    #[test]
    fn one_goes_on_from_what_was_taken() {
        let mut sender = Sender::new("ams", "");
        assert_eq!(sender.question(), "minutes 0");
        let (messages, more) = sender.answered(&answer("e1", 9, &[7, 8])).unwrap();
        assert!(more && messages.len() == 2);
        let (of, rows) = OfMinute::read(&messages[1].text).unwrap();
        assert_eq!((of.seq, of.minute, of.seconds, of.sent, &*of.colo), (8, 480, 60, NOW, "ams"));
        assert_eq!(rows, [("as112_queries_do_total".to_owned(), "{}".to_owned(), 8)]);
        // Only the first was taken; then another takes over.
        sender.taken(&messages[0]);
        let mut sender = Sender::new("ams", &sender.memory());
        assert_eq!(sender.question(), "minutes 7");
        let (messages, more) = sender.answered(&answer("e1", 9, &[8, 9])).unwrap();
        assert!(!more);
        messages.iter().for_each(|message| sender.taken(message));
        assert_eq!(sender.question(), "minutes 9");
    }

    #[test]
    fn another_history_begins_anew() {
        let mut sender = Sender::new("", r#"{"epoch":"e1","after":9}"#);
        assert_eq!(sender.answered(&answer("e2", 20, &[10, 20])).unwrap(), (Vec::new(), true));
        assert_eq!(sender.question(), "minutes 0");
        assert_eq!(sender.answered(&answer("e2", 20, &[3, 20])).unwrap().0.len(), 2);
        // One that was restored from a backup.
        let mut sender = Sender::new("", r#"{"epoch":"e1","after":9}"#);
        assert!(sender.answered(&answer("e1", 5, &[])).unwrap().1);
        assert_eq!(sender.question(), "minutes 0");
        assert!(
            sender.answered(&json!({"ok": false, "error": "it waits"})).unwrap_err().contains("it waits")
        );
    }

    fn with_sources(now: u64, days: &Value) -> Value {
        let mut answer = answer("e1", 0, &[]);
        answer["now"] = now.into();
        answer["unique_sources"] = days.clone();
        answer
    }

    #[test]
    fn sketches_are_told_when_they_change_and_when_their_day_is_over() {
        let mut sender = Sender::new("", "");
        let (day, next) = (20_000, 20_001);
        let due = |sender: &mut Sender, now, days: Value| {
            sender.answered(&with_sources(now, &days)).unwrap();
            sender.question_of_sketches()
        };
        let told = |sender: &mut Sender, day| {
            let message =
                Message { kind: Kind::Sketches, suffix: String::new(), text: Vec::new(), number: day };
            sender.taken(&message);
        };
        assert_eq!(due(&mut sender, NOW, json!([{"day": day, "sources": [0, 0, 0]}])), None);
        let asked = due(&mut sender, NOW, json!([{"day": day, "sources": [1000, 0, 0]}]));
        assert_eq!(asked, Some((day, "sketches 20000".to_owned())));
        told(&mut sender, day);
        assert_eq!(sender.question_of_sketches(), None);
        let later = NOW + SKETCH_EVERY_SECONDS;
        assert_eq!(due(&mut sender, later - 1, json!([{"day": day, "sources": [2000, 0, 0]}])), None);
        assert_eq!(due(&mut sender, later, json!([{"day": day, "sources": [1005, 0, 0]}])), None);
        assert!(due(&mut sender, later, json!([{"day": day, "sources": [1005, 3, 1]}])).is_some());
        told(&mut sender, day);
        // Over: what little has come since is told, once.
        let over = next * 86_400 + 5;
        let days = json!([{"day": day, "sources": [1006, 3, 1]}, {"day": next, "sources": [0, 0, 0]}]);
        assert_eq!(due(&mut sender, over, days.clone()).map(|asked| asked.0), Some(day));
        told(&mut sender, day);
        assert_eq!(due(&mut sender, over + 60, days), None);
        // The node has forgotten it.
        let days = json!([{"day": next, "sources": [5, 0, 0]}]);
        assert_eq!(due(&mut sender, over + 120, days).map(|asked| asked.0), Some(next));
        let nothing = json!({"ok": true, "now": over, "day": next, "sketches": null});
        assert_eq!(sender.answered_sketches(next, &nothing), Ok(None));
        assert_eq!(sender.question_of_sketches(), None);
    }
}
