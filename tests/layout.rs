//! The way of a query as the machine sees it: from the loop of a shard on, through every function that can be
//! reached, there is no atomic read-modify-write, and no call to the outside but those listed here. Thus no
//! two shards wait for each other. What is handed over is rung for once a batch: with a fence, and where the
//! worker sleeps with the only `write` on the way.
//!
//! What is not followed: panics, which end the process; the allocator, which has atomic operations and is not
//! entered per query (tests/no_alloc.rs); and what is done by the clock. That the memory of two shards shares
//! no cache lines is tested where it is laid out (stats/counters.rs).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::daemon::program;
use common::skip::skipped;

/// What the way of a query may call of the C library.
const CALLS: [&str; 14] = [
    "__errno_location",
    "bcmp",
    "clock_gettime",
    "getsockopt",
    "memcmp",
    "memcpy",
    "memmove",
    "memset",
    "poll",
    "recvmmsg",
    "sendmmsg",
    "setsockopt",
    "syscall",
    "write",
];

/// A function of the program, by its address.
type Address = u64;

struct Function {
    name: String,
    instructions: Vec<String>,
}

/// What stands at an address that the loader fills in.
enum Loaded {
    Inside(Address),
    Outside(String),
}

struct Program {
    functions: BTreeMap<Address, Function>,
    loaded: BTreeMap<Address, Loaded>,
}

/// Where an instruction can lead.
enum Target {
    Function(Address),
    Outside(String),
    /// A place that only a register or memory knows.
    Unknown,
}

