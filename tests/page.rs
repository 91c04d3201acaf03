//! The page: in a browser, over plain HTTP, and as files.

#[path = "common/browser.rs"]
mod browser;
mod common;
#[path = "common/echo.rs"]
mod echo;
#[path = "common/past.rs"]
mod past;

use std::collections::BTreeMap;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use as112d::history::unix_time;
use as112d::limits::HTTP_STREAMS_MAX;
use browser::Browser;
use common::daemon::{Daemon, PATIENCE, V4, program};
use common::query;
use crossbeam_channel::after;
use serde_json::{Value, json};

/// A daemon with a made-up past, and where it serves HTTP.
struct Node {
    daemon: Daemon,
    http: String,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(days: u64, years: bool) -> Self {
        Self::with("", days, years)
    }

    /// With more sections in its configuration.
    fn with(sections: &str, days: u64, years: bool) -> Self {
        let folder = common::folder();
        past::write(&folder.path().join("past"), unix_time(), days, years);
        let config = folder.path().join("as112d.toml");
        let text = "[history]\ndir = 'past'\n[identity]\nnode = 'as112-1.example.net'\n\
                    facility = 'Example Internet Exchange <Lisbon> & \"more\"'\n";
        std::fs::write(&config, format!("{text}{sections}")).expect("there is room");
        let daemon = Daemon::start(&["--config", &config.display().to_string(), "--http", "127.0.0.1:0"]);
        let http = daemon.http().to_string();
        Self { daemon, http, _folder: folder }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// Head and body. The first time on a busy machine the history may take the node a moment longer.
    fn get(&self, path: &str, headers: &str) -> (String, String) {
        for _ in 0..100 {
            let (head, body) = self.get_once(path, headers);
            if !head.contains("\nretry-after: ") {
                return (head, body);
            }
            pause();
        }
        panic!("{path} is never there");
    }

    fn get_once(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    fn json(&self, path: &str) -> Value {
        let (head, body) = self.get(path, "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}");
        serde_json::from_str(&body).expect("JSON")
    }
}

/// Where the pictures go that people look at.
fn shots() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A number as the page writes it in full: without its thin spaces.
fn number(text: &str) -> u64 {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("`{text}` has a number"))
}

fn pause() {
    after(Duration::from_millis(100)).recv().expect("this channel is never closed");
}

/// All counts below a place of a document.
fn sum(value: &Value) -> u64 {
    match value {
        Value::Object(object) => object.values().map(sum).sum(),
        Value::Array(array) => array.iter().map(sum).sum(),
        _ => value.as_u64().unwrap_or_default(),
    }
}

#[test]
fn it_is_whole_without_a_script_and_strict_with_what_it_shows() {
    let node = Node::start(9, false);
    for path in ["/", "/index.html", "/1h.html", "/24h.html", "/7d.html", "/30d.html", "/1y.html"] {
        let (head, body) = node.get(path, "");
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.contains("\ncontent-type: text/html"),
            "{path}: {head}"
        );
        let policy = "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'; \
                      img-src 'self' data:; connect-src 'self';";
        assert!(head.contains(policy), "{path}: {head}");
        // What the policy would block, and what could come from elsewhere or from a client.
        for unwanted in
            [" style=", "<style", " onload=", "<script>", "src=\"http", "<Lisbon>", "<Transit>", "203.0.113."]
        {
            assert!(!body.contains(unwanted), "{path} has {unwanted}");
        }
        assert_eq!(body.matches("href=\"http").count(), 1, "{path}: a link to the project, nothing else");
        for wanted in [
            "Exchange &lt;Lisbon&gt; &amp; &quot;more&quot;",
            "AS64496 Example &lt;Transit&gt; &amp; &quot;Sons&quot;",
            "192.0.2.0/24",
            "Germany",
            "All times are UTC",
            "<svg class=\"chart\" role=\"img\"",
        ] {
            assert!(body.contains(wanted), "{path} lacks {wanted}");
        }
    }
    for (path, content_type) in
        [("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/7d.csv", "text/csv")]
    {
        let (head, _) = node.get(path, "");
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains(content_type), "{path}: {head}");
    }
    let figures = node.json("/24h.json");
    let queries = sum(&figures["queries"]);
    assert_eq!(figures["queries"].as_array().expect("steps").len(), 96);
    assert!(queries > 10_000_000, "{queries}");
    let types = sum(&figures["dimensions"]["QUERY_TYPE"]);
    assert!(types > queries * 9 / 10 && types < queries, "{types} of {queries}");
    let days = figures["whole_days"].as_array().expect("days");
    assert_eq!(days.len(), 7);
    for day in days {
        let (head, yaml) = node.get(&format!("/rssac002/{}.yaml", day.as_str().expect("a date")), "");
        assert!(head.starts_with("HTTP/1.1 200 ") && yaml.contains("rssac002v3"), "{head}{yaml}");
    }
    let (_, csv) = node.get("/24h.csv", "");
    let counted = csv.lines().filter(|line| line.starts_with("\"queries\",\"now\","));
    let counted: u64 = counted.map(|line| number(line.rsplit(',').next().expect("a count"))).sum();
    assert_eq!(counted, queries);
    assert!(
        csv.contains("\"source\",\"as\",\"AS64496 Example <Transit> & \"\"Sons\"\"\","),
        "quotes are doubled"
    );
}

