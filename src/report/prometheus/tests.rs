use super::*;
use crate::board::tests::board;
use crate::board::work::tests::board_with_workers;

fn rendered(format: Format) -> String {
    let board = board();
    let mut reading = board.read();
    reading.host = [[Some(1), Some(2)], [None, None], [None, None], [None, None], [Some(3), None]];
    let some = Some(1.0);
    reading.process = [Some(1.25), Some(12_345_678.0), None, None, some, some, some];
    render(&reading, format)
}

#[test]
fn text_is_as_expected() {
    let text = rendered(Format::Text);
    for part in [
        "# HELP as112_build_info Version and architecture of as112d.\n# TYPE as112_build_info gauge\n\
         as112_build_info{version=\"1.2.3\",",
        "as112_datapath_info{datapath=\"mmsg\",reason=\"no \\\"ring\\\"\\nhere\"} 1\n",
        "# TYPE as112_start_time_seconds gauge\nas112_start_time_seconds 1700000000.5\n",
        "as112_ready 1\n",
        "# TYPE as112_tcp_connections gauge\nas112_tcp_connections 3\n",
        "# TYPE as112_export_errors_total counter\nas112_export_errors_total{export=\"dsc\"} 0\n",
        "# TYPE as112_queries_total counter\n\
         as112_queries_total{service=\"direct\",transport=\"udp\",family=\"ipv4\"} 4\n",
        "as112_queries_total{service=\"direct\",transport=\"tcp\",family=\"ipv6\"} 4\n",
        "as112_queries_by_zone_total{zone=\"10.in-addr.arpa\"} 2\n\
         as112_queries_by_zone_total{zone=\"other\"} 1\n# ",
        "# TYPE as112_queries_do_total counter\nas112_queries_do_total 0\n",
        "as112_shard_datagrams_total{shard=\"0\",cpu=\"7\",numa=\"1\"} 3\n\
         as112_shard_datagrams_total{shard=\"1\",cpu=\"any\",numa=\"any\"} 0\n",
        "# TYPE as112_shard_busy_seconds_total counter\n\
         as112_shard_busy_seconds_total{shard=\"0\",cpu=\"7\",numa=\"1\"} 1.5\n",
        "# TYPE process_resident_memory_bytes gauge\n\
         process_resident_memory_bytes 12345678\n# HELP process_open_fds ",
        "process_cpu_seconds_total 1.25\n# HELP process_resident_memory_bytes ",
        "as112_udp_in_errors_total{family=\"ipv4\"} 1\n\
         as112_udp_in_errors_total{family=\"ipv6\"} 2\n",
        "as112_socket_drops_total{shard=\"0\",cpu=\"7\",numa=\"1\",address=\"[::1]:53\"} 0\n",
    ] {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
    assert!(!text.contains("# EOF") && !text.contains("# UNIT") && !text.contains("nanoseconds"));
}

#[test]
fn histograms_are_cumulative_with_whole_bounds() {
    let text = rendered(Format::Text);
    let buckets: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("as112_query_size_bytes_bucket{transport=\"udp\",le=\""))
        .map(|rest| rest.split_once("\"} ").unwrap())
        .collect();
    assert_eq!(buckets.len(), 31 + 3 + 1);
    assert_eq!(buckets[..3], [("15.0", "0"), ("31.0", "0"), ("47.0", "2")]);
    assert_eq!(
        buckets[30..],
        [("495.0", "2"), ("511.0", "2"), ("1023.0", "2"), ("2047.0", "2"), ("+Inf", "3")]
    );
    assert!(text.contains("as112_query_size_bytes_sum{transport=\"udp\"} 2128\n"));
    assert!(text.contains("as112_query_size_bytes_count{transport=\"udp\"} 3\n"));
    assert!(text.contains("as112_response_size_bytes_bucket{transport=\"tcp\",le=\"4095.0\"} 0\n"));
}

