//! Processes that are stopped: their threads do not get the processor.

use super::Threads;

impl Threads {
    /// The threads of process `pid` do not run any more.
    pub fn freeze(&mut self, pid: u32) {
        self.frozen.insert(pid);
    }

    /// They run again. Whether they did not.
    pub fn thaw(&mut self, pid: u32) -> bool {
        self.frozen.remove(&pid)
    }

    /// Whether process `pid` is stopped.
    pub fn is_frozen(&self, pid: u32) -> bool {
        self.frozen.contains(&pid)
    }

    /// Whether any process is.
    pub fn are_some_frozen(&self) -> bool {
        !self.frozen.is_empty()
    }
}
