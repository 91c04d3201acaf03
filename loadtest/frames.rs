//! What the program in the driver takes for a frame, as the kernel tells it where it is asked to look
//! (kernel.bpf_stats_enabled). Its looking at the clock, twice a frame, is in every figure.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::ceiling;
use super::{Outcome, fail};

const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// What the program is called.
const PROGRAM: &str = "as112";
/// One that does nothing.
const NOTHING: &str = "nothing";

/// Lets the kernel look as long as it lives.
pub struct Watch {
    /// What the switch was.
    before: String,
}

impl Watch {
    /// # Errors
    /// We are not root.
    pub fn begin() -> Outcome<Self> {
        let before = fs::read_to_string(SWITCH).map_err(|error| format!("{SWITCH}: {error}"))?;
        fs::write(SWITCH, "1").map_err(|error| format!("{SWITCH}: {error}"))?;
        Ok(Self { before })
    }

    /// Nanoseconds and frames of our program so far.
    ///
    /// # Errors
    /// bpftool is not there, or does not tell.
    pub fn look(&self) -> Outcome<(u64, u64)> {
        Self::told(PROGRAM)
    }

    /// The same of a program that does nothing: what measuring takes.
    ///
    /// # Errors
    /// It cannot be loaded, and as [`look`](Self::look).
    pub fn nothing(&self) -> Outcome<(u64, u64)> {
        let _programs = ceiling::run_nothing()?;
        Self::told(NOTHING)
    }

    /// Of all programs of a name.
    fn told(name: &str) -> Outcome<(u64, u64)> {
        let output = Command::new("bpftool").args(["prog", "show", "name", name, "--json"]).output();
        let output = output.map_err(|error| format!("bpftool (package bpftool): {error}"))?;
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if told.is_null() {
            return fail(format!("bpftool lists no program {name}"));
        }
        let programs = told.as_array().map_or_else(|| std::slice::from_ref(&told), Vec::as_slice);
        let sum = |key: &str| programs.iter().filter_map(|program| program[key].as_u64()).sum();
        Ok((sum("run_time_ns"), sum("run_cnt")))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It was writable before.
        let _ = fs::write(SWITCH, &self.before);
    }
}
