//! The same natively: hostcalls go to the mock.

use super::Globals;
pub(crate) use crate::mock::calls::*;

std::thread_local! {
    static GLOBALS: Globals = Globals::new();
}

/// Calls `f` with what all of the instance shares.
pub(crate) fn with<R>(f: impl FnOnce(&Globals) -> R) -> R {
    GLOBALS.with(f)
}
