//! One VM that serves every fork and is made pristine in between.

use super::{BenchError, Clock, Function, Shell, Starter};
use crate::bench::clock::Step;

/// How it is made pristine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Renewal {
    /// Written pages are restored in place.
    Restore,
    /// The memory is mapped anew.
    Remap,
}

pub(super) struct Kept<'a> {
    function: &'a Function,
    renewal: Renewal,
    idle: Option<Shell>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(function: &'a Function, renewal: Renewal) -> Self {
        Self { function, renewal, idle: None }
    }
}

impl Starter for Kept<'_> {
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
        let pages = match self.renewal {
            Renewal::Restore => {
                let stats = shell.machine.restore().map_err(BenchError::unfit)?;
                clock.mark(Step::Restore);
                Some(stats.ram_pages as u64)
            }
            Renewal::Remap => {
                shell.machine.remap().map_err(BenchError::unfit)?;
                clock.mark(Step::Remap);
                None
            }
        };
        self.idle = Some(shell);
        Ok(pages)
    }
}
