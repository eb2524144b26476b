//! Whether the machine is short of memory.

use std::io;

/// Share of the last 10 s, in percent, in which some task waited for memory, from which on the machine is short.
const STALLED_PERCENT: f64 = 10.0;
/// Share of all memory, in percent, below which what is available is too little.
const AVAILABLE_PERCENT: u64 = 8;

/// What is known of the machine's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// Percent of the last 10 s in which some task waited for memory; 0 where the kernel does not tell.
    pub(crate) stalled_percent: f64,
    /// Bytes there are.
    pub(crate) total: u64,
    /// Bytes that can be had without swapping.
    pub(crate) available: u64,
}

impl Memory {
    /// Whether memory should be given back.
    pub(crate) fn is_short(&self) -> bool {
        self.stalled_percent >= STALLED_PERCENT
            || self.available / AVAILABLE_PERCENT.max(1) < self.total / 100
    }
}

/// Where the figures come from.
pub(crate) trait Source: Send {
    /// The figures of this moment.
    fn memory(&mut self) -> io::Result<Memory>;
}

/// This machine: `/proc/pressure/memory` and `/proc/meminfo`.
pub(crate) struct Machine;

impl Source for Machine {
    fn memory(&mut self) -> io::Result<Memory> {
        let meminfo = std::fs::read_to_string("/proc/meminfo")?;
        // A kernel without PSI has no such file.
        let stalls = std::fs::read_to_string("/proc/pressure/memory").unwrap_or_default();
        parse(&meminfo, &stalls).ok_or_else(|| io::Error::other("/proc/meminfo has another format"))
    }
}

fn parse(meminfo: &str, stalls: &str) -> Option<Memory> {
    let bytes = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let some = stalls.lines().find_map(|line| line.strip_prefix("some "));
    let average = some.and_then(|some| some.split(' ').find_map(|word| word.strip_prefix("avg10=")));
    Some(Memory {
        stalled_percent: average.and_then(|average| average.parse().ok()).unwrap_or(0.0),
        total: bytes("MemTotal:")?,
        available: bytes("MemAvailable:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    500 kB\n";

    #[test]
    fn figures_are_found() {
        let stalls = "some avg10=12.50 avg60=0.10 avg300=0.02 total=12\nfull avg10=1.00 avg60=0 total=1\n";
        let memory = parse(MEMINFO, stalls).unwrap();
        assert_eq!(memory, Memory { stalled_percent: 12.5, total: 1_024_000, available: 512_000 });
        assert_eq!(parse(MEMINFO, "").unwrap().stalled_percent, 0.0);
        assert_eq!(parse("MemTotal: x kB", ""), None);
        assert!(Machine.memory().unwrap().total > 0);
    }

    #[test]
    fn short_is_little_left_or_much_waiting() {
        let plenty = Memory { stalled_percent: 0.0, total: 1000 << 20, available: 500 << 20 };
        assert!(!plenty.is_short());
        assert!(Memory { stalled_percent: 10.0, ..plenty }.is_short());
        assert!(Memory { available: 79 << 20, ..plenty }.is_short());
        assert!(!Memory { available: 81 << 20, ..plenty }.is_short());
    }
}
