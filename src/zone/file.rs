//! Zone files (RFC 1035, section 5; RFC 2308, section 4) as records, every mistake with its file, line and
//! column.
//!
//! Owners, times, classes and the directives are read here, rdata in `rdata.rs`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use domain::base::iana::{Class, Rtype};

use super::check::type_refusal;
use super::contents::{Contents, Placed};
use super::entries::{Entries, Entry, Mistake, Token, column, name, seconds};
use super::text::shorten;
use super::{Record, generate, rdata};
use crate::dns::consts::{TTL_MAX, class, rtype};
use crate::dns::name::Name;
use crate::limits::{ZONE_FILE_LEN_MAX, ZONE_INCLUDE_DEPTH_MAX, ZONE_PROBLEMS_MAX, ZONE_RECORDS_MAX};
use crate::problem::Problem;
use crate::sys::files;

/// Reads the zone file at `path`. `origin` completes its relative names until `$ORIGIN` says otherwise.
pub(super) fn read_file(path: &Path, origin: &Name) -> Contents {
    let dir =
        path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new(".")).to_owned();
    let mut reader = Reader::new(Some(dir.clone()));
    match reader.slurp(path) {
        Ok(source) => reader.read(&source, path, Scope::new(origin, dir)),
        Err(reason) => reader.contents.problems.push(Problem {
            place: path.display().to_string(),
            message: format!("cannot read the zone file: {reason}; check the path and its permissions"),
        }),
    }
    reader.contents
}

/// Reads a zone file that is at hand as text and is called `name` in messages. It includes no other file.
pub(super) fn read_text(name: &str, text: impl AsRef<[u8]>, origin: &Name) -> Contents {
    let mut reader = Reader::new(None);
    reader.read(text.as_ref(), Path::new(name), Scope::new(origin, PathBuf::new()));
    reader.contents
}

/// What a line of a file may leave out. An included file begins with its includer's, and gives nothing back.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    origin: Name,
    /// `$TTL`.
    default_ttl: Option<u32>,
    /// It is the MINIMUM of the SOA of this zone.
    is_implied: bool,
    /// The last TTL written at a record: it stands in where there is no `$TTL` (RFC 1035, section 5.1).
    last_ttl: Option<u32>,
    last_owner: Option<Name>,
    /// The directory of the file, for `$INCLUDE`.
    dir: PathBuf,
    file: usize,
    depth: usize,
}

impl Scope {
    pub(super) fn new(origin: &Name, dir: PathBuf) -> Self {
        Self {
            origin: origin.clone(),
            default_ttl: None,
            is_implied: false,
            last_ttl: None,
            last_owner: None,
            dir,
            file: 0,
            depth: 0,
        }
    }
}

pub(super) struct Reader {
    pub(super) contents: Contents,
    /// The directory of the zone file. No included file lies outside of it; `None` where nothing may be
    /// included.
    root: Option<PathBuf>,
    /// How many bytes the zone file and what it includes may still have.
    bytes_left: u64,
    /// A SOA begins a zone, for which the TTLs of the zone before it do not stand in.
    is_pack: bool,
}

impl Reader {
    fn new(root: Option<PathBuf>) -> Self {
        Self { contents: Contents::default(), root, bytes_left: ZONE_FILE_LEN_MAX, is_pack: false }
    }

    /// A reader of zones that follow each other.
    pub(super) fn of_pack() -> Self {
        Self { is_pack: true, ..Self::new(None) }
    }

    /// The bytes of a file; not those of a pipe or device, which might never end or never begin.
    fn slurp(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let words = |error: std::io::Error| error.to_string();
        if !path.metadata().map_err(words)?.is_file() {
            return Err("not a regular file".to_owned());
        }
        let source = files::read(path, self.bytes_left).map_err(words)?;
        self.bytes_left = self.bytes_left.checked_sub(source.len() as u64).ok_or_else(|| {
            format!("longer than {} MiB with the files it includes", ZONE_FILE_LEN_MAX >> 20)
        })?;
        Ok(source)
    }

    /// Reads one file, entry by entry, on through mistakes.
    fn read(&mut self, source: &[u8], path: &Path, mut scope: Scope) {
        scope.file = self.contents.files.len();
        self.contents.files.push(path.display().to_string());
        if let Some(encoding) = foreign_encoding(source) {
            let message = format!("the file is in {encoding}: save it as UTF-8, or as plain ASCII");
            return self.contents.problems.push(Problem { place: path.display().to_string(), message });
        }
        // A line may end with CR alone, as it did on old Macs.
        let is_old_mac = source.contains(&b'\r') && !source.contains(&b'\n');
        let with_newlines = || source.iter().map(|&byte| if byte == b'\r' { b'\n' } else { byte }).collect();
        let source = if is_old_mac { &Cow::<[u8]>::Owned(with_newlines()) } else { &Cow::Borrowed(source) };
        for entry in Entries::new(source) {
            let done = match entry {
                Ok(entry) => self.entry(&mut scope, &entry),
                Err(mistake) => Err(mistake),
            };
            if let Err(mistake) = done {
                let place = format!("{}:{}:{}", path.display(), mistake.line, column(source, mistake.at));
                self.contents.problems.push(Problem { place, message: mistake.message });
            }
            if self.contents.problems.len() >= ZONE_PROBLEMS_MAX {
                return self.give_up();
            }
        }
    }

