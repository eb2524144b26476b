//! Making shells for forks, and touching their pages before there is a request.

use crate::error::{Discard, MachineError};
use crate::exit::Exit;
use crate::kvm::Kvm;
use crate::machine::{Machine, Origin, Stage};
use crate::parent::Parent;
use crate::restore::Ran;
use crate::size::{HUGE_BYTES, PAGE_BYTES};
use crate::space::{Images, Space};
use abi::boot::PREFAULT_WRITE;
use abi::layout::{KERNEL_SIZE, KERNEL_VA, MAILBOX_VA, PROGRAM_VA};
use abi::mailbox::{PREFAULT_MAX, REQUEST};
use kvm_ioctls::VcpuFd;
use std::io;
use std::sync::Arc;

/// Most pages that are touched in one shell. Where a page fault costs 25 us, this is 0.2 s.
const TOUCHED_MAX: usize = 8192;

impl Machine {
    /// Makes a shell for forks of `parent`: everything except the entry state, which [`Machine::enter`] sets.
    pub fn fork(kvm: &Kvm, parent: &Arc<Parent>, images: &Images) -> Result<Machine, MachineError> {
        let mut ram = parent.memory.map_private().map_err(MachineError::memory("mapping a fork's RAM"))?;
        parent.populate(&mut ram);
        let space = Space::new(ram, images)?;
        let origin = |vcpu: &VcpuFd| {
            parent.prepared.set_slow_state(&parent.entry, vcpu, true)?;
            Ok(Origin::Fork { parent: Arc::clone(parent) })
        };
        Machine::assemble(kvm, space, origin, Stage::Pristine)
    }

    /// Lets the guest kernel of a pristine fork touch the pages a request is expected to touch, so that the request
    /// takes no page fault on them, and restores the fork. Returns how many. May be given up by a
    /// [`Machine::kicker`], and runs code the program could have changed: bound its time as that of a request.
    /// After a [`Discard`] drop the machine.
    pub fn prefault(&mut self) -> Result<usize, Discard> {
        let Origin::Fork { parent } = &self.origin else { return Err(Discard::NotAFork) };
        let parent = Arc::clone(parent);
        let list = touched(&parent).map_err(|source| Discard::Failed { what: "finding its pages", source })?;
        for part in list.chunks(PREFAULT_MAX) {
            self.touch(&parent, part)?;
        }
        Ok(list.len())
    }

    fn touch(&mut self, parent: &Parent, list: &[u64]) -> Result<(), Discard> {
        let failed = |what: &str| Discard::Prefault(what.to_owned());
        if self.stage != Stage::Pristine {
            return Err(failed("it is not pristine"));
        }
        let bytes: Vec<u8> = list.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.mailbox().set_request(&bytes).map_err(|error| failed(&error.to_string()))?;
        parent.prepared.set_registers_to_touch(&mut self.vcpu, MAILBOX_VA + REQUEST, list.len() as u64);
        self.stage = Stage::Ready;
        match self.run().map_err(|error| failed(&error.to_string()))? {
            // A guest kernel that has something to say was not touching pages.
            Exit::Doorbell if self.mailbox().header().doorbell == 0 => {}
            Exit::Doorbell => return Err(failed("the guest took an exception")),
            exit => return Err(failed(&format!("{exit:?}"))),
        }
        self.restore_after(Ran::Prefault).map(drop)
    }
}

/// Pages worth touching in a new shell, in order of worth: those written to, then those beside them, which are not
/// in a large page any more, then the rest of what exists.
fn touched(parent: &Parent) -> io::Result<Vec<u64>> {
    let view = parent.memory.view().ok_or_else(|| io::Error::other("the parent is not sealed"))?;
    let exists = view.resident()?;
    let written = parent.write_set();
    let written: Vec<usize> = written
        .iter()
        .flat_map(|set| set.iter())
        .flat_map(|range| range.clone().step_by(PAGE_BYTES))
        .collect();
    let mut split = vec![false; exists.len().div_ceil(HUGE_BYTES / PAGE_BYTES)];
    for &offset in &written {
        split[offset / HUGE_BYTES] = true;
    }
    let existing = |beside: bool| {
        let pages = exists.iter().enumerate().filter(|&(_, &exists)| exists);
        let offsets = pages.map(|(page, _)| page * PAGE_BYTES);
        offsets.filter(|offset| split[offset / HUGE_BYTES] == beside).map(address_of).collect::<Vec<_>>()
    };
    let writes = written.iter().map(|&offset| address_of(offset) | PREFAULT_WRITE);
    Ok(writes.chain(existing(true)).chain(existing(false)).take(TOUCHED_MAX).collect())
}

/// Where the guest finds what lies at `offset` of its RAM.
fn address_of(offset: usize) -> u64 {
    let gpa = offset as u64;
    if gpa < KERNEL_SIZE { KERNEL_VA + gpa } else { PROGRAM_VA + gpa - KERNEL_SIZE }
}
