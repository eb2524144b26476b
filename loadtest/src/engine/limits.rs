//! What the machine lets a run have.

use super::PlanError;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections: of threads, of the program around, of files of results.
const OTHERS: u64 = 64;

/// Lets the process have a descriptor for each of `connections`.
pub(super) fn allow_descriptors(connections: usize) -> Result<(), PlanError> {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let needed = (connections + open) as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let within = Rlimit { current: Some(needed), ..limit };
    // A process with CAP_SYS_RESOURCE may raise the hard limit too.
    let beyond = Rlimit { current: Some(needed), maximum: Some(needed) };
    let raised = setrlimit(Resource::Nofile, within).or_else(|_| setrlimit(Resource::Nofile, beyond));
    let allowed = limit.maximum.unwrap_or(u64::MAX);
    raised.map_err(|_| PlanError::Descriptors { connections, needed, allowed })
}
