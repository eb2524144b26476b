//! A pager with storage that does not do what it should. No VMs.

use crate::rig::until;
use abi::layout::HUGE;
use snapshotter::pager::{Pager, PagerError, PagerSpec};
use snapshotter::source::{Chunk, ChunkTable, PageSource, SourceError};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use vmm::Filler;

/// Chunks of one page, full of their number and one.
struct Odd;

const CRASHES: usize = 1;

impl PageSource for Odd {
    fn read_chunk(&self, index: usize, bytes: &mut [u8]) -> Result<(), SourceError> {
        assert_ne!(index, CRASHES, "the test wants a crash");
        bytes.fill(u8::try_from(index + 1).unwrap());
        Ok(())
    }

    fn read_chunks(&self, _: &[usize], each: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError> {
        // Nothing that was asked for: unknown, too short, too long.
        each(usize::MAX, &[1; 4096]);
        each(0, &[1; 4095]);
        each(0, &[1; 8192]);
        Ok(())
    }
}

fn table(chunks: u64) -> ChunkTable {
    ChunkTable::checked((0..chunks).map(|first_page| Chunk { first_page, pages: 1 }).collect()).unwrap()
}

fn spec(table: ChunkTable, filler: &Arc<Filler>) -> PagerSpec {
    PagerSpec {
        source: Arc::new(Odd),
        table,
        filler: Arc::clone(filler),
        working_set: vec![0, 1, 2, usize::MAX],
        on_complete: Box::new(|_| panic!("it never is")),
    }
}

fn ask(pager: &Pager, chunk: usize) -> Result<(), Arc<str>> {
    let (sender, receiver) = channel();
    pager.request(chunk, Box::new(move |result| drop(sender.send(result))));
    receiver.recv().unwrap()
}

#[test]
fn crashes_and_nonsense_of_the_storage_are_errors_of_a_chunk() {
    let filler = Arc::new(Filler::new(HUGE, None).unwrap());
    let pager = Pager::start(spec(table(20), &filler)).unwrap();
    ask(&pager, 7).unwrap();
    assert!(ask(&pager, CRASHES).unwrap_err().contains("crashed"));
    assert!(ask(&pager, 20).unwrap_err().contains("no such chunk"));
    until("the rest is read one by one", || pager.counters().chunks == 19);
    let mut bytes = [0; 4096];
    for page in (0..20_u8).filter(|&page| usize::from(page) != CRASHES) {
        rustix::io::pread(filler.reader().unwrap(), &mut bytes, u64::from(page) * 4096).unwrap();
        assert_eq!(bytes, [page + 1; 4096]);
    }
    assert_eq!(pager.counters().working_set_chunks, 0);
}

#[test]
fn chunks_outside_of_the_memory_are_refused() {
    let filler = Arc::new(Filler::new(HUGE, None).unwrap());
    let refused = Pager::start(spec(table(513), &filler));
    assert!(matches!(refused, Err(PagerError::Outside { .. })));
}

#[test]
fn whoever_waits_for_a_pager_that_is_dropped_is_told() {
    let filler = Arc::new(Filler::new(HUGE, None).unwrap());
    let (told, answer) = channel();
    let (started, running) = channel();
    let (release, hold) = channel::<()>();
    let source = Arc::new(Held { started: Mutex::new(started), hold: Mutex::new(hold) });
    let spec = PagerSpec { source, working_set: Vec::new(), ..spec(table(1), &filler) };
    let pager = Pager::start(spec).unwrap();
    running.recv().unwrap();
    pager.request(0, Box::new(move |result| drop(told.send(result))));
    drop(pager);
    assert!(answer.recv().unwrap().unwrap_err().contains("stopped"));
    drop(release);
}

/// Storage that does not answer before it is let go.
struct Held {
    started: Mutex<Sender<()>>,
    hold: Mutex<Receiver<()>>,
}

impl PageSource for Held {
    fn read_chunk(&self, index: usize, _: &mut [u8]) -> Result<(), SourceError> {
        self.started.lock().unwrap().send(()).unwrap();
        let released = self.hold.lock().unwrap().recv();
        let source = std::io::Error::other(format!("{released:?}"));
        Err(SourceError::Disk { place: format!("chunk {index}"), source })
    }

    fn read_chunks(&self, _: &[usize], _: &mut dyn FnMut(usize, &[u8])) -> Result<(), SourceError> {
        Ok(())
    }
}
