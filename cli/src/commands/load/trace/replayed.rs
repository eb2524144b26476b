//! What a replay came to, in numbers.

use super::options::Measured;
use super::platform::Reading;
use loadtest::engine::Outcome;
use loadtest::trace::analysis::{Analysis, analyse, quantile};
use loadtest::trace::plan::Planned;

const MIB: f64 = (1 << 20) as f64;

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
    /// What the platform said.
    pub(super) platform: Platform,
}

/// What the platform counted while it was loaded.
pub(super) struct Platform {
    /// Processor time of gateway and cells, in seconds; not known of another machine.
    pub(super) cpu_s: Option<f64>,
    /// Parents that were taken up from snapshots, built, and left memory.
    pub(super) loads: f64,
    /// Parents built.
    pub(super) boots: f64,
    /// Parents that left memory.
    pub(super) evictions: f64,
    /// Shells made ahead of demand.
    pub(super) spares: f64,
    /// Live VMs at the end, of these functions, and the most there may be.
    pub(super) vms: usize,
    /// The most VMs there may be.
    pub(super) vms_max: Option<f64>,
    /// What stands for sizing.
    measured: Measured,
}

impl Replayed {
    /// Puts together what was counted. `spins` says whether functions keep their core busy.
    pub(super) fn new(
        planned: Planned,
        outcome: Outcome,
        names: Vec<String>,
        deployed_mib: Vec<u32>,
        readings: [Reading; 2],
        spins: bool,
    ) -> Replayed {
        let deployed = names.len().max(1);
        let functions = planned.memory_mib.len();
        let memory_mib: Vec<u32> = (0..functions).map(|function| deployed_mib[function % deployed]).collect();
        let analysis = analyse(&planned, &outcome.records, &memory_mib);
        let platform = Platform::new(&names, &deployed_mib, readings, &analysis, spins);
        Replayed { planned, outcome, analysis, deployed, platform }
    }

    /// What sizing can take over.
    pub(super) fn measured(&self) -> Measured {
        self.platform.measured
    }
}

impl Platform {
    fn new(
        names: &[String],
        deployed_mib: &[u32],
        [before, after]: [Reading; 2],
        analysis: &Analysis,
        spins: bool,
    ) -> Platform {
        let is_mine = |function: &str| names.iter().any(|name| name == function);
        let sum = |of: &Reading, name: &str| of.metrics.sum(name, "", is_mine);
        let grown = |name: &str| (sum(&after, name) - sum(&before, name)).max(0.0);
        // A cell that is gone took its processor time with it.
        let is_whole = grown("spore_parent_evictions_total") == 0.0
            && names.iter().all(|name| has_cell(name, &before, &after));
        let cpu_s = cpu_seconds(&before, &after).filter(|_| is_whole);
        let busy_s = if spins { analysis.busy_s } else { 0.0 };
        // On a machine that is short of processors spinning by the clock takes less than its time: then nothing is known.
        let overhead = cpu_s.map(|cpu| (cpu - busy_s) * 1e3 / analysis.answered() as f64);
        let mut own: Vec<f64> = after
            .vms
            .iter()
            .map(|(function, bytes)| {
                let index = names.iter().position(|name| name == function);
                let touched =
                    index.map_or(0.0, |index| f64::from(deployed_mib[index] - super::platform::BASE_MIB));
                let own = *bytes as f64 / MIB;
                // A VM whose memory was restored has given back what it touched.
                if own >= touched { own - touched } else { own }
            })
            .collect();
        own.sort_by(f64::total_cmp);
        let parents = sum(&after, "spore_parent_resident_bytes");
        Platform {
            cpu_s,
            loads: grown("spore_parent_loads_total"),
            boots: grown("spore_parent_boots_total"),
            evictions: grown("spore_parent_evictions_total"),
            spares: grown("spore_spares_prepared_total"),
            vms: after.vms.len(),
            vms_max: after.metrics.get("spore_vms_max"),
            measured: Measured {
                overhead_ms: overhead.filter(|ms| ms.is_finite() && *ms > 0.0),
                vm_mib: (!own.is_empty()).then(|| quantile(&own, 0.5)),
                parent_mib: (parents > 0.0).then(|| parents / MIB / names.len().max(1) as f64),
            },
        }
    }
}

/// Whether the cell of a function that was called can still be seen: it has a VM.
fn has_cell(name: &str, before: &Reading, after: &Reading) -> bool {
    let forks = |of: &Reading| of.metrics.sum("spore_forks_total", "", |function| function == name);
    forks(after) <= forks(before) || after.vms.iter().any(|(function, _)| function == name)
}

/// Processor time between two readings, of the gateway and of cells that have a VM.
fn cpu_seconds(before: &Reading, after: &Reading) -> Option<f64> {
    if after.cpu_seconds.is_empty() {
        return None;
    }
    let cell = |(pid, seconds): (&u32, &f64)| seconds - before.cpu_seconds.get(pid).copied().unwrap_or(0.0);
    let cells: f64 = after.cpu_seconds.iter().map(cell).sum();
    let gateway = |of: &Reading| of.metrics.get("process_cpu_seconds_total");
    Some(cells + gateway(after)? - gateway(before)?)
}
