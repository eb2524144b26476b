//! What a trace does not say.

use super::{Percentiles, Trace};

/// Run time of functions in a trace that has none at all, in milliseconds.
const RUN_MS: f64 = 100.0;
/// Memory of functions in a trace that has none at all, in MB.
const MEMORY_MB: f64 = 128.0;

/// Functions whose run time or memory was not in the trace, and what was assumed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gaps {
    /// Functions without run times.
    pub run: usize,
    /// The run time they got, in milliseconds.
    pub run_ms: f64,
    /// Functions without memory.
    pub memory: usize,
    /// The memory they got, in MB.
    pub memory_mb: f64,
}

impl Trace {
    /// Gives functions without run time or memory the median of those that have one.
    pub fn fill_gaps(&mut self) -> Gaps {
        let medians = |of: &dyn Fn(usize) -> Option<f64>| {
            let mut known: Vec<f64> = (0..self.functions.len()).filter_map(of).collect();
            known.sort_by(f64::total_cmp);
            known.get(known.len() / 2).copied()
        };
        let run_ms = medians(&|index| Some(self.functions[index].run_ms.as_ref()?.at(50.0)));
        let memory_mb = medians(&|index| Some(self.functions[index].memory_mb.as_ref()?.at(50.0)));
        let (run_ms, memory_mb) = (run_ms.unwrap_or(RUN_MS), memory_mb.unwrap_or(MEMORY_MB));
        let mut gaps = Gaps { run: 0, run_ms, memory: 0, memory_mb };
        for function in &mut self.functions {
            if function.run_ms.is_none() {
                function.run_ms = Percentiles::new(vec![(50.0, run_ms)]);
                gaps.run += 1;
            }
            if function.memory_mb.is_none() {
                function.memory_mb = Percentiles::new(vec![(50.0, memory_mb)]);
                gaps.memory += 1;
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Calls, Function};
    use super::*;

    #[test]
    fn what_is_not_known_is_the_median_of_the_others() {
        let function = |run: Option<f64>| Function {
            id: String::new(),
            app: String::new(),
            run_ms: run.and_then(|value| Percentiles::new(vec![(50.0, value)])),
            memory_mb: None,
        };
        let functions = [Some(1.0), Some(7.0), Some(9.0), None].map(function).into();
        let mut trace = Trace { functions, calls: Calls::PerMinute(Vec::new()) };
        assert_eq!(trace.fill_gaps(), Gaps { run: 1, run_ms: 7.0, memory: 4, memory_mb: MEMORY_MB });
        assert_eq!(trace.functions[3].run_ms.as_ref().map(|run| run.at(99.0)), Some(7.0));
        assert_eq!(trace.fill_gaps().run, 0);
    }
}
