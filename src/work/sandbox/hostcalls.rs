//! What guests can call. One table: from it hostcalls are linked, modules are checked, and the reference is
//! made.

mod guest;
mod orders;
mod queries;

use wasmi::errors::LinkerError;
use wasmi::{Caller, Error, Linker, ValType};

use super::abi::{MODULE, Refusal};
use super::host::{Host, Stop};
use crate::limits::{GUEST_BYTES_A_FUEL, GUEST_HOSTCALL_FUEL};
use crate::stats::app_labels as labels;
use guest::{Guest, No};

/// A hostcall, as guests and the reference see it.
#[derive(Clone, Copy, Debug)]
pub struct Hostcall {
    /// Its name.
    pub name: &'static str,
    /// Its parameters, and the type of each.
    pub parameters: &'static [(&'static str, ValType)],
    /// The type of what it returns.
    pub result: ValType,
    /// What it does.
    pub meaning: &'static str,
    /// Why it refuses.
    pub refusals: &'static [(Refusal, &'static str)],
}

/// A type of WebAssembly, by its name in Rust.
macro_rules! kind {
    (i32) => {
        ValType::I32
    };
    (i64) => {
        ValType::I64
    };
}

/// Makes the table and what links it.
macro_rules! hostcalls {
    ($($name:ident($($parameter:ident: $kind:ident),*) -> $result:ident $meaning:literal
        [$($refusal:ident $why:literal),*];)*) => {
        /// All hostcalls.
        pub const HOSTCALLS: &[Hostcall] = &[$(Hostcall {
            name: stringify!($name),
            parameters: &[$((stringify!($parameter), kind!($kind))),*],
            result: kind!($result),
            meaning: $meaning,
            refusals: &[$((Refusal::$refusal, $why)),*],
        }),*];

        /// Gives a linker all of them.
        pub(super) fn link(linker: &mut Linker<Host>) -> Result<(), LinkerError> {
            $(linker.func_wrap(
                MODULE,
                stringify!($name),
                |caller: Caller<'_, Host>, $($parameter: $kind),*| -> Result<$result, Error> {
                    answer(caller, |guest| guest.$name($($parameter),*).map($result::from))
                },
            )?;)*
            Ok(())
        }
    };
}

