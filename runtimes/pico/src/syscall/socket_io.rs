//! Sockets: sending and receiving bytes.

use super::held::buffer;
use super::socket::{as_socket, open_socket, put_name, sockaddr};
use super::unix::find_name;
use super::vectors::{Segment, gather, scatter};
use super::{Args, Entry, Support};
use crate::errno::{Errno, Result};
use crate::file::{File, OpenFile, Ready};
use crate::kernel::Kernel;
use crate::net::address::{Address, Family, Host, family_of};
use crate::net::datagram::Destination;
use crate::net::envelope::Envelope;
use crate::net::messages::Received;
use crate::net::socket::{BUFFER, Kind, Socket};
use crate::poll::block;
use crate::process::Info;
use linux_raw_sys::general as c;
use linux_raw_sys::net::{
    AF_INET, MSG_CMSG_CLOEXEC, MSG_CONFIRM, MSG_DONTROUTE, MSG_DONTWAIT, MSG_EOR, MSG_ERRQUEUE, MSG_MORE,
    MSG_NOSIGNAL, MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_WAITALL,
};

/// The family's rows.
pub const ENTRIES: &[Entry] = &[
    Entry { number: c::__NR_sendto, name: "sendto", support: TCP_OOB, handler: sendto },
    Entry { number: c::__NR_recvfrom, name: "recvfrom", support: TCP_OOB, handler: recvfrom },
];

const TCP_OOB: Support = Support::Partial("no out-of-band data of Unix sockets (`EOPNOTSUPP`)");

const RECEIVE_FLAGS: u32 =
    MSG_PEEK | MSG_DONTWAIT | MSG_WAITALL | MSG_TRUNC | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC;
const SEND_FLAGS: u32 = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_EOR | MSG_CONFIRM | MSG_DONTROUTE;

fn total(segments: &[Segment]) -> usize {
    segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.1))
}

fn sendto(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let name = if args.raw(4) == 0 { &[] } else { sockaddr(kernel, args, 4)? };
    let to = destination(kernel, as_socket(&open)?, name)?;
    let segments = [(args.raw(1), args.size(2))];
    send(kernel, &open, &segments, args.uint(3), to.as_ref(), &mut Envelope::default())
}

fn recvfrom(kernel: &mut Kernel, args: &Args) -> Result<u64> {
    let open = open_socket(kernel, args, 0)?;
    let (flags, mut envelope) = (args.uint(3), Envelope::default());
    let received = receive(kernel, &open, &[(args.raw(1), args.size(2))], flags, &mut envelope)?;
    if args.raw(4) != 0 {
        put_name(kernel, args, 4, envelope.from.as_deref().unwrap_or_default())?;
    }
    Ok(returned(received, flags) as u64)
}

/// Where a message to the `sockaddr` in `name` goes; nowhere special if it is empty, or if the socket is connected and
/// takes no notice of it.
pub(super) fn destination(kernel: &Kernel, socket: &Socket, name: &[u8]) -> Result<Option<Destination>> {
    if name.is_empty() {
        return Ok(None);
    }
    match (socket.family(), socket.kind()) {
        (Family::Unix, Kind::Datagram) => {
            let bound = find_name(kernel, name)?;
            let target = bound.endpoint.as_ref().ok_or(Errno::EPROTOTYPE)?.upgrade();
            Ok(Some(Destination::Unix(target.ok_or(Errno::ECONNREFUSED)?)))
        }
        // There is nobody but the kernel to send to.
        (Family::Netlink, _) => Ok(None),
        (Family::Unix, Kind::Stream) if socket.is_connected() => Err(Errno::EISCONN),
        (Family::Unix, Kind::Stream) => Err(Errno::EOPNOTSUPP),
        (family, Kind::Datagram) => {
            // An IPv6 socket sends to IPv4 addresses too.
            let v4 = family_of(name)? == AF_INET;
            let address = Address::parse(name, if v4 { Family::Inet } else { family })?;
            if address.port == 0 {
                return Err(Errno::EINVAL);
            }
            if address.host == Host::Outside {
                return Err(Errno::ENETUNREACH);
            }
            Ok(Some(Destination::Inet(address)))
        }
        _ => Ok(None),
    }
}

/// With `MSG_TRUNC` the caller wants to know how long the message was.
pub(super) fn returned(received: Received, flags: u32) -> usize {
    if flags & MSG_TRUNC != 0 { received.full } else { received.len }
}

/// Sends what the segments hold, with `envelope` beside it.
pub(super) fn send(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    to: Option<&Destination>,
    envelope: &mut Envelope,
) -> Result<u64> {
    let urgent = flags & MSG_OOB != 0;
    if flags & !(SEND_FLAGS | MSG_OOB) != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = as_socket(open)?;
    if urgent && (socket.has_messages() || socket.family() == Family::Unix) {
        return Err(Errno::EOPNOTSUPP);
    }
    let dont_wait = flags & MSG_DONTWAIT != 0;
    let result = if socket.has_messages() {
        if total(segments) > BUFFER {
            return Err(Errno::EMSGSIZE);
        }
        block(kernel, open, Ready::OUT, dont_wait, |kernel| {
            socket.send(&gather(kernel, segments, total(segments))?, to, envelope)
        })
    } else {
        send_stream(kernel, open, segments, flags, envelope)
    };
    if result == Err(Errno::EPIPE) && flags & MSG_NOSIGNAL == 0 && !socket.has_messages() {
        kernel.process.signals.send(Info::sent(c::SIGPIPE, 0))?;
    }
    result.map(|len| len as u64)
}

