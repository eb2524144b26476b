//! Measurements of this machine: what `spore bench` prints. At the level of the VM, without HTTP and without a
//! running platform: a function's parent is built in this process and forked here.
//!
//! | module | what it knows |
//! |---|---|
//! | `function` | a function to measure: its parent, a request, and the answer it must give |
//! | `kinds` | the kinds of start, one file each |
//! | `fork` | time, exits and faults of each kind |
//! | `density` | many live children: memory, and whether forking stays fast |
//! | `baseline` | what else starts a Python handler, in the same run |
//! | `soak` | very many forks: leaks and wrong bytes |
//! | `figures`, `clock` | percentiles; the time of steps |
//! | `host` | what the kernel says about memory |

mod baseline;
mod clock;
mod density;
mod figures;
mod fork;
mod function;
mod host;
mod kinds;
mod soak;

pub use baseline::{BaselineReport, Contender, baseline};
pub use density::{ChildMemory, DensityOptions, DensityReport, KernelMemory, children_main, density};
pub use figures::{Counts, Figures};
pub use fork::{FunctionReport, KindReport, StepReport, Unfit, fork};
pub use function::{Function, Subject};
pub use host::HostMemory;
pub use kinds::Kind;
pub use soak::{KvmSample, ProcessSample, SoakOptions, SoakReport, soak};

/// Why a measurement has no result.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// This machine or the kernel refused something.
    #[error("{what} failed: {why}")]
    Host {
        /// What was tried.
        what: &'static str,
        /// What the kernel, or what else refused it, said.
        why: String,
    },
    /// The VM cannot be made pristine in the way that is measured.
    #[error("a VM that served cannot serve again: {0}")]
    Unfit(vmm::Discard),
    /// The function did not do what it always does.
    #[error("{function} {what}")]
    Function {
        /// Its name.
        function: String,
        /// What it did.
        what: String,
    },
}

impl BenchError {
    /// Why a VM was not made pristine: its program's doing, or a failure.
    fn unfit(why: vmm::Discard) -> Self {
        match why {
            vmm::Discard::Spaces | vmm::Discard::TablesTouched => Self::Unfit(why),
            why => Self::host("making a VM pristine")(why),
        }
    }

    /// For `map_err`: what was tried.
    fn host<E: std::error::Error>(what: &'static str) -> impl Fn(E) -> BenchError {
        move |error| BenchError::Host { what, why: crate::chain(&error) }
    }
}
