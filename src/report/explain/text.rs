//! An explanation for people.

use std::fmt::Write as _;
use std::path::Path;

use super::told::{Tailored, Told};
use crate::nets::places::Place;
use crate::tailor::facts::Fact;
use crate::tailor::spec::{List, Map, Spread};
use crate::tailor::why::{Asked, Found, Limit, Of};
use crate::tailor::{Layer, PopId, Use};

/// Where a note stands after a record, and after the text of a step.
const RECORD_LEN: usize = 48;
const TEXT_LEN: usize = 32;

/// All of it, in lines.
pub(super) fn text(told: &Told<'_>) -> String {
    let mut lines = Lines::default();
    lines.answer(told);
    match &told.tailored {
        Some(tailored) => lines.why(told, tailored),
        None if told.answer.is_identity => lines.plain("identity", "the answer is the address that asks"),
        None => lines.plain("tailored", "no: the answer is the same for everybody"),
    }
    lines.plain("reply", &reply(told));
    if told.tailored.as_ref().is_some_and(|tailored| !tailored.why.is_loaded) {
        lines.plain("note", "files have changed since they were loaded; reload the maps to apply them");
    }
    lines.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, mark: char, label: &str, text: &str, note: &str) {
        let mut line = format!("{mark} {label:<16}{text}");
        if !note.is_empty() {
            // Where the column is near, the note follows the text.
            let gap = if text.len() + 4 < TEXT_LEN { TEXT_LEN - text.len() } else { 3 };
            line += &format!("{:gap$}({note})", "");
        }
        self.0 += line.trim_end();
        self.0.push('\n');
    }

    fn plain(&mut self, label: &str, text: &str) {
        self.line(' ', label, text, "");
    }

    /// The records, with what they were chosen from; or why there are none.
    fn answer(&mut self, told: &Told<'_>) {
        let answer = told.answer;
        let mut from = told.tailored.as_ref().map(|tailored| {
            let (pop, pool) =
                (tailored.pop(tailored.why.choice.pop), &tailored.spec.pools[tailored.pool].name);
            format!("PoP {pop}, pool {pool}, map {}", tailored.map().name)
        });
        let mut add = |text: &str, from: Option<String>| {
            let line = from.map_or_else(|| text.to_owned(), |from| format!("{text:<RECORD_LEN$} {from}"));
            self.0 += &line;
            self.0.push('\n');
        };
        if answer.records.is_empty() {
            let (name, rtype) = (told.asked.name(), told.asked.rtype());
            return add(&format!("{name} {rtype}: {}", answer.outcome()), from);
        }
        for record in &answer.records {
            add(&record.text, record.address.and_then(|_| from.take()));
        }
    }

    fn why(&mut self, told: &Told<'_>, tailored: &Tailored<'_>) {
        let why = &tailored.why;
        let decided = why.steps.len().saturating_sub(1);
        let steps = || (0..).zip(&why.steps);
        let steps_of = |for_resolver| steps().filter(move |(_, asked)| asked.for_resolver == for_resolver);
        steps_of(false).for_each(|(at, asked)| self.step(tailored, asked, at == decided));
        if let Some(unused) = unused(told, tailored) {
            self.plain("client subnet", &unused);
        }
        steps_of(true).for_each(|(at, asked)| self.step(tailored, asked, at == decided));
        let decided = why.steps.last();
        if decided.is_some_and(|asked| is_overriding(asked.layer))
            && let Some(without) = &why.without
            && let Some(found) = &without.found
        {
            let (text, note) = finding(tailored, found);
            self.line(' ', "without it", &format!("{}: {text}", label(without.layer)), &note);
        }
        if decided.is_some_and(|asked| asked.layer != why.choice.layer) {
            let (pool, list) = (&tailored.spec.pools[tailored.pool].name, names(tailored, &why.list));
            let default = names(tailored, &tailored.map().default);
            self.plain("pool", &format!("{pool} has no addresses for {list}; default: {default}"));
        }
        self.health(told, tailored);
    }

    fn step(&mut self, tailored: &Tailored<'_>, asked: &Asked, decides: bool) {
        let map = tailored.map();
        let Some(found) = &asked.found else {
            if has(map, asked) {
                self.plain(label(asked.layer), &nothing(tailored, asked));
            }
            return;
        };
        let (text, note) = finding(tailored, found);
        self.line(if decides { '>' } else { ' ' }, label(asked.layer), &text, &note);
        if !found.comment.is_empty() {
            self.plain("", &found.comment);
        }
    }

    fn health(&mut self, told: &Told<'_>, tailored: &Tailored<'_>) {
        let states = tailored.candidates().map(|pop| {
            let name = tailored.pop(pop);
            format!("{name} {}", told.health(name))
        });
        let mut states = states.collect::<Vec<_>>().join(", ");
        if tailored.why.choice.is_all_down {
            states += "; none is up, so as if all were";
        }
        self.plain("health", &states);
        let pool = &tailored.spec.pools[tailored.pool];
        if let Spread::Weighted(weights) = &pool.spread {
            let of = |pop: PopId| {
                let at = pool.variants.iter().position(|variant| *variant == pop)?;
                Some(format!("{} {}", tailored.pop(pop), weights.get(at)?))
            };
            let weights = tailored.candidates().filter_map(of).collect::<Vec<_>>().join(", ");
            self.plain("weights", &format!("{weights}; which one depends on the ID of the query"));
        }
    }
}

