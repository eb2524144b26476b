//! One VM with one vCPU.
//!
//! ```text
//!  boot ─────────────┐                      ┌── run: doorbell ──┐
//!                    ▼                      ▼                   │
//!  fork ─► Pristine ─enter─► Ready ─run─► Doorbell ─run─────────┘
//!             ▲                │             │
//!             ├────restore─────┼─────────────┤      run: kicked ─► Kicked ─run─► ...
//!             ├─────remap──────┼─────────────┤
//!             └─remap─ Spoiled ◄─ restore: too many pages
//!                              └─────────────┴───── anything else ─► Over (drop it)
//! ```

use crate::boot_tables::{self, Piece, StringsError};
use crate::entry::{self, EntryState};
use crate::error::MachineError;
use crate::exit::{self, Exit};
use crate::fork::Watch;
use crate::kernel_image::KernelImage;
use crate::kick::{Kicker, Registration};
use crate::kvm::Kvm;
use crate::mailbox::Mailbox;
use crate::memory::{Advice, Backing, Mapping};
use crate::pagemap::Pagemap;
use crate::parent::Parent;
use crate::parent_memory::ParentMemory;
use crate::restore::Baseline;
use crate::shown;
use crate::size::size;
use crate::space::{Images, Space};
use crate::sparse_tables::{SparseTables, is_same_but_sparse, remove_second_view};
use crate::splits;
use crate::ticks::{Ticking, tick};
use crate::usage::MemoryUsage;
use abi::boot::{BootInfo, Contract, EXCEPTIONS, KernelHeader, STRINGS_MAX};
use abi::layout::{KERNEL_SIZE, KERNEL_VA, PAGE, kernel_area};
use kvm_bindings::kvm_sregs;
use kvm_ioctls::{MsrFilterDefaultAction, MsrFilterRange, MsrFilterRangeFlags, VcpuFd, VmFd};
use std::io;
use std::sync::Arc;
use zerocopy::FromZeros;

/// What a parent is booted with.
#[derive(Clone, Debug)]
pub struct BootSpec {
    /// Bytes of RAM, pico's part included; as many as the parent's memory has.
    pub ram_bytes: u64,
    /// How the program takes its requests.
    pub contract: Contract,
    /// Port it listens on (contract `Http`).
    pub port: u16,
    /// Program and arguments.
    pub args: Vec<Vec<u8>>,
    /// Environment, `K=V` each.
    pub env: Vec<Vec<u8>>,
    /// Whether the program is to become a function later, by [`Machine::specialize`].
    pub awaits_function: bool,
}

/// Where a machine is in its life; see the module's picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Pristine,
    Ready,
    Doorbell,
    Kicked,
    /// Its memory cannot be restored in place, but everything else can.
    Spoiled,
    Over,
}

/// What a machine was made as.
pub(crate) enum Origin {
    /// It writes to the parent's memory. Holds what must still be in place when it is captured.
    Boot { sregs: Box<kvm_sregs>, tables: Vec<Piece>, guarded: Vec<(u64, u64)>, prefault: u64 },
    /// It has a copy-on-write view of the parent's memory.
    Fork { parent: Arc<Parent>, watch: Option<Watch> },
    /// It has a copy-on-write view of a runtime parent's memory and becomes a function's parent. Holds the page
    /// tables it was given.
    Specialize { runtime: Arc<Parent>, tables: Piece },
}

impl Origin {
    /// Whose entry state the machine is put into.
    fn parent(&self) -> Option<&Arc<Parent>> {
        match self {
            Origin::Boot { .. } => None,
            Origin::Fork { parent, .. } | Origin::Specialize { runtime: parent, .. } => Some(parent),
        }
    }
}

/// A VM, its vCPU, its memory and its mailbox. Everything is given back when it is dropped.
pub struct Machine {
    // Dropped in this order: no kick may reach a closed vCPU, no VM may outlive its memory.
    pub(crate) registration: Registration,
    pub(crate) vcpu: VcpuFd,
    pub(crate) vm: VmFd,
    pub(crate) space: Space,
    pub(crate) origin: Origin,
    pub(crate) stage: Stage,
    pub(crate) baseline: Baseline,
    pub(crate) msrs: Vec<u32>,
    tsc_khz: u64,
}

