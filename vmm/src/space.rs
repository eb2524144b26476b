//! What a guest can reach: RAM, the mailbox and the images, each in a memory slot of its VM.

use crate::boot_tables::Sizes;
use crate::error::MachineError;
use crate::image::Image;
use crate::mailbox::Mailbox;
use crate::memory::Mapping;
use abi::layout::{MAILBOX_GPA, PACKAGE_GPA, ROOT_GPA};
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::VmFd;
use std::sync::Arc;

/// The read-only images of a function.
#[derive(Clone, Debug)]
pub struct Images {
    /// Root file system of the runtime.
    pub root: Arc<Image>,
    /// The function's package.
    pub package: Option<Arc<Image>>,
}

impl Images {
    /// What the page tables of a machine with `ram` bytes of RAM depend on.
    pub(crate) fn sizes(&self, ram: u64) -> Sizes {
        let package = self.package.as_ref().map_or(0, |package| package.mapping().len() as u64);
        Sizes { ram, root: self.root.mapping().len() as u64, package }
    }
}

/// All memory of one machine. Lives at least as long as the VM it is attached to.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) ram: Mapping,
    pub(crate) mailbox: Mailbox,
    pub(crate) images: Images,
}

impl Space {
    pub(crate) fn new(ram: Mapping, images: &Images) -> Result<Space, MachineError> {
        let mailbox = Mailbox::new().map_err(MachineError::memory("the mailbox"))?;
        Ok(Space { ram, mailbox, images: images.clone() })
    }

    /// What its page tables depend on.
    pub(crate) fn sizes(&self) -> Sizes {
        self.images.sizes(self.ram.len() as u64)
    }

    /// Fills the memory slots of `vm`.
    pub(crate) fn attach(&self, vm: &VmFd) -> Result<(), MachineError> {
        attach(vm, 0, 0, &self.ram, 0)?;
        attach(vm, 1, MAILBOX_GPA, self.mailbox.mapping(), 0)?;
        attach(vm, 2, ROOT_GPA, self.images.root.mapping(), KVM_MEM_READONLY)?;
        if let Some(package) = &self.images.package {
            attach(vm, 3, PACKAGE_GPA, package.mapping(), KVM_MEM_READONLY)?;
        }
        Ok(())
    }
}

#[expect(unsafe_code, reason = "KVM is told an address of ours")]
fn attach(vm: &VmFd, slot: u32, gpa: u64, mapping: &Mapping, flags: u32) -> Result<(), MachineError> {
    let region = kvm_userspace_memory_region {
        slot,
        flags,
        guest_phys_addr: gpa,
        memory_size: mapping.len() as u64,
        userspace_addr: mapping.address(),
    };
    // SAFETY: the mapping covers the region and, being part of the machine's `Space` or an image it holds, is
    // unmapped only after the VM is closed (order of the fields of `Machine`).
    unsafe { vm.set_user_memory_region(region) }.map_err(MachineError::kvm("KVM_SET_USER_MEMORY_REGION"))
}
