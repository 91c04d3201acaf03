//! Answers in the driver: the program alone, frame by frame, against what the sockets would have sent; and
//! a node with it on an interface, in network namespaces that the test makes.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/mutate.rs"]
#[expect(dead_code, reason = "packets by a grammar are another test's")]
mod mutate;

mod clients;
mod frames;
mod program;
mod rig;
mod veth;

use common::skip::skipped;

/// Whether this process may load programs into the kernel.
fn may_load() -> bool {
    let may = as112d::sys::user::is_root();
    if !may {
        skipped("to load a program into the kernel takes root");
    }
    may
}
