//! Whether two results were made under the same conditions.

use crate::report::{Document, Machine};
use std::collections::BTreeSet;

/// What differs, and what makes either result doubtful.
pub(super) fn warnings(first: &Document, second: &Document) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut differ = |what: &str, one: &str, two: &str| {
        if one != two {
            let or_nothing =
                |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
            warnings.push(format!("{what} differs: {} and {}", or_nothing(one), or_nothing(two)));
        }
    };
    differ("the experiment", &first.experiment, &second.experiment);
    differ("the tool's version", &first.tool.version, &second.tool.version);
    let commit = |document: &Document| document.tool.commit.clone().unwrap_or_default();
    differ("the tool's commit", &commit(first), &commit(second));
    for (one, two) in machine(&first.machine).into_iter().zip(machine(&second.machine)) {
        differ(one.0, &one.1, &two.1);
    }
    let names: BTreeSet<&String> = first.settings.keys().chain(second.settings.keys()).collect();
    for name in names {
        let of = |document: &Document| document.settings.get(name).cloned().unwrap_or_default();
        differ(&format!("the setting {name}"), &of(first), &of(second));
    }
    warnings.extend(doubts("first", first));
    warnings.extend(doubts("second", second));
    warnings
}

/// What of a machine makes results differ.
fn machine(machine: &Machine) -> [(&'static str, String); 10] {
    let mitigations: Vec<String> =
        machine.mitigations.iter().map(|(flaw, what)| format!("{flaw}: {what}")).collect();
    [
        ("the processor", machine.cpu.clone()),
        ("the number of processors", machine.cores.to_string()),
        // A kernel of another build leaves a little more or less.
        ("the memory (GiB)", format!("{:.0}", machine.memory_bytes as f64 / f64::from(1 << 30))),
        ("the kernel", machine.kernel.clone()),
        ("the KVM module", machine.kvm.clone()),
        ("the hypervisor underneath", machine.hypervisor.clone()),
        ("the frequency governor", machine.governor.clone()),
        ("the use of huge pages", machine.huge_pages.clone()),
        ("the number of open files allowed", machine.open_files_max.to_string()),
        ("what is done about processor flaws", mitigations.join("; ")),
    ]
}

fn doubts(which: &str, document: &Document) -> Vec<String> {
    let mut doubts = Vec::new();
    if !document.tool.optimised {
        doubts.push(format!("the {which} result is of a debug build: its times mean nothing"));
    }
    if document.machine.load > document.machine.cores as f64 {
        doubts.push(format!("the machine of the {which} result was busy: load {:.1}", document.machine.load));
    }
    let stopped = document.runs.iter().filter(|run| !run.complete).count();
    if stopped > 0 {
        doubts.push(format!(
            "{stopped} runs of the {which} result were stopped before their end, or failed in part"
        ));
    }
    let limited = document.runs.iter().find_map(|run| run.generator.limited.as_ref());
    if let Some(why) = limited {
        doubts.push(format!("the generator was the limit in the {which} result: {why}"));
    }
    doubts
}
