//! One thread that sends its share of a run.

use super::counts::{Counts, ThreadReport};
use super::{Interval, Load, Plan, Prepared, Protocol, http1, http2};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// How long a closed connection of a closed loop rests when there is nobody to connect to, in nanoseconds.
pub(super) const REST_NS: u64 = 10_000_000;
/// How long requests under way are waited for when somebody stops the run, in nanoseconds.
pub(super) const GRACE_NS: u64 = 1_000_000_000;

/// A request that is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    pub(super) call: usize,
    pub(super) intended_ns: u64,
}

/// A thread's share of a run.
pub(super) struct Worker {
    pub(super) prepared: Arc<Prepared>,
    index: usize,
    sender: Sender<Interval>,
}

impl Worker {
    pub(super) fn new(prepared: Arc<Prepared>, index: usize, sender: Sender<Interval>) -> Worker {
        Worker { prepared, index, sender }
    }

    pub(super) fn run(self) -> io::Result<ThreadReport> {
        let recorded = self.prepared.recorded.is_some();
        let counts = Counts::new(&self.prepared.plan, recorded, self.sender.clone());
        match self.prepared.plan.protocol {
            Protocol::Http1 => http1::run(&self, counts),
            Protocol::Http2 { streams } => http2::run(self, counts, streams),
        }
    }

    /// The part of `total` that belongs to this thread.
    pub(super) fn share(&self, total: usize) -> usize {
        let threads = self.prepared.plan.threads;
        total / threads + usize::from(self.index < total % threads)
    }

    /// When which call of this thread is due; nothing in a closed loop.
    pub(super) fn arrivals(&self) -> io::Result<Box<dyn Iterator<Item = Due> + '_>> {
        let plan = &self.prepared.plan;
        let end = super::nanoseconds(plan.duration);
        let mine = arrivals(plan)?.skip(self.index).step_by(plan.threads);
        Ok(Box::new(mine.take_while(move |due| due.intended_ns < end)))
    }

    /// Which call comes as the `count`th on a connection of a closed loop.
    pub(super) fn pick(&self, connection: usize, count: u64) -> usize {
        let Prepared { plan, .. } = &*self.prepared;
        let place = (self.index as u64) << 32 | connection as u64;
        plan.mix.pick(scramble(scramble(plan.seed ^ place).wrapping_add(count)))
    }
}

/// SplitMix64's output function: neighbours become independent numbers.
fn scramble(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// When which call is due, for all threads together.
pub(super) fn arrivals(plan: &Plan) -> io::Result<Box<dyn Iterator<Item = Due> + '_>> {
    match &plan.load {
        Load::Open(arrivals) => {
            let mut choice = ChaCha8Rng::seed_from_u64(!plan.seed);
            let schedule = arrivals.schedule(plan.seed).map_err(io::Error::other)?;
            Ok(Box::new(
                schedule.map(move |intended_ns| Due { call: plan.mix.choose(&mut choice), intended_ns }),
            ))
        }
        Load::Given(arrivals) => Ok(Box::new(
            arrivals.iter().map(|given| Due { call: given.call as usize, intended_ns: given.at_ns }),
        )),
        Load::Closed => Ok(Box::new(std::iter::empty())),
    }
}
