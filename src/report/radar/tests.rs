use super::*;
use crate::board::tests::board;
use crate::history::History;
use crate::history::sources::Row;
use crate::history::uniques::UniquesOfDays;
use crate::stats::counters::{QUERIES_BY_TYPE, QUERIES_DO, QUERIES_EDNS, RESPONSES};

/// 2023-11-15, a Wednesday, 12:00 UTC.
const NOW: u64 = 1_700_049_600;

/// A history in which, before [`NOW`], each of some hours has 4 queries: 3 over UDP and IPv4, for A, with
/// EDNS, one of them with DO, answered NXDOMAIN; 1 over TCP and IPv6, for a type without a name, refused.
fn stored(hours: u64) -> (History, Stored) {
    let board = board();
    let began = NOW - hours * 3600;
    let (mut history, _) = History::in_memory(&board.named.load().counted, 2, began - 30 * DAY).unwrap();
    // What the board has counted already is a month before.
    history.store(&board, &[], &UniquesOfDays::default(), began).unwrap();
    for hour in 0..hours {
        for (at, count) in [
            (QUERIES.at([0, 0, 0]), 3),
            (QUERIES.at([0, 1, 1]), 1),
            (QUERIES_BY_TYPE.at([0]), 2),
            (QUERIES_BY_TYPE.at([4]), 1),
            (QUERIES_BY_TYPE.at([29]), 1),
            (QUERIES_EDNS.at([0]), 3),
            (QUERIES_DO.at([]), 1),
            (RESPONSES.at([2]), 3),
            (RESPONSES.at([4]), 1),
        ] {
            board.shards[0].counters[0].add(at, count);
        }
        history.store(&board, &[], &UniquesOfDays::default(), began + (hour + 1) * 3600).unwrap();
    }
    let stored = history.reader().unwrap();
    (history, stored)
}

fn get(stored: &Stored, path: &str, query: &str) -> Value {
    let answer = answer(stored, &format!("{ROOT}{path}"), query, NOW);
    assert_eq!((answer.status, answer.content_type), (200, "application/json"), "{}", answer.body);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&document["success"], &document["errors"]), (&json!(true), &json!([])));
    document["result"].clone()
}

#[test]
fn summaries_are_shares_of_all_queries() {
    let (_history, stored) = stored(48);
    for (dimension, expected) in [
        ("DNSSEC", json!({"SUPPORTED": "25.000000", "NOT_SUPPORTED": "75.000000"})),
        ("edns", json!({"SUPPORTED": "75.000000", "NOT_SUPPORTED": "25.000000"})),
        ("IP_VERSION", json!({"IPv4": "75.000000", "IPv6": "25.000000"})),
        ("protocol", json!({"UDP": "75.000000", "TCP": "25.000000", "HTTPS": "0.000000", "TLS": "0.000000"})),
        ("QUERY_TYPE", json!({"A": "50.000000", "PTR": "25.000000", "other": "25.000000"})),
        ("response_codes", json!({"NXDOMAIN": "75.000000", "REFUSED": "25.000000"})),
        ("RESPONSE_CODE", json!({"NXDOMAIN": "75.000000", "REFUSED": "25.000000"})),
    ] {
        let result = get(&stored, &format!("summary/{dimension}"), "dateRange=2d");
        assert_eq!(result["summary_0"], expected, "{dimension}");
        let meta = &result["meta"];
        assert_eq!(meta["normalization"], "PERCENTAGE");
        let range = json!([{"startTime": "2023-11-13T12:00:00Z", "endTime": "2023-11-15T12:00:00Z"}]);
        assert_eq!((&meta["dateRange"], &meta["aggInterval"]), (&range, &json!(null)));
    }
    let nothing = get(&stored, "summary/IP_VERSION", "dateRange=1dcontrol");
    assert_eq!(nothing["summary_0"], json!({"IPv4": "0", "IPv6": "0"}));
}

