//! What the document promises: each command line is one, and the settings are read as they stand there.

use as112d_fleet::cli::Cli;
use as112d_fleet::settings::Settings;
use clap::Parser as _;

use crate::desk::Desk;

const DOCUMENT: &str = include_str!("../../../docs/fleet-publishing.md");

/// The words of a command line, as a shell would make them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for c in line.chars() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_of_the_document_is_one() {
    let mut seen = 0;
    for (number, line) in DOCUMENT.lines().enumerate() {
        let is_block = line.starts_with("as112d-fleet ");
        let pieces: Vec<&str> =
            if is_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for piece in pieces.into_iter().filter(|piece| piece.starts_with("as112d-fleet ")) {
            let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
            let command = piece.split("  #").next().unwrap().replace("RWQ...", key);
            let parsed = Cli::try_parse_from(words(&command));
            assert!(parsed.is_ok(), "line {}: {command}: {}", number + 1, parsed.unwrap_err());
            seen += 1;
        }
    }
    assert!(seen >= 18, "{seen}");
}

#[test]
fn the_settings_of_the_document_are_read() {
    let desk = Desk::bare();
    let text = DOCUMENT.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    desk.write("fleet.toml", text);
    let settings = Settings::read(Some(&desk.path("fleet.toml")), None).unwrap();
    assert_eq!(settings.roll.stages.len(), 4);
    assert_eq!((settings.roll.bake, settings.roll.quorum, settings.nodes.len()), (300, 95, 2));
    assert_eq!(settings.canary().unwrap().to_string(), "colo/ams");
    assert!(settings.access.nkey.is_some() && settings.secret_keys.len() == 1 && settings.keys.is_some());
}
