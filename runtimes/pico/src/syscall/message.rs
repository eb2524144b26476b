//! Sockets: sending and receiving messages with addresses and control messages.

use super::control::{self, Room};
use super::held::Held;
use super::path::{full, partial};
use super::socket::{as_socket, open_socket};
use super::socket_io::{destination, receive, returned, send};
use super::vectors::Segment;
use super::{Args, Entry};
use crate::errno::{Errno, Result};
use crate::file::OpenFile;
use crate::kernel::Kernel;
use crate::net::envelope::Envelope;
use alloc::rc::Rc;
use alloc::vec::Vec;
use linux_raw_sys::general as c;
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_TRUNC};

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    partial(c::__NR_sendmsg, "sendmsg", sendmsg, CONTROL),
    partial(c::__NR_recvmsg, "recvmsg", recvmsg, CONTROL),
    full(c::__NR_sendmmsg, "sendmmsg", sendmmsg),
    full(c::__NR_recvmmsg, "recvmmsg", recvmmsg),
];

const CONTROL: &str = "control messages are `SCM_RIGHTS`, `SCM_CREDENTIALS` and, of UDP, `IP_PKTINFO`, `IP_TTL`, `IP_TOS` and their IPv6 twins (others `EINVAL`); 1024 descriptors can \
     be in flight (`ETOOMANYREFS`), those of sockets that carry each other count for ever; no out-of-band data of Unix sockets";

/// Most segments of a message (`UIO_MAXIOV`).
const SEGMENTS_MAX: u64 = 1024;
/// Bytes of the largest `sockaddr`.
const ADDRESS_MAX: usize = 128;

/// Offsets in a `msghdr`, and in a `mmsghdr` behind it.
const NAME_LEN_AT: u64 = 8;
const CONTROL_LEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;
const SENT_AT: u64 = 56;
/// recvmmsg(2): waits for the first message only.
const MSG_WAITFORONE: u32 = 0x10000;
/// Bytes of a `mmsghdr`.
const MANY_SIZE: u64 = 64;
/// Most messages of one call.
const MANY_MAX: u32 = 1024;

/// The `msghdr` of sendmsg(2).
struct Header {
    addr: u64,
    name: u64,
    name_len: usize,
    control: u64,
    control_len: u64,
    segments: Vec<Segment>,
    _held: Held,
}

impl Header {
    fn read(kernel: &Kernel, addr: u64) -> Result<Self> {
        let [name, name_len, list, count, control, control_len, _]: [u64; 7] = kernel.mm.read(addr)?;
        let bytes = name_len.to_le_bytes();
        let name_len = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let name_len = usize::try_from(name_len).map_err(|_| Errno::EINVAL)?.min(ADDRESS_MAX);
        if count > SEGMENTS_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let held = kernel.hold(usize::try_from(count).unwrap_or(0) * size_of::<Segment>())?;
        let segment = |index: u64| {
            let [base, len]: [u64; 2] = kernel.mm.read(list.wrapping_add(index * 16))?;
            let len = usize::try_from(len).ok().filter(|&len| isize::try_from(len).is_ok());
            Ok((base, len.ok_or(Errno::EINVAL)?))
        };
        let segments: Vec<Segment> = (0..count).map(segment).collect::<Result<_>>()?;
        Ok(Self { addr, name, name_len, control, control_len, segments, _held: held })
    }
}

fn sendmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    send_one(kernel, &open, args.raw(1), args.uint(2))
}

fn send_one(kernel: &mut Kernel, open: &Rc<OpenFile>, addr: u64, flags: u32) -> Result<u64> {
    let header = Header::read(kernel, addr)?;
    let socket = as_socket(open)?;
    let name = if header.name == 0 { &[] } else { kernel.mm.slice(header.name, header.name_len)? };
    let len = usize::try_from(header.control_len).map_err(|_| Errno::ENOBUFS)?;
    let mut envelope = control::read(kernel, header.control, len, socket)?;
    let to = destination(kernel, socket, name)?;
    send(kernel, open, &header.segments, flags, to.as_ref(), &mut envelope)
}

