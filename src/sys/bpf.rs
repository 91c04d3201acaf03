//! What an XDP program needs of the kernel besides being loaded: a link to an interface that ends with us,
//! arrays that both the program and we map, and a barrier after which no run reads an old one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::thread;

use super::units::page_len;
use crate::limits::XDP_RUN_MAX;

// From linux/bpf.h.
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_LINK_UPDATE: libc::c_int = 29;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_XDP: u32 = 37;
const BPF_LINK_TYPE_XDP: u32 = 6;
// From linux/if_link.h.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
// From linux/membarrier.h: returns when every CPU has left whatever it did in the kernel under RCU.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachMode {
    /// In the driver (native XDP), before the kernel allocates an sk_buff.
    Native,
    /// In the network stack (generic XDP, XDP_FLAGS_SKB_MODE).
    Generic,
}

/// The part of `union bpf_attr` that links are made and changed with: four words, and what is 0.
#[repr(C)]
#[derive(Default)]
struct LinkAttributes {
    words: [u32; 4],
    rest: [u32; 12],
}

/// Attaches a program to an interface by a link (BPF_LINK_CREATE; of XDP since Linux 5.9). Closing the link
/// detaches the program, and so does the end of the process.
///
/// # Errors
/// EBUSY where there is a program already, EOPNOTSUPP where the driver has no place for one, and what else
/// the kernel and the driver object.
pub fn attach_xdp(program: BorrowedFd<'_>, interface: u32, place: AttachMode) -> io::Result<OwnedFd> {
    let flags = match place {
        AttachMode::Native => XDP_FLAGS_DRV_MODE,
        AttachMode::Generic => XDP_FLAGS_SKB_MODE,
    };
    let program = program.as_raw_fd().cast_unsigned();
    let fd = bpf(BPF_LINK_CREATE, [program, interface, BPF_XDP, flags])?;
    // SAFETY: the call succeeded and made this descriptor, which nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Replaces the program of `link` atomically (BPF_LINK_UPDATE; of XDP since Linux 5.9): every frame meets one
/// of the two.
///
/// # Errors
/// What the kernel objects.
pub fn replace_xdp(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let [link, program] = [link, program].map(|fd| fd.as_raw_fd().cast_unsigned());
    bpf(BPF_LINK_UPDATE, [link, program, 0, 0]).map(|_| ())
}

/// Information about a link: `struct bpf_link_info`, as far as links of XDP have it.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    unused: u32,
    interface: u32,
    rest: [u32; 27],
}

/// `union bpf_attr` for such a question.
#[repr(C)]
struct InfoAttributes {
    link: u32,
    len: u32,
    info: u64,
}

/// The number of the interface that `link` has a program on; `None` where it is another kind of file.
#[must_use]
pub fn xdp_link_interface(link: BorrowedFd<'_>) -> Option<u32> {
    let mut info = LinkInfo::default();
    let attributes = InfoAttributes {
        link: link.as_raw_fd().cast_unsigned(),
        len: size_of::<LinkInfo>() as u32,
        info: &raw mut info as u64,
    };
    let len = size_of::<InfoAttributes>();
    // SAFETY: the kernel reads the attributes, and writes at most `len` of them bytes to `info`, which is
    // ours and nothing but numbers; both during the call only.
    let result = unsafe { libc::syscall(libc::SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &raw const attributes, len) };
    // Whatever else it is, its information begins otherwise, or there is none: programs and maps are never
    // passed.
    (result == 0 && info.kind == BPF_LINK_TYPE_XDP).then_some(info.interface)
}

fn bpf(command: libc::c_int, words: [u32; 4]) -> io::Result<libc::c_int> {
    let attributes = LinkAttributes { words, ..LinkAttributes::default() };
    // SAFETY: the kernel reads the attributes, whose length is given, during the call only. Both commands
    // have only numbers in them, no addresses.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attributes, size_of::<LinkAttributes>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

/// Waits until every run of a program that began before has ended: a grace period of RCU (membarrier(2),
/// MEMBARRIER_CMD_GLOBAL, since Linux 4.3).
pub fn wait_for_runs() {
    // SAFETY: numbers alone.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result != 0 {
        // Kernels with nohz_full CPUs have no MEMBARRIER_CMD_GLOBAL.
        thread::park_timeout(XDP_RUN_MAX);
    }
}

/// The memory of an array map that is mmapable (BPF_F_MMAPABLE, Linux 5.5). The program and we read and write
/// it at any time, word by word.
#[derive(Debug)]
pub struct Shared {
    base: NonNull<AtomicU64>,
    words: usize,
    /// Bytes mapped: whole pages.
    len: usize,
}

// SAFETY: it is the address of memory that lives as long as the value, and all access goes by atomics.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps the first `len` bytes of an array. `len` is a multiple of eight, and no more than the array has.
    ///
    /// # Errors
    /// The map was not made for it, or is shorter.
    pub fn map(array: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        let words = len / size_of::<u64>();
        let len = len.next_multiple_of(page_len());
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel likes; it touches no memory that exists.
        let base =
            unsafe { libc::mmap(ptr::null_mut(), len, prot, libc::MAP_SHARED, array.as_fd().as_raw_fd(), 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).expect("without MAP_FIXED the kernel maps nothing at address zero");
        Ok(Self { base, words, len })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `base` begins a mapping of at least so many words, page-aligned, which lives as long as
        // `self` and cannot be truncated: an array has its size for life. What others write, they write as
        // whole numbers that an atomic may hold.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of the mapping that `map` made and nobody else unmaps; no
        // slice of it outlives `self`.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, 0, "a mapping of our own");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn what_is_no_program_is_not_attached() {
        let file = File::open("/dev/null").unwrap();
        assert!(attach_xdp(file.as_fd(), 1, AttachMode::Generic).is_err());
        assert!(replace_xdp(file.as_fd(), file.as_fd()).is_err());
    }

    #[test]
    fn two_mappings_of_one_array_are_the_same_memory() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(2 * page_len() as u64).unwrap();
        let [ours, theirs] = [(), ()].map(|()| Shared::map(file.as_fd(), 5000 / 8 * 8).unwrap());
        assert_eq!(ours.words().len(), 625);
        ours.words()[624].store(7, Ordering::Relaxed);
        assert_eq!(theirs.words()[624].load(Ordering::Relaxed), 7);
        assert!(Shared::map(File::open("/dev/null").unwrap().as_fd(), 8).is_err());
    }

    #[test]
    fn waiting_for_runs_ends() {
        wait_for_runs();
    }
}
