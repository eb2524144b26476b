//! What the measuring process and its helpers say to each other, over the helper's standard input and output.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use vmm::EntryState;

/// Longest message, in bytes. An entry state has about 6 KiB, a batch of times about 1 KiB.
const MESSAGE_MAX: u32 = 8 << 20;

/// The first message to a helper: what to fork. Files are opened from the sender's `/proc/PID/fd`.
#[derive(Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) kvm: PathBuf,
    pub(super) memory: PathBuf,
    pub(super) root: PathBuf,
    pub(super) package: PathBuf,
    pub(super) entry: Box<EntryState>,
    pub(super) request: Vec<u8>,
    pub(super) answer: Vec<u8>,
}

/// Every later message to a helper.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// Fork so many more children.
    Fork(u32),
    /// Say what you use.
    Measure,
}

/// What a helper says. `Ready` once, then one answer to every order.
#[derive(Serialize, Deserialize)]
pub(super) enum Answer {
    /// It can fork now.
    Ready,
    /// How long each child took until it had answered, in nanoseconds, and why there are not more of them.
    Forked { times: Vec<u64>, stopped: Option<String> },
    /// What the helper uses.
    Used(Usage),
    /// It could not be set up.
    Failed(String),
}

/// What a helper uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Usage {
    /// Anonymous memory.
    pub(super) anonymous: u64,
    /// Proportional set size.
    pub(super) pss: u64,
    /// Its part of what is shared: proportional set size of files and of the parent's memory.
    pub(super) pss_shared: u64,
    /// Resident memory that others map too, counted in full.
    pub(super) shared: u64,
    pub(super) threads: u64,
    pub(super) open_files: u64,
}

/// Writes one message.
pub(super) fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Reads one message; `None` at the end.
pub(super) fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    match from.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let len = u32::from_le_bytes(len);
    if len > MESSAGE_MAX {
        return Err(io::Error::other(format!("a message of {len} bytes")));
    }
    let mut bytes = vec![0; len as usize];
    from.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_and_the_end_is_seen() {
        let mut pipe = Vec::new();
        write(&mut pipe, &Order::Fork(7)).unwrap();
        write(&mut pipe, &Answer::Failed("why".to_owned())).unwrap();
        let mut rest = &pipe[..];
        assert!(matches!(read(&mut rest), Ok(Some(Order::Fork(7)))));
        assert!(matches!(read(&mut rest), Ok(Some(Answer::Failed(why))) if why == "why"));
        assert!(matches!(read::<Order>(&mut rest), Ok(None)));
    }

    #[test]
    fn impossible_messages_are_refused() {
        assert!(read::<Order>(&mut &u32::MAX.to_le_bytes()[..]).is_err());
        assert!(read::<Order>(&mut &[9, 0, 0, 0, 1][..]).is_err());
        assert!(read::<Order>(&mut &[1, 0, 0, 0, 9][..]).is_err());
    }
}
