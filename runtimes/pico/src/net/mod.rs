//! The network of a VM: a loopback interface, and the one connection the request arrives on, or pico's Runtime API.
//!
//! | module | what it knows |
//! |---|---|
//! | `address`, `options` | addresses and socket options as the program writes them |
//! | `socket` | a socket as an open file: its life from `socket` to `close` |
//! | `ports`, `unix` | who listens where: internet ports, names of Unix sockets |
//! | `datagram`, `packet` | datagram sockets, UDP and Unix; what the head of a datagram says |
//! | `link`, `unix_link` | connected ends: to the request, to the Runtime API, or to another Unix socket |
//! | `tcp`, `urgent` | the ends of TCP connections: resets, urgent data |
//! | `flow`, `channel`, `messages`, `budget` | what is buffered in between, and how much of it |
//! | `envelope`, `marks` | descriptors and credentials beside the bytes |
//! | `netlink` | what programs ask about interfaces |
//! | `pipe`, `fifo` | pipes, made of the same streams, and those that have names |

pub mod address;
pub mod budget;
pub mod channel;
pub mod datagram;
pub mod envelope;
pub mod fifo;
pub mod flow;
pub mod link;
pub mod marks;
pub mod messages;
pub mod netlink;
pub mod options;
pub mod packet;
pub mod pipe;
pub mod ports;
pub mod socket;
pub mod tcp;
pub mod unix;
pub mod unix_link;
pub mod urgent;

use crate::inbound;
use crate::inbound::api;
use crate::poll::epoll::WATCHES_MAX;
use abi::boot::Contract;
use address::{Address, LOCALHOST};
use alloc::rc::Rc;
use budget::Budget;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU64, Ordering};
use datagram::UdpPorts;
pub use envelope::Credentials;
use envelope::{Flight, Who};
use fifo::Fifos;
use linux_raw_sys::general::stat as Stat;
use ports::{Binding, Ports};
use unix::Names;

/// Most bytes that pipes and sockets buffer together.
pub const BUFFERED_MAX: usize = 1 << 20;

/// Everything sockets and pipes share.
pub struct Net {
    /// Who listens where.
    pub ports: Ports,
    /// UDP ports in use.
    pub udp: UdpPorts,
    /// UDP-Lite ports in use.
    pub udp_lite: UdpPorts,
    /// FIFOs that are open.
    pub fifos: Fifos,
    /// Names of Unix sockets.
    pub names: Names,
    /// Descriptors in messages.
    pub flight: Rc<Flight>,
    /// Whose credentials messages get: to be set when another process runs.
    pub who: Who,
    /// Limit of buffered bytes.
    pub budget: Budget,
    /// Limit of entries in epoll sets.
    pub watches: Budget,
    /// The request.
    pub inbound: inbound::Shared,
    /// Port the request arrives on, if the contract is HTTP.
    pub request_port: Option<u16>,
    /// What pico answers itself, if the contract is the Runtime API.
    pub api: Option<Api>,
}

/// The Runtime API and where it is.
pub struct Api {
    /// What answers.
    pub server: api::Shared,
    /// Its address, which nobody else can have.
    binding: Rc<Binding>,
}

impl Api {
    fn new(port: u16, ports: &mut Ports, inbound: &inbound::Shared) -> Option<Self> {
        let binding = ports.bind(Address { host: LOCALHOST, port }, false, false, false).ok()?;
        Some(Self { server: Rc::new(RefCell::new(api::Server::new(inbound.clone()))), binding })
    }

    /// Whether this is what answers at `address`.
    pub fn is_at(&self, address: Address) -> bool {
        self.binding.address == address
    }
}

impl Net {
    /// The network of a program of `contract` that listens on `port`.
    pub fn new(contract: Contract, port: u16, inbound: inbound::Shared) -> Self {
        let mut ports = Ports::default();
        let api = (contract == Contract::RuntimeApi).then(|| Api::new(port, &mut ports, &inbound)).flatten();
        Self {
            ports,
            udp: UdpPorts::default(),
            udp_lite: UdpPorts::default(),
            fifos: Fifos::default(),
            names: Names::default(),
            flight: Rc::default(),
            who: Rc::new(Cell::new(Credentials { pid: 1, uid: 0, gid: 0 })),
            api,
            budget: Budget::new(BUFFERED_MAX),
            watches: Budget::new(WATCHES_MAX),
            inbound,
            request_port: (contract == Contract::Http).then_some(port),
        }
    }
}

/// What fstat(2) tells about a file that has no place in the tree. `mode` is the type and the permissions.
pub(crate) fn anonymous_stat(mode: u32, inode: u64) -> Stat {
    Stat {
        st_dev: ANONYMOUS_DEVICE,
        st_ino: inode,
        st_nlink: 1,
        st_mode: mode,
        st_uid: 0,
        st_gid: 0,
        __pad0: 0,
        st_rdev: 0,
        st_size: 0,
        st_blksize: 4096,
        st_blocks: 0,
        st_atime: 0,
        st_atime_nsec: 0,
        st_mtime: 0,
        st_mtime_nsec: 0,
        st_ctime: 0,
        st_ctime_nsec: 0,
        __unused: [0; 3],
    }
}

/// Device number of files without a place in the tree.
const ANONYMOUS_DEVICE: u64 = 8;

/// An inode number nobody else has.
pub(crate) fn next_inode() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(1000);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

#[cfg(test)]
mod tests;
