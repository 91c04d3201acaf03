//! `as112d learn`: reads what nodes have observed, and writes which PoPs resolvers and places get. A process
//! of its own: files in, files out.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crossbeam_channel::after;

use crate::cli::LearnOptions;
use crate::config::{self, Config, Flags};
use crate::daemon;
use crate::learn::collector::now;
use crate::learn::decide::{Around, Outcome, evaluate};
use crate::learn::files::{learned_map, places_map};
use crate::learn::kept;
use crate::learn::observation::DAY;
use crate::learn::observed;
use crate::learn::state::State;
use crate::learn::unlearned::Unlearned;
use crate::limits::{LEARN_EVERY, STATE_LEN_MAX};
use crate::problem::Problem;
use crate::sys::confine::{self, Class, Plan};
use crate::sys::files;

/// Learns once or every hour; or adds or prints what is known.
///
/// # Errors
/// What cannot be read or written, and every mistake in the configuration and its maps.
pub fn learn(options: &LearnOptions) -> Result<String, Vec<Problem>> {
    let config = load(options)?;
    let paths = Paths::of(options, &config)?;
    let notes = confine_to(options, &config, &paths)?;
    if options.export {
        return Ok(kept::write(&state(&paths.state)?));
    }
    if !options.import.is_empty() {
        return import(options, &paths.state);
    }
    if options.once {
        return once(options, &config, options.at.unwrap_or_else(now)).map(with_refusals);
    }
    notes.into_iter().for_each(|note| tell(&format!("warning: {note}\n")));
    loop {
        // What is wrong may be right an hour later: the operator is told, and the maps stay as they are.
        let said = load(options).and_then(|config| once(options, &config, now()));
        tell(&with_refusals(said.unwrap_or_else(|problems| {
            problems.iter().fold(String::new(), |text, problem| text + &format!("error: {problem}\n"))
        })));
        let _ = after(LEARN_EVERY).recv();
    }
}

fn load(options: &LearnOptions) -> Result<Config, Vec<Problem>> {
    config::load(Some(&options.config), &Flags::default())
}

fn tell(text: &str) {
    // Nobody may be there to read it.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// From now on this process reads what the configuration names and what is observed, writes what it learns,
/// and does nothing else. It stays the user who has started it, whose files these are. What there is to say
/// of that comes back.
fn confine_to(options: &LearnOptions, config: &Config, paths: &Paths) -> Result<Vec<String>, Vec<Problem>> {
    let folder = |path: &Path| files::folder_of(path).to_owned();
    let mut plan = daemon::confine::plan(config, Some(&options.config), None);
    let read = options.import.iter().chain([&paths.observations]).map(|path| folder(path));
    let maps = config.tailoring.maps.iter().flat_map(|map| map.learned.iter().chain(&map.places));
    plan.read.extend(read.chain([paths.observations.clone()]).filter(|folder| folder.exists()));
    plan.write = maps.chain([&paths.state]).map(|path| folder(path)).collect();
    plan = Plan { user: None, keeps_user: true, logs: Vec::new(), connect: Vec::new(), ..plan };
    let confined = confine::process(&plan).map_err(|error| Problem::alone(error.to_string()))?;
    confined.thread(Class::Learner).map_err(Problem::alone)?;
    Ok(confined.notes)
}

/// With what the process has tried that it must not, if there is something.
fn with_refusals(said: String) -> String {
    let refusals = daemon::confine::refusals(&confine::refused());
    refusals.into_iter().fold(said, |said, refused| said + &format!("warning: {refused}\n"))
}

/// Where things are.
struct Paths {
    observations: PathBuf,
    state: PathBuf,
}

impl Paths {
    fn of(options: &LearnOptions, config: &Config) -> Result<Self, Vec<Problem>> {
        let beacons = config.beacons.as_ref();
        let path = |given: &Option<PathBuf>, configured: Option<&PathBuf>, option: &str| {
            given.as_ref().or(configured).cloned().ok_or_else(|| {
                Problem::alone(format!("the configuration has no [beacons]; add it, or give {option}"))
            })
        };
        let observations = beacons.map(|beacons| &beacons.observations);
        let state = beacons.map(|beacons| &beacons.state);
        Ok(Self {
            observations: path(&options.observations, observations, "--observations")?,
            state: path(&options.state, state, "--state")?,
        })
    }
}

fn problem(path: &Path, message: impl std::fmt::Display) -> Vec<Problem> {
    vec![Problem { place: path.display().to_string(), message: message.to_string() }]
}

/// The state in a file; none where there is no file yet.
fn state(path: &Path) -> Result<State, Vec<Problem>> {
    let bytes = match files::read(path, STATE_LEN_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::default()),
        read => read.map_err(|error| problem(path, format!("cannot be read: {error}")))?,
    };
    if bytes.len() as u64 > STATE_LEN_MAX {
        return Err(problem(path, format!("has more than {STATE_LEN_MAX} bytes; is this the right file?")));
    }
    let text = str::from_utf8(&bytes).map_err(|error| problem(path, error))?;
    kept::read(text)
        .map_err(|(line, message)| vec![Problem { place: format!("{}:{line}", path.display()), message }])
}

