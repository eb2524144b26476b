//! What a VM says while it runs a request, on its way to the worker.

use super::downstream::Downstream;
use crate::api::StartKind;
use crate::protocol::{Begun, Frame, write_frame};
use abi::console::STREAM_MAX;
use snapshotter::drive::{Input, Output, Stop};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Most bytes of log that one request may hand to the worker; the rest is counted and dropped.
const LOG_MAX: usize = 1 << 20;

/// The way to the worker for one request. Log goes at once, one piece late, so that the last piece travels with the answer. A part
/// of the response goes at once: the VM waits until the socket has taken it, so who reads it slowly slows the VM down.
pub(super) struct Upstream<'a, 'd> {
    socket: &'a UnixStream,
    downstream: &'d mut Downstream<'a>,
    pending: Vec<u8>,
    taken: usize,
    dropped: u64,
    start: StartKind,
    fork: Duration,
    entered: Instant,
    instance: [u8; 16],
    /// Most bytes of the next part.
    part_max: usize,
}

impl<'a, 'd> Upstream<'a, 'd> {
    /// For a request that arrived at `arrived` and enters its VM now.
    pub(super) fn new(
        (socket, downstream): (&'a UnixStream, &'d mut Downstream<'a>),
        start: StartKind,
        arrived: Instant,
        instance: [u8; 16],
    ) -> Self {
        let entered = Instant::now();
        let fork = entered - arrived;
        let (pending, taken, dropped) = (Vec::new(), 0, 0);
        // The response area, which is as large as it is.
        let part_max = usize::MAX;
        Self { socket, downstream, pending, taken, dropped, start, fork, entered, instance, part_max }
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

impl Output for Upstream<'_, '_> {
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
        // Several parts are on their way at once, so a guest that does not keep to this has more of the host's memory.
        if bytes.len() > self.part_max {
            return Err(Stop::Fault(format!("a part of its response has {} bytes", bytes.len())));
        }
        self.part_max = STREAM_MAX;
        let log = std::mem::take(&mut self.pending);
        let sent = write_frame(&mut &*self.socket, &Frame::Part(self.begun()), &bytes, &log);
        // A worker that is gone wants no answer.
        sent.map_err(|_| Stop::Interrupted)
    }

    fn input(&mut self, until: Option<Instant>) -> Result<Input, Stop> {
        let (socket, pending) = (self.socket, &mut self.pending);
        let ask = || write_frame(&mut &*socket, &Frame::Want, &[], &std::mem::take(pending));
        // As above; whoever ends the request closes the socket.
        self.downstream.input(until, ask).map_err(|_| Stop::Interrupted)
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn only_the_first_part_may_be_long() {
        let (shell, mut worker) = UnixStream::pair().unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            worker.read_to_end(&mut all).unwrap();
            all.len()
        });
        let mut downstream = Downstream::new(&shell);
        let ways = (&shell, &mut downstream);
        let mut upstream = Upstream::new(ways, StartKind::New, Instant::now(), [0; 16]);
        for len in [STREAM_MAX + 1, STREAM_MAX, 0] {
            upstream.part(vec![0; len]).unwrap();
        }
        assert!(matches!(upstream.part(vec![0; STREAM_MAX + 1]), Err(Stop::Fault(_))));
        drop(upstream);
        drop(shell);
        assert!((2 * STREAM_MAX..3 * STREAM_MAX).contains(&reader.join().unwrap()));
    }
}
