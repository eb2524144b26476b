//! Sockets: sending and receiving.

use super::socket::{as_socket, open_socket};
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::{OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::address::Family;
use crate::net::messages::Received;
use crate::net::socket::{BUFFER, Socket};
use crate::poll::block;
use crate::process::Info;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as c;
use linux_raw_sys::net::{
    MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_MORE,
    MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
};

const NO_CONTROL: Support = Support::Partial(
    "no control messages: sending some is `EOPNOTSUPP`, none are received; no out-of-band data",
);

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_sendto, name: "sendto", support: NO_OOB, handler: sendto },
    Entry { number: c::__NR_recvfrom, name: "recvfrom", support: NO_OOB, handler: recvfrom },
    Entry { number: c::__NR_sendmsg, name: "sendmsg", support: NO_CONTROL, handler: sendmsg },
    Entry { number: c::__NR_recvmsg, name: "recvmsg", support: NO_CONTROL, handler: recvmsg },
];

const NO_OOB: Support = Support::Partial("no out-of-band data");

/// Most segments of a message (`UIO_MAXIOV`).
const SEGMENTS_MAX: u64 = 1024;

const RECEIVE_FLAGS: u32 =
    MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;
const SEND_FLAGS: u32 = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE;

/// Part of the program's memory: address and length.
type Segment = (u64, usize);

fn total(segments: &[Segment]) -> usize {
    segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.1))
}

fn sendto(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    check_destination(as_socket(&open)?, args.raw(4))?;
    send(kernel, &open, &[(args.raw(1), args.size(2))], args.uint(3))
}

fn recvfrom(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let flags = args.uint(3);
    let received = receive(kernel, &open, &[(args.raw(1), args.size(2))], flags)?;
    if args.raw(4) != 0 {
        // Neither connections nor pairs tell who sent what.
        kernel.mm.write(args.raw(5), &0u32)?;
    }
    Ok(returned(received, flags) as u64)
}

/// The `msghdr` of sendmsg(2).
struct Header {
    name: u64,
    control_len: u64,
    segments: Vec<Segment>,
}

/// Offsets in a `msghdr`.
const NAME_LEN_AT: u64 = 8;
const CONTROL_LEN_AT: u64 = 40;
const FLAGS_AT: u64 = 48;

impl Header {
    fn read(kernel: &Kernel, addr: u64) -> Result<Self> {
        let [name, _, list, count, _, control_len, _]: [u64; 7] = kernel.mm.read(addr)?;
        if count > SEGMENTS_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let segment = |index: u64| {
            let [base, len]: [u64; 2] = kernel.mm.read(list.wrapping_add(index * 16))?;
            let len = usize::try_from(len).ok().filter(|&len| isize::try_from(len).is_ok());
            Ok((base, len.ok_or(Errno::EINVAL)?))
        };
        let segments: Vec<Segment> = (0..count).map(segment).collect::<Result<_>>()?;
        Ok(Self { name, control_len, segments })
    }
}

fn sendmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let header = Header::read(kernel, args.raw(1))?;
    if header.control_len != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    check_destination(as_socket(&open)?, header.name)?;
    send(kernel, &open, &header.segments, args.uint(2))
}

fn recvmsg(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let header = Header::read(kernel, args.raw(1))?;
    let flags = args.uint(2);
    let received = receive(kernel, &open, &header.segments, flags)?;
    let cut = if received.full > received.len { MSG_TRUNC } else { 0 };
    let at = |offset: u64| args.raw(1).wrapping_add(offset);
    kernel.mm.write(at(NAME_LEN_AT), &0u32)?;
    kernel.mm.write(at(CONTROL_LEN_AT), &0u64)?;
    kernel.mm.write(at(FLAGS_AT), &cut)?;
    Ok(returned(received, flags) as u64)
}

/// With `MSG_TRUNC` the caller wants to know how long the message was.
fn returned(received: Received, flags: u32) -> usize {
    if flags & MSG_TRUNC != 0 { received.full } else { received.len }
}

/// TCP ignores a destination; pairs are connected already.
fn check_destination(socket: &Socket, address: u64) -> Result<()> {
    if address != 0 && socket.family() == Family::Unix { Err(Errno::EISCONN) } else { Ok(()) }
}

