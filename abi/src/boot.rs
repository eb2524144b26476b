//! What pico tells the host about itself ([`KernelHeader`]) and what the host tells pico at boot ([`BootInfo`]).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `KernelHeader::magic`.
pub const KERNEL_MAGIC: u64 = u64::from_le_bytes(*b"sporepic");

/// Number of exception vectors that have a stub.
pub const EXCEPTIONS: usize = 32;

/// First bytes of the pico image. All addresses are VAs.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelHeader {
    /// [`KERNEL_MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`] pico was built with.
    pub version: u32,
    /// Zero.
    pub reserved: u32,
    /// First instruction, entered in ring 3 with `rsp` = [`KernelHeader::stack_top`].
    pub entry: u64,
    /// Stack pico starts on.
    pub stack_top: u64,
    /// Value for `IA32_LSTAR`: the `syscall` stub (runs in ring 0 on VMX and SVM, in ring 3 on `kvm_pvm`).
    pub syscall_stub: u64,
    /// Ring 0 stack for exceptions (TSS `rsp0`).
    pub exception_stack_top: u64,
    /// First exception stub; the stub of vector `n` is at `exception_stubs + n * exception_stub_bytes`.
    pub exception_stubs: u64,
    /// Distance of two exception stubs in bytes.
    pub exception_stub_bytes: u64,
    /// Code that touches pages and rings the doorbell: `rdi` is the address of a list of `u64`, `rsi` how many there are.
    /// Each entry is the address of a page, plus [`PREFAULT_WRITE`] if the page is to be written to (unchanged), or an
    /// address plus [`PREFAULT_STORE`] and, as the next entry, the value to be stored there. It uses no stack. The host enters it in a fork whose registers are otherwise the parent's, and restores the fork after.
    pub prefault: u64,
}

/// In an entry of a list for [`KernelHeader::prefault`]: the page is written to.
pub const PREFAULT_WRITE: u64 = 1;

/// In an entry of such a list: the next entry is stored there, 8 bytes. This is how page tables are put back: KVM sees
/// what the guest writes to them, not what the host does.
pub const PREFAULT_STORE: u64 = 2;

/// `BootInfo::magic`.
pub const BOOT_MAGIC: u64 = u64::from_le_bytes(*b"sporebt1");

/// How a function takes its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Contract {
    /// Reads invocations from [`crate::boot::INVOCATION_DEVICE`] and writes the results there.
    Handler = 1,
    /// Is an HTTP server that listens on [`BootInfo::port`].
    Http = 2,
    /// Asks pico for invocations over HTTP at [`BootInfo::port`], as [`crate::runtime_api`] says.
    RuntimeApi = 3,
    /// Takes none: it has standard streams instead ([`crate::console`]), and starts in the directory that the variable
    /// `PWD` names.
    Program = 4,
}

/// The character device of the handler contract. Invocation and response are one line each.
///
/// `read` waits for the invocation and gives as much of it as fits; further reads give the rest, then one gives 0,
/// and the next waits for the next invocation. The response is complete with the `write` that ends in a newline;
/// that `write` does not return. The host ends the invocation with a newline.
pub const INVOCATION_DEVICE: &str = "/dev/invocation";
/// Where the function package is mounted.
pub const PACKAGE_DIR: &str = "/var/task";

/// What pico finds at `KERNEL_VA + kernel_area::BOOT_INFO`.
///
/// Strings follow the structure: `arg_count` arguments, then `env_count` environment entries (`K=V`), each
/// ended by a NUL, `strings_len` bytes in all.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BootInfo {
    /// [`BOOT_MAGIC`].
    pub magic: u64,
    /// [`crate::VERSION`].
    pub version: u32,
    /// A [`Contract`].
    pub contract: u32,
    /// Bytes of RAM, kernel area included; a multiple of [`crate::layout::HUGE`].
    pub ram_bytes: u64,
    /// Bytes of the root image.
    pub root_bytes: u64,
    /// Bytes of the package image; 0 if there is none.
    pub package_bytes: u64,
    /// The port the program is expected to listen on (contract `Http`), or pico answers on (contract `RuntimeApi`).
    pub port: u32,
    /// Number of program arguments; argument 0 is the path of the program to run.
    pub arg_count: u32,
    /// Number of environment entries.
    pub env_count: u32,
    /// Bytes of all strings.
    pub strings_len: u32,
    /// Not 0: this boots a runtime parent. The first request of its forks is what the program needs to become a
    /// function. By then the host has written this structure anew: `ram_bytes` may have grown and there may be a package.
    pub awaits_function: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<KernelHeader>() == 72);
const _: () = assert!(size_of::<BootInfo>() == 64);

/// Most bytes of arguments and environment together.
#[expect(clippy::cast_possible_truncation, reason = "a quarter of a mebibyte fits everywhere")]
pub const STRINGS_MAX: usize = crate::layout::kernel_area::BOOT_INFO_SIZE as usize - size_of::<BootInfo>();
