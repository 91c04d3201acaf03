//! Answers in the driver: a program that the kernel runs on each frame, before an sk_buff is allocated for
//! it. It sends whole answers for names in empty zones, and passes everything else to the sockets untouched.
//!
//! The program is `program/responder.c`; what it answers with are the compiled answers of the sockets, in
//! memory that it shares with the node. So the node needs no privileges once the program is attached.

mod counts;
mod filter;
mod layout;
mod limiting;
mod memory;
mod sets;

use std::error::Error;
use std::mem::offset_of;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::{fs, io};

use aya::maps::{Map, MapData};
use aya::programs::{ProgramError, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use crate::limits::XDP_ALIVE;
use crate::serve::snapshot::Snapshot;
use crate::stats::counters::Totals;
use crate::sys::bpf::{self, Shared};
use crate::sys::clock;

use counts::CPU_LEN;
use filter::CONTROL_LEN;
use layout::Control;
use sets::{SET_LEN, Zones};

pub use crate::sys::bpf::AttachMode;
pub use filter::Filter;

/// The program, an ELF object built by clang.
static OBJECT: &[u8] = aya::include_bytes_aligned!("program/responder.o");
/// Its name in the object.
const PROGRAM: &str = "as112";

/// Where the program makes room for the reply (bpf_xdp_adjust_tail or bpf_xdp_adjust_head).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Growth {
    /// After the frame where the driver has some, else before it.
    #[default]
    Anywhere,
    /// Before it, always. That is slower; tests run everything this way too.
    Before,
}

/// The program, loaded, and the memory that it shares with us.
#[derive(Debug)]
pub struct Responder {
    control: Shared,
    sets: Shared,
    cpus: Shared,
    /// Its links; each is detached when this value is dropped.
    links: Vec<OwnedFd>,
    program: Ebpf,
    /// Empty zones that it has, and those that it leaves to the sockets.
    zones: Mutex<(usize, usize)>,
}

/// The verdict on a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// XDP_PASS: it goes to the sockets, unchanged.
    Passes,
    /// XDP_DROP: its source gets nothing.
    Dropped,
    /// XDP_TX: this frame is sent back.
    Answered(Vec<u8>),
}

impl Responder {
    /// Loads the program for the frames that `filter` names. It answers nothing before it is told to.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn load(filter: &Filter, snapshot: &Snapshot, growth: Growth) -> Result<Self, String> {
        let control_image = filter.image()?;
        let cpus = possible_cpus().map_err(|error| format!("cannot count the CPUs: {error}"))?;
        let mut loader = EbpfLoader::new();
        // The program reads no kernel types, so BTF of the kernel is not needed.
        loader.btf(None);
        loader.map_max_entries("CPUS", cpus);
        let head_only = u32::from(growth == Growth::Before);
        loader.override_global("HEAD_ONLY", &head_only, true);
        let mut program = loader.load(OBJECT).map_err(|error| told(&error))?;
        Self::xdp(&mut program)?.load().map_err(|error| told(&error))?;
        let map = |name: &str, len: usize| {
            let Some(Map::Array(array)) = program.map(name) else {
                return Err(format!("the program has no map {name}"));
            };
            shared(array, len).map_err(|error| format!("cannot map the program's memory: {error}"))
        };
        let responder = Self {
            control: map("CONTROL", control_image.len())?,
            sets: map("SETS", 2 * SET_LEN)?,
            cpus: map("CPUS", cpus as usize * CPU_LEN)?,
            links: Vec::new(),
            program,
            zones: Mutex::new((0, 0)),
        };
        memory::store(&responder.control, 0, &control_image);
        responder.publish(snapshot);
        Ok(responder)
    }

    /// Attaches the program to an interface by its number; it is detached when this value ends, or the
    /// process.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn attach(&mut self, interface: u32, place: AttachMode) -> Result<(), String> {
        let program = Self::xdp(&mut self.program)?.fd().map_err(|error| told(&error))?;
        let link = bpf::attach_xdp(program.as_fd(), interface, place).map_err(|error| refused(&error))?;
        self.links.push(link);
        Ok(())
    }

    /// Replaces the program of `link` by this one.
    ///
    /// # Errors
    /// What the kernel objects.
    pub fn take_over(&mut self, link: OwnedFd) -> io::Result<()> {
        let program = Self::xdp(&mut self.program).map_err(io::Error::other)?;
        let program = program.fd().map_err(io::Error::other)?;
        bpf::replace_xdp(link.as_fd(), program.as_fd())?;
        self.links.push(link);
        Ok(())
    }

    /// Second handles of the links: as long as there is one, the program stays attached.
    ///
    /// # Errors
    /// If there are no more descriptors.
    pub fn links(&self) -> io::Result<Vec<OwnedFd>> {
        self.links.iter().map(OwnedFd::try_clone).collect()
    }

    /// Answers from `snapshot` from now on: when this returns, no answer is made from another.
    pub fn publish(&self, snapshot: &Snapshot) {
        let Zones { mut image, taken, left } = Zones::new(snapshot.answers(), snapshot.edns_udp_size());
        limiting::put_limits(&mut image, snapshot);
        // The lock: only one publisher may write to the inactive set.
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let in_force = memory::word(&self.control, offset_of!(Control, set));
        let next = 1 - in_force.load(Ordering::Relaxed);
        memory::store(&self.sets, next as usize * SET_LEN, &image);
        in_force.store(next, Ordering::Release);
        // After this no run of the program reads the old set, which the next call overwrites.
        bpf::wait_for_runs();
        *zones = (taken, left);
    }

    /// Empty zones that it answers for, and those that it leaves to the sockets.
    #[must_use]
    pub fn zones(&self) -> (usize, usize) {
        *self.zones.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers, or passes everything.
    pub fn serve(&self, is_serving: bool) {
        memory::word(&self.control, offset_of!(Control, is_serving))
            .store(u64::from(is_serving), Ordering::Relaxed);
    }

    /// A heartbeat: the program answers for [`XDP_ALIVE`] more.
    pub fn beat(&self) {
        let until = clock::monotonic_usec() * 1000 + XDP_ALIVE.as_nanos() as u64;
        memory::word(&self.control, offset_of!(Control, alive_until)).store(until, Ordering::Relaxed);
    }

    /// Its counters, summed over all CPUs.
    #[must_use]
    pub fn totals(&self) -> Totals {
        counts::totals(&self.cpus)
    }

    /// Runs the program on one frame that no interface has seen; it comes in at interface 1.
    ///
    /// # Errors
    /// The kernel does not run it, or its result is invalid.
    pub fn run(&mut self, frame: &[u8]) -> Result<Fate, String> {
        let mut out = vec![0; frame.len() + 1024];
        let mut options = TestRunOptions::new();
        options.data_in = Some(frame);
        options.data_out = Some(&mut out);
        let result = Self::xdp(&mut self.program)?.test_run(options).map_err(|error| told(&error))?;
        out.truncate(result.data_size_out as usize);
        match result.return_value {
            2 if out == frame => Ok(Fate::Passes),
            1 => Ok(Fate::Dropped),
            3 => Ok(Fate::Answered(out)),
            2 => Err("a frame passed, but changed".to_owned()),
            other => Err(format!("the program returned {other}")),
        }
    }

    /// Instructions that the verifier processed (bpf_prog_info, Linux 5.16); `None` where the kernel does not
    /// say.
    ///
    /// # Errors
    /// The kernel gives no information about the program.
    pub fn verified_instructions(&mut self) -> Result<Option<u32>, String> {
        let info = Self::xdp(&mut self.program)?.info().map_err(|error| told(&error))?;
        Ok(info.verified_instruction_count())
    }

    fn xdp(program: &mut Ebpf) -> Result<&mut Xdp, String> {
        let program = program.program_mut(PROGRAM).ok_or("the object has no program")?;
        program.try_into().map_err(|error: ProgramError| error.to_string())
    }
}

