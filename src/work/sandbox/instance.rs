//! One instance of an application, in the engine: load, start, event, memory. Another engine would be here.

use std::fmt;

use wasmi::errors::ErrorKind;
use wasmi::{Error, Linker, Memory, Store, TrapCode, TypedFunc, TypedResumableCall, Val};

use super::abi::{AREA_LEN, Kind, REPLY_AT, REPLY_LEN, Refusal, SCRATCH_AT, SCRATCH_LEN, VERSION};
use super::app::{App, Registered};
use super::area;
use super::host::{Host, Stop};
use super::hostcalls;
use super::settings::Isolation;
use crate::limits::{FUEL_A_MILLISECOND, GUEST_HOSTCALLS_MAX, GUEST_START_TIMES};
use crate::stats::app_labels as labels;

/// Why an instance is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trap {
    /// Its time for one event was up.
    Time,
    Calls,
    Pointer,
    Stack,
    Memory,
    Unreachable,
    Code(TrapCode),
    /// It says that it cannot start.
    Start(i32),
    Hooks,
    /// It is of another version.
    Version(i32),
    /// Its area is not in its memory.
    Area(i32),
    /// It cannot be made: the engine says no.
    Made,
}

impl Trap {
    /// How it is counted: a value of [`TRAP`](crate::stats::app_labels::TRAP).
    pub(super) const fn label(self) -> usize {
        match self {
            Self::Time => labels::TRAP_TIME,
            Self::Calls => labels::TRAP_CALLS,
            Self::Pointer => labels::TRAP_POINTER,
            Self::Stack => labels::TRAP_STACK,
            Self::Memory => labels::TRAP_MEMORY,
            Self::Unreachable => labels::TRAP_UNREACHABLE,
            Self::Code(_) => labels::TRAP_CODE,
            Self::Start(_) | Self::Version(_) | Self::Area(_) | Self::Made => labels::TRAP_START,
            Self::Hooks => labels::TRAP_HOOKS,
        }
    }

    fn of(error: &Error) -> Self {
        if let Some(stop) = error.downcast_ref::<Stop>() {
            return match stop {
                Stop::Time => Self::Time,
                Stop::Calls => Self::Calls,
                Stop::Pointer => Self::Pointer,
                Stop::Hooks | Stop::Condition => Self::Hooks,
            };
        }
        match error.as_trap_code() {
            Some(TrapCode::OutOfFuel) => Self::Time,
            Some(TrapCode::StackOverflow) => Self::Stack,
            Some(TrapCode::MemoryOutOfBounds) => Self::Memory,
            Some(TrapCode::UnreachableCodeReached) => Self::Unreachable,
            Some(code) => Self::Code(code),
            None if matches!(error.kind(), ErrorKind::Fuel(_)) => Self::Time,
            None => Self::Made,
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time => f.write_str("its time was up"),
            Self::Calls => write!(f, "it made more than {GUEST_HOSTCALLS_MAX} hostcalls in one event"),
            Self::Pointer => f.write_str("it gave a hostcall an address outside of its memory"),
            Self::Stack => f.write_str("its stack was full"),
            Self::Memory => f.write_str("it read or wrote outside of its memory"),
            Self::Unreachable => f.write_str("it ran into `unreachable`, as panics do"),
            Self::Code(code) => write!(f, "{code}"),
            Self::Start(code) => write!(f, "`as112_start` returned {code}"),
            Self::Hooks => f.write_str("it registered hooks that it did not register when it was loaded"),
            Self::Version(version) => {
                write!(f, "`as112_abi` returned {version}: this node has version {VERSION} of the interface")
            }
            Self::Area(at) => {
                write!(
                    f,
                    "`as112_area` returned {at}: the {AREA_LEN} bytes from there on are not in its memory"
                )
            }
            Self::Made => f.write_str("no instance can be made of it"),
        }
    }
}

/// Looks at a condition that a guest registers, while it is loaded.
pub(super) type Conditions<'a> = &'a mut dyn FnMut(&mut Registered);

/// What a guest is told of events by: kind, token, length.
type OnEvent = TypedFunc<(i32, i32, i32), i64>;

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    store: Store<Host>,
    memory: Memory,
    area: usize,
    event: OnEvent,
    fuel: u64,
}

/// What hostcalls are linked with; made once for all instances of an application in a thread.
pub(super) fn linker(app: &App) -> Linker<Host> {
    let mut linker = Linker::new(app.module.engine());
    // Each has a name of its own, so this cannot fail.
    let _ = hostcalls::link(&mut linker);
    linker
}

impl Instance {
    /// Makes an instance and starts it. `conditions` looks at what it registers, where that is a trial.
    ///
    /// # Errors
    /// Why it cannot be; and what it leaves.
    pub(super) fn start(
        linker: &Linker<Host>,
        host: Host,
        conditions: Conditions<'_>,
    ) -> Result<Self, (Trap, Box<Host>)> {
        let app = std::sync::Arc::clone(&host.app);
        let fuel = fuel(&app);
        let mut store = Store::new(linker.engine(), host);
        store.limiter(|host| host);
        match Self::started(linker, &mut store, &app, fuel, conditions) {
            Ok((memory, area, event)) => Ok(Self { store, memory, area, event, fuel }),
            Err(trap) => Err((trap, Box::new(store.into_data()))),
        }
    }

