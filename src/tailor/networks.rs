//! Files of networks as rules of both families.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::lists::Lists;
use crate::limits::NETWORK_PROBLEMS_MAX;
use crate::nets::file::{self, Network};
use crate::nets::{Key, Rule};
use crate::problem::Problem;

/// How much of an address resolvers tell, by the advice of RFC 7871 (section 11.1): what is longer they do
/// not see.
const TOLD_V4: u8 = 24;
const TOLD_V6: u8 = 56;

/// What files say, in order.
#[derive(Debug, Default)]
pub(super) struct Networks {
    pub(super) v4: Vec<Rule<u32>>,
    pub(super) v6: Vec<Rule<u128>>,
}

impl Networks {
    pub(super) fn read<'a, P: IntoIterator<Item = &'a PathBuf> + Copy>(
        paths: P,
        may_be_absent: bool,
        lists: &mut Lists<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut networks = Self::default();
        for path in paths {
            file::read(path, may_be_absent, problems, |line| {
                let network = Network::read(line.key)?;
                let choice = lists.read(line.value)?;
                match network {
                    Network::V4(first, len) => networks.v4.push(Rule { first, choice, len }),
                    Network::V6(first, len) => networks.v6.push(Rule { first, choice, len }),
                }
                Ok(())
            });
        }
        let twice_v4 = order(&mut networks.v4).into_iter().map(|(first, len)| Network::V4(first, len));
        let twice_v6 = order(&mut networks.v6).into_iter().map(|(first, len)| Network::V6(first, len));
        let twice: HashSet<Network> = twice_v4.chain(twice_v6).collect();
        if !twice.is_empty() {
            conflicts(&twice, paths, lists, problems);
        }
        networks
    }

    /// Of each family how many networks are longer than what resolvers tell.
    pub(super) fn unseen(&self) -> [usize; 2] {
        [
            self.v4.iter().filter(|rule| rule.len > TOLD_V4).count(),
            self.v6.iter().filter(|rule| rule.len > TOLD_V6).count(),
        ]
    }
}

/// Brings rules into order, each network once. Returns some of those that have two lists.
fn order<K: Key>(rules: &mut Vec<Rule<K>>) -> Vec<(K, u8)> {
    let network = |rule: &Rule<K>| (rule.first, rule.len);
    let mut twice = Vec::new();
    rules.sort_unstable_by_key(network);
    rules.dedup_by(|next, first| {
        let is_same = network(next) == network(first);
        if is_same && { next.choice } != { first.choice } && twice.len() < NETWORK_PROBLEMS_MAX {
            twice.push(network(next));
        }
        is_same
    });
    twice
}

/// Where networks stand that have two lists. For that the files are read again: where each rule stands takes
/// memory, and hardly ever matters.
fn conflicts<'a>(
    twice: &HashSet<Network>,
    paths: impl IntoIterator<Item = &'a PathBuf>,
    lists: &mut Lists<'_>,
    problems: &mut Vec<Problem>,
) {
    let mut seen: HashMap<Network, (u16, &PathBuf, u32)> = HashMap::new();
    let mut found = Vec::new();
    for path in paths {
        file::read(path, true, &mut found, |line| {
            // What else is wrong was said before.
            let (Ok(network), Ok(choice)) = (Network::read(line.key), lists.read(line.value)) else {
                return Ok(());
            };
            if !twice.contains(&network) {
                return Ok(());
            }
            let (first, file, number) = match seen.entry(network) {
                Entry::Vacant(entry) => *entry.insert((choice, path, line.number)),
                Entry::Occupied(entry) => *entry.get(),
            };
            if first == choice {
                return Ok(());
            }
            let place = if file == path {
                format!("on line {number}")
            } else {
                format!("in {}", file::place(file, number))
            };
            Err(format!("{} stands {place} with another list; take one out", line.key))
        });
    }
    let is_new = |problem: &Problem| !problems.contains(problem);
    let mut new: Vec<Problem> = found.into_iter().filter(is_new).collect();
    problems.append(&mut new);
}
