//! What the platform counted between two readings.

use super::options::Measured;
use super::parents::Ways;
use super::platform::{BASE_MIB, Deployed, Reading};
use loadtest::trace::analysis::{Analysis, quantile};
use std::collections::BTreeMap;

const MIB: f64 = (1 << 20) as f64;

/// What the platform counted while it was loaded, of the deployed functions.
pub(super) struct Counted {
    /// Processor time of gateway and cells, in seconds; not known of another machine.
    pub(super) cpu_s: Option<f64>,
    /// How the parent of each deployed function came to a cell.
    pub(super) ways: Vec<Ways>,
    /// Parents that left memory.
    pub(super) evictions: f64,
    /// Shells made ahead of demand.
    pub(super) spares: f64,
    /// Live VMs at the end.
    pub(super) vms: usize,
    /// What stands for sizing.
    pub(super) measured: Measured,
}

/// Two readings, and the functions that they are about.
struct Between<'a> {
    names: &'a [String],
    before: &'a Reading,
    after: &'a Reading,
}

impl Between<'_> {
    /// How much a counter grew, for each function.
    fn grown(&self, metric: &str) -> Vec<f64> {
        let [before, after] = [self.before, self.after].map(|reading| reading.metrics.by_function(metric));
        let of = |all: &BTreeMap<&str, f64>, name: &str| all.get(name).copied().unwrap_or(0.0);
        self.names.iter().map(|name| (of(&after, name) - of(&before, name)).max(0.0)).collect()
    }

    fn sum(&self, metric: &str) -> f64 {
        total(&self.grown(metric))
    }

    fn ways(&self) -> Vec<Ways> {
        let [loads, boots, cells] =
            ["spore_parent_loads_total", "spore_parent_boots_total", "spore_cell_starts_total"]
                .map(|metric| self.grown(metric));
        let way = |index: usize| Ways {
            loads: whole(loads[index]),
            boots: whole(boots[index]),
            cells: whole(cells[index]),
        };
        (0..self.names.len()).map(way).collect()
    }

    /// Processor time of the gateway and of cells that have a VM, if nothing of it is lost: a cell that is gone took its own with it.
    fn cpu_seconds(&self, evictions: f64) -> Option<f64> {
        let has_vm = |name: &String| self.after.vms.iter().any(|(function, _)| function == name);
        let forks = self.grown("spore_forks_total");
        let is_seen = self.names.iter().zip(forks).all(|(name, forks)| forks == 0.0 || has_vm(name));
        if evictions > 0.0 || !is_seen || self.after.cpu_seconds.is_empty() {
            return None;
        }
        let earlier = |pid: &u32| self.before.cpu_seconds.get(pid).copied().unwrap_or(0.0);
        let cells: f64 = self.after.cpu_seconds.iter().map(|(pid, seconds)| seconds - earlier(pid)).sum();
        let gateway = |of: &Reading| of.metrics.get("process_cpu_seconds_total");
        Some(cells + gateway(self.after)? - gateway(self.before)?)
    }

    /// What live VMs have beside what their functions touch, in MiB, rising.
    fn own_mib(&self, deployed_mib: &[u32]) -> Vec<f64> {
        let own = |(function, bytes): &(String, u64)| {
            let index = self.names.iter().position(|name| name == function);
            let touched = index.map_or(0.0, |index| f64::from(deployed_mib[index] - BASE_MIB));
            let own = *bytes as f64 / MIB;
            // A VM whose memory was restored has given back what it touched.
            if own >= touched { own - touched } else { own }
        };
        let mut all: Vec<f64> = self.after.vms.iter().map(own).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

impl Counted {
    /// What was counted between two readings; the reason if they are not of one life of the platform. `spins` says whether
    /// functions keep their core busy.
    pub(super) fn new(
        deployed: &Deployed,
        [before, after]: [&Reading; 2],
        analysis: &Analysis,
        spins: bool,
    ) -> Result<Counted, String> {
        let names = &deployed.names;
        let between = Between { names, before, after };
        // Every answer is counted as a fork before it is sent.
        if between.sum("spore_forks_total") < analysis.answered() as f64 {
            return Err(
                "it counted fewer calls than it answered: it was started again, or is several".to_owned()
            );
        }
        let evictions = between.sum("spore_parent_evictions_total");
        let cpu_s = between.cpu_seconds(evictions);
        let busy_s = if spins { analysis.busy_s } else { 0.0 };
        // On a machine that is short of processors spinning by the clock takes less than its time: then nothing is known.
        let overhead = cpu_s.map(|cpu| (cpu - busy_s) * 1e3 / analysis.answered() as f64);
        let resident = after.metrics.by_function("spore_parent_resident_bytes");
        let parents: Vec<f64> =
            names.iter().filter_map(|name| resident.get(name.as_str()).copied()).collect();
        let parent_mib = total(&parents) / MIB / names.len().max(1) as f64;
        Ok(Counted {
            cpu_s,
            ways: between.ways(),
            evictions,
            spares: between.sum("spore_spares_prepared_total"),
            vms: after.vms.len(),
            measured: Measured {
                overhead_ms: overhead.filter(|ms| ms.is_finite() && *ms > 0.0),
                vm_mib: quantile(&between.own_mib(&deployed.memory_mib), 0.5),
                parent_mib: (parent_mib > 0.0).then_some(parent_mib),
            },
        })
    }

    /// Parents taken up from snapshots, of all functions.
    pub(super) fn loads(&self) -> u64 {
        self.ways.iter().map(|ways| ways.loads).sum()
    }

    /// Parents built, of all functions.
    pub(super) fn boots(&self) -> u64 {
        self.ways.iter().map(|ways| ways.boots).sum()
    }
}

/// A sum; that of no floats is -0.
fn total(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() + 0.0
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(count: f64) -> u64 {
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metrics;
    use super::*;
    use loadtest::tally::Start;

    fn reading(metrics: &str) -> Reading {
        Reading { metrics: Metrics::parse(metrics), vms: Vec::new(), cpu_seconds: BTreeMap::new() }
    }

    fn answered(count: u64) -> Analysis {
        Analysis { starts: BTreeMap::from([(Start::New, count)]), ..Analysis::default() }
    }

    #[test]
    fn counters_are_what_they_grew_by_and_only_of_the_deployed_functions() {
        let deployed =
            Deployed { names: vec!["a".to_owned(), "b".to_owned()], memory_mib: vec![BASE_MIB; 2] };
        let before = reading(
            "spore_parent_boots_total{function=\"a\"} 1\nspore_cell_starts_total{function=\"a\"} 1\n",
        );
        let after = reading(
            "spore_parent_boots_total{function=\"a\"} 3\nspore_parent_boots_total{function=\"x\"} 9\n\
             spore_cell_starts_total{function=\"a\"} 4\nspore_parent_loads_total{function=\"b\"} 5\n\
             spore_forks_total{function=\"a\",start=\"new\"} 4\nspore_forks_total{function=\"b\",start=\"cold\"} 2\n\
             spore_parent_resident_bytes{function=\"a\"} 4194304\n",
        );
        let counted = Counted::new(&deployed, [&before, &after], &answered(6), true).unwrap();
        assert_eq!(
            counted.ways,
            [Ways { loads: 0, boots: 2, cells: 3 }, Ways { loads: 5, boots: 0, cells: 0 }]
        );
        assert_eq!((counted.loads(), counted.boots(), counted.spares, counted.cpu_s), (5, 2, 0.0, None));
        assert_eq!((counted.measured.parent_mib, counted.measured.vm_mib), (Some(2.0), None));
        // A platform that was started again begins to count anew.
        let again = Counted::new(&deployed, [&before, &after], &answered(7), true).err().unwrap();
        assert!(again.contains("started again"), "{again}");
    }
}
