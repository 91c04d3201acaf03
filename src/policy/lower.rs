//! From what is written to terms: what rules may speak of is looked up here.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::expr::{Expr, TermId};
use super::language::{FieldId, Kind};
use super::names::NamesBuilder;
use super::networks::NetworksBuilder;
use super::phase::Phase;
use super::term::{Check, Dimension, Numbers, Term};
use super::tree::{At, Cond, Mistake, Op, Test, Value};
use crate::limits::{RULE_NAMES_MAX, RULE_NETWORKS_MAX};

/// What words of rules are looked up in.
#[derive(Debug)]
pub(super) struct Known<'a> {
    pub(super) colo: &'a str,
    pub(super) node: &'a str,
    pub(super) listeners: &'a [SocketAddr],
    /// Names of upstreams, by their ids.
    pub(super) upstreams: Vec<String>,
    pub(super) apps: Vec<String>,
    /// Tags that a rule sets, by their bits.
    pub(super) tags: Vec<String>,
    pub(super) has_databases: bool,
}

/// The terms of all rules, and what their lists are made from.
#[derive(Debug, Default)]
pub(super) struct Lowering {
    pub(super) terms: Vec<Term>,
    pub(super) names: NamesBuilder,
    pub(super) networks: [NetworksBuilder; 2],
    /// How many lists each dimension has.
    lists: [u32; 3],
    /// How many names and networks are listed.
    names_len: usize,
    networks_len: usize,
}

impl Lowering {
    /// The terms of a condition.
    pub(super) fn cond(&mut self, cond: &Cond, known: &Known<'_>) -> Result<Expr, Mistake> {
        let mut parts = |parts: &[Cond]| -> Result<Vec<Expr>, Mistake> {
            parts.iter().map(|part| self.cond(part, known)).collect()
        };
        Ok(match cond {
            // A term as others: what is never true is told of with it.
            Cond::Any => Expr::Term(self.term(Check::Constant(true), false, FieldId::Colo, "any".into())),
            Cond::Test(test) => {
                let check = self.check(test, known)?;
                Expr::Term(self.term(check, test.is_negated, test.field, test.text.clone()))
            }
            Cond::Not(inner) => Expr::Not(Box::new(self.cond(inner, known)?)),
            Cond::And(inner) => Expr::And(parts(inner)?),
            Cond::Or(inner) => Expr::Or(parts(inner)?),
        })
    }

    /// That the client is of one of these networks.
    pub(super) fn allowed(&mut self, networks: &[IpNet], at: usize) -> Result<Expr, Mistake> {
        let shown = match networks {
            [one] => format!("{one}"),
            [first, rest @ ..] => format!("{first} ... and {} more", rest.len()),
            [] => String::new(),
        };
        let check = self.networks(Dimension::Src, networks, at)?;
        Ok(Expr::Term(self.term(check, false, FieldId::Src, format!("src in {{{shown}}} (allow)"))))
    }

    fn term(&mut self, check: Check, is_negated: bool, field: FieldId, text: String) -> TermId {
        self.terms.push(Term { check, is_negated, field, text });
        self.terms.len() as TermId - 1
    }

    fn check(&mut self, test: &Test, known: &Known<'_>) -> Result<Check, Mistake> {
        let row = test.field.row();
        Ok(match row.kind {
            Kind::Text => {
                let ours = if test.field == FieldId::Colo { known.colo } else { known.node };
                Check::Constant(texts(test).any(|text| text.it == ours))
            }
            Kind::Network => {
                let side = if test.field == FieldId::Src { Dimension::Src } else { Dimension::Dst };
                let networks: Vec<IpNet> =
                    test.values.iter().filter_map(|value| network(&value.it)).collect();
                self.networks(side, &networks, test.at)?
            }
            Kind::Name => self.names(test)?,
            Kind::Listener => listeners(test, known.listeners),
            Kind::Upstream => upstreams(test, known)?,
            Kind::Tag => tags(test, &known.tags),
            Kind::App => apps(test, &known.apps)?,
            Kind::Ratio => match test.values.first().map(|value| &value.it) {
                Some(Value::Ratio(some, all)) => Check::Sample(*some, *all),
                _ => Check::Constant(false),
            },
            Kind::Country | Kind::Asn if !known.has_databases => {
                let message = format!(
                    "`{}` needs a database that says where addresses are: `[sources] databases`",
                    row.name
                );
                return Err(Mistake::new(test.at, message));
            }
            _ => Check::Number(test.field, numbers(test.op, numbers_of(test))),
        })
    }

    fn networks(&mut self, side: Dimension, networks: &[IpNet], at: usize) -> Result<Check, Mistake> {
        self.networks_len += networks.len();
        if self.networks_len > RULE_NETWORKS_MAX {
            return Err(Mistake::new(at, format!("all rules list more than {RULE_NETWORKS_MAX} networks")));
        }
        let list = self.next_list(side);
        self.networks[side as usize - Dimension::Src as usize].add(list, networks);
        Ok(Check::List(side, list))
    }

