//! How the node confines itself: `[confine]`.

use super::written::{Written, choice};
use crate::sys::confine::Want;

/// How much each means of confinement is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Rules for files and ports.
    pub landlock: Want,
    /// Filters of system calls.
    pub seccomp: Want,
}

impl Written for Want {
    const EXPECTED: &'static str = "\"auto\", \"required\" or \"off\"";

    fn read(text: &str) -> Result<Self, String> {
        choice(text, &[("auto", Self::Auto), ("required", Self::Required), ("off", Self::Off)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wants_are_written_in_three_ways() {
        for want in [Want::Auto, Want::Required, Want::Off] {
            assert_eq!(Want::read(&want.to_string()), Ok(want));
        }
        assert!(Want::read("on").unwrap_err().contains("required"));
    }
}
