//! The kinds of start. A new one is a file with a [`Starter`], a name here, and nothing else.

mod cold;
mod counters;
mod kept;
mod new;
mod spare;

pub(super) use counters::Counters;

use super::BenchError;
use super::clock::Clock;
use super::function::Function;
use kept::{Kept, Renewal};
use vmm::Machine;

/// How a fork comes to its VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The VM served before and was restored in place.
    Recycled,
    /// The VM was made and prefaulted ahead of the request.
    Spare,
    /// The VM served before and its memory was mapped anew.
    Remapped,
    /// The VM is made for the fork.
    New,
    /// The same, of a parent that is on disk only.
    Cold,
}

impl Kind {
    /// All that are implemented, fastest first.
    pub const ALL: [Kind; 5] = [Kind::Recycled, Kind::Spare, Kind::Remapped, Kind::New, Kind::Cold];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Recycled => "recycled",
            Kind::Spare => "spare",
            Kind::Remapped => "remapped",
            Kind::New => "new",
            Kind::Cold => "cold",
        }
    }

    /// Forks before measuring, after which nothing changes any more.
    pub(super) fn warm_up(self) -> usize {
        match self {
            Kind::Recycled => 100,
            Kind::Spare | Kind::Remapped | Kind::New | Kind::Cold => 10,
        }
    }

    pub(super) fn starter<'a>(self, function: &'a Function) -> Box<dyn Starter + 'a> {
        match self {
            Kind::Recycled => Box::new(Kept::new(function, Renewal::Restore)),
            Kind::Spare => Box::new(spare::Spare::new(function)),
            Kind::Remapped => Box::new(Kept::new(function, Renewal::Remap)),
            Kind::New => Box::new(new::New(function)),
            Kind::Cold => Box::new(cold::Cold::new(function)),
        }
    }
}

/// A VM that is kept between invocations, with its counters once somebody opened them.
pub(super) struct Shell {
    pub(super) machine: Machine,
    pub(super) counters: Option<Counters>,
}

impl From<Machine> for Shell {
    fn from(machine: Machine) -> Self {
        Self { machine, counters: None }
    }
}

/// Gives VMs and takes them back. Steps it takes are marked on the clock.
pub(super) trait Starter {
    /// A pristine VM. What a request would not wait for is not on the clock.
    fn acquire(&mut self, clock: &mut Clock) -> Result<Shell, BenchError>;

    /// Takes back a VM that answered. The number of pages it restored, if it restored any.
    fn release(&mut self, shell: Shell, clock: &mut Clock) -> Result<Option<u64>, BenchError>;
}
