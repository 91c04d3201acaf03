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
mod refusal;
mod sets;
mod trial;

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
use filter::{CONTROL_LEN, FILTER_AT};
use layout::{Control, Cpu, Set};
use refusal::{refused, told};
use sets::{SET_LEN, Zones};

pub use crate::sys::bpf::AttachMode;
pub use filter::{Filter, Port};
pub use refusal::TRIED;

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
    zones: Mutex<Known>,
}

/// The zones of the set that is in effect.
#[derive(Debug, Default)]
struct Known {
    /// Empty zones that it has, and those that it leaves to the sockets.
    counts: (usize, usize),
    /// The name of one that it has.
    example: Option<Vec<u8>>,
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
        let program = load(cpus, growth)?;
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
            zones: Mutex::default(),
        };
        memory::store(&responder.control, 0, &control_image);
        responder.publish(snapshot);
        Ok(responder)
    }

    /// Tries the program before it is attached: a query for each port and family of addresses gets what the
    /// sockets would send. It says nothing of what a driver makes of the reply.
    ///
    /// # Errors
    /// What came instead.
    pub fn self_test(&mut self, filter: &Filter, snapshot: &Snapshot) -> Result<(), String> {
        let zones = self.zones.get_mut().unwrap_or_else(PoisonError::into_inner);
        // With a rate limit everything passes, and where networks are dropped a trial may be of one of them.
        let is_limited = snapshot.rate_limit().is_some() || snapshot.dropped_networks().is_some();
        let Some(zone) = zones.example.clone().filter(|_| !is_limited) else { return Ok(()) };
        self.refresh(&Filter { absent: Vec::new(), sample: 0, ..filter.clone() })?;
        self.serve(true);
        self.beat();
        let trials = filter.ports.iter().flat_map(|port| trial::trials(filter, port, snapshot, &zone));
        let failed = trials.collect::<Vec<_>>().into_iter().find_map(|trial| match self.run(&trial.query) {
            Ok(Fate::Answered(reply)) if reply == trial.reply => None,
            Ok(Fate::Answered(_)) => Some("it answers otherwise than the sockets".to_owned()),
            Ok(Fate::Passes | Fate::Dropped) => Some("it does not answer".to_owned()),
            Err(error) => Some(error),
        });
        self.serve(false);
        // These queries are nobody's.
        self.cpus.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.refresh(filter)?;
        failed.map_or(Ok(()), |why| Err(format!("the program fails its self-test: {why}")))
    }

    /// Looks at the frames that `filter` names from now on.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn refresh(&self, filter: &Filter) -> Result<(), String> {
        let image = filter.image()?;
        let sample = memory::word(&self.control, offset_of!(Control, sample));
        sample.store(filter.sample.into(), Ordering::Relaxed);
        memory::store(&self.control, FILTER_AT, &image[FILTER_AT..]);
        Ok(())
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
        let Zones { mut image, taken, left, example } =
            Zones::new(snapshot.answers(), snapshot.edns_udp_size());
        limiting::put_limits(&mut image, snapshot);
        // The lock: only one publisher may write to the inactive set.
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let in_force = memory::word(&self.control, offset_of!(Control, set));
        let next = 1 - in_force.load(Ordering::Relaxed);
        memory::store(&self.sets, next as usize * SET_LEN, &image);
        in_force.store(next, Ordering::Release);
        // After this no run of the program reads the old set, which the next call overwrites.
        bpf::wait_for_runs();
        *zones = Known { counts: (taken, left), example };
    }

    /// From now on leaves to the sockets what rules of `snapshot` may concern, which is about to be
    /// published: no query is answered here that a rule decides there.
    pub fn withhold(&self, snapshot: &Snapshot) {
        // The lock: nobody changes over meanwhile.
        let _zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let set = memory::word(&self.control, offset_of!(Control, set)).load(Ordering::Relaxed);
        let ruled = memory::word(&self.sets, set as usize * SET_LEN + offset_of!(Set, ruled));
        ruled.store(ruled.load(Ordering::Relaxed) | limiting::ruled(snapshot), Ordering::Relaxed);
        bpf::wait_for_runs();
    }

    /// Empty zones that it answers for, and those that it leaves to the sockets.
    #[must_use]
    pub fn zones(&self) -> (usize, usize) {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).counts
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

    /// Marks every CPU as having a frame in work, or none.
    pub fn occupy(&self, is_busy: bool) {
        for cpu in self.cpus.words().chunks_exact(CPU_LEN / 8) {
            cpu[offset_of!(Cpu, busy) / 8].store(u64::from(is_busy), Ordering::Relaxed);
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

/// Whether the kernel takes the program from this process: it is loaded, and gone again.
///
/// # Errors
/// Why not, and what to do.
pub fn is_loadable() -> Result<(), String> {
    load(1, Growth::Anywhere).map(|_| ())
}

fn load(cpus: u32, growth: Growth) -> Result<Ebpf, String> {
    let mut loader = EbpfLoader::new();
    // The program reads no kernel types, so BTF of the kernel is not needed.
    loader.btf(None);
    loader.map_max_entries("CPUS", cpus);
    let head_only = u32::from(growth == Growth::Before);
    loader.override_global("HEAD_ONLY", &head_only, true);
    let mut program = loader.load(OBJECT).map_err(|error| told(&error))?;
    Responder::xdp(&mut program)?.load().map_err(|error| told(&error))?;
    Ok(program)
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

#[cfg(test)]
mod tests;
