//! The state of the program and of the process that runs, and waiting.

use crate::clock::Clock;
use crate::errno::{Errno, Result};
use crate::file::FdTable;
use crate::fs::Vfs;
use crate::fs::console::Console;
use crate::inbound;
use crate::lock::Locks;
use crate::mm::Mm;
use crate::net::Net;
use crate::net::budget::Budget;
use crate::platform::Platform;
use crate::poll::signalfd::PendingSignals;
use crate::process::{Fork, Process, Processes, Registers, Return};
use crate::random;
use crate::rewrite::Rewriter;
use crate::syscall;
use crate::thread::{Threads, Waiting};
use crate::tty::Terminals;
use abi::boot::{Contract, PACKAGE_DIR};
use abi::console::INPUT_NONE;
use abi::mailbox::Doorbell;
use alloc::rc::Rc;

/// Length of the instruction `syscall`.
const SYSCALL_BYTES: u64 = 2;

/// What the host said about this VM at boot.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How the function takes its requests.
    pub contract: Contract,
    /// Whether the program is yet to become a function: the first thing it is given says which one.
    pub awaits_function: bool,
    /// The port the program is expected to listen on (contract `Http`).
    pub port: u16,
    /// What `AT_HWCAP` tells the program: feature bits of the processor (`cpuid` 1, `edx`).
    pub hwcap: u64,
    /// What `AT_SYSINFO_EHDR` tells the program: where its vDSO lies; 0 if there is none.
    pub vdso: u64,
    /// Where a rewritten system call enters pico, with the return address in `rcx`; 0: nothing is rewritten.
    pub fast_entry: u64,
    /// The root image.
    pub root: &'static [u8],
    /// The package image; empty if there is none.
    pub package: &'static [u8],
}

/// Everything pico knows about the program it runs.
pub struct Kernel {
    /// The machine below.
    pub platform: Rc<dyn Platform>,
    /// What the host said at boot.
    pub config: Config,
    /// The program's memory.
    pub mm: Mm,
    /// Limits and signals of the process that has the processor, as are its memory, descriptors and place in the tree.
    pub process: Process,
    /// All processes.
    pub processes: Processes,
    /// Which fork this is.
    pub fork: Fork,
    /// The threads of all of them.
    pub threads: Threads,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: random::Shared,
    /// Open descriptors.
    pub fds: FdTable,
    /// Locks of files.
    pub locks: Rc<Locks>,
    /// The tree of files.
    pub vfs: Vfs,
    /// The request of this fork.
    pub inbound: inbound::Shared,
    /// Names of the machine.
    pub names: syscall::names::Names,
    /// Terminals.
    pub terminals: Terminals,
    /// The standard streams, if the host has some for the program (contract `Program`).
    pub console: Option<Rc<Console>>,
    /// Sockets and pipes.
    pub net: Net,
    /// What calls that wait may hold of pico's own memory.
    pub held: Budget,
    /// What is pending for the thread that looks at files: for those that tell it.
    pub pending_signals: Rc<PendingSignals>,
    /// Files that send `SIGIO`.
    pub signal_driven: crate::poll::driven::SignalDriven,
    /// System V shared memory.
    pub shm: crate::shm::Segments,
    /// Which system-call sites were rewritten.
    pub rewriter: Rewriter,
    /// Whether a request was delivered to this VM: it is a fork, no longer the parent.
    pub request_taken: bool,
}

impl Kernel {
    /// A kernel with an empty program, on `platform`. `tsc` was taken when the identity was valid: at entry. `mm`
    /// owns the program's memory.
    pub fn new(platform: Rc<dyn Platform>, tsc: u64, config: Config, mm: Mm) -> Self {
        let identity = platform.identity();
        let clock = Clock::new(&identity, tsc);
        let inbound = inbound::Shared::default();
        let mut vfs = Vfs::new(config.root, Some(config.package).filter(|package| !package.is_empty()));
        let has_streams = config.contract == Contract::Program;
        if !has_streams {
            inbound::device::register(&mut vfs.devices, &inbound);
        }
        Self {
            config,
            process: Process::new(mm.total(), mm.stack_size()),
            processes: Processes::default(),
            fork: Fork::default(),
            threads: Threads::default(),
            mm,
            clock,
            random: random::Shared::new(&identity.seed),
            fds: FdTable::default(),
            locks: Rc::default(),
            vfs,
            net: Net::new(config.contract, config.port, inbound.clone()),
            inbound,
            names: syscall::names::Names::default(),
            terminals: Terminals::default(),
            console: has_streams.then(|| Rc::new(Console::new(platform.clone()))),
            held: Budget::new(syscall::HELD_MAX),
            pending_signals: Rc::default(),
            signal_driven: crate::poll::driven::SignalDriven::default(),
            shm: crate::shm::Segments::default(),
            rewriter: Rewriter::default(),
            request_taken: false,
            platform,
        }
    }

