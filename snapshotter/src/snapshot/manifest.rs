//! The manifest: everything about a snapshot but its page data.

use super::bounded;
use super::digest::Digest;
use super::error::Refused;
use super::limits::{BODY_BYTES_MAX, CHUNKS_MAX, ENTRY_BYTES_MAX, LEAVES_MAX, PAGE_BYTES, RANGES_MAX};
use super::prefix::{PREFIX_BYTES, Prefix};
use super::structure;
use crate::source::{Chunk, ChunkTable};
use serde::{Deserialize, Serialize};
use std::fmt;
use vmm::{CpuFingerprint, CpuLeaf, EntryState};
use zerocopy::IntoBytes;

/// What a snapshot is the parent of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A runtime: guest kernel, interpreter, bootstrap.
    Runtime,
    /// One function.
    Function,
}

impl Kind {
    pub(crate) fn number(self) -> u32 {
        match self {
            Kind::Runtime => 1,
            Kind::Function => 2,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Kind> {
        [Kind::Runtime, Kind::Function].into_iter().find(|kind| kind.number() == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Kind::Runtime => "runtime",
            Kind::Function => "function",
        })
    }
}

/// Pages in a row. Pages are numbered by guest-physical address: page 1 is at byte 4096.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRange {
    /// The first page.
    pub first: u64,
    /// How many; never 0.
    pub pages: u64,
}

/// The snapshot another one lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its key.
    pub key: Digest,
    /// Its id.
    pub id: Digest,
    /// Its bytes of memory; the memory of the snapshot on it begins there.
    pub ram_bytes: u64,
}

/// Page data in the pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChunk {
    /// Its first page.
    pub first_page: u64,
    /// Its pages, 1 to 16.
    pub pages: u32,
    /// Where it begins in the pack, in bytes.
    pub offset: u64,
    /// Digest of its bytes.
    pub digest: Digest,
}

impl StoredChunk {
    /// Its bytes.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.pages).map_or(usize::MAX, |pages| pages.saturating_mul(PAGE_BYTES))
    }
}

/// Everything about a snapshot but its page data. `docs/SNAPSHOT-FORMAT.md` describes each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it is the parent of.
    pub kind: Kind,
    /// Digest of all that determines its contents: command, environment, memory, images.
    pub key: Digest,
    /// [`abi::VERSION`] its guest speaks.
    pub abi: u32,
    /// Digest of the guest kernel.
    pub guest_kernel: Digest,
    /// Digest of the root image.
    pub root_image: Digest,
    /// Digest of the package image, if there is one.
    pub package_image: Option<Digest>,
    /// Digest of the CPU fingerprint.
    pub cpu_digest: Digest,
    /// XCR0 of its guest.
    pub xcr0: u64,
    /// CPUID leaves of its guest, sorted.
    #[serde(deserialize_with = "bounded::list::<_, _, LEAVES_MAX>")]
    pub cpuid: Vec<CpuLeaf>,
    /// Kind of KVM it was captured by.
    #[serde(deserialize_with = "bounded::name")]
    pub kvm_kind: String,
    /// Release of the host's kernel. For people: never compared.
    #[serde(deserialize_with = "bounded::name")]
    pub host_kernel: String,
    /// What it lies on.
    pub base: Option<Base>,
    /// Bytes of guest-physical memory, those of the base included.
    pub ram_bytes: u64,
    /// The captured registers: a [`vmm::EntryState`], encoded.
    #[serde(deserialize_with = "bounded::list::<_, _, ENTRY_BYTES_MAX>")]
    pub entry: Vec<u8>,
    /// Pages that requests read first; sorted.
    #[serde(deserialize_with = "bounded::list::<_, _, RANGES_MAX>")]
    pub read_set: Vec<PageRange>,
    /// Pages that requests write; sorted.
    #[serde(deserialize_with = "bounded::list::<_, _, RANGES_MAX>")]
    pub write_set: Vec<PageRange>,
    /// Name of the pack: digest of all its bytes.
    pub pack: Digest,
    /// Bytes of the pack.
    pub pack_bytes: u64,
    /// Page data, sorted by page. Pages in no chunk are zero.
    #[serde(deserialize_with = "bounded::list::<_, _, CHUNKS_MAX>")]
    pub chunks: Vec<StoredChunk>,
}