/// Sends everything; what there is room for if it may not wait, or is interrupted.
fn send_stream(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<usize> {
    let socket = as_socket(open)?;
    let dont_wait = flags & MSG_DONTWAIT != 0;
    let mut send = |bytes: &[u8]| {
        if flags & MSG_OOB != 0 { socket.send_urgent(bytes) } else { socket.send(bytes, None, envelope) }
    };
    let mut sent = 0;
    for &(base, len) in segments.iter().filter(|segment| segment.1 > 0) {
        let (bytes, mut done) = (kernel.mm.slice(base, len)?, 0);
        let result = block(kernel, open, Ready::OUT, dont_wait, |kernel| {
            loop {
                done += send(&bytes[done..])?;
                if done == len {
                    return Ok(());
                }
                if !kernel.make_room() {
                    break;
                }
            }
            kernel.threads.note_change();
            Err(Errno::EAGAIN)
        });
        sent += done;
        if result.is_err() {
            return if sent > 0 { Ok(sent) } else { result.map(|()| 0) };
        }
    }
    if sent == 0 {
        send(&[])?;
    }
    Ok(sent)
}

/// Receives into the segments, and into `envelope` what lies beside the data.
pub(super) fn receive(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    if flags & MSG_ERRQUEUE != 0 {
        return Err(Errno::EAGAIN);
    }
    if flags & !(RECEIVE_FLAGS | MSG_OOB) != 0 {
        return Err(Errno::EINVAL);
    }
    let socket = as_socket(open)?;
    if flags & MSG_OOB != 0 && !(socket.has_messages() && socket.family() != Family::Unix) {
        return receive_urgent(kernel, socket, segments, flags);
    }
    let peek = flags & MSG_PEEK != 0;
    // Of a stream with something beside the bytes, what belongs together is read at once.
    let together = socket.family() == Family::Unix && segments.len() > 1 && flags & MSG_WAITALL == 0;
    let stream = !socket.has_messages() && !peek && !together;
    envelope.from = socket.name_of_sender();
    match segments {
        _ if stream => receive_stream(kernel, open, segments, flags, envelope),
        &[(base, len)] => {
            let buf = kernel.mm.slice_mut(base, len)?;
            receive_once(kernel, open, buf, flags, envelope)
        }
        _ => {
            let len = total(segments).min(BUFFER);
            let (received, bytes) = block(kernel, open, Ready::IN, flags & MSG_DONTWAIT != 0, |_| {
                let mut bytes = buffer(len)?;
                let received = socket.receive(&mut bytes, peek, envelope)?;
                Ok((received, bytes))
            })?;
            scatter(kernel, segments, &bytes[..received.len])?;
            Ok(received)
        }
    }
}

/// Receives the urgent byte, if there is room for it.
fn receive_urgent(kernel: &Kernel, socket: &Socket, segments: &[Segment], flags: u32) -> Result<Received> {
    let byte = socket.receive_urgent(flags & MSG_PEEK != 0)?;
    let Some(&(base, _)) = segments.iter().find(|segment| segment.1 > 0) else {
        return Ok(Received { len: 0, full: 0 });
    };
    kernel.mm.write(base, &byte)?;
    Ok(Received { len: 1, full: 1 })
}

fn receive_once(
    kernel: &mut Kernel,
    open: &OpenFile,
    buf: &mut [u8],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    let (socket, peek) = (as_socket(open)?, flags & MSG_PEEK != 0);
    block(kernel, open, Ready::IN, flags & MSG_DONTWAIT != 0, |_| socket.receive(buf, peek, envelope))
}

/// Fills the segments with what there is, or with all there will be (`MSG_WAITALL`); waits at least for something.
fn receive_stream(
    kernel: &mut Kernel,
    open: &OpenFile,
    segments: &[Segment],
    flags: u32,
    envelope: &mut Envelope,
) -> Result<Received> {
    let mut done = 0;
    let whole = flags & MSG_WAITALL != 0;
    'all: for &(base, len) in segments {
        let mut rest = kernel.mm.slice_mut(base, len)?;
        while !rest.is_empty() {
            let flags = if done > 0 && !whole { flags | MSG_DONTWAIT } else { flags };
            match receive_more(kernel, open, rest, flags, envelope, done > 0) {
                Ok(Received { len: 0, .. }) => break 'all,
                Ok(Received { len, .. }) => {
                    done += len;
                    if len < rest.len() && !whole {
                        break 'all;
                    }
                    rest = &mut rest[len..];
                }
                Err(_) if done > 0 => break 'all,
                Err(errno) => return Err(errno),
            }
            // What lies beside the bytes is told with these bytes and no others.
            if !envelope.is_empty() {
                break 'all;
            }
        }
    }
    if total(segments) == 0 {
        receive_once(kernel, open, &mut [], flags | MSG_DONTWAIT, envelope).or_else(|errno| {
            if errno == Errno::EAGAIN { Ok(Received { len: 0, full: 0 }) } else { Err(errno) }
        })?;
    }
    Ok(Received { len: done, full: done })
}

/// Receives once. With `some` bytes received, an error is left for the next call, and no read goes on over urgent data.
fn receive_more(
    kernel: &mut Kernel,
    open: &OpenFile,
    buf: &mut [u8],
    flags: u32,
    envelope: &mut Envelope,
    some: bool,
) -> Result<Received> {
    let socket = as_socket(open)?;
    block(kernel, open, Ready::IN, flags & MSG_DONTWAIT != 0, |_| {
        if some && (socket.ready().contains(Ready::ERR) || socket.at_mark() == Ok(true)) {
            return Ok(Received { len: 0, full: 0 });
        }
        socket.receive(buf, false, envelope)
    })
}