#[test]
fn series_have_a_value_for_each_interval() {
    let (_history, stored) = stored(48);
    for (interval, meta, first, values, sum) in [
        ("15m", "FIFTEEN_MINUTES", "2023-11-13T12:00:00Z", 192, 192),
        ("1h", "ONE_HOUR", "2023-11-13T12:00:00Z", 48, 192),
        ("1d", "ONE_DAY", "2023-11-13T00:00:00Z", 3, 192),
        ("1w", "ONE_WEEK", "2023-11-13T00:00:00Z", 1, 192),
    ] {
        let result = get(&stored, "timeseries", &format!("dateRange=2d&aggInterval={interval}"));
        let serie = &result["serie_0"];
        assert_eq!((&result["meta"]["aggInterval"], &serie["timestamps"][0]), (&json!(meta), &json!(first)));
        let texts: Vec<&str> = serie["values"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
        assert_eq!(serie["timestamps"].as_array().unwrap().len(), values, "{interval}");
        assert_eq!(texts.len(), values);
        assert_eq!(texts.iter().map(|text| text.parse::<u64>().unwrap()).sum::<u64>(), sum, "{interval}");
    }
    let result = get(&stored, "timeseries", "dateStart=2023-11-15T10:00:00%2B01:00&dateEnd=2023-11-15T11:00");
    let hours = json!(["4", "0", "0", "0", "4", "0", "0", "0"]);
    assert_eq!(result["serie_0"]["values"], hours);
    let result = get(&stored, "timeseries_groups/ip_version", "dateRange=1d&aggInterval=1d&name=n");
    assert_eq!(
        result["n"],
        json!({
            "timestamps": ["2023-11-14T00:00:00Z", "2023-11-15T00:00:00Z"],
            "IPv4": ["75.000000", "75.000000"],
            "IPv6": ["25.000000", "25.000000"],
        })
    );
}

#[test]
fn ranges_may_be_compared_and_groups_limited() {
    let (_history, stored) = stored(8 * 24);
    let query = "dateRange=1d&dateRange=1dcontrol&name=now&name=before&aggInterval=1h";
    let result = get(&stored, "timeseries", query);
    assert_eq!(result["now"]["timestamps"][0], "2023-11-14T12:00:00Z");
    assert_eq!(result["before"]["timestamps"][0], "2023-11-07T12:00:00Z");
    assert_eq!(result["before"]["values"], result["now"]["values"]);
    assert_eq!(result["meta"]["dateRange"].as_array().unwrap().len(), 2);

    let counts = |count| Counts::from([(0, count), (900, 1)]);
    let groups = |names: &[(&str, u64)]| -> Vec<(String, Counts)> {
        names.iter().map(|&(name, count)| (name.to_owned(), counts(count))).collect()
    };
    let all = groups(&[("A", 3), ("B", 9), ("C", 1), ("other", 99)]);
    let shown: Vec<(String, u64)> =
        limited(all, Some(2)).into_iter().map(|(name, counts)| (name, counts[&0])).collect();
    assert_eq!(shown, [("B".to_owned(), 9), ("A".to_owned(), 3), ("other".to_owned(), 100)]);
    assert_eq!(limited(groups(&[("A", 3)]), Some(2)).len(), 1);
}

#[test]
fn an_answer_has_so_many_values_and_no_more() {
    let (_history, stored) = stored(1);
    let ask = |series: usize| {
        let query = vec!["dateRange=364d"; series].join("&") + "&aggInterval=1h";
        answer(&stored, &format!("{ROOT}timeseries_groups/QUERY_TYPE"), &query, NOW)
    };
    // The times of each series, and three groups.
    let fits = RADAR_VALUES_MAX / (4 * 364 * 24);
    assert_eq!(ask(fits).status, 200);
    let refused = ask(fits + 1);
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("a longer aggInterval"), "{}", refused.body);
}

#[test]
fn bad_parameters_get_a_sentence() {
    let (_history, stored) = stored(1);
    for (status, path, query, fragment) in [
        (404, "top/locations/dnssec/SUPPORTED", "", "does not count places by a dimension"),
        (400, "top/ases", "limit=0", "a number from 1 to 100"),
        (400, "top/ases", "aggInterval=1h", "leave aggInterval out"),
        (400, "summary/EDNS", "limit=2", "limit is for top"),
        (404, "summary/COUNTRY", "", "DNSSEC, EDNS, IP_VERSION"),
        (404, "summary", "", "summary/{dimension}"),
        (400, "timeseries", "aggInterval=5m", "use 15m, 1h, 1d or 1w"),
        (400, "timeseries", "aggInterval=15m&dateRange=52w", "before 35 days ago"),
        (400, "summary/EDNS", "aggInterval=1h", "leave aggInterval out"),
        (400, "timeseries", "dateRange=0d", "use 1d to 364d"),
        (400, "timeseries", "dateRange=99999999999999999999d", "use 1d to 364d"),
        (400, "timeseries", "dateRange=%C3%A9", "use 1d to 364d"),
        (400, "timeseries", "dateRange=1d&dateRange=2d", "equally long"),
        (400, "timeseries", "dateRange=1d&dateStart=2023-11-15&dateEnd=2023-11-16", "either dateRange"),
        (400, "timeseries", "dateStart=2023-11-15", "in equal numbers"),
        (400, "timeseries", "dateStart=now&dateEnd=now", "the form 2026-01-31T12:00:00Z"),
        (400, "timeseries", "dateStart=2023-13-45&dateEnd=2023-11-15", "the form 2026-01-31T12:00:00Z"),
        (400, "timeseries", "dateStart=2023-11-15&dateEnd=2023-11-14", "before dateEnd"),
        (400, "timeseries", "dateStart=1999-11-15&dateEnd=2023-11-14", "10 years"),
        (400, "timeseries", "name=a&name=b", "each of the 1 series"),
        (400, "timeseries", "name=meta", "not meta"),
        (400, "timeseries", "name=a%2Cb", "letters, digits"),
        (400, "timeseries", "limitPerGroup=3", "for QUERY_TYPE and RESPONSE_CODE"),
        (400, "summary/QUERY_TYPE", "limitPerGroup=1", "at least 2"),
        (400, "timeseries", "format=XML", "JSON or CSV"),
        (400, "timeseries", "location=PT", "leave location out"),
        (400, "timeseries", "colour=red", "Unknown parameter"),
        (400, "timeseries", "format=%4", "two hexadecimal digits"),
        (400, "timeseries", &"dateRange=1d&".repeat(9), "at most 8"),
    ] {
        let answer = answer(&stored, &format!("{ROOT}{path}"), query, NOW);
        assert_eq!(answer.status, status, "{path}?{query}: {}", answer.body);
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&document["success"], &document["result"]), (&json!(false), &json!(null)));
        let sentence = document["errors"][0]["message"].as_str().unwrap();
        assert!(sentence.contains(fragment), "{path}?{query}: {sentence}");
    }
}