    fn names(&mut self, test: &Test) -> Result<Check, Mistake> {
        self.names_len += test.values.len();
        if self.names_len > RULE_NAMES_MAX {
            return Err(Mistake::new(test.at, format!("all rules list more than {RULE_NAMES_MAX} names")));
        }
        let list = self.next_list(Dimension::Name);
        for value in &test.values {
            if let Value::Name(name) = &value.it {
                self.names.add(list, name, test.field == FieldId::QnameSuffix);
            }
        }
        Ok(Check::List(Dimension::Name, list))
    }

    fn next_list(&mut self, dimension: Dimension) -> u32 {
        let list = &mut self.lists[dimension as usize];
        *list += 1;
        *list - 1
    }
}

/// Whether a test of the phase is true in it.
pub(super) fn is_in_phase(check: &Check, phase: Phase) -> bool {
    matches!(check, Check::Number(FieldId::Phase, numbers) if numbers.has(phase as u64))
}

fn texts(test: &Test) -> impl Iterator<Item = At<&str>> {
    test.values.iter().filter_map(|value| match &value.it {
        Value::Text(text) => Some(At { at: value.at, it: &**text }),
        _ => None,
    })
}

fn network(value: &Value) -> Option<IpNet> {
    match value {
        Value::Network(network) => Some(*network),
        _ => None,
    }
}

fn numbers_of(test: &Test) -> Vec<u64> {
    let number = |value: &At<Value>| match value.it {
        Value::Number(number) => Some(number),
        _ => None,
    };
    test.values.iter().filter_map(number).collect()
}

fn numbers(op: Op, mut numbers: Vec<u64>) -> Numbers {
    if let (false, [than]) = (op == Op::In, &*numbers) {
        return Numbers::Compared(op, *than);
    }
    if numbers.iter().all(|number| *number < 64) {
        return Numbers::Bits(numbers.iter().fold(0, |bits, number| bits | 1 << number));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Numbers::Sorted(numbers.into())
}

/// The listeners that a test names. Rules that are the same on many nodes may name some that are not here.
fn listeners(test: &Test, listeners: &[SocketAddr]) -> Check {
    let is_named = |at: usize, listener: &SocketAddr| {
        test.values.iter().any(|value| match value.it {
            Value::Number(place) => place == at as u64,
            Value::Listener(ip, port) => {
                IpAddr::to_canonical(&ip) == listener.ip().to_canonical()
                    && port.is_none_or(|port| port == listener.port())
            }
            _ => false,
        })
    };
    let named = listeners.iter().enumerate().filter(|(at, listener)| is_named(*at, listener));
    let named: Vec<u64> = named.map(|(at, _)| at as u64).collect();
    if named.is_empty() {
        return Check::Constant(false);
    }
    Check::Number(FieldId::Listener, numbers(Op::In, named))
}

fn upstreams(test: &Test, known: &Known<'_>) -> Result<Check, Mistake> {
    let mut ids = Vec::new();
    for text in texts(test) {
        ids.push(upstream(text.it, text.at, &known.upstreams)? as u64);
    }
    Ok(Check::Number(FieldId::Upstream, numbers(Op::In, ids)))
}

/// The id of an upstream.
pub(super) fn upstream(name: &str, at: usize, known: &[String]) -> Result<usize, Mistake> {
    let found = known.iter().position(|known| known == name);
    found.ok_or_else(|| match known.is_empty() {
        true => Mistake::new(at, format!("there is no `[[upstream]]`, so none is called `{name}`")),
        false => Mistake::unknown(at, format!("no `[[upstream]]` is called `{name}`"), name, known),
    })
}

fn tags(test: &Test, known: &[String]) -> Check {
    let bit = |tag: At<&str>| known.iter().position(|known| known == tag.it);
    let bits = texts(test).filter_map(bit).fold(0, |bits, bit| bits | 1 << bit);
    if bits == 0 { Check::Constant(false) } else { Check::Tags(bits) }
}

fn apps(test: &Test, known: &[String]) -> Result<Check, Mistake> {
    let mut ids = Vec::new();
    for text in texts(test) {
        ids.push(app(text.it, text.at, known)? as u64);
    }
    Ok(Check::Number(FieldId::App, numbers(Op::In, ids)))
}

/// The number of an application.
pub(super) fn app(name: &str, at: usize, known: &[String]) -> Result<usize, Mistake> {
    let found = known.iter().position(|known| known == name);
    found.ok_or_else(|| match known.is_empty() {
        true => Mistake::new(at, format!("there are no applications, so none is called `{name}`")),
        false => Mistake::unknown(at, format!("no application is called `{name}`"), name, known),
    })
}
