//! The same in WebAssembly.

use core::cell::RefCell;

use super::{Area, Globals};
use crate::app::App;
use crate::runtime::Runtime;
use crate::tasks::Tasks;

#[cfg(target_feature = "atomics")]
compile_error!("as112-guest is for WebAssembly without threads: leave out the target feature `atomics`");

/// A static of a program with one thread.
struct Single<T>(T);

// SAFETY: WebAssembly without the feature `atomics` has one thread, and the check above refuses that feature.
// So nothing is ever shared between threads.
unsafe impl<T> Sync for Single<T> {}

// Two statics: one is all zeros, and takes no place in the module.
static AREA: Single<RefCell<Area>> = Single(Area::new());
static TASKS: Single<Tasks> = Single(Tasks::new());

/// Calls `f` with what all of the instance shares.
pub(crate) fn with<R>(f: impl FnOnce(Globals<'static>) -> R) -> R {
    f(Globals { area: &AREA.0, tasks: &TASKS.0 })
}

/// Where the area is. The host reads and writes it between events and in hostcalls that say so, when no
/// borrow of it is alive; it is within a cell, so the compiler keeps nothing of it.
#[must_use]
pub fn area() -> i32 {
    let bytes: *mut Area = AREA.0.as_ptr();
    bytes as usize as i32
}

/// The application of a module, once it has started.
pub struct Guest<A>(Single<RefCell<Option<Runtime<A>>>>);

impl<A: App> Guest<A> {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Single(RefCell::new(None)))
    }

    /// `as112_start`: 0 if it has.
    pub fn start(&self) -> i32 {
        match Runtime::start() {
            Ok(runtime) => {
                *self.0 .0.borrow_mut() = Some(runtime);
                0
            }
            Err(_) => 1,
        }
    }

    /// `as112_event`.
    pub fn event(&self, kind: i32, token: i32, len: i32) -> i64 {
        match &mut *self.0 .0.borrow_mut() {
            Some(runtime) => runtime.event(kind, token, len),
            None => crate::abi::word::FAIL,
        }
    }

    /// `as112_stop`.
    pub fn stop(&self) {
        if let Some(runtime) = &mut *self.0 .0.borrow_mut() {
            runtime.stop();
        }
    }
}

impl<A: App> Default for Guest<A> {
    fn default() -> Self {
        Self::new()
    }
}

/// The hostcalls, as the host's reference has them.
mod host {
    type Ptr = *const u8;

    #[link(wasm_import_module = "as112")]
    extern "C" {
        pub(super) fn now() -> i64;
        pub(super) fn ticks() -> i64;
        pub(super) fn random(ptr: *mut u8, len: usize) -> i32;
        pub(super) fn config(from: i32, ptr: *mut u8, len: usize) -> i32;
        pub(super) fn geo(ptr: Ptr, family: i32, out: *mut u8) -> i32;
        pub(super) fn hook(phases: i32, ptr: Ptr, len: usize) -> i32;
        pub(super) fn forward(to: Ptr, to_len: usize, query: Ptr, len: usize, ms: i32, flags: i32) -> i32;
        pub(super) fn resolve(query: Ptr, query_len: usize, flags: i32) -> i32;
        pub(super) fn timer(ms: i32) -> i32;
        pub(super) fn cancel(token: i32) -> i32;
        pub(super) fn purge(ptr: Ptr, len: usize, subtree: i32) -> i32;
        pub(super) fn open(ptr: Ptr, len: usize) -> i32;
        pub(super) fn send(socket: i32, ptr: Ptr, len: usize) -> i32;
        pub(super) fn receive(socket: i32) -> i32;
        pub(super) fn close(socket: i32) -> i32;
        pub(super) fn finish(token: i32, verdict: i64) -> i32;
        pub(super) fn log(level: i32, ptr: Ptr, len: usize) -> i32;
        pub(super) fn metric(index: i32, by: i64) -> i32;
        pub(super) fn span(token: i32, kind: i32, ptr: Ptr, len: usize) -> i32;
    }
}

/// A hostcall that gets numbers.
macro_rules! numbers {
    ($($name:ident($($parameter:ident: $kind:ty),*) -> $result:ty;)*) => {
        $(pub(crate) fn $name($($parameter: $kind),*) -> $result {
            // SAFETY: the host takes numbers as they are, and touches no memory.
            unsafe { host::$name($($parameter),*) }
        })*
    };
}

