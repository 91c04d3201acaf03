use rusqlite::params;

use super::*;
use crate::board::Named;
use crate::board::tests::board;
use crate::history::sources::{BY_AS, BY_COUNTRY, BY_NETWORK};
use crate::history::uniques::UniquesOfDays;
use crate::history::{DAY, History};
use crate::limits::{DSC_CELLS_MAX, DSC_FILES_MAX, RSSAC002_DAYS_PER_MINUTE_MAX};
use crate::stats::counters::{
    QUERIES, QUERIES_BY_OPCODE, QUERIES_BY_TYPE, QUERIES_DO, QUERIES_EDNS, QUERY_SIZES, REPLY_SIZES,
    RESPONSES, RESPONSES_BY_TRANSPORT,
};

use crate::stats::labels::{RCODE, rcode_value};

/// 2023-11-14, 00:00 UTC.
const MIDNIGHT: u64 = 1_699_920_000;

/// A shard counts 7 queries: 4 over UDP and IPv4, 2 over UDP and IPv6, 1 over TCP and IPv4.
fn count(board: &Board) {
    for (at, count) in [
        (QUERIES.at([0, 0, 0]), 3),
        (QUERIES.at([4, 0, 0]), 1),
        (QUERIES.at([1, 0, 1]), 2),
        (QUERIES.at([0, 1, 0]), 1),
        (QUERIES_BY_TYPE.at([4]), 5),
        (QUERIES_BY_TYPE.at([29]), 2),
        (QUERIES_BY_OPCODE.at([0]), 6),
        (QUERIES_BY_OPCODE.at([5]), 1),
        (QUERIES_EDNS.at([0]), 3),
        (QUERIES_EDNS.at([1]), 1),
        (QUERIES_DO.at([]), 2),
        (QUERY_SIZES.at([0, 2]), 5),
        (QUERY_SIZES.at([0, 128]), 1),
        (QUERY_SIZES.at([1, 3]), 1),
        (REPLY_SIZES.at([0, 7]), 4),
        (REPLY_SIZES.at([0, 10]), 1),
        (RESPONSES.at([2]), 4),
        (RESPONSES.at([7]), 1),
        (RESPONSES.at([rcode_value(2)]), 3),
        (RESPONSES.at([RCODE.len - 1]), 5),
        (RESPONSES_BY_TRANSPORT.at([0, 0]), 3),
        (RESPONSES_BY_TRANSPORT.at([0, 1]), 2),
    ] {
        board.shards[0].counters[0].add(at, count);
    }
}

/// A node that has counted nothing yet when it starts, a minute before `now`.
fn node(settings: &Settings, now: u64) -> (Board, History, Exports) {
    let mut board = board();
    board.shards.iter_mut().for_each(|block| block.counters = vec![Default::default()]);
    board.tcp.counters = vec![Default::default()];
    board.exports = settings.statuses();
    let (history, _) = History::in_memory(&board.named.load().counted, 2, now - 60).unwrap();
    let stored = history.reader().unwrap();
    // Tests write what others store.
    stored.connection().pragma_update(None, "query_only", false).unwrap();
    let exports = Exports::open(settings, stored, &board, now - 60);
    (board, history, exports)
}

fn store(history: &mut History, board: &Board, now: u64) {
    history.trust(now);
    history.store(board, &[], &UniquesOfDays::default(), now).unwrap();
}

fn rssac002(dir: &Path) -> Settings {
    Settings { rssac002: Some(dir.to_owned()), ..Settings::default() }
}

fn dsc(dir: &Path, format: dsc::Format) -> Settings {
    Settings { dsc: Some(dir.to_owned()), dsc_format: format, ..Settings::default() }
}

/// Where the node of the tests has its DSC files.
fn of_node(dir: &Path) -> PathBuf {
    dir.join("node-1")
}

