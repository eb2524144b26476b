//! The worker's side: reads chunks and puts them in place.

use super::counters::{Counters, PagerCounters, count};
use super::queue::{Answer, Queue};
use crate::source::{ChunkTable, PageSource};
use abi::layout::PAGE;
use std::error::Error;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use vmm::{FillError, Filler, ParentError};

/// Threads that read what somebody waits for, besides the one that reads ahead.
const DEMAND_THREADS: usize = 3;
/// Chunks read ahead at once. A demand for one of them waits for all.
const BACKGROUND_BATCH: usize = 8;

/// Told whether the complete memory could be sealed.
pub type OnComplete = Box<dyn FnOnce(Result<(), ParentError>) + Send>;

/// What to page in.
pub struct PagerSpec {
    /// Where the pages are.
    pub source: Arc<dyn PageSource>,
    /// Which pages there are.
    pub table: ChunkTable,
    /// Where they go.
    pub filler: Arc<Filler>,
    /// Chunks to read first, all in one batch.
    pub working_set: Vec<usize>,
    /// Called once, when all pages are in place and the memory is sealed (or could not be).
    pub on_complete: OnComplete,
}

/// The pager cannot start.
#[derive(Debug, thiserror::Error)]
pub enum PagerError {
    /// A chunk lies outside of the memory.
    #[error("the chunks reach to byte {end}, the memory has {len}")]
    Outside {
        /// End of the last chunk.
        end: u64,
        /// Bytes of the memory.
        len: u64,
    },
    /// No threads.
    #[error("starting the threads of a pager")]
    Threads(#[from] std::io::Error),
}

struct State {
    queue: Queue,
    stopping: bool,
    /// A batch has failed: from now on chunk by chunk, to find out which one it is.
    one_by_one: bool,
    on_complete: Option<OnComplete>,
}

struct Inner {
    source: Arc<dyn PageSource>,
    table: ChunkTable,
    filler: Arc<Filler>,
    counters: Counters,
    state: Mutex<State>,
    news: Condvar,
}

/// Fills one memory. Dropping it ends its threads as soon as the storage lets them, and fails everybody who waits.
pub struct Pager(Arc<Inner>);

impl Pager {
    /// Starts reading.
    pub fn start(spec: PagerSpec) -> Result<Pager, PagerError> {
        let PagerSpec { source, table, filler, working_set, on_complete } = spec;
        let end = table.chunks().last().map_or(0, |chunk| chunk.end().saturating_mul(PAGE));
        if end > filler.len() {
            return Err(PagerError::Outside { end, len: filler.len() });
        }
        let queue = Queue::new(table.chunks().len());
        let state = State { queue, stopping: false, one_by_one: false, on_complete: Some(on_complete) };
        let (state, news) = (Mutex::new(state), Condvar::new());
        // From here on dropping `pager` stops the threads that have been started.
        let pager =
            Pager(Arc::new(Inner { source, table, filler, counters: Counters::default(), state, news }));
        let inner = Arc::clone(&pager.0);
        thread("pager-ahead", move || inner.read_ahead(&working_set))?;
        for _ in 0..DEMAND_THREADS {
            let inner = Arc::clone(&pager.0);
            thread("pager", move || inner.read_demands())?;
        }
        Ok(pager)
    }

    /// Calls `answer` when a chunk is in place or cannot be had: at once if that is known, else from a thread of
    /// the pager. It must not wait.
    pub fn request(&self, chunk: usize, answer: Answer) {
        count(&self.0.counters.requests, 1);
        let mut state = self.0.state();
        let known = match state.stopping {
            true => Some((answer, Err("the pager was stopped".into()))),
            false => state.queue.demand(chunk, answer),
        };
        drop(state);
        match known {
            Some((answer, result)) => answer(result),
            None => self.0.news.notify_all(),
        }
    }

