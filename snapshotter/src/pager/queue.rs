//! What is to be read next, and who waits for it. Plain state, no threads.
//!
//! ```text
//!            next_*                    filled
//!  Absent ───────────► Reading ─────────────────► Filled
//!     ▲                  │
//!     └── put_back, failed
//! ```
//!
//! A chunk that failed is absent again: the next demand tries once more, until it has failed [`ATTEMPTS_MAX`] times.

use std::collections::VecDeque;
use std::sync::Arc;

/// Told whether a chunk is in place, or why not.
pub type Answer = Box<dyn FnOnce(Result<(), Arc<str>>) + Send>;

/// Times a chunk is tried.
const ATTEMPTS_MAX: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Absent,
    Reading,
    Filled,
}

struct Chunk {
    phase: Phase,
    failures: u32,
    reason: Option<Arc<str>>,
    waiting: Vec<Answer>,
}

/// The chunks of one memory.
pub(super) struct Queue {
    chunks: Vec<Chunk>,
    demand: VecDeque<usize>,
    /// Where the search for something to read in the background goes on.
    background: usize,
    filled: usize,
}

impl Queue {
    pub(super) fn new(chunks: usize) -> Queue {
        let absent = || Chunk { phase: Phase::Absent, failures: 0, reason: None, waiting: Vec::new() };
        let chunks = std::iter::repeat_with(absent).take(chunks).collect();
        Queue { chunks, demand: VecDeque::new(), background: 0, filled: 0 }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.filled == self.chunks.len()
    }

    /// Somebody needs a chunk. Gives the answer back if it is known already.
    pub(super) fn demand(&mut self, index: usize, answer: Answer) -> Option<(Answer, Result<(), Arc<str>>)> {
        let Some(chunk) = self.chunks.get_mut(index) else {
            return Some((answer, Err("the memory has no such chunk".into())));
        };
        match (chunk.phase, &chunk.reason) {
            (Phase::Filled, _) => Some((answer, Ok(()))),
            (Phase::Absent, Some(reason)) if chunk.failures >= ATTEMPTS_MAX => {
                let reason = Arc::clone(reason);
                Some((answer, Err(reason)))
            }
            (Phase::Absent, _) => {
                if chunk.waiting.is_empty() {
                    self.demand.push_back(index);
                }
                chunk.waiting.push(answer);
                None
            }
            (Phase::Reading, _) => {
                chunk.waiting.push(answer);
                None
            }
        }
    }

    /// The next chunk somebody waits for; it is being read from now on.
    pub(super) fn next_demand(&mut self) -> Option<usize> {
        while let Some(index) = self.demand.pop_front() {
            if self.begin(index) {
                return Some(index);
            }
        }
        None
    }

    /// Those of `wanted` that are absent; they are being read from now on.
    pub(super) fn next_of(&mut self, wanted: &[usize]) -> Vec<usize> {
        wanted.iter().copied().filter(|&index| self.begin(index)).collect()
    }

    /// Up to `most` chunks nobody has asked for and that have not failed; they are being read from now on.
    pub(super) fn next_background(&mut self, most: usize) -> Vec<usize> {
        let mut found = Vec::new();
        while found.len() < most && self.background < self.chunks.len() {
            let index = self.background;
            self.background += 1;
            if self.chunks[index].failures == 0 && self.begin(index) {
                found.push(index);
            }
        }
        found
    }

    fn begin(&mut self, index: usize) -> bool {
        match self.chunks.get_mut(index) {
            Some(chunk) if chunk.phase == Phase::Absent => {
                chunk.phase = Phase::Reading;
                true
            }
            _ => false,
        }
    }

    /// A chunk is in place. Returns who waited for it.
    pub(super) fn filled(&mut self, index: usize) -> Vec<Answer> {
        let chunk = &mut self.chunks[index];
        self.filled += usize::from(chunk.phase != Phase::Filled);
        chunk.phase = Phase::Filled;
        std::mem::take(&mut chunk.waiting)
    }

