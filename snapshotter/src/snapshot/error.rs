//! Why a snapshot is refused, and why the store fails. A refused snapshot is never run: it is built again.

use super::digest::Digest;
use super::limits::{BODY_BYTES_MAX, FORMAT_VERSION};
use super::manifest::Kind;
use std::io;
use std::path::{Path, PathBuf};

/// Why a snapshot cannot be used here. Every text says what is wrong and what was expected; what follows is always
/// the same ([`Refused::CONSEQUENCE`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The file ends early.
    #[error("the manifest is truncated: {found} bytes of {needed}")]
    Truncated {
        /// Bytes it should have at least.
        needed: u64,
        /// Bytes it has.
        found: u64,
    },
    /// The file is something else.
    #[error("this is not a snapshot manifest: its first bytes are foreign")]
    Magic,
    /// Written by a later version of Spore.
    #[error("the manifest has format version {found}, newer than {FORMAT_VERSION}, which this Spore writes")]
    Newer {
        /// Its version.
        found: u32,
    },
    /// Written by an earlier version of Spore.
    #[error("the manifest has format version {found}, older than {FORMAT_VERSION}, which this Spore reads")]
    Older {
        /// Its version.
        found: u32,
    },
    /// A kind or flag nobody knows.
    #[error("the manifest has flags {found:#x}: of no known kind of snapshot")]
    Flags {
        /// The flags.
        found: u32,
    },
    /// The lengths in the prefix contradict each other.
    #[error("the manifest's lengths contradict each other: {total} bytes with a body of {body}")]
    Lengths {
        /// Length of the whole file, by the prefix.
        total: u64,
        /// Length of the body, by the prefix.
        body: u64,
    },
    /// More than anybody writes.
    #[error("the manifest claims a body of {found} bytes, more than the {BODY_BYTES_MAX} allowed")]
    BodyTooLarge {
        /// The claim.
        found: u64,
    },
    /// The file goes on behind its end.
    #[error("the manifest has {found} bytes where {expected} belong to it")]
    TrailingBytes {
        /// Bytes by its prefix.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// The body is not what was written.
    #[error("the manifest's body is damaged: its digest is {found}, not {expected}")]
    BodyDigest {
        /// Digest in the prefix.
        expected: Digest,
        /// Digest of the body.
        found: Digest,
    },
    /// The body is whole but cannot be read.
    #[error("the manifest's body cannot be decoded: {what}")]
    Body {
        /// What is wrong with it.
        what: &'static str,
    },
    /// Prefix and body name different kinds, or another kind is wanted.
    #[error("this is the snapshot of a {found}, not of a {wanted}")]
    Kind {
        /// Kind that is needed.
        wanted: Kind,
        /// Kind of the snapshot.
        found: Kind,
    },
    /// It is the snapshot of something else.
    #[error("this is the snapshot of {found}, not of {wanted}")]
    Key {
        /// Key that is needed.
        wanted: Digest,
        /// Key of the snapshot.
        found: Digest,
    },
    /// Made for another contract of host and guest.
    #[error("the snapshot's guest speaks ABI version {found}, this Spore version {wanted}")]
    Abi {
        /// Version of this Spore.
        wanted: u32,
        /// Version of the snapshot.
        found: u32,
    },
    /// Made with another guest kernel.
    #[error("the snapshot was made with the guest kernel {found}, this Spore has {wanted}")]
    GuestKernel {
        /// Digest of this Spore's guest kernel.
        wanted: Digest,
        /// Digest of the snapshot's.
        found: Digest,
    },
    /// Made with another root image.
    #[error("the snapshot was made with the root image {found}, the runtime now has {wanted}")]
    RootImage {
        /// Digest of the image that is there.
        wanted: Digest,
        /// Digest of the snapshot's.
        found: Digest,
    },
    /// Made with another package, or with one where none is wanted, or the reverse.
    #[error("the snapshot was made with {}, the function has {}", package(.found), package(.wanted))]
    PackageImage {
        /// Digest of the package that is there.
        wanted: Option<Digest>,
        /// Digest of the snapshot's.
        found: Option<Digest>,
    },
    /// Its fingerprint does not match its own leaves.
    #[error("the snapshot's CPU fingerprint does not match its digest {expected}")]
    CpuDigest {
        /// The recorded digest.
        expected: Digest,
    },
    /// Another make of processor.
    #[error("the snapshot was made on a processor of {found}, this one is of {host}")]
    CpuVendor {
        /// Vendor of this processor.
        host: String,
        /// Vendor recorded.
        found: String,
    },
    /// The guest may use an instruction that would fail here.
    #[error("the processor (as guests see it) lacks {}, which the snapshot was made with", .missing.join(", "))]
    CpuFeature {
        /// Names of the features.
        missing: Vec<String>,
    },
    /// Extended registers are saved in another form here.
    #[error("extended processor state differs: {what}")]
    CpuState {
        /// What differs.
        what: String,
    },
    /// Captured by another kind of KVM.
    #[error(
        "the snapshot was made by {found}, this host has {host}: their register states are not exchanged"
    )]
    KvmKind {
        /// Kind of KVM here.
        host: String,
        /// Kind recorded.
        found: String,
    },
    /// A size of memory that cannot be.
    #[error("the snapshot has {found} bytes of memory: not a multiple of 2 MiB, none, or more than allowed")]
    RamSize {
        /// The size.
        found: u64,
    },
    /// Not the size that is wanted.
    #[error("the snapshot has {found} bytes of memory, the function is configured for {wanted}")]
    RamBytes {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes of the snapshot.
        found: u64,
    },
    /// The captured registers cannot be read.
    #[error("the snapshot's entry state cannot be decoded")]
    Entry,
    /// A page beyond the memory, or in memory that belongs to the base.
    #[error("{what} names page {page}, outside of the snapshot's memory")]
    PageOutside {
        /// What names it.
        what: &'static str,
        /// The page.
        page: u64,
    },
    /// Ranges or chunks that are not sorted, overlap, or are empty.
    #[error("{what} is not in order at page {page}: unsorted, overlapping or empty")]
    Unordered {
        /// What is not in order.
        what: &'static str,
        /// The first page that is not.
        page: u64,
    },
    /// A chunk of an impossible size.
    #[error("the chunk at page {page} has {pages} pages: 1 to 16 are possible")]
    ChunkSize {
        /// Its first page.
        page: u64,
        /// Its pages.
        pages: u32,
    },
    /// The chunks leave gaps in the pack, overlap in it or lie outside of it.
    #[error("the chunks do not tile the pack: something is wrong at its byte {offset}")]
    PackLayout {
        /// Where in the pack.
        offset: u64,
    },
    /// The page data are gone.
    #[error("its pack {pack} is missing")]
    PackMissing {
        /// Name of the pack.
        pack: Digest,
    },
    /// The page data are incomplete, or more than they should be.
    #[error("its pack {pack} has {found} bytes, not {expected}")]
    PackSize {
        /// Name of the pack.
        pack: Digest,
        /// Bytes by the manifest.
        expected: u64,
        /// Bytes of the file.
        found: u64,
    },
    /// Page data are not what was written.
    #[error("its pack {pack} is damaged at page {page}")]
    ChunkDamaged {
        /// Name of the pack.
        pack: Digest,
        /// First page of the chunk.
        page: u64,
    },
    /// A runtime's parent has no base, a function's parent may have one.
    #[error("the snapshot of a runtime's parent names a base, which it cannot have")]
    BaseUnexpected,
    /// What the snapshot lies on is gone.
    #[error("its base (the runtime's parent {key}) is missing")]
    BaseMissing {
        /// Key of the base.
        key: Digest,
    },
    /// What the snapshot lies on cannot be used itself.
    #[error("its base (the runtime's parent {key}) cannot be used")]
    BaseRefused {
        /// Key of the base.
        key: Digest,
        /// Why.
        #[source]
        why: Box<Refused>,
    },
    /// What the snapshot lies on was made again since, or another one is in use.
    #[error("the snapshot lies on the runtime's parent {found}, the present one is {wanted}")]
    BaseChanged {
        /// Id of the base in use; all zeros if none is.
        wanted: Digest,
        /// Id recorded.
        found: Digest,
    },
}

