//! Function parents out of runtime parents.
//!
//! A runtime parent waits to be told its function. A fork of it is told, and stops once more when it waits for a
//! request. What it changed until then becomes a memory of its own behind the runtime's:
//!
//! ```text
//! guest-physical   0 ............ base ............... ram .......................... ram_bytes of the parent
//!                  | runtime's      | rest of the       | changed pages | page       |
//!                  | memory, shared | program's memory  | of the base   | tables     |
//!                  `---- base ------'`---------- memfd of the function --------------'
//! ```
//!
//! Page tables lead from the addresses of changed pages to their new places, so a function costs only the pages it
//! changed, in one dense piece, and the runtime's memory stays untouched, in large pages, and shared by the forks of
//! all functions. Nothing of the guest knows: it deals in virtual addresses only. The page tables that pico made for
//! itself become part of the host's, with the new places in them.

use crate::boot_tables::{MovedPage, Piece, page_tables, ranges};
use crate::entry::EntryState;
use crate::error::MachineError;
use crate::kvm::Kvm;
use crate::machine::{BootSpec, Machine, Origin, Stage, boot_info, finish_exit, plain_page_tables};
use crate::memory::Mapping;
use crate::parent::{Parent, plain_address};
use crate::parent_memory::ParentMemory;
use crate::shown::{self, any_image, hides};
use crate::size::{PAGE_BYTES, size};
use crate::space::{Images, Space};
use crate::sparse_tables::{Malformed, SparseTables, is_same_but_sparse, remove_second_view, take_over};
use crate::splits::{self, Split};
use abi::layout::{HUGE, KERNEL_SIZE, PAGE, RAM_MAX, kernel_area};
use std::collections::HashMap;
use std::sync::Arc;

impl Machine {
    /// Makes a fork of `runtime` with the memory and the images of a function: [`Machine::enter`] it, write what it
    /// is to become to the mailbox, and when it rings `Doorbell::Ready` again call [`Machine::capture_function`].
    /// `spec.ram_bytes` is at least what the runtime parent has.
    pub fn specialize(
        kvm: &Kvm,
        runtime: &Arc<Parent>,
        images: &Images,
        spec: &BootSpec,
    ) -> Result<Machine, MachineError> {
        let least = runtime.memory.len();
        let fits = (least..=RAM_MAX).contains(&spec.ram_bytes) && spec.ram_bytes.is_multiple_of(HUGE);
        if runtime.entry.has_spaces() {
            return Err(MachineError::Spaces);
        }
        if runtime.memory.base().is_some() || !fits {
            let text = format!(
                "a function of {} bytes on a runtime parent of {least}: it needs at least as many, at most \
                 {RAM_MAX}, in units of 2 MiB",
                spec.ram_bytes
            );
            return Err(MachineError::Spec(text));
        }
        let ram = runtime.memory.map_private_and(size(spec.ram_bytes - least));
        let mut space = Space::new(ram.map_err(MachineError::memory("mapping a function's RAM"))?, images)?;
        let mut tables = plain_page_tables(images, spec.ram_bytes)?;
        take_over(&mut tables.1, &space.ram, kernel_area::PAGE_TABLES).map_err(tampered)?;
        let pieces = shown::read(&space.ram, kernel_area::PAGE_TABLES, any_image(least));
        if pieces != shown::read(&space.ram, kernel_area::PAGE_TABLES, images.sizes(least)) {
            return Err(MachineError::Spec("a root image that is not the runtime's".to_owned()));
        }
        let info = boot_info(images, spec)?;
        let mut given = tables.clone();
        shown::put_in(&mut given.1, given.0, &pieces);
        let splits = splits::read(&space.ram, kernel_area::PAGE_TABLES, least);
        splits::put_in(&mut given.1, given.0, &splits);
        for (gpa, bytes) in [&given, &info] {
            let fits = space.ram.write(size(*gpa), bytes);
            fits.map_err(|error| MachineError::Spec(error.to_string()))?;
        }
        let origin = |vcpu: &_| {
            runtime.prepared.set_slow_state(&runtime.entry, vcpu, true)?;
            Ok(Origin::Specialize { runtime: Arc::clone(runtime), tables })
        };
        Machine::assemble(kvm, space, origin, Stage::Pristine)
    }

