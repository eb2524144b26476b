//! What a worker and a cell say to each other.
//!
//! Two kinds of sockets. The control socket (`SOCK_SEQPACKET`, the cell's standard input) carries [`Command`]s
//! with descriptors to the cell and [`Event`]s back, one a packet. Each shell has a stream socket of its own:
//!
//! ```text
//! worker -> cell   u32 length, u32 kind, payload (crate::message)
//! cell -> worker   u32 head length, u32 payload length, u32 log length, head (a Frame), payload, log
//! ```
//!
//! Numbers are little-endian; heads are postcard. Worker and cell are the same binary, so there is no version.

use crate::api::{Contract, StartKind};
use abi::refusal::Refusal;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, Write};

/// Most bytes of a packet on the control socket.
pub(crate) const PACKET_MAX: usize = 160 << 10;
/// Most bytes of a range in a working set: two offsets below 2^42, seven bits a byte.
const RANGE_BYTES_MAX: usize = 2 * 6;
const _: () =
    assert!(3 * abi::layout::RAM_MAX < 1 << 42, "no parent is larger: a base, what lies on it, copies");
const _: () = assert!(
    vmm::WorkingSet::RANGES_MAX * RANGE_BYTES_MAX + 64 <= PACKET_MAX,
    "`Event::Learnt` fits into a packet"
);
/// Most descriptors that come with a packet.
pub(crate) const DESCRIPTORS_MAX: usize = 5;
/// Most bytes of log that one packet or frame carries.
pub(crate) const LOG_CHUNK: usize = 64 << 10;
/// Most shells in one `Event::Usage`, so that it fits into a packet.
pub(crate) const USAGE_CHUNK: usize = 1024;
/// Most bytes of a frame's head.
pub(crate) const HEAD_MAX: usize = 64 << 10;

/// `message` as the bytes of one packet, if it fits.
pub(crate) fn packet(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let packet = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if packet.len() <= PACKET_MAX {
        return Ok(packet);
    }
    let why = format!("a packet of {} bytes; at most {PACKET_MAX} are possible", packet.len());
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

/// What the cell is to run. Comes with descriptors: KVM, root image, then those that
/// `package` and `start` name.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub ram_bytes: u64,
    pub contract: Contract,
    pub port: u16,
    /// Empty, as the environment is, if nothing is to be started with it.
    pub args: Vec<String>,
    pub env: Vec<String>,
    /// Whether the package image comes with it.
    pub package: bool,
    pub start: Start,
}

/// How the cell comes to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Start {
    /// It boots the program. `awaits_function`: what comes of it is a runtime parent.
    Boot { awaits_function: bool },
    /// It forks the runtime parent with this entry state, whose memory comes as a descriptor, and tells it this.
    Specialize { entry: Vec<u8>, document: Vec<u8> },
    /// It takes a parent that another cell built: its entry state here, as descriptors its runtime's memory if
    /// `based`, then its own.
    Take {
        entry: Vec<u8>,
        based: bool,
        /// First page and pages of every chunk, if its own memory is still being read.
        lazy: Option<Vec<(u64, u32)>>,
        /// What forks of it touch, if that is known.
        learnt: Option<vmm::WorkingSet>,
    },
}

/// Worker to cell.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The first command: build the parent.
    Setup(Setup),
    /// Stop building the parent; it took too long.
    AbortBuild,
    /// Make a shell that serves the socket that comes with this. `touched`: with its page faults behind it.
    AddShell { id: u32, touched: bool },
    /// End what this shell runs, and the shell.
    Kill { id: u32 },
    /// Report the memory of all shells.
    Usage,
    /// A chunk of the parent's memory is there, or why it cannot be had.
    Paged { chunk: usize, failed: Option<String> },
    /// All of the parent's memory is there.
    AllPaged,
}

/// Cell to worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Raw log records of the booting parent.
    BootLog(Vec<u8>),
    /// The parent is ready: its entry state, and as descriptor its memory.
    Built { entry: Vec<u8>, resident_bytes: u64, runtime_resident_bytes: u64, refusals: Vec<Refused> },
    /// There is no parent. `program`: it is the program's fault.
    Failed { program: bool, reason: String },
    /// A fork waits for this chunk of the parent's memory.
    Page { chunk: usize },
    /// What the first fork touched. Sent once, if it fits.
    Learnt(vmm::WorkingSet),
    /// Part of the answer to `Usage`.
    Usage(Vec<ShellUsage>),
    /// The answer to `Usage` is complete.
    UsageEnd,
}

/// Something that was refused, as [`abi::refusal::Refusal`] has it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub kind: u32,
    pub number: u32,
    pub argument: u32,
    pub value: u64,
    pub count: u32,
}

impl From<Refusal> for Refused {
    fn from(Refusal { kind, number, argument, count, value }: Refusal) -> Self {
        Self { kind, number, argument, value, count }
    }
}

impl From<Refused> for Refusal {
    fn from(Refused { kind, number, argument, value, count }: Refused) -> Self {
        Self { kind, number, argument, count, value }
    }
}

/// Memory of one shell.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ShellUsage {
    pub id: u32,
    pub address: u64,
    pub shared_bytes: u64,
    pub private_bytes: u64,
    pub pss_bytes: u64,
}