impl Machine {
    /// Makes a VM whose RAM is `memory` itself and puts the guest kernel, its tables and its boot information in
    /// place. The first [`Machine::run`] starts it.
    pub fn boot(
        kvm: &Kvm,
        kernel: &KernelImage,
        memory: &mut ParentMemory,
        images: &Images,
        spec: &BootSpec,
    ) -> Result<Machine, MachineError> {
        if memory.is_sealed() || memory.len() != spec.ram_bytes {
            let text = format!("a parent of {} bytes needs unsealed memory of that size", spec.ram_bytes);
            return Err(MachineError::Spec(text));
        }
        let ram = memory.map_shared().map_err(MachineError::memory("mapping the parent's RAM"))?;
        Machine::boot_in(kvm, kernel, ram, images, spec)
    }

    /// As [`Machine::boot`], in memory that nothing is ever forked from. It comes in large pages where the kernel has
    /// them: a fault for 2 MiB instead of one for 4 KiB.
    pub fn boot_alone(
        kvm: &Kvm,
        kernel: &KernelImage,
        images: &Images,
        spec: &BootSpec,
    ) -> Result<Machine, MachineError> {
        let what = "mapping the RAM";
        let mut ram =
            Mapping::new(size(spec.ram_bytes), Backing::Anonymous).map_err(MachineError::memory(what))?;
        // An optimisation: kernels without large pages refuse it.
        let _ = ram.advise(0, ram.len(), Advice::Huge);
        Machine::boot_in(kvm, kernel, ram, images, spec)
    }

    /// Puts the guest kernel, its tables and its boot information into `ram`, which is zero.
    fn boot_in(
        kvm: &Kvm,
        kernel: &KernelImage,
        ram: Mapping,
        images: &Images,
        spec: &BootSpec,
    ) -> Result<Machine, MachineError> {
        let mut space = Space::new(ram, images)?;
        let header = kernel.header();
        let tables = system_tables(header, images, spec.ram_bytes)?;
        let guarded = guarded_ranges(header, &tables);
        let info = boot_info(images, spec)?;
        let loaded =
            kernel.pieces().chain(tables.iter().chain([&info]).map(|(gpa, bytes)| (*gpa, &bytes[..])));
        for (gpa, bytes) in loaded {
            let offset = size(gpa);
            let fits = space.ram.write(offset, bytes);
            fits.map_err(|error| MachineError::Spec(format!("the guest kernel does not fit: {error}")))?;
        }
        let origin = |vcpu: &VcpuFd| {
            let sregs = Box::new(entry::start(vcpu, kvm.model(), header)?);
            Ok(Origin::Boot { sregs, tables, guarded, prefault: header.prefault })
        };
        Machine::assemble(kvm, space, origin, Stage::Ready)
    }

    pub(crate) fn assemble(
        kvm: &Kvm,
        space: Space,
        origin: impl FnOnce(&VcpuFd) -> Result<Origin, MachineError>,
        stage: Stage,
    ) -> Result<Machine, MachineError> {
        let vm = kvm.create_vm().map_err(|source| MachineError::Kvm { what: "KVM_CREATE_VM", source })?;
        deny_msrs(&vm)?;
        space.attach(&vm)?;
        let mut vcpu = vm.create_vcpu(0).map_err(MachineError::kvm("KVM_CREATE_VCPU"))?;
        vcpu.set_cpuid2(kvm.model().cpuid()).map_err(MachineError::kvm("KVM_SET_CPUID2"))?;
        let origin = origin(&vcpu)?;
        let tsc_khz = kvm.tsc_khz(|| vcpu.get_tsc_khz().ok().map(u64::from));
        let registration = Registration::new(&mut vcpu);
        space.ram.watch(&registration.kicker());
        Ok(Machine {
            registration,
            vcpu,
            vm,
            space,
            origin,
            stage,
            baseline: Baseline::default(),
            msrs: kvm.msrs().to_vec(),
            tsc_khz,
        })
    }

