//! Names of Unix sockets: unix(7).

use super::datagram::Endpoint;
use super::envelope::Credentials;
use super::link::Link;
use super::ports::BACKLOG_MAX;
use super::socket::Kind;
use crate::errno::{Errno, Result};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use linux_raw_sys::net::AF_UNIX;

/// Bytes of a `sockaddr_un`.
const ADDRESS_MAX: usize = 110;
/// Most connections that wait to be accepted in the whole VM.
const WAITING_MAX: usize = 1024;

/// A name as a program writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// None: one is to be found.
    Any,
    /// In no directory.
    Abstract(Vec<u8>),
    /// A path.
    Path(Vec<u8>),
}

impl Name {
    /// Reads a `sockaddr_un`.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > ADDRESS_MAX || super::address::family_of(bytes)? != AF_UNIX {
            return Err(Errno::EINVAL);
        }
        Ok(match bytes[2..] {
            [] => Self::Any,
            [0, ..] => Self::Abstract(bytes[2..].to_vec()),
            _ => Self::Path(bytes[2..].split(|&byte| byte == 0).next().unwrap_or_default().to_vec()),
        })
    }
}

/// The `sockaddr_un` of a name: paths end with a NUL.
fn encode(name: &[u8], end: &[u8]) -> Rc<[u8]> {
    let family = u16::try_from(AF_UNIX).expect("a small number").to_le_bytes();
    [&family, name, end].concat().into()
}

/// The `sockaddr_un` of a socket without a name.
pub fn unnamed() -> Rc<[u8]> {
    encode(b"", b"")
}

/// What a name stands for. It is free again (a path: nobody's) when the last holder drops it.
pub struct Bound {
    /// The name as a `sockaddr_un`.
    pub name: Rc<[u8]>,
    /// Type of the socket that has it.
    pub kind: Kind,
    /// Where datagrams go.
    pub endpoint: Option<Weak<Endpoint>>,
    queue: RefCell<Option<Queue>>,
    activity: Cell<u64>,
    credentials: Cell<Credentials>,
}

struct Queue {
    limit: usize,
    waiting: VecDeque<Incoming>,
}

/// A connection as the accepting side gets it.
pub struct Incoming {
    /// Its end.
    pub link: Box<dyn Link>,
    /// Who connected.
    pub credentials: Credentials,
    /// The name of who connected.
    pub peer: Option<Rc<[u8]>>,
}

impl Bound {
    /// Starts listening, or changes how many connections may wait; `credentials` are those of who listens.
    pub fn listen(&self, backlog: usize, credentials: Credentials) {
        let limit = backlog.min(BACKLOG_MAX) + 1;
        let mut queue = self.queue.borrow_mut();
        let waiting = queue.take().map(|queue| queue.waiting).unwrap_or_default();
        *queue = Some(Queue { limit, waiting });
        self.credentials.set(credentials);
    }

    /// Stops listening; waiting connections are closed.
    pub fn stop_listening(&self) {
        let queue = self.queue.take();
        drop(queue);
    }

    /// Who listens.
    pub fn credentials(&self) -> Credentials {
        self.credentials.get()
    }

    /// Whether a connection is taken now: `ECONNREFUSED` if nobody listens, `EAGAIN` if too many wait.
    pub fn check_room(&self) -> Result<()> {
        let queue = self.queue.borrow();
        let queue = queue.as_ref().ok_or(Errno::ECONNREFUSED)?;
        if queue.waiting.len() >= queue.limit { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// A connection arrives.
    pub fn push(&self, incoming: Incoming) -> Result<()> {
        self.queue.borrow_mut().as_mut().ok_or(Errno::ECONNREFUSED)?.waiting.push_back(incoming);
        self.activity.set(self.activity.get() + 1);
        Ok(())
    }

    /// The connection that waits longest.
    pub fn accept(&self) -> Option<Incoming> {
        self.queue.borrow_mut().as_mut()?.waiting.pop_front()
    }

    /// Connections that wait.
    pub fn waiting(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.waiting.len())
    }

    /// Changes when a connection arrives.
    pub fn activity(&self) -> u64 {
        self.activity.get()
    }
}

/// File system and number of a socket's inode.
pub type Place = (u64, u64);

/// All names in use.
#[derive(Default)]
pub struct Names {
    abstracts: BTreeMap<Vec<u8>, Weak<Bound>>,
    paths: BTreeMap<Place, Weak<Bound>>,
    last_auto: u32,
}

impl Names {
    fn forget_dead(&mut self) {
        self.abstracts.retain(|_, bound| bound.strong_count() > 0);
        self.paths.retain(|_, bound| bound.strong_count() > 0);
    }

    /// Takes an abstract name.
    pub fn bind_abstract(
        &mut self,
        name: &[u8],
        kind: Kind,
        endpoint: Option<&Rc<Endpoint>>,
    ) -> Result<Rc<Bound>> {
        self.forget_dead();
        if self.abstracts.contains_key(name) {
            return Err(Errno::EADDRINUSE);
        }
        let bound = bound(encode(name, b""), kind, endpoint);
        self.abstracts.insert(name.to_vec(), Rc::downgrade(&bound));
        Ok(bound)
    }

    /// Takes an abstract name nobody has: five digits, as on Linux.
    pub fn bind_any(&mut self, kind: Kind, endpoint: Option<&Rc<Endpoint>>) -> Result<Rc<Bound>> {
        for _ in 0..=0xf_ffff {
            self.last_auto = (self.last_auto + 1) & 0xf_ffff;
            let name = format!("\0{:05x}", self.last_auto);
            match self.bind_abstract(name.as_bytes(), kind, endpoint) {
                Err(Errno::EADDRINUSE) => {}
                result => return result,
            }
        }
        Err(Errno::ENOSPC)
    }

    /// The inode at `place` was made for a socket at `path`.
    pub fn bind_path(
        &mut self,
        place: Place,
        path: &[u8],
        kind: Kind,
        endpoint: Option<&Rc<Endpoint>>,
    ) -> Rc<Bound> {
        self.forget_dead();
        let bound = bound(encode(path, b"\0"), kind, endpoint);
        self.paths.insert(place, Rc::downgrade(&bound));
        bound
    }

    /// Who has an abstract name, else `ECONNREFUSED`.
    pub fn find_abstract(&self, name: &[u8]) -> Result<Rc<Bound>> {
        self.abstracts.get(name).and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)
    }

    /// Whose inode is at `place`, else `ECONNREFUSED`.
    pub fn find_path(&self, place: Place) -> Result<Rc<Bound>> {
        self.paths.get(&place).and_then(Weak::upgrade).ok_or(Errno::ECONNREFUSED)
    }

    /// Whether one more connection may wait in the VM.
    pub fn has_room(&self) -> bool {
        let live = self.abstracts.values().chain(self.paths.values()).filter_map(Weak::upgrade);
        live.map(|bound| bound.waiting()).sum::<usize>() < WAITING_MAX
    }
}

fn bound(name: Rc<[u8]>, kind: Kind, endpoint: Option<&Rc<Endpoint>>) -> Rc<Bound> {
    Rc::new(Bound {
        name,
        kind,
        endpoint: endpoint.map(Rc::downgrade),
        queue: RefCell::new(None),
        activity: Cell::new(0),
        credentials: Cell::new(Credentials::NONE),
    })
}
