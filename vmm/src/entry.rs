//! The state of a vCPU at the moment its guest waits for work, and putting a vCPU into it.

use crate::cpu::CpuModel;
use crate::error::MachineError;
use abi::boot::KernelHeader;
use abi::layout::{KERNEL_SIZE, KERNEL_VA, kernel_area, selector};
use kvm_bindings::{
    Msrs, kvm_debugregs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_vcpu_events,
    kvm_xcr, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::{SyncReg, VcpuFd};
use serde::{Deserialize, Serialize};

const MSR_SYSENTER_CS: u32 = 0x174;
const MSR_SYSENTER_ESP: u32 = 0x175;
const MSR_SYSENTER_EIP: u32 = 0x176;
const MSR_PAT: u32 = 0x277;
const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_CSTAR: u32 = 0xc000_0083;
const MSR_SYSCALL_MASK: u32 = 0xc000_0084;
const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;
const MSR_TSC_AUX: u32 = 0xc000_0103;

/// MSRs that are saved if KVM knows them. The MSR filter keeps a guest from writing any, so all others have the
/// value KVM gives every new vCPU (those in `kvm_sregs` aside). The time-stamp counter is left out on purpose:
/// time goes on, and pico takes the clock from its identity.
const SAVED_MSRS: [u32; 10] = [
    MSR_SYSENTER_CS,
    MSR_SYSENTER_ESP,
    MSR_SYSENTER_EIP,
    MSR_PAT,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SYSCALL_MASK,
    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,
];

/// PE, MP, ET, NE, WP, AM, PG.
const CR0: u64 = 0x8005_0033;
/// PAE, OSFXSR, OSXMMEXCPT, FSGSBASE, OSXSAVE.
const CR4: u64 = 0x5_0620;
const CR4_PGE: u64 = 1 << 7;
/// SCE, LME, LMA, NXE.
const EFER: u64 = 0xd01;
/// Flags cleared by `syscall`: TF, IF, DF, IOPL, NT, AC.
const SYSCALL_MASK: u64 = 0x4_7700;
/// The flag that is always set.
const RFLAGS: u64 = 0x2;

/// Registers of a parent at its capture point. Holds no pointer, descriptor or clock, so it can be stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntryState {
    regs: kvm_regs,
    sregs: kvm_sregs,
    /// 4096 bytes in XSAVE format.
    xsave: Vec<u32>,
    xcr0: u64,
    debug: kvm_debugregs,
    events: kvm_vcpu_events,
    msrs: Vec<(u32, u64)>,
    /// Bytes of RAM the state belongs to.
    ram_bytes: u64,
    /// Guest-physical ranges (start, end) a fork must leave alone to be restored.
    guarded: Vec<(u64, u64)>,
    /// The guest kernel's code that touches pages (`abi::boot::KernelHeader::prefault`).
    prefault: u64,
    /// Guest-physical address of the first page whose virtual address is in `moved`; all before lie in line.
    moved_start: u64,
    /// Guest-virtual addresses of the pages from there on.
    moved: Vec<u64>,
}

impl EntryState {
    /// Bytes of RAM the state belongs to.
    pub fn ram_bytes(&self) -> u64 {
        self.ram_bytes
    }

    /// The guest kernel's code that touches pages.
    pub(crate) fn prefault(&self) -> u64 {
        self.prefault
    }

    /// The special registers.
    pub(crate) fn sregs(&self) -> &kvm_sregs {
        &self.sregs
    }

    /// Whether the guest kernel runs with page tables of its own: it has several address spaces.
    pub(crate) fn has_spaces(&self) -> bool {
        (KERNEL_SIZE..self.moved_start).contains(&self.sregs.cr3)
    }

    /// The same state with page tables at another guest-physical address, and pages that lie behind the program's
    /// memory: they begin at `start`, in the order of the guest-virtual addresses in `moved`.
    pub(crate) fn with_moved_pages(mut self, start: u64, moved: Vec<u64>, tables: u64) -> EntryState {
        self.sregs.cr3 = tables;
        self.moved_start = start;
        self.moved = moved;
        self
    }

