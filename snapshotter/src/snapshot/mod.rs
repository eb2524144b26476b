//! Snapshots on disk: the format, and the store that keeps them. `docs/SNAPSHOT-FORMAT.md` describes every field.
//!
//! ```text
//! put:   memory --scan--> chunks --write--> packs/.new --fsync, rename--> packs/DIGEST.pack
//!                                           manifests/.new --fsync, rename--> manifests/KEY.manifest   (visible)
//! load:  manifests/KEY.manifest --prefix, digest, structure, host--> Snapshot --chunks--> crate::source
//! ```
//!
//! A snapshot is visible from the moment its manifest is renamed, and its pack is whole on disk by then. What cannot
//! be verified is refused ([`Refused`]) and built again from the package; it is never run.

mod bounded;
mod cpu;
mod digest;
mod disk;
mod error;
mod failure;
mod host;
mod limits;
mod lock;
mod manifest;
mod memory;
mod pack;
mod prefix;
mod store;
mod structure;
mod sweep;
#[cfg(test)]
mod tests;

pub use digest::Digest;
pub use error::Refused;
pub use failure::{LoadError, StoreError};
pub use host::{Draft, Host, Wanted, encode_entry};
pub use limits::*;
pub use manifest::{Base, Kind, Manifest, PageRange, StoredChunk};
pub use memory::{FileMemory, Memory};
pub use prefix::PREFIX_BYTES;
pub use store::{Snapshot, Store};
pub use sweep::{StoreStats, Swept};