fn errors(board: &Board) -> u64 {
    board.exports[0].1.errors()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

//------------ RSSAC002 ---

const DOCUMENTS: [(&str, &str); 4] = [
    (
        "traffic-volume",
        "dns-udp-queries-received-ipv4: 4\ndns-udp-queries-received-ipv6: 2\n\
         dns-tcp-queries-received-ipv4: 1\ndns-tcp-queries-received-ipv6: 0\n\
         dns-udp-responses-sent-ipv4: 3\ndns-udp-responses-sent-ipv6: 2\n\
         dns-tcp-responses-sent-ipv4: 0\ndns-tcp-responses-sent-ipv6: 0\n",
    ),
    ("rcode-volume", "2: 3\n3: 4\n16: 1\n"),
    (
        "traffic-sizes",
        "udp-request-sizes:\n  32-47: 5\n  2048-: 1\nudp-response-sizes:\n  112-127: 4\n  160-175: 1\n\
         tcp-request-sizes:\n  48-63: 1\ntcp-response-sizes: {}\n",
    ),
    ("unique-sources", "num-sources-ipv4: 12\nnum-sources-ipv6: 0\nnum-sources-ipv6-aggregate: 3\n"),
];

fn document(date: &str, (metric, body): (&str, &str)) -> String {
    format!(
        "---\nversion: rssac002v3\nservice: \"node-1\"\nstart-period: {date}T00:00:00Z\n\
         metric: {metric}\n{body}"
    )
}

fn put_uniques(exports: &Exports, day: u64) {
    for (kind, sources) in [("ipv4", 12), ("ipv6_64", 3)] {
        let insert = "INSERT INTO uniques (day, kind, sources) VALUES (?, ?, ?)";
        exports.stored.connection().execute(insert, params![day, kind, sources]).unwrap();
    }
}

#[test]
fn a_day_that_is_over_has_its_four_files() {
    let folder = tempfile::tempdir().unwrap();
    let (board, mut history, mut exports) = node(&rssac002(folder.path()), MIDNIGHT + DAY);
    count(&board);
    store(&mut history, &board, MIDNIGHT + DAY);
    put_uniques(&exports, MIDNIGHT);
    // Sources of its last second may still be missing.
    exports.minute(&board, MIDNIGHT + DAY + 59, MIDNIGHT + DAY + 59);
    assert_eq!(files(folder.path()), [""; 0]);
    exports.minute(&board, MIDNIGHT + DAY + 60, MIDNIGHT + DAY + 60);
    assert_eq!((errors(&board), board.exports[0].1.last_error()), (0, None));
    for (metric, body) in DOCUMENTS {
        let path = folder.path().join(format!("2023/11/{metric}/node-1-20231114-{metric}.yaml"));
        let found = fs::read_to_string(&path).unwrap();
        assert_eq!(found, document("2023-11-14", (metric, body)));
        assert_eq!(files(path.parent().unwrap()).len(), 1, "nothing else is left");
    }
}

#[test]
fn days_that_were_missed_are_written_and_files_that_are_there_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = rssac002(folder.path());
    // Days of 40, 39 and 3 days ago; of the first two the history has but quarters of an hour and days.
    let now = MIDNIGHT + 40 * DAY + 60;
    let (board, mut history, exports) = node(&settings, MIDNIGHT + 60);
    for day in [0, 1, 37] {
        store(&mut history, &board, MIDNIGHT + day * DAY + 60);
        count(&board);
        store(&mut history, &board, MIDNIGHT + day * DAY + 120);
    }
    store(&mut history, &board, now);
    let theirs = folder.path().join("2023/11/rcode-volume/node-1-20231115-rcode-volume.yaml");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "mended by hand\n").unwrap();
    let mut exports = Exports::open(&settings, exports.stored, &board, now);
    exports.minute(&board, now, now);
    assert_eq!(errors(&board), 0);
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "mended by hand\n");
    assert_eq!(
        files(&folder.path().join("2023/11/traffic-volume")),
        ["node-1-20231114-traffic-volume.yaml", "node-1-20231115-traffic-volume.yaml"]
    );
    assert_eq!(files(&folder.path().join("2023/12/traffic-sizes")), ["node-1-20231221-traffic-sizes.yaml"]);
    let path = folder.path().join("2023/11/traffic-volume/node-1-20231114-traffic-volume.yaml");
    assert_eq!(fs::read_to_string(path).unwrap(), document("2023-11-14", DOCUMENTS[0]));
    // Nobody has looked at sources: that is not 0.
    assert_eq!(files(&folder.path().join("2023/12")), ["rcode-volume", "traffic-sizes", "traffic-volume"]);
}

#[test]
fn one_minute_writes_so_many_days_and_the_next_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let days = RSSAC002_DAYS_PER_MINUTE_MAX + 2;
    let now = MIDNIGHT + days * DAY + 60;
    let (board, mut history, mut exports) = node(&rssac002(folder.path()), MIDNIGHT + 60);
    for day in 0..days {
        store(&mut history, &board, MIDNIGHT + day * DAY + 60);
        count(&board);
        store(&mut history, &board, MIDNIGHT + day * DAY + 120);
    }
    let written = || {
        let months = ["2023/11", "2023/12"].map(|month| folder.path().join(month).join("rcode-volume"));
        months.iter().map(|month| files(month).len() as u64).sum::<u64>()
    };
    exports.minute(&board, now, now);
    assert_eq!(written(), RSSAC002_DAYS_PER_MINUTE_MAX);
    exports.minute(&board, now, now + 60);
    assert_eq!(written(), days);
}