    /// Puts a pristine fork into the parent's entry state, behind the `out` that announced it was ready. Write the
    /// identity and the request to the mailbox before the next [`Machine::run`].
    pub fn enter(&mut self) -> Result<(), MachineError> {
        let Some(parent) = self.origin.parent() else {
            return Err(MachineError::Order("only forks are entered"));
        };
        if self.stage != Stage::Pristine {
            return Err(MachineError::Order("it must be restored before it is entered again"));
        }
        parent.prepared.set_registers(&mut self.vcpu);
        self.space.mailbox.clear_tick_entry();
        self.stage = Stage::Ready;
        Ok(())
    }

    /// Runs the guest until something is for the caller. A guest that never stops is stopped by a
    /// [`Machine::kicker`]. After anything but a doorbell or a kick the machine is over.
    pub fn run(&mut self) -> Result<Exit, MachineError> {
        match self.stage {
            Stage::Pristine => return Err(MachineError::Order("it has not been entered")),
            Stage::Spoiled | Stage::Over => return Err(MachineError::Order("its guest is over")),
            Stage::Ready | Stage::Doorbell | Stage::Kicked => {}
        }
        self.baseline.check_thread();
        self.stage = Stage::Over;
        let exit = self.run_to_exit()?;
        self.stage = match exit {
            Exit::Doorbell => Stage::Doorbell,
            Exit::Kicked => Stage::Kicked,
            Exit::TripleFault
            | Exit::Stray { .. }
            | Exit::Port { .. }
            | Exit::PageLost(_)
            | Exit::Other(_) => Stage::Over,
        };
        Ok(exit)
    }

    fn run_to_exit(&mut self) -> Result<Exit, MachineError> {
        let running = self.registration.enter();
        let _ticking = Ticking::start().map_err(|source| MachineError::Timer { source })?;
        loop {
            if let Some(reason) = self.space.ram.failure() {
                return Ok(Exit::PageLost(reason));
            }
            if running.is_kicked() {
                return Ok(Exit::Kicked);
            }
            match self.vcpu.run() {
                Ok(exit) => {
                    if let Some(exit) = exit::decode(exit) {
                        // What it did with a page that was not the parent's does not count.
                        return Ok(self
                            .space
                            .ram
                            .failure()
                            .map_or_else(|| self.with_place(exit), Exit::PageLost));
                    }
                }
                Err(error) => match error.errno() {
                    libc::EINTR => tick(&self.vcpu, &mut self.space.mailbox)
                        .map_err(MachineError::kvm("giving the guest a tick"))?,
                    libc::EAGAIN => {}
                    // Memory behind a guest address is gone (a shortened image, no memory left).
                    libc::EFAULT => {
                        return Ok(Exit::Other("memory the guest used could not be had".to_owned()));
                    }
                    _ => return Err(MachineError::kvm("KVM_RUN")(error)),
                },
            }
        }
    }

    /// Says where the guest was when KVM could not go on.
    fn with_place(&self, exit: Exit) -> Exit {
        let Exit::Other(what) = exit else { return exit };
        match self.vcpu.get_regs() {
            Ok(regs) => Exit::Other(format!("{what}, at instruction {:#x}", regs.rip)),
            Err(_) => Exit::Other(what),
        }
    }

    /// The machine's mailbox.
    pub fn mailbox(&mut self) -> &mut Mailbox {
        self.baseline.check_thread();
        &mut self.space.mailbox
    }

