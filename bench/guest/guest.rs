//! The guest of the bench. `guest.wasm` is made of it by Debian's rustc 1.63:
//! `rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib -C opt-level=3 -C lto=fat
//! -C panic=abort -C strip=symbols -C link-arg=-zstack-size=16384 guest.rs -o guest.wasm`.
#![no_std]

mod decide;

use core::ptr::addr_of_mut;
use decide::{decide, Decision};

static mut AREA: [u8; 71_872] = [0; 71_872];

#[link(wasm_import_module = "as112")]
extern "C" {
    fn now() -> i64;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

#[no_mangle]
extern "C" fn as112_abi() -> i32 {
    1
}

#[no_mangle]
extern "C" fn as112_area() -> i32 {
    unsafe { addr_of_mut!(AREA) as i32 }
}

#[no_mangle]
extern "C" fn as112_start(_config_len: i32) -> i32 {
    0
}

/// In phase `post-cache` it makes one hostcall besides.
#[no_mangle]
extern "C" fn as112_event(kind: i32, _token: i32, len: i32) -> i64 {
    if kind != 1 {
        return 0;
    }
    let area = unsafe { &mut *addr_of_mut!(AREA) };
    if area[8] == 2 && unsafe { now() } == 0 {
        return 7;
    }
    let (request, rest) = area.split_at_mut(128);
    let (query, reply) = rest.split_at_mut(2112);
    match decide(&query[..(len as usize).min(2112)], &mut reply[..4096]) {
        Decision::Pass => 0,
        Decision::Reply(len) => {
            request[24..28].copy_from_slice(&(len as u32).to_le_bytes());
            1
        }
        Decision::Refuse => 2 | 5 << 8,
    }
}