    /// Turns a specialised machine at the doorbell into a function's memory, which shares the runtime parent's, and
    /// the state its forks start in. Refused if the guest changed its tables or control registers.
    pub fn capture_function(&mut self) -> Result<(ParentMemory, EntryState), MachineError> {
        if self.stage != Stage::Doorbell {
            return Err(MachineError::Order("only a machine at the doorbell is captured"));
        }
        let Origin::Specialize { runtime, tables } = &self.origin else {
            return Err(MachineError::Order("only a specialised machine becomes a function"));
        };
        let runtime = Arc::clone(runtime);
        let (pieces, splits) = check_tables(&self.space, &runtime, tables)?;
        let (vcpu, registration) = (&mut self.vcpu, &self.registration);
        finish_exit(vcpu, registration).map_err(|source| MachineError::Kvm { what: "KVM_RUN", source })?;
        let pages = changed_pages(&self.space.ram, &runtime)?;
        let sparse = SparseTables::read(&self.space.ram, kernel_area::PAGE_TABLES).map_err(tampered)?;
        let plan = Plan::new(&self.space, &runtime, &pages, &sparse, (&pieces, &splits));
        let mut guarded: Vec<_> = untouched_ranges(&runtime).collect();
        guarded.push((plan.tables_at, plan.tables_at + plan.tables.len() as u64));
        let mut entry =
            EntryState::capture(&self.vcpu, &self.msrs, plan.end, guarded, runtime.entry.prefault())?;
        entry.check_untouched(runtime.entry.sregs(), false)?;
        let memory = plan.fill(&self.space.ram, &runtime)?;
        self.check_pages()?;
        let moved = plan.moved.iter().map(|&(va, _)| va).collect();
        Ok((memory, entry.with_moved_pages(plan.ram, moved, plan.tables_at)))
    }
}

fn tampered(_: Malformed) -> MachineError {
    MachineError::Tampered("page tables")
}

/// Ranges a guest must leave alone, without the page tables, which every function has of its own: the host's lie in
/// their place, pico's in the program's memory.
fn untouched_ranges(runtime: &Parent) -> impl Iterator<Item = (u64, u64)> {
    let guarded = runtime.entry.guarded().iter().copied();
    guarded.filter(|&(start, _)| start != kernel_area::PAGE_TABLES && start < KERNEL_SIZE)
}

/// Refuses tables that are not what they may become, and returns the pieces of images and the split ones among them.
fn check_tables(
    space: &Space,
    runtime: &Parent,
    tables: &Piece,
) -> Result<(Vec<shown::Piece>, Vec<Split>), MachineError> {
    let ram = &space.ram;
    let tampered = || MachineError::Tampered("descriptor or page tables");
    let view = view(runtime)?;
    for (start, end) in untouched_ranges(runtime) {
        if !ram.is_same(view, size(start), size(end - start)).unwrap_or(false) {
            return Err(tampered());
        }
    }
    let mut found = vec![0; tables.1.len()];
    let read = ram.read(size(tables.0), &mut found);
    if remove_second_view(&mut found) {
        return Err(MachineError::Spaces);
    }
    let pieces = shown::take_out(&mut found, tables.0, space.sizes());
    let splits = splits::take_out(&mut found, tables.0, ram);
    let same = read.is_ok() && is_same_but_sparse(&found, &tables.1);
    if same { Ok((pieces, splits)) } else { Err(tampered()) }
}

fn view(runtime: &Parent) -> Result<&Mapping, MachineError> {
    runtime.memory.view().ok_or(MachineError::Order("the runtime parent's memory is not sealed"))
}

