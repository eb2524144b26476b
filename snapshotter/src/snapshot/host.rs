//! What a snapshot must fit: the host it shall run on, and what is wanted of it.

use super::cpu;
use super::digest::Digest;
use super::error::Refused;
use super::manifest::{Base, Kind, Manifest, cpu_digest};
use vmm::{CpuFingerprint, Kvm};

/// This host and this Spore, as far as a snapshot depends on them.
#[derive(Clone, Debug)]
pub struct Host {
    /// [`abi::VERSION`].
    pub abi: u32,
    /// Digest of the guest kernel.
    pub guest_kernel: Digest,
    /// The processor as guests see it.
    pub cpu: CpuFingerprint,
    /// Kind of KVM.
    pub kvm_kind: String,
    /// Release of the host's kernel. Recorded, never compared.
    pub release: String,
}

impl Host {
    /// This host, with the guest kernel whose digest is given.
    pub fn new(kvm: &Kvm, guest_kernel: Digest) -> Host {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        let cpu = kvm.cpu_fingerprint();
        Host { abi: abi::VERSION, guest_kernel, cpu, kvm_kind: Kvm::kind(), release }
    }
}

/// What a caller wants a snapshot of.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Kind of parent.
    pub kind: Kind,
    /// Its key.
    pub key: Digest,
    /// Digest of the root image.
    pub root_image: Digest,
    /// Digest of the package image, if there is one.
    pub package_image: Option<Digest>,
    /// Bytes of memory, if the caller knows.
    pub ram_bytes: Option<u64>,
    /// Id of the base that is in use, for a parent that lies on one.
    pub base: Option<Digest>,
}

/// What a snapshot is made of, but for its memory.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Kind, key and images.
    pub wanted: Wanted,
    /// The host it was captured on.
    pub host: Host,
    /// What it lies on.
    pub base: Option<Base>,
    /// Bytes of guest-physical memory, those of the base included.
    pub ram_bytes: u64,
    /// The captured registers: [`vmm::EntryState`] encoded by [`encode_entry`].
    pub entry: Vec<u8>,
    /// Pages that requests read first; sorted.
    pub read_set: Vec<super::PageRange>,
    /// Pages that requests write; sorted.
    pub write_set: Vec<super::PageRange>,
}

/// Encodes captured registers for a [`Draft`].
pub fn encode_entry(entry: &vmm::EntryState) -> Result<Vec<u8>, Refused> {
    postcard::to_stdvec(entry).map_err(|_| Refused::Entry)
}

impl Draft {
    /// The manifest, still without page data.
    pub(crate) fn manifest(&self) -> Manifest {
        let cpuid = self.host.cpu.leaves.clone();
        Manifest {
            kind: self.wanted.kind,
            key: self.wanted.key,
            abi: self.host.abi,
            guest_kernel: self.host.guest_kernel,
            root_image: self.wanted.root_image,
            package_image: self.wanted.package_image,
            cpu_digest: cpu_digest(self.host.cpu.xcr0, &cpuid),
            xcr0: self.host.cpu.xcr0,
            cpuid,
            kvm_kind: self.host.kvm_kind.clone(),
            host_kernel: self.host.release.clone(),
            base: self.base,
            ram_bytes: self.ram_bytes,
            entry: self.entry.clone(),
            read_set: self.read_set.clone(),
            write_set: self.write_set.clone(),
            pack: Digest::of(&[]),
            pack_bytes: 0,
            chunks: Vec::new(),
        }
    }
}

impl Manifest {
    /// Fails unless the snapshot is what is `wanted` and can run on `host`.
    pub fn check(&self, host: &Host, wanted: &Wanted) -> Result<(), Refused> {
        self.check_wanted(wanted)?;
        if self.abi != host.abi {
            return Err(Refused::Abi { wanted: host.abi, found: self.abi });
        }
        if self.guest_kernel != host.guest_kernel {
            return Err(Refused::GuestKernel { wanted: host.guest_kernel, found: self.guest_kernel });
        }
        if self.kvm_kind != host.kvm_kind {
            return Err(Refused::KvmKind { host: host.kvm_kind.clone(), found: self.kvm_kind.clone() });
        }
        cpu::check(&self.cpu(), &host.cpu)
    }

    fn check_wanted(&self, wanted: &Wanted) -> Result<(), Refused> {
        if self.kind != wanted.kind {
            return Err(Refused::Kind { wanted: wanted.kind, found: self.kind });
        }
        if self.key != wanted.key {
            return Err(Refused::Key { wanted: wanted.key, found: self.key });
        }
        if self.root_image != wanted.root_image {
            return Err(Refused::RootImage { wanted: wanted.root_image, found: self.root_image });
        }
        let (package, found) = (wanted.package_image, self.package_image);
        if found != package {
            return Err(Refused::PackageImage { wanted: package, found });
        }
        if let Some(bytes) = wanted.ram_bytes.filter(|&bytes| bytes != self.ram_bytes) {
            return Err(Refused::RamBytes { wanted: bytes, found: self.ram_bytes });
        }
        let (base, found) = (wanted.base, self.base.map(|base| base.id));
        if base != found {
            let shown = |id: Option<Digest>| id.unwrap_or(Digest([0; 32]));
            return Err(Refused::BaseChanged { wanted: shown(base), found: shown(found) });
        }
        Ok(())
    }
}
