//! How a run ended, and what it took.

use crate::names;
use abi::refusal::Refusal;
use serde::Serialize;
use vmm::{Exit, Machine, Stats};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The program exited with this status.
    Exit(u8),
    /// A signal killed it.
    Signal {
        /// Number.
        number: u8,
        /// Address of the access that faulted; 0 if none did.
        address: u64,
        /// Address of the instruction.
        instruction: u64,
    },
    /// The VM was killed: the program did not react to a signal.
    Killed,
    /// Its time was over.
    TimedOut,
    /// The VM failed.
    Fault(String),
}

/// Something a system call asked for that pico does not have: the call itself, a flag, a command, an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// How often.
    pub count: u32,
}

impl Refused {
    pub(super) fn of(refusals: &[Refusal]) -> Vec<Self> {
        refusals.iter().map(|refusal| Self { name: names::refusal(refusal), count: refusal.count }).collect()
    }
}

/// What KVM counted; nothing where this host's does not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counters {
    /// Exits to the host's kernel or to us.
    pub exits: Option<u64>,
    /// Page faults KVM took for the guest.
    pub page_faults: Option<u64>,
}

impl Counters {
    pub(super) fn read(machine: &Machine) -> Self {
        let read = |stats: &Stats, name: &str| stats.read(name).ok().flatten();
        let Ok(stats) = machine.vcpu_stats() else { return Self::default() };
        Self { exits: read(&stats, "exits"), page_faults: read(&stats, "pf_taken") }
    }
}

/// A run that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Whether memory was refused to the program.
    pub memory_refused: bool,
    /// Bytes of memory it had mapped in the end.
    pub memory_used: u64,
    /// What was refused.
    pub refused: Vec<Refused>,
    /// Until the VM began to run, in ms.
    pub start_ms: f64,
    /// All of it, in ms.
    pub total_ms: f64,
    /// How often the guest rang the doorbell.
    pub doorbells: u64,
    /// What KVM counted.
    pub counters: Counters,
}

pub(super) fn end_of_exit(exit: Exit) -> End {
    End::Fault(match exit {
        Exit::TripleFault => "the processor shut down (triple fault)".to_owned(),
        Exit::Stray { gpa, write } => {
            let what = if write { "wrote to" } else { "read from" };
            format!("it {what} physical address {gpa:#x}, where there is no memory")
        }
        Exit::Port { port } => format!("it used I/O port {port:#x}, which it may not"),
        Exit::PageLost(what) | Exit::Other(what) => what,
        Exit::Doorbell | Exit::Kicked => "unexpected exit".to_owned(),
    })
}

/// Name of a signal, or its number if it has none.
pub fn signal_name(number: u8) -> String {
    names::signal(number)
}