numbers! {
    now() -> i64;
    ticks() -> i64;
    timer(ms: i32) -> i32;
    cancel(token: i32) -> i32;
    receive(socket: i32) -> i32;
    close(socket: i32) -> i32;
    finish(token: i32, verdict: i64) -> i32;
    metric(index: i32, by: i64) -> i32;
}

pub(crate) fn random(bytes: &mut [u8]) -> i32 {
    // SAFETY: the host writes within `bytes`, which nobody else has, before it returns.
    unsafe { host::random(bytes.as_mut_ptr(), bytes.len()) }
}

pub(crate) fn config(from: i32, bytes: &mut [u8]) -> i32 {
    // SAFETY: as in `random`.
    unsafe { host::config(from, bytes.as_mut_ptr(), bytes.len()) }
}

pub(crate) fn geo(address: &[u8], family: i32, out: &mut [u8; 8]) -> i32 {
    debug_assert!(address.len() >= if family == 6 { 16 } else { 4 });
    // SAFETY: the host reads 4 or 16 bytes of `address`, which has them as the caller gives the family of the
    // address, and writes 8 to `out`, which nobody else has, before it returns.
    unsafe { host::geo(address.as_ptr(), family, out.as_mut_ptr()) }
}

pub(crate) fn hook(phases: i32, condition: &[u8]) -> i32 {
    // SAFETY: the host reads `condition` before it returns. It may write to scratch in the area, of which the
    // caller has no borrow.
    unsafe { host::hook(phases, condition.as_ptr(), condition.len()) }
}

pub(crate) fn forward(to: &[u8], query: &[u8], timeout_ms: i32, flags: i32) -> i32 {
    // SAFETY: the host reads `to` and `query` before it returns.
    unsafe { host::forward(to.as_ptr(), to.len(), query.as_ptr(), query.len(), timeout_ms, flags) }
}

pub(crate) fn resolve(query: &[u8], flags: i32) -> i32 {
    // SAFETY: the host reads `query` before it returns.
    unsafe { host::resolve(query.as_ptr(), query.len(), flags) }
}

pub(crate) fn purge(name: &[u8], subtree: i32) -> i32 {
    // SAFETY: the host reads `name` before it returns.
    unsafe { host::purge(name.as_ptr(), name.len(), subtree) }
}

pub(crate) fn open(path: &[u8]) -> i32 {
    // SAFETY: the host reads `path` before it returns.
    unsafe { host::open(path.as_ptr(), path.len()) }
}

pub(crate) fn send(socket: i32, bytes: &[u8]) -> i32 {
    // SAFETY: the host reads `bytes` before it returns.
    unsafe { host::send(socket, bytes.as_ptr(), bytes.len()) }
}

pub(crate) fn log(level: i32, line: &[u8]) -> i32 {
    // SAFETY: the host reads `line` before it returns.
    unsafe { host::log(level, line.as_ptr(), line.len()) }
}

pub(crate) fn span(token: i32, kind: i32, text: &[u8]) -> i32 {
    // SAFETY: the host reads `text` before it returns.
    unsafe { host::span(token, kind, text.as_ptr(), text.len()) }
}

/// Rust 1.63 has none of its own.
#[cfg(all(feature = "runtime", feature = "rust-1-63"))]
#[alloc_error_handler]
fn no_memory(_: core::alloc::Layout) -> ! {
    log(0, b"there is no memory left");
    core::arch::wasm32::unreachable()
}

/// Says where, and traps: the host then makes a new instance.
#[cfg(feature = "runtime")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        let mut line = Line { bytes: [0; 128], len: 0 };
        line.push(b"panicked at ");
        line.push(place.file().as_bytes());
        line.push(b":");
        line.number(place.line());
        log(0, &line.bytes[..line.len]);
    }
    core::arch::wasm32::unreachable()
}

/// A short text, made without what `format!` takes.
#[cfg(feature = "runtime")]
struct Line {
    bytes: [u8; 128],
    len: usize,
}

#[cfg(feature = "runtime")]
impl Line {
    fn push(&mut self, text: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(text) {
            *to = *from;
            self.len += 1;
        }
    }

    fn number(&mut self, number: u32) {
        if number >= 10 {
            self.number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8]);
    }
}
