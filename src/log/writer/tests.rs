use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Command;
use std::thread::{self, JoinHandle};

use super::*;
use crate::limits::LOG_QUEUED_MAX;
use crate::log::{Format, Log, open};

/// A log to a file at `path`, and the thread that writes it, which ends with the log.
fn to_file(path: &Path) -> (Log, JoinHandle<()>) {
    let settings = Settings { file: Some(path.to_owned()), ..Settings::default() };
    let (log, writer) = open(&settings).unwrap();
    (log, thread::spawn(move || writer.run().unwrap()))
}

/// The messages of a file, without what stands before them.
fn messages(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.splitn(3, ' ').nth(2).unwrap_or(line).trim_start().to_owned()).collect()
}

#[test]
fn a_file_that_was_moved_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    fs::write(&path, "t info    before\n").unwrap();
    let (log, thread) = to_file(&path);
    log.info("one");
    assert!(log.flush());
    fs::rename(&path, &moved).unwrap();
    log.info("two");
    assert!(log.flush());
    log.reopen();
    assert!(log.flush());
    log.info("three");
    assert!(log.flush());
    assert_eq!(messages(&moved), ["before", "one", "two"]);
    assert_eq!(messages(&path), ["three"]);

    // Somebody copies it and cuts it: the next line stands at its beginning.
    File::create(&path).unwrap();
    log.info("four");
    assert!(log.flush());
    assert_eq!(messages(&path), ["four"]);

    // Where it cannot be opened, the old one is written on.
    fs::rename(&path, &moved).unwrap();
    fs::create_dir(&path).unwrap();
    log.reopen();
    log.info("five");
    assert!(log.flush());
    let said = messages(&moved);
    assert!(said[1].contains("cannot reopen ") && said[2] == "five", "{said:?}");
    drop(log);
    thread.join().unwrap();
}

#[test]
fn what_cannot_be_written_is_lost_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let settings = Settings { file: Some(path.clone()), ..Settings::default() };
    let (log, mut writer) = open(&settings).unwrap();
    // Every write to it fails with ENOSPC.
    writer.file = files::append(Path::new("/dev/full")).unwrap();
    let thread = thread::spawn(move || writer.run().unwrap());
    log.info("one");
    log.info("two");
    assert!(log.flush(), "a full disk holds up nobody");
    assert_eq!(log.lost(), 2);
    fs::remove_file(&path).unwrap();
    log.reopen();
    log.info("three");
    assert!(log.flush());
    assert_eq!(messages(&path), ["three", "2 log lines could not be written and were lost"]);
    assert_eq!(log.lost(), 2);
    drop(log);
    thread.join().unwrap();
}

#[test]
fn a_pipe_that_nobody_empties_costs_lines_and_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let settings = Settings { file: Some(path.clone()), ..Settings::default() };
    let error = open(&settings).unwrap_err();
    assert!(error.contains("cannot log to ") && error.ends_with("that this node can write"), "{error}");

    let reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let (log, thread) = to_file(&path);
    let lines = 4 * LOG_QUEUED_MAX;
    (0..lines).for_each(|_| log.each("x".repeat(1000), vec![]));
    assert!(log.flush());
    assert!((1..lines as u64).contains(&log.lost()), "{}", log.lost());
    drop(log);
    thread.join().unwrap();
    drop(reader);
}

#[test]
fn a_line_that_was_cut_ends_before_the_next() {
    let (reader, file) = io::pipe().unwrap();
    let (log, mut writer) = open(&Settings::default()).unwrap();
    writer.file = File::from(std::os::fd::OwnedFd::from(file));
    writer.form = Form::Plain;
    writer.is_torn = true;
    log.info("whole");
    drop((log, writer));
    let mut text = String::new();
    { reader }.read_to_string(&mut text).unwrap();
    assert_eq!(text, "\nwhole\n");
}

#[test]
fn nobody_reads_standard_error_any_more() {
    let (reader, file) = io::pipe().unwrap();
    let (log, mut writer) = open(&Settings { format: Format::Json, ..Settings::default() }).unwrap();
    writer.file = File::from(std::os::fd::OwnedFd::from(file));
    let thread = thread::spawn(move || writer.run().unwrap());
    log.info("read");
    assert!(log.flush());
    drop(reader);
    log.info("not read");
    assert!(log.flush(), "a broken pipe holds up nobody");
    assert_eq!(log.lost(), 1);
    drop(log);
    thread.join().unwrap();
}

#[test]
fn a_reader_who_has_stopped_holds_up_the_writer_alone() {
    let (mut reader, file) = io::pipe().unwrap();
    let (log, mut writer) = open(&Settings::default()).unwrap();
    writer.file = File::from(std::os::fd::OwnedFd::from(file));
    let thread = thread::spawn(move || writer.run().unwrap());
    // More than the pipe and the queue hold.
    let line = "x".repeat(1000);
    for _ in 0..4 * LOG_QUEUED_MAX {
        log.each(line.clone(), vec![]);
    }
    assert!(log.lost() > 0);
    assert!(!log.flush(), "the wait for the end is bounded");
    let lost = log.lost();
    drop(log);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    thread.join().unwrap();
    let (told, whole): (Vec<&str>, Vec<&str>) = text.lines().partition(|text| text.contains("were lost"));
    assert_eq!(whole.len() as u64 + lost, 4 * LOG_QUEUED_MAX as u64);
    assert!(whole.iter().all(|text| *text == line));
    assert!(!told.is_empty());
}

#[test]
fn repetitions_are_told_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let (log, thread) = to_file(&path);
    (0..10).for_each(|_| log.warning("again"));
    (0..5).for_each(|_| log.each("query", vec![]));
    drop(log);
    thread.join().unwrap();
    let messages = messages(&path);
    assert_eq!(messages[..3], ["again"; 3]);
    assert_eq!(messages[3..8], ["query"; 5]);
    assert_eq!(messages[8..], ["repeated 7 more times: again"]);
}