    /// A chunk could not be had; `final_` if trying again makes no sense. Returns who waited for it.
    pub(super) fn failed(&mut self, index: usize, reason: &Arc<str>, final_: bool) -> Vec<Answer> {
        let chunk = &mut self.chunks[index];
        chunk.phase = Phase::Absent;
        chunk.failures = if final_ { ATTEMPTS_MAX } else { chunk.failures + 1 };
        chunk.reason = Some(Arc::clone(reason));
        std::mem::take(&mut chunk.waiting)
    }

    /// A batch ended without these chunks. Those somebody waits for come next, the others in the background.
    pub(super) fn put_back(&mut self, indices: &[usize]) {
        for &index in indices {
            let chunk = &mut self.chunks[index];
            if chunk.phase == Phase::Reading {
                chunk.phase = Phase::Absent;
                if !chunk.waiting.is_empty() {
                    self.demand.push_back(index);
                }
                self.background = self.background.min(index);
            }
        }
    }

    /// Takes everybody who waits.
    pub(super) fn abandon(&mut self) -> Vec<Answer> {
        self.demand.clear();
        self.chunks.iter_mut().flat_map(|chunk| std::mem::take(&mut chunk.waiting)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    fn asked(queue: &mut Queue, index: usize) -> Receiver<Result<(), Arc<str>>> {
        let (sender, receiver) = channel();
        let answer = Box::new(move |result| drop(sender.send(result)));
        if let Some((answer, result)) = queue.demand(index, answer) {
            answer(result);
        }
        receiver
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let mut queue = Queue::new(4);
        assert_eq!(queue.next_of(&[1, 1, 9]), [1]);
        let waiting = [asked(&mut queue, 3), asked(&mut queue, 3), asked(&mut queue, 1)];
        assert_eq!(queue.next_demand(), Some(3));
        assert_eq!(queue.next_demand(), None);
        assert_eq!(queue.next_background(9), [0, 2]);
        assert_eq!(queue.filled(3).into_iter().map(|answer| answer(Ok(()))).count(), 2);
        assert!(waiting[0].try_recv().unwrap().is_ok() && waiting[1].try_recv().unwrap().is_ok());
        assert!(waiting[2].try_recv().is_err(), "the batch has it");
        assert!(asked(&mut queue, 3).try_recv().unwrap().is_ok());
        for index in [0, 1, 2] {
            assert!(!queue.is_complete());
            queue.filled(index);
        }
        assert!(queue.is_complete());
    }

    #[test]
    fn a_failed_chunk_is_tried_again_on_demand_but_not_for_ever() {
        let mut queue = Queue::new(2);
        for _ in 0..ATTEMPTS_MAX {
            let waiting = asked(&mut queue, 0);
            assert_eq!(queue.next_demand(), Some(0));
            let reason: Arc<str> = "disk".into();
            queue.failed(0, &reason, false).into_iter().for_each(|answer| answer(Err(Arc::clone(&reason))));
            assert!(waiting.try_recv().unwrap().is_err());
            assert_eq!(queue.next_background(1), [1], "not in the background");
            queue.put_back(&[1]);
        }
        assert_eq!(&*asked(&mut queue, 0).try_recv().unwrap().unwrap_err(), "disk");
        assert_eq!(queue.next_demand(), None);
        assert!(asked(&mut queue, 7).try_recv().unwrap().is_err());
    }

    #[test]
    fn a_broken_batch_gives_back_what_it_did_not_bring() {
        let mut queue = Queue::new(5);
        assert_eq!(queue.next_background(4), [0, 1, 2, 3]);
        let _waiting = asked(&mut queue, 2);
        queue.filled(0);
        queue.put_back(&[0, 1, 2, 3]);
        assert_eq!(queue.next_demand(), Some(2));
        assert_eq!(queue.next_background(9), [1, 3, 4]);
        assert_eq!(queue.abandon().len(), 1);
    }
}
