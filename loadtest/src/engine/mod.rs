//! Sends load and counts what comes back.
//!
//! ```text
//!              schedule (one seed, the same for every number of threads)
//!      arrival 0, n, 2n, ...  |  arrival 1, n+1, ...  |  ...
//!                 v                      v
//!        [thread: dispatch]       [thread: dispatch]          idle connection, or a new one,
//!           |         |              |         |              or the queue, or dropped
//!        [conn]    [conn]         [conn]    [conn]
//!           '---- one interval a second, to whoever watches; everything at the end ----'
//! ```

mod bodies;
mod counts;
mod http1;
mod http2;
mod limits;
mod links;
mod outcome;
mod slots;
mod stop;
mod worker;

pub use outcome::{Outcome, Progress};
pub use stop::Stop;

use crate::arrivals::{Arrivals, InvalidArrivals};
use crate::call::{CallError, Mix};
use crate::clock::Clock;
use crate::http2::Message;
use crate::tally::Record;
use crate::target::Target;
use bytes::Bytes;
use counts::ThreadReport;
use hdrhistogram::Histogram;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use worker::Worker;

/// How requests are timed.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    /// At times that do not depend on answers. What finds no free connection waits in a queue.
    Open(Arrivals),
    /// The next request on a connection when the answer to the last one is complete.
    Closed,
    /// An open loop of these arrivals, in order of time. All count under one name, and each is recorded.
    Given(Arc<[Arrival]>),
}

/// One request at a time that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it is meant to be sent, in nanoseconds since the start.
    pub at_ns: u64,
    /// Which call of the mix.
    pub call: u32,
}

/// How a target is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time on a connection, which is kept.
    #[default]
    Http1,
    /// HTTP/2 without TLS, by prior knowledge.
    Http2 {
        /// Requests under way on one connection, at most.
        streams: usize,
    },
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it goes.
    pub target: Target,
    /// What is sent.
    pub mix: Mix,
    /// When.
    pub load: Load,
    /// Connections (with HTTP/2: streams): the most there can be in an open loop; as many in a closed loop.
    pub connections: usize,
    /// Requests of an open loop that wait for a connection, at most. What comes then is dropped, and counted.
    pub queue: usize,
    /// For how long requests are sent, with the warm-up.
    pub duration: Duration,
    /// What was meant to be sent before this is not counted.
    pub warm_up: Duration,
    /// What has no complete answer so long after it was sent has failed.
    pub timeout: Duration,
    /// Threads that send.
    pub threads: usize,
    /// Of the schedule and of the choice of calls.
    pub seed: u64,
    /// How the target is spoken to.
    pub protocol: Protocol,
}

/// A run that cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The arrival process.
    #[error(transparent)]
    Arrivals(#[from] InvalidArrivals),
    /// A call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A number.
    #[error("{what} must be from {min} to {max}, not {value}")]
    Number {
        /// What.
        what: &'static str,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
        /// What was given.
        value: usize,
    },
    /// The warm-up is the whole run.
    #[error("the warm-up must be shorter than the run")]
    WarmUp,
    /// More connections than descriptors.
    #[error(
        "{connections} connections need {needed} descriptors, and this process may have {allowed}: raise the limit \
         (ulimit -Hn, LimitNOFILE of systemd, limits.conf), or allow fewer connections"
    )]
    Descriptors {
        /// Connections of the plan.
        connections: usize,
        /// What they need, with everything else.
        needed: u64,
        /// The hard limit.
        allowed: u64,
    },
    /// Given arrivals.
    #[error("arrival {0} comes before the one before it, or names no call")]
    Given(usize),
    /// The machine refused a thread.
    #[error("cannot start a thread to send with")]
    Thread(#[source] io::Error),
}

/// Connections of a run.
pub const CONNECTIONS_MAX: usize = 1_000_000;
/// Threads of a run.
pub const THREADS_MAX: usize = 256;

/// One second of one thread.
#[derive(Debug)]
struct Interval {
    /// Which second since the start.
    second: u64,
    /// Response times of the answers that came then, with those of the warm-up.
    response: Histogram<u64>,
    /// Requests that failed then.
    failed: u64,
    /// Requests dropped then.
    dropped: u64,
    /// Requests that ended then, but belong to the warm-up.
    warm_up: u64,
    /// Each request that ended then, if they are recorded.
    records: Vec<Record>,
}

/// A plan with its requests written out.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    /// For HTTP/1.1.
    pub(crate) requests: Vec<Bytes>,
    /// For HTTP/2.
    pub(crate) messages: Vec<Message>,
    pub(crate) stop: Stop,
    pub(crate) clock: Clock,
    /// How many requests are recorded one by one, at most, if they are.
    pub(crate) recorded: Option<usize>,
}

/// Time that threads have to start before the first request is due.
const START_NS: u64 = 20_000_000;

