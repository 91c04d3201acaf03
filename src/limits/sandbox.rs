//! Bounds of guest applications: what a module may be, and what an instance may do in one event.

use std::time::Duration;

/// Fuel that is burnt in a millisecond: the unit of an application's time. Fuel is counted, not measured: an
/// event takes the same share of its time on every machine. On a core of 2.6 GHz a loop that does
/// nothing but branch burns 0.93 million in a millisecond of CPU time, `memory.fill` and `memory.grow` 1.6
/// million, decisions about queries 2.4 million, arithmetic 4 million. So a millisecond of fuel is hardly
/// more than one.
pub const FUEL_A_MILLISECOND: u64 = 1_000_000;
/// What a start has more of than an event: an application may read a long list there.
pub const GUEST_START_TIMES: u32 = 100;
/// Fuel of a hostcall, besides what it hands over: what it takes at most, next to an instruction.
pub const GUEST_HOSTCALL_FUEL: u64 = 50;
/// Bytes that a hostcall hands over for a unit of fuel, as the engine counts `memory.copy`.
pub const GUEST_BYTES_A_FUEL: u64 = 64;

/// Longest module, in bytes. The largest of ours has a hundredth of that; it is compiled while others wait.
pub const GUEST_MODULE_LEN_MAX: usize = 4 << 20;
/// Functions of a module.
pub const GUEST_FUNCTIONS_MAX: u32 = 10_000;
/// Globals of a module.
pub const GUEST_GLOBALS_MAX: u32 = 1000;
/// Segments of data, and as many of elements.
pub const GUEST_SEGMENTS_MAX: u32 = 1000;
/// Tables of a module: what compilers make.
pub const GUEST_TABLES_MAX: usize = 1;
/// Elements of a table: pointers to functions.
pub const GUEST_TABLE_LEN_MAX: usize = 16_384;
/// Bytes of the stack on which the engine keeps the values of a guest's functions. A guest's own stack is in
/// its memory.
pub const GUEST_STACK_LEN: usize = 256 << 10;
/// Calls within each other.
pub const GUEST_CALLS_DEEP_MAX: usize = 1000;

/// Hostcalls of one event: an answer takes a few.
pub const GUEST_HOSTCALLS_MAX: u32 = 1000;
/// Hooks of one application: each is a rule.
pub const GUEST_HOOKS_MAX: usize = 256;
/// Longest condition of a hook, in bytes: a list of some hundred names.
pub const GUEST_CONDITION_LEN_MAX: usize = 16_384;
/// Exchanges of one instance that have not ended.
pub const GUEST_EXCHANGES_MAX: usize = 1024;
/// Timers of one instance that have not run out.
pub const GUEST_TIMERS_MAX: usize = 4096;
/// Longest timer: a day is done by a guest that counts ticks.
pub const GUEST_TIMER_MAX: Duration = Duration::from_secs(3600);
/// Other orders of one instance that have not ended.
pub const GUEST_ORDERS_MAX: usize = 256;
/// Local sockets that one instance has open.
pub const GUEST_SOCKETS_MAX: usize = 16;
/// Bytes that wait to be written to the sockets of one instance.
pub const GUEST_UNSENT_MAX: usize = 256 << 10;
/// Longest that an exchange may take.
pub const GUEST_EXCHANGE_MAX: Duration = Duration::from_secs(10);
/// What an exchange may take if the guest does not say.
pub const GUEST_EXCHANGE: Duration = Duration::from_secs(2);
/// Longest line of a guest's log, and longest text of a span: what is longer is cut.
pub const GUEST_LINE_LEN_MAX: usize = 512;
/// Spans of one query.
pub const GUEST_SPANS_MAX: u32 = 64;

/// Traps within [`GUEST_TRAPS_WITHIN`] after which an application is off for a while.
pub const GUEST_TRAPS_MAX: usize = 5;
/// See [`GUEST_TRAPS_MAX`].
pub const GUEST_TRAPS_WITHIN: Duration = Duration::from_secs(10);
/// Time without a trap after which an application's next pause is the shortest again.
pub const GUEST_TRAPS_FORGOTTEN: Duration = Duration::from_secs(60);
/// How long an instance may finish what it holds when there is a newer one.
pub const GUEST_GENERATION_KEPT: Duration = Duration::from_secs(2);
/// How often instances are told that time passes.
pub const GUEST_TICK: Duration = Duration::from_secs(1);
