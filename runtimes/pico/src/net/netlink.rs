//! Netlink: what rtnetlink(7) tells of the loopback interface and its addresses. Nothing can be changed.

use super::budget::Budget;
use super::envelope::Envelope;
use super::flow::Way;
use super::messages::{Messages, Received};
use super::packet::LOOPBACK;
use super::socket::BUFFER;
use crate::errno::{Errno, Result};
use crate::file::Ready;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::net::{AF_INET, AF_INET6, AF_NETLINK, AF_UNSPEC};

/// The one protocol: `NETLINK_ROUTE`.
pub const ROUTE: u32 = 0;
/// Bytes of a `nlmsghdr`.
const HEADER: usize = 16;
/// Bytes of a `sockaddr_nl`.
const NAME: usize = 12;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_DUMP: u16 = 0x300;

const ARPHRD_LOOPBACK: u16 = 772;
/// `IFF_UP`, `IFF_LOOPBACK`, `IFF_RUNNING`, `IFF_LOWER_UP`.
const LINK_FLAGS: u32 = 0x1_0049;
const MTU: u32 = 65_536;
const IFLA_ADDRESS: u16 = 1;
const IFLA_BROADCAST: u16 = 2;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_LABEL: u16 = 3;
const IFA_FLAGS: u16 = 8;
const IFA_F_PERMANENT: u8 = 0x80;
const RT_SCOPE_HOST: u8 = 254;

/// A netlink socket: the answers it has not received yet.
pub struct Netlink {
    answers: Messages,
    /// Its number, once it has one.
    port: Cell<u32>,
}

/// The head of a request.
struct Request {
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u32,
}

/// A `sockaddr_nl`.
fn name(port: u32) -> [u8; NAME] {
    let mut bytes = [0; NAME];
    bytes[..2].copy_from_slice(&u16::try_from(AF_NETLINK).expect("a small number").to_ne_bytes());
    bytes[4..8].copy_from_slice(&port.to_ne_bytes());
    bytes
}

/// The port in a `sockaddr_nl`.
fn port_of(bytes: &[u8]) -> Result<u32> {
    let bytes: &[u8; NAME] = bytes.first_chunk().ok_or(Errno::EINVAL)?;
    if u32::from(u16::from_ne_bytes([bytes[0], bytes[1]])) != AF_NETLINK {
        return Err(Errno::EINVAL);
    }
    Ok(u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))
}

/// Adds an attribute, padded to 4 bytes.
fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(4 + value.len()).expect("attributes are short");
    message.extend([len.to_ne_bytes(), kind.to_ne_bytes()].concat());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn link() -> Vec<u8> {
    let mut body = [0, 0].to_vec();
    body.extend(ARPHRD_LOOPBACK.to_ne_bytes());
    body.extend([LOOPBACK.to_ne_bytes(), LINK_FLAGS.to_ne_bytes(), [0; 4]].concat());
    attribute(&mut body, IFLA_IFNAME, b"lo\0");
    attribute(&mut body, IFLA_MTU, &MTU.to_ne_bytes());
    attribute(&mut body, IFLA_ADDRESS, &[0; 6]);
    attribute(&mut body, IFLA_BROADCAST, &[0; 6]);
    body
}

fn address(family: u32, prefix: u8, octets: &[u8]) -> Vec<u8> {
    let family = u8::try_from(family).expect("a small number");
    let mut body = [family, prefix, IFA_F_PERMANENT, RT_SCOPE_HOST].to_vec();
    body.extend(LOOPBACK.to_ne_bytes());
    attribute(&mut body, IFA_ADDRESS, octets);
    if octets.len() == 4 {
        attribute(&mut body, IFA_LOCAL, octets);
        attribute(&mut body, IFA_LABEL, b"lo\0");
    }
    attribute(&mut body, IFA_FLAGS, &u32::from(IFA_F_PERMANENT).to_ne_bytes());
    body
}