    /// What has happened so far.
    pub fn counters(&self) -> PagerCounters {
        self.0.counters.read()
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.stopping = true;
        let abandoned = state.queue.abandon();
        drop(state);
        self.0.news.notify_all();
        answer_all(abandoned, &Err("the pager was stopped".into()));
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is complete at any point where it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The working set, then everything else, in between what somebody waits for.
    fn read_ahead(&self, working_set: &[usize]) {
        let wanted = self.state().queue.next_of(working_set);
        if !wanted.is_empty() {
            let begin = Instant::now();
            let brought = self.read_batch(&wanted);
            count(&self.counters.working_set_chunks, brought);
            self.counters.working_set_took(begin.elapsed());
        }
        self.finish_if_complete();
        loop {
            let mut state = self.state();
            if state.stopping {
                return;
            }
            if let Some(index) = state.queue.next_demand() {
                drop(state);
                self.read_one(index);
                continue;
            }
            let most = if state.one_by_one { 1 } else { BACKGROUND_BATCH };
            let batch = state.queue.next_background(most);
            drop(state);
            match batch[..] {
                [] => return self.read_demands(),
                [index] => self.read_one(index),
                _ => {
                    self.read_batch(&batch);
                }
            }
        }
    }

    /// What somebody waits for, until there is nothing left to wait for.
    fn read_demands(&self) {
        loop {
            let mut state = self.state();
            let index = loop {
                if state.stopping || state.queue.is_complete() {
                    return;
                }
                match state.queue.next_demand() {
                    Some(index) => break index,
                    None => state = self.news.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(state);
            self.read_one(index);
        }
    }

    fn read_one(&self, index: usize) {
        let mut bytes = vec![0; self.bytes_of(index)];
        let read = catch_unwind(AssertUnwindSafe(|| self.source.read_chunk(index, &mut bytes)));
        match read {
            Ok(Ok(())) => self.put(index, &bytes),
            Ok(Err(error)) => self.fail(index, &explain(&error), false),
            Err(_) => self.fail(index, "reading the pages crashed", false),
        }
    }

    /// Reads several chunks that are marked as being read; returns how many came. The others are marked as absent.
    fn read_batch(&self, indices: &[usize]) -> u64 {
        let mut brought = 0;
        let mut each = |index: usize, bytes: &[u8]| {
            // Not one of the chunks asked for, or not its size: then it has not come.
            if indices.contains(&index) && bytes.len() == self.bytes_of(index) {
                self.put(index, bytes);
                brought += 1;
            }
        };
        let read = catch_unwind(AssertUnwindSafe(|| self.source.read_chunks(indices, &mut each)));
        let mut state = self.state();
        state.queue.put_back(indices);
        // Which chunk is to blame, and why, is found out one by one.
        state.one_by_one |= !matches!(read, Ok(Ok(()))) || brought < indices.len() as u64;
        drop(state);
        self.news.notify_all();
        brought
    }

    fn bytes_of(&self, index: usize) -> usize {
        let pages = self.table.chunks().get(index).map_or(0, |chunk| u64::from(chunk.pages));
        usize::try_from(pages * PAGE).unwrap_or(usize::MAX)
    }

    fn put(&self, index: usize, bytes: &[u8]) {
        let Some(chunk) = self.table.chunks().get(index) else { return };
        match self.filler.fill(chunk.first_page, bytes) {
            Ok(()) => {
                count(&self.counters.chunks, 1);
                count(&self.counters.bytes, bytes.len() as u64);
                let waiting = self.state().queue.filled(index);
                answer_all(waiting, &Ok(()));
                self.finish_if_complete();
            }
            // No reading again makes a page better that somebody else has made.
            Err(error @ FillError::Planted { .. }) => self.fail(index, &explain(&error), true),
            Err(error) => self.fail(index, &explain(&error), false),
        }
    }

    fn fail(&self, index: usize, reason: &str, final_: bool) {
        count(&self.counters.failures, 1);
        let reason: Arc<str> = reason.into();
        let waiting = self.state().queue.failed(index, &reason, final_);
        answer_all(waiting, &Err(reason));
    }

    fn finish_if_complete(&self) {
        let mut state = self.state();
        let on_complete = state.queue.is_complete().then(|| state.on_complete.take()).flatten();
        drop(state);
        if let Some(on_complete) = on_complete {
            on_complete(self.filler.finish());
            self.news.notify_all();
        }
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

fn answer_all(answers: Vec<Answer>, result: &Result<(), Arc<str>>) {
    for answer in answers {
        answer(result.clone());
    }
}

/// An error with its causes, in one line.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