/// Bytes that the program shares with the node, and that it takes to make a set of zones for it.
#[must_use]
pub fn memory_len() -> usize {
    let cpus = possible_cpus().unwrap_or(1) as usize;
    CONTROL_LEN + 3 * SET_LEN + cpus * CPU_LEN
}

fn shared(array: &MapData, len: usize) -> io::Result<Shared> {
    Shared::map(array.fd().as_fd(), len)
}

/// One more than the highest number that a CPU of this host can have.
fn possible_cpus() -> io::Result<u32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    let last = text.trim().rsplit(['-', ',']).next().and_then(|last| last.parse::<u32>().ok());
    last.map(|last| last + 1).ok_or_else(|| io::Error::other(format!("`{}` is not a CPU list", text.trim())))
}

/// Why the program cannot be loaded, in one line, and what to do.
fn told(error: &(impl Error + 'static)) -> String {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let causes = std::iter::from_fn(|| {
        let this = cause?;
        cause = this.source();
        Some(this)
    });
    let is_denied = |error: &(dyn Error + 'static)| {
        // A program that the verifier refuses is EACCES.
        let error = error.downcast_ref::<io::Error>();
        error.and_then(io::Error::raw_os_error) == Some(libc::EPERM)
    };
    if { causes }.any(is_denied) {
        let ways_out = "start as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON";
        return format!("this process may not load BPF programs; {ways_out}");
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("the kernel rejected the program: {line}; Linux 5.15 or later is needed")
}

/// Why an interface does not take the program, and what to do.
fn refused(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ResourceBusy => {
            "another XDP program is attached, and ours cannot share the interface; detach that one \
             (`ip link set dev IFACE xdp off`), or remove the interface"
                .to_owned()
        }
        io::ErrorKind::Unsupported => {
            "its driver does not support XDP; set `mode = \"generic\"`, or remove the interface".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this process may not attach XDP programs; start as root, or with CAP_BPF and CAP_NET_ADMIN"
                .to_owned()
        }
        _ => format!(
            "its driver refused the program ({error}); a smaller MTU (below 3,500 bytes), no LRO, or more \
             queues may help, or set mode = \"generic\""
        ),
    }
}

#[cfg(test)]
mod tests;
