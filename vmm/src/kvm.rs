//! The KVM device: opening it, checking what it can do, and what all VMs made from it have in common.

use crate::cpu::CpuModel;
use crate::fingerprint::CpuFingerprint;
use kvm_ioctls::{Cap, VmFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;

/// The only version of the KVM interface there is.
const API_VERSION: i32 = 12;
/// `KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS`.
const SYNC_NEEDED: i32 = 7;
/// Size of `kvm_xsave`. More is only needed with AMX, which no guest gets.
const XSAVE_BYTES: i32 = 4096;

/// KVM cannot be used. Texts name the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no KVM device.
    #[error(
        "{path} does not exist: load the KVM module (modprobe kvm_intel, kvm_amd or kvm_pvm) and enable \
         virtualisation in the firmware, or nested virtualisation if this machine is itself a VM"
    )]
    Absent {
        /// Path of the device.
        path: String,
    },
    /// The device may not be opened.
    #[error(
        "{path} may not be opened for reading and writing: add this user to the group kvm \
         (usermod -aG kvm USER, then log in again) or change the permissions of the device"
    )]
    Denied {
        /// Path of the device.
        path: String,
    },
    /// Opening failed in another way.
    #[error("{path} cannot be opened: is the KVM module working? (see dmesg)")]
    Failed {
        /// Path of the device.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What was opened is not KVM, or not a version we know.
    #[error("{path} is not a KVM device of API version 12 (got {version}): use /dev/kvm of a current kernel")]
    NotKvm {
        /// Path of the device, or what stands for it.
        path: String,
        /// What the device answered.
        version: i32,
    },
    /// The kernel's KVM lacks something.
    #[error("KVM of this kernel lacks {what}: use Linux 6.1 or newer")]
    Missing {
        /// The capability.
        what: &'static str,
    },
    /// A query failed.
    #[error("KVM does not answer {what}")]
    Query {
        /// The query.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The processor lacks something every guest needs.
    #[error("this processor (as KVM shows it to guests) lacks {what}")]
    Processor {
        /// The feature.
        what: &'static str,
    },
}

/// An opened and checked KVM device, with the CPU model of all its VMs.
pub struct Kvm {
    device: OwnedFd,
    system: kvm_ioctls::Kvm,
    model: CpuModel,
    msrs: Vec<u32>,
    tsc_khz: OnceLock<u64>,
}

impl Kvm {
    /// Opens the device at `path`, usually `/dev/kvm`.
    pub fn open(path: &Path) -> Result<Kvm, OpenError> {
        let shown = path.display().to_string();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => OpenError::Absent { path: shown },
            io::ErrorKind::PermissionDenied => OpenError::Denied { path: shown },
            _ => match source.raw_os_error() {
                Some(libc::ENXIO | libc::ENODEV) => OpenError::Absent { path: shown },
                _ => OpenError::Failed { path: shown, source },
            },
        })?;
        Kvm::from_fd(file.into()).map_err(|error| match error {
            OpenError::NotKvm { version, .. } => {
                OpenError::NotKvm { path: path.display().to_string(), version }
            }
            error => error,
        })
    }

    /// Takes an open KVM device, for a process that cannot open it itself.
    pub fn from_fd(device: OwnedFd) -> Result<Kvm, OpenError> {
        let query = |what| move |source: kvm_ioctls::Error| OpenError::Query { what, source: source.into() };
        let copy = device.try_clone();
        let copy = copy.map_err(|source| OpenError::Query { what: "dup(2)", source })?;
        let system = system_of(copy);
        let version = system.get_api_version();
        if version != API_VERSION {
            return Err(OpenError::NotKvm { path: "the descriptor".to_owned(), version });
        }
        check_capabilities(&system)?;
        let supported = system.get_supported_cpuid(kvm_bindings::KVM_MAX_CPUID_ENTRIES);
        let supported = supported.map_err(query("KVM_GET_SUPPORTED_CPUID"))?;
        let model = CpuModel::new(supported, &crate::cpu::host_cpuid)
            .map_err(|what| OpenError::Processor { what })?;
        let msrs = system.get_msr_index_list().map_err(query("KVM_GET_MSR_INDEX_LIST"))?;
        let msrs = msrs.as_slice().to_vec();
        Ok(Kvm { device, system, model, msrs, tsc_khz: OnceLock::new() })
    }

    /// The device, to be handed to another process.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// Which KVM this is, as far as the kernel tells: `kvm_intel`, `kvm_amd`, `kvm_pvm` or `kvm`. For reports.
    pub fn kind() -> String {
        let modules = ["kvm_pvm", "kvm_intel", "kvm_amd"];
        let found = modules.into_iter().find(|name| Path::new("/sys/module").join(name).exists());
        found.unwrap_or("kvm").to_owned()
    }

    /// The processor as every guest of this device sees it.
    pub fn cpu_fingerprint(&self) -> CpuFingerprint {
        CpuFingerprint::of(&self.model)
    }

    pub(crate) fn create_vm(&self) -> Result<VmFd, io::Error> {
        self.system.create_vm().map_err(io::Error::from)
    }

    pub(crate) fn model(&self) -> &CpuModel {
        &self.model
    }

    /// Numbers of the MSRs this KVM can save.
    pub(crate) fn msrs(&self) -> &[u32] {
        &self.msrs
    }

    /// Frequency of a guest's time-stamp counter in kHz. `ask` reads it from a vCPU; the answer is kept.
    pub(crate) fn tsc_khz(&self, ask: impl FnOnce() -> Option<u64>) -> u64 {
        *self
            .tsc_khz
            .get_or_init(|| ask().filter(|&khz| khz > 0).unwrap_or_else(crate::sys::calibrate_tsc_khz))
    }
}

#[expect(unsafe_code, reason = "kvm-ioctls takes the device as a raw descriptor only")]
fn system_of(device: OwnedFd) -> kvm_ioctls::Kvm {
    // SAFETY: the descriptor is open and given away here, so it has one owner.
    unsafe { kvm_ioctls::Kvm::from_raw_fd(device.into_raw_fd()) }
}

fn check_capabilities(system: &kvm_ioctls::Kvm) -> Result<(), OpenError> {
    let missing = |what| Err(OpenError::Missing { what });
    if system.check_extension_int(Cap::SyncRegs) & SYNC_NEEDED != SYNC_NEEDED {
        return missing("synchronised registers (KVM_CAP_SYNC_REGS)");
    }
    let needed = [
        (Cap::UserMemory, "user memory slots (KVM_CAP_USER_MEMORY)"),
        (Cap::ImmediateExit, "immediate exit (KVM_CAP_IMMEDIATE_EXIT)"),
        (Cap::ReadonlyMem, "read-only memory slots (KVM_CAP_READONLY_MEM)"),
        (Cap::Xsave, "extended processor state (KVM_CAP_XSAVE)"),
        (Cap::Xcrs, "extended control registers (KVM_CAP_XCRS)"),
        (Cap::Debugregs, "debug registers (KVM_CAP_DEBUGREGS)"),
        (Cap::VcpuEvents, "vCPU events (KVM_CAP_VCPU_EVENTS)"),
        (Cap::X86MsrFilter, "the MSR filter (KVM_CAP_X86_MSR_FILTER)"),
    ];
    for (cap, what) in needed {
        if !system.check_extension(cap) {
            return missing(what);
        }
    }
    if system.check_extension_int(Cap::Xsave2) > XSAVE_BYTES {
        return missing("extended state of at most 4096 bytes (KVM_CAP_XSAVE2)");
    }
    Ok(())
}