fn write(path: &Path, text: &str) -> Result<(), Vec<Problem>> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    files::replace(path, Path::new(&unfinished), text.as_bytes())
        .map_err(|error| problem(path, format!("cannot be written: {error}")))
}

/// Adds what other nodes know.
fn import(options: &LearnOptions, path: &Path) -> Result<String, Vec<Problem>> {
    let mut known = state(path)?;
    let before = known.resolvers();
    for file in &options.import {
        if !file.exists() {
            return Err(problem(file, "there is no such file"));
        }
        known.merge(state(file)?);
    }
    write(path, &kept::write(&known))?;
    Ok(format!("{} resolvers, {before} before\n", known.resolvers()))
}

/// Reads what is new, decides, and writes the maps.
fn once(options: &LearnOptions, config: &Config, at: u64) -> Result<String, Vec<Problem>> {
    let paths = Paths::of(options, config)?;
    let spec = &config.tailoring;
    let learns: Vec<usize> = (0..spec.maps.len())
        .filter(|map| spec.maps[*map].learned.is_some() || spec.maps[*map].places.is_some())
        .collect();
    if learns.is_empty() {
        return Err(Problem::alone("no [[map]] has `learned` or `places`: there is no file to write"));
    }
    let mut known = state(&paths.state)?;
    if u64::from(known.day()) * DAY > at {
        return Err(problem(&paths.state, "is of a later time than --at; give another file with --state"));
    }
    let reading = observed::read(&paths.observations, &mut known, at)
        .map_err(|(path, error)| problem(&path, format!("cannot be read: {error}")))?;
    let mut said: String = reading.problems.iter().map(|why| format!("warning: {why}\n")).collect();
    let mut say = |text: String| writeln!(said, "{text}").expect("a String takes all that is written");
    say(format!(
        "{} observations, {} malformed; {} resolvers",
        reading.count,
        reading.refused,
        known.resolvers()
    ));
    // Whatever is wrong with a map is known before anything is written.
    let unlearned = learns.iter().map(|map| Unlearned::new(spec, *map)).collect::<Result<Vec<_>, _>>()?;
    let mut written = Vec::new();
    for (map, unlearned) in learns.iter().map(|map| &spec.maps[*map]).zip(&unlearned) {
        let of_resolver = |resolver| unlearned.of_resolver(resolver);
        let of_place = |place| unlearned.of_place(place);
        let around = Around { pops: &spec.pops, of_resolver: &of_resolver, of_place: &of_place };
        let outcome = evaluate(&mut known, &map.name, &around, at);
        let of = |files: &Option<PathBuf>, text: String| files.clone().map(|file| (file, text));
        written.extend(of(&map.learned, learned_map(&outcome, &spec.pops, at)));
        written.extend(of(&map.places, places_map(&outcome, &spec.pops, at)));
        say(summary(&map.name, &outcome));
    }
    for (path, text) in &written {
        write(path, text)?;
    }
    write(&paths.state, &kept::write(&known))?;
    Ok(said)
}

/// What came of a map, and each change.
fn summary(map: &str, outcome: &Outcome) -> String {
    let of_resolvers = outcome.decided.iter().filter(|decided| decided.subject.is_of_resolvers()).count();
    let of_places = outcome.decided.len() - of_resolvers;
    let mut text = format!("map {map}: {of_resolvers} learned, {of_places} measured");
    for change in &outcome.changes {
        let name = |pop: &Option<String>| pop.clone().unwrap_or_else(|| "what it gets unlearned".to_owned());
        let (from, to) = (name(&change.from), name(&change.to));
        write!(text, "\n  {}: {from} -> {to}", change.subject).expect("a String takes all that is written");
    }
    text
}