#[test]
fn what_cannot_be_written_is_counted_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (rssac, minutes) = (folder.path().join("rssac"), folder.path().join("dsc"));
    fs::write(&rssac, "a file, where a folder should be").unwrap();
    let settings =
        Settings { rssac002: Some(rssac.clone()), dsc: Some(minutes.clone()), dsc_format: dsc::Format::Xml };
    let now = MIDNIGHT + DAY + 60;
    let (board, mut history, mut exports) = node(&settings, MIDNIGHT + DAY);
    count(&board);
    store(&mut history, &board, MIDNIGHT + DAY);
    for minute in 0..3 {
        exports.minute(&board, now, now + minute * 60);
        assert_eq!(errors(&board), minute + 1);
        assert_eq!(files(&of_node(&minutes)).len() as u64, minute + 1, "the other export goes on");
    }
    let error = board.exports[0].1.last_error().unwrap();
    assert!(error.contains("/rssac/2023/11/traffic-volume/node-1-20231114") && error.contains("irectory"));
    fs::remove_file(&rssac).unwrap();
    exports.minute(&board, now, now + 180);
    assert_eq!((errors(&board), board.exports[1].1.errors()), (3, 0));
    assert_eq!(files(&rssac.join("2023/11")).len(), 3);
}

#[test]
fn a_day_is_served_over_http_once_it_is_over() {
    let (board, mut history, exports) = node(&Settings::default(), MIDNIGHT + 60);
    count(&board);
    store(&mut history, &board, MIDNIGHT + 60);
    put_uniques(&exports, MIDNIGHT);
    let get = |path: &str, now| {
        let answer = rssac002::answer(&exports.stored, "node-1", &format!("/rssac002/{path}"), now);
        (answer.status, answer.content_type, answer.body)
    };
    let whole = DOCUMENTS.map(|of_metric| document("2023-11-14", of_metric)).concat();
    let over = MIDNIGHT + DAY + 60;
    assert_eq!(get("2023-11-14.yaml", over), (200, "application/yaml", whole));
    for (path, now, sentence) in [
        ("2023-11-14.yaml", over - 1, "not over"),
        ("2023-11-13.yaml", over, "No data for that day"),
        ("2023-02-30.yaml", over, "Not a day; use the form"),
        ("2023-11-14T00:00.yaml", over, "Not a day"),
        ("2023-11-14", over, "Not a day"),
        ("now.yaml", over, "Not a day"),
        ("-4714-11-24.yaml", over, "Not a day"),
        ("../metrics", over, "Not a day"),
        ("99999999999.yaml", over, "Not a day"),
        ("", over, "Not a day"),
    ] {
        let (status, content_type, body) = get(path, now);
        assert_eq!((status, content_type), (404, "text/plain; charset=utf-8"), "{path}");
        assert!(body.contains(sentence), "{path}: {body}");
    }
}

#[test]
fn names_of_nodes_are_safe_in_paths_and_documents() {
    assert_eq!(file_name("as112-1.example.net"), "as112-1.example.net");
    assert_eq!(file_name("../a b/ü"), "-a-b--");
    assert_eq!(file_name(".."), "node", "it is a directory, too");
    let (board, mut history, _) = node(&Settings::default(), MIDNIGHT + 60);
    let mut named = Named::clone(&board.named.load());
    named.node = "a: \"b\" # é".to_owned();
    board.named.store(named.into());
    count(&board);
    store(&mut history, &board, MIDNIGHT + 60);
    let stored = history.reader().unwrap();
    let answer =
        rssac002::answer(&stored, &board.named.load().node, "/rssac002/2023-11-14.yaml", MIDNIGHT + DAY + 60);
    assert!(answer.body.contains("\nservice: \"a: \\\"b\\\" # é\"\n"), "{}", answer.body);
}

//------------ DSC ---

