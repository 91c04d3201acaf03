//! The allocator: small pieces by size from free lists, the rest from one list in the order of addresses,
//! whose neighbours are joined. What is never asked for takes nothing: it begins after the statics, in the
//! page that is there already, and takes more pages one by one.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::null_mut;

/// Small pieces have 16, 32, 64 ... 1,024 bytes.
const SMALLEST: usize = 16;
const CLASSES: usize = 7;
const SMALL_MAX: usize = SMALLEST << (CLASSES - 1);
/// Bytes that small pieces of one size are cut from at a time, at most.
const PAGE_LEN: usize = 65_536;

/// A free piece; it says so itself.
#[repr(C)]
struct Free {
    len: usize,
    next: *mut Free,
}

struct Heap {
    /// Free small pieces, by class.
    small: [Cell<*mut Free>; CLASSES],
    /// Other free pieces, in the order of their addresses.
    large: Cell<*mut Free>,
    /// Where memory that was never handed out begins and ends; both 0 before the first piece.
    fresh: Cell<usize>,
    end: Cell<usize>,
}

// SAFETY: there is one thread (see `wasm.rs`, which refuses the feature `atomics`).
unsafe impl Sync for Heap {}

#[allow(clippy::declare_interior_mutable_const)] // It makes the array's elements.
const NONE: Cell<*mut Free> = Cell::new(null_mut());

#[global_allocator]
static HEAP: Heap = Heap { small: [NONE; CLASSES], large: NONE, fresh: Cell::new(0), end: Cell::new(0) };

extern "C" {
    /// The linker puts this where statics and stack end.
    static __heap_base: u8;
}

/// The class of a small piece.
fn class(len: usize) -> usize {
    (len.max(SMALLEST).next_power_of_two() / SMALLEST).trailing_zeros() as usize
}

/// Bytes that a piece for this layout has. Alignments above 16 are had by taking more and beginning later,
/// which `alloc` does.
fn piece_len(layout: Layout) -> usize {
    (layout.size().max(1) + SMALLEST - 1) & !(SMALLEST - 1)
}

impl Heap {
    /// A piece of `len` bytes, a multiple of 16, at a multiple of 16.
    fn take(&self, len: usize) -> *mut u8 {
        let mut last: *mut Free = null_mut();
        let mut piece = self.large.get();
        while !piece.is_null() {
            // SAFETY: what is in the list is free memory that holds a `Free`, written by `give`.
            let Free { len: have, next } = unsafe { piece.read() };
            if have >= len {
                let rest = if have > len { self.rest(piece, len, have - len, next) } else { next };
                self.link(last, rest);
                return piece.cast();
            }
            last = piece;
            piece = next;
        }
        self.grow(len)
    }

    /// Makes a free piece of what is left of another.
    fn rest(&self, piece: *mut Free, len: usize, left: usize, next: *mut Free) -> *mut Free {
        let rest = (piece as usize + len) as *mut Free;
        // SAFETY: `rest` is within the free piece, at a multiple of 16, and has at least 16 bytes: all
        // lengths are multiples of 16.
        unsafe { rest.write(Free { len: left, next }) };
        rest
    }

    /// Lets `next` follow `last` in the list, or begin it.
    fn link(&self, last: *mut Free, next: *mut Free) {
        if last.is_null() {
            self.large.set(next);
        } else {
            // SAFETY: `last` is in the list.
            unsafe { (*last).next = next };
        }
    }

    /// A piece of memory that was never handed out.
    fn grow(&self, len: usize) -> *mut u8 {
        if self.end.get() == 0 {
            // SAFETY: the address of what the linker defines is taken, and nothing is read.
            let base = unsafe { core::ptr::addr_of!(__heap_base) } as usize;
            self.fresh.set((base + SMALLEST - 1) & !(SMALLEST - 1));
            self.end.set(core::arch::wasm32::memory_size(0) * PAGE_LEN);
        }
        let at = self.fresh.get();
        let after = match at.checked_add(len) {
            Some(after) => after,
            None => return null_mut(),
        };
        if after > self.end.get() {
            let pages = (after - self.end.get() + PAGE_LEN - 1) / PAGE_LEN;
            let before = core::arch::wasm32::memory_grow(0, pages);
            if before == usize::MAX {
                return null_mut();
            }
            // Nobody else grows the memory of a guest.
            self.end.set((before + pages) * PAGE_LEN);
        }
        self.fresh.set(after);
        at as *mut u8
    }

