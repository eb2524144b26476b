//! pico: the guest kernel. It turns one unmodified Linux x86-64 program, with the processes it starts, into a guest.
//!
//! pico runs in ring 3 beside the program, in the same address space; the VM is the protection boundary.
//! Everything here except [`arch`] is ordinary safe Rust that also compiles as a host library, so its logic is
//! tested without a VM.
//!
//! | module | what it knows |
//! |---|---|
//! | `arch` | entry and exit: the system-call stub, exceptions, the doorbell (feature `kernel` only) |
//! | `platform` | the machine below as a trait, so that tests can stand in for it |
//! | `kernel` | the state of the process that runs, and waiting |
//! | `mm`, `exec`, `process`, `clock`, `random` | memory, ELF loading, identity and signals, time, randomness |
//! | `file`, `fs` | descriptors, the tree: EROFS images, memory files, devices, proc |
//! | `rewrite` | system calls without traps: jumps in place of `syscall` |
//! | `lock` | file locks: who has which bytes, who waits |
//! | `thread` | threads, who runs and who waits, futexes |
//! | `inbound`, `net`, `poll` | the request, sockets, readiness |
//! | `shm` | System V shared memory |
//! | `syscall` | the table of system calls and their handlers |
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(all(feature = "kernel", not(test)))]
pub mod arch;
pub mod clock;
pub mod errno;
pub mod exec;
pub mod file;
pub mod fs;
pub mod inbound;
pub mod kernel;
pub mod lock;
pub mod mm;
pub mod net;
pub mod platform;
pub mod poll;
pub mod process;
pub mod random;
pub mod rewrite;
pub mod shm;
pub mod syscall;
pub mod thread;
pub mod tty;
