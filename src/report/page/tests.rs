use super::span::DAY;
use super::*;
use crate::board::Board;
use crate::board::tests::board;
use crate::history::uniques::UniquesOfDays;
use crate::history::{History, Stored};
use crate::stats::counters::QUERIES;

/// When the board's node started: 20 s after a minute began.
const STARTED: u64 = 1_700_000_000;
const MINUTE_BEGAN: u64 = STARTED - 20;
/// What it has counted by then.
const COUNTED: u64 = 8;

fn history(board: &Board) -> (History, Stored) {
    let history = History::in_memory(&board.named.load().counted, 2, STARTED).unwrap().0;
    let stored = history.reader().unwrap();
    (history, stored)
}

fn store(history: &mut History, board: &Board, now: u64) {
    history.store(board, &[], &UniquesOfDays::default(), now).unwrap();
}

fn count(board: &Board, queries: u32) {
    board.shards[0].counters[0].add(QUERIES.at([0, 0, 0]), queries);
}

fn read(stored: &Stored, board: &Board, span: Span, now: u64) -> Figures {
    Figures::read(stored, span, now, &board.read()).unwrap()
}

#[test]
fn a_node_that_is_seconds_old_shows_what_it_counted() {
    let board = board();
    let (_history, stored) = history(&board);
    for span in Span::ALL {
        let figures = read(&stored, &board, span, STARTED + 5);
        assert_eq!((figures.total(), figures.under_way, figures.peak()), (COUNTED, COUNTED, None));
        assert!(figures.queries.iter().all(Option::is_none) && !figures.is_full(), "{span:?}");
        assert_eq!((figures.mean(), figures.rates().last()), (1.6, Some(&Some(1.6))));
        assert_eq!(figures.zones.iter().map(|(_, count)| count).sum::<u64>(), 3);
        let html = Page { span, form: Form::Live }.render(&figures, &board.read(), &Pace::default());
        assert!(html.contains("Counting began at 2023-11-14 22:13 UTC"), "{html}");
        assert!(html.contains("in progress, 5\u{202f}s so far") && html.contains("<dd class=\"number\">8<"));
    }
}

#[test]
fn prefixes_and_a_contact_are_shown_if_there_are_any() {
    let board = board();
    let (_history, stored) = history(&board);
    let figures = read(&stored, &board, Span::Hour, STARTED + 5);
    let html =
        || Page { span: Span::Hour, form: Form::Live }.render(&figures, &board.read(), &Pace::default());
    let shown = "<p class=\"facts\"><span>192.31.196.0/24</span><span>noc@example.net, &lt;b&gt;</span></p>";
    assert!(!html().contains(shown) && !html().contains("<p class=\"facts\"></p>"));
    let mut named = board.named.load().as_ref().clone();
    named.prefixes = vec!["192.31.196.0/24".parse().unwrap()];
    named.further = vec!["noc@example.net, <b>".to_owned()];
    board.named.store(named.into());
    assert!(html().contains(shown), "{}", html());
}

#[test]
fn a_minute_is_whole_once_it_is_stored_and_nothing_counts_twice() {
    let board = board();
    let (mut history, stored) = history(&board);
    // It is over and not stored yet: no fall to 0, and no minute in a second.
    let figures = read(&stored, &board, Span::Hour, MINUTE_BEGAN + 61);
    assert_eq!((figures.end, figures.under_way, figures.under_way_for()), (MINUTE_BEGAN, COUNTED, 41));
    store(&mut history, &board, MINUTE_BEGAN + 61);
    count(&board, 6);
    let figures = read(&stored, &board, Span::Hour, MINUTE_BEGAN + 63);
    assert_eq!((figures.end, figures.under_way), (MINUTE_BEGAN + 60, 6));
    assert_eq!(figures.queries.last(), Some(&Some(COUNTED)));
    assert_eq!(figures.rates()[58..], [None, Some(COUNTED as f64 / 40.0), Some(2.0)]);
    assert_eq!(figures.peak(), None, "the first minute was not counted from its beginning");
    count(&board, 2);
    store(&mut history, &board, MINUTE_BEGAN + 120);
    count(&board, 1);
    for span in Span::ALL {
        let figures = read(&stored, &board, span, MINUTE_BEGAN + 122);
        assert_eq!(figures.total(), COUNTED + 9, "{span:?}");
        let by_type = sum(&figures.csv(), "\"dimension\",\"IP_VERSION\"");
        assert_eq!(by_type, COUNTED + 9, "{span:?}");
    }
    let figures = read(&stored, &board, Span::Hour, MINUTE_BEGAN + 122);
    assert_eq!(figures.peak(), Some(8.0 / 60.0));
    // A history that cannot be stored any more: what comes is spread over the time since.
    count(&board, 599);
    let figures = read(&stored, &board, Span::Hour, MINUTE_BEGAN + 720);
    assert_eq!((figures.end, figures.under_way), (MINUTE_BEGAN + 120, 600));
    assert_eq!(figures.rates().last(), Some(&Some(1.0)));
}

/// The counts of the lines that begin so.
fn sum(csv: &str, begin: &str) -> u64 {
    let lines = csv.lines().filter(|line| line.starts_with(begin));
    lines.map(|line| line.rsplit('"').nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn an_hour_is_compared_with_that_of_the_day_before() {
    let board = board();
    let (mut history, stored) = history(&board);
    store(&mut history, &board, MINUTE_BEGAN + 60);
    let now = MINUTE_BEGAN + DAY + 90;
    count(&board, 5);
    store(&mut history, &board, MINUTE_BEGAN + DAY);
    store(&mut history, &board, MINUTE_BEGAN + DAY + 60);
    let figures = read(&stored, &board, Span::Hour, now);
    assert_eq!(figures.earlier.last(), Some(&Some(COUNTED)));
    assert!(figures.earlier.iter().rev().skip(1).all(Option::is_none) && figures.is_full());
    assert_eq!((Span::first_at(DAY - 1), Span::first_at(DAY)), (Span::Hour, Span::Day));
}

#[test]
fn the_index_is_the_document_of_the_first_span() {
    for first in [Span::Hour, Span::Day] {
        for path in ["/", "/index.html"] {
            assert_eq!(Page::at(path, None, first).map(Page::span), Some(first));
        }
        assert_eq!(Page::at("/24h.html", None, first).map(Page::span), Some(Span::Day));
        assert_eq!(Page::at("/2h.html", None, first), None);
    }
    let names: Vec<String> = files().map(|(_, name)| name).collect();
    assert_eq!(names.len(), 18);
    let paths = files().map(|(path, _)| path);
    let pages = paths.filter(|path| Page::at(path.trim_end_matches("?saved"), None, Span::Hour).is_some());
    assert_eq!(pages.count(), 16);
}

#[test]
fn the_view_of_the_operator_has_no_times_where_none_were_taken() {
    let html = operator::render(&board().read(), &Pace::default());
    // Two shards and all of them, at five quantiles; and batches, of which the board has none.
    let dashes = html.matches("<td>–</td>").count();
    assert!(dashes >= 3 * 5 + 2 && !html.contains("\u{202f}ns"), "{dashes}: {html}");
}
