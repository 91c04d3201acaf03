//! Whether bytes are a module that can be a guest: told with what to do about it, before anything is run.

use ring::digest::{SHA256, digest};
use wasmi::{ExternType, Module, ValType};

use super::abi::{AREA_LEN, MODULE};
use super::app::Engine;
use super::hostcalls::{HOSTCALLS, Hostcall};
use super::sections::{self, Sections};
use crate::limits::{
    GUEST_FUNCTIONS_MAX, GUEST_GLOBALS_MAX, GUEST_MODULE_LEN_MAX, GUEST_SEGMENTS_MAX, GUEST_TABLES_MAX,
};
use crate::problem::edits;

/// Bytes of a page of linear memory.
const PAGE_LEN: u64 = 65_536;

/// What a module has to export: the name, the parameters, the result.
pub const EXPORTS: [(&str, &[ValType], ValType, &str); 4] = [
    ("as112_abi", &[], ValType::I32, "the version of the interface: 1"),
    (
        "as112_area",
        &[],
        ValType::I32,
        "where the area begins, which the host reads and writes; it stays there",
    ),
    (
        "as112_start",
        &[ValType::I32],
        ValType::I32,
        "called once, with the length of the configuration, whose first 65,536 bytes stand in the reply \
         area; 0 if all is well, else the application cannot be started",
    ),
    (
        "as112_event",
        &[ValType::I32, ValType::I32, ValType::I32],
        ValType::I64,
        "called for each event, with its kind, a token and a length; the verdict, if it is a query",
    ),
];

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

/// Reads and compiles a module.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn read(engine: &Engine, bytes: &[u8], memory: usize) -> Result<Module, Vec<String>> {
    if bytes.len() > GUEST_MODULE_LEN_MAX {
        return Err(vec![format!(
            "has {} bytes, over the limit of {GUEST_MODULE_LEN_MAX}: leave out debugging information (`-C \
             strip=symbols`), and read large tables from the configuration",
            bytes.len()
        )]);
    }
    let sections = sections::read(bytes).map_err(|wrong| vec![wrong])?;
    let wrong = bounds(&sections);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let engine = wasmi::Engine::new(&engine.0);
    let module = Module::new(&engine, bytes).map_err(|error| vec![refused(&error)])?;
    let mut wrong = imports(&module);
    wrong.extend(exports(&module, memory));
    if wrong.is_empty() { Ok(module) } else { Err(wrong) }
}

fn bounds(sections: &Sections) -> Vec<String> {
    let mut wrong = Vec::new();
    if sections.has_start {
        wrong.push(
            "has a start section: what is to be done at the start belongs into `as112_start`".to_owned(),
        );
    }
    let counted = [
        ("functions", sections.functions, GUEST_FUNCTIONS_MAX),
        ("globals", sections.globals, GUEST_GLOBALS_MAX),
        ("tables", sections.tables, GUEST_TABLES_MAX as u32),
        ("segments of data", sections.data, GUEST_SEGMENTS_MAX),
        ("segments of elements", sections.elements, GUEST_SEGMENTS_MAX),
    ];
    for (what, count, most) in counted {
        if count > most {
            wrong.push(format!("has {count} {what}, over the limit of {most}"));
        }
    }
    wrong
}

/// A feature that guests have no use for: words of the validator, the name, and how a compiler is told.
const FEATURES: [(&str, &str, &str); 9] = [
    ("SIMD", "simd128", "simd128"),
    ("threads", "atomics", "atomics"),
    ("atomic", "atomics", "atomics"),
    ("tail call", "tail-call", "tail-call"),
    ("exceptions", "exception-handling", "exception-handling"),
    ("non-constant operator", "extended-const", "extended-const"),
    ("gc feature", "gc", "gc"),
    ("multiple memories", "multimemory", "multimemory"),
    ("memory64", "memory64", "memory64"),
];

