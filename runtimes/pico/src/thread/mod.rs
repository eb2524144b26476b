//! Threads of all processes: many of them on the one processor.
//!
//! | module | what it knows |
//! |---|---|
//! | `table` | who there is, who runs, who is ready, who waits for what |
//! | `schedule` | giving the processor away: to another thread, or to the host if nobody can proceed |
//! | `start`, `end` | how a thread begins (clone(2)) and ends (exit(2)) |
//! | `frozen` | processes whose threads are not to run |
//! | `futex` | who waits at which address |
//!
//! Every thread has a stack of pico's own, on which its system calls are served. Where a system call has to wait, pico
//! goes on with the stack of another thread, in the middle of that thread's system call:
//!
//! ```text
//! Running -- waits ---> Waiting -- woken, time over, something may have changed --> Ready -- its turn --> Running
//!    |---- time slice over, sched_yield ------------------------------------------^
//!    `---- exit --> Exited
//! ```
//! Who waits for a futex is woken by who wakes it; who waits for files looks again whenever another thread has done
//! something that can change files.

mod end;
mod frozen;
mod futex;
mod schedule;
mod start;
mod table;
#[cfg(test)]
mod tests;

pub use futex::{ANY, Futex, Futexes, Waiter};
pub use schedule::{SLICE, Waiting};
pub use start::Beginning;
pub use table::{Context, State, Thread, Threads};

/// Most threads of all processes together, processes that nobody has waited for included.
pub const THREADS_MAX: usize = 1024;

/// Pages of pico's own stack for a thread.
pub const STACK_PAGES: usize = 8;