    /// The running thread waits for files, or for time to pass. Returns when others may have changed what it waits for, at
    /// the latest at the monotonic time `until`; the caller then looks again. `takes_request`: what is waited for is
    /// satisfied by a request.
    pub fn wait(&mut self, until: Option<u64>, takes_request: bool) {
        self.suspend(Waiting { until, takes_request, for_files: true, for_children: false });
    }

    /// Rings the doorbell with the figures every doorbell carries. See [`Platform::ring`] for which ones are final.
    pub fn ring(&mut self, doorbell: Doorbell, args: [u64; 4]) {
        self.platform.set_memory_used(self.mm.used());
        self.platform.ring(doorbell, args);
    }

    /// Ends the VM because pico cannot go on; `detail` says why.
    pub fn fail(&mut self, detail: &str) {
        self.platform.set_detail(detail);
        self.ring(Doorbell::Panic, [0; 4]);
    }

    /// Serves the system call in `registers`. Returns whether registers changed that a system call preserves.
    pub fn system_call(&mut self, registers: &mut Registers) -> bool {
        let number = registers.rax;
        self.rewrite_around(registers.rip);
        registers.rax = syscall::dispatch(self, number, &registers.args());
        self.begin_thread(registers);
        self.expire_alarm();
        let ended_by_signal = registers.rax == Errno::EINTR.as_return_value();
        let restartable = core::mem::take(&mut self.process.restartable);
        if ended_by_signal && restartable && self.process.signals.restarts() {
            registers.rax = number;
            registers.rip -= SYSCALL_BYTES;
        }
        let returning = self.process.returning.take();
        let returned = returning.is_some();
        match returning {
            None => {}
            Some(Return::Frame) => self.pop_frame(registers),
            Some(Return::Program(first)) => *registers = *first,
        }
        if !self.signal_driven.is_empty() {
            self.signal_owners();
        }
        // First: who has the processor next may be a thread that never comes back by itself.
        self.announce_ticks();
        self.share();
        let delivered = self.deliver_signals(registers);
        self.end_if_killed();
        delivered || returned
    }

    /// The host has interrupted the program, as it does now and then if that was asked for.
    pub fn tick(&mut self, registers: &mut Registers) {
        self.expire_alarm();
        self.look_for_input();
        if self.threads.are_others_due() {
            self.yield_now();
        }
        self.deliver_signals(registers);
        self.end_if_killed();
    }

    /// Monotonic time in ns.
    pub fn now(&self) -> u64 {
        self.clock.monotonic(self.platform.tsc())
    }

    /// Takes the identity and the request the host wrote while the VM was stunned, at the monotonic time `captured`.
    pub(crate) fn become_fork(&mut self, captured: u64) {
        let identity = self.platform.identity();
        if identity.generation == self.fork.generation {
            self.fail(
                "fork refused: its identity is that of its parent; the host must write a new generation",
            );
            return;
        }
        self.fork.adopt(&identity);
        self.threads.ticks = false;
        let busy = self.own_busy();
        self.clock = Clock::after(&identity, self.platform.tsc(), captured);
        self.processes.restart_clock();
        self.restart_cpu_alarms(busy);
        self.random.reseed(&identity.seed);
        if core::mem::take(&mut self.config.awaits_function) {
            match self.become_function() {
                Ok(()) => self.inbound.borrow_mut().deliver_function(self.platform.request()),
                Err(_) => self.fail("the function's memory or package cannot be used"),
            }
            return;
        }
        self.request_taken = true;
        self.mm.settle();
        let input = self.platform.console().input;
        let mut inbound = self.inbound.borrow_mut();
        inbound.deliver(self.platform.request(), self.platform.response());
        if input != INPUT_NONE {
            inbound.open_input(input);
            self.platform.clear_input();
        }
    }

    /// Takes what the function has that its runtime had not: more memory, and its package as current directory.
    fn become_function(&mut self) -> Result<()> {
        let function = self.platform.function();
        if !self.processes.is_alone() {
            // Memory is one process's to give.
            return Err(Errno::EBUSY);
        }
        self.mm.grow(function.memory)?;
        self.process.set_memory_limit(function.memory);
        self.config.package = function.package;
        if function.package.is_empty() {
            return Ok(());
        }
        self.vfs.mounts.mount_package(function.package);
        self.change_dir(PACKAGE_DIR.as_bytes())
    }
}

#[cfg(test)]
impl Kernel {
    /// A kernel on a fake machine with 4 MiB of program memory; the second value is the machine.
    pub fn for_tests() -> (Self, Rc<crate::platform::fake::Fake>) {
        let fake = Rc::new(crate::platform::fake::Fake::default());
        let config = Config {
            contract: Contract::Http,
            awaits_function: false,
            port: 8080,
            hwcap: 0,
            vdso: 0,
            fast_entry: 0,
            root: &[],
            package: &[],
        };
        let kernel = Self::new(Rc::new(fake.clone()), 1, config, Mm::for_tests(4 << 20));
        (kernel, fake)
    }
}

#[cfg(test)]
mod tests;