impl Manifest {
    /// The captured registers.
    pub fn entry_state(&self) -> Result<EntryState, Refused> {
        match postcard::take_from_bytes(&self.entry) {
            Ok((state, [])) => Ok(state),
            _ => Err(Refused::Entry),
        }
    }

    /// The CPU its guest was shown.
    pub fn cpu(&self) -> CpuFingerprint {
        CpuFingerprint { leaves: self.cpuid.clone(), xcr0: self.xcr0 }
    }

    /// The first page that is its own; those before belong to the base.
    pub fn first_own_page(&self) -> u64 {
        self.base.map_or(0, |base| base.ram_bytes / PAGE_BYTES as u64)
    }

    /// Bytes of its own memory: the size of the memfd that is filled from its chunks.
    pub fn own_bytes(&self) -> u64 {
        self.ram_bytes.saturating_sub(self.base.map_or(0, |base| base.ram_bytes))
    }

    /// Its chunks as a pager needs them: by page of its *own* memory, page 0 being [`Manifest::first_own_page`].
    /// Indices are those of [`Manifest::chunks`].
    pub fn chunk_table(&self) -> ChunkTable {
        let first = self.first_own_page();
        let own = |chunk: &StoredChunk| Chunk {
            first_page: chunk.first_page.saturating_sub(first),
            pages: chunk.pages,
        };
        ChunkTable::new(self.chunks.iter().map(own).collect())
    }

    /// Indices of the chunks that hold pages of the read and write sets, in the order of the pack: one read.
    pub fn working_set(&self) -> Vec<usize> {
        let sets = structure::Pages::new([&self.read_set[..], &self.write_set[..]]);
        let hot = |&index: &usize| {
            let chunk = &self.chunks[index];
            sets.touch(chunk.first_page, u64::from(chunk.pages))
        };
        let mut found: Vec<usize> = (0..self.chunks.len()).filter(hot).collect();
        found.sort_unstable_by_key(|&index| self.chunks[index].offset);
        found
    }

    /// The bytes of the manifest's file. Fails if the manifest breaks a rule of the format.
    pub fn encode(&self) -> Result<Vec<u8>, Refused> {
        structure::check(self)?;
        let mut file = vec![0; PREFIX_BYTES];
        file = postcard::to_extend(self, file).map_err(|_| Refused::Body { what: "it cannot be encoded" })?;
        let (start, body) = file.split_at_mut(PREFIX_BYTES);
        if body.len() as u64 > BODY_BYTES_MAX {
            return Err(Refused::BodyTooLarge { found: body.len() as u64 });
        }
        start.copy_from_slice(Prefix::new(self.kind, body).as_bytes());
        Ok(file)
    }

    /// Reads a manifest's file, and checks all that can be checked without knowing the host.
    pub fn decode(file: &[u8]) -> Result<Manifest, Refused> {
        let (prefix, kind) = Prefix::read(file, file.len() as u64)?;
        let body = file.get(PREFIX_BYTES..).unwrap_or_default();
        let (expected, found) = (Digest(prefix.body_digest), Digest::of(body));
        if found != expected {
            return Err(Refused::BodyDigest { expected, found });
        }
        let (manifest, rest) = postcard::take_from_bytes::<Manifest>(body).map_err(undecodable)?;
        if !rest.is_empty() {
            return Err(Refused::Body { what: "bytes are left over" });
        }
        if manifest.kind != kind {
            return Err(Refused::Kind { wanted: kind, found: manifest.kind });
        }
        structure::check(&manifest)?;
        Ok(manifest)
    }
}

/// Digest of a CPU fingerprint, as recorded.
pub(crate) fn cpu_digest(xcr0: u64, cpuid: &[CpuLeaf]) -> Digest {
    let mut bytes = xcr0.to_le_bytes().to_vec();
    for leaf in cpuid {
        let [eax, ebx, ecx, edx] = leaf.registers;
        for value in [leaf.function, leaf.index, eax, ebx, ecx, edx] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    Digest::of(&bytes)
}

fn undecodable(error: postcard::Error) -> Refused {
    let what = match error {
        postcard::Error::DeserializeUnexpectedEnd => "it ends in the middle of a value",
        postcard::Error::SerdeDeCustom => "a list or a name is longer than allowed",
        _ => "a value is malformed",
    };
    Refused::Body { what }
}
