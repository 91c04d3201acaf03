//! `as112d explain NAME TYPE`: which PoP a client gets, and why.

use super::asking::Whereabouts;
use super::control::asked_at;
use super::failure::Failure;
use crate::cli::{ExplainOptions, NodeOptions};
use crate::config;
use crate::config::loaded::compile;
use crate::daemon::why::arrival;
use crate::problem::Problem;
use crate::report::explain::{Explainer, Question};
use crate::stats::labels::Names;

/// Loads everything as `run` would, and explains the answer; all PoPs are taken to be up. Or asks the running
/// node.
///
/// # Errors
/// All that would keep `run` from starting; that there is no answer to explain; if no node answers.
pub fn explain(options: &ExplainOptions) -> Result<String, Failure> {
    let mut asked = Question::read(&options.name, &options.rtype)?;
    (asked.subnet, asked.is_tcp) = (options.subnet, options.tcp);
    asked.resolver = options.resolver.unwrap_or(asked.resolver);
    let (text, json) = match &options.control {
        Some(control) => {
            let node = NodeOptions { config: options.config.config.clone(), control: control.clone() };
            let answer = asked_at(&asked.to_string(), &Whereabouts::of(&node)?.paths)?;
            (answer["text"].as_str().unwrap_or_default().to_owned(), answer["explained"].clone())
        }
        None => {
            let config = config::load(options.config.config.as_deref(), &options.config.flags())?;
            let (_, snapshot) = compile(&config, &Names::default())?;
            let arrival = arrival(&config, asked.is_tcp, Some(asked.resolver), None);
            let arrival = arrival.map_err(Problem::alone)?;
            let explainer = Explainer { snapshot: &snapshot, pops: &[] };
            let explained = explainer.explain(&asked, &arrival)?;
            (explained.text, explained.json)
        }
    };
    Ok(if options.json { format!("{json}\n") } else { text })
}
