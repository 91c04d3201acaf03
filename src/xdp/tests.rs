use std::path::Path;
use std::process::Command;

/// The object was built from the sources next to it.
#[test]
fn source_and_object_belong_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/xdp/program");
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--strict", "responder.sha256"]).current_dir(folder);
    let output = check.output().expect("coreutils are everywhere");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "run src/xdp/program/build after a change of its sources\n{told}");
    let of = |name: &str| told.lines().any(|line| line == format!("{name}: OK"));
    assert!(["kernel.h", "responder.h", "responder.c", "responder.o"].into_iter().all(of), "{told}");
}
