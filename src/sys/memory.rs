//! Memory that the kernel and we both touch: pages of our own, never moved, never on the heap; and the pages
//! of the program itself.

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::{fmt, io, slice};

use super::units::page_len;

/// The largest pages of any host: 64 KiB.
const PAGE_LEN_MAX: usize = 64 << 10;

/// Zeroed, page-aligned memory that no Rust reference owns. The code that hands its addresses to the kernel
/// makes the rules of who touches which byte when; the region only promises that they stay mapped as long as
/// it lives.
pub(super) struct Region {
    base: NonNull<u8>,
    len: usize,
}

impl Region {
    /// Maps `len` bytes. Fails with ENOMEM, and with EINVAL if `len` is zero.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        // Populated now: the first datagrams take no page fault, and a node without memory learns it at its
        // start.
        Self::map(len, libc::MAP_POPULATE)
    }

    /// The same of memory that is taken page by page, by whoever writes to it first.
    fn unpopulated(len: usize) -> io::Result<Self> {
        Self::map(len, 0)
    }

    fn map(len: usize, flags: c_int) -> io::Result<Self> {
        let (prot, private) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = flags | private;
        // SAFETY: a new anonymous mapping where the kernel likes; it touches no memory that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, prot, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base =
            NonNull::new(base.cast()).expect("without MAP_FIXED the kernel maps nothing at address zero");
        Ok(Self { base, len })
    }

    /// The address of the `len` bytes at `offset`. Panics if they are not all in the region.
    pub(super) fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(len <= self.len && offset <= self.len - len, "within the region");
        // SAFETY: `offset` is within the mapping of `self.len` bytes, which lives as long as `self`.
        unsafe { self.base.as_ptr().add(offset) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `base` and `len` are those of the mapping that `new` made and nobody else unmaps. Owners
        // drop the region when neither the kernel nor a slice of theirs uses it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        // It is a mapping of our own, so that the kernel can only lack memory to end it: then it stays until
        // the process ends.
    }
}

/// A type of which a value has all bits zero, and which needs no drop.
///
/// # Safety
///
/// That is so.
pub unsafe trait Zeroable {}
// SAFETY: zero.
unsafe impl Zeroable for u32 {}
// SAFETY: zero; it has the representation of a `u64`.
unsafe impl Zeroable for AtomicU64 {}

/// Values that are zero at first, and take no memory before one is written to. The pages are nobody else's.
pub struct Zeroed<T: Zeroable> {
    region: Region,
    len: usize,
    values: PhantomData<Box<[T]>>,
}

// SAFETY: it owns its values as a `Box<[T]>` does.
unsafe impl<T: Zeroable + Send> Send for Zeroed<T> {}
// SAFETY: it lends its values as a `Box<[T]>` does.
unsafe impl<T: Zeroable + Sync> Sync for Zeroed<T> {}

impl<T: Zeroable> Zeroed<T> {
    /// So many of them. Where there is no memory, the process ends as with any allocation.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let layout = Layout::array::<T>(len).expect("callers have constants");
        let region = Region::unpopulated(layout.size()).unwrap_or_else(|_| handle_alloc_error(layout));
        Self { region, len, values: PhantomData }
    }

    /// Bytes of this number of them.
    #[must_use]
    pub fn memory_len(len: usize) -> usize {
        (len * size_of::<T>()).next_multiple_of(page_len())
    }
}

impl<T: Zeroable> Deref for Zeroed<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the region is mapped for as long as `self` lives, `len` values long (`new`), aligned to a
        // page, zeroed and so initialised, and used by nobody but through `self`.
        unsafe { slice::from_raw_parts(self.region.base.as_ptr().cast(), self.len) }
    }
}

impl<T: Zeroable> DerefMut for Zeroed<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.region.base.as_ptr().cast(), self.len) }
    }
}

impl<T: Zeroable> fmt::Debug for Zeroed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zeroed").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Gives back what memory holds of the program's file. Most of its code is for the start, and for orders that
/// are rare; what is needed is mapped again, page by page, from the kernel's cache of files.
pub fn forget_code() {
    // SAFETY: `forget_first` is called during this call only, and keeps to what it is given.
    unsafe { libc::dl_iterate_phdr(Some(forget_first), ptr::null_mut()) };
}

