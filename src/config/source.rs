//! The text of the configuration file, and the places of mistakes in it.

use std::path::{Path, PathBuf};

use super::doors::ControlPath;
use super::written::{Mistake, Origin};
use crate::limits::CONFIG_LEN_MAX;
use crate::problem::Problem;
use crate::sys::files;

/// The file, or an empty one where there is none.
#[derive(Default)]
pub(super) struct Source {
    /// As the operator wrote it.
    pub(super) name: String,
    /// What its relative paths are relative to.
    pub(super) dir: PathBuf,
    pub(super) text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    /// What is at `path`, or what is not there without one.
    pub(super) fn of(path: Option<&Path>) -> Result<Self, Vec<Problem>> {
        path.map_or_else(|| Ok(Self::default()), Self::open).map_err(|problem| vec![problem])
    }

    pub(super) fn open(path: &Path) -> Result<Self, Problem> {
        let name = path.display().to_string();
        let problem = |message: String| Problem { place: name.clone(), message };
        let cannot = |error| problem(format!("cannot be read ({error}); give a readable file with --config"));
        let bytes = files::read(path, CONFIG_LEN_MAX).map_err(cannot)?;
        if bytes.len() as u64 > CONFIG_LEN_MAX {
            return Err(problem(format!("is longer than {CONFIG_LEN_MAX} bytes; is it the configuration?")));
        }
        Self::of_bytes(name, path, bytes)
    }

    /// What was read at `path`.
    pub(super) fn of_bytes(name: String, path: &Path, bytes: Vec<u8>) -> Result<Self, Problem> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = valid.split(|&byte| byte == b'\n').count();
            Problem {
                place: format!("{name}:{line}"),
                message: "is not UTF-8 text; save it as UTF-8".to_owned(),
            }
        })?;
        Ok(Self::new(name, path, text))
    }

    pub(super) fn new(name: String, path: &Path, text: String) -> Self {
        let dir = path.parent().map(Path::to_owned).unwrap_or_default();
        let ends = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { name, dir, text, lines }
    }

    /// A path of the file begins where the file is.
    pub(super) fn control(&self, path: ControlPath) -> ControlPath {
        match path {
            ControlPath::At(path) => ControlPath::At(self.dir.join(path)),
            path => path,
        }
    }

    /// `file:line:column`, both from 1, the column in characters; or the option's name.
    pub(super) fn place(&self, origin: Origin) -> String {
        match origin {
            Origin::Default => String::new(),
            Origin::Flag(name) => name.to_owned(),
            Origin::File(at) => {
                let line = self.lines.partition_point(|&start| start <= at);
                let start = self.lines[line - 1];
                let column =
                    self.text[start..].char_indices().take_while(|(offset, _)| start + offset < at).count()
                        + 1;
                format!("{}:{line}:{column}", self.name)
            }
        }
    }

    pub(super) fn problem(&self, mistake: &Mistake) -> Problem {
        // Texts of the file are quoted in messages; a message is one line whatever they hold.
        let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
        let message = mistake.message.chars().map(escape).collect();
        Problem { place: self.place(mistake.origin), message }
    }
}
