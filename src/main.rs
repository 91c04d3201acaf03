//! The binary: parse the command line, run one command, map its end to an exit code.
//!
//! 0: it went well. 1: it failed or refused to start. 2: usage error (clap's own exit).
//! 3: no node answered.

use std::io::{self, Write as _};
use std::process::ExitCode;

use as112d::cli::Cli;
use as112d::commands;
use as112d::limits::PROBLEMS_SHOWN_MAX;
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Cli::parse().into_command();
    let failure = match commands::execute(&command) {
        Ok(text) => return print(&text),
        Err(failure) => failure,
    };
    // Where even stderr is gone there is nobody left to tell; the exit code still does.
    let mut err = io::stderr().lock();
    let hidden = failure.problems.len().saturating_sub(PROBLEMS_SHOWN_MAX);
    for problem in failure.problems.iter().take(PROBLEMS_SHOWN_MAX) {
        let _ = writeln!(err, "{problem}");
    }
    if hidden > 0 {
        let _ = writeln!(err, "... and {hidden} more");
    }
    ExitCode::from(failure.code)
}

fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads us has read enough, as in `as112d zones | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot print ({error}); give an output with room");
            ExitCode::FAILURE
        }
    }
}
