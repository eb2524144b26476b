//! A VM of its own for every fork, made and prefaulted before the request comes.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;

pub(super) struct Spare<'a> {
    function: &'a Function,
    next: Option<Shell>,
}

impl<'a> Spare<'a> {
    pub(super) fn new(function: &'a Function) -> Self {
        Self { function, next: None }
    }

    fn prepare(&self, clock: &mut Clock) -> Result<Shell, BenchError> {
        let mut shell = Shell::from(self.function.fork()?);
        clock.resume();
        shell.machine.prefault().map_err(BenchError::host("prefaulting a VM"))?;
        clock.mark(Step::Prefault);
        Ok(shell)
    }
}

impl Starter for Spare<'_> {
    fn acquire(&mut self, clock: &mut Clock) -> Result<Shell, BenchError> {
        let shell = match self.next.take() {
            Some(shell) => shell,
            // Only the first one, in the warm-up.
            None => self.prepare(clock)?,
        };
        clock.resume();
        Ok(shell)
    }

    fn release(&mut self, shell: Shell, clock: &mut Clock) -> Result<Option<u64>, BenchError> {
        drop(shell.machine);
        clock.mark(Step::Drop);
        self.next = Some(self.prepare(clock)?);
        Ok(None)
    }
}
