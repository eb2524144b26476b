//! Making shells for forks, and touching their pages before there is a request.

use crate::boot_tables::PRESENT;
use crate::error::{Discard, MachineError};
use crate::exit::Exit;
use crate::kvm::Kvm;
use crate::machine::{Machine, Origin, Stage};
use crate::mailbox::WARM;
use crate::memory::{Advice, Mapping};
use crate::parent::Parent;
use crate::restore::Ran;
use crate::shown::{self, any_image, hides};
use crate::size::PAGE_BYTES;
use crate::space::{Images, Space};
use crate::stats::ForkStep;
use crate::sys::map_singly;
use abi::boot::PREFAULT_WRITE;
use abi::layout::{HUGE, MAILBOX_VA, PAGE};
use abi::mailbox::{PREFAULT_MAX, REQUEST};
use kvm_ioctls::VcpuFd;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most pages that are touched in one shell. Where a page fault costs 25 us, this is 0.2 s.
const TOUCHED_MAX: usize = 8192;

impl Machine {
    /// Makes a shell for forks of `parent`: everything except the entry state, which [`Machine::enter`] sets.
    pub fn fork(kvm: &Kvm, parent: &Arc<Parent>, images: &Images) -> Result<Machine, MachineError> {
        Machine::fork_observed(kvm, parent, images, &mut |_| ())
    }

    /// The same; `done` is told when a step is over, for measurements.
    pub fn fork_observed(
        kvm: &Kvm,
        parent: &Arc<Parent>,
        images: &Images,
        done: &mut dyn FnMut(ForkStep),
    ) -> Result<Machine, MachineError> {
        let mut ram = parent.memory.map_private().map_err(MachineError::memory("mapping a fork's RAM"))?;
        done(ForkStep::Map);
        let watch = prepare(&mut ram, parent);
        done(ForkStep::Populate);
        let space = Space::new(ram, images)?;
        let origin = |vcpu: &VcpuFd| {
            parent.prepared.set_slow_state(&parent.entry, vcpu, true)?;
            Ok(Origin::Fork { parent: Arc::clone(parent), watch })
        };
        let machine = Machine::assemble(kvm, space, origin, Stage::Pristine);
        done(ForkStep::Create);
        machine
    }

    /// Lets the guest kernel of a pristine fork touch the pages a request is expected to touch, so that the request
    /// takes no page fault on them, and restores the fork. Returns how many. May be given up by a
    /// [`Machine::kicker`], and runs code the program could have changed: bound its time as that of a request.
    /// After a [`Discard`] drop the machine.
    pub fn prefault(&mut self) -> Result<usize, Discard> {
        let Origin::Fork { parent, watch } = &mut self.origin else { return Err(Discard::NotAFork) };
        if let Some(watch) = watch {
            watch.tells = false;
        }
        let parent = Arc::clone(parent);
        if parent.entry.has_spaces() {
            // It is used once, whatever it touches, and restoring it now would be refused.
            return Ok(0);
        }
        let list = list(&parent).map_err(|source| Discard::Failed { what: "finding its pages", source })?;
        for part in list.chunks(PREFAULT_MAX) {
            self.touch(&parent, part, Ran::Prefault)?;
        }
        Ok(list.len())
    }

    /// Lets the guest kernel of a pristine fork work through `list`, and restores the fork.
    pub(crate) fn touch(&mut self, parent: &Parent, list: &[u64], ran: Ran) -> Result<(), Discard> {
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
        self.restore_after(ran).map(drop)
    }
}

/// RAM that shows which pages are touched: page by page, as there are no large pages, and (unless the kernel refuses)
/// no neighbours mapped along.
pub(crate) struct Watch {
    /// Whether what is touched is what a request touches.
    pub(crate) tells: bool,
    /// Held even when it tells nothing more: giving it up would drop every page from KVM's tables.
    _singly: Option<OwnedFd>,
}

/// Prepares the RAM of a shell: watched, if nobody has been watched yet, and with the pages it will write to.
pub(crate) fn prepare(ram: &mut Mapping, parent: &Parent) -> Option<Watch> {
    let tells = parent.touched().is_none() && !parent.entry.has_spaces();
    let watch = tells.then(|| {
        // Only makes what is learnt finer, so a refusal changes nothing.
        let _ = ram.advise(0, ram.len(), Advice::NoHuge);
        Watch { tells: true, _singly: map_singly(ram.address(), ram.len() as u64).ok() }
    });
    parent.populate(ram);
    watch
}

/// What a new shell is to touch: pages that are written to, then those that are read. As long as that is not known,
/// all that exist. Last of what is seen of images, page by page: nested paging may know nothing of larger ones.
fn list(parent: &Parent) -> io::Result<Vec<u64>> {
    let pages = |set: &[Range<usize>]| -> Vec<u64> {
        let pages = set.iter().flat_map(|range| range.clone().step_by(PAGE_BYTES));
        pages.filter_map(|page| parent.guest_address(page)).collect()
    };
    let images = images(parent);
    let mut written = pages(parent.written());
    // A fork that made memory of a piece of an image has written there; a new one finds the image.
    written.retain(|&address| !hides(&images, address) && parent.closed(address).is_none());
    let touched = match parent.touched() {
        Some(touched) => pages(touched),
        None => pages(&existing(parent)?),
    };
    let is_readable = |&address: &u64| parent.closed(address).is_none_or(|entry| entry & PRESENT != 0);
    let pages_of_images =
        (0..HUGE / PAGE).flat_map(|page| images.iter().map(move |&(va, _)| va + page * PAGE));
    let mailbox = WARM.iter().flat_map(|&(offset, len)| (offset..offset + len).step_by(PAGE_BYTES));
    let written = mailbox.map(|offset| MAILBOX_VA + offset).chain(written);
    Ok(written
        .map(|address| address | PREFAULT_WRITE)
        .chain(touched.into_iter().filter(is_readable))
        .chain(pages_of_images)
        .take(TOUCHED_MAX)
        .collect())
}

/// What the parent's program sees of images in place of its memory.
fn images(parent: &Parent) -> Vec<shown::Piece> {
    let view = parent.memory.view();
    let pieces = view.map(|view| shown::read(view, parent.entry.sregs().cr3, any_image(view.len() as u64)));
    pieces.unwrap_or_default()
}

/// All pages the parent has.
fn existing(parent: &Parent) -> io::Result<Vec<Range<usize>>> {
    let view = parent.memory.view().ok_or_else(|| io::Error::other("the parent is not sealed"))?;
    let exists = view.resident()?;
    let pages = exists.into_iter().enumerate().filter(|&(_, exists)| exists);
    Ok(pages.map(|(page, _)| page * PAGE_BYTES..(page + 1) * PAGE_BYTES).collect())
}
