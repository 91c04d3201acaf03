//! `as112d query --why`: the way of a query, or of each query of a file, told without a network.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::Path;

use clap::{Args as _, Command, FromArgMatches as _};

use super::query::packet;
use crate::cli::QueryOptions;
use crate::config::loaded::compile;
use crate::config::{self, Config};
use crate::daemon::why::{Teller, Told, arrival};
use crate::limits::BATCH_LINE_LEN_MAX;
use crate::nets::places::Places;
use crate::problem::Problem;
use crate::serve::snapshot::Snapshot;
use crate::stats::labels::Names;
use crate::work::Place;

/// Loads everything as `run` would, and tells the way of a query. With a batch each is printed as it is read.
///
/// # Errors
/// All that would keep `run` from starting, and what cannot be asked.
pub(super) fn why(options: &QueryOptions) -> Result<String, Vec<Problem>> {
    let mut worlds = Worlds::new(options)?;
    let Some(batch) = &options.batch else { return worlds.tell(options, options.json) };
    let failed =
        |what: &str, error: io::Error| Problem::alone(format!("{}: {what}: {error}", batch.display()));
    let is_stdin = batch.as_path() == Path::new("-");
    let mut input: Box<dyn BufRead> = match is_stdin {
        true => Box::new(io::stdin().lock()),
        false => {
            Box::new(BufReader::new(File::open(batch).map_err(|error| failed("cannot be read", error))?))
        }
    };
    let (mut lines, mut out) = (Lines::default(), io::stdout().lock());
    while let Some(words) = lines.next(&mut input).map_err(|error| failed("cannot be read", error))? {
        let told = match lines.read(&words) {
            Ok(asked) => worlds.tell(&asked, options.json),
            Err(problem) => Err(Problem::alone(problem)),
        };
        let place = format!("{}:{}", batch.display(), lines.number);
        let told = told.map_err(|problems| at(&place, problems))?;
        let gap = if options.json { "" } else { "\n" };
        match write!(out, "{told}{gap}") {
            // Who reads us has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            result => result.map_err(|error| failed("cannot print", error))?,
        }
    }
    Ok(String::new())
}

/// Says where in a batch something is wrong.
fn at(place: &str, problems: Vec<Problem>) -> Vec<Problem> {
    problems
        .into_iter()
        .map(|problem| Problem { place: place.to_owned(), message: problem.to_string() })
        .collect()
}

/// The lines of a batch that have a query.
struct Lines {
    command: Command,
    number: usize,
}

impl Default for Lines {
    fn default() -> Self {
        // What a line says of the whole batch is refused afterwards.
        let command = QueryOptions::augment_args(Command::new("query")).no_binary_name(true);
        Self { command, number: 0 }
    }
}

impl Lines {
    /// The next one; lines that begin with `#` and empty ones have none.
    fn next(&mut self, input: &mut impl BufRead) -> io::Result<Option<String>> {
        loop {
            let mut line = String::new();
            let len = input.take(BATCH_LINE_LEN_MAX).read_line(&mut line)?;
            if len == 0 {
                return Ok(None);
            }
            self.number += 1;
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                return Ok(Some(line.to_owned()));
            }
        }
    }

    fn read(&mut self, line: &str) -> Result<QueryOptions, String> {
        let words = line.split_whitespace().chain(["--why"]);
        let matches = self.command.try_get_matches_from_mut(words);
        let read = matches.and_then(|matches| QueryOptions::from_arg_matches(&matches)).map_err(|error| {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        })?;
        let of_batch = [
            (read.batch.is_some(), "--batch"),
            (read.live, "--live"),
            (read.json, "--json"),
            (read.config.config.is_some(), "--config"),
            (read.config.zones.is_some(), "--zones"),
            (read.config.node.is_some(), "--node"),
        ];
        match of_batch.iter().find(|(is_there, _)| *is_there) {
            Some((_, option)) => {
                Err(format!("`{option}` is for the whole batch: give it on the command line"))
            }
            None => Ok(read),
        }
    }
}

/// What nodes would serve: one for each data centre.
struct Worlds {
    config: Config,
    places: Option<Places>,
    /// Of queries that name none.
    colo: String,
    snapshots: HashMap<String, Snapshot>,
}

impl Worlds {
    fn new(options: &QueryOptions) -> Result<Self, Vec<Problem>> {
        let config = config::load(options.config.config.as_deref(), &options.config.flags())?;
        let colo = options.colo.clone().unwrap_or_else(|| config.platform.colo.clone());
        let mut worlds = Self { config, places: None, colo: colo.clone(), snapshots: HashMap::new() };
        worlds.load(&colo)?;
        Ok(worlds)
    }

    fn load(&mut self, colo: &str) -> Result<(), Vec<Problem>> {
        if !self.snapshots.contains_key(colo) {
            colo.clone_into(&mut self.config.platform.colo);
            let (_, snapshot) = compile(&self.config, &Names::default())?;
            if self.places.is_none() && snapshot.policy().needs_places() {
                self.places = Some(Places::open(&self.config.databases).0);
            }
            self.snapshots.insert(colo.to_owned(), snapshot);
        }
        Ok(())
    }

    /// The way of a query, as text or as JSON.
    fn tell(&mut self, asked: &QueryOptions, is_json: bool) -> Result<String, Vec<Problem>> {
        let colo = asked.colo.as_ref().unwrap_or(&self.colo).clone();
        self.load(&colo)?;
        let Self { config, places, snapshots, .. } = self;
        let place = |address| {
            let (country, asn) = places.as_ref().map_or((None, None), |places| places.look(address));
            Place { country, asn }
        };
        let teller = Teller { snapshot: &snapshots[&colo], config, place: &place, has_lines: !is_json };
        let arrival = arrival(config, asked.tcp, asked.from, asked.to).map_err(Problem::alone)?;
        let packet = packet(asked).map_err(Problem::alone)?;
        let Told { lines, json } =
            teller.tell(&arrival, &packet, &asked.supposed()).map_err(Problem::alone)?;
        Ok(if is_json { serde_json::Value::from(json).to_string() } else { lines.join("\n") } + "\n")
    }
}
