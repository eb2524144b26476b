//! Of which parents answers were forks: of hot, warm or cold ones.
//!
//! The platform says with each answer whether the call had to wait for the parent (`x-spore-start: cold`), and counts for each
//! function how its parent came to cells. Both together say which it was, as long as the parent of a function always came the same way.

use loadtest::tally::Start;
use loadtest::trace::analysis::Analysis;

/// How often the parent of a function came to a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ways {
    /// Taken up from its snapshot.
    pub(super) loads: u64,
    /// Built.
    pub(super) boots: u64,
    /// All cells that came to it.
    pub(super) cells: u64,
}

/// Answers by the parent they are forks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parents {
    /// It was in memory, with a cell.
    pub(super) hot: u64,
    /// It was in memory, but its cell had ended, and the call waited for another.
    pub(super) held: u64,
    /// It was on disk.
    pub(super) warm: u64,
    /// It was built again.
    pub(super) cold: u64,
    /// The platform did not say.
    pub(super) unknown: u64,
    /// How many of the held, warm and cold ones were divided by how often their function's parent came which way.
    pub(super) estimated: u64,
}

impl Parents {
    /// Divides the answers of a replay. `ways` are those of each deployed function, and empty if they are not known.
    pub(super) fn of(analysis: &Analysis, ways: &[Ways], deployed: usize) -> Parents {
        let mut waited = vec![0; deployed];
        for (index, function) in analysis.functions.iter().enumerate() {
            waited[index % deployed] += function.waited;
        }
        let unsaid =
            [Start::None, Start::Other].map(|start| analysis.starts.get(&start).copied().unwrap_or(0));
        let unknown: u64 = unsaid.iter().sum();
        let hot = analysis.answered() - unknown - waited.iter().sum::<u64>();
        let mut all = Parents { hot, unknown, ..Parents::default() };
        for (index, calls) in waited.into_iter().enumerate() {
            all.divide(calls, ways.get(index).copied().unwrap_or_default());
        }
        all
    }

    /// Adds the answers of a function that waited for its parent.
    fn divide(&mut self, calls: u64, ways: Ways) {
        let boots = ways.boots.min(ways.cells);
        // What was loaded and could not be used was built: then one cell counts as both.
        let loads = ways.loads.min(ways.cells - boots);
        let held = ways.cells - boots - loads;
        if ways.cells == 0 {
            self.unknown += calls;
            return;
        }
        // Half a call is rounded up; what is left over belongs to the last.
        let share = |part: u64| (2 * calls * part + ways.cells) / (2 * ways.cells);
        let cold = share(boots);
        let warm = share(loads).min(calls - cold);
        self.cold += cold;
        self.warm += warm;
        self.held += calls - cold - warm;
        if [boots, loads, held].iter().filter(|part| **part > 0).count() > 1 {
            self.estimated += calls;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadtest::trace::analysis::FunctionResult;
    use std::collections::BTreeMap;

    /// A replay of functions so many of whose answers had waited for their parents, and three others.
    fn waited(waited: &[u64]) -> Analysis {
        let all = waited.iter().sum();
        let starts = [(Start::Recycled, 2), (Start::New, 1), (Start::Cold, all)];
        let function = |&waited| FunctionResult { waited, ..FunctionResult::default() };
        Analysis {
            functions: waited.iter().map(function).collect(),
            starts: BTreeMap::from(starts),
            ..Analysis::default()
        }
    }

    fn ways([loads, boots, cells]: [u64; 3]) -> Ways {
        Ways { loads, boots, cells }
    }

    #[test]
    fn a_function_whose_parent_always_came_the_same_way_leaves_nothing_to_estimate() {
        // The first and the third function of the trace share what is deployed.
        let analysis = waited(&[4, 3, 2]);
        let found = Parents::of(&analysis, &[ways([2, 0, 2]), ways([0, 1, 1])], 2);
        assert_eq!(found, Parents { hot: 3, warm: 6, cold: 3, ..Parents::default() });
        // A snapshot that could not be used, and a cell that ended.
        let found = Parents::of(&analysis, &[ways([1, 1, 1]), ways([0, 0, 1])], 2);
        assert_eq!(found, Parents { hot: 3, cold: 6, held: 3, ..Parents::default() });
    }

    #[test]
    fn what_came_in_several_ways_is_divided_and_nothing_is_lost() {
        let found = Parents::of(&waited(&[5]), &[ways([1, 1, 2])], 1);
        assert_eq!(found, Parents { hot: 3, warm: 2, cold: 3, estimated: 5, ..Parents::default() });
        for calls in 0..40 {
            for (loads, boots, held) in [(1, 2, 3), (7, 1, 0), (0, 1, 6), (3, 3, 3), (1, 0, 1)] {
                let found = Parents::of(&waited(&[calls]), &[ways([loads, boots, loads + boots + held])], 1);
                assert_eq!(found.warm + found.cold + found.held, calls);
                assert!(held > 0 || found.held == 0, "{found:?}");
                assert!(loads > 0 || found.warm == 0, "{found:?}");
            }
        }
    }

    #[test]
    fn what_the_platform_did_not_say_is_unknown() {
        let mut analysis = waited(&[5]);
        analysis.starts.insert(Start::None, 4);
        let unknown = Parents { hot: 3, unknown: 9, ..Parents::default() };
        assert_eq!(Parents::of(&analysis, &[], 1), unknown);
        assert_eq!(Parents::of(&analysis, &[Ways::default()], 1), unknown);
    }
}