    /// Says once, under the name of the zone file, that the rest was not read.
    fn give_up(&mut self) {
        if self.contents.problems.len() == ZONE_PROBLEMS_MAX {
            let message = "too many errors: fix these first, the rest was not read".to_owned();
            self.contents.problems.push(Problem { place: self.contents.files[0].clone(), message });
        }
    }

    pub(super) fn entry(&mut self, scope: &mut Scope, entry: &Entry<'_>) -> Result<(), Mistake> {
        let first = &entry.tokens[0];
        if first.raw.starts_with(b"$") {
            return self.directive(scope, first, &entry.tokens[1..]);
        }
        if self.contents.records.len() >= ZONE_RECORDS_MAX {
            return Err(first.mistake(format!("more than {ZONE_RECORDS_MAX} records: split the zone")));
        }
        let (owner, rest) = if entry.blank {
            let owner = scope.last_owner.clone().ok_or_else(|| {
                first.mistake("the line begins with a blank, but there is no previous owner name")
            })?;
            (owner, entry.tokens.as_slice())
        } else {
            (name(first, &scope.origin)?, &entry.tokens[1..])
        };
        // The owner holds for the lines below it even where the rest of its own line is wrong.
        scope.last_owner = Some(owner.clone());
        let record = self.record(scope, owner, first, rest)?;
        self.contents.records.push(Placed { record, file: scope.file, line: first.line });
        Ok(())
    }

