//! The interface of guests, version 1: the area that is shared with the host, what the host can be asked, and
//! what it calls. All unsafe code is here.

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::net::{IpAddr, SocketAddr};

use crate::app::App;
use crate::problem::Problem;

/// Places and lengths of the area's parts.
const REQUEST_LEN: usize = 128;
const QUERY_AT: usize = REQUEST_LEN;
const QUERY_LEN: usize = 2112;
/// Where the reply begins. It is the host's to read and write.
const REPLY_AT: usize = QUERY_AT + QUERY_LEN;
const REPLY_LEN: usize = 65_536;
const SCRATCH_AT: usize = REPLY_AT + REPLY_LEN;
const SCRATCH_LEN: usize = 4096;
const AREA_LEN: usize = SCRATCH_AT + SCRATCH_LEN;

/// What an event is.
const QUERY: i32 = 1;
const DONE: i32 = 2;
const TICK: i32 = 4;

/// What is said of a query.
pub(crate) mod verdict {
    pub(crate) const PASS: i64 = 0;
    pub(crate) const REPLY: i64 = 1;
    pub(crate) const DROP: i64 = 3;
    pub(crate) const LATER: i64 = 4;
    pub(crate) const FAIL: i64 = 7;

    /// A reply without records, and what is wrong (RFC 8914).
    pub(crate) fn code(rcode: u16, error: Option<u16>) -> i64 {
        2 | i64::from(rcode & 0xFF) << 8 | error.map_or(0, |error| (i64::from(error) + 1) << 16)
    }

    /// Another upstream, by its place.
    pub(crate) fn retry(place: usize) -> i64 {
        6 | (place as i64 & 0xFF) << 8
    }
}

mod host {
    #[link(wasm_import_module = "as112")]
    unsafe extern "C" {
        pub(super) safe fn config(from: i32, ptr: *mut u8, len: i32) -> i32;
        pub(super) safe fn hook(phases: i32, ptr: *const u8, len: i32) -> i32;
        pub(super) safe fn forward(
            to: *const u8,
            to_len: i32,
            query: *const u8,
            query_len: i32,
            timeout_ms: i32,
            flags: i32,
        ) -> i32;
        pub(super) safe fn resolve(query: *const u8, query_len: i32, flags: i32) -> i32;
        pub(super) safe fn load(token: i32) -> i32;
        pub(super) safe fn finish(token: i32, verdict: i64) -> i32;
        pub(super) safe fn log(level: i32, ptr: *const u8, len: i32) -> i32;
        pub(super) safe fn metric(index: i32, by: i64) -> i32;
    }
}

#[repr(C, align(8))]
struct Area(UnsafeCell<[u8; AREA_LEN]>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Area {}

static AREA: Area = Area(UnsafeCell::new([0; AREA_LEN]));

/// The application, once it has started.
struct Kept(UnsafeCell<Option<App>>);

// SAFETY: a guest has one thread.
unsafe impl Sync for Kept {}

static APP: Kept = Kept(UnsafeCell::new(None));

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The area, as the host has left it.
pub(crate) struct Shared<'a>(&'a mut [u8; AREA_LEN]);

impl Shared<'_> {
    fn number<const N: usize>(&self, at: usize) -> [u8; N] {
        core::array::from_fn(|byte| self.0[at + byte])
    }

    fn u16_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.number(at))
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.number(at))
    }

    pub(crate) fn token(&self) -> u32 {
        self.u32_at(4)
    }

    pub(crate) fn phase(&self) -> u8 {
        self.0[8]
    }

    pub(crate) fn is_tcp(&self) -> bool {
        self.0[9] == 1
    }

    /// Whether the cache had an answer, and whether that was stale.
    pub(crate) fn cached(&self) -> (bool, bool) {
        (self.0[11] & 8 != 0, self.0[11] & 16 != 0)
    }

    pub(crate) fn listener(&self) -> usize {
        self.u16_at(16).into()
    }

    pub(crate) fn has_reply(&self) -> bool {
        self.u32_at(24) > 0
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.ip(28), self.u16_at(60))
    }

    pub(crate) fn local(&self) -> SocketAddr {
        SocketAddr::new(self.ip(44), self.u16_at(62))
    }

    fn ip(&self, at: usize) -> IpAddr {
        match self.0[10] {
            4 => self.number::<4>(at).into(),
            _ => self.number::<16>(at).into(),
        }
    }

    pub(crate) fn rtt_micros(&self) -> u32 {
        self.u32_at(68)
    }

    pub(crate) fn country(&self) -> [u8; 2] {
        self.number(88)
    }

    pub(crate) fn rcode(&self) -> u16 {
        self.u16_at(90)
    }

    pub(crate) fn asn(&self) -> u32 {
        self.u32_at(92)
    }

    pub(crate) fn upstream(&self) -> usize {
        self.u16_at(96).into()
    }

    pub(crate) fn outcome(&self) -> u8 {
        self.0[98]
    }

    pub(crate) fn query(&self) -> &[u8] {
        let len = (self.u32_at(20) as usize).min(QUERY_LEN);
        &self.0[QUERY_AT..QUERY_AT + len]
    }

    /// Says that the reply has so many bytes.
    pub(crate) fn set_reply_len(&mut self, len: usize) {
        self.0[24..28].copy_from_slice(&(len as u32).to_le_bytes());
    }
}