#[test]
fn a_node_without_a_past_has_a_page_as_well() {
    let daemon = Daemon::start(&["--http", "127.0.0.1:0"]);
    let http = daemon.http().to_string();
    let node = Node { daemon, http, _folder: common::folder() };
    for path in ["/", "/30d.html", "/1y.html", "/node"] {
        let (head, body) = node.get(path, "");
        assert!(head.starts_with("HTTP/1.1 200 ") && body.ends_with("</html>"), "{path}: {head}");
    }
    let (_, body) = node.get("/", "");
    let (_, hour) = node.get("/1h.html", "");
    let current = "<a href=\"1h.html\" aria-current=\"page\">";
    assert!(body.contains(current) && hour.contains(current), "minutes come first: {body}");
    assert!(body.contains("Counting began at ") && body.contains(" so far"), "{body}");
    assert!(!body.contains("\u{202f}%"), "nothing was counted, which is no share: {body}");
    assert!(!body.contains("Countries") && !body.contains("Unique sources per day"), "{body}");
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    (0..5).for_each(|_| drop(node.daemon.ask_udp(V4, &asked)));
    let is_counted = || sum(&node.json("/stats.json")["counters"]["queries"]) == 5;
    assert!((0..50).any(|_| is_counted() || (pause(), false).1), "five were asked");
    // Documents that nobody has asked for before are right at once, whatever part of their step is over.
    for (path, data) in [("/24h.html", "/24h.json"), ("/7d.html", "/7d.json")] {
        let (_, body) = node.get(path, "");
        let tile = |name: &str, value: &str| {
            body.contains(&format!("<dt>{name}</dt><dd class=\"number\">{value}</dd>"))
        };
        assert!(tile("Queries", "5") && tile("Answered", "100.0\u{202f}%"), "{path}: {body}");
        let figures = node.json(data);
        assert_eq!(sum(&figures["queries"]) + sum(&figures["under_way"]["queries"]), 5, "{path}");
        assert_eq!(sum(&figures["dimensions"]["QUERY_TYPE"]), 5, "{path}");
    }
}

#[test]
fn where_a_node_stands_is_shown_if_it_is_told() {
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    let text = "[identity]\nlocation = 'Lisbon, Portugal'\nunique_ip = ['192.0.2.7', '2001:db8::7']\n\
                extra_txt = ['noc@example.net']\n";
    std::fs::write(&config, text).expect("there is room");
    let daemon = Daemon::start(&["--config", &config.display().to_string(), "--http", "127.0.0.1:0"]);
    let http = daemon.http().to_string();
    let node = Node { daemon, http, _folder: folder };
    let (_, body) = node.get("/", "");
    for wanted in ["Lisbon, Portugal", "192.0.2.7", "2001:db8::7", "noc@example.net"] {
        let wanted = format!("<span>{wanted}</span>");
        assert!(body.contains(&wanted), "{wanted}: {body}");
    }
}

