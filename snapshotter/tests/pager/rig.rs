//! A parent in two ways: all in memory, and paged in from a file.

use crate::fixture::{LOAD, World, answer, number, prepare, request, run};
use crate::guest::RAM;
use crate::source::FileSource;
use abi::layout::{KERNEL_SIZE, PAGE, PROGRAM_MIN, PROGRAM_VA};
use snapshotter::pager::{ChunkRequests, FaultHandler, Pager, PagerSpec};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use vmm::{Exit, Filler, Machine, Parent, ParentMemory};

/// Bytes of the part that serves as base.
pub(crate) const BASE: u64 = KERNEL_SIZE + PROGRAM_MIN;

/// Carries requests within the process.
#[derive(Default)]
pub(crate) struct Direct {
    pager: OnceLock<Arc<Pager>>,
    handler: OnceLock<Weak<FaultHandler>>,
    /// Crash at the next request.
    pub(crate) crash: AtomicBool,
    /// Say nothing to requests.
    pub(crate) mute: AtomicBool,
}

struct Requests(Arc<Direct>);

impl ChunkRequests for Requests {
    fn request(&self, memory: u64, chunk: usize) {
        assert!(!self.0.crash.load(Ordering::SeqCst), "the test wants a crash");
        if self.0.mute.load(Ordering::SeqCst) {
            return;
        }
        let handler = self.0.handler.get().unwrap().clone();
        let answer = move |result: Result<(), Arc<str>>| {
            let Some(handler) = handler.upgrade() else { return };
            match result {
                Ok(()) => handler.filled(memory, chunk),
                Err(reason) => handler.failed(memory, chunk, &reason),
            }
        };
        self.0.pager.get().unwrap().request(chunk, Box::new(answer));
    }
}

pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) eager: Arc<Parent>,
    pub(crate) lazy: Arc<Parent>,
    pub(crate) source: Arc<FileSource>,
    pub(crate) handler: Arc<FaultHandler>,
    pub(crate) pager: Arc<Pager>,
    pub(crate) filler: Arc<Filler>,
    pub(crate) direct: Arc<Direct>,
    pub(crate) complete: Arc<AtomicBool>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.source.batches.open(usize::MAX);
        self.source.single.open(1);
    }
}

impl Rig {
    /// A parent of which the kernel's part is read at once and the rest only up to `batches` batches.
    pub(crate) fn new(batches: usize) -> Rig {
        let world = World::new();
        let ram = contents(&world);
        let eager = eager(&world, &ram);
        let source = Arc::new(FileSource::new(&ram));
        source.batches.open(batches);
        let filler = Arc::new(Filler::new(RAM, None).unwrap());
        let complete = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&complete);
        let pager = start(&source, &filler, move || done.store(true, Ordering::SeqCst));
        let direct = Arc::new(Direct::default());
        let handler = Arc::new(FaultHandler::start(None, Box::new(Requests(Arc::clone(&direct)))).unwrap());
        direct.pager.set(Arc::clone(&pager)).ok().unwrap();
        direct.handler.set(Arc::downgrade(&handler)).unwrap();
        let paging = handler.memory(1, source.table.clone());
        let memory = ParentMemory::from_lazy_fd(filler.reader().unwrap(), None, paging).unwrap();
        let lazy = Arc::new(Parent::new(memory, world.parent.entry.clone()).unwrap());
        Rig { world, eager, lazy, source, handler, pager, filler, direct, complete }
    }

    pub(crate) fn fork(&self, parent: &Arc<Parent>, request: &[u8]) -> Machine {
        let mut machine = Machine::fork(&self.world.kvm, parent, &self.world.images).unwrap();
        prepare(&mut machine, request);
        machine
    }

    pub(crate) fn lazy_child(&self, request: &[u8]) -> Machine {
        self.fork(&self.lazy, request)
    }

    /// What a new lazy child finds in a page of the program.
    pub(crate) fn load(&self, page: u64) -> u64 {
        number(&answer(&mut self.lazy_child(&load(page))))
    }

    /// How a new lazy child that reads a page ends.
    pub(crate) fn end_of(&self, page: u64) -> Exit {
        run(&mut self.lazy_child(&load(page)))
    }

    /// The chunk of a page of the program.
    pub(crate) fn chunk(&self, page: u64) -> usize {
        self.source.table.lookup(KERNEL_SIZE / PAGE + page).unwrap()
    }
}

/// Pages `source` in: the kernel's part first.
pub(crate) fn start(
    source: &Arc<FileSource>,
    filler: &Arc<Filler>,
    complete: impl FnOnce() + Send + 'static,
) -> Arc<Pager> {
    let in_kernel = |index: &usize| source.table.chunks()[*index].end() <= KERNEL_SIZE / PAGE;
    let spec = PagerSpec {
        source: Arc::<FileSource>::clone(source),
        table: source.table.clone(),
        filler: Arc::clone(filler),
        working_set: (0..source.table.chunks().len()).filter(in_kernel).collect(),
        on_complete: Box::new(move |sealed| {
            sealed.unwrap();
            complete();
        }),
    };
    Arc::new(Pager::start(spec).unwrap())
}

/// The request to read the first bytes of a page of the program.
pub(crate) fn load(page: u64) -> Vec<u8> {
    request(&[LOAD, PROGRAM_VA + page * PAGE])
}

/// The first bytes of a page of the program: every fifth page is zero.
pub(crate) fn expected(page: u64) -> u64 {
    if page % 5 == 4 { 0 } else { page * 0x0101_0101 + 1 }
}

/// The parent's memory with something in the program's part.
pub(crate) fn contents(world: &World) -> Vec<u8> {
    let mut ram = vec![0; usize::try_from(RAM).unwrap()];
    let read = rustix::io::pread(world.parent.memory.as_fd(), &mut ram, 0).unwrap();
    assert_eq!(read, ram.len());
    let program = usize::try_from(KERNEL_SIZE).unwrap();
    for (page, bytes) in (0_u64..).zip(ram[program..].chunks_mut(4096)) {
        bytes[..8].copy_from_slice(&expected(page).to_le_bytes());
    }
    ram
}

/// The same parent, complete in memory.
fn eager(world: &World, ram: &[u8]) -> Arc<Parent> {
    let mut memory = ParentMemory::new(RAM).unwrap();
    assert_eq!(rustix::io::pwrite(memory.as_fd(), ram, 0).unwrap(), ram.len());
    memory.seal().unwrap();
    Arc::new(Parent::new(memory, world.parent.entry.clone()).unwrap())
}

pub(crate) fn ram(machine: &Machine) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(RAM).unwrap()];
    machine.read_ram(0, &mut bytes).unwrap();
    bytes
}

/// Waits until something is true that another thread makes true.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < Duration::from_secs(180), "{what} does not happen");
        std::thread::yield_now();
    }
}

/// Whether a page of RAM exists in the memfd.
pub(crate) fn exists(fd: impl AsFd, page: u64) -> bool {
    rustix::fs::seek(fd, rustix::fs::SeekFrom::Data(page * PAGE)).is_ok_and(|found| found == page * PAGE)
}