/// Why the subnet does not decide, if it does not.
fn unused(told: &Told<'_>, tailored: &Tailored<'_>) -> Option<String> {
    let subnet = told.asked.subnet.map_or_else(String::new, |subnet| subnet.trunc().to_string());
    Some(match tailored.why.choice.subnet {
        Use::Used => return None,
        Use::None => "none in the query".to_owned(),
        Use::Zero => format!("{subnet} says nothing of the client, who does not want that"),
        Use::Ignored => format!("map {} does not use subnets", tailored.map().name),
        Use::Unmapped => format!("nothing is known of {subnet}; the resolver decides"),
        Use::Private => format!("{subnet} is in a special block; the resolver decides"),
    })
}

/// Whether a layer goes before what would be said without it, and is there to be questioned.
const fn is_overriding(layer: Layer) -> bool {
    matches!(layer, Layer::ByHand | Layer::Learned | Layer::Places)
}

const fn label(layer: Layer) -> &'static str {
    match layer {
        Layer::As => "AS",
        Layer::ByHand => "by hand",
        other => other.name(),
    }
}

/// Whether a map has a layer at all.
fn has(map: &Map, asked: &Asked) -> bool {
    match asked.layer {
        Layer::Networks | Layer::ByHand | Layer::Learned | Layer::Places => !asked.files.is_empty(),
        Layer::As => !map.by_as.is_empty(),
        Layer::Country => !map.by_country.is_empty(),
        Layer::Continent => !map.by_continent.is_empty(),
        Layer::Nearest => map.nearest > 0,
        Layer::Default => true,
    }
}

/// What is said of a layer that has nothing.
fn nothing(tailored: &Tailored<'_>, asked: &Asked) -> String {
    let files: Vec<&str> = asked.files.iter().map(|file| file_name(file)).collect();
    let address =
        if asked.for_resolver { tailored.peer.to_canonical().to_string() } else { tailored.client() };
    match asked.layer {
        Layer::Networks | Layer::ByHand | Layer::Learned => {
            format!("no network of {} holds {address}", files.join(", "))
        }
        Layer::Places => format!("{} has nothing of where {address} is", files.join(", ")),
        Layer::Nearest => format!("where {address} is is not known"),
        layer => format!("no list for the {} of {address}", label(layer)),
    }
}

/// What a layer has, and where it has that from.
fn finding(tailored: &Tailored<'_>, found: &Found) -> (String, String) {
    let list = names(tailored, &found.list);
    let at = found.at.as_ref().map_or_else(String::new, |(file, line)| format!("{}:{line}", file_name(file)));
    match &found.of {
        Of::Network(network) => (format!("{network} -> {list}"), at),
        Of::Fact(fact) => (format!("{} -> {list}", fact_text(fact)), at),
        Of::Around(around) => (list, place(around)),
        Of::Everybody => (list, at),
    }
}

fn fact_text(fact: &Fact) -> String {
    match fact {
        Fact::As(number) => format!("AS{number}"),
        Fact::Square(square) => square.to_string(),
        Fact::Country(code) | Fact::Continent(code) => String::from_utf8_lossy(code).into_owned(),
    }
}

fn names(tailored: &Tailored<'_>, list: &List) -> String {
    list.iter().map(|pop| tailored.pop(*pop)).collect::<Vec<_>>().join(", ")
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("a file")
}

/// Where somebody is: `37.3 N 121.9 W, San Jose, US`.
pub(super) fn place(place: &Place) -> String {
    let degrees = |value: f64, [positive, negative]: [char; 2]| {
        format!("{:.1} {}", value.abs(), if value < 0.0 { negative } else { positive })
    };
    let at =
        place.at.map(|[north, east]| format!("{} {}", degrees(north, ['N', 'S']), degrees(east, ['E', 'W'])));
    let country = place.country.map(|code| String::from_utf8_lossy(&code).into_owned());
    [at, place.city.clone(), country].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// For whom the answer holds.
fn reply(told: &Told<'_>) -> String {
    let Some(scope) = told.answer.scope else {
        let who = if told.tailored.is_some() { "client of this resolver" } else { "client" };
        return match told.asked.subnet {
            None => format!("no client subnet; every {who} may get this answer"),
            Some(_) => "no client subnet: nothing that this node serves depends on it".to_owned(),
        };
    };
    let mut text = format!("SCOPE {scope}: ");
    let block = told.tailored.as_ref().and_then(|tailored| Some((tailored, tailored.why.block.as_ref()?)));
    let told = match block {
        Some((tailored, block)) => {
            let next = block.limit.as_ref().map_or_else(String::new, |limit| next(tailored, limit));
            write!(text, "{} is the largest network with this answer{next}", block.network)
        }
        None if scope == 0 => write!(text, "every client may get this answer"),
        None => write!(text, "only this subnet may get this answer"),
    };
    told.expect("a String takes all that is written");
    text
}

/// What keeps a network from being larger.
fn next(tailored: &Tailored<'_>, limit: &Limit) -> String {
    let Limit { address, found, special } = limit;
    let Some(found) = found else {
        return match special {
            Some(block) => format!("; the special block {block} is next"),
            None => format!("; nothing is known of {address}, which is next"),
        };
    };
    let (text, note) = finding(tailored, found);
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    match found.of {
        Of::Network(_) => format!("; {text} is next{note}"),
        _ => format!("; {address}, {text}, is next{note}"),
    }
}
