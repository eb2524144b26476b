//! One VM, restored in place after every fork.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;

pub(super) struct Recycled<'a> {
    function: &'a Function,
    idle: Option<Shell>,
}

impl<'a> Recycled<'a> {
    pub(super) fn new(function: &'a Function) -> Self {
        Self { function, idle: None }
    }
}

impl Starter for Recycled<'_> {
    fn acquire(&mut self, clock: &mut Clock) -> Result<Shell, BenchError> {
        let shell = match self.idle.take() {
            Some(shell) => shell,
            // Only the first one, in the warm-up.
            None => self.function.fork()?.into(),
        };
        clock.resume();
        Ok(shell)
    }

    fn release(&mut self, mut shell: Shell, clock: &mut Clock) -> Result<Option<u64>, BenchError> {
        let stats = shell.machine.restore().map_err(BenchError::host("restoring a VM"))?;
        clock.mark(Step::Restore);
        self.idle = Some(shell);
        Ok(Some(stats.ram_pages as u64))
    }
}