#[test]
fn the_view_of_the_operator_is_for_this_host_unless_it_is_opened() {
    let node = Node::start(0, false);
    let (head, body) = node.get("/node", "");
    assert!(
        head.starts_with("HTTP/1.1 200 ") && body.contains("Shards") && body.contains("Service times"),
        "{head}"
    );
    for passed_on in ["Forwarded: for=192.0.2.1\r\n", "X-Forwarded-For: 192.0.2.1\r\n", "Via: 1.1 proxy\r\n"]
    {
        let (head, body) = node.get("/node", passed_on);
        assert!(head.starts_with("HTTP/1.1 403 ") && body.contains("[http] node_view"), "{head}{body}");
    }
    let folder = common::folder();
    let config = folder.path().join("as112d.toml");
    std::fs::write(&config, "[http]\nnode_view = 'everywhere'\n").expect("there is room");
    let daemon = Daemon::start(&["--config", &config.display().to_string(), "--http", "127.0.0.1:0"]);
    let http = daemon.http().to_string();
    let node = Node { daemon, http, _folder: folder };
    assert!(node.get("/node", "Via: 1.1 proxy\r\n").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn streams_say_what_is_new_and_are_few() {
    let node = Node::start(0, false);
    let watch = || {
        let mut stream = TcpStream::connect(&node.http).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
        let mut lines = std::io::BufReader::new(stream).lines();
        let status = lines.next().expect("a line").expect("it is text");
        (status, lines)
    };
    let mut streams: Vec<_> = (0..HTTP_STREAMS_MAX).map(|_| watch()).collect();
    for (status, lines) in &mut streams {
        assert!(status.starts_with("HTTP/1.1 200 "), "{status}");
        // Two messages: it goes on beyond the time that other answers have.
        for _ in 0..2 {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("data: "));
            let news: Value = serde_json::from_str(&line.expect("a message")[6..]).expect("JSON");
            assert!(news["rate"].is_string() && news["queries"].is_string(), "{news}");
        }
    }
    assert!(watch().0.starts_with("HTTP/1.1 503 "), "one too many");
    assert!(node.get("/healthz", "").0.starts_with("HTTP/1.1 200 "), "the others go on");
    drop(streams);
    let again = (0..50).any(|_| {
        pause();
        watch().0.starts_with("HTTP/1.1 200 ")
    });
    assert!(again, "who goes makes room");
}

#[test]
fn it_can_be_kept_as_files() {
    let node = Node::start(9, false);
    let folder = common::folder();
    let dir = folder.path().join("a/site");
    let site = || {
        let output = Command::new(program())
            .args(["site", &dir.display().to_string(), "--url", &node.url("")])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    site();
    site();
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("it is there");
    for name in ["index.html", "1h.html", "7d.html", "1y.html", "page.css", "page.js", "24h.json", "1y.csv"] {
        assert!(!read(name).is_empty());
    }
    let index = read("index.html");
    // Nothing that asks for the node, and nothing that depends on where the files are.
    for unwanted in ["data-events", "stats.json", "client/v4", "href=\"/", "src=\"/"] {
        assert!(!index.contains(unwanted), "{unwanted}");
    }
    // Whatever it refers to is there.
    let links = index.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let links = links.filter(|link| !link.contains(':'));
    let links: Vec<&str> = links.collect();
    assert!(links.len() >= 14, "{links:?}");
    assert!(links.iter().all(|link| dir.join(link).exists()), "{links:?}");
    let mut figures: Value = serde_json::from_str(&read("24h.json")).expect("JSON");
    let mut newer = node.json("/24h.json");
    if figures["end"] != newer["end"] {
        // A quarter of an hour ended between the two.
        site();
        figures = serde_json::from_str(&read("24h.json")).expect("JSON");
        newer = node.json("/24h.json");
    }
    assert_eq!(figures["queries"], newer["queries"]);

    let output = Command::new(program()).args(["site", "/proc/none", "--url", &node.url("")]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(1));
    let output = Command::new(program()).args(["site", "x", "--url", "http://127.0.0.1:1"]).output();
    assert_eq!(output.expect("it runs").status.code(), Some(3));
}

//------------ In a browser ---

/// For each figure the name of its chart, whether the chart is told in words, and the rows of its table.
const FIGURES: &str = "return Array.from(document.querySelectorAll('figure'), figure => {
    const chart = figure.querySelector('svg.chart[role=img]');
    const told = id => (document.getElementById(chart?.getAttribute(id))?.textContent ?? '').length > 3;
    return {
        name: (chart?.getAttribute('aria-labelledby') ?? '').replace(/-title$/, ''),
        told: told('aria-labelledby') && told('aria-describedby'),
        drawn: chart?.getBoundingClientRect().height ?? 0,
        rows: Array.from(figure.querySelectorAll('tbody tr'), tr =>
            Array.from(tr.cells, cell => cell.textContent)),
    };
})";

