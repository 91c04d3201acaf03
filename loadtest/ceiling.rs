//! What servers answer at the most in the driver: a generator that is faster than all of them. Its frames
//! are made by a program of its own (`ceiling/replay.c`), which the kernel runs with live frames
//! (BPF_PROG_TEST_RUN, Linux 5.18) at our end of the veth pair; another one there counts the replies. The
//! kernel's work at either end is done by threads (threaded NAPI): the server's on the CPU of the server,
//! ours on that of the generator.

use std::fs;
use std::mem::{offset_of, size_of};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use as112d::sys::bpf::{AttachMode, Shared, attach_xdp};
use aya::maps::Map;
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::bounds::RATE_MAX;
use super::netns::INTERFACE;
use super::queries::QuerySet;
use super::tools::Run;
use super::wire::{Frame, Sum};
use super::{Outcome, fail};

static OBJECT: &[u8] = aya::include_bytes_aligned!("ceiling/replay.o");
/// Different queries, as many as the program has room for, and bytes of a frame at the most.
const FRAMES: usize = 1024;
const FRAME_LEN: usize = 160;
/// Runs of one call, most of which find that nothing is due: some tenths of a second. Calls take the
/// kernel long to begin and end, which is not counted.
const REPEAT: u32 = 1 << 23;
/// Frames that are sent together.
const BATCH: u32 = 32;
/// Replies may be on their way for so long after the last query.
const LINGER: Duration = Duration::from_millis(50);

/// `struct frame` and `struct replay` of replay.c: their fields are places.
#[repr(C)]
struct Slot {
    len: u64,
    words: [u64; FRAME_LEN / 8],
}

#[repr(C)]
struct Memory {
    interval: u64,
    due: u64,
    next: u64,
    sent: u64,
    first: u64,
    last: u64,
    unused: [u64; 2],
    port: u64,
    answered: u64,
    unused_too: [u64; 6],
    frames: [Slot; FRAMES],
}

/// An end of the veth pair.
#[derive(Clone, Copy)]
pub struct End {
    pub mac: [u8; 6],
    pub address: SocketAddr,
}

/// The generator. Its program is detached when it is dropped.
pub struct Replay {
    programs: Ebpf,
    memory: Shared,
    interface: u32,
    _link: OwnedFd,
}

impl Replay {
    /// Attaches to `interface`, which is ours, with the queries that fit a frame.
    ///
    /// # Errors
    /// We are not root, or the kernel is too old.
    pub fn new(interface: &str, ours: End, server: End, queries: &QuerySet) -> Outcome<Self> {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        let mut programs = loader.load(OBJECT)?;
        let Some(Map::Array(array)) = programs.map("REPLAY") else { return fail("no map") };
        let memory = Shared::map(array.fd().as_fd(), size_of::<Memory>())?;
        let put = |at: usize, word: u64| memory.words()[at / 8].store(word, Ordering::Relaxed);
        put(offset_of!(Memory, port), u64::from(server.address.port().to_be()));
        let mut frames = (0..queries.len()).filter_map(|index| {
            let payload = queries.get(index).0.to_vec();
            let frame = Frame {
                to: server.mac,
                from: ours.mac,
                tags: Vec::new(),
                source: ours.address.ip(),
                destination: server.address.ip(),
                // Above those that are never answered.
                source_port: 10_000 + (index % 50_000) as u16,
                port: server.address.port(),
                payload,
                sum: Sum::Right,
                padding: 0,
            };
            Some(frame.bytes()).filter(|bytes| bytes.len() <= FRAME_LEN)
        });
        for index in 0..FRAMES {
            let bytes = frames.next().ok_or("too few queries")?;
            let at = offset_of!(Memory, frames) + index * size_of::<Slot>();
            put(at + offset_of!(Slot, len), bytes.len() as u64);
            let mut padded = bytes;
            padded.resize(FRAME_LEN, 0);
            for (word, chunk) in padded.as_chunks::<8>().0.iter().enumerate() {
                put(at + offset_of!(Slot, words) + 8 * word, u64::from_le_bytes(*chunk));
            }
        }
        let index = attribute(interface, "ifindex", &here())?.parse()?;
        xdp(&mut programs, "send")?.load()?;
        let receive = xdp(&mut programs, "receive")?;
        receive.load()?;
        let link = attach_xdp(receive.fd()?.as_fd(), index, AttachMode::Native)?;
        Ok(Self { programs, memory, interface: index, _link: link })
    }

