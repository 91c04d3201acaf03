//! Where everything goes. Lines are given out in the order of their importance: a small terminal has
//! the most important ones.

use ratatui::layout::{Constraint, Layout, Rect};

/// What there is to show.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) has_times: bool,
    pub(super) has_sources: bool,
    pub(super) shards: usize,
    /// How many parts each has.
    pub(super) shares: Vec<usize>,
    /// How many networks or names there are, and whether they matter more than the shares.
    pub(super) talkers: usize,
    pub(super) are_talkers_first: bool,
    /// How many rules or upstream servers there are, where there are workers.
    pub(super) platform: Option<usize>,
}

/// A place for each; those that have none are empty.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) head: Rect,
    pub(super) rates: Rect,
    pub(super) workers: Rect,
    pub(super) dropped: Rect,
    pub(super) lost: Rect,
    pub(super) times: Rect,
    pub(super) sources: Rect,
    pub(super) chart: Rect,
    pub(super) shares: Vec<Rect>,
    /// Rules, and upstream servers.
    pub(super) platform: Vec<Rect>,
    pub(super) talkers: Vec<Rect>,
    pub(super) shards: Rect,
    pub(super) foot: Rect,
}

/// Lines of the chart, with its title: the least, and as many as it has before shares get more.
const CHART_MIN: u16 = 3;
const CHART_GOOD: u16 = 8;
/// Lines of a share, with its title: the least, what it has before anything grows, and the most.
const SHARE_MIN: u16 = 3;
const SHARE_GOOD: u16 = 5;
const SHARE_MAX: u16 = 12;
/// Shards that are shown before anything else grows.
const SHARDS_GOOD: u16 = 2;

impl Plan {
    pub(super) fn new(area: Rect, wanted: &Wanted) -> Self {
        let mut left = area.height;
        let mut take = |lines: u16, or_none_below: u16| {
            let got = if left < or_none_below { 0 } else { lines.min(left) };
            left -= got;
            got
        };
        let [rates, foot, lost, head, dropped] = [(); 5].map(|()| take(1, 1));
        let workers = if wanted.platform.is_some() { take(1, 1) } else { 0 };
        let all_shards = u16::try_from(wanted.shards).unwrap_or(u16::MAX);
        let mut shards = take(1 + all_shards.min(SHARDS_GOOD), 2);
        let mut chart = take(CHART_MIN, CHART_MIN);
        let most_platform = wanted.platform.filter(|len| *len > 0).map_or(0, |len| longest(&[len]));
        let mut platform = take(most_platform.min(SHARE_GOOD), SHARE_MIN);
        // Whole rows of shares: the first ones matter most.
        let columns = columns(area.width);
        let lens: Vec<u16> = wanted.shares.chunks(columns.len()).map(longest).collect();
        let most_talkers = if wanted.talkers > 0 { longest(&[wanted.talkers]) } else { 0 };
        let mut talkers = if wanted.are_talkers_first { take(most_talkers, SHARE_MIN) } else { 0 };
        let mut rows: Vec<u16> = lens.iter().map(|len| take((*len).min(SHARE_GOOD), SHARE_MIN)).collect();
        let times = if wanted.has_times { take(1, 1) } else { 0 };
        let sources = if wanted.has_sources { take(1, 1) } else { 0 };
        if talkers == 0 {
            talkers = take(most_talkers.min(SHARE_GOOD), SHARE_MIN);
        }
        // The rest makes larger what there is.
        if chart > 0 {
            chart += take(CHART_GOOD - CHART_MIN, 1);
        }
        shards += take(if shards > 0 { (all_shards + 1).saturating_sub(shards) } else { 0 }, 1);
        for (row, len) in rows.iter_mut().zip(lens).filter(|(row, _)| **row > 0) {
            *row += take(len.saturating_sub(*row), 1);
        }
        platform += if platform > 0 { take(most_platform - platform, 1) } else { 0 };
        talkers += if talkers > 0 { take(most_talkers - talkers, 1) } else { 0 };
        chart += if chart > 0 { take(u16::MAX, 1) } else { 0 };

        let heights = [head, rates, workers, times, dropped, lost, sources, chart, platform];
        let heights: Vec<u16> =
            heights.into_iter().chain(rows).chain([talkers, shards, left, foot]).collect();
        let places = Layout::vertical(heights.into_iter().map(Constraint::Length)).split(area);
        let [
            head,
            rates,
            workers,
            times,
            dropped,
            lost,
            sources,
            chart,
            platform,
            rows @ ..,
            talkers,
            shards,
            _,
            foot,
        ] = &places[..]
        else {
            unreachable!("there are as many places as heights")
        };
        let rows = rows.iter().flat_map(|row| Layout::horizontal(columns).spacing(2).split(*row).to_vec());
        Self {
            shares: rows.take(wanted.shares.len()).collect(),
            talkers: Layout::horizontal(SIDE_BY_SIDE).spacing(2).split(*talkers).to_vec(),
            platform: Layout::horizontal(SIDE_BY_SIDE).spacing(2).split(*platform).to_vec(),
            workers: *workers,
            head: *head,
            rates: *rates,
            times: *times,
            dropped: *dropped,
            lost: *lost,
            sources: *sources,
            chart: *chart,
            shards: *shards,
            foot: *foot,
        }
    }
}

/// The widths of networks and names, and of rules and servers.
const SIDE_BY_SIDE: [Constraint; 2] = [Constraint::Fill(3), Constraint::Fill(4)];

/// The lines that a row of shares takes where there is room, with its title.
fn longest(parts: &[usize]) -> u16 {
    let parts = parts.iter().max().copied().unwrap_or_default();
    u16::try_from(parts + 1).unwrap_or(u16::MAX).clamp(SHARE_MIN, SHARE_MAX)
}

/// The widths of shares that stand side by side. Those in the last column have the longest names.
const fn columns(width: u16) -> &'static [Constraint] {
    const NARROW: Constraint = Constraint::Fill(3);
    const WIDE: Constraint = Constraint::Fill(4);
    match width {
        0..48 => &[WIDE],
        48..72 => &[NARROW, WIDE],
        72..160 => &[NARROW, NARROW, WIDE],
        _ => &[NARROW, NARROW, NARROW, NARROW, NARROW, WIDE],
    }
}
