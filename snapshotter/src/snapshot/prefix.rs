//! The first 64 bytes of a manifest: enough to say what a file is, and whether it is whole, without decoding it.

use super::digest::Digest;
use super::error::Refused;
use super::limits::{BODY_BYTES_MAX, FORMAT_VERSION, MAGIC};
use super::manifest::Kind;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian};

/// Bytes of the prefix.
pub const PREFIX_BYTES: usize = 64;

/// The prefix, as it lies in the file. All numbers are little-endian.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Prefix {
    pub(crate) magic: [u8; 8],
    pub(crate) version: little_endian::U32,
    /// Bits 0 to 7: the kind. The others are 0.
    pub(crate) flags: little_endian::U32,
    pub(crate) total_bytes: little_endian::U64,
    pub(crate) body_bytes: little_endian::U64,
    pub(crate) body_digest: [u8; 32],
}

const _: () = assert!(size_of::<Prefix>() == PREFIX_BYTES, "a new layout is a new FORMAT_VERSION");
const _: () = assert!(core::mem::offset_of!(Prefix, version) == 8, "a new layout is a new FORMAT_VERSION");
const _: () = assert!(core::mem::offset_of!(Prefix, flags) == 12, "a new layout is a new FORMAT_VERSION");
const _: () =
    assert!(core::mem::offset_of!(Prefix, total_bytes) == 16, "a new layout is a new FORMAT_VERSION");
const _: () =
    assert!(core::mem::offset_of!(Prefix, body_bytes) == 24, "a new layout is a new FORMAT_VERSION");
const _: () =
    assert!(core::mem::offset_of!(Prefix, body_digest) == 32, "a new layout is a new FORMAT_VERSION");

impl Prefix {
    pub(crate) fn new(kind: Kind, body: &[u8]) -> Prefix {
        let body_bytes = body.len() as u64;
        Prefix {
            magic: MAGIC,
            version: FORMAT_VERSION.into(),
            flags: kind.number().into(),
            total_bytes: (PREFIX_BYTES as u64 + body_bytes).into(),
            body_bytes: body_bytes.into(),
            body_digest: Digest::of(body).0,
        }
    }

    /// Reads the prefix of a file of `file_bytes`, and checks all that can be checked without the body.
    pub(crate) fn read(start: &[u8], file_bytes: u64) -> Result<(Prefix, Kind), Refused> {
        let truncated = |needed: u64| Refused::Truncated { needed, found: file_bytes };
        // A file too short for the magic is foreign only if what there is of it differs.
        let common = start.len().min(MAGIC.len());
        if start[..common] != MAGIC[..common] {
            return Err(Refused::Magic);
        }
        let (prefix, _) = Prefix::read_from_prefix(start).map_err(|_| truncated(PREFIX_BYTES as u64))?;
        match prefix.version.get() {
            FORMAT_VERSION => {}
            found if found > FORMAT_VERSION => return Err(Refused::Newer { found }),
            found => return Err(Refused::Older { found }),
        }
        let flags = prefix.flags.get();
        let kind = Kind::from_number(flags).ok_or(Refused::Flags { found: flags })?;
        let (total, body) = (prefix.total_bytes.get(), prefix.body_bytes.get());
        if body > BODY_BYTES_MAX {
            return Err(Refused::BodyTooLarge { found: body });
        }
        if total != PREFIX_BYTES as u64 + body {
            return Err(Refused::Lengths { total, body });
        }
        if file_bytes < total {
            return Err(truncated(total));
        }
        if file_bytes > total {
            return Err(Refused::TrailingBytes { expected: total, found: file_bytes });
        }
        Ok((prefix, kind))
    }
}