/// Whether marks of the time do not touch.
const APART: &str = "return Array.from(document.querySelectorAll('svg.chart')).every(chart => {
    const boxes = Array.from(chart.querySelectorAll('.axis'), text => text.getBoundingClientRect());
    const lowest = Math.max(...boxes.map(box => box.top));
    const marks = boxes.filter(box => box.top === lowest && box.width > 0);
    marks.sort((a, b) => a.left - b.left);
    return marks.every((box, at) => at === 0 || box.left - marks[at - 1].right >= 6);
})";
/// Whether nothing is wider than the screen.
const FITS: &str = "return document.documentElement.scrollWidth <= innerWidth";
/// The documents that are looked at.
const DOCUMENTS: [(&str, &str); 5] =
    [("1h", "/1h.html"), ("24h", "/"), ("7d", "/7d.html"), ("30d", "/30d.html"), ("1y", "/1y.html")];

/// Every chart of the document has its words and its table; the tables by name.
fn tables(browser: &Browser) -> BTreeMap<String, Vec<Vec<String>>> {
    let figures = browser.run(FIGURES);
    let figures = figures.as_array().expect("a list").iter().map(|figure| {
        assert!(figure["told"] == true && figure["drawn"].as_f64() > Some(60.0), "{figure}");
        let rows: Vec<Vec<String>> = serde_json::from_value(figure["rows"].clone()).expect("rows");
        assert!(!rows.is_empty(), "{figure}");
        (figure["name"].as_str().expect("a name").to_owned(), rows)
    });
    figures.collect()
}