    /// Saves the state of a booted machine that rang `Doorbell::Ready`. Refused if the guest changed its tables
    /// or control registers: forks of such a guest could not be kept apart. (A guest kernel with several address spaces has
    /// page tables of its own. Its forks serve one request each.)
    pub fn capture(&mut self) -> Result<EntryState, MachineError> {
        if self.stage != Stage::Doorbell {
            return Err(MachineError::Order("only a machine at the doorbell is captured"));
        }
        let Origin::Boot { sregs, tables, guarded, prefault } = &self.origin else {
            return Err(MachineError::Order("a fork is not captured"));
        };
        let tampered = || MachineError::Tampered("descriptor or page tables");
        let mut spaces = false;
        for (gpa, bytes) in tables {
            let mut found = vec![0; bytes.len()];
            let read = self.space.ram.read(size(*gpa), &mut found);
            let is_pages = *gpa == kernel_area::PAGE_TABLES;
            let same = if is_pages {
                spaces = remove_second_view(&mut found);
                shown::take_out(&mut found, *gpa, self.space.sizes());
                splits::take_out(&mut found, *gpa, &self.space.ram);
                is_same_but_sparse(&found, bytes)
            } else {
                found == *bytes
            };
            if read.is_err() || !same {
                return Err(tampered());
            }
        }
        let mut guarded = guarded.clone();
        if !spaces {
            let sparse = SparseTables::read(&self.space.ram, kernel_area::PAGE_TABLES);
            let sparse = sparse.map_err(|_| tampered())?;
            // The host's are guarded already.
            guarded.extend(sparse.ranges().filter(|&(start, _)| start >= KERNEL_SIZE));
        }
        let ram_bytes = self.space.ram.len() as u64;
        let (vcpu, registration) = (&mut self.vcpu, &self.registration);
        finish_exit(vcpu, registration).map_err(|source| MachineError::Kvm { what: "KVM_RUN", source })?;
        let mut entry = EntryState::capture(vcpu, &self.msrs, ram_bytes, guarded, *prefault)?;
        entry.check_untouched(sregs, spaces)?;
        Ok(entry)
    }

    /// A handle that stops this machine from any thread.
    pub fn kicker(&self) -> Kicker {
        self.registration.kicker()
    }

    /// Frequency of the guest's time-stamp counter in kHz.
    pub fn tsc_khz(&self) -> u64 {
        self.tsc_khz
    }

    /// Where the machine's RAM begins in this process; [`crate::usage_of`] finds it by that.
    pub fn memory_address(&self) -> u64 {
        self.space.ram.address()
    }

    /// How much memory the machine uses: its RAM from `/proc/self/smaps`, and the mailbox.
    pub fn usage(&self) -> Result<MemoryUsage, MachineError> {
        let failed = MachineError::memory("reading what it uses");
        let found = crate::usage::usage_of(&[self.space.ram.address()], self.space.ram.len() as u64);
        let gone = || io::Error::other("the machine's memory is not in /proc/self/smaps");
        let usage = found.and_then(|mut found| found.pop().flatten().ok_or_else(gone));
        let mut usage = usage.map_err(&failed)?;
        let opened;
        let pagemap = match &self.origin {
            Origin::Fork { parent, .. } | Origin::Specialize { runtime: parent, .. } => &parent.pagemap,
            Origin::Boot { .. } => {
                opened = Pagemap::open().map_err(&failed)?;
                &opened
            }
        };
        let mailbox = pagemap.private_pages(self.space.mailbox.mapping()).map_err(&failed)?;
        let mailbox: usize = mailbox.iter().map(ExactSizeIterator::len).sum();
        usage.private_bytes += mailbox as u64;
        usage.pss_bytes += mailbox as u64;
        Ok(usage)
    }

    /// Copies RAM out, for tests and reports.
    pub fn read_ram(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), MachineError> {
        let offset = size(gpa);
        self.space.ram.read(offset, bytes).map_err(|error| MachineError::Spec(error.to_string()))?;
        self.check_pages()
    }

