//! Tables of the page.

use super::text::{element, escape};
use crate::report::tables::is_numeric;
use crate::report::{Machine, RunReport, Table, tables};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A table that scrolls in itself when the page is narrow.
pub(super) fn table(out: &mut String, table: &Table, caption: bool) {
    let numeric: Vec<bool> = (0..table.columns.len()).map(|column| is_numeric(table, column)).collect();
    let class = |column: usize| if numeric.get(column) == Some(&true) { " class=\"number\"" } else { "" };
    let label = if table.title.trim().is_empty() { "Table" } else { &table.title };
    let _ = write!(
        out,
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\"><table>",
        escape(label)
    );
    if caption {
        element(out, "caption", label);
    }
    out.push_str("<thead><tr>");
    for (column, head) in table.columns.iter().enumerate() {
        element(out, &format!("th scope=\"col\"{}", class(column)), head);
    }
    out.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            element(out, &format!("td{}", class(column)), cell);
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>\n");
}

/// A list of names and values; values that are empty are left out.
pub(super) fn facts(out: &mut String, facts: &[(String, String)]) {
    out.push_str("<dl>");
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        out.push_str("<div>");
        element(out, "dt", name);
        element(out, "dd", value);
        out.push_str("</div>");
    }
    out.push_str("</dl>\n");
}

/// What is known of the machine.
pub(super) fn machine(machine: &Machine) -> Vec<(String, String)> {
    let gibibytes = machine.memory_bytes as f64 / f64::from(1 << 30);
    let mitigations: Vec<String> =
        machine.mitigations.iter().map(|(flaw, what)| format!("{flaw}: {what}")).collect();
    let known = |value: u64| if value == 0 { String::new() } else { value.to_string() };
    [
        ("processor", machine.cpu.clone()),
        ("processors used", known(machine.cores as u64)),
        ("memory", if gibibytes > 0.0 { format!("{gibibytes:.1} GiB") } else { String::new() }),
        ("kernel", machine.kernel.clone()),
        ("KVM", machine.kvm.clone()),
        ("hypervisor underneath", machine.hypervisor.clone()),
        ("frequency governor", machine.governor.clone()),
        ("huge pages", machine.huge_pages.clone()),
        ("open files at most", known(machine.open_files_max)),
        ("load when it began", tables::number(machine.load)),
        ("mitigations", mitigations.join("; ")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Settings as facts.
pub(super) fn settings(settings: &BTreeMap<String, String>) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Every run in a line.
pub(super) fn runs(runs: &[RunReport]) -> Table {
    let heads = [
        "system",
        "repetition",
        "seed",
        "seconds",
        "offered 1/s",
        "answered",
        "failed",
        "late",
        "never sent",
        "warm-up",
        "generator CPU %",
        "complete",
    ];
    let row = |run: &RunReport| {
        let failed: u64 = run.failed.iter().fold(0, |sum, failure| sum.saturating_add(failure.count));
        // A burst is over too soon for a share of its time.
        let counted = if run.has_rates() { run.seconds } else { f64::NAN };
        let share = 100.0 * run.generator.cpu_seconds / (counted * run.generator.threads as f64);
        vec![
            run.system.clone(),
            run.repetition.to_string(),
            run.seed.to_string(),
            tables::number(run.seconds),
            run.offered_rate.map_or_else(|| "-".to_owned(), tables::number),
            run.answered.to_string(),
            failed.to_string(),
            run.late.to_string(),
            run.dropped.to_string(),
            run.warm_up.to_string(),
            tables::number(share),
            if run.complete { "yes" } else { "no: it was stopped" }.to_owned(),
        ]
    };
    Table {
        title: "Runs".to_owned(),
        columns: heads.map(str::to_owned).to_vec(),
        rows: runs.iter().map(row).collect(),
    }
}
