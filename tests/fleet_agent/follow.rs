//! Nodes that follow a hub, that start without it, and that lose it for a while.

use std::time::{Duration, Instant};

use as112d_fleet::carry::Access;

use crate::common::daemon::wait_until;
use crate::common::hub::Hub;
use crate::publisher::token;
use crate::site::{Publisher, Site};

/// Nodes of this publisher, with their agents.
fn nodes(count: usize, source: &str, publisher: &Publisher) -> Vec<Site> {
    let fleet = format!("{}\nsource = '{source}'", publisher.keys());
    let start = |number| {
        let mut site = Site::new(&format!("ams{number}"), &fleet);
        site.serve();
        site.follow();
        site
    };
    (1..=count).map(start).collect()
}

#[test]
fn real_nodes_follow_within_a_second_and_leave_nothing_at_the_hub() {
    let hub = Hub::start("");
    let publisher = Publisher::new(&hub.url(), &Access::default());
    let first = token();
    publisher.publish(1, &first);
    let sites = nodes(3, &hub.url(), &publisher);
    sites.iter().for_each(|site| _ = site.answers(&first));
    let mut took = Vec::new();
    let mut last = first;
    for number in 2..=6 {
        let new = token();
        let release = publisher.release(number, &crate::site::saying(&new));
        let began = Instant::now();
        publisher.want(number, &release);
        for site in &sites {
            // Never anything but the old one or the new one.
            loop {
                match site.answer() {
                    Some(answer) if answer == new => break,
                    Some(answer) if answer == last => {}
                    other => panic!("{} answers {other:?}", site.name),
                }
                assert!(began.elapsed() < Duration::from_secs(10), "{}:\n{}", site.name, site.said());
            }
        }
        took.push(began.elapsed());
        last = new;
    }
    took.sort();
    eprintln!("report: {} nodes followed in {took:?}", sites.len());
    assert!(took[took.len() / 2] < Duration::from_secs(2), "{took:?}");
    assert_eq!(hub.consumers(), 0, "no consumer of a node");
    let reported = |site: &Site| {
        let report = publisher.report(&site.name).unwrap_or_default();
        let has = report["has"].as_str().unwrap_or_default();
        has.starts_with("6-") && report["serves"] == report["has"] && report["verdict"] == "settled"
    };
    wait_until("all have reported", || sites.iter().all(reported));
    sites.iter().for_each(|site| crate::site::check_folder(&site.at("")));
}

#[test]
fn nodes_start_without_the_network_and_follow_when_it_is_there() {
    let mut hub = Hub::start("");
    let mut publisher = Publisher::new(&hub.url(), &Access::default());
    let (old, new) = (token(), token());
    publisher.publish(1, &old);
    let mut sites = nodes(2, &hub.url(), &publisher);
    sites.iter().for_each(|site| _ = site.answers(&old));
    wait_until("it is good", || sites.iter().all(|site| site.at("good").exists()));
    hub.kill();
    for site in &mut sites {
        site.kill_agent();
        site.daemon = None;
    }
    for site in &mut sites {
        site.follow();
        site.serve();
    }
    for site in &sites {
        assert!(site.answers_within(&old, Duration::from_secs(2)) < Duration::from_secs(2));
    }
    hub.again();
    publisher.connect_again(&hub);
    let began = Instant::now();
    publisher.publish(2, &new);
    sites.iter().for_each(|site| _ = site.answers_within(&new, Duration::from_secs(15)));
    eprintln!("report: nodes that had no hub followed {:?} after it was there", began.elapsed());
}

#[test]
fn a_hub_that_was_away_costs_time_alone() {
    let mut hub = Hub::start("");
    let mut publisher = Publisher::new(&hub.url(), &Access::default());
    let (old, new) = (token(), token());
    publisher.publish(1, &old);
    let sites = nodes(2, &hub.url(), &publisher);
    sites.iter().for_each(|site| _ = site.answers(&old));
    hub.kill();
    sites.iter().for_each(|site| _ = site.answers(&old));
    hub.again();
    publisher.connect_again(&hub);
    publisher.publish(2, &new);
    sites.iter().for_each(|site| _ = site.answers_within(&new, Duration::from_secs(20)));
    assert_eq!(hub.consumers(), 0);
    // A release that was taken back by a newer pointer is there again.
    let first = publisher.release(1, &crate::site::saying(&old));
    publisher.want(3, &first);
    sites.iter().for_each(|site| _ = site.answers(&old));
}
