//! A worker and two cells, each a process of its own: this test program, run again.

use crate::fixture::{FILL, World, answer, images, kvm, number, prepare, request};
use crate::guest::RAM;
use crate::rig::{contents, expected, load, start, until};
use crate::source::FileSource;
use abi::layout::{KERNEL_SIZE, PAGE, PROGRAM_VA};
use snapshotter::pager::{ChunkRequests, FaultHandler, Pager};
use snapshotter::source::{Chunk, ChunkTable};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use vmm::{EntryState, Filler, Machine, Parent, ParentMemory};

/// Set in a cell: where the memory's descriptor is.
const MEMORY: &str = "SPORE_TEST_MEMORY";
const FAR: u64 = 1000;
const PAGES: [u64; 4] = [FAR, FAR + 1, FAR + 40, FAR + 44];

#[test]
fn two_cells_share_one_memory_and_each_page_is_read_once() {
    let world = World::new();
    let ram = contents(&world);
    let source = Arc::new(FileSource::new(&ram));
    source.batches.open(1);
    let slow = source.table.lookup(KERNEL_SIZE / PAGE + FAR).unwrap();
    *source.gated.lock().unwrap() = Some(slow);
    let filler = Arc::new(Filler::new(RAM, None).unwrap());
    let pager = start(&source, &filler, || {});
    let reader = filler.reader().unwrap();
    let mut cells: Vec<_> =
        (0..2).map(|_| cell_process(&reader, &world.parent.entry, &source.table, &pager)).collect();
    // Both wait for the same chunk.
    until("both cells ask", || pager.counters().requests >= 2);
    source.single.open(1);
    for cell in &mut cells {
        assert!(cell.wait().unwrap().success());
    }
    for page in PAGES.iter().filter(|&&page| expected(page) != 0) {
        assert_eq!(source.reads_of(source.table.lookup(KERNEL_SIZE / PAGE + page).unwrap()), 1, "{page}");
    }
    source.batches.open(usize::MAX);
}

/// Starts a cell and answers its requests.
fn cell_process(reader: &OwnedFd, entry: &EntryState, table: &ChunkTable, pager: &Arc<Pager>) -> Child {
    let (mine, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes::cell"])
        .env(MEMORY, format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd()))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .unwrap();
    let chunks: Vec<_> = table.chunks().iter().map(|chunk| (chunk.first_page, chunk.pages)).collect();
    writeln!(&mine, "{}", serde_json::to_string(&(entry, chunks)).unwrap()).unwrap();
    let pager = Arc::clone(pager);
    std::thread::spawn(move || {
        let mut chunk = [0; 8];
        while (&mine).read_exact(&mut chunk).is_ok() {
            let answers = mine.try_clone().unwrap();
            let answer = move |result: Result<(), Arc<str>>| {
                result.unwrap();
                (&answers).write_all(&chunk).unwrap();
            };
            pager.request(u64::from_le_bytes(chunk).try_into().unwrap(), Box::new(answer));
        }
    });
    child
}

/// Asks over the socket.
struct Socket(Mutex<UnixStream>);

impl ChunkRequests for Socket {
    fn request(&self, _: u64, chunk: usize) {
        self.0.lock().unwrap().write_all(&(chunk as u64).to_le_bytes()).unwrap();
    }
}

/// Not a test by itself: what a cell does when the test above starts this program again.
#[test]
fn cell() {
    let Ok(memory) = std::env::var(MEMORY) else { return };
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut lines = BufReader::new(socket.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let (entry, chunks): (EntryState, Vec<(u64, u32)>) = serde_json::from_str(&line).unwrap();
    let chunks = chunks.into_iter().map(|(first_page, pages)| Chunk { first_page, pages }).collect();
    let handler = Arc::new(FaultHandler::start(None, Box::new(Socket(Mutex::new(socket)))).unwrap());
    let paging = handler.memory(1, ChunkTable::checked(chunks).unwrap());
    let told = Arc::clone(&handler);
    std::thread::spawn(move || {
        let mut chunk = [0; 8];
        while lines.read_exact(&mut chunk).is_ok() {
            told.filled(1, u64::from_le_bytes(chunk).try_into().unwrap());
        }
    });
    let fd = OwnedFd::from(File::open(memory).unwrap());
    let memory = ParentMemory::from_lazy_fd(fd, None, paging).unwrap();
    let parent = Arc::new(Parent::new(memory, entry).unwrap());
    let (kvm, images) = (kvm(), images());
    for page in PAGES {
        let mut child = Machine::fork(&kvm, &parent, &images).unwrap();
        prepare(&mut child, &load(page));
        assert_eq!(number(&answer(&mut child)), expected(page), "page {page}");
        // What this cell's children write must not reach the other cell.
        child.mailbox().set_request(&request(&[FILL, PROGRAM_VA + page * PAGE, 8, 0xee])).unwrap();
        answer(&mut child);
        child.restore().unwrap();
    }
}