/// Discards (MADV_DONTNEED) the read-only segments of the first loaded object: the program.
unsafe extern "C" fn forget_first(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: `object` is the linker's, and there during this call.
    let object = unsafe { &*object };
    // SAFETY: the linker says where the headers are, and how many. They are part of the program's file, which
    // is mapped as long as the process lives.
    let headers = unsafe { slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)) };
    for header in headers {
        if header.p_type != libc::PT_LOAD || header.p_flags & libc::PF_W != 0 {
            continue;
        }
        let begin = (object.dlpi_addr + header.p_vaddr) as usize;
        let (first, end) = (begin.next_multiple_of(PAGE_LEN_MAX), begin + header.p_memsz as usize);
        let len = (end - end % PAGE_LEN_MAX).saturating_sub(first);
        // SAFETY: whole pages of a private mapping of the program's file, made before `main` and never
        // unmapped. Nobody can write to them, nor to the file while it runs, so whoever reads them next
        // finds the same bytes. (What a debugger has put there is gone; that is no memory of ours.)
        unsafe { libc::madvise(ptr::with_exposed_provenance_mut(first), len, libc::MADV_DONTNEED) };
        // Where the kernel refuses, as of memory that is locked, they stay.
    }
    1
}

/// The `N` bytes at `offset`. Panics if they are not all there; callers check lengths first.
pub(super) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    *bytes[offset..].first_chunk().expect("callers check lengths first")
}

/// A message's head: where its peer, its bytes and its control data are, and how long each is. It only names
/// the addresses; the caller keeps them alive as long as the kernel uses them.
pub(super) fn message_head(
    name: *mut libc::sockaddr,
    name_len: libc::socklen_t,
    iovec: *mut libc::iovec,
    control: *mut u8,
    control_len: usize,
) -> libc::msghdr {
    // SAFETY: zero is a value of every field of `msghdr`: null pointers, lengths and flags of none.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = name.cast();
    message.msg_namelen = name_len;
    message.msg_iov = iovec;
    message.msg_iovlen = if iovec.is_null() { 0 } else { 1 };
    message.msg_control = if control_len == 0 { ptr::null_mut() } else { control.cast() };
    // The field's type differs between C libraries; the value is small.
    message.msg_controllen = control_len as _;
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_zeroed_aligned_and_bounded() {
        let region = Region::new(5000).unwrap();
        assert_eq!(region.at(0, 5000) as usize % 4096, 0);
        assert_eq!(region.at(64, 8) as usize - region.at(0, 0) as usize, 64);
        // SAFETY: the last byte of `region`, mapped and initialised, which nobody else uses.
        assert_eq!(unsafe { region.at(4999, 1).read() }, 0);
        assert!(Region::new(0).is_err());
        assert!(std::panic::catch_unwind(|| region.at(4999, 2)).is_err());
    }

    #[test]
    fn zeroed_values_take_memory_once_they_are_written_to() {
        let resident = || {
            let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages = |column| statm.split(' ').nth(column).unwrap().parse::<usize>().unwrap();
            // What is shared is of files.
            (pages(1) - pages(2)) * page_len()
        };
        let len = (256 << 20) / size_of::<u32>();
        let before = resident();
        let mut values = Zeroed::<u32>::new(len);
        assert_eq!((values.len(), values.iter().max()), (len, Some(&0)));
        assert!(resident() < before + (128 << 20), "what is read only takes nothing");
        values.fill(7);
        assert!(resident() > before + (128 << 20));
        assert_eq!(values.as_ptr() as usize % page_len(), 0);
        assert_eq!((values[0], values[len - 1]), (7, 7));
        assert_eq!(Zeroed::<u32>::memory_len(1), page_len());
    }

    #[test]
    fn code_that_was_forgotten_is_there_when_it_is_called() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap()
        };
        let before = resident();
        forget_code();
        let after = resident();
        assert!(after < before, "{after} of {before} KiB");
    }
}