/// Offsets of the pages whose contents are not those of the runtime parent, or behind it not zero; in order.
fn changed_pages(ram: &Mapping, runtime: &Parent) -> Result<Vec<usize>, MachineError> {
    let failed = MachineError::memory("finding the pages a function changed");
    let view = view(runtime)?;
    let mut pages = Vec::new();
    for range in runtime.pagemap.private_pages(ram).map_err(&failed)? {
        for page in range.step_by(PAGE_BYTES) {
            if is_old_table(page as u64) || is_unchanged(ram, view, page) {
                continue;
            }
            pages.push(page);
        }
    }
    Ok(pages)
}

/// The page tables the machine ran with are not needed: the function's own lie elsewhere.
fn is_old_table(gpa: u64) -> bool {
    let start = kernel_area::PAGE_TABLES;
    (start..start + kernel_area::PAGE_TABLES_SIZE).contains(&gpa)
}

fn is_unchanged(ram: &Mapping, view: &Mapping, page: usize) -> bool {
    if page < view.len() {
        return ram.is_same(view, page, PAGE_BYTES).unwrap_or(false);
    }
    let mut bytes = [0; PAGE_BYTES];
    ram.read(page, &mut bytes).is_ok() && bytes.iter().all(|&byte| byte == 0)
}

/// What goes where in a function's memory. Numbers are guest-physical addresses.
struct Plan {
    /// First address behind the base.
    base: u64,
    /// First address behind the program's memory: changed pages of the base begin here.
    ram: u64,
    /// Changed pages of the base.
    moved: Vec<MovedPage>,
    /// Where pages are taken from and where they go.
    copies: Vec<(u64, u64)>,
    tables_at: u64,
    tables: Vec<u8>,
    /// First address behind everything.
    end: u64,
}

impl Plan {
    fn new(
        space: &Space,
        runtime: &Parent,
        pages: &[usize],
        sparse: &SparseTables,
        (pieces, splits): (&[shown::Piece], &[Split]),
    ) -> Plan {
        let (base, ram) = (runtime.memory.len(), space.ram.len() as u64);
        let mut next = ram;
        let mut moved: Vec<MovedPage> = Vec::new();
        let mut places = HashMap::new();
        let mut copies = Vec::with_capacity(pages.len());
        for page in pages.iter().map(|&page| page as u64) {
            if hides(pieces, plain_address(page)) {
                // Whoever lets it be seen again expects anything there.
                continue;
            }
            if page >= base {
                copies.push((page, page));
                continue;
            }
            moved.push((plain_address(page), next));
            places.insert(page, next);
            copies.push((page, next));
            next += PAGE;
        }
        let ranges = ranges(space.images.sizes(ram));
        let tables_at = next;
        let sparse = sparse.pages(|page| places.get(&page).copied().unwrap_or(page));
        let mut tables = page_tables(&ranges, &moved, &sparse, &splits::closed(splits), tables_at);
        shown::put_in(&mut tables, tables_at, pieces);
        let end = (tables_at + tables.len() as u64).next_multiple_of(HUGE);
        Plan { base, ram, moved, copies, tables_at, tables, end }
    }

    fn fill(&self, ram: &Mapping, runtime: &Parent) -> Result<ParentMemory, MachineError> {
        let refused = |error: &dyn std::fmt::Display| MachineError::Spec(error.to_string());
        let mut memory =
            ParentMemory::over(&runtime.memory, self.end - self.base).map_err(|e| refused(&e))?;
        let mut own = memory.map_shared().map_err(MachineError::memory("mapping the function's memory"))?;
        let mut bytes = [0; PAGE_BYTES];
        for &(from, to) in &self.copies {
            ram.read(size(from), &mut bytes).map_err(|e| refused(&e))?;
            own.write(size(to - self.base), &bytes).map_err(|e| refused(&e))?;
        }
        own.write(size(self.tables_at - self.base), &self.tables).map_err(|e| refused(&e))?;
        drop(own);
        memory.seal().map_err(|e| refused(&e))?;
        Ok(memory)
    }
}
