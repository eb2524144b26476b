//! KVM's counters of one VM.

use super::BenchError;
use vmm::{Machine, Stats};

/// None on a kernel without them.
pub(in crate::bench) struct Counters(Option<Stats>);

impl Counters {
    pub(in crate::bench) fn open(machine: &Machine) -> Self {
        Self(machine.vcpu_stats().ok())
    }

    /// Exits and page faults so far, as far as this kernel counts them.
    pub(in crate::bench) fn read(&self) -> Result<[Option<u64>; 2], BenchError> {
        let Some(stats) = &self.0 else { return Ok([None, None]) };
        let read = |name| stats.read(name).map_err(BenchError::host("reading KVM's statistics"));
        Ok([read("exits")?, read("pf_taken")?])
    }
}
