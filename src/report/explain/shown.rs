//! An explanation for programs.

use serde_json::{Map, Value, json};

use super::told::{Tailored, Told};
use crate::tailor::spec::List;
use crate::tailor::why::{Asked, Block, Found, Limit, Of};
use crate::tailor::{Layer, Use};

/// All of it as one object.
pub(super) fn json(told: &Told<'_>) -> Value {
    let Told { asked, answer, tailored, .. } = told;
    let addresses: Vec<_> = answer.records.iter().filter_map(|record| record.address).collect();
    let records: Vec<&str> = answer.records.iter().map(|record| record.text.as_str()).collect();
    let mut all = json!({
        "name": asked.name(),
        "type": asked.rtype(),
        "transport": if asked.is_tcp { "tcp" } else { "udp" },
        "resolver": asked.resolver,
        "subnet": asked.subnet,
        "rcode": answer.rcode,
        "truncated": answer.is_truncated,
        "answer": records,
        "addresses": addresses,
        "scope": answer.scope,
        "identity": answer.is_identity,
        "tailored": tailored.is_some(),
    });
    if let (Some(tailored), Some(all)) = (tailored, all.as_object_mut()) {
        all.append(&mut why(told, tailored));
    }
    all
}

fn why(told: &Told<'_>, tailored: &Tailored<'_>) -> Map<String, Value> {
    let Tailored { why, .. } = tailored;
    let choice = why.choice;
    let health: Map<String, Value> = tailored
        .candidates()
        .map(|pop| (tailored.pop(pop).to_owned(), told.health(tailored.pop(pop)).into()))
        .collect();
    let all = json!({
        "pool": tailored.spec.pools[tailored.pool].name,
        "map": tailored.map().name,
        "pop": tailored.pop(choice.pop),
        "layer": choice.layer.name(),
        "subnet_use": use_name(choice.subnet),
        "list": names(tailored, &why.list),
        "health": health,
        "all_down": choice.is_all_down,
        "steps": why.steps.iter().map(|asked| step(tailored, asked)).collect::<Vec<_>>(),
        "without": why.without.as_ref().map(|asked| step(tailored, asked)),
        "block": why.block.as_ref().map(|block| block_of(tailored, block)),
        "loaded": why.is_loaded,
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn use_name(subnet: Use) -> &'static str {
    match subnet {
        Use::None => "none",
        Use::Used => "used",
        Use::Unmapped => "unmapped",
        Use::Private => "private",
        Use::Zero => "zero",
        Use::Ignored => "ignored",
    }
}

fn names<'a>(tailored: &Tailored<'a>, list: &List) -> Vec<&'a str> {
    list.iter().map(|pop| tailored.pop(*pop)).collect()
}

fn step(tailored: &Tailored<'_>, asked: &Asked) -> Value {
    json!({
        "layer": asked.layer.name(),
        "for": if asked.for_resolver { "resolver" } else { "subnet" },
        "files": asked.files,
        "found": asked.found.as_ref().map(|found| found_of(tailored, asked.layer, found)),
    })
}

fn found_of(tailored: &Tailored<'_>, layer: Layer, found: &Found) -> Value {
    let (network, fact, place) = match &found.of {
        Of::Network(network) => (Some(network.to_string()), None, None),
        Of::Fact(fact) => (None, Some(fact.to_string()), None),
        Of::Around(place) => (None, None, Some(super::text::place(place))),
        Of::Everybody => (None, None, None),
    };
    json!({
        "layer": layer.name(),
        "network": network,
        "fact": fact,
        "place": place,
        "list": names(tailored, &found.list),
        "file": found.at.as_ref().map(|(file, _)| file),
        "line": found.at.as_ref().map(|(_, line)| line),
        "comment": Some(&found.comment).filter(|comment| !comment.is_empty()),
    })
}

fn block_of(tailored: &Tailored<'_>, block: &Block) -> Value {
    let limit = |limit: &Limit| {
        let found = limit.found.as_ref();
        json!({
            "address": limit.address,
            "found": found.map(|found| found_of(tailored, Layer::Networks, found)),
            "special": limit.special,
        })
    };
    json!({ "network": block.network, "next": block.limit.as_ref().map(limit) })
}
