//! `as112d site`: the page of a running node as files, for those who serve it elsewhere.

use std::io;
use std::path::Path;

use crossbeam_channel::after;
use serde_json::Value;

use super::asking::Node;
use super::failure::Failure;
use crate::cli::SiteOptions;
use crate::limits::{SITE_TRIES_MAX, SITE_TRY_EVERY};
use crate::report::page;
use crate::sys::files;

/// Asks the node for every document of its page and writes them to the directory, each in one piece: a
/// reader finds an old document or a new one.
///
/// # Errors
/// If no node answers (exit code 3), or the directory cannot be written.
pub fn site(options: &SiteOptions) -> Result<String, Failure> {
    let node = Node::find(&options.node, options.url.as_deref())?;
    let dir = options.dir.as_path();
    let unwritten = |error: io::Error| {
        Failure::from(format!(
            "cannot write to {}: {error}; give a directory that may be written to",
            dir.display()
        ))
    };
    let mut written = 0;
    let mut days = Vec::new();
    for (path, name) in page::files() {
        let text = ask(&node, &path).map_err(|error| node.no_answer(&error))?;
        if name == page::DAYS_FILE {
            days = whole_days(&text);
        }
        write(dir, &name, &text).map_err(unwritten)?;
        written += 1;
    }
    // A day once written does not change.
    for name in days.into_iter().filter(|name| !dir.join(name).exists()) {
        let text = match ask(&node, &format!("/{name}")) {
            Ok(text) => text,
            // The history may have a part of a day that has no document.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(node.no_answer(&error)),
        };
        write(dir, &name, &text).map_err(unwritten)?;
        written += 1;
    }
    Ok(format!("{written} files written to {}\n", dir.display()))
}

/// A document. The first one about a long time may take the node longer than it lets us wait; it has it then.
fn ask(node: &Node, path: &str) -> io::Result<String> {
    let mut tried = 1;
    loop {
        match node.get(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tried < SITE_TRIES_MAX => tried += 1,
            answer => return answer,
        }
        after(SITE_TRY_EVERY).recv().expect("this channel is never closed");
    }
}

/// The files about days, as a document in JSON lists them. Their names come from elsewhere: nothing but
/// dates may be in them.
fn whole_days(text: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let days = document["whole_days"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let is_date =
        |day: &&str| day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    days.filter(is_date).map(|day| format!("{}/{day}.yaml", page::DAYS_DIR)).collect()
}

/// Writes a file next to its place and moves it there.
fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    files::replace(&dir.join(name), &dir.join(format!("{name}.new")), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates_and_nothing_else() {
        let text = r#"{"whole_days": ["2026-01-31", "../../../etc", "2026-01-3/", 7, "2026-01-30"]}"#;
        assert_eq!(whole_days(text), ["rssac002/2026-01-31.yaml", "rssac002/2026-01-30.yaml"]);
        assert!(whole_days("no JSON").is_empty());
    }
}
