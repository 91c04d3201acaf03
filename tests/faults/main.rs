//! Faults: what the daemon does when the kernel denies, the host lacks, clients misbehave, and others are in
//! the way.
//!
//! Tests that take root, or a tool, say so on stderr and pass where they have neither. Measured figures are
//! printed as `report: NAME VALUE`. Nothing is left behind: processes, networks, control groups and settings
//! end with their test.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/fault.rs"]
mod fault;
#[path = "../common/inject.rs"]
mod inject;
#[path = "../common/mutate.rs"]
#[allow(dead_code, reason = "its dice alone are needed")]
mod mutate;
#[path = "../platform/node.rs"]
#[allow(dead_code, reason = "a part of it is needed")]
mod node;
#[path = "../common/supervised.rs"]
mod supervised;
#[path = "../platform/upstream.rs"]
#[allow(dead_code, reason = "a part of it is needed")]
mod upstream;

mod clock;
mod confined;
mod counters;
mod denied;
mod flood;
mod frozen;
mod host;
mod killed;
mod lossy;
mod memory;
mod odd_files;
mod ports;
mod racing;
mod replies;
mod stop;
mod syn_flood;
mod syscalls;
mod tcp;
mod threads;
mod workers;
