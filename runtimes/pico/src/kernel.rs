//! The state of the one program, and waiting.

use crate::file::FdTable;
use crate::platform::Platform;
use alloc::boxed::Box;

/// Everything pico knows about the program it runs.
pub struct Kernel {
    /// The machine below.
    pub platform: Box<dyn Platform>,
    /// Open descriptors.
    pub fds: FdTable,
    // owner B adds: mm, process, clock, random; owner C: vfs, cwd, umask; owner D: inbound, net
}

impl Kernel {
    /// Gives the CPU away because nothing can proceed.
    ///
    /// `until`: monotonic time in ns at which to come back at the latest. `takes_request`: what is waited for is
    /// satisfied by a request (a listening socket on the declared port, or the invocation device). If so, and no
    /// request has been delivered yet, this is where the parent is captured (`Doorbell::Ready`); on return the
    /// fork's identity has been adopted and the request is in `inbound`. Otherwise `Doorbell::Sleep`.
    /// The caller then looks again at what it waits for.
    pub fn wait(&mut self, until: Option<u64>, takes_request: bool) {
        let _ = (until, takes_request);
    }
}
