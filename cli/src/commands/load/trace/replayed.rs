//! What a replay came to.

use super::counted::Counted;
use super::options::Measured;
use super::parents::Parents;
use loadtest::engine::Outcome;
use loadtest::trace::analysis::{Analysis, analyse};
use loadtest::trace::plan::Planned;

/// A replay that is over.
pub(super) struct Replayed {
    /// What was sent.
    pub(super) planned: Planned,
    /// What the engine counted.
    pub(super) outcome: Outcome,
    /// What the records say.
    pub(super) analysis: Analysis,
    /// Functions that were deployed.
    pub(super) deployed: usize,
    /// Of which parents the answers were forks.
    pub(super) parents: Parents,
    /// What the platform counted meanwhile, or why that is not known.
    pub(super) counted: Result<Counted, String>,
    /// The most VMs there may be.
    pub(super) vms_max: Option<f64>,
}

impl Replayed {
    /// Puts together what was counted. `deployed_mib` is the memory of each deployed function; `counted` says what the platform
    /// counted, given what the records say.
    pub(super) fn new(
        planned: Planned,
        outcome: Outcome,
        deployed_mib: &[u32],
        vms_max: Option<f64>,
        counted: impl FnOnce(&Analysis) -> Result<Counted, String>,
    ) -> Replayed {
        let deployed = deployed_mib.len().max(1);
        let functions = planned.memory_mib.len();
        let memory_mib: Vec<u32> = (0..functions).map(|function| deployed_mib[function % deployed]).collect();
        let analysis = analyse(&planned, &outcome.records, &memory_mib);
        let counted = counted(&analysis);
        let ways = counted.as_ref().map_or(&[][..], |counted| &counted.ways);
        let parents = Parents::of(&analysis, ways, deployed);
        Replayed { planned, outcome, analysis, deployed, parents, counted, vms_max }
    }

    /// What sizing can take over.
    pub(super) fn measured(&self) -> Measured {
        self.counted.as_ref().map(|counted| counted.measured).unwrap_or_default()
    }

    /// Processor time of gateway and cells, in seconds, if it is known.
    pub(super) fn cpu_s(&self) -> Option<f64> {
        self.counted.as_ref().ok()?.cpu_s
    }
}
