//! One scrape: what the gateway counted, and what the backend knows at this moment.

use super::{Metrics, process};
use crate::backend::Backend;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use worker::api::WorkerStats;

/// The text of `/metrics`. `names` are the deployed functions.
pub(crate) fn scrape(
    metrics: &Metrics,
    backend: &dyn Backend,
    names: &[String],
) -> prometheus::Result<String> {
    let registry = Registry::new();
    process::register(&registry);
    build_info(&registry)?;
    functions(&registry, backend, names)?;
    worker(&registry, &backend.worker_stats())?;
    let mut families = metrics.registry.gather();
    families.extend(registry.gather());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    TextEncoder::new().encode_to_string(&families)
}

fn build_info(registry: &Registry) -> prometheus::Result<()> {
    let info =
        IntGaugeVec::new(Opts::new("spore_build_info", "Version of this program; always 1."), &["version"])?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(info))
}

/// Totals of the backend. They are fresh counters at every scrape, so they are exact and forget removed functions.
fn functions(registry: &Registry, backend: &dyn Backend, names: &[String]) -> prometheus::Result<()> {
    let counter = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntCounterVec> {
        let counter = IntCounterVec::new(Opts::new(name, help), labels)?;
        registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    };
    let by_function = &["function"];
    let boots = counter("spore_parent_boots_total", "Parents built.", by_function)?;
    let cells = counter("spore_cell_starts_total", "Cells started that came to their parent.", by_function)?;
    let loads = counter("spore_parent_loads_total", "Parents taken up from their snapshots.", by_function)?;
    let evictions = counter("spore_parent_evictions_total", "Parents that left memory.", by_function)?;
    let forks = counter("spore_forks_total", "Forks by kind of start.", &["function", "start"])?;
    let spares = counter("spore_spares_prepared_total", "Shells made ahead of demand.", by_function)?;
    let trimmed =
        counter("spore_shells_trimmed_total", "Idle shells ended, by reason.", &["function", "reason"])?;
    let discarded = counter("spore_shells_discarded_total", "Shells destroyed.", by_function)?;
    let dropped = counter("spore_log_dropped_bytes_total", "Log bytes dropped at a limit.", by_function)?;
    let refused = counter(
        "spore_unsupported_syscalls_total",
        "What pico lacks and was asked for: system calls, flags, commands, options.",
        &["function", "syscall"],
    )?;
    let shells = IntGaugeVec::new(Opts::new("spore_shells", "Live shells."), by_function)?;
    let parents = IntGaugeVec::new(
        Opts::new("spore_parent_resident_bytes", "Resident memory of the parent, without its runtime's."),
        by_function,
    )?;
    registry.register(Box::new(shells.clone()))?;
    registry.register(Box::new(parents.clone()))?;
    for name in names {
        let stats = backend.stats(name);
        boots.with_label_values(&[name]).inc_by(stats.parent_boots);
        cells.with_label_values(&[name]).inc_by(stats.cell_starts);
        loads.with_label_values(&[name]).inc_by(stats.parent_loads);
        evictions.with_label_values(&[name]).inc_by(stats.parent_evictions);
        let starts = [
            ("recycled", stats.forks_recycled),
            ("remapped", stats.forks_remapped),
            ("spare", stats.forks_spare),
            ("new", stats.forks_new),
            ("cold", stats.forks_cold),
        ];
        for (start, count) in starts {
            forks.with_label_values(&[name.as_str(), start]).inc_by(count);
        }
        spares.with_label_values(&[name]).inc_by(stats.spares_prepared);
        let reasons = [
            ("idle", stats.trimmed_idle),
            ("pressure", stats.trimmed_pressure),
            ("room", stats.trimmed_room),
        ];
        for (reason, count) in reasons {
            trimmed.with_label_values(&[name.as_str(), reason]).inc_by(count);
        }
        discarded.with_label_values(&[name]).inc_by(stats.shells_discarded);
        dropped.with_label_values(&[name]).inc_by(stats.log_dropped_bytes);
        shells.with_label_values(&[name]).set(signed(stats.shells));
        for (syscall, count) in &stats.unsupported {
            refused.with_label_values(&[name, syscall]).inc_by(*count);
        }
        if let Some(parent) = stats.parent {
            parents.with_label_values(&[name]).set(signed(parent.resident_bytes));
        }
    }
    Ok(())
}

/// The worker as a whole.
fn worker(registry: &Registry, stats: &WorkerStats) -> prometheus::Result<()> {
    let gauges = [
        ("spore_vms", "Live VMs of all functions.", Some(stats.vms)),
        ("spore_vms_max", "Most live VMs there may be.", Some(stats.vms_max)),
        (
            "spore_memory_short",
            "1 if the machine is short of memory: idle VMs and parents leave it.",
            Some(stats.memory_short.into()),
        ),
        ("spore_snapshots", "Snapshots on disk.", stats.snapshots),
        ("spore_snapshot_bytes", "Bytes of snapshots on disk.", stats.snapshot_bytes),
    ];
    for (name, help, value) in gauges {
        // What is not known is left out.
        let Some(value) = value else { continue };
        let gauge = IntGauge::new(name, help)?;
        gauge.set(signed(value));
        registry.register(Box::new(gauge))?;
    }
    let counters = [
        (
            "spore_paged_bytes_total",
            "Memory of parents paged in, counted when a parent is complete.",
            stats.paged_bytes,
        ),
        ("spore_paging_failures_total", "Pieces of parents that could not be read.", stats.paging_failures),
    ];
    for (name, help, value) in counters {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        registry.register(Box::new(counter))?;
    }
    Ok(())
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