    fn record(
        &mut self,
        scope: &mut Scope,
        owner: Name,
        first: &Token<'_>,
        rest: &[Token<'_>],
    ) -> Result<Record, Mistake> {
        let header = Header::new(first, rest)?;
        let rtype = header.rtype.to_int();
        if self.is_pack && rtype == rtype::SOA {
            scope.last_ttl = None;
            scope.default_ttl = scope.default_ttl.filter(|_| !scope.is_implied);
        }
        scope.last_ttl = header.ttl.or(scope.last_ttl);
        if let Some(reason) = type_refusal(rtype) {
            return Err(header.rtype_token.mistake(reason));
        }
        let rdata = rdata::read(header.rtype, header.rtype_token, header.rdata, &scope.origin)?;
        let mut ttl = header.ttl.or(scope.default_ttl).or(scope.last_ttl);
        if ttl.is_none() && rtype == rtype::SOA {
            ttl = Some(self.minimum_as_ttl(scope, first, &rdata));
        }
        let ttl = ttl.ok_or_else(|| {
            first.mistake(
                "the record has no TTL and there is no default: put `$TTL 1h` at the top of the file",
            )
        })?;
        Ok(Record { owner, rtype, ttl, rdata })
    }

    /// The MINIMUM of a SOA that nothing gives a TTL. It is the default of the file then, as before RFC 2308,
    /// and as in BIND.
    fn minimum_as_ttl(&mut self, scope: &mut Scope, first: &Token<'_>, rdata: &[u8]) -> u32 {
        let minimum = rdata.last_chunk().map_or(0, |minimum| u32::from_be_bytes(*minimum)).min(TTL_MAX);
        (scope.default_ttl, scope.is_implied) = (Some(minimum), true);
        self.contents.warnings.push(Problem {
            place: format!("{}:{}", self.contents.files[scope.file], first.line),
            message: format!(
                "the file has no default TTL, so the {minimum} s of the SOA's MINIMUM stand in: put \
                 `$TTL 1h` at its top"
            ),
        });
        minimum
    }

    fn directive(
        &mut self,
        scope: &mut Scope,
        directive: &Token<'_>,
        values: &[Token<'_>],
    ) -> Result<(), Mistake> {
        let word = directive.text().to_ascii_uppercase();
        let one = |what: &str| match values {
            [value] => Ok(value),
            [] => Err(directive.mistake(format!("{word} needs {what}"))),
            [_, extra, ..] => Err(extra.mistake(format!("{word} takes {what} and nothing else"))),
        };
        match word.as_str() {
            "$TTL" => {
                (scope.default_ttl, scope.is_implied) = (Some(ttl(one("a time")?)?), false);
            }
            "$ORIGIN" => scope.origin = name(one("a name")?, &scope.origin)?,
            "$INCLUDE" => match values {
                [path] => self.include(scope, path, None)?,
                [path, origin] => self.include(scope, path, Some(origin))?,
                _ => return Err(directive.mistake("$INCLUDE takes a file and an optional origin")),
            },
            "$GENERATE" => self.generate(scope, directive, values)?,
            _ => {
                let message =
                    format!("unknown directive `{word}`: there are $TTL, $ORIGIN, $INCLUDE and $GENERATE");
                return Err(directive.mistake(message));
            }
        }
        Ok(())
    }

    /// Reads the lines that a `$GENERATE` stands for, each as if it stood in its place.
    fn generate(
        &mut self,
        scope: &mut Scope,
        directive: &Token<'_>,
        values: &[Token<'_>],
    ) -> Result<(), Mistake> {
        for line in generate::lines(directive, values)? {
            let line = line?;
            // No line begins with `$`: what is generated is no directive.
            let entry =
                Entries::new(&line).next().unwrap_or_else(|| Err(directive.mistake("the line is empty")));
            entry.and_then(|entry| self.entry(scope, &entry)).map_err(|mistake| {
                let line = shorten(&String::from_utf8_lossy(&line));
                directive.mistake(format!("{}; generated: `{line}`", mistake.message))
            })?;
            if let Some(placed) = self.contents.records.last_mut() {
                placed.line = directive.line;
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        scope: &Scope,
        path: &Token<'_>,
        origin: Option<&Token<'_>>,
    ) -> Result<(), Mistake> {
        let mut inner = scope.clone();
        if let Some(origin) = origin {
            inner.origin = name(origin, &scope.origin)?;
        }
        inner.depth += 1;
        if inner.depth > ZONE_INCLUDE_DEPTH_MAX {
            let message = format!(
                "$INCLUDE is nested deeper than {ZONE_INCLUDE_DEPTH_MAX} files: does a file include itself?"
            );
            return Err(path.mistake(message));
        }
        let text = String::from_utf8_lossy(path.raw).replace('"', "");
        let shown = scope.dir.join(&text);
        let refused = |reason: &str| path.mistake(format!("cannot include `{}`: {reason}", shorten(&text)));
        let root = self.root.as_ref().ok_or_else(|| refused("all of it stands in one file"))?;
        let root = root.canonicalize().map_err(|error| refused(&error.to_string()))?;
        let real = shown.canonicalize().map_err(|error| refused(&error.to_string()))?;
        if !real.starts_with(&root) {
            return Err(refused("it is outside the directory of the zone file: move it there"));
        }
        let source = self.slurp(&real).map_err(|reason| refused(&reason))?;
        inner.dir = shown.parent().map_or_else(PathBuf::new, Path::to_owned);
        self.read(&source, &shown, inner);
        Ok(())
    }
}

/// The encoding of a text in which ASCII is not one byte for a character.
pub(super) fn foreign_encoding(source: &[u8]) -> Option<&'static str> {
    match source {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => Some("UTF-32"),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("UTF-16"),
        // A zone file begins with ASCII, and NUL is never a part of one.
        [0, ..] | [_, 0, ..] => Some("UTF-16"),
        _ => None,
    }
}

/// What stands between owner and rdata.
struct Header<'t, 's> {
    ttl: Option<u32>,
    rtype: Rtype,
    rtype_token: Token<'s>,
    rdata: &'t [Token<'s>],
}

impl<'t, 's> Header<'t, 's> {
    /// Reads `[TTL] [class] type` or `[class] [TTL] type`.
    fn new(first: &Token<'s>, tokens: &'t [Token<'s>]) -> Result<Self, Mistake> {
        let (mut time, mut seen_class) = (None, false);
        for (index, token) in tokens.iter().enumerate() {
            if let Some(rtype) = usual(token.raw) {
                return Ok(Self { ttl: time, rtype, rtype_token: *token, rdata: &tokens[index + 1..] });
            }
            let text = token.text();
            if text.starts_with(|first: char| first.is_ascii_digit()) && time.is_none() {
                time = Some(ttl(token)?);
            } else if token.raw.eq_ignore_ascii_case(b"IN") && !seen_class {
                seen_class = true;
            } else if let Ok(rtype) = Rtype::from_str(&text) {
                return Ok(Self { ttl: time, rtype, rtype_token: *token, rdata: &tokens[index + 1..] });
            } else if let Ok(class) = Class::from_str(&text)
                && !seen_class
            {
                if class.to_int() != class::IN {
                    return Err(token.mistake(format!("class {text}: only zones of class IN are served")));
                }
                seen_class = true;
            } else {
                let text = shorten(&text);
                let message =
                    format!("unknown record type `{text}`; a line without an owner begins with a blank");
                return Err(token.mistake(message));
            }
        }
        let last = tokens.last().unwrap_or(first);
        Err(last.mistake("the record ends before its type"))
    }
}

/// The types of nearly all records: their names are compared before all others.
fn usual(word: &[u8]) -> Option<Rtype> {
    const USUAL: [(&[u8], Rtype); 8] = [
        (b"A", Rtype::A),
        (b"NS", Rtype::NS),
        (b"SOA", Rtype::SOA),
        (b"AAAA", Rtype::AAAA),
        (b"CNAME", Rtype::CNAME),
        (b"MX", Rtype::MX),
        (b"TXT", Rtype::TXT),
        (b"PTR", Rtype::PTR),
    ];
    USUAL.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, rtype)| *rtype)
}

fn ttl(token: &Token<'_>) -> Result<u32, Mistake> {
    let seconds = seconds(token)?;
    if seconds > TTL_MAX {
        return Err(token.mistake(format!("a TTL is at most {TTL_MAX} seconds (RFC 2181, section 8)")));
    }
    Ok(seconds)
}
