//! The edge of the world: hostcalls, the area, what all of an instance shares.
//!
//! In WebAssembly this is the only part of the crate with `unsafe` in it. Natively hostcalls go to
//! [`mock`](crate::mock), and there is none.

#[cfg(all(target_arch = "wasm32", feature = "runtime"))]
mod heap;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod wasm;

use core::cell::RefCell;

use crate::abi::AREA_LEN;
use crate::tasks::Tasks;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;
#[cfg(target_arch = "wasm32")]
pub use wasm::*;

/// The area that host and guest share.
#[repr(C, align(8))]
pub(crate) struct Area(pub(crate) [u8; AREA_LEN]);

impl Area {
    pub(crate) const fn new() -> RefCell<Self> {
        RefCell::new(Self([0; AREA_LEN]))
    }
}

/// What all of an instance shares.
#[derive(Clone, Copy)]
pub(crate) struct Globals<'a> {
    pub(crate) area: &'a RefCell<Area>,
    pub(crate) tasks: &'a Tasks,
}