    /// Whether everything read so far from the machine's and its parent's memory was the parent's (see
    /// [`crate::Registered::failure`]).
    pub(crate) fn check_pages(&self) -> Result<(), MachineError> {
        let view = self.origin.parent().and_then(|parent| parent.memory.view());
        let failure = self.space.ram.failure().or_else(|| view.and_then(Mapping::failure));
        failure.map_or(Ok(()), |reason| {
            Err(MachineError::Memory { what: "pages of the parent", source: io::Error::other(reason) })
        })
    }
}

/// Lets KVM finish the instruction that caused the last exit, without entering the guest. Until then KVM remembers
/// it, and would skip an instruction of the next fork if the guest had placed its `out` cleverly.
pub(crate) fn finish_exit(vcpu: &mut VcpuFd, registration: &Registration) -> io::Result<()> {
    match registration.with_immediate_exit(|| vcpu.run().map(|_| ())) {
        Err(error) if error.errno() == libc::EINTR => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Err(io::Error::other("the last exit has more to it")),
    }
}

/// Denies the guest all MSRs: `rdmsr` and `wrmsr` are general protection faults. So no MSR a guest could change
/// has to be restored. (KVM takes a default of "deny" only together with a range.)
fn deny_msrs(vm: &VmFd) -> Result<(), MachineError> {
    let both = MsrFilterRangeFlags::READ | MsrFilterRangeFlags::WRITE;
    let range = MsrFilterRange { flags: both, base: 0, msr_count: 8, bitmap: &[0] };
    vm.set_msr_filter(MsrFilterDefaultAction::DENY, &[range])
        .map_err(MachineError::kvm("KVM_X86_SET_MSR_FILTER"))
}

/// GDT, TSS, IDT and page tables.
fn system_tables(header: &KernelHeader, images: &Images, ram: u64) -> Result<Vec<Piece>, MachineError> {
    let page_tables = plain_page_tables(images, ram)?;
    Ok(vec![boot_tables::gdt(), boot_tables::tss(header), boot_tables::idt(header), page_tables])
}

/// Page tables in which everything lies where `abi::layout` says.
pub(crate) fn plain_page_tables(images: &Images, ram: u64) -> Result<Piece, MachineError> {
    let at = kernel_area::PAGE_TABLES;
    let tables = boot_tables::page_tables(&boot_tables::ranges(images.sizes(ram)), &[], &[], &[], at);
    if tables.len() as u64 > kernel_area::PAGE_TABLES_SIZE {
        return Err(MachineError::Spec("memory and images need too many page tables".to_owned()));
    }
    Ok((at, tables))
}

/// Pages a fork must leave alone to be restored: a guest that changes them can reach ring 0, or change translations
/// that KVM or the CPU remember.
fn guarded_ranges(header: &KernelHeader, tables: &[Piece]) -> Vec<(u64, u64)> {
    let stubs = header.exception_stub_bytes * EXCEPTIONS as u64;
    let code = [(header.syscall_stub - KERNEL_VA, 1), (header.exception_stubs - KERNEL_VA, stubs)];
    let tables = tables.iter().map(|(gpa, bytes)| (*gpa, bytes.len() as u64));
    let whole_pages = |(gpa, len): (u64, u64)| (gpa & !(PAGE - 1), (gpa + len).next_multiple_of(PAGE));
    tables.chain(code).map(whole_pages).collect()
}

pub(crate) fn boot_info(images: &Images, spec: &BootSpec) -> Result<Piece, MachineError> {
    let info = BootInfo {
        contract: spec.contract as u32,
        ram_bytes: spec.ram_bytes,
        root_bytes: images.root.len(),
        package_bytes: images.package.as_ref().map_or(0, |package| package.len()),
        port: spec.port.into(),
        awaits_function: spec.awaits_function.into(),
        ..BootInfo::new_zeroed()
    };
    boot_tables::boot_info(info, &spec.args, &spec.env).map_err(|error| {
        MachineError::Spec(match error {
            StringsError::Nul => "an argument or environment entry contains a NUL byte".to_owned(),
            StringsError::TooLong(bytes) => {
                format!("arguments and environment have {bytes} bytes, more than {STRINGS_MAX}")
            }
        })
    })
}
