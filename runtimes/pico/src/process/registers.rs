//! The program's registers while pico runs.

/// What the entry code saves and restores. The layout is known to the assembly in `arch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct Registers {
    /// `rax`: the number of a system call, then its result.
    pub rax: u64,
    /// `rbx`
    pub rbx: u64,
    /// `rcx`
    pub rcx: u64,
    /// `rdx`
    pub rdx: u64,
    /// `rsi`
    pub rsi: u64,
    /// `rdi`
    pub rdi: u64,
    /// `rbp`
    pub rbp: u64,
    /// `rsp`
    pub rsp: u64,
    /// `r8` to `r15`
    pub r8_15: [u64; 8],
    /// Where the program goes on.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// SSE control and status.
    pub mxcsr: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// `xmm0` to `xmm15`
    pub xmm: [u128; 16],
}

impl Registers {
    /// The arguments of a system call.
    pub fn args(&self) -> crate::syscall::Args {
        let [r8, r9, r10, ..] = self.r8_15;
        crate::syscall::Args([self.rdi, self.rsi, self.rdx, r10, r8, r9])
    }
}

const _: () = assert!(size_of::<Registers>() == 416 && core::mem::offset_of!(Registers, xmm) == 160);