/// A run that goes on.
#[derive(Debug)]
pub struct Run {
    prepared: Arc<Prepared>,
    intervals: Receiver<Interval>,
    threads: Vec<Thread>,
}

impl Plan {
    /// Says what is wrong with it, if something is, and sends nothing.
    pub fn validate(&self) -> Result<(), PlanError> {
        self.check()?;
        self.written()?;
        Ok(())
    }

    /// Begins to send.
    pub fn start(self, stop: &Stop) -> Result<Run, PlanError> {
        self.begin(stop, None)
    }

    /// Begins to send, and records each of the first `most` requests after the warm-up: [`Outcome::records`].
    pub fn start_recorded(self, stop: &Stop, most: usize) -> Result<Run, PlanError> {
        self.begin(stop, Some(most))
    }

    fn begin(self, stop: &Stop, recorded: Option<usize>) -> Result<Run, PlanError> {
        let (run, sender) = self.prepare(stop, recorded)?;
        run.start(&sender, |builder, worker| builder.spawn(|| worker.run()))
    }

    /// A run without its threads, and what they send their counts to.
    fn prepare(self, stop: &Stop, recorded: Option<usize>) -> Result<(Run, Sender<Interval>), PlanError> {
        self.check()?;
        let (requests, messages) = self.written()?;
        limits::allow_descriptors(self.sockets())?;
        let clock = Clock::starting_in(START_NS);
        // One of its own: a run that cannot start ends nothing else.
        let stop = stop.part();
        let prepared = Arc::new(Prepared { plan: self, requests, messages, stop, clock, recorded });
        let (sender, intervals) = channel();
        Ok((Run { prepared, intervals, threads: Vec::new() }, sender))
    }

    /// The requests as the protocol writes them.
    fn written(&self) -> Result<(Vec<Bytes>, Vec<Message>), CallError> {
        let calls = self.mix.calls();
        let requests = calls.iter().map(|call| call.encode(&self.target)).collect::<Result<Vec<_>, _>>()?;
        if self.protocol == Protocol::Http1 {
            return Ok((requests, Vec::new()));
        }
        let message = |call: &crate::call::Call| {
            crate::http2::message(call, &self.target).ok_or_else(|| CallError::Path(call.path.clone()))
        };
        Ok((Vec::new(), calls.iter().map(message).collect::<Result<_, _>>()?))
    }

    /// Sockets that the run may have at a time.
    fn sockets(&self) -> usize {
        match self.protocol {
            Protocol::Http1 => self.connections,
            Protocol::Http2 { streams } => self.connections.div_ceil(streams.max(1)) + self.threads,
        }
    }

    fn check(&self) -> Result<(), PlanError> {
        number("the number of connections", 1, CONNECTIONS_MAX, self.connections)?;
        number("the number of threads", 1, THREADS_MAX.min(self.connections), self.threads)?;
        if let Protocol::Http2 { streams } = self.protocol {
            number("the number of streams", 1, CONNECTIONS_MAX, streams)?;
        }
        if self.warm_up >= self.duration {
            return Err(PlanError::WarmUp);
        }
        match &self.load {
            Load::Open(arrivals) => arrivals.schedule(self.seed).map(drop)?,
            Load::Given(arrivals) => check_given(arrivals, self.mix.calls().len())?,
            Load::Closed => {}
        }
        Ok(())
    }
}

type Thread = thread::JoinHandle<io::Result<ThreadReport>>;

impl Run {
    /// Starts all threads by `spawn`, or leaves none.
    fn start(
        mut self,
        sender: &Sender<Interval>,
        mut spawn: impl FnMut(thread::Builder, Worker) -> io::Result<Thread>,
    ) -> Result<Run, PlanError> {
        for index in 0..self.prepared.plan.threads {
            let worker = Worker::new(Arc::clone(&self.prepared), index, sender.clone());
            match spawn(thread::Builder::new().name(format!("load {index}")), worker) {
                Ok(thread) => self.threads.push(thread),
                Err(error) => {
                    self.abandon();
                    return Err(PlanError::Thread(error));
                }
            }
        }
        Ok(self)
    }

    /// Ends the threads that there are. What they say is of no use.
    fn abandon(self) {
        self.prepared.stop.stop();
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

fn check_given(arrivals: &[Arrival], calls: usize) -> Result<(), PlanError> {
    let mut before = 0;
    for (index, arrival) in arrivals.iter().enumerate() {
        if arrival.at_ns < before || arrival.call as usize >= calls {
            return Err(PlanError::Given(index));
        }
        before = arrival.at_ns;
    }
    Ok(())
}

fn number(what: &'static str, min: usize, max: usize, value: usize) -> Result<(), PlanError> {
    (min..=max).contains(&value).then_some(()).ok_or(PlanError::Number { what, min, max, value })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
