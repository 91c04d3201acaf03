//! The same natively: hostcalls go to the mock.

use core::cell::RefCell;

use super::{Area, Globals};
pub(crate) use crate::mock::calls::*;
use crate::tasks::Tasks;

std::thread_local! {
    static SHARED: (RefCell<Area>, Tasks) = const { (Area::new(), Tasks::new()) };
}

/// Calls `f` with what all of the instance shares.
pub(crate) fn with<R>(f: impl FnOnce(Globals<'_>) -> R) -> R {
    SHARED.with(|(area, tasks)| f(Globals { area, tasks }))
}
