//! Man pages and completions, from the tree of the command line.

use std::process::Command;

use as112d::cli::Cli;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

const NAME: &str = "as112d";

/// The file of each shell's completions, as that shell looks for it.
const SHELLS: [(Shell, &str); 3] =
    [(Shell::Bash, "as112d"), (Shell::Zsh, "_as112d"), (Shell::Fish, "as112d.fish")];

fn completions() -> Vec<(String, String)> {
    let made = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        generate(shell, &mut Cli::command(), NAME, &mut text);
        (name.to_owned(), String::from_utf8(text).expect("scripts are text"))
    };
    SHELLS.map(made).into()
}

/// One page for the program and one for each command: `as112d.1`, `as112d-config-show.1`.
fn pages() -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    clap_mangen::generate_to(Cli::command(), folder.path()).expect("written");
    let pages = std::fs::read_dir(folder.path()).expect("it was made").map(|entry| {
        let path = entry.expect("it was made").path();
        let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).expect("pages are text"))
    });
    let mut pages: Vec<_> = pages.filter(|(name, _)| !name.contains("-help")).collect();
    let main = pages.iter_mut().find(|(name, _)| name == "as112d.1").expect("the program has a page");
    // Examples are lines, and not a paragraph.
    main.1 = main.1.replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n");
    main.1 = main.1.replace("\n.SH VERSION", "\n.fi\n.SH VERSION");
    main.1.push_str(BEYOND);
    pages
}

/// What the tree does not know, for the page of the program.
const BEYOND: &str = "\
.SH \"EXIT STATUS\"
.TP
0
All went well.
.TP
1
It failed, or refused to start; standard error says why and what to do.
.TP
2
Usage error.
.TP
3
No node answers (of commands that ask a running one).
.SH SIGNALS
.TP
SIGTERM, SIGINT
Drain, then stop; a second one stops at once.
.TP
SIGHUP
Read the configuration and the zones again, and reopen the log file.
.TP
SIGUSR1
Write the statistics to the log.
.TP
SIGUSR2
Upgrade: start the program that is now on disk, and hand the sockets over.
.SH FILES
.TP
/etc/as112d/as112d.toml
The configuration that the packages install, for \\fB\\-\\-config\\fR.
.TP
/usr/share/doc/as112d/
Every key of the configuration, the metrics, the operator's guide, dashboards and alerts.
.SH \"SEE ALSO\"
RFC 7534, RFC 7535
";

#[test]
fn completions_are_those_of_the_command_line() {
    super::check_folder("tuning/packages/completions", &completions());
}

#[test]
fn man_pages_are_those_of_the_command_line() {
    let pages = pages();
    for name in ["as112d.1", "as112d-run.1", "as112d-config-show.1", "as112d-doctor.1"] {
        assert!(pages.iter().any(|(page, _)| page == name), "{name}");
    }
    super::check_folder("tuning/packages/man", &pages);
}

/// The completions of each shell in a folder of their own: those of the project may be written meanwhile.
fn completions_in(folder: &std::path::Path) {
    for (name, text) in completions() {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

#[test]
fn shells_take_the_completions() {
    let folder = tempfile::tempdir().expect("a folder");
    completions_in(folder.path());
    for ((shell, name), checking) in
        SHELLS.into_iter().zip([vec!["bash", "-n"], vec!["zsh", "-n"], vec!["fish", "--no-execute"]])
    {
        let path = folder.path().join(name);
        match Command::new(checking[0]).arg(checking[1]).arg(&path).output() {
            Ok(output) => {
                assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
            }
            Err(_) => eprintln!("skipped: {} is missing", checking[0]),
        }
    }
}

/// Bash completes the commands and options that there are.
#[test]
fn bash_completes() {
    let folder = tempfile::tempdir().expect("a folder");
    completions_in(folder.path());
    let path = folder.path().join("as112d");
    let complete = |words: &str| {
        let script = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _as112d as112d \"${{COMP_WORDS[COMP_CWORD]}}\" ''; echo \"${{COMPREPLY[*]}}\"",
            path.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash runs");
        String::from_utf8(output.stdout).expect("it is text")
    };
    assert_eq!(complete("as112d doc"), "doctor\n");
    assert!(complete("as112d config show --e").contains("--effective"));
}
