//! From the first instruction to the first instruction of the program.

use super::entry::pico_resume;
use super::machine::Machine;
use super::paging::Paging;
use super::{address, die, heap, set_kernel};
use crate::errno::Result;
use crate::exec;
use crate::kernel::{Config, Kernel};
use crate::mm::Mm;
use crate::platform::{Function, Platform};
use abi::boot::{BOOT_MAGIC, BootInfo, Contract, PACKAGE_DIR, STRINGS_MAX};
use abi::layout::{
    IMAGE_MAX, KERNEL_SIZE, KERNEL_VA, PACKAGE_VA, PROGRAM_MIN, PROGRAM_VA, RAM_MAX, ROOT_VA, kernel_area,
};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ptr::with_exposed_provenance;

/// Where the assembly goes first. Never returns.
pub(super) extern "C" fn pico_start() -> ! {
    let tsc = Machine.tsc();
    heap::claim();
    Machine.announce();
    let info = boot_info();
    let strings = strings(&info);
    let (args, env) = strings.split_at(info.arg_count as usize);
    let kernel = set_kernel(new_kernel(tsc, &info));
    if let Err(errno) = prepare(kernel) {
        die(format_args!("standard streams or working directory: error {}", errno.0));
    }
    if kernel.config.contract == Contract::Program && !exec::enter_directory(kernel, env) {
        die(format_args!("the host resumed a program that has no directory to start in"));
    }
    let Some(registers) =
        exec::start(kernel, args, env, &mut |kernel, path| kernel.open_for_exec(path.as_bytes()))
    else {
        die(format_args!("the host resumed a program that could not be started"));
    };
    // SAFETY: the registers lie on pico's stack, which is given up here.
    unsafe { pico_resume(&registers) }
}

/// What the host has written for the function that a fork of this VM becomes.
pub(super) fn function() -> Function {
    let info = boot_info();
    Function { memory: info.ram_bytes - KERNEL_SIZE, package: image(PACKAGE_VA, info.package_bytes) }
}

/// What a program finds open, and where it starts: in its package, if it has one.
fn prepare(kernel: &mut Kernel) -> Result<()> {
    kernel.open_standard_streams()?;
    if kernel.config.package.is_empty() { Ok(()) } else { kernel.change_dir(PACKAGE_DIR.as_bytes()) }
}

/// A pointer to `offset` in the kernel area.
fn kernel_area_at<T>(offset: u64) -> *const T {
    with_exposed_provenance(address(KERNEL_VA + offset))
}

fn boot_info() -> BootInfo {
    // SAFETY: the host fills the page while the VM is stopped; it is plain data.
    let info = unsafe { kernel_area_at::<BootInfo>(kernel_area::BOOT_INFO).read_volatile() };
    if info.magic != BOOT_MAGIC || info.version != abi::VERSION {
        die(format_args!(
            "the host speaks version {} of the contract, this pico version {}; rebuild both",
            info.version,
            abi::VERSION
        ));
    }
    let program = info.ram_bytes.saturating_sub(KERNEL_SIZE);
    let images = info.root_bytes.max(info.package_bytes);
    if program < PROGRAM_MIN || info.ram_bytes > RAM_MAX || images > IMAGE_MAX || info.arg_count == 0 {
        die(format_args!("boot information out of limits: {info:?}"));
    }
    info
}

/// Arguments and environment.
fn strings(info: &BootInfo) -> Vec<&'static [u8]> {
    let len = info.strings_len as usize;
    let count = u64::from(info.arg_count) + u64::from(info.env_count);
    if len > STRINGS_MAX {
        die(format_args!("boot strings of {len} bytes; at most {STRINGS_MAX} fit"));
    }
    let start = kernel_area_at::<u8>(kernel_area::BOOT_INFO + size_of::<BootInfo>() as u64);
    // SAFETY: inside the boot information area, which nobody writes after the boot.
    let bytes = unsafe { core::slice::from_raw_parts(start, len) };
    let mut strings: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    let ended = strings.pop().is_some_and(<[u8]>::is_empty);
    if !ended || strings.len() as u64 != count {
        die(format_args!("boot strings: {} found, {count} announced", strings.len()));
    }
    strings
}

fn new_kernel(tsc: u64, info: &BootInfo) -> Kernel {
    let contract = match info.contract {
        number if number == Contract::Handler as u32 => Contract::Handler,
        number if number == Contract::Http as u32 => Contract::Http,
        number if number == Contract::RuntimeApi as u32 => Contract::RuntimeApi,
        number if number == Contract::Program as u32 => Contract::Program,
        other => die(format_args!("contract {other} is unknown to this pico")),
    };
    let Ok(port) = u16::try_from(info.port) else { die(format_args!("{} is not a port", info.port)) };
    let cpuid = core::arch::x86_64::__cpuid(1);
    let config = Config {
        contract,
        awaits_function: info.awaits_function != 0,
        port,
        hwcap: u64::from(cpuid.edx),
        vdso: super::vdso::start(),
        fast_entry: super::entry::fast_entry(),
        root: image(ROOT_VA, info.root_bytes),
        package: image(PACKAGE_VA, info.package_bytes),
    };
    // SAFETY: RAM behind the kernel area is mapped there, zeroed, and pico's to hand out.
    let mm = unsafe { Mm::new(PROGRAM_VA, info.ram_bytes - KERNEL_SIZE, Rc::new(Paging)) };
    Kernel::new(Rc::new(Machine), tsc, config, mm)
}

fn image(va: u64, len: u64) -> &'static [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the host maps the image there, read-only and for ever; `boot_info` limited the length.
    unsafe { core::slice::from_raw_parts(with_exposed_provenance(address(va)), address(len)) }
}