#[test]
fn what_rules_and_workers_do_is_there_where_there_are_any() {
    let board = board_with_workers();
    let text = render(&board.read(), Format::Text);
    for part in [
        "# TYPE as112_upstream_state gauge\nas112_upstream_state{server=\"lan/192.0.2.53:53\"} 0\n\
         as112_upstream_state{server=\"lan/[2001:db8::53]:53\"} 2\n",
        "# TYPE as112_upstream_srtt_seconds gauge\n\
         as112_upstream_srtt_seconds{server=\"lan/192.0.2.53:53\"} 0.0015\n# HELP",
        "as112_upstream_in_flight{server=\"lan/192.0.2.53:53\"} 3\n",
        "# TYPE as112_app_state gauge\nas112_app_state{app=\"filter\"} 3\n# HELP",
        "as112_app_memory_bytes{app=\"filter\"} 131072\n",
        "as112_app_held_queries{app=\"filter\"} 4\n",
        "as112_app_verdicts_total{app=\"filter\",verdict=\"fail\"} 2\n",
        "as112_app_metric_total{app=\"filter\",metric=\"blocked_total\"} 3\n",
        "# TYPE as112_guest_cpu_seconds_total counter\nas112_guest_cpu_seconds_total{app=\"none\"} 0\n\
         as112_guest_cpu_seconds_total{app=\"filter\"} 0.0025\n",
        "\nas112_worker_tasks 5\n",
        "# TYPE as112_resolver_up gauge\nas112_resolver_up 0\n",
        "# TYPE as112_resolver_starts_total counter\nas112_resolver_starts_total 3\n",
        "\nas112_cache_entries 7\n",
        "\nas112_cache_bytes 1000\n",
        "# TYPE as112_rule_hits_total counter\nas112_rule_hits_total{rule=\"none\"} 0\n\
         as112_rule_hits_total{rule=\"lan\"} 9\nas112_rule_hits_total{rule=\"no-\\\"quotes\\\"\"} 0\n# ",
        "as112_work_refused_total{route=\"lan\",reason=\"pool\"} 2\n",
        "as112_upstream_queries_total{server=\"lan/192.0.2.53:53\",outcome=\"answered\"} 4\n",
        "# TYPE as112_upstream_seconds histogram\n\
         as112_upstream_seconds_bucket{server=\"lan/192.0.2.53:53\",le=\"0.000064\"} 0\n\
         as112_upstream_seconds_bucket{server=\"lan/192.0.2.53:53\",le=\"0.000128\"} 3\n",
        "as112_upstream_seconds_bucket{server=\"lan/192.0.2.53:53\",le=\"+Inf\"} 4\n\
         as112_upstream_seconds_sum{server=\"lan/192.0.2.53:53\"} 5.0003\n\
         as112_upstream_seconds_count{server=\"lan/192.0.2.53:53\"} 4\n",
        "as112_cache_lookups_total{result=\"fresh\"} 6\n",
        "as112_responses_total{rcode=\"SERVFAIL\"} 7\n",
    ] {
        assert!(text.contains(part), "{part}\n---\n{text}");
    }
    assert_eq!(text.matches("as112_upstream_seconds_bucket").count(), 2 * 16, "no other server has any");
    let without = rendered(Format::Text);
    for part in ["rule", "upstream", "worker", "cache_", "coalesced", "SERVFAIL", "as112_resolver", "divert"]
    {
        assert!(!without.contains(part), "{part}");
    }
}

#[test]
fn open_metrics_has_the_same_samples_and_its_own_comments() {
    let samples = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let (text, open) = (rendered(Format::Text), rendered(Format::OpenMetrics));
    assert_eq!(samples(&text), samples(&open));
    assert!(open.ends_with("\n# EOF\n"));
    for part in [
        "# TYPE as112_queries counter\n",
        "# TYPE as112_build info\n",
        "# TYPE as112_query_size_bytes histogram\n# UNIT as112_query_size_bytes bytes\n",
        "# TYPE as112_shard_busy_seconds counter\n# UNIT as112_shard_busy_seconds seconds\n",
    ] {
        assert!(open.contains(part), "{part}\n---\n{open}");
    }
}

#[test]
fn the_accept_header_decides() {
    for (accept, format) in [
        ("", Format::Text),
        ("*/*", Format::Text),
        ("text/plain;version=0.0.4", Format::Text),
        ("application/openmetrics-text", Format::OpenMetrics),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
            Format::OpenMetrics,
        ),
        ("text/plain, application/openmetrics-text; version=1.0.0; q=0.5", Format::Text),
        ("application/openmetrics-text;version=2.0.0", Format::Text),
        ("application/openmetrics-text;q=0", Format::Text),
    ] {
        assert_eq!(Format::negotiated(accept), format, "{accept}");
    }
}
