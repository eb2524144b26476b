//! Readiness: waiting for files, and the files that exist to be waited for.
//!
//! Nothing is registered anywhere: who waits looks at all files, and if none is ready gives the CPU away until the
//! earliest time at which one can become ready by itself. Only a timer can, or the request; everything else is
//! done by other threads, and whenever they have done something all who wait look again.

pub mod driven;
pub mod epoll;
pub mod eventfd;
pub mod signalfd;
pub mod timeout;
pub mod timerfd;

use crate::errno::{Errno, Result};
use crate::file::{Descriptor, OpenFile, Ready};
use crate::kernel::Kernel;
use alloc::rc::Rc;
use alloc::string::String;
use linux_raw_sys::general as c;

/// The readiness bits of poll(2) and epoll(7) for `ready`: the plain ones and their `NORM` twins.
pub fn event_bits(ready: Ready) -> u32 {
    let mut bits = ready.bits();
    if ready.contains(Ready::IN) {
        bits |= c::POLLRDNORM;
    }
    if ready.contains(Ready::OUT) {
        bits |= c::POLLWRNORM;
    }
    bits
}

/// Events that are reported whether asked for or not.
pub const ALWAYS: u32 = c::POLLERR | c::POLLHUP;
/// Events that mean "can be read".
pub const INCOMING: u32 = c::POLLIN | c::POLLRDNORM;

/// The earlier of two times, where nothing means never.
pub fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// What a caller waits for, told file by file.
#[derive(Default)]
pub struct Sources {
    wakes_at: Option<u64>,
    takes_request: bool,
}

impl Sources {
    /// Adds a file; `incoming` if it is waited for to become readable.
    pub fn add(&mut self, open: &OpenFile, incoming: bool) {
        self.wakes_at = earlier(self.wakes_at, open.file.wakes_at());
        self.takes_request |= incoming && open.file.takes_request();
    }
}

/// Looks (`look`) until it finds something or the monotonic time `deadline` is reached, or a signal ends the wait
/// (`EINTR`). `look` is given the time and notes in [`Sources`] what it looked at.
pub fn look_until<T>(
    kernel: &mut Kernel,
    deadline: Option<u64>,
    mut look: impl FnMut(&mut Kernel, u64, &mut Sources) -> Option<T>,
) -> Result<Option<T>> {
    loop {
        let now = kernel.now();
        kernel.note_pending();
        let mut sources = Sources::default();
        if let Some(found) = look(kernel, now, &mut sources) {
            return Ok(Some(found));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Ok(None);
        }
        kernel.wait_interruptibly(earlier(deadline, sources.wakes_at), sources.takes_request)?;
    }
}

/// Does `attempt` until it is not `EAGAIN`, waiting in between unless `open` is non-blocking (or `dont_wait` says so).
/// `direction` is what the file must become for it to succeed: `IN` or `OUT`.
pub fn block<T>(
    kernel: &mut Kernel,
    open: &OpenFile,
    direction: Ready,
    dont_wait: bool,
    mut attempt: impl FnMut(&mut Kernel) -> Result<T>,
) -> Result<T> {
    let start = kernel.now();
    open.file.tick(start);
    let first = attempt(kernel);
    if !matches!(first, Err(Errno::EAGAIN)) {
        kernel.threads.note_change();
    }
    if dont_wait || open.flags.get() & c::O_NONBLOCK != 0 || !matches!(first, Err(Errno::EAGAIN)) {
        return first;
    }
    let deadline = open.file.patience(direction).map(|patience| start.saturating_add(patience));
    let found = look_until(kernel, deadline, |kernel, now, sources| {
        open.file.tick(now);
        sources.add(open, direction == Ready::IN);
        let result = Some(attempt(kernel)).filter(|result| !matches!(result, Err(Errno::EAGAIN)))?;
        kernel.threads.note_change();
        Some(result)
    });
    // As on Linux, a socket with a timeout of its own does not wait all over again.
    if matches!(found, Err(Errno::EINTR)) {
        kernel.process.restartable = deadline.is_none();
    }
    found?.unwrap_or(Err(Errno::EAGAIN))
}

/// Gives the program a descriptor for a new file without a place in the tree. `flags`: access mode and `O_NONBLOCK`.
pub fn install(
    kernel: &mut Kernel,
    file: Rc<dyn crate::file::File>,
    flags: u32,
    close_on_exec: bool,
) -> Result<u64> {
    let open = OpenFile::new(file, flags, String::new());
    kernel.fds.insert(Descriptor { open: Rc::new(open), close_on_exec }, 0)
}
