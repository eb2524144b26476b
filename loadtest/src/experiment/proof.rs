//! What answers prove about isolation, and whether there are enough of them.

use super::functions::{DIRTY, SECRET};
use super::measures::LOST_MAX;
use crate::expect::Mismatch;
use crate::failure::Failure;
use crate::report::RunReport;

/// Requests of one function that bring secrets. Those that only end a program prove nothing and are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Answers that show nothing of another request.
    pub pristine: u64,
    /// Answers that are otherwise.
    pub leaks: u64,
    /// Requests without a proper answer.
    pub failed: u64,
}

impl Proof {
    /// Of one run.
    pub fn of(run: &RunReport) -> Proof {
        let proves = |call: &str| call == SECRET || call == DIRTY;
        let mut proof = Proof::default();
        for one in run.latencies.iter().filter(|one| proves(&one.call)) {
            proof.pristine += one.response.0.len();
        }
        for one in run.failed.iter().filter(|one| proves(&one.call)) {
            let leak = one.failure == Failure::Unexpected(Mismatch::Body);
            *if leak { &mut proof.leaks } else { &mut proof.failed } += one.count;
        }
        proof
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: Proof) {
        self.pristine += other.pristine;
        self.leaks += other.leaks;
        self.failed += other.failed;
    }

    /// Why the function is not shown to be isolated; none if it is.
    pub fn flaw(&self) -> Option<String> {
        let all = self.pristine + self.leaks + self.failed;
        if self.leaks > 0 {
            Some(format!("{} answers showed state of other requests", self.leaks))
        } else if self.pristine == 0 {
            Some("no answer could be checked".to_owned())
        } else if self.failed as f64 > LOST_MAX * all as f64 {
            Some(format!("{} of {all} requests failed, too many to prove anything", self.failed))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::staged::sample_run;
    use crate::report::FailureCount;

    fn proof(pristine: u64, failed: &[(&str, Failure, u64)]) -> Proof {
        let mut run = sample_run(SECRET, pristine);
        run.failed = failed
            .iter()
            .map(|&(call, failure, count)| FailureCount { call: call.to_owned(), failure, count })
            .collect();
        Proof::of(&run)
    }

    #[test]
    fn only_enough_pristine_answers_prove_isolation() {
        let leak = Failure::Unexpected(Mismatch::Body);
        let error = Failure::Unexpected(Mismatch::Status(500));
        assert_eq!(proof(100, &[]).flaw(), None);
        assert_eq!(proof(96, &[(SECRET, Failure::Timeout, 4)]).flaw(), None);
        assert!(proof(1000, &[(DIRTY, leak, 1)]).flaw().unwrap().starts_with("1 answers"));
        assert!(proof(0, &[(SECRET, error, 100)]).flaw().unwrap().contains("no answer"));
        assert!(
            proof(90, &[(SECRET, error, 5), (DIRTY, Failure::Timeout, 5)]).flaw().unwrap().contains("10 of")
        );
        assert!(Proof::default().flaw().is_some());
    }

    #[test]
    fn what_ends_its_program_proves_nothing() {
        assert_eq!(Proof::of(&sample_run("exits", 100)), Proof::default());
        let failed = [("exits", Failure::Unexpected(Mismatch::Status(500)), 100)];
        assert_eq!(proof(10, &failed), Proof { pristine: 10, ..Proof::default() });
        let mut sum = proof(10, &[(SECRET, Failure::Broken, 2)]);
        sum.add(proof(1, &[(DIRTY, Failure::Unexpected(Mismatch::Body), 3)]));
        assert_eq!(sum, Proof { pristine: 11, leaks: 3, failed: 2 });
    }
}
