//! How a command fails.

use crate::problem::Problem;

/// Why a command failed, and what the process ends with.
#[derive(Debug)]
pub struct Failure {
    /// What was wrong.
    pub problems: Vec<Problem>,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    const FAILED: u8 = 1;
    const NO_ANSWER: u8 = 3;

    /// No node answered.
    pub(super) fn no_answer(message: String) -> Self {
        Self { code: Self::NO_ANSWER, ..Self::from(message) }
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self { problems, code: Self::FAILED }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Problem::alone(message).into()
    }
}
