//! What is on the screen for a node whose /stats.json was recorded twice, two seconds apart.

use std::time::Instant;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

use super::state::State;
use super::*;

fn recorded() -> [Value; 2] {
    [include_str!("recorded/first.json"), include_str!("recorded/second.json")]
        .map(|text| serde_json::from_str(text).expect("it is JSON"))
}

/// A state that has seen both.
fn live() -> State {
    let [first, second] = recorded();
    let mut state = State::new("http://node", first);
    state.take(Ok(second), Instant::now());
    state
}

fn drawn(state: &mut State, columns: u16, lines: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
    terminal.draw(|frame| view::draw(frame, state)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> Vec<String> {
    let lines = buffer.content().chunks(buffer.area.width.into());
    lines
        .map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned())
        .collect()
}

fn screen(state: &mut State, columns: u16, lines: u16) -> Vec<String> {
    text(&drawn(state, columns, lines))
}

/// The colour of a fragment, and whether it is bold.
fn style(buffer: &Buffer, fragment: &str) -> (Color, bool) {
    let width = usize::from(buffer.area.width);
    let lines = text(buffer);
    let line = lines.iter().position(|line| line.contains(fragment));
    let line = line.unwrap_or_else(|| panic!("no {fragment}:\n{}", lines.join("\n")));
    let column = lines[line].split(fragment).next().unwrap_or_default().chars().count();
    let cell = &buffer.content()[line * width + column];
    (cell.fg, cell.modifier.contains(Modifier::BOLD))
}

fn assert_has(lines: &[String], fragments: &[&str]) {
    for fragment in fragments {
        assert!(lines.iter().any(|line| line.contains(fragment)), "{fragment}\n{}", lines.join("\n"));
    }
}

#[test]
fn all_of_it_fits_80_by_24() {
    let lines = screen(&mut live(), 80, 24);
    let expected = [
        "ns1.example  io_uring  as112d 0.1.0  up 12 s                           every 1 s",
        "queries    7,330/s   replies 7,330/s   TCP 0 open, 0/s new",
        "time       p50 86.0 µs  p90 231 µs  p99 328 µs  p99.9 420 µs  max 420 µs",
        "unanswered short 9.6/s",
        "lost       nothing",
        "sources    IPv4 1  IPv6 1  IPv6 /64 1  unique today",
        " queries/s, peak 7,330 in 2 s ──────────────────────────────────────────────────",
    ];
    assert_eq!(lines[..7], expected, "{}", lines.join("\n"));
    assert!(lines[7].ends_with('█') && lines[9].ends_with('█'), "{}", lines.join("\n"));
    let expected = [
        " type ─────────────────   rcode ────────────────   service ─────────────────────",
        "PTR  ████████    80.3 %  NXDOMAIN █████▋  94.7 %  direct   ███████████▌   88.6 %",
    ];
    assert_eq!(lines[10..12], expected, "{}", lines.join("\n"));
    assert_has(
        &lines,
        &[
            "UDP IPv6 ███     50.6 %  EDNS ███████▌    75.0 %  10.in-addr.arpa         51.2 %",
            "UDP IPv4 ███     49.4 %  DO   ██▌         24.9 %  168.192.in-addr.arpa    31.2 %",
        ],
    );
    let expected = [
        "shard            datagrams  max 1.01 × mean      busy  batch      lost       p99",
        "0  CPU any         3,615/s  ███████████████▌    1.6 %   11.0         0    257 µs",
        "1  CPU any         3,725/s  ████████████████    1.8 %   11.1         0    348 µs",
        "q quit   p pause   +/- interval   http://node",
    ];
    assert_eq!(lines[20..], expected, "{}", lines.join("\n"));
}

#[test]
fn more_room_shows_more() {
    let lines = screen(&mut live(), 120, 40);
    assert_has(
        &lines,
        &[
            "max 420 µs  in the last two minutes",
            "PTR  █████████████████▋      80.3 %  NXDOMAIN █████████████████   94.7 %  direct ",
            "special",
            "hostname.as112.net   ▍                   2.1 %",
            "254.169.in-addr.arpa ▎                   1.1 %",
            "home.arpa            ▏                   1.1 %",
        ],
    );
    let wide = screen(&mut live(), 200, 20);
    assert_has(&wide, &[" transport ──", " with ──", " zone ──"]);
    assert!(wide.iter().any(|line| line.contains(" type ──") && line.contains(" zone ──")), "side by side");
}

#[test]
fn networks_and_names_are_shown_below_the_shares_or_on_request_above() {
    let [first, mut second] = recorded();
    second["top"] = json!({
        "networks": {"samples": 400, "largest": {"192.0.2.0/24": 90, "2001:db8:1::/48": 110}},
        "names": {"samples": 400, "largest": {"1.1.168.192.in-addr.arpa.": 300, "b.": 100}},
    });
    let mut state = State::new("http://node", first);
    state.take(Ok(second), Instant::now());
    let lines = screen(&mut state, 80, 24);
    assert_has(
        &lines,
        &[" type ──", "q quit   p pause   +/- interval   t top networks and names   http://node"],
    );
    assert!(lines.iter().all(|line| !line.contains(" network ──")), "{}", lines.join("\n"));
    let shown =
        [" network ──", "2001:db8:1::/48 ██", "27.5 %  1.1.168.192.in-addr.arpa. ████████▎ ", "75.0 %"];
    assert_has(&screen(&mut state, 80, 40), &shown);
    let press = KeyEvent::new(KeyCode::Char('t'), KeyModifiers::NONE);
    assert!(state.key(press).is_continue());
    let lines = screen(&mut state, 80, 24);
    assert_has(&lines, &shown);
    assert_has(&lines, &["t shares", "0  CPU any", " type ──"]);
    for columns in [1, 2, 9, 30, 47, 79, 170] {
        for lines in [1, 2, 5, 8, 13, 21, 50] {
            drawn(&mut state, columns, lines);
        }
    }
}

#[test]
fn rules_and_upstream_servers_are_shown_where_there_are_workers() {
    let [mut first, mut second] = recorded();
    for (numbers, count) in [(&mut first, 0), (&mut second, 1)] {
        let counters = json!({
            "rule_hits": {"none": 0, "lan": 3000 * count, "divert-test": 1000 * count},
            "cache_lookups": {"fresh": 600 * count, "prefetch": 0, "stale": 200 * count, "miss": 200 * count},
            "work_refused": {"lan": {"pool": 8 * count}},
            "worker_queries": 4000 * count,
            "upstream_queries": {"lan/192.0.2.53:53": {"answered": 180 * count, "timeout": 20 * count}},
            "app_events": {"filter": {"query": 90 * count, "tick": 10 * count}},
        });
        numbers["counters"].as_object_mut().unwrap().extend(counters.as_object().unwrap().clone());
        numbers["platform"] = json!({
            "resolver": {"state": "waiting", "starts": 2, "ended": "killed by signal 9"},
            "workers": 1, "tasks": 12, "cache": {"entries": 7, "bytes": 1000},
            "upstreams": {
                "lan/192.0.2.53:53": {"state": "closed", "srtt_seconds": 0.0015, "in_flight": 3},
                "lan/[2001:db8::53]:53": {"state": "half-open", "srtt_seconds": 0.02, "in_flight": 1},
                "other/192.0.2.1:53": {"state": "open", "srtt_seconds": null, "in_flight": 0},
            },
            "apps": {
                "filter": {"state": "running", "memory_bytes": 200_000, "held_queries": 2},
                "trapped": {"state": "off", "memory_bytes": 0, "held_queries": 0},
            },
        });
    }
    let mut state = State::new("http://node", first);
    let before = screen(&mut state, 80, 24);
    assert_has(
        &before,
        &["workers    -/s   waiting 12   cache hits -   fallbacks -/s", "up     1.50 ms      -/s"],
    );
    state.take(Ok(second), Instant::now());
    let buffer = drawn(&mut state, 80, 24);
    let lines = text(&buffer);
    assert_has(
        &lines,
        &[
            "workers    1,920/s   waiting 12   cache hits 80.0 %   fallbacks 3.8/s",
            " rule ────────",
            " upstream (resolver waiting), app ──────",
            "lan         ████████",
            "divert-test ██",
            "75.0 %  lan/192.0.2.53:53     up     1.50 ms   96.0/s",
            "trying",
            "down",
            " type ──",
            "0  CPU any",
        ],
    );
    assert_eq!(style(&buffer, "down "), (Color::Red, false));
    assert_eq!(style(&buffer, "3.8/s"), (Color::Red, true));
    let wide = screen(&mut state, 120, 40);
    assert_has(&wide, &["lan/[2001:db8::53]:53  ", "other/192.0.2.1:53  "]);
    assert_has(&wide, &["app filter ", "up      2 held   48.0/s", "app trapped ", "off     0 held      0/s"]);
    let without = screen(&mut live(), 120, 40);
    assert!(without.iter().all(|line| !line.contains("upstream") && !line.starts_with("workers")));
    for columns in [1, 2, 9, 30, 47, 79, 170] {
        for lines in [1, 2, 5, 8, 13, 21, 50] {
            drawn(&mut state, columns, lines);
        }
    }
}

#[test]
fn pops_and_what_decided_are_shown_where_answers_depend_on_the_client() {
    let [mut first, mut second] = recorded();
    for (numbers, count) in [(&mut first, 0), (&mut second, 1)] {
        let counters = json!({
            "tailored": {"web": {"sfo": 200 * count, "nrt": 600 * count}, "cdn": {"sfo": 200 * count}},
            "tailored_by": {"networks": 700 * count, "learned": 300 * count, "default": 0},
        });
        numbers["counters"].as_object_mut().unwrap().extend(counters.as_object().unwrap().clone());
    }
    let mut state = State::new("http://node", first);
    state.take(Ok(second), Instant::now());
    let lines = screen(&mut state, 160, 40);
    assert_has(
        &lines,
        &[" PoP ──", "nrt ██", "60.0 %", "sfo ██", "40.0 %", " decided by ──", "70.0 %", "30.0 %"],
    );
    let without = screen(&mut live(), 160, 40);
    assert!(without.iter().all(|line| !line.contains("PoP") && !line.contains("decided")));
}

#[test]
fn what_is_small_shows_what_matters() {
    let lines = screen(&mut live(), 60, 8);
    assert_has(&lines, &["queries    7,330/s", "lost       nothing", "0  CPU any", "1  CPU any", "q quit"]);
    let lines = screen(&mut live(), 30, 8);
    assert_has(&lines, &["queries    7,330/s", "lost       nothing", "0  CPU any         3,615/s"]);
    for columns in [1, 2, 9, 30, 47, 79, 170] {
        for lines in [1, 2, 5, 8, 13, 21, 50] {
            drawn(&mut live(), columns, lines);
        }
    }
    assert_eq!(screen(&mut live(), 20, 1), ["queries    7,330/s"]);
}

#[test]
fn losses_are_red_and_more_so_while_they_go_on() {
    let quiet = drawn(&mut live(), 80, 24);
    assert_eq!(style(&quiet, "nothing"), (Color::Green, false));
    assert_eq!(style(&quiet, "short 9.6/s"), (Color::Red, false));
    let [mut first, mut second] = recorded();
    for (numbers, lost) in [(&mut first, 5000), (&mut second, 6500)] {
        for place in ["/counters/socket_drops", "/shards/1/counters/socket_drops"] {
            *numbers.pointer_mut(place).unwrap() = json!({"127.0.0.1:53": lost});
        }
        *numbers.pointer_mut("/counters/send_errors/EPERM").unwrap() = json!(7);
        *numbers.pointer_mut("/history/errors").unwrap() = json!(2);
    }
    // What the host lost before is nobody's here.
    *second.pointer_mut("/host/udp_rcvbuf_errors").unwrap() = {
        let before = first.pointer("/host/udp_rcvbuf_errors/ipv4").and_then(Value::as_u64).unwrap();
        json!({"ipv4": before + 3, "ipv6": 0})
    };
    let mut state = State::new("http://node", first);
    let before = drawn(&mut state, 80, 24);
    assert_eq!(style(&before, "sockets 5,000"), (Color::Red, false));
    state.take(Ok(second), Instant::now());
    let lossy = drawn(&mut state, 80, 24);
    assert_has(
        &text(&lossy),
        &["lost       sockets 6,500 (+1,500)  sends 7  history 2  host receive 3 (+3)"],
    );
    assert_eq!(style(&lossy, "sockets"), (Color::Red, true));
    assert_eq!(style(&lossy, "sends"), (Color::Red, false));
    assert_eq!(style(&lossy, "host receive"), (Color::Red, true));
    assert_eq!(style(&lossy, "6,500    348"), (Color::Red, false), "in the line of the shard");
}

#[test]
fn with_one_answer_there_are_shares_and_no_rates() {
    let [first, _] = recorded();
    let lines = screen(&mut State::new("http://node", first), 80, 24);
    assert_has(
        &lines,
        &["queries    -/s   replies -/s", "unanswered short -/s", "PTR  ", "0  CPU any             -/s"],
    );
}

#[test]
fn an_older_node_lacks_what_it_does_not_say() {
    let [mut first, mut second] = recorded();
    for numbers in [&mut first, &mut second] {
        for key in ["service_time", "unique_sources", "site", "history", "host"] {
            numbers.as_object_mut().unwrap().remove(key);
        }
        for shard in numbers["shards"].as_array_mut().unwrap() {
            shard.as_object_mut().unwrap().remove("service_time");
        }
    }
    let mut state = State::new("http://node", first);
    state.take(Ok(second), Instant::now());
    let lines = screen(&mut state, 80, 24);
    assert_has(&lines, &["queries    7,330/s", "lost       nothing", "1  CPU any"]);
    assert!(lines.iter().all(|line| !line.starts_with("time") && !line.starts_with("sources")));
    // Nor does anything that is no node's make it fall.
    state.take(Ok(json!({"shards": {"0": 1}, "counters": [1, "x", null]})), Instant::now());
    assert_has(&screen(&mut state, 80, 24), &["?  as112d ?  up 0 s", "queries    -/s"]);
}

#[test]
fn a_node_that_is_away_is_asked_on() {
    let mut state = live();
    state.take(Err("Connection refused".to_owned()), Instant::now());
    let away = drawn(&mut state, 80, 24);
    assert_has(&text(&away), &["no answer for 0 s: Connection refused; retrying", "queries    7,330/s"]);
    assert_eq!(style(&away, "no answer"), (Color::Red, true));
    assert!(text(&away)[9].ends_with("█·"), "{}", text(&away).join("\n"));
    let [_, mut second] = recorded();
    (second["ready"], second["state"]) = (json!(false), json!("draining"));
    state.take(Ok(second), Instant::now());
    assert_has(&screen(&mut state, 80, 24), &["  draining"]);

    // Back after a start, with less than before.
    let [mut first, _] = recorded();
    first["start_time_seconds"] = json!(2_000_000_000);
    state.take(Ok(first.clone()), Instant::now());
    assert_has(&screen(&mut state, 80, 24), &["queries    -/s", "every 1 s"]);
    first["uptime_seconds"] = json!(first["uptime_seconds"].as_f64().unwrap() + 1.0);
    state.take(Ok(first), Instant::now());
    assert_has(&screen(&mut state, 80, 24), &["queries    0/s"]);
}

#[test]
fn keys_do_what_they_say() {
    let mut state = live();
    let mut press = |code, modifiers| {
        let flow = state.key(KeyEvent::new(code, modifiers));
        (flow, state.interval().as_secs(), state.is_paused)
    };
    let go_on = ControlFlow::Continue(());
    let none = KeyModifiers::NONE;
    let seconds: Vec<u64> = (0..7).map(|_| press(KeyCode::Char('+'), none).1).collect();
    assert_eq!(seconds, [2, 5, 10, 30, 60, 60, 60]);
    let seconds: Vec<u64> = (0..6).map(|_| press(KeyCode::Char('-'), none).1).collect();
    assert_eq!(seconds, [30, 10, 5, 2, 1, 1]);
    assert_eq!(press(KeyCode::Char('p'), none), (go_on, 1, true));
    assert_eq!(press(KeyCode::Char('p'), none), (go_on, 1, false));
    assert_eq!(press(KeyCode::Char('c'), none), (go_on, 1, false));
    for (code, modifiers) in
        [(KeyCode::Char('q'), none), (KeyCode::Esc, none), (KeyCode::Char('c'), KeyModifiers::CONTROL)]
    {
        assert_eq!(press(code, modifiers).0, ControlFlow::Break(()));
    }
}

#[test]
fn shards_that_do_not_fit_can_be_reached() {
    let [first, _] = recorded();
    let mut many = first.clone();
    let shard = &first["shards"][0];
    many["shards"] = (0..64).map(|_| shard.clone()).collect();
    let mut state = State::new("http://node", many);
    let lines = screen(&mut state, 80, 24);
    assert_has(&lines, &["0  CPU any", "1  CPU any", "↑/↓ shards"]);
    let down = KeyEvent::new(KeyCode::Down, KeyModifiers::NONE);
    let up = KeyEvent::new(KeyCode::Up, KeyModifiers::NONE);
    let press =
        |state: &mut State, key, times| (0..times).for_each(|_| assert!(state.key(key).is_continue()));
    press(&mut state, down, 3);
    assert_has(&screen(&mut state, 80, 24), &["3  CPU any", "4  CPU any"]);
    // Further than the last is the last, and back from there is one step.
    press(&mut state, down, 100);
    assert_has(&screen(&mut state, 80, 24), &["63  CPU any"]);
    press(&mut state, up, 1);
    let lines = screen(&mut state, 80, 24);
    assert!(
        lines.iter().any(|line| line.starts_with("62  "))
            && lines.iter().all(|line| !line.starts_with("63  "))
    );
    assert_has(&screen(&mut state, 80, 100), &["0  CPU any", "63  CPU any"]);
}

#[test]
fn the_memory_of_rates_is_bounded() {
    let mut state = live();
    let [_, second] = recorded();
    (0..2 * crate::limits::TOP_HISTORY_MAX).for_each(|_| state.take(Ok(second.clone()), Instant::now()));
    assert_eq!(state.rates.len(), crate::limits::TOP_HISTORY_MAX);
}
