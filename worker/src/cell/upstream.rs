//! What a VM says while it runs a request, on its way to the worker.

use crate::api::StartKind;
use crate::protocol::{Begun, Frame, write_frame};
use snapshotter::drive::{Output, Stop};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Most bytes of log that one request may hand to the worker; the rest is counted and dropped.
const LOG_MAX: usize = 1 << 20;

/// The way to the worker for one request. Log goes at once, one piece late, so that the last piece travels with the answer. A part
/// of the response goes at once: the VM waits until the socket has taken it, so who reads it slowly slows the VM down.
pub(super) struct Upstream<'a> {
    socket: &'a UnixStream,
    pending: Vec<u8>,
    taken: usize,
    dropped: u64,
    start: StartKind,
    fork: Duration,
    entered: Instant,
    instance: [u8; 16],
}

impl<'a> Upstream<'a> {
    /// For a request that arrived at `arrived` and enters its VM now.
    pub(super) fn new(
        socket: &'a UnixStream,
        start: StartKind,
        arrived: Instant,
        instance: [u8; 16],
    ) -> Self {
        let entered = Instant::now();
        let fork = entered - arrived;
        Self { socket, pending: Vec::new(), taken: 0, dropped: 0, start, fork, entered, instance }
    }

    /// What is known of the request now.
    pub(super) fn begun(&self) -> Begun {
        Begun {
            start: self.start,
            fork_ns: nanoseconds(self.fork),
            run_ns: nanoseconds(self.entered.elapsed()),
            instance: self.instance,
        }
    }

    /// The log that has not gone yet, and how many bytes of it were dropped.
    pub(super) fn into_log(self) -> (Vec<u8>, u64) {
        (self.pending, self.dropped)
    }
}

impl Output for Upstream<'_> {
    fn log(&mut self, records: Vec<u8>) {
        if self.taken + records.len() > LOG_MAX {
            self.dropped += records.len() as u64;
            return;
        }
        self.taken += records.len();
        let earlier = std::mem::replace(&mut self.pending, records);
        // A closed socket shows when the answer is written.
        if !earlier.is_empty() {
            let _ = write_frame(&mut &*self.socket, &Frame::Log, &[], &earlier);
        }
    }

    fn part(&mut self, bytes: Vec<u8>) -> Result<(), Stop> {
        let log = std::mem::take(&mut self.pending);
        let sent = write_frame(&mut &*self.socket, &Frame::Part(self.begun()), &bytes, &log);
        // A worker that is gone wants no answer.
        sent.map_err(|_| Stop::Interrupted)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
