//! The binary: parse the command line, run one command, map its end to an exit code.
//!
//! 0: it went well. 1: it failed, or something is wrong. 2: usage error (clap's own exit). 3: no node
//! answers.

use std::io::{self, Write as _};
use std::process::ExitCode;

use as112d::limits::PROBLEMS_SHOWN_MAX;
use as112d_fleet::cli::Cli;
use as112d_fleet::commands;
use clap::Parser as _;

fn main() -> ExitCode {
    let failure = match commands::execute(&Cli::parse().command) {
        Ok(told) => return print(&told.text, told.is_off),
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

fn print(text: &str, is_off: bool) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) if is_off => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        // Who reads us has read enough, as in `as112d-fleet log | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cannot print ({error}); give an output with room");
            ExitCode::FAILURE
        }
    }
}
