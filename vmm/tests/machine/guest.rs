//! The test guest as an ELF file, and everything needed to run it.
#![expect(unsafe_code, reason = "the guest is assembled into this program")]

use abi::layout::{
    DOORBELL_PORT, HUGE, KERNEL_SIZE, KERNEL_VA, MAILBOX_VA, PROGRAM_MIN, PROGRAM_VA, kernel_area,
};
use abi::mailbox::{Header, REQUEST, RESPONSE};
use std::mem::offset_of;

std::arch::global_asm!(
    include_str!("guest.s"),
    magic = const abi::boot::KERNEL_MAGIC,
    version = const abi::VERSION,
    base = const KERNEL_VA + kernel_area::IMAGE,
    mailbox = const MAILBOX_VA,
    request = const MAILBOX_VA + REQUEST,
    response = const MAILBOX_VA + RESPONSE,
    request_len = const offset_of!(Header, request_len),
    response_len = const offset_of!(Header, response_len),
    doorbell = const offset_of!(Header, doorbell),
    args = const offset_of!(Header, args),
    tick_entry = const offset_of!(Header, tick_entry),
    tick_rip = const offset_of!(Header, tick_rip),
    program = const PROGRAM_VA,
    port = const DOORBELL_PORT,
);

unsafe extern "C" {
    static test_guest_start: u8;
    static test_guest_end: u8;
}

/// RAM of test machines.
pub(crate) const RAM: u64 = KERNEL_SIZE + PROGRAM_MIN + HUGE;

/// The guest's code and data.
pub(crate) fn code() -> &'static [u8] {
    let (start, end) = (&raw const test_guest_start, &raw const test_guest_end);
    // SAFETY: both symbols are in one section, in this order, with initialised bytes between them.
    unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) }
}

/// An ELF file with one segment.
pub(crate) fn elf(code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let address = KERNEL_VA + kernel_area::IMAGE;
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for word in [address, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    for word in [1_u32, 7] {
        file.extend(word.to_le_bytes());
    }
    let len = code.len() as u64;
    for word in [4096, address, address, len, len, 4096] {
        file.extend(word.to_le_bytes());
    }
    file.resize(4096, 0);
    file.extend(code);
    file
}
