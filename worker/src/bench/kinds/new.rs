//! A VM of its own for every fork.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;
use vmm::{ForkStep, Machine};

pub(super) struct New<'a>(pub(super) &'a Function);

impl Starter for New<'_> {
    fn acquire(&mut self, clock: &mut Clock) -> Result<Shell, BenchError> {
        let Function { kvm, parent, images, .. } = self.0;
        let mut mark = |step| {
            clock.mark(match step {
                ForkStep::Map => Step::Map,
                ForkStep::Populate => Step::Populate,
                ForkStep::Create => Step::Create,
            });
        };
        let machine = Machine::fork_observed(kvm, parent, images, &mut mark);
        machine.map(Shell::from).map_err(BenchError::host("making a VM"))
    }

    fn release(&mut self, shell: Shell, clock: &mut Clock) -> Result<Option<u64>, BenchError> {
        drop(shell.machine);
        clock.mark(Step::Drop);
        Ok(None)
    }
}
