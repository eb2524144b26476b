//! The machine that measures.

use super::Machine;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

impl Machine {
    /// This machine, now.
    pub fn here() -> Machine {
        let cpuinfo = read("/proc/cpuinfo");
        Machine {
            cpu: value(&cpuinfo, "model name").unwrap_or_default().to_owned(),
            cores: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            kvm: kvm(),
            hypervisor: hypervisor(&cpuinfo),
            governor: word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            mitigations: mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
            huge_pages: chosen(&read("/sys/kernel/mm/transparent_hugepage/enabled")).to_owned(),
            open_files_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            load: read("/proc/loadavg").split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0),
        }
    }
}

/// The date and time, RFC 3339.
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string()
}

/// A file of the kernel; empty if it is not there.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn word(path: &str) -> String {
    read(path).trim().to_owned()
}

/// The value of the first line like `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim))
}

fn memory_bytes(meminfo: &str) -> u64 {
    let kilobytes = value(meminfo, "MemTotal").and_then(|value| value.strip_suffix("kB"));
    kilobytes.and_then(|count| count.trim().parse::<u64>().ok()?.checked_mul(1024)).unwrap_or(0)
}

fn kvm() -> String {
    let modules = ["kvm_pvm", "kvm_intel", "kvm_amd", "kvm"];
    let found = modules.into_iter().find(|name| Path::new("/sys/module").join(name).exists());
    found.unwrap_or_default().to_owned()
}

/// The signature of leaf 0x4000_0000 of `cpuid`, if the processor says that there is a hypervisor.
#[cfg(target_arch = "x86_64")]
fn hypervisor(cpuinfo: &str) -> String {
    if !value(cpuinfo, "flags").unwrap_or_default().split(' ').any(|flag| flag == "hypervisor") {
        return String::new();
    }
    let leaf = std::arch::x86_64::__cpuid(0x4000_0000);
    let bytes: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx].into_iter().flat_map(u32::to_le_bytes).collect();
    let text: String = bytes.into_iter().filter(u8::is_ascii_graphic).map(char::from).collect();
    if text.is_empty() { "unknown".to_owned() } else { text }
}

#[cfg(not(target_arch = "x86_64"))]
fn hypervisor(_cpuinfo: &str) -> String {
    String::new()
}

/// What is done about each flaw that this processor has.
fn mitigations(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path()).ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            (text.trim() != "Not affected").then(|| (name, text.trim().to_owned()))
        })
        .collect()
}

/// The word in brackets.
fn chosen(text: &str) -> &str {
    text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described() {
        let here = Machine::here();
        assert!(here.cores > 0 && here.memory_bytes > 0 && !here.kernel.is_empty());
        assert!(here.open_files_max > 0 && here.load >= 0.0);
        assert!(now().ends_with('Z') && now().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn files_of_the_kernel_are_read_as_they_are_written() {
        let cpuinfo = "processor\t: 0\nmodel name\t: A: 3 GHz\nflags\t\t: fpu hypervisor sse\n";
        assert_eq!(value(cpuinfo, "model name"), Some("A: 3 GHz"));
        assert_eq!(value(cpuinfo, "model"), None);
        assert_eq!(hypervisor("flags : fpu sse\n"), "");
        assert_eq!(memory_bytes("MemTotal:   2048 kB\n"), 2 << 20);
        assert_eq!((memory_bytes("MemTotal: many kB\n"), memory_bytes("")), (0, 0));
        assert_eq!((chosen("always [madvise] never\n"), chosen("always")), ("madvise", ""));
    }

    #[test]
    fn flaws_that_a_processor_does_not_have_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("meltdown"), "Not affected\n").unwrap();
        fs::write(directory.path().join("retbleed"), "Vulnerable\n").unwrap();
        let found = mitigations(directory.path());
        assert_eq!(found, [("retbleed".to_owned(), "Vulnerable".to_owned())].into());
        assert!(mitigations(&directory.path().join("none")).is_empty());
    }
}
