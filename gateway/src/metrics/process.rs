//! The `process_*` metrics every Prometheus client offers, read from `/proc/self`.

use prometheus::{Counter, Gauge, Registry, core::Collector};

/// Adds what can be read; what cannot is left out.
pub(super) fn register(registry: &Registry) {
    let cpu = Counter::new("process_cpu_seconds_total", "User and system time of the process.");
    if let (Ok(counter), Some(seconds)) = (cpu, cpu_seconds()) {
        counter.inc_by(seconds);
        add(registry, counter);
    }
    let values = [
        ("process_start_time_seconds", "Start of the process since the epoch.", start_seconds()),
        ("process_resident_memory_bytes", "Resident memory.", status_kilobytes("VmRSS:")),
        ("process_virtual_memory_bytes", "Virtual memory.", status_kilobytes("VmSize:")),
        ("process_open_fds", "Open file descriptors.", open_files()),
        ("process_max_fds", "Most file descriptors that can be open.", max_files()),
        ("process_threads", "Threads.", status_number("Threads:")),
    ];
    for (name, help, value) in values {
        let (Some(value), Ok(gauge)) = (value, Gauge::new(name, help)) else { continue };
        gauge.set(value);
        add(registry, gauge);
    }
}

fn add<C: Collector + 'static>(registry: &Registry, collector: C) {
    registry.register(Box::new(collector)).expect("every metric is registered once");
}

/// Fields of `/proc/self/stat` after the command, which may hold spaces.
fn stat_field(index: usize) -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split_whitespace().nth(index)?.parse().ok()
}

/// Clock ticks are hundredths of a second in everything the kernel shows to user space on x86.
const TICKS_A_SECOND: f64 = 100.0;

fn cpu_seconds() -> Option<f64> {
    Some((stat_field(11)? + stat_field(12)?) / TICKS_A_SECOND)
}

fn start_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + stat_field(19)? / TICKS_A_SECOND)
}

fn status_number(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn status_kilobytes(key: &str) -> Option<f64> {
    Some(status_number(key)? * 1024.0)
}

fn open_files() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

fn max_files() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_read_here() {
        let registry = Registry::new();
        register(&registry);
        let families = registry.gather();
        assert_eq!(families.len(), 7);
        for family in families {
            let metric = &family.get_metric()[0];
            let is_cpu = family.name() == "process_cpu_seconds_total";
            let value =
                if is_cpu { metric.get_counter().get_value() } else { metric.get_gauge().get_value() };
            assert!(value > 0.0 || (is_cpu && value == 0.0), "{}", family.name());
        }
    }
}