/// What the tables say is what the API has for the same time, which is that of `figures`.
fn compare(node: &Node, figures: &Value, tables: &BTreeMap<String, Vec<Vec<String>>>) {
    let times = figures["times"].as_array().expect("times");
    let start = times[0].as_str().expect("a time");
    let end = figures["end"].as_u64().expect("a time");
    // The whole steps end a day after the start; shares are those of all queries up to when it was read.
    let [end_written, read] = ["end_written", "read"].map(|key| figures[key].as_str().expect("a time"));
    let api = |path: &str, end: &str, rest: &str| {
        node.json(&format!("/client/v4/radar/as112/{path}?dateStart={start}&dateEnd={end}{rest}"))["result"]
            .clone()
    };
    assert_eq!(end - figures["start"].as_u64().expect("a time"), 86_400);
    let series = api("timeseries", end_written, "&aggInterval=15m");
    let values: Vec<u64> = series["serie_0"]["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|value| value.as_str().expect("a text").parse().expect("a number"))
        .collect();
    let mut shown: Vec<u64> = tables["traffic"].iter().map(|row| number(&row[1])).collect();
    shown.pop().expect("a row for the step under way");
    assert_eq!(shown, values);
    for dimension in ["QUERY_TYPE", "RESPONSE_CODE", "PROTOCOL", "IP_VERSION", "EDNS", "DNSSEC"] {
        let summary = api(&format!("summary/{dimension}"), read, "")["summary_0"].clone();
        let rows = &tables[dimension];
        let all: u64 = rows.iter().map(|row| number(&row[1])).sum();
        for row in rows {
            let name = match row[0].as_str() {
                "with EDNS" | "with DO" => "SUPPORTED",
                "without EDNS" | "without DO" => "NOT_SUPPORTED",
                name => name,
            };
            if name == "other" {
                // The API shows by name what the page has not room for.
                continue;
            }
            let said = summary[name].as_str().unwrap_or_else(|| panic!("{dimension} {name} in {summary}"));
            let said: f64 = said.parse().expect("a number");
            let share = number(&row[1]) as f64 * 100.0 / all as f64;
            assert!((share - said).abs() < 1e-4, "{dimension} {name}: {share} and {said}");
            let text = row[2].replace('\u{202f}', "");
            let is_same = text == format!("{said:.1}%") || text.starts_with(['<', '>']) || said == 0.0;
            assert!(is_same, "{dimension} {name}: {text} and {said}");
        }
    }
}

/// Waits for what a script says.
fn eventually(browser: &Browser, script: &str) {
    let is_so = (0..100).any(|_| {
        let is_so = browser.run(script) == true;
        if !is_so {
            pause();
        }
        is_so
    });
    assert!(is_so, "never: {script}");
}

#[test]
#[ignore = "needs chromium and chromedriver; tests/run installs them"]
fn a_browser_shows_the_operator_rules_and_upstream_servers() {
    let node = Node::with(&echo::forwarded(), 0, false);
    assert_eq!(node.daemon.ask_udp(V4, &query("a.example", 1))[3] & 0xF, 0);
    let is_counted = || sum(&node.json("/stats.json")["counters"]["upstream_queries"]) > 0;
    (0..100)
        .find(|_| {
            is_counted() || {
                pause();
                false
            }
        })
        .expect("it is counted");
    let browser = Browser::start();
    for (width, height) in [(1280, 900), (390, 844)] {
        browser.screen(width, height, "light");
        browser.open(&node.url("/node"));
        assert_eq!(browser.run(FITS), true, "at {width}");
        assert_eq!(browser.console(), Vec::<String>::new(), "at {width}");
        let rows = "return [...document.querySelectorAll('tr')].map(row => row.textContent).join('\\n')";
        let rows = browser.run(rows);
        let rows = rows.as_str().expect("a text");
        assert!(rows.contains("lan/127.0.0.1:") && rows.contains("lan10100"), "{rows}");
        browser.screenshot(&shots().join(format!("node-rules-{width}.png")));
    }
    // The public is told nothing of them.
    let (_, page) = node.get("/", "");
    assert!(!page.contains("pstream") && !page.contains("Rules"), "{page}");
}

#[test]
#[ignore = "needs chromium and chromedriver; tests/run installs them"]
fn a_browser_shows_it_wide_and_narrow_light_and_dark() {
    let node = Node::start(9, false);
    let asked = query("1.1.168.192.in-addr.arpa", 12);
    // Few among millions: the API has them only once their minute is stored.
    (0..5).for_each(|_| drop(node.daemon.ask_udp(V4, &asked)));
    let browser = Browser::start();
    // What was read once is there at once.
    for (_, path) in DOCUMENTS {
        node.get(path, "");
    }
    let mut grounds = Vec::new();
    for (width, height) in [(1280, 900), (390, 844)] {
        for scheme in ["light", "dark"] {
            browser.screen(width, height, scheme);
            for (name, path) in DOCUMENTS {
                let before = node.json("/24h.json");
                browser.open(&node.url(path));
                assert_eq!(browser.run(FITS), true, "{path} at {width}");
                assert_eq!(browser.run(APART), true, "{path} at {width}: marks of the time");
                let mut shown = tables(&browser);
                assert_eq!(shown.len(), 14, "{path}: {:?}", shown.keys());
                if name == "24h" {
                    let figures = node.json("/24h.json");
                    if figures["end"] != before["end"] {
                        // A quarter of an hour ended, and the page may be of the one before.
                        browser.open(&node.url(path));
                        shown = tables(&browser);
                    }
                    compare(&node, &figures, &shown);
                    // The policy lets the stream through.
                    eventually(&browser, "return document.querySelector('.dot.moves') !== null");
                    let shown =
                        browser.run("return document.querySelector('[data-live=queries]').textContent");
                    let counted = sum(&node.json("/stats.json")["counters"]["queries"]);
                    assert_eq!(number(shown.as_str().expect("a text")), counted);
                }
                browser.screenshot(&shots().join(format!("{name}-{width}-{scheme}.png")));
                // Also with every table open it is no wider.
                browser.run("document.querySelectorAll('details').forEach(details => details.open = true)");
                assert_eq!(browser.run(FITS), true, "{path} at {width} with its tables");
                assert_eq!(browser.console(), Vec::<String>::new(), "{path} at {width}, {scheme}");
            }
            browser.open(&node.url("/node"));
            assert_eq!(browser.run(FITS), true, "/node at {width}");
            browser.screenshot(&shots().join(format!("node-{width}-{scheme}.png")));
            grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
            assert_eq!(browser.console(), Vec::<String>::new(), "/node at {width}, {scheme}");
        }
    }
    assert!(grounds[0] != grounds[1] && grounds[..2] == grounds[2..], "light and dark differ: {grounds:?}");

    // A pointer over a chart, and the arrow keys, say the value.
    browser.open(&node.url("/"));
    let point =
        "const chart = document.querySelector('[data-cross] svg.chart'), box = chart.getBoundingClientRect();
        chart.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + box.width / 2}));
        return document.querySelector('[data-cross] .readout').textContent";
    let said = browser.run(point);
    assert!(
        said.as_str().is_some_and(|said| said.contains("Queries ") && said.contains("per second")),
        "{said}"
    );

    // Without scripts all of it is there.
    browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": true}));
    browser.open(&node.url("/"));
    let html = browser.source();
    assert_eq!(html.matches("role=\"img\"").count(), 14);
    assert!(!html.contains("svg class=\"chart\" tabindex") && html.contains("<td>"), "no script ran");
    browser.screenshot(&shots().join("no-script-390-dark.png"));
    browser.devtools("Emulation.setScriptExecutionDisabled", &json!({"value": false}));

    println!("report: pictures of the page are in {}", shots().display());
}

#[test]
#[ignore = "needs chromium and chromedriver; tests/run installs them"]
fn a_browser_shows_it_from_files() {
    let (node, browser) = (Node::start(9, false), Browser::start());
    let folder = common::folder();
    let dir = folder.path().display().to_string();
    let output =
        Command::new(program()).args(["site", &dir, "--url", &node.url("")]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    browser.screen(1280, 900, "light");
    browser.open(&format!("file://{dir}/index.html"));
    assert_eq!(tables(&browser).len(), 14);
    assert_eq!(browser.run("return getComputedStyle(document.body).maxWidth"), "1120px", "it has its looks");
    browser.run("document.querySelector('nav a[href=\"7d.html\"]').click()");
    eventually(
        &browser,
        "return location.pathname.endsWith('/7d.html') && document.readyState === 'complete'",
    );
    assert_eq!(tables(&browser)["traffic"].len(), 168 + 1, "whole hours, and the one under way");
    assert_eq!(browser.console(), Vec::<String>::new());
}