fn put_sources(exports: &Exports, start: u64, of_sources: &[(&str, &str, &str, u64)]) {
    let db = exports.stored.connection();
    for (family, label, value, count) in of_sources {
        let labels = format!("{{\"{label}\":\"{value}\"}}");
        let series = "INSERT OR IGNORE INTO series (family, labels) VALUES (?, ?)";
        db.execute(series, params![family, labels]).unwrap();
        let counts = "INSERT INTO counts SELECT 60, ?, id, ? FROM series WHERE family = ? AND labels = ?
                      ON CONFLICT DO UPDATE SET count = count + excluded.count";
        db.execute(counts, params![start, count, family, labels]).unwrap();
    }
}

const NETWORK: &str = BY_NETWORK.name;

#[test]
fn a_minute_has_a_file_of_what_moved_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (board, _history, mut exports) = node(&dsc(folder.path(), dsc::Format::Xml), MIDNIGHT + 60);
    count(&board);
    // Estimated, and in part from before the start of the program.
    put_sources(&exports, MIDNIGHT - 60, &[(NETWORK, "network", "198.51.100.0/24", 640)]);
    put_sources(
        &exports,
        MIDNIGHT,
        &[
            (NETWORK, "network", "192.0.2.0/24", 64),
            (NETWORK, "network", "2001:db8::/48", 128),
            (NETWORK, "network", "other", 320),
            (BY_COUNTRY.name, "country", "DE", 64),
            (BY_COUNTRY.name, "country", "<&>", 1),
            (BY_AS.name, "as", "3320", 192),
        ],
    );
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 60);
    assert_eq!(
        (errors(&board), files(&of_node(folder.path()))),
        (0, vec!["1699920060.dscdata.xml".to_owned()])
    );
    let found = fs::read_to_string(of_node(folder.path()).join("1699920060.dscdata.xml")).unwrap();
    assert_eq!(found, include_str!("tests/minute.dscdata.xml"));
    // Nothing moved; then the minute's sources did once more.
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 70);
    let quiet = fs::read_to_string(of_node(folder.path()).join("1699920070.dscdata.xml")).unwrap();
    assert!(!quiet.contains("count=") && !quiet.contains("client_subnet"), "{quiet}");
    put_sources(&exports, MIDNIGHT + 60, &[(NETWORK, "network", "192.0.2.0/24", 64)]);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 80);
    put_sources(&exports, MIDNIGHT + 60, &[(NETWORK, "network", "192.0.2.0/24", 128)]);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 120);
    for (stop, expected) in [(80, 64), (120, 128)] {
        let name = format!("{}.dscdata.xml", MIDNIGHT + stop);
        let found = fs::read_to_string(of_node(folder.path()).join(name)).unwrap();
        assert!(found.contains(&format!("val=\"192.0.2.0\" count=\"{expected}\"")), "{found}");
    }
}

#[test]
fn json_has_the_same_as_xml() {
    let folder = tempfile::tempdir().unwrap();
    let (board, _history, mut exports) = node(&dsc(folder.path(), dsc::Format::Json), MIDNIGHT + 60);
    count(&board);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 60);
    let text = fs::read_to_string(of_node(folder.path()).join("1699920060.dscdata.json")).unwrap();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let names: Vec<&str> =
        found.as_array().unwrap().iter().map(|array| array["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["qtype", "rcode", "opcode", "edns_version", "do_bit", "dns_ip_version", "direction_vs_ipproto"]
    );
    let expected = serde_json::json!({
        "name": "rcode", "start_time": MIDNIGHT, "stop_time": MIDNIGHT + 60, "dimensions": ["All", "Rcode"],
        "data": [{"All": "ALL", "Rcode": [
            {"val": "3", "count": 4}, {"val": "2", "count": 3}, {"val": "16", "count": 1},
            {"val": "-:SKIPPED:-", "count": 1}, {"val": "-:SKIPPED_SUM:-", "count": 5},
        ]}],
    });
    assert_eq!(found[1], expected);
}

