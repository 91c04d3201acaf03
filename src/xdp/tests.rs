use std::path::Path;
use std::process::Command;

/// The objects were built from the sources next to them, this one and the load test's.
#[test]
fn source_and_object_belong_together() {
    let headers = ["kernel.h", "responder.h"];
    check("src/xdp/program", "responder", &headers);
    check("loadtest/ceiling", "replay", &["../../src/xdp/program/kernel.h"]);
}

fn check(directory: &str, name: &str, headers: &[&str]) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", &format!("{name}.sha256")]).current_dir(directory);
    let output = check.output().expect("coreutils are everywhere");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "run src/xdp/program/build after a change of its sources\n{told}");
    let of = |name: &str| told.lines().any(|line| line == format!("{name}: OK"));
    assert!(
        headers.iter().copied().all(of) && of(&format!("{name}.c")) && of(&format!("{name}.o")),
        "{told}"
    );
}
