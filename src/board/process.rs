//! What the kernel counts for this process, under the names that Prometheus' own libraries give it.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use rustix::fs::RawDir;

use super::host::whole;
use crate::sys::units::{page_len, ticks_per_second};

/// A number of the process.
#[derive(Debug)]
pub struct ProcessFamily {
    /// The whole name.
    pub name: &'static str,
    /// Prometheus' type.
    pub kind: &'static str,
    /// One sentence.
    pub help: &'static str,
}

/// All of them.
pub static PROCESS: [ProcessFamily; 7] = [
    ProcessFamily {
        name: "process_cpu_seconds_total",
        kind: "counter",
        help: "User and system CPU time that the process has taken.",
    },
    ProcessFamily {
        name: "process_resident_memory_bytes",
        kind: "gauge",
        help: "Resident memory of the process; socket buffers of the kernel are not in it.",
    },
    ProcessFamily {
        name: "process_virtual_memory_bytes",
        kind: "gauge",
        help: "Virtual memory of the process.",
    },
    ProcessFamily { name: "process_threads", kind: "gauge", help: "Threads of the process." },
    ProcessFamily { name: "process_open_fds", kind: "gauge", help: "Open file descriptors." },
    ProcessFamily {
        name: "process_max_fds",
        kind: "gauge",
        help: "File descriptors that the process may have open.",
    },
    ProcessFamily {
        name: "process_start_time_seconds",
        kind: "gauge",
        help: "Start time of the process, in seconds since the Unix epoch; an upgrade starts another.",
    },
];

/// By row of [`PROCESS`]; `None` where the kernel does not say.
pub type ProcessValues = [Option<f64>; PROCESS.len()];

/// Where they stand. As with those of the host, the files are opened once.
#[derive(Debug)]
pub struct Process {
    stat: Option<File>,
    limits: Option<File>,
    /// It has one place from which it is read.
    descriptors: Option<Mutex<File>>,
    /// Ticks of the kernel in a second, and bytes of a page.
    units: [f64; 2],
    /// When the host started, in seconds of Unix time.
    booted: Option<f64>,
}

impl Process {
    /// Opens them.
    #[must_use]
    pub fn open() -> Self {
        let open = |path| File::open(path).ok();
        let host = open("/proc/stat").and_then(|file| whole(&file).ok());
        Self {
            stat: open("/proc/self/stat"),
            limits: open("/proc/self/limits"),
            descriptors: open("/proc/self/fd").map(Mutex::new),
            units: [f64::from(ticks_per_second()), page_len() as f64],
            booted: host.and_then(|text| number_after(&text, "btime ")),
        }
    }

    /// The numbers as they stand.
    #[must_use]
    pub fn read(&self) -> ProcessValues {
        let text = |file: &Option<File>| file.as_ref().and_then(|file| whole(file).ok()).unwrap_or_default();
        let max = number_after(&text(&self.limits), "Max open files");
        let open = self.descriptors.as_ref().and_then(|directory| {
            let directory = directory.lock().unwrap_or_else(PoisonError::into_inner);
            entries(&directory).map(|count| count as f64)
        });
        let [cpu, resident, virt, threads, started] = self.parse(&text(&self.stat));
        let started = started.zip(self.booted).map(|(since, booted)| booted + since);
        [cpu, resident, virt, threads, open, max, started]
    }

    /// CPU time, resident and virtual memory, threads, and the start since that of the host, from a line of
    /// proc_pid_stat(5).
    fn parse(&self, stat: &str) -> [Option<f64>; 5] {
        let [ticks, page_len] = self.units;
        // The name of the program is in parentheses and may hold any, and spaces.
        let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split(' ').collect();
        // Numbered as there: what follows the name is a space and the third.
        let field = |number: usize| fields.get(number - 2)?.parse::<f64>().ok();
        let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks);
        [cpu, field(24).map(|pages| pages * page_len), field(23), field(20), field(22).map(|at| at / ticks)]
    }
}

/// The number that follows `key` at the beginning of a line.
fn number_after(text: &str, key: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The entries of a directory from its beginning, but for `.` and `..`.
fn entries(mut directory: &File) -> Option<usize> {
    directory.seek(SeekFrom::Start(0)).ok()?;
    let mut buffer = [const { MaybeUninit::uninit() }; 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += usize::from(!entry.ok()?.file_name().to_bytes().starts_with(b"."));
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_counted() {
        let process = Process::open();
        let values = process.read().map(Option::unwrap);
        let [_, resident, virt, threads, open, max, started] = values;
        assert!(resident > 1e6 && virt > resident && threads >= 1.0 && open >= 6.0 && max >= open);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        assert!((now - 86_400.0..now + 2.0).contains(&started), "{started} of {now}");
        let more: Vec<File> = (0..300).map(|_| File::open("/dev/null").unwrap()).collect();
        assert!(process.read()[4].unwrap() >= open + 200.0, "other tests close some meanwhile");
        drop(more);
    }

    #[test]
    fn a_name_with_parentheses_is_no_matter() {
        let process = Process { units: [100.0, 4096.0], ..Process::open() };
        let line = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 9 0 12345 1000000 200 x\n";
        let expected = [3.0, 819_200.0, 1_000_000.0, 9.0, 123.45].map(Some);
        assert_eq!(process.parse(line), expected);
        assert_eq!(process.parse(""), [None; 5]);
        assert_eq!(process.parse("7 (x) S 1"), [None; 5]);
        assert_eq!(number_after("cpu 1\nbtime 1700000000\n", "btime "), Some(1.7e9));
        assert_eq!(number_after("Max open files            unlimited            x", "Max open files"), None);
    }
}