fn send(kernel: &mut Kernel, open: &OpenFile, segments: &[Segment], flags: u32) -> Result<u64> {
    if flags & MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & !SEND_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = as_socket(open)?;
    let dont_wait = flags & MSG_DONTWAIT != 0;
    let result = if socket.has_messages() {
        send_message(kernel, open, segments, dont_wait)
    } else {
        send_stream(kernel, open, segments, dont_wait)
    };
    if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 {
        kernel.process.signals.send(Info::sent(c::SIGPIPE, 0))?;
    }
    result.map(|len| len as u64)
}

fn send_message(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    dont_wait: bool,
) -> Result<usize> {
    if total(segments) > BUFFER {
        return Err(Errno::EMSGSIZE);
    }
    let mut message = Vec::with_capacity(total(segments));
    for &(base, len) in segments {
        message.extend_from_slice(kernel.mm.slice(base, len)?);
    }
    block(kernel, open, Ready::OUT, dont_wait, |_| as_socket(open)?.send(&message))
}

/// Sends all there is room for; waits only if there is none at all.
fn send_stream(kernel: &mut Kernel, open: &OpenFile, segments: &[Segment], dont_wait: bool) -> Result<usize> {
    let mut sent = 0;
    for &(base, len) in segments {
        let mut rest = kernel.mm.slice(base, len)?;
        while !rest.is_empty() {
            let result =
                block(kernel, open, Ready::OUT, dont_wait || sent > 0, |_| as_socket(open)?.send(rest));
            match result {
                Ok(len) => {
                    sent += len;
                    rest = &rest[len..];
                }
                Err(_) if sent > 0 => return Ok(sent),
                Err(errno) => return Err(errno),
            }
        }
    }
    if sent == 0 {
        as_socket(open)?.send(&[])?;
    }
    Ok(sent)
}

fn receive(kernel: &mut Kernel, open: &OpenFile, segments: &[Segment], flags: u32) -> Result<Received> {
    if flags & MSG_ERRQUEUE != 0 {
        return Err(Errno::EAGAIN);
    }
    if flags & !RECEIVE_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let stream = !as_socket(open)?.has_messages();
    let peek = flags & MSG_PEEK != 0;
    match segments {
        _ if stream && !peek => receive_stream(kernel, open, segments, flags),
        &[(base, len)] => {
            let buf = kernel.mm.slice_mut(base, len)?;
            receive_once(kernel, open, buf, flags)
        }
        _ => {
            let mut buf = vec![0; total(segments).min(BUFFER)];
            let received = receive_once(kernel, open, &mut buf, flags)?;
            scatter(kernel, segments, &buf[..received.len])?;
            Ok(received)
        }
    }
}

fn receive_once(kernel: &mut Kernel, open: &OpenFile, buf: &mut [u8], flags: u32) -> Result<Received> {
    let peek = flags & MSG_PEEK != 0;
    block(kernel, open, Ready::IN, flags & MSG_DONTWAIT != 0, |_| as_socket(open)?.receive(buf, peek))
}

/// Fills the segments with what there is, or with all there will be (`MSG_WAITALL`); waits at least for something.
fn receive_stream(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
) -> Result<Received> {
    let mut done = 0;
    'all: for &(base, len) in segments {
        let mut rest = kernel.mm.slice_mut(base, len)?;
        while !rest.is_empty() {
            let flags = if done > 0 && flags & MSG_WAITALL == 0 { flags | MSG_DONTWAIT } else { flags };
            match receive_once(kernel, open, rest, flags) {
                Ok(Received { len: 0, .. }) => break 'all,
                Ok(Received { len, .. }) => {
                    done += len;
                    rest = &mut rest[len..];
                }
                Err(_) if done > 0 => break 'all,
                Err(errno) => return Err(errno),
            }
        }
    }
    if total(segments) == 0 {
        receive_once(kernel, open, &mut [], flags | MSG_DONTWAIT).or_else(|errno| {
            if errno == Errno::EAGAIN { Ok(Received { len: 0, full: 0 }) } else { Err(errno) }
        })?;
    }
    Ok(Received { len: done, full: done })
}

fn scatter(kernel: &Kernel, segments: &[Segment], mut bytes: &[u8]) -> Result<()> {
    for &(base, len) in segments {
        let (now, later) = bytes.split_at(len.min(bytes.len()));
        kernel.mm.slice_mut(base, now.len())?.copy_from_slice(now);
        bytes = later;
    }
    Ok(())
}