    /// Where moved pages begin, and the guest-virtual address of each.
    pub(crate) fn moved(&self) -> (u64, &[u64]) {
        (self.moved_start, &self.moved)
    }

    /// Guest-physical ranges (start, end) that a fork must not have written to if it is to be restored.
    pub(crate) fn guarded(&self) -> &[(u64, u64)] {
        &self.guarded
    }

    /// Reads everything from a stopped vCPU. The arguments behind `known_msrs` are what the machine knows beside it.
    pub(crate) fn capture(
        vcpu: &VcpuFd,
        known_msrs: &[u32],
        ram_bytes: u64,
        guarded: Vec<(u64, u64)>,
        prefault: u64,
    ) -> Result<EntryState, MachineError> {
        let xcrs = vcpu.get_xcrs().map_err(MachineError::kvm("KVM_GET_XCRS"))?;
        let count = usize::try_from(xcrs.nr_xcrs).unwrap_or(0).min(xcrs.xcrs.len());
        let xcr0 = xcrs.xcrs[..count].iter().find(|xcr| xcr.xcr == 0).map_or(0, |xcr| xcr.value);
        Ok(EntryState {
            regs: vcpu.get_regs().map_err(MachineError::kvm("KVM_GET_REGS"))?,
            sregs: vcpu.get_sregs().map_err(MachineError::kvm("KVM_GET_SREGS"))?,
            xsave: vcpu.get_xsave().map_err(MachineError::kvm("KVM_GET_XSAVE"))?.region.to_vec(),
            xcr0,
            debug: vcpu.get_debug_regs().map_err(MachineError::kvm("KVM_GET_DEBUGREGS"))?,
            events: vcpu.get_vcpu_events().map_err(MachineError::kvm("KVM_GET_VCPU_EVENTS"))?,
            msrs: read_msrs(vcpu, known_msrs)?,
            ram_bytes,
            guarded,
            moved_start: ram_bytes,
            moved: Vec::new(),
            prefault,
        })
    }

    /// Whether the guest runs as it was started: what only ring 0 code can change must be as the host set it. A guest
    /// kernel with several address spaces (`spaces`) has page tables of its own.
    pub(crate) fn check_untouched(&mut self, boot: &kvm_sregs, spaces: bool) -> Result<(), MachineError> {
        // KVM reports every TSS as busy, whatever it was given.
        self.sregs.tr.type_ = boot.tr.type_;
        let (now, tampered) = (&self.sregs, |what| Err(MachineError::Tampered(what)));
        let same_root = if spaces { self.has_spaces() } else { now.cr3 == boot.cr3 };
        if !same_root || (now.cr0, now.cr4, now.efer) != (boot.cr0, boot.cr4, boot.efer) {
            return tampered("control registers");
        }
        let table = |table: &kvm_dtable| (table.base, table.limit);
        if table(&now.gdt) != table(&boot.gdt) || table(&now.idt) != table(&boot.idt) {
            return tampered("descriptor tables");
        }
        let segment = |segment: &kvm_segment| (segment.selector, segment.base, segment.dpl);
        let fixed = |sregs: &kvm_sregs| [&sregs.cs, &sregs.ss, &sregs.tr].map(segment);
        if fixed(now) != fixed(boot) {
            return tampered("segments");
        }
        Ok(())
    }
}

fn read_msrs(vcpu: &VcpuFd, known: &[u32]) -> Result<Vec<(u32, u64)>, MachineError> {
    let mut saved = Vec::new();
    for index in SAVED_MSRS.into_iter().filter(|index| known.contains(index)) {
        let mut one = msr_list(&[(index, 0)])?;
        let read = vcpu.get_msrs(&mut one).map_err(MachineError::kvm("KVM_GET_MSRS"))?;
        // What can be read but not set back (it takes the same value) is not saved.
        if read == 1 && vcpu.set_msrs(&one).is_ok_and(|set| set == 1) {
            saved.extend(one.as_slice().first().map(|entry| (index, entry.data)));
        }
    }
    Ok(saved)
}

