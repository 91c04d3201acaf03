//! An agent that is killed at any moment, and a disk that is full: nodes answer the old release or the new
//! one, each as a whole, and the next agent completes what was begun.

use std::fs;
use std::process::Command;
use std::time::Duration;

use as112d_fleet::carry::Access;

use crate::common::daemon::wait_until;
use crate::common::skip::skipped;
use crate::publisher::token;
use crate::site::{Publisher, Site, ask, check_folder};

/// Zones of a release of many files.
const ZONES: usize = 20;

/// A release of many zones that all say the same token, and a map of some megabytes beside them.
fn many(token: &str, map_len: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut config = String::new();
    let mut files: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for at in 0..ZONES {
        let path: &'static str = format!("zones/z{at}.example.zone").leak();
        config += &format!("[[zone]]\nname = 'z{at}.example'\nfile = '{path}'\n");
        files.push((path, format!("; {at}\n{}", crate::publisher::zone(token)).into_bytes()));
    }
    let filler = token.as_bytes().iter().copied().cycle().take(map_len).collect();
    files.push(("maps/large.map", filler));
    files.push(("config.toml", config.into_bytes()));
    files
}

/// What all zones of the node say: the same, or else it is torn.
fn whole(site: &Site) -> Option<String> {
    let port = site.daemon.as_ref().expect("it runs").port;
    let said: Vec<Option<String>> = (0..ZONES).map(|at| ask(port, &format!("z{at}.example"))).collect();
    // A reload may come between two questions: then they are asked again.
    if said.windows(2).all(|pair| pair[0] == pair[1]) {
        return said.into_iter().next().flatten();
    }
    let again: Vec<Option<String>> = (0..ZONES).map(|at| ask(port, &format!("z{at}.example"))).collect();
    assert!(again.windows(2).all(|pair| pair[0] == pair[1]), "zones of two releases: {said:?} {again:?}");
    again.into_iter().next().flatten()
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_release() {
    // All 200 by name: CRASHES=200.
    let kills: u64 = std::env::var("CRASHES").map_or(50, |count| count.parse().expect("a number"));
    let tree = tempfile::tempdir().expect("a folder");
    let source = format!("dir:{}", tree.path().display());
    let publisher = Publisher::new(&source, &Access::default());
    let mut site = Site::new("ams1", &format!("{}\nsource = '{source}'", publisher.keys()));
    site.serve();
    let mut tokens = vec![token()];
    publisher.want(1, &publisher.release(1, &many(&tokens[0], 8 << 20)));
    assert!(site.command("fetch").status().expect("it runs").success(), "{}", site.said());
    assert_eq!(whole(&site).as_ref(), Some(&tokens[0]));
    let began = std::time::Instant::now();
    let mut number = 1;
    for kill in 0..kills {
        if kill % 5 == 0 {
            number += 1;
            tokens.push(token());
            let name = publisher.release(number, &many(&tokens[tokens.len() - 1], 8 << 20));
            publisher.want(number, &name);
        }
        site.follow();
        // From at once to past the swap; the moments are spread by the golden ratio.
        let share = (kill as f64 * 0.618_034).fract();
        std::thread::park_timeout(Duration::from_secs_f64(share * share * 1.2));
        site.kill_agent();
        let said = whole(&site).expect("it answers");
        let newest = &tokens[tokens.len().saturating_sub(2)..];
        assert!(newest.contains(&said), "neither the old nor the new one: {said}");
        check_folder(&site.at(""));
    }
    eprintln!("report: {kills} kills in {:?}", began.elapsed());
    assert!(site.command("fetch").status().expect("it runs").success(), "{}", site.said());
    assert_eq!(whole(&site).as_ref(), tokens.last());
    check_folder(&site.at(""));
}

#[test]
fn a_full_disk_keeps_the_old_release_and_room_brings_the_new_one() {
    let tree = tempfile::tempdir().expect("a folder");
    let source = format!("dir:{}", tree.path().display());
    let publisher = Publisher::new(&source, &Access::default());
    let mut site = Site::new("ams1", &format!("{}\nsource = '{source}'", publisher.keys()));
    fs::create_dir(site.at("")).expect("there is room");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=20m", "none"]).arg(site.at("")).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skipped("a small file system takes the rights of root");
    }
    let mounted = site.at("");
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        site.serve();
        let (old, new) = (token(), token());
        publisher.want(1, &publisher.release(1, &many(&old, 8 << 20)));
        assert!(site.command("fetch").status().expect("it runs").success(), "{}", site.said());
        let large = publisher.release(2, &many(&new, 16 << 20));
        publisher.want(2, &large);
        assert!(!site.command("fetch").status().expect("it runs").success(), "it does not fit");
        assert!(site.said().contains("disk: "), "{}", site.said());
        assert_eq!(whole(&site).as_ref(), Some(&old));
        check_folder(&site.at(""));
        // Even where nothing at all can be written.
        let filler = site.at("filler");
        let _ = fs::write(&filler, vec![0; 32 << 20]);
        assert!(!site.command("fetch").status().expect("it runs").success());
        assert_eq!(whole(&site).as_ref(), Some(&old));
        fs::remove_file(&filler).expect("it is there");
        publisher.want(3, &publisher.release(3, &many(&new, 4 << 20)));
        site.follow();
        wait_until("the new one is there", || whole(&site).as_ref() == Some(&new));
        check_folder(&site.at(""));
    }));
    site.kill_agent();
    site.daemon = None;
    Command::new("umount").arg("-l").arg(mounted).status().expect("it can be unmounted");
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
