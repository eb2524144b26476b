//! What the tenant needs, and what it costs.

use super::options::{Measured, TraceArgs};
use super::replayed::Replayed;
use super::report::{rows, table};
use loadtest::report::Table;
use loadtest::report::tables::number;
use loadtest::trace::sizing::{Assumptions, Sizing};

/// Machines, with the formula and what it is made of.
pub(super) fn machines(sizing: &Sizing, of: Assumptions, measured: Measured) -> Table {
    let origin = |value: Option<f64>, used: f64| {
        let is_measured = value.is_some_and(|value| (value - used).abs() < 1e-9);
        if is_measured { "measured" } else { "assumed or given" }
    };
    let most = sizing.busy_s.iter().copied().fold(0.0, f64::max);
    let mean = sizing.busy_s.iter().sum::<f64>() / sizing.busy_s.len().max(1) as f64;
    let capacity = format!("/ (60 s x {} cores x {})", number(of.cores), number(of.cpu_share));
    let memory = format!(
        "({} MiB live + {} MiB parents) / ({} MiB x {})",
        number(sizing.live_mib),
        number(sizing.parents_mib),
        number(of.memory_mib),
        number(of.memory_share)
    );
    let costs = [
        ("overhead of a call, ms", of.overhead_ms, origin(measured.overhead_ms, of.overhead_ms)),
        ("a VM beside what is touched, MiB", of.vm_mib, origin(measured.vm_mib, of.vm_mib)),
        ("a parent, MiB", of.parent_mib, origin(measured.parent_mib, of.parent_mib)),
    ];
    let mut all = rows([
        [
            "machines needed".into(),
            sizing.machines.to_string(),
            "the greater of peak processor and memory, up".into(),
        ],
        [
            "by processor, busiest minute".into(),
            number(sizing.by_cpu_peak),
            format!("{} core s {capacity}", number(most)),
        ],
        [
            "by processor, mean minute".into(),
            number(sizing.by_cpu_mean),
            format!("{} core s {capacity}", number(mean)),
        ],
        ["by memory, fullest moment".into(), number(sizing.by_memory), memory],
    ]);
    all.extend(rows(costs.map(|(name, value, origin)| [name.to_owned(), number(value), origin.to_owned()])));
    table("Machines", &["what", "value", "out of"], all)
}

/// What the replay used and what a provider would bill, and their prices.
pub(super) fn cost(args: &TraceArgs, of: &Replayed) -> Table {
    let (analysis, prices) = (&of.analysis, &args.machine);
    let own = of.measured().vm_mib;
    let used_gib_s = analysis.touched_gib_s + own.unwrap_or(0.0) / 1024.0 * analysis.service_s;
    let live = if own.is_some() {
        "used: memory-time product of live calls"
    } else {
        "used: memory-time product of what live calls touch"
    };
    let price = |price: f64, amount: f64| {
        if price > 0.0 { number(price * amount) } else { "-".to_owned() }
    };
    let row = |what: &str, amount: f64, unit: &str, each: f64| {
        [what.to_owned(), number(amount), unit.to_owned(), price(each, amount)]
    };
    let mut all = Vec::new();
    if let Some(cpu) = of.cpu_s() {
        all.extend(rows([row(
            "used: processor time of gateway and cells",
            cpu,
            "core s",
            prices.core_second_price,
        )]));
    }
    all.extend(rows([
        row("asked for: run times of answered calls", analysis.busy_s, "core s", prices.core_second_price),
        row("billed: time to answer, in whole ms", analysis.billed_s, "core s", prices.core_second_price),
        row(live, used_gib_s, "GiB s", prices.gib_second_price),
        row(
            "billed: memory of the function, in whole ms",
            analysis.billed_gib_s,
            "GiB s",
            prices.gib_second_price,
        ),
        row("calls", analysis.answered() as f64, "calls", prices.call_price),
    ]));
    table("What the replay used, and what is billed for it", &["what", "amount", "unit", "price"], all)
}