    /// Takes a piece back, and joins it with its neighbours.
    fn give(&self, piece: *mut u8, len: usize) {
        let piece: *mut Free = piece.cast();
        let mut last: *mut Free = null_mut();
        let mut next = self.large.get();
        while !next.is_null() && next < piece {
            last = next;
            // SAFETY: `next` is in the list.
            next = unsafe { (*next).next };
        }
        let mut whole = Free { len, next };
        if piece as usize + len == next as usize {
            // SAFETY: `next` is in the list, as it is not null: no piece ends at address 0.
            let Free { len: more, next: after } = unsafe { next.read() };
            whole = Free { len: len + more, next: after };
        }
        if !last.is_null() {
            // SAFETY: `last` is in the list.
            let before = unsafe { (*last).len };
            if last as usize + before == piece as usize {
                // SAFETY: as above.
                unsafe { last.write(Free { len: before + whole.len, next: whole.next }) };
                return;
            }
        }
        // SAFETY: the piece was handed out by `take` with `len` bytes, at least 16, at a multiple of 16, and
        // is given back: nobody else has it.
        unsafe { piece.write(whole) };
        self.link(last, piece);
    }

    fn take_small(&self, class: usize) -> *mut u8 {
        let first = self.small[class].get();
        if first.is_null() {
            return self.take(SMALLEST << class);
        }
        // SAFETY: what is in a list is free memory that holds a `Free`.
        self.small[class].set(unsafe { (*first).next });
        first.cast()
    }

    fn give_small(&self, piece: *mut u8, class: usize) {
        let piece: *mut Free = piece.cast();
        let next = self.small[class].get();
        // SAFETY: the piece has at least 16 bytes at a multiple of 16, and is given back.
        unsafe { piece.write(Free { len: 0, next }) };
        self.small[class].set(piece);
    }
}

// SAFETY: pieces that are handed out do not overlap: each comes from the end of what was handed out, or from
// a free list, from which it is removed first; lists hold what was given back, with the length that its
// layout says again. All pieces begin at a multiple of 16; where a layout asks for more, the piece is longer
// and what is handed out begins at the right place within it, so `dealloc` finds the whole of it by the same
// calculation. (Not inlined: it would be, wherever something is dropped, and that is half of a module.)
unsafe impl GlobalAlloc for Heap {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > SMALLEST {
            return self.alloc_aligned(layout);
        }
        if layout.size() <= SMALL_MAX {
            return self.take_small(class(layout.size()));
        }
        self.take(piece_len(layout))
    }

    #[inline(never)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if layout.align() > SMALLEST {
            // SAFETY: `alloc_aligned` left the place of the whole piece before it.
            let whole = unsafe { ptr.cast::<*mut u8>().sub(1).read() };
            return self.give(whole, aligned_len(layout));
        }
        if layout.size() <= SMALL_MAX {
            return self.give_small(ptr, class(layout.size()));
        }
        self.give(ptr, piece_len(layout));
    }

    #[inline(never)]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let is_small = |size: usize| size <= SMALL_MAX;
        let stays = layout.align() <= SMALLEST
            && match (is_small(layout.size()), is_small(new_size)) {
                (true, true) => class(layout.size()) == class(new_size),
                (false, false) => {
                    let (have, want) = (piece_len(layout), (new_size + SMALLEST - 1) & !(SMALLEST - 1));
                    have == want || self.extends(ptr, have, want)
                }
                _ => false,
            };
        if stays {
            return ptr;
        }
        // SAFETY: the caller says that the new size is one of a layout.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        // SAFETY: the new size is not zero, as the caller says.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: both have so many bytes, and the new piece overlaps nothing.
            unsafe { core::ptr::copy_nonoverlapping(ptr, new, layout.size().min(new_size)) };
            // SAFETY: the caller gives it up.
            unsafe { self.dealloc(ptr, layout) };
        }
        new
    }
}

/// Bytes that a piece with more than the usual alignment takes: what is handed out, what is before it, and
/// the place of the whole.
fn aligned_len(layout: Layout) -> usize {
    (layout.size() + layout.align() + 2 * SMALLEST - 1) & !(SMALLEST - 1)
}

impl Heap {
    fn alloc_aligned(&self, layout: Layout) -> *mut u8 {
        let whole = self.take(aligned_len(layout));
        if whole.is_null() {
            return whole;
        }
        let at = (whole as usize + SMALLEST + layout.align() - 1) & !(layout.align() - 1);
        let piece = at as *mut u8;
        // SAFETY: at least 16 bytes lie between the beginning of the whole and `piece`.
        unsafe { piece.cast::<*mut u8>().sub(1).write(whole) };
        piece
    }

    /// Whether a large piece could be made longer where it is: it is the last that was handed out. A vector
    /// that grows then leaves nothing behind.
    fn extends(&self, ptr: *mut u8, have: usize, want: usize) -> bool {
        if want < have || ptr as usize + have != self.fresh.get() {
            return false;
        }
        !self.grow(want - have).is_null()
    }
}