hostcalls! {
    now() -> i64
        "The time of the event, in nanoseconds of Unix time: the same for all of one event." [];
    ticks() -> i64
        "The time of the event on a clock that is never set, in nanoseconds since the instance was \
        started." [];
    random(ptr: i32, len: i32) -> i32
        "Writes `len` random bytes, which nobody can foretell, to `ptr`. Returns 0."
        [TooLong "more than 4096 bytes"];
    config(from: i32, ptr: i32, len: i32) -> i32
        "Copies the configuration (JSON), from its byte `from` on, to `ptr`: `len` bytes at most. Returns \
         how many."
        [Invalid "`from` is past the end"];
    geo(ptr: i32, family: i32, out: i32) -> i32
        "Looks up where an address is (4 bytes at `ptr` with `family` 4, 16 with 6), and writes 8 bytes to \
         `out`: the country's two letters or zeros, two zeros, the autonomous system as u32 or 0. Returns \
         0."
        [Denied "without `[allow] geo`", Invalid "`family` is neither 4 nor 6", NotFound "nothing is known"];
    hook(phases: i32, ptr: i32, len: i32) -> i32
        "Registers the application for phases (bit 1 << number of the phase; not `route`) with a condition \
         in the language of rules. The host evaluates it: no other queries come. Returns 0."
        [State "not in `as112_start`", Invalid "the condition is wrong: in scratch stand the column (u32), \
         the length of a message (u32), the message; or it is not UTF-8, or a phase is unknown",
         Denied "the manifest does not name the phase", Limit "too many hooks", TooLong "too long a \
         condition"];
    forward(to: i32, to_len: i32, query: i32, query_len: i32, timeout_ms: i32, flags: i32) -> i32
        "Asks an upstream: one of `[allow] forward`, as it is written there. The query is a whole message. \
         `timeout_ms` 0 is 2 s. `flags`: 1 through the cache. Returns a token; DONE brings the length of \
         the answer, which is in the reply area, or why there is none."
        [Denied "not in `[allow] forward`", Invalid "not a query with one question, or unknown flags",
         Busy "too many exchanges under way, for this query or in all",
         State "with `isolation = \"query\"`"];
    resolve(query: i32, query_len: i32, flags: i32) -> i32
        "Asks the resolver, through the cache. `flags` is 0. Otherwise as `forward`."
        [Denied "without `[allow] resolve`", Invalid "not a query with one question, or unknown flags",
         Busy "too many exchanges under way, for this query or in all",
         State "with `isolation = \"query\"`"];
    timer(ms: i32) -> i32
        "Returns a token; a TIMER event brings it once so many milliseconds have passed."
        [Invalid "negative, or more than an hour", Limit "too many timers",
         State "with `isolation = \"query\"`"];
    cancel(token: i32) -> i32
        "No event comes for that exchange or timer from here on. Returns 0."
        [NotFound "there is none, or it has ended"];
    purge(ptr: i32, len: i32, subtree: i32) -> i32
        "Removes a name from the node's cache, and with `subtree` 1 all names below. The name is in wire \
         form (length, label, and so on, ending in a zero byte). Returns a token; DONE brings 8 bytes in \
         scratch: how many entries were removed, as u64."
        [Denied "not at or below a name of `[allow] cache_purge`", Invalid "not a name", Limit "too many \
        orders"];
    open(ptr: i32, len: i32) -> i32
        "Connects to a local socket: by its path, which `[allow] sockets` has. Returns a token, by which the \
         socket is used; DONE brings 0 when it is open, or CLOSED."
        [Denied "not in `[allow] sockets`", Limit "too many sockets", State "with `isolation = \"query\"`"];
    send(socket: i32, ptr: i32, len: i32) -> i32
        "Writes to a socket. Returns a token; DONE brings 0 once it is written, or CLOSED."
        [NotFound "no such socket", Closed "the other side has closed", Limit "too much waits to be written",
         Again "the socket is not open yet", TooLong "more than 65,536 bytes"];
    receive(socket: i32) -> i32
        "Waits for something to read. Returns a token; DONE brings its length, in scratch, or CLOSED."
        [NotFound "no such socket", Closed "the other side has closed", Busy "somebody waits already",
         Again "the socket is not open yet"];
    close(socket: i32) -> i32
        "Closes a socket: no event comes for it from here on. Returns 0."
        [NotFound "no such socket"];
    load(token: i32) -> i32
        "Puts a query that the guest holds back into the area, with its request, and the reply so far \
         where there was one. Returns the length of the query."
        [NotFound "it does not hold that, or its time is up"];
    finish(token: i32, verdict: i64) -> i32
        "Ends a query that the guest holds, as if the verdict had been returned. Returns 0."
        [NotFound "it does not hold that: the query's time may be up",
         Invalid "the verdict, or the reply in the area, is not taken: the query gets the fallback"];
    log(level: i32, ptr: i32, len: i32) -> i32
        "Logs a line: `level` 0 error, 1 warning, 2 info, 3 debug. The node says whose it is. Returns 0."
        [Limit "more lines than `log_lines` in this second", Invalid "no such level"];
    metric(index: i32, by: i64) -> i32
        "Adds to a counter of `[allow] metrics`, by its place there. Returns 0."
        [NotFound "there is none", Invalid "`by` is negative, or over 4,294,967,295"];
    span(token: i32, kind: i32, ptr: i32, len: i32) -> i32
        "Notes something in the trace of the query of this event, or of one that is held: `kind` 0 it \
         begins, 1 it ends, 2 it happens. Returns 0, at once if the query is not traced."
        [NotFound "no such query", Invalid "no such kind", Limit "64 for this query already"];
}

/// Lets a guest call, if it may; counts and charges it.
#[inline]
fn answer<R: From<i32>>(
    mut caller: Caller<'_, Host>,
    call: impl FnOnce(&mut Guest<'_>) -> Result<R, No>,
) -> Result<R, Error> {
    let Some(memory) = caller.data().memory else { return Err(Error::host(Stop::Pointer)) };
    let (memory, host) = memory.data_and_store_mut(&mut caller);
    let Some(left) = host.doing.calls_left.checked_sub(1) else { return Err(Error::host(Stop::Calls)) };
    host.doing.calls_left = left;
    host.spent = GUEST_HOSTCALL_FUEL;
    let outcome = call(&mut Guest { memory, host });
    let host = caller.data_mut();
    let spent = host.spent;
    let value = match outcome {
        Ok(value) => value,
        Err(No::Refused(refusal)) => {
            host.refused(refusal);
            R::from(refusal as i32)
        }
        Err(No::Stop(stop)) => return Err(Error::host(stop)),
    };
    let left = caller.get_fuel()?.checked_sub(spent);
    match left {
        Some(left) => caller.set_fuel(left)?,
        None => return Err(Error::host(Stop::Time)),
    }
    Ok(value)
}

impl Host {
    fn refused(&mut self, refusal: Refusal) {
        let why = match refusal {
            Refusal::Invalid => labels::HOSTCALL_INVALID,
            Refusal::Denied => labels::HOSTCALL_DENIED,
            Refusal::Limit => labels::HOSTCALL_LIMIT,
            Refusal::NotFound => labels::HOSTCALL_NOT_FOUND,
            Refusal::Closed => labels::HOSTCALL_CLOSED,
            Refusal::TooLong => labels::HOSTCALL_TOO_LONG,
            Refusal::State => labels::HOSTCALL_STATE,
            Refusal::Busy | Refusal::Again | Refusal::Timeout | Refusal::Unreachable => labels::HOSTCALL_BUSY,
        };
        self.counts.refused[why] += 1;
        self.counts.is_any = true;
    }

    /// Charges for bytes that are handed over.
    fn charge(&mut self, len: usize) {
        self.spent += len as u64 / GUEST_BYTES_A_FUEL;
    }
}