#[test]
fn the_interval_suits_the_range() {
    let chosen = |days| {
        let range = Range { start: NOW - days * DAY, end: NOW };
        Interval::choose(None, &[range], NOW).unwrap().written
    };
    assert_eq!(
        [1, 2, 3, 35, 36, 364, 732, 3000].map(chosen),
        ["15m", "15m", "1h", "1h", "1d", "1d", "1d", "1w"]
    );
    // A day of a year ago is known by the hour alone.
    let range = Range { start: NOW - 365 * DAY, end: NOW - 364 * DAY };
    assert_eq!(Interval::choose(None, &[range], NOW).unwrap().written, "1h");
}

#[test]
fn tables_have_a_column_for_each_name() {
    let (_history, stored) = stored(2);
    let get = |path: &str, query: &str| {
        let answer = answer(&stored, &format!("{ROOT}{path}"), query, NOW);
        assert_eq!((answer.status, answer.content_type), (200, "text/csv; charset=utf-8"));
        answer.body
    };
    assert_eq!(
        get("summary/IP_VERSION", "format=CSV&dateRange=1d"),
        "summary_0.IPv4,summary_0.IPv6\r\n75.000000,25.000000\r\n"
    );
    let table =
        get("timeseries", "format=csv&dateStart=2023-11-15T10:00Z&dateEnd=2023-11-15T12:00Z&aggInterval=1h");
    assert_eq!(
        table,
        "serie_0.timestamps,serie_0.values\r\n2023-11-15T10:00:00Z,4\r\n2023-11-15T11:00:00Z,4\r\n"
    );
}

#[test]
fn the_largest_places_come_first() {
    let board = board();
    let (mut history, _) = History::in_memory(&board.named.load().counted, 2, NOW - 3600).unwrap();
    let row = |family, value: &str, name, count| Row { family, value: value.to_owned(), name, count };
    let rows = [
        row(&sources::BY_COUNTRY, "NO", Some("Norway"), 100),
        row(&sources::BY_COUNTRY, "PT", Some("Portugal"), 200),
        row(&sources::BY_COUNTRY, "unknown", None, 600),
        row(&sources::BY_COUNTRY, "other", None, 100),
        row(&sources::BY_AS, "64500", Some("Example, \"Inc.\""), 10),
        row(&sources::BY_AS, "64501", None, 10),
    ];
    history.store(&board, &rows, &UniquesOfDays::default(), NOW - 1800).unwrap();
    let stored = history.reader().unwrap();
    let get = |path: &str, query: &str| answer(&stored, &format!("{ROOT}top/{path}"), query, NOW).body;
    let document: Value = serde_json::from_str(&get("locations", "dateRange=1d")).unwrap();
    assert_eq!(
        document["result"]["top_0"],
        json!([
            {"clientCountryAlpha2": "PT", "clientCountryName": "Portugal", "value": "20.000000"},
            {"clientCountryAlpha2": "NO", "clientCountryName": "Norway", "value": "10.000000"},
        ])
    );
    assert_eq!(document["result"]["meta"]["normalization"], "PERCENTAGE");
    let document: Value = serde_json::from_str(&get("ases", "dateRange=1d&limit=1&name=a")).unwrap();
    assert_eq!(document["result"]["a"].as_array().unwrap().len(), 1);
    assert_eq!(
        get("ases", "dateRange=1d&format=CSV"),
        "top_0.clientASN,top_0.clientASName,top_0.value\r\n64500,\"Example, \"\"Inc.\"\"\",50.000000\r\n\
         64501,64501,50.000000\r\n"
    );
    // Without a sample there is no place.
    let document: Value = serde_json::from_str(&get("locations", "dateRange=7dcontrol")).unwrap();
    assert_eq!(document["result"]["top_0"], json!([]));
}