fn recvmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    receive_one(kernel, &open, args.raw(1), args.uint(2))
}

fn receive_one(kernel: &mut Kernel, open: &Rc<OpenFile>, addr: u64, flags: u32) -> Result<u64> {
    let header = Header::read(kernel, addr)?;
    let mut envelope = Envelope::default();
    let received = receive(kernel, open, &header.segments, flags, &mut envelope)?;
    let mut room = Room::new(header.control, header.control_len);
    let close_on_exec = flags & MSG_CMSG_CLOEXEC;
    let wanted = as_socket(open)?.passes_credentials();
    for (level, kind, data) in as_socket(open)?.told_of(&envelope.packet) {
        room.put(kernel, level, kind, &data)?;
    }
    room.deliver(kernel, &envelope, wanted, close_on_exec != 0)?;
    if header.name != 0 {
        put_name(kernel, &header, envelope.from.as_deref().unwrap_or_default())?;
    }
    let cut = if received.full > received.len { MSG_TRUNC } else { 0 };
    kernel.mm.write(header.addr.wrapping_add(CONTROL_LEN_AT), &room.used())?;
    kernel.mm.write(header.addr.wrapping_add(FLAGS_AT), &(cut | room.flags | close_on_exec))?;
    Ok(returned(received, flags) as u64)
}

fn put_name(kernel: &Kernel, header: &Header, name: &[u8]) -> Result<()> {
    let shown = name.len().min(header.name_len);
    kernel.mm.slice_mut(header.name, shown)?.copy_from_slice(&name[..shown]);
    let len = u32::try_from(name.len()).expect("a name is short");
    kernel.mm.write(header.addr.wrapping_add(NAME_LEN_AT), &len)
}

/// Does `one` for up to `count` headers at `addr`, and tells each how many bytes it moved. An error behind the first
/// message is not told: the next call meets it again.
fn many(
    kernel: &mut Kernel,
    addr: u64,
    count: u32,
    mut one: impl FnMut(&mut Kernel, u64, u64) -> Result<u64>,
) -> Result<u64> {
    for done in 0..u64::from(count.min(MANY_MAX)) {
        let at = addr.wrapping_add(done * MANY_SIZE);
        let result = one(kernel, at, done).and_then(|len| {
            kernel.mm.write(at.wrapping_add(SENT_AT), &u32::try_from(len).unwrap_or(u32::MAX))
        });
        match result {
            Ok(()) => {}
            Err(_) if done > 0 => return Ok(done),
            Err(errno) => return Err(errno),
        }
    }
    Ok(count.min(MANY_MAX).into())
}

fn sendmmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let flags = args.uint(3);
    many(kernel, args.raw(1), args.uint(2), |kernel, at, _| send_one(kernel, &open, at, flags))
}

/// The timeout is looked at, as on Linux, after each message only.
fn recvmmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let flags = args.uint(3);
    let deadline = match args.raw(4) {
        0 => None,
        addr => Some(kernel.now().saturating_add(timeout(kernel, addr)?)),
    };
    many(kernel, args.raw(1), args.uint(2), |kernel, at, done| {
        if done > 0 && deadline.is_some_and(|deadline| deadline <= kernel.now()) {
            return Err(Errno::EAGAIN);
        }
        let flags = if done > 0 && flags & MSG_WAITFORONE != 0 { flags | MSG_DONTWAIT } else { flags };
        receive_one(kernel, &open, at, flags & !MSG_WAITFORONE)
    })
}

/// The `timespec` at `addr` in ns.
fn timeout(kernel: &Kernel, addr: u64) -> Result<u64> {
    let [seconds, nanoseconds]: [i64; 2] = kernel.mm.read(addr)?;
    let seconds = u64::try_from(seconds).map_err(|_| Errno::EINVAL)?;
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|&ns| ns < 1_000_000_000);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds.ok_or(Errno::EINVAL)?))
}
