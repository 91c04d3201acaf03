//! What is known of the node, and what whoever looks has chosen.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use crate::commands::change::Change;
use crate::limits::{TOP_HISTORY_MAX, TOP_INTERVALS_S};

/// What is drawn.
#[derive(Debug)]
pub(super) struct State {
    /// Where the node is.
    pub(super) url: String,
    /// What it said first, since it was started.
    first: Value,
    /// What it said last.
    now: Value,
    /// What it said before that.
    earlier: Option<Value>,
    /// Since when it does not answer, and why.
    away: Option<(Instant, String)>,
    /// Times, the newest first, and queries a second in each; nothing where it did not answer.
    pub(super) rates: VecDeque<(Duration, Option<u64>)>,
    /// An index of [`TOP_INTERVALS_S`].
    interval: usize,
    /// Whether the node is left alone.
    pub(super) is_paused: bool,
    /// Whether networks and names have room before all other shares.
    pub(super) are_talkers_first: bool,
    /// The first shard that is shown.
    pub(super) first_shard: usize,
}

impl State {
    /// The node at `url` has just said `numbers`.
    pub(super) fn new(url: &str, numbers: Value) -> Self {
        Self {
            url: url.to_owned(),
            first: numbers.clone(),
            now: numbers,
            earlier: None,
            away: None,
            rates: VecDeque::new(),
            interval: 0,
            is_paused: false,
            are_talkers_first: false,
            first_shard: 0,
        }
    }

    /// What a question came to, at `at`.
    pub(super) fn take(&mut self, answer: Result<Value, String>, at: Instant) {
        self.rates.truncate(TOP_HISTORY_MAX - 1);
        match answer {
            Ok(numbers) => {
                self.earlier = Some(std::mem::replace(&mut self.now, numbers));
                self.away = None;
                let change = self.change();
                let rate = (change.time, Some(change.at("counters").at("queries").whole_rate()));
                if change.is_since_start() {
                    self.first = self.now.clone();
                    self.earlier = None;
                } else {
                    self.rates.push_front(rate);
                }
            }
            Err(reason) => {
                self.away.get_or_insert((at, String::new())).1 = reason;
                self.rates.push_front((self.interval(), None));
            }
        }
    }

    /// A key was pressed; whether that ends it.
    pub(super) fn key(&mut self, key: KeyEvent) -> ControlFlow<()> {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return ControlFlow::Break(());
            }
            KeyCode::Char('q') | KeyCode::Esc => return ControlFlow::Break(()),
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Char('t') => self.are_talkers_first = !self.are_talkers_first,
            KeyCode::Char('+') => self.interval = (self.interval + 1).min(TOP_INTERVALS_S.len() - 1),
            KeyCode::Char('-') => self.interval = self.interval.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.first_shard = self.first_shard.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.first_shard = self.first_shard.saturating_sub(1),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// How often the node is asked.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs(TOP_INTERVALS_S[self.interval])
    }

    /// What the node counted between its last two answers.
    pub(super) fn change(&self) -> Change<'_> {
        Change::new(&self.now, self.earlier.as_ref())
    }

    /// What it counted since somebody looks.
    pub(super) fn change_since_first(&self) -> Change<'_> {
        Change::new(&self.now, Some(&self.first))
    }

    /// For how long it does not answer, and why.
    pub(super) fn away(&self) -> Option<(Duration, &str)> {
        self.away.as_ref().map(|(since, reason)| (since.elapsed(), reason.as_str()))
    }
}