/// Registers for phases, by their bits.
pub(crate) fn hook(phases: u8, condition: &str) -> Result<(), i32> {
    match host::hook(phases.into(), condition.as_ptr(), condition.len() as i32) {
        0 => Ok(()),
        refusal => Err(refusal),
    }
}

/// Asks one of `[allow] forward` what is asked in the area, through the cache; a token.
pub(crate) fn forward(area: &Shared<'_>, to: &str, timeout_ms: u32) -> Result<u32, i32> {
    let query = area.query();
    let (ptr, len) = (query.as_ptr(), query.len() as i32);
    let token = host::forward(to.as_ptr(), to.len() as i32, ptr, len, timeout_ms as i32, 1);
    u32::try_from(token).map_err(|_| token)
}

/// Asks the resolver what is asked in the area; a token.
pub(crate) fn resolve(area: &Shared<'_>) -> Result<u32, i32> {
    let query = area.query();
    let token = host::resolve(query.as_ptr(), query.len() as i32, 0);
    u32::try_from(token).map_err(|_| token)
}

/// Puts a query that is held into the area; whether it still is.
pub(crate) fn load(_: &mut Shared<'_>, query: u32) -> bool {
    host::load(query as i32) >= 0
}

/// Ends a query that is held, with the reply in the area if that is the verdict.
pub(crate) fn finish(_: &Shared<'_>, query: u32, verdict: i64) {
    // Where it is not held any more, somebody else has answered.
    host::finish(query as i32, verdict);
}

/// How bad a line is.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(crate) enum Level {
    Error = 0,
    Info = 2,
}

pub(crate) fn log(level: Level, line: &str) {
    host::log(level as i32, line.as_ptr(), line.len() as i32);
}

/// Adds to a counter, by its place in `[allow] metrics`.
pub(crate) fn count(metric: i32, by: u32) {
    if by > 0 {
        host::metric(metric, by.into());
    }
}

/// The whole configuration.
fn configuration() -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let mut part = alloc::vec![0; SCRATCH_LEN];
    loop {
        let len = host::config(bytes.len() as i32, part.as_mut_ptr(), SCRATCH_LEN as i32);
        match usize::try_from(len).unwrap_or_default() {
            0 => break,
            len => bytes.extend_from_slice(&part[..len]),
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::plain("the configuration is not UTF-8"))
}

#[unsafe(no_mangle)]
extern "C" fn as112_abi() -> i32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn as112_area() -> i32 {
    AREA.0.get() as usize as i32
}

#[unsafe(no_mangle)]
extern "C" fn as112_start(_: i32) -> i32 {
    match configuration().map_err(|problem| Vec::from([problem])).and_then(|config| App::start(&config)) {
        Ok(app) => {
            // SAFETY: the host calls one export at a time, and none of them is on the stack here.
            unsafe { *APP.0.get() = Some(app) };
            0
        }
        Err(problems) => {
            problems.iter().for_each(|problem| log(Level::Error, &alloc::format!("{problem}")));
            -1
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn as112_event(kind: i32, token: i32, len: i32) -> i64 {
    // SAFETY: the host calls one export at a time, and writes into the area only before it does or in
    // hostcalls, which take the area by reference.
    let (app, area) = unsafe { (&mut *APP.0.get(), &mut *AREA.0.get()) };
    let (Some(app), mut area) = (app, Shared(area)) else { return verdict::FAIL };
    match kind {
        QUERY => return app.query(&mut area),
        DONE => app.done(&mut area, token.cast_unsigned(), usize::try_from(len).ok()),
        TICK => app.tick(),
        _ => {}
    }
    verdict::PASS
}