/// Head of what a shell says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// The shell can take a request: it has been made, or its VM has been mapped anew after `Done::again`.
    Ready,
    /// More log; the request still runs.
    Log,
    /// The payload is the next part of the response; the request still runs. An empty one says that only the end can follow.
    Part(Begun),
    /// The program wants more of its request. One message is the answer; until then this is not said again.
    Want,
    /// The request is over. Unless this says otherwise, the shell is gone.
    Done(Done),
    /// The shell is gone; the request that was sent to it, if any, was not begun.
    Gone(String),
}

/// What is known of a request once it has begun.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// How the VM that runs it came to be.
    pub start: StartKind,
    pub fork_ns: u64,
    /// Until now.
    pub run_ns: u64,
    pub instance: [u8; 16],
}

/// How a request ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub outcome: Outcome,
    pub begun: Begun,
    /// The shell takes the next request as soon as it is sent.
    pub kept: bool,
    /// The shell says `Frame::Ready` when it has been mapped anew.
    pub again: bool,
    pub memory_refused: bool,
    pub refusals: Vec<Refused>,
    pub log_dropped: u64,
}

/// What the guest did.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// Answered; the payload is the response, or what follows the parts of it.
    Response,
    /// The program exited.
    Exit(u8),
    /// A signal killed the program.
    Signal { number: u8, address: u64 },
    /// The response is over the limit.
    ResponseTooLarge,
    /// The worker asked for its end.
    Killed,
    /// The guest broke its kernel or the contract.
    Fault(String),
    /// The request does not fit into the mailbox.
    RequestTooLarge,
    /// The host side failed.
    Platform(String),
}

/// Bytes before the head of a frame.
pub(crate) const FRAME_PREFIX: usize = 12;

/// Lengths of the three parts of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameLengths {
    pub head: usize,
    pub payload: usize,
    pub log: usize,
}

impl FrameLengths {
    /// Decodes and checks a prefix.
    pub(crate) fn parse(prefix: &[u8; FRAME_PREFIX]) -> io::Result<Self> {
        let part = |at: usize| {
            let bytes = [prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]];
            usize::try_from(u32::from_le_bytes(bytes)).map_err(io::Error::other)
        };
        let lengths = Self { head: part(0)?, payload: part(4)?, log: part(8)? };
        let response_max = usize::try_from(abi::mailbox::RESPONSE_MAX).map_err(io::Error::other)?;
        let log_max = usize::try_from(abi::mailbox::LOG_SIZE).map_err(io::Error::other)?;
        if lengths.head > HEAD_MAX || lengths.payload > response_max || lengths.log > log_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a cell sent a frame that is too large"));
        }
        Ok(lengths)
    }

    /// Bytes of the whole frame after the prefix.
    pub(crate) fn total(&self) -> usize {
        self.head + self.payload + self.log
    }
}

/// Writes one frame.
pub(crate) fn write_frame(
    socket: &mut impl Write,
    frame: &Frame,
    payload: &[u8],
    log: &[u8],
) -> io::Result<()> {
    let head = postcard::to_stdvec(frame).map_err(io::Error::other)?;
    let mut prefix = [0; FRAME_PREFIX];
    for (place, len) in prefix.chunks_exact_mut(4).zip([head.len(), payload.len(), log.len()]) {
        place.copy_from_slice(&u32::try_from(len).map_err(io::Error::other)?.to_le_bytes());
    }
    write_parts(socket, &mut [&prefix[..], &head, payload, log].map(IoSlice::new))
}

/// Writes all parts, in one call if the socket takes that much.
fn write_parts(socket: &mut impl Write, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match socket.write_vectored(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut parts, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_working_set_fits_into_a_packet() {
        let page = usize::try_from(abi::layout::PAGE).unwrap();
        let end = usize::try_from(3 * abi::layout::RAM_MAX).unwrap();
        let ranges =
            |count| Some((1..=count).map(|at| end - 2 * at * page..end - (2 * at - 1) * page).collect());
        let most = vmm::WorkingSet { written: ranges(0), touched: ranges(vmm::WorkingSet::RANGES_MAX) };
        assert!(packet(&Event::Learnt(most)).is_ok());
    }

    /// Takes a few bytes at a time.
    struct Narrow(Vec<u8>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(3);
            self.0.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn frames_are_whole_however_little_the_socket_takes() {
        for (payload, log) in [(&b"payload"[..], &b"log"[..]), (b"", b"log"), (b"payload", b""), (b"", b"")] {
            let mut socket = Narrow(Vec::new());
            write_frame(&mut socket, &Frame::Log, payload, log).unwrap();
            let (prefix, rest) = socket.0.split_at(FRAME_PREFIX);
            let lengths = FrameLengths::parse(prefix.try_into().unwrap()).unwrap();
            assert_eq!(
                (lengths.payload, lengths.log, lengths.total()),
                (payload.len(), log.len(), rest.len())
            );
            assert_eq!(&rest[lengths.head..], [payload, log].concat());
            assert!(matches!(postcard::from_bytes(&rest[..lengths.head]), Ok(Frame::Log)));
        }
    }

    #[test]
    fn frames_of_impossible_length_are_refused() {
        for part in 0..3 {
            let mut prefix = [0; FRAME_PREFIX];
            prefix[4 * part..4 * part + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert!(FrameLengths::parse(&prefix).is_err());
        }
    }
}
