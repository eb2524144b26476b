//! What a worker says to a shell: a request, and then what it goes on with, one message for each time the shell wants more.
//!
//! The shell may not want any more by the time a message arrives: what is left over is read and forgotten before the next
//! request.

use crate::feed::Kind as Goes;
use abi::console::STREAM_MAX;
use std::io::{self, Read};

/// Bytes before the payload.
pub(crate) const MESSAGE_PREFIX: usize = 8;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// A request, whole.
    Request = 0,
    /// A request whose body goes on.
    Body = 1,
    /// A request that asks for another protocol.
    Connection = 2,
    /// What a request goes on with; nothing is the end.
    Input = 3,
    /// The client has gone before the end.
    Gone = 4,
}

impl Kind {
    fn from_u32(number: u32) -> Option<Self> {
        [Self::Request, Self::Body, Self::Connection, Self::Input, Self::Gone]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }

    /// The kind of a request that goes on with this.
    pub(crate) fn of_request(goes_on: Option<Goes>) -> Self {
        match goes_on {
            None => Self::Request,
            Some(Goes::Body) => Self::Body,
            Some(Goes::Connection) => Self::Connection,
        }
    }

    /// Whether it begins a request.
    pub(crate) fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::Body | Self::Connection)
    }
}

/// The bytes before a payload of `len` bytes.
pub(crate) fn prefix(kind: Kind, len: usize) -> io::Result<[u8; MESSAGE_PREFIX]> {
    let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut prefix = [0; MESSAGE_PREFIX];
    prefix[..4].copy_from_slice(&len.to_le_bytes());
    prefix[4..].copy_from_slice(&(kind as u32).to_le_bytes());
    Ok(prefix)
}

/// The length of the message that `bytes` begin with, if all of it is there. One that [`read`] refuses is.
pub(crate) fn whole(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<MESSAGE_PREFIX>()?;
    let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
    let end = if len > STREAM_MAX { MESSAGE_PREFIX } else { MESSAGE_PREFIX + len };
    (bytes.len() >= end).then_some(end)
}

/// Reads a message; `None` when the worker closed the socket between messages.
pub(crate) fn read(socket: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut prefix = [0; MESSAGE_PREFIX];
    let mut have = 0;
    while have < prefix.len() {
        match socket.read(&mut prefix[have..]) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [len, kind] =
        [0, 4].map(|at| u32::from_le_bytes([prefix[at], prefix[at + 1], prefix[at + 2], prefix[at + 3]]));
    let kind = Kind::from_u32(kind).ok_or(io::ErrorKind::InvalidData)?;
    if !kind.is_request() && len as usize > STREAM_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = Vec::with_capacity((len as usize).min(STREAM_MAX));
    socket.take(len.into()).read_to_end(&mut payload)?;
    if payload.len() != len as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((kind, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: Kind, payload: &[u8]) -> Vec<u8> {
        [&prefix(kind, payload.len()).unwrap()[..], payload].concat()
    }

    #[test]
    fn messages_are_read_back() {
        for kind in [Kind::Request, Kind::Body, Kind::Connection, Kind::Input, Kind::Gone] {
            for payload in [&b""[..], b"payload"] {
                let read = read(&mut &message(kind, payload)[..]).unwrap().unwrap();
                assert_eq!(read, (kind, payload.to_vec()));
            }
        }
        assert!(read(&mut &b""[..]).unwrap().is_none());
        let one = message(Kind::Input, b"payload");
        assert!((0..one.len()).all(|len| whole(&one[..len]).is_none()));
        assert_eq!(whole(&[&one[..], b"more"].concat()), Some(one.len()));
        assert_eq!(
            whole(&prefix(Kind::Input, STREAM_MAX + 1).unwrap()),
            Some(MESSAGE_PREFIX),
            "it is refused"
        );
    }

    #[test]
    fn what_is_cut_off_too_long_or_unknown_is_an_error() {
        let whole = message(Kind::Input, b"payload");
        for len in 1..whole.len() {
            assert!(read(&mut &whole[..len]).is_err(), "{len}");
        }
        let mut unknown = message(Kind::Input, b"");
        unknown[4] = 5;
        assert!(read(&mut &unknown[..]).is_err());
        assert!(read(&mut &message(Kind::Input, &vec![0; STREAM_MAX])[..]).is_ok());
        assert!(read(&mut &message(Kind::Input, &vec![0; STREAM_MAX + 1])[..]).is_err());
        assert!(prefix(Kind::Request, usize::MAX).is_err());
    }
}