impl Refused {
    /// What happens to a refused snapshot.
    pub const CONSEQUENCE: &'static str = "the snapshot is not used and is built again from the package";
}

fn package(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "no package".to_owned(), |digest| format!("the package {digest}"))
}

/// Why a look-up gives no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is none of this key.
    #[error("there is no snapshot of {key}: it is built from the package")]
    Absent {
        /// The key.
        key: Digest,
    },
    /// There is one that cannot be used.
    #[error("the snapshot of {key} is refused ({consequence})", consequence = Refused::CONSEQUENCE)]
    Refused {
        /// The key.
        key: Digest,
        /// Why.
        #[source]
        why: Refused,
    },
    /// The file system failed.
    #[error("{}: cannot be read", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why a snapshot was not stored, or the store not opened. Nothing of the attempt is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full.
    #[error("{}: no space left for the snapshot; free some space or move the data directory", .path.display())]
    Full {
        /// Where.
        path: PathBuf,
    },
    /// The directory cannot be written.
    #[error("{}: the directory is read-only or may not be written; snapshots need a writable one", .path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
    },
    /// Another process has it.
    #[error("{}: in use by another process; one worker at a time can use a snapshot store", .path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The file system failed in another way.
    #[error("{}: {what} failed", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What failed.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The memory could not be read.
    #[error("the parent's memory cannot be read")]
    Memory(#[source] io::Error),
    /// What is to be stored breaks the rules of the format.
    #[error("this cannot be stored as a snapshot")]
    Draft(#[source] Refused),
    /// More than the format allows.
    #[error("{what}: {found} are more than the {max} a snapshot can have")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}

impl StoreError {
    /// Sorts what the system said at `path` while doing `what`.
    pub(crate) fn io(path: &Path, what: &'static str, source: io::Error) -> StoreError {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                StoreError::ReadOnly { path }
            }
            _ => StoreError::Io { path, what, source },
        }
    }
}