    fn started(
        linker: &Linker<Host>,
        store: &mut Store<Host>,
        app: &App,
        fuel: u64,
        conditions: Conditions<'_>,
    ) -> Result<(Memory, usize, OnEvent), Trap> {
        let trap = |error: Error| Trap::of(&error);
        // With an instance for each query, a start is part of what each takes.
        let times = if app.manifest.isolation == Isolation::App { GUEST_START_TIMES } else { 1 };
        store.set_fuel(fuel.saturating_mul(u64::from(times))).map_err(trap)?;
        let host = store.data_mut();
        host.begin(None, false, GUEST_HOSTCALLS_MAX * times);
        host.doing.is_start = true;
        let instance = linker.instantiate_and_start(&mut *store, &app.module).map_err(trap)?;
        let memory = instance.get_memory(&*store, "memory").ok_or(Trap::Made)?;
        store.data_mut().memory = Some(memory);
        let abi = instance.get_typed_func::<(), i32>(&*store, "as112_abi").map_err(trap)?;
        let version = abi.call(&mut *store, ()).map_err(trap)?;
        if version != VERSION {
            return Err(Trap::Version(version));
        }
        let area = instance.get_typed_func::<(), i32>(&*store, "as112_area").map_err(trap)?;
        let at = area.call(&mut *store, ()).map_err(trap)?;
        let area = at.cast_unsigned() as usize;
        let config_at = area + REPLY_AT;
        let there = memory.data_mut(&mut *store);
        if area.checked_add(AREA_LEN).is_none_or(|end| end > there.len()) {
            return Err(Trap::Area(at));
        }
        let config = &app.manifest.config;
        let copied = config.len().min(REPLY_LEN);
        there[config_at..config_at + copied].copy_from_slice(&config[..copied]);
        store.data_mut().area = area;
        let start = instance.get_typed_func::<i32, i32>(&*store, "as112_start").map_err(trap)?;
        let config_len = i32::try_from(config.len()).unwrap_or(i32::MAX);
        let mut call = start.call_resumable(&mut *store, config_len).map_err(trap)?;
        let code = loop {
            call = match call {
                TypedResumableCall::Finished(code) => break code,
                TypedResumableCall::OutOfFuel(_) => return Err(Trap::Time),
                TypedResumableCall::HostTrap(stopped) => {
                    if stopped.host_error().downcast_ref() != Some(&Stop::Condition) {
                        return Err(Trap::of(stopped.host_error()));
                    }
                    let (memory, host) = memory.data_and_store_mut(&mut *store);
                    let answer = looked_at(memory, host, conditions);
                    stopped.resume(&mut *store, &[Val::I32(answer)]).map_err(trap)?
                }
            };
        };
        store.data_mut().doing.is_start = false;
        if code != 0 {
            return Err(Trap::Start(code));
        }
        let event = instance.get_typed_func(&*store, "as112_event").map_err(trap)?;
        Ok((memory, area, event))
    }

    /// Tells it of something. The host was told what it is about.
    #[inline]
    pub(super) fn event(&mut self, kind: Kind, token: u32, len: i32) -> Result<i64, Trap> {
        let trap = |error: Error| Trap::of(&error);
        self.store.set_fuel(self.fuel).map_err(trap)?;
        self.event.call(&mut self.store, (kind as i32, token.cast_signed(), len)).map_err(trap)
    }

    /// Fuel that the last event has left.
    pub(super) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().unwrap_or_default()
    }

    pub(super) fn host(&self) -> &Host {
        self.store.data()
    }

    pub(super) fn host_mut(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    /// The area.
    #[inline]
    pub(super) fn area(&self) -> &[u8] {
        self.memory.data(&self.store).get(self.area..self.area + AREA_LEN).unwrap_or_default()
    }

    /// Writes into the area, as far as it goes.
    #[inline]
    pub(super) fn write<const N: usize>(&mut self, parts: [(usize, &[u8]); N]) {
        let area = self.memory.data_mut(&mut self.store).get_mut(self.area..).unwrap_or_default();
        for (at, bytes) in parts {
            if let Some(there) = area.get_mut(at..at + bytes.len()) {
                there.copy_from_slice(bytes);
            }
        }
    }

    /// Bytes of its memory.
    pub(super) fn memory_len(&self) -> usize {
        self.memory.data_size(&self.store)
    }
}

/// Fuel of one event.
pub(super) fn fuel(app: &App) -> u64 {
    let micros = u64::try_from(app.manifest.limits.time.as_micros()).unwrap_or(u64::MAX);
    (micros.saturating_mul(FUEL_A_MILLISECOND) / 1000).max(1)
}

/// What a guest is told of the condition that it has registered last.
fn looked_at(memory: &mut [u8], host: &mut Host, conditions: Conditions<'_>) -> i32 {
    let area = host.area;
    let Some(registered) = host.registered.last_mut() else { return Refusal::State as i32 };
    conditions(registered);
    let Err((column, message)) = &registered.outcome else { return 0 };
    let scratch = memory.get_mut(area + SCRATCH_AT..area + SCRATCH_AT + SCRATCH_LEN).unwrap_or_default();
    area::wrong_condition(scratch, *column, message);
    Refusal::Invalid as i32
}