impl Request {
    /// Reads the first request in `bytes`, and says where the next one is.
    fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let head: &[u8; HEADER] = bytes.first_chunk()?;
        let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let len = usize::try_from(word(0)).ok().filter(|len| (HEADER..=bytes.len()).contains(len))?;
        let family = bytes[..len].get(HEADER).copied().unwrap_or(0);
        let request = Self { kind: half(4), flags: half(6), sequence: word(8), family: family.into() };
        Some((request, len.next_multiple_of(4)))
    }

    /// A message of the kernel's.
    fn answer(&self, kind: u16, flags: u16, port: u32, body: &[u8]) -> Vec<u8> {
        let len = u32::try_from(HEADER + body.len()).expect("answers are short");
        let mut message = len.to_ne_bytes().to_vec();
        message.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        message.extend([self.sequence.to_ne_bytes(), port.to_ne_bytes()].concat());
        message.extend(body);
        message
    }

    /// What is told of the interface, if that is what is asked for.
    fn entries(&self) -> Option<(u16, Vec<Vec<u8>>)> {
        let wants = |family| self.family == AF_UNSPEC || self.family == family;
        match self.kind {
            _ if self.flags & NLM_F_DUMP != NLM_F_DUMP => None,
            RTM_GETLINK => Some((RTM_NEWLINK, [link()].into())),
            RTM_GETADDR => {
                let v4 = wants(AF_INET).then(|| address(AF_INET, 8, &[127, 0, 0, 1]));
                let octets = core::net::Ipv6Addr::LOCALHOST.octets();
                let v6 = wants(AF_INET6).then(|| address(AF_INET6, 128, &octets));
                Some((RTM_NEWADDR, v4.into_iter().chain(v6).collect()))
            }
            _ => None,
        }
    }
}

impl Netlink {
    /// A socket without a port.
    pub fn new(budget: Budget) -> Self {
        Self { answers: Messages::new(BUFFER, budget), port: Cell::new(0) }
    }

    /// Takes the port in a `sockaddr_nl`, or `own` if it names none.
    pub fn bind(&self, bytes: &[u8], own: u32) -> Result<()> {
        let wanted = port_of(bytes)?;
        if self.port.get() != 0 && wanted != self.port.get() {
            return Err(Errno::EINVAL);
        }
        self.port.set(if wanted == 0 { own } else { wanted });
        Ok(())
    }

    /// Its `sockaddr_nl`.
    pub fn name(&self) -> Vec<u8> {
        name(self.port.get()).to_vec()
    }

    /// Takes requests and queues their answers: `ENOBUFS` if there is no room for them.
    pub fn send(&self, bytes: &[u8], own: u32) -> Result<usize> {
        if self.port.get() == 0 {
            self.port.set(own);
        }
        let mut rest = bytes;
        while let Some((request, len)) = Request::read(rest) {
            rest = rest.get(len..).unwrap_or_default();
            if request.flags & NLM_F_REQUEST != 0 && request.kind >= RTM_NEWLINK {
                self.answer(&request)?;
            }
        }
        Ok(bytes.len())
    }

    fn answer(&self, request: &Request) -> Result<()> {
        let port = self.port.get();
        let Some((kind, entries)) = request.entries() else {
            let code = -i32::from(Errno::EOPNOTSUPP.0);
            let head = request.answer(request.kind, request.flags, 0, &[]);
            return self.queue(&request.answer(
                NLMSG_ERROR,
                0,
                port,
                &[&code.to_ne_bytes()[..], &head].concat(),
            ));
        };
        let told: Vec<u8> =
            entries.iter().flat_map(|body| request.answer(kind, NLM_F_MULTI, port, body)).collect();
        if !told.is_empty() {
            self.queue(&told)?;
        }
        self.queue(&request.answer(NLMSG_DONE, NLM_F_MULTI, port, &[0; 4]))
    }

    fn queue(&self, message: &[u8]) -> Result<()> {
        let mut envelope = Envelope { from: Some(Rc::from(&name(0)[..])), ..Envelope::default() };
        self.answers.send(message, &mut envelope).map(|_| ()).map_err(|_| Errno::ENOBUFS)
    }

    /// Receives the next answer.
    pub fn receive(&self, buf: &mut [u8], peek: bool, envelope: &mut Envelope) -> Result<Received> {
        self.answers.receive(buf, peek, envelope)
    }

    /// Readiness now.
    pub fn ready(&self) -> Ready {
        if self.answers.readable() { Ready::IN | Ready::OUT } else { Ready::OUT }
    }

    /// See [`crate::file::File::activity`].
    pub fn activity(&self) -> u64 {
        self.answers.flow().read_activity()
    }

    /// Bytes of the next answer.
    pub fn pending(&self) -> usize {
        self.answers.pending()
    }
}