    /// Sends at a rate for some time.
    ///
    /// # Errors
    /// The kernel does not run the program.
    pub fn run(&mut self, rate: u64, duration: Duration, stop: &AtomicBool) -> Outcome<Run> {
        let rate = rate.clamp(1, RATE_MAX);
        let word = |memory: &Shared, at: usize| memory.words()[at / 8].load(Ordering::Relaxed);
        let interval = offset_of!(Memory, interval);
        self.memory.words()[interval / 8].store(1_000_000_000 / rate, Ordering::Relaxed);
        let [sent, answered] = [offset_of!(Memory, sent), offset_of!(Memory, answered)];
        let before = [sent, answered].map(|at| word(&self.memory, at));
        let (frame, began) = (vec![0; FRAME_LEN], Instant::now());
        // `struct xdp_md`: data, data_end, data_meta, the interface, its queue, and none to redirect to.
        let context = [0, FRAME_LEN as u32, 0, self.interface, 0, 0].map(u32::to_ne_bytes).concat();
        let mut sending = 0;
        while began.elapsed() < duration && !stop.load(Ordering::Relaxed) {
            self.memory.words()[offset_of!(Memory, first) / 8].store(0, Ordering::Relaxed);
            let mut options = TestRunOptions::new();
            options.data_in = Some(&frame);
            options.ctx_in = Some(&context);
            options.repeat = REPEAT;
            options.attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
            xdp(&mut self.programs, "send")?.test_run(options)?;
            let [first, last] = [offset_of!(Memory, first), offset_of!(Memory, last)];
            sending += word(&self.memory, last) - word(&self.memory, first);
        }
        super::pause(LINGER);
        let [sent, answered] =
            [(sent, before[0]), (answered, before[1])].map(|(at, before)| word(&self.memory, at) - before);
        Ok(Run {
            tool: "replay".to_owned(),
            command: format!("BPF_PROG_TEST_RUN, live frames, {rate} a second"),
            sent,
            answered,
            seconds: Duration::from_nanos(sending).as_secs_f64(),
            ..Run::default()
        })
    }
}

/// Runs the program that does nothing a million times. It is gone when what this returns is dropped.
///
/// # Errors
/// It cannot be loaded.
pub fn run_nothing() -> Outcome<Ebpf> {
    let mut programs = EbpfLoader::new().btf(None).load(OBJECT)?;
    let nothing = xdp(&mut programs, "nothing")?;
    nothing.load()?;
    let mut options = TestRunOptions::new();
    options.data_in = Some(&[0; FRAME_LEN]);
    options.repeat = 1_000_000;
    nothing.test_run(options)?;
    Ok(programs)
}

fn xdp<'a>(programs: &'a mut Ebpf, name: &str) -> Outcome<&'a mut Xdp> {
    Ok(programs.program_mut(name).ok_or("the object has no such program")?.try_into()?)
}

/// The threads of NAPI, by interface.
fn napi_threads(interface: &str) -> Vec<u32> {
    let prefix = format!("napi/{interface}-");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let name = |id: &u32| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    // The kernel cuts names off.
    numbers.filter(|id| name(id).starts_with(&prefix[..prefix.len().min(15)])).collect()
}

/// Has the kernel's work for an interface done by a thread of its own, on a CPU. The interface has a
/// program, else there is no such work. With `is_first` it goes before all else there: replies that wait
/// while the generator has the CPU would be lost. `before` is what a command in its namespace begins
/// with.
///
/// # Errors
/// The kernel has no such threads (Linux 5.12).
pub fn bind(interface: &str, before: &[String], cpu: usize, is_first: bool) -> Outcome<()> {
    let script = format!("echo 1 >/sys/class/net/{interface}/threaded");
    run(&[before, &["sh", "-c", &script].map(str::to_owned)].concat())?;
    let (threads, cpu) = (napi_threads(interface), cpu.to_string());
    if threads.is_empty() {
        return fail(format!("{interface} has no thread"));
    }
    let words = |id: &u32| ["taskset", "--pid", "--cpu-list", &cpu, &id.to_string()].map(str::to_owned);
    threads.iter().try_for_each(|id| {
        run(&words(id))?;
        if is_first {
            run(&["chrt", "--fifo", "--pid", "1", &id.to_string()].map(str::to_owned))?;
        }
        Ok(())
    })
}

/// Runs a command, and gives what it prints.
fn run(words: &[String]) -> Outcome<String> {
    let output = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return fail(format!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What a command begins with that is to see the interfaces that we see: where we were given a network
/// namespace, /sys may still be that of the host.
pub fn here() -> Vec<String> {
    let own = r#"mount -t sysfs none /sys && exec "$@""#;
    ["unshare", "--mount", "sh", "-c", own, "sh"].map(str::to_owned).to_vec()
}

/// The hardware address of an interface, as a command in its namespace reads it.
///
/// # Errors
/// There is no such interface.
pub fn mac(interface: &str, before: &[String]) -> Outcome<[u8; 6]> {
    let text = attribute(interface, "address", before)?;
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
    bytes.try_into().map_err(|_| "not an address of Ethernet".into())
}

fn attribute(interface: &str, name: &str, before: &[String]) -> Outcome<String> {
    let path = format!("/sys/class/net/{interface}/{name}");
    run(&[before, &["cat", &path].map(str::to_owned)].concat())
}
