//! The different lists of a map. Addresses with equal lists have equal choices: their ranges are one.

use std::collections::HashMap;

use super::spec::{List, Pop, PopId};
use crate::limits::{LIST_LEN_MAX, LISTS_MAX};
use crate::nets::special;
use crate::problem::edits;

/// The choice of the first list: before it are nothing, and the special blocks.
pub(super) const FIRST: u16 = special::SPECIAL + 1;

/// Lists, each with its choice.
#[derive(Debug)]
pub(super) struct Lists<'a> {
    pops: &'a [Pop],
    lists: Vec<List>,
    choices: HashMap<List, u16>,
    /// What was read before: files repeat few lists many times.
    texts: HashMap<String, u16>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(pops: &'a [Pop]) -> Self {
        Self { pops, lists: Vec::new(), choices: HashMap::new(), texts: HashMap::new() }
    }

    /// The choice of a list.
    ///
    /// # Errors
    /// There are too many.
    pub(super) fn choice(&mut self, list: &List) -> Result<u16, String> {
        if let Some(choice) = self.choices.get(list) {
            return Ok(*choice);
        }
        if self.lists.len() == LISTS_MAX {
            return Err(format!("a map has at most {LISTS_MAX} different lists of PoPs; shorten them"));
        }
        let choice = FIRST + self.lists.len() as u16;
        self.lists.push(list.clone());
        self.choices.insert(list.clone(), choice);
        Ok(choice)
    }

    /// The choice of a list as it is written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(&mut self, text: &str) -> Result<u16, String> {
        if let Some(choice) = self.texts.get(text) {
            return Ok(*choice);
        }
        let choice = self.choice(&list(text, self.pops)?)?;
        self.texts.insert(text.to_owned(), choice);
        Ok(choice)
    }

    /// All of them, the first with the choice [`FIRST`].
    pub(super) fn into_lists(self) -> Vec<List> {
        self.lists
    }
}

/// A list as it is written: `nrt,sfo`.
///
/// # Errors
/// What is wrong with it.
pub fn list(text: &str, pops: &[Pop]) -> Result<List, String> {
    let mut list = List::new();
    for name in text.split(',').map(str::trim) {
        let pop = pop(name, pops)?;
        if list.contains(&pop) {
            return Err(format!("the PoP {name} stands there twice; take one out"));
        }
        if list.try_push(pop).is_err() {
            return Err(format!("more than {LIST_LEN_MAX} PoPs; name the best"));
        }
    }
    Ok(list)
}

fn pop(name: &str, pops: &[Pop]) -> Result<PopId, String> {
    if let Some(at) = pops.iter().position(|pop| pop.name == name) {
        return Ok(at as PopId);
    }
    if name.is_empty() {
        return Err("no PoP; write it as in `192.0.2.0/24 nrt,sfo`".to_owned());
    }
    if name.contains(char::is_whitespace) {
        return Err(format!("`{name}` is not the name of a PoP; separate PoPs with commas"));
    }
    let nearest = pops.iter().map(|pop| (edits(name, &pop.name), &pop.name)).min();
    Err(match nearest {
        Some((wrong, like)) if wrong <= 1 => format!("there is no PoP `{name}`; did you mean `{like}`?"),
        _ => format!("there is no PoP `{name}`; name one of [[pop]]"),
    })
}