fn msr_list(values: &[(u32, u64)]) -> Result<Msrs, MachineError> {
    let entry = |&(index, data): &(u32, u64)| kvm_msr_entry { index, data, ..Default::default() };
    let entries: Vec<_> = values.iter().map(entry).collect();
    Msrs::from_entries(&entries).map_err(|_| MachineError::Spec("too many MSRs".to_owned()))
}

fn write_msrs(vcpu: &VcpuFd, msrs: &Msrs) -> Result<(), MachineError> {
    let set = vcpu.set_msrs(msrs).map_err(MachineError::kvm("KVM_SET_MSRS"))?;
    match msrs.as_slice().get(set) {
        None => Ok(()),
        Some(refused) => Err(MachineError::Spec(format!("KVM refuses MSR {:#x}", refused.index))),
    }
}

fn write_xcr0(vcpu: &VcpuFd, value: u64) -> Result<(), MachineError> {
    let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
    xcrs.xcrs[0] = kvm_xcr { xcr: 0, value, ..Default::default() };
    vcpu.set_xcrs(&xcrs).map_err(MachineError::kvm("KVM_SET_XCRS"))
}

/// An entry state in the form the kernel takes, made once per parent.
#[derive(Debug)]
pub(crate) struct Prepared {
    regs: kvm_regs,
    sregs: kvm_sregs,
    events: kvm_vcpu_events,
    xsave: Box<kvm_xsave>,
    prefault: u64,
    all_msrs: Msrs,
    /// The one saved MSR a guest can change without `wrmsr`: `swapgs` in ring 0.
    changeable_msrs: Msrs,
}

impl Prepared {
    pub(crate) fn new(entry: &EntryState, ram_bytes: u64) -> Result<Prepared, MachineError> {
        if entry.ram_bytes != ram_bytes {
            return Err(MachineError::Spec(format!(
                "the entry state belongs to {} bytes of RAM, the memory has {ram_bytes}",
                entry.ram_bytes
            )));
        }
        if !(KERNEL_VA..KERNEL_VA + KERNEL_SIZE).contains(&entry.prefault) {
            let text = format!("the guest kernel's code at {:#x} lies outside its area", entry.prefault);
            return Err(MachineError::Spec(text));
        }
        let mut xsave = Box::<kvm_xsave>::default();
        xsave.region = entry.xsave.as_slice().try_into().map_err(|_| {
            MachineError::Spec("the entry state's extended registers have the wrong size".to_owned())
        })?;
        let mut regs = entry.regs;
        // The guest leaves the address behind its `out` in rcx, so where KVM thinks it stopped does not matter.
        regs.rip = regs.rcx;
        let changeable: Vec<_> =
            entry.msrs.iter().filter(|(index, _)| *index == MSR_KERNEL_GS_BASE).copied().collect();
        Ok(Prepared {
            regs,
            sregs: entry.sregs,
            events: entry.events,
            xsave,
            prefault: entry.prefault,
            all_msrs: msr_list(&entry.msrs)?,
            changeable_msrs: msr_list(&changeable)?,
        })
    }

    /// Sets what only ioctls can set: MSRs, XCR0, extended and debug registers. `fresh`: the vCPU has never run.
    ///
    /// Every ioctl on a vCPU costs about 7 us on `kvm_pvm`, so this is done before a request comes.
    pub(crate) fn set_slow_state(
        &self,
        entry: &EntryState,
        vcpu: &VcpuFd,
        fresh: bool,
    ) -> Result<(), MachineError> {
        write_xcr0(vcpu, entry.xcr0)?;
        write_msrs(vcpu, if fresh { &self.all_msrs } else { &self.changeable_msrs })?;
        write_xsave(vcpu, &self.xsave)?;
        vcpu.set_debug_regs(&entry.debug).map_err(MachineError::kvm("KVM_SET_DEBUGREGS"))
    }

    /// Puts general and special registers and events into the shared page, from which the next `KVM_RUN` takes
    /// them: no ioctl, and no measurable time (special registers equal to those in place cost nothing).
    pub(crate) fn set_registers(&self, vcpu: &mut VcpuFd) {
        let shared = vcpu.sync_regs_mut();
        shared.regs = self.regs;
        shared.sregs = self.sregs;
        shared.events = self.events;
        for class in [SyncReg::Register, SyncReg::SystemRegister, SyncReg::VcpuEvents] {
            vcpu.set_sync_dirty_reg(class);
        }
    }