/// What the engine says, with what to do.
fn refused(error: &wasmi::Error) -> String {
    let said = error.to_string();
    let feature = FEATURES.iter().find(|(words, ..)| said.to_lowercase().contains(&words.to_lowercase()));
    match feature {
        Some((_, name, flag)) => format!(
            "uses {name}, which guests cannot have ({said}): compile it without, by `-C \
             target-feature=-{flag}` (rustc) or `-mno-{flag}` (clang)"
        ),
        None => format!("is not a module that can be run: {said}"),
    }
}

fn imports(module: &Module) -> Vec<String> {
    let mut wrong = Vec::new();
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        if from != MODULE {
            wrong.push(format!(
                "imports `{name}` of `{from}`: there are hostcalls of `{MODULE}` alone{}",
                if from.starts_with("wasi") { " (no WASI: build for wasm32-unknown-unknown)" } else { "" }
            ));
            continue;
        }
        let Some(known) = HOSTCALLS.iter().find(|known| known.name == name) else {
            wrong.push(format!("imports `{name}`, which is not a hostcall{}", hint(name)));
            continue;
        };
        match import.ty() {
            ExternType::Func(kind) if is_of(known, kind.params(), kind.results()) => {}
            ExternType::Func(kind) => wrong.push(format!(
                "imports `{name}` as {}, but it is {}",
                signature(kind.params(), kind.results()),
                signature(&types(known), &[known.result])
            )),
            _ => wrong.push(format!("imports `{name}`, but not as a function")),
        }
    }
    wrong
}

fn types(known: &Hostcall) -> Vec<ValType> {
    known.parameters.iter().map(|(_, kind)| *kind).collect()
}

fn is_of(known: &Hostcall, parameters: &[ValType], results: &[ValType]) -> bool {
    types(known) == parameters && results == [known.result]
}

/// What was probably meant.
fn hint(name: &str) -> String {
    let distance = |known: &str| edits(name, known);
    let nearest = HOSTCALLS.iter().map(|known| (distance(known.name), known.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= 1 + name.len() / 4 => format!("; did you mean `{nearest}`?"),
        _ => {
            let all: Vec<&str> = HOSTCALLS.iter().map(|known| known.name).collect();
            format!("; there are {}", all.join(", "))
        }
    }
}

fn exports(module: &Module, memory: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    match module.get_export("memory") {
        Some(ExternType::Memory(kind)) => {
            let len = kind.minimum() * PAGE_LEN;
            if len > memory as u64 {
                wrong.push(format!(
                    "has {len} bytes of memory from the start, over the {memory} of `memory` in [limits]: \
                     allow it more, or link it with a smaller stack (`-C link-arg=-zstack-size=16384`)"
                ));
            } else if kind.maximum().is_some_and(|most| most * PAGE_LEN < AREA_LEN as u64) {
                wrong.push(format!("has less memory than the {AREA_LEN} bytes of the area"));
            }
        }
        _ => wrong.push("does not export its memory as `memory`".to_owned()),
    }
    for (name, parameters, result, _) in EXPORTS {
        let wanted = signature(parameters, &[result]);
        match module.get_export(name) {
            Some(ExternType::Func(kind)) if kind.params() == parameters && kind.results() == [result] => {}
            Some(ExternType::Func(kind)) => wrong.push(format!(
                "exports `{name}` as {}, not as {wanted}",
                signature(kind.params(), kind.results())
            )),
            Some(_) => wrong.push(format!("exports `{name}`, but not as a function")),
            None => wrong.push(format!("does not export the function `{name}` {wanted}")),
        }
    }
    wrong
}

/// A type of functions, as WAT has it.
pub(super) fn signature(parameters: &[ValType], results: &[ValType]) -> String {
    let list = |word: &str, kinds: &[ValType]| {
        let kinds: Vec<String> = kinds.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
        if kinds.is_empty() { String::new() } else { format!("({word} {})", kinds.join(" ")) }
    };
    let parts = [list("param", parameters), list("result", results)];
    let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "()".to_owned() } else { parts.join(" ") }
}
