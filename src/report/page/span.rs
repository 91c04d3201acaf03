//! The times that documents are about.

use std::time::Duration;

use crate::limits::{HISTORY_RESOLUTIONS, PAGE_KEPT_DIVISOR};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;

/// The time that a document is about: the last whole steps, and the one under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// An hour by minutes.
    Hour,
    /// 24 hours by quarters.
    Day,
    /// A week by hours.
    Week,
    /// 30 days by four hours.
    Month,
    /// A year by days.
    Year,
}

impl Span {
    /// All, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The one that is shown first of a node that has counted for so many seconds: a day by quarters of an
    /// hour says nothing of the first minutes.
    #[must_use]
    pub const fn first_at(age: u64) -> Self {
        if age < DAY { Self::Hour } else { Self::Day }
    }

    /// As in the names of files.
    pub(super) const fn name(self) -> &'static str {
        ["1h", "24h", "7d", "30d", "1y"][self as usize]
    }

    pub(super) const fn title(self) -> &'static str {
        ["1 hour", "24 hours", "7 days", "30 days", "1 year"][self as usize]
    }

    pub(super) const fn last_title(self) -> &'static str {
        ["last hour", "last 24 hours", "last 7 days", "last 30 days", "last year"][self as usize]
    }

    pub(super) const fn len(self) -> u64 {
        [HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY][self as usize]
    }

    pub(super) const fn step(self) -> u64 {
        [MINUTE, HOUR / 4, HOUR, 4 * HOUR, DAY][self as usize]
    }

    pub(super) const fn step_title(self) -> &'static str {
        ["minute", "15 minutes", "hour", "4 hours", "day"][self as usize]
    }

    pub(super) const fn averages_title(self) -> &'static str {
        ["1-minute", "15-minute", "1-hour", "4-hour", "1-day"][self as usize]
    }

    /// How much earlier the time is that it is compared with: hours and weekdays meet their like.
    pub(super) const fn back(self) -> u64 {
        if matches!(self, Self::Hour) { DAY } else { 7 * DAY }
    }

    pub(super) const fn back_title(self) -> &'static str {
        if matches!(self, Self::Hour) { "a day earlier" } else { "a week earlier" }
    }

    /// For how long its figures are as good as new.
    #[must_use]
    pub const fn kept_for(self) -> Duration {
        Duration::from_secs(self.step() / PAGE_KEPT_DIVISOR)
    }

    pub(super) const fn document(self) -> &'static str {
        ["1h.html", "24h.html", "7d.html", "30d.html", "1y.html"][self as usize]
    }
}

// There are still minutes of the hour that the last one is compared with.
const _: () = assert!(HISTORY_RESOLUTIONS[0].1 > Span::Hour.back() + 2 * Span::Hour.len());

/// Where the files about days are, as `2026-01-31.yaml`.
pub const DAYS_DIR: &str = "rssac002";