#[test]
fn no_time_is_lost_to_a_failure_or_to_a_clock() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dsc");
    fs::write(&dir, "in the way").unwrap();
    let (board, _history, mut exports) = node(&dsc(&dir, dsc::Format::Xml), MIDNIGHT + 60);
    count(&board);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 60);
    assert_eq!(errors(&board), 1);
    fs::remove_file(&dir).unwrap();
    count(&board);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 120);
    let found = fs::read_to_string(of_node(&dir).join("1699920120.dscdata.xml")).unwrap();
    assert!(found.contains("start_time=\"1699920000\" stop_time=\"1699920120\""), "{found}");
    assert!(found.contains("<Qtype val=\"12\" count=\"10\"/>"), "{found}");
    // The clock goes back by an hour.
    count(&board);
    exports.minute(&board, MIDNIGHT, MIDNIGHT - 3480);
    assert_eq!(files(&of_node(&dir)).len(), 1);
    exports.minute(&board, MIDNIGHT, MIDNIGHT - 3420);
    let found = fs::read_to_string(of_node(&dir).join("1699916580.dscdata.xml")).unwrap();
    assert!(
        found.contains("start_time=\"1699916520\"") && found.contains("val=\"12\" count=\"5\""),
        "{found}"
    );
    // A minute of no time writes nothing over that, and what was counted since is for the next one.
    count(&board);
    exports.minute(&board, MIDNIGHT, MIDNIGHT - 3420);
    assert_eq!(fs::read_to_string(of_node(&dir).join("1699916580.dscdata.xml")).unwrap(), found);
    exports.minute(&board, MIDNIGHT, MIDNIGHT - 3360);
    let found = fs::read_to_string(of_node(&dir).join("1699916640.dscdata.xml")).unwrap();
    assert!(
        found.contains("start_time=\"1699916580\"") && found.contains("val=\"12\" count=\"5\""),
        "{found}"
    );
}

#[test]
fn the_oldest_files_go_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (board, _history, mut exports) = node(&dsc(folder.path(), dsc::Format::Xml), MIDNIGHT + 60);
    fs::create_dir(of_node(folder.path())).unwrap();
    // What another node has is no matter of this one.
    let other = folder.path().join("node-2");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("1.dscdata.xml"), "").unwrap();
    for age in 1..=DSC_FILES_MAX as u64 + 1 {
        let suffix = if age % 2 == 0 { "xml" } else { "json" };
        fs::write(of_node(folder.path()).join(format!("{}.dscdata.{suffix}", MIDNIGHT - age)), "").unwrap();
    }
    let others = ["1.dscdata.xml.gz", "a.dscdata.xml", "1.xml"];
    others.iter().for_each(|name| fs::write(of_node(folder.path()).join(name), "").unwrap());
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 60);
    assert_eq!(errors(&board), 0);
    let there = files(&of_node(folder.path()));
    assert_eq!(there.len(), DSC_FILES_MAX + others.len());
    assert!(others.iter().all(|name| there.contains(&(*name).to_owned())));
    assert_eq!(files(&other), ["1.dscdata.xml"]);
    let oldest = there.iter().find(|name| name.starts_with("1699")).unwrap();
    assert_eq!(*oldest, format!("{}.dscdata.json", MIDNIGHT - DSC_FILES_MAX as u64 + 1));
}

#[test]
fn the_largest_values_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (board, _history, mut exports) = node(&dsc(folder.path(), dsc::Format::Xml), MIDNIGHT + 60);
    let networks: Vec<String> =
        (0..DSC_CELLS_MAX + 2).map(|n| format!("10.{}.{}.0/24", n / 256, n % 256)).collect();
    let counts: Vec<(&str, &str, &str, u64)> = networks
        .iter()
        .enumerate()
        .map(|(n, network)| (NETWORK, "network", network.as_str(), if n < 2 { 3 } else { 10 }))
        .collect();
    put_sources(&exports, MIDNIGHT, &counts);
    exports.minute(&board, MIDNIGHT, MIDNIGHT + 60);
    let found = fs::read_to_string(of_node(folder.path()).join("1699920060.dscdata.xml")).unwrap();
    assert_eq!(found.matches("<ClientSubnet val=\"10.").count(), DSC_CELLS_MAX);
    let skipped = "      <ClientSubnet val=\"-:SKIPPED:-\" count=\"2\"/>\n      \
                   <ClientSubnet val=\"-:SKIPPED_SUM:-\" count=\"6\"/>\n    </All>";
    assert!(found.contains(skipped), "{found}");
}

//------------ Folders ---

#[test]
fn a_folder_is_checked_without_making_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    assert_eq!(check_folder(folder.path()), Ok(()));
    assert_eq!(check_folder(&path("a/b/c")), Ok(()));
    assert_eq!(files(folder.path()), [""; 0]);
    assert_eq!(check_folder(Path::new("no-such-folder-here")), Ok(()));
    fs::write(path("file"), "").unwrap();
    let error = check_folder(&path("file/below")).unwrap_err();
    assert!(error.starts_with("it does not exist and cannot be created in ") && error.contains("irectory"));
    assert!(check_folder(Path::new("/proc")).is_err());
}