fn objdump(arguments: &[&str]) -> String {
    let output = Command::new("objdump").args(arguments).arg(program()).output().expect("objdump (binutils)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn hex(text: &str) -> Option<Address> {
    Address::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

impl Program {
    fn read() -> Self {
        let mut functions = BTreeMap::new();
        let mut at = 0;
        for line in objdump(&["-d", "-C", "--no-show-raw-insn"]).lines() {
            if let Some((address, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
                at = hex(address).expect("an address");
                functions.insert(at, Function { name: name.to_owned(), instructions: Vec::new() });
            } else if let Some((_, instruction)) = line.split_once(":\t")
                && let Some(function) = functions.get_mut(&at)
            {
                function.instructions.push(instruction.to_owned());
            }
        }
        let mut loaded = BTreeMap::new();
        for line in objdump(&["-R"]).lines() {
            let [address, kind, value] = line.split_whitespace().collect::<Vec<_>>()[..] else { continue };
            let Some(address) = hex(address).filter(|_| kind.starts_with("R_X86_64_")) else { continue };
            let target = match value.strip_prefix("*ABS*+0x").and_then(hex) {
                Some(inside) => Loaded::Inside(inside),
                None => Loaded::Outside(value.split('@').next().unwrap_or_default().to_owned()),
            };
            loaded.insert(address, target);
        }
        Self { functions, loaded }
    }

    /// Where an instruction can lead, if it calls, jumps out of its function or loads what can be called.
    fn target(&self, instruction: &str) -> Option<Target> {
        let (code, operands) = instruction.split_once(char::is_whitespace)?;
        let is_call = code.starts_with("call");
        // What the loader filled in: `call *0x1(%rip)  # 4c8278 <...>`, or a load of it, to be called later.
        if let Some((_, comment)) =
            operands.split_once("(%rip)").filter(|_| is_call || code.starts_with('j') || code == "mov")
            && let Some(address) =
                comment.split_once("# ").and_then(|(_, rest)| hex(rest.split(' ').next()?))
            && let Some(loaded) = self.loaded.get(&address)
        {
            return match loaded {
                Loaded::Inside(address) => {
                    self.functions.contains_key(address).then_some(Target::Function(*address))
                }
                Loaded::Outside(name) => Some(Target::Outside(name.clone())),
            };
        }
        if operands.trim_start().starts_with('*') {
            // Through a register: what it holds was loaded above, or it is a jump table within the function.
            let is_register = operands.trim_start().starts_with("*%");
            return (!is_register).then_some(Target::Unknown);
        }
        if !is_call && !code.starts_with('j') {
            return None;
        }
        let address = hex(operands.trim_start().split(' ').next()?)?;
        let name = &self.functions.get(&address)?.name;
        match name.strip_suffix("@plt") {
            Some(outside) => Some(Target::Outside(outside.split('@').next()?.to_owned())),
            None => Some(Target::Function(address)),
        }
    }
}

/// An atomic read-modify-write: `lock` before an instruction, or an exchange with memory. A fence is none,
/// though compilers write it as one that changes nothing, on the stack of its own thread.
fn is_atomic(instruction: &str) -> bool {
    let is_fence = instruction.starts_with("lock orl $0x0,-") && instruction.ends_with("(%rsp)");
    instruction.starts_with("lock") && !is_fence
        || instruction.starts_with("xchg") && instruction.contains('(')
}

/// Whether the way of a query ends before this function.
fn is_beyond(name: &str) -> bool {
    let allocator = ["mi_", "_mi_"].iter().any(|start| name.starts_with(start))
        || [
            "__rust_alloc",
            "__rust_dealloc",
            "__rust_realloc",
            "__rust_no_alloc",
            "RawVec",
            "raw_vec",
            "handle_alloc_error",
        ]
        .iter()
        .any(|part| name.contains(part));
    // Once in a while a histogram changes hands, through channels; and once for each reload a snapshot,
    // before the first answer of a turn.
    let by_the_clock =
        ["Stopwatch::hand_over", "Follower::change_over"].iter().any(|part| name.contains(part));
    let panics = ["panicking", "panic_", "_panic", "expect_failed", "unwrap_failed", "_fail", "_Unwind_"];
    let is_ours = ["as112d::", "<as112d::"].iter().any(|start| name.starts_with(start));
    allocator || by_the_clock || !is_ours && panics.iter().any(|part| name.contains(part))
}

#[test]
#[ignore = "looks at the program as it is shipped: tests/run"]
fn the_way_of_a_query_has_no_atomic_read_modify_write() {
    if !cfg!(target_arch = "x86_64") {
        return skipped("other processors name these instructions otherwise");
    }
    let program = Program::read();
    let atomics = |function: &Function| function.instructions.iter().filter(|line| is_atomic(line)).count();
    let everywhere: usize = program.functions.values().map(atomics).sum();
    assert!(everywhere > 100, "the program has them, and they are seen: {everywhere}");

    let is_loop = |function: &Function| function.name.contains("net::udp::Shard::turns");
    let root = program.functions.iter().find(|(_, function)| is_loop(function));
    let root = *root.expect("the loop is a function of its own").0;
    let mut ways: BTreeMap<Address, String> = BTreeMap::from([(root, "the loop".to_owned())]);
    let mut waiting = vec![root];
    let (mut outside, mut wrong) = (BTreeSet::new(), Vec::new());
    while let Some(address) = waiting.pop() {
        let (function, way) = (&program.functions[&address], ways[&address].clone());
        for instruction in &function.instructions {
            if is_atomic(instruction) {
                wrong.push(format!("{instruction}: {way}"));
            }
            match program.target(instruction) {
                Some(Target::Function(next)) if !ways.contains_key(&next) => {
                    let name = &program.functions[&next].name;
                    if !is_beyond(name) {
                        ways.insert(next, format!("{name} <- {way}"));
                        waiting.push(next);
                    }
                }
                Some(Target::Outside(name)) => {
                    outside.insert(name);
                }
                // The last act of an error's box, whose kinds only the vtable knows.
                Some(Target::Unknown) if !function.name.contains("drop_in_place") => {
                    wrong.push(format!("{instruction}: {way}"));
                }
                Some(Target::Function(_) | Target::Unknown) | None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "on the way of a query:\n{}", wrong.join("\n"));

    // Inlining moves names about; rooms that are on the way are seen by some of theirs.
    for room in ["as112d::serve::", "as112d::answer::", "as112d::dns::", "as112d::sys::"] {
        assert!(ways.values().any(|way| way.contains(room)), "{room}: {:#?}", ways.values());
    }
    for call in ["syscall", "recvmmsg", "sendmmsg"] {
        assert!(outside.contains(call), "both datapaths are on the way: {outside:?}");
    }
    outside.retain(|name| !CALLS.contains(&name.as_str()) && !is_beyond(name));
    assert!(outside.is_empty(), "calls that the way of a query has no business with: {outside:?}");
    println!("report: {} functions on the way of a query, none with an atomic read-modify-write", ways.len());
}