    /// As [`Prepared::set_registers`], but the guest kernel touches the `count` pages listed at `list`.
    pub(crate) fn set_registers_to_touch(&self, vcpu: &mut VcpuFd, list: u64, count: u64) {
        self.set_registers(vcpu);
        let regs = &mut vcpu.sync_regs_mut().regs;
        (regs.rip, regs.rdi, regs.rsi) = (self.prefault, list, count);
    }

    /// As [`Prepared::set_registers`], with one bit of CR4 (PGE) changed, and changed back by the next call. Each
    /// change makes KVM forget all address translations of the vCPU, global ones included.
    pub(crate) fn set_registers_to_flush(&self, vcpu: &mut VcpuFd) {
        self.set_registers(vcpu);
        vcpu.sync_regs_mut().sregs.cr4 ^= CR4_PGE;
    }
}

#[expect(unsafe_code, reason = "kvm-ioctls cannot know that the state has no dynamic part")]
fn write_xsave(vcpu: &VcpuFd, xsave: &kvm_xsave) -> Result<(), MachineError> {
    // SAFETY: the kernel reads 4096 bytes, the size of the structure; it reads more only for processes that have
    // asked for AMX with arch_prctl(2), and `Kvm::open` has checked KVM_CAP_XSAVE2.
    unsafe { vcpu.set_xsave(xsave) }.map_err(MachineError::kvm("KVM_SET_XSAVE"))
}

/// Puts a new vCPU into ring 3 of 64-bit mode at the guest kernel's first instruction. Returns the special
/// registers it was given.
pub(crate) fn start(
    vcpu: &VcpuFd,
    model: &CpuModel,
    header: &KernelHeader,
) -> Result<kvm_sregs, MachineError> {
    let mut sregs = vcpu.get_sregs().map_err(MachineError::kvm("KVM_GET_SREGS"))?;
    let data = segment(selector::USER_DATA, 3, false);
    sregs.cs = segment(selector::USER_CODE, 11, true);
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    let table = |offset, limit| kvm_dtable { base: KERNEL_VA + offset, limit, ..Default::default() };
    sregs.gdt = table(kernel_area::GDT, crate::boot_tables::GDT_LIMIT);
    sregs.idt = table(kernel_area::IDT, crate::boot_tables::IDT_LIMIT);
    sregs.tr = kvm_segment {
        base: KERNEL_VA + kernel_area::TSS,
        limit: crate::boot_tables::TSS_LIMIT.into(),
        selector: selector::TSS,
        type_: model.tss_type(),
        present: 1,
        ..Default::default()
    };
    (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer) = (CR0, kernel_area::PAGE_TABLES, CR4, EFER);
    vcpu.set_sregs(&sregs).map_err(MachineError::kvm("KVM_SET_SREGS"))?;
    write_xcr0(vcpu, model.xcr0())?;
    // `syscall` loads ring 0 selectors; `sysret`, which nobody uses, would load the ring 3 ones.
    let star = u64::from(selector::KERNEL_CODE) << 32 | u64::from((selector::USER_DATA - 8) | 3) << 48;
    let msrs = [(MSR_STAR, star), (MSR_LSTAR, header.syscall_stub), (MSR_SYSCALL_MASK, SYSCALL_MASK)];
    write_msrs(vcpu, &msr_list(&msrs)?)?;
    let regs = kvm_regs { rip: header.entry, rsp: header.stack_top, rflags: RFLAGS, ..Default::default() };
    vcpu.set_regs(&regs).map_err(MachineError::kvm("KVM_SET_REGS"))?;
    Ok(sregs)
}

/// A flat ring 3 segment.
fn segment(selector: u16, type_: u8, code: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_,
        present: 1,
        dpl: 3,
        db: u8::from(!code),
        s: 1,
        l: u8::from(code),
        g: 1,
        ..Default::default()
    }
}
