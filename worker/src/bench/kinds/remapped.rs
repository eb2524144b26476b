//! One VM, whose memory is mapped anew after every fork.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;

pub(super) struct Remapped<'a> {
    function: &'a Function,
    idle: Option<Shell>,
}

impl<'a> Remapped<'a> {
    pub(super) fn new(function: &'a Function) -> Self {
        Self { function, idle: None }
    }
}

impl Starter for Remapped<'_> {
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
        shell.machine.remap().map_err(BenchError::host("mapping a VM's memory anew"))?;
        clock.mark(Step::Remap);
        self.idle = Some(shell);
        Ok(None)
    }
}
