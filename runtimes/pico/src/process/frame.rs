//! Signal frames: what Linux puts on the stack for a handler and takes back in `rt_sigreturn`.
//!
//! ```text
//! rsp at the handler's first instruction (16 n + 8)
//! | restorer | ucontext, 304 bytes | siginfo, 128 bytes | ...64-aligned: xsave area, magic |
//! ```

use super::info::{FloatExceptions, SSE_EXCEPTION, X87_EXCEPTION};
use super::signals::{Action, AltStack, IGNORE};
use super::{Fault, Info, Registers};
use crate::errno::{Errno, Result};
use crate::kernel::Kernel;
use abi::layout::{KERNEL_SIZE, KERNEL_VA, selector};
use linux_raw_sys::general as linux;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of the largest vector state pico saves: x87, SSE, AVX and AVX-512 in the standard format.
pub const XSTATE_SIZE: usize = 2688;
/// State components in there.
pub const XSTATE_MASK: u32 = 0xe7;
/// Most bytes a frame takes (`AT_MINSIGSTKSZ`).
pub const FRAME_SIZE: u64 = (size_of::<Frame>() + XSTATE_SIZE + 4 + 64 + 128 + 16) as u64;

const UC_FP_XSTATE: u64 = 1;
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;
/// Flags a program may change: carry, parity, adjust, zero, sign, trap, direction, overflow, alignment, id.
const USER_FLAGS: u64 = 0x0024_0dd5;
const DIRECTION_TRAP_RESUME: u64 = 0x0001_0500;
/// Below the stack pointer lie 128 bytes a leaf function may use.
const RED_ZONE: u64 = 128;

/// `struct sigcontext`, 64 bit.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Context {
    r8_15: [u64; 8],
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rax: u64,
    rcx: u64,
    rsp: u64,
    rip: u64,
    rflags: u64,
    cs_gs_fs_ss: [u16; 4],
    error: u64,
    vector: u64,
    old_mask: u64,
    cr2: u64,
    xstate: u64,
    reserved: [u64; 8],
}

/// `struct rt_sigframe`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    restorer: u64,
    flags: u64,
    link: u64,
    stack: AltStack,
    context: Context,
    mask: u64,
    info: Info,
}

const _: () = assert!(size_of::<Context>() == 256 && size_of::<Frame>() == 8 + 304 + 128);

/// Offsets in an xsave area.
mod xsave {
    pub(super) const X87_CONTROL: usize = 0;
    pub(super) const X87_STATUS: usize = 2;
    pub(super) const MXCSR: usize = 24;
    pub(super) const XMM: usize = 160;
    /// What Linux tells programs about the area.
    pub(super) const SOFTWARE: usize = 464;
    /// Which components hold data.
    pub(super) const PRESENT: usize = 512;
    pub(super) const HEADER_END: usize = 576;
    pub(super) const MAGIC1: u32 = 0x4650_5853;
    pub(super) const MAGIC2: u32 = 0x4650_5845;
    /// Bits of `mxcsr` every processor has; the others fault.
    pub(super) const MXCSR_MASK: u32 = 0xffbf;
    /// What a program starts with.
    pub(super) const MXCSR_INITIAL: u32 = 0x1f80;
}

impl Kernel {
    /// Delivers what is pending and not blocked. Returns whether the registers changed.
    pub fn deliver_signals(&mut self, registers: &mut Registers) -> bool {
        let mut changed = false;
        loop {
            while let Some(signal) = self.process.signals.take_stop() {
                self.stop(signal);
            }
            let Some((info, action)) = self.process.take_signal() else { break };
            if action.handler <= IGNORE || self.push_frame(registers, &info, &action, None).is_err() {
                let signal = if action.handler == 0 { info.signal } else { linux::SIGSEGV };
                self.end_by_signal(signal, 0, registers.rip);
                return changed;
            }
            changed = true;
        }
        // A signal that ended a call with a mask of its own, and has no handler.
        let mask = self.process.signals.take_blocked_before();
        self.process.signals.set_blocked(mask);
        changed
    }

    /// Delivers a fault of the program: to its handler, or the program ends.
    pub fn fault(&mut self, registers: &mut Registers, fault: &Fault) {
        let info = fault.info(registers.rip, self.float_exceptions(registers, fault.vector));
        if self.process.signals.catches(fault.signal)
            && let Ok(action) = self.process.signals.action(fault.signal)
            && self.push_frame(registers, &info, &action, Some(fault)).is_ok()
        {
            return;
        }
        self.end_by_signal(fault.signal, fault.address, registers.rip);
    }

    /// What is raised and masked, if `vector` is a floating-point exception.
    fn float_exceptions(&self, registers: &Registers, vector: u64) -> FloatExceptions {
        match vector {
            X87_EXCEPTION => {
                let mut area = Xstate([0; XSTATE_SIZE]);
                self.platform.save_xstate(&mut area.0);
                let word = |at: usize| u16::from_le_bytes([area.0[at], area.0[at + 1]]);
                FloatExceptions::of_x87(word(xsave::X87_CONTROL), word(xsave::X87_STATUS))
            }
            SSE_EXCEPTION => FloatExceptions::of_sse(registers.mxcsr),
            _ => FloatExceptions::default(),
        }
    }

    /// Makes the program continue in a handler, which starts with a vector state of its own.
    fn push_frame(
        &mut self,
        registers: &mut Registers,
        info: &Info,
        action: &Action,
        fault: Option<&Fault>,
    ) -> Result<()> {
        if (KERNEL_VA..KERNEL_VA + KERNEL_SIZE).contains(&action.handler) {
            return Err(Errno::EFAULT);
        }
        let alt_stack = self.process.signals.own.alt_stack;
        let on_stack = action.flags & u64::from(linux::SA_ONSTACK) != 0;
        let usable = alt_stack.flags & linux::SS_DISABLE == 0 && !alt_stack.holds(registers.rsp);
        let top = if on_stack && usable {
            alt_stack.base.saturating_add(alt_stack.size)
        } else {
            registers.rsp.saturating_sub(RED_ZONE)
        };
        let xstate = top.checked_sub(XSTATE_SIZE as u64 + 4).ok_or(Errno::EFAULT)? & !63;
        let at = xstate.checked_sub(size_of::<Frame>() as u64).map(|at| at & !15);
        let at = at.and_then(|at| at.checked_sub(8)).ok_or(Errno::EFAULT)?;
        self.save_xstate(registers, xstate)?;
        let mask = self.process.signals.take_blocked_before();
        let frame = Frame {
            restorer: action.restorer,
            flags: UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS,
            link: 0,
            stack: alt_stack,
            context: context(registers, fault, mask, xstate),
            mask,
            info: *info,
        };
        self.mm.write(at, &frame)?;
        registers.rdi = u64::from(info.signal);
        registers.rsi = at + core::mem::offset_of!(Frame, info) as u64;
        registers.rdx = at + core::mem::offset_of!(Frame, flags) as u64;
        registers.rax = 0;
        registers.rsp = at;
        registers.rip = action.handler;
        registers.rflags &= !DIRECTION_TRAP_RESUME;
        self.reset_xstate();
        (registers.mxcsr, registers.xmm) = (xsave::MXCSR_INITIAL, [0; 16]);
        self.process.signals.enter_handler(info.signal, action);
        Ok(())
    }

    fn save_xstate(&self, registers: &Registers, at: u64) -> Result<()> {
        let area = self.mm.slice_mut(at, XSTATE_SIZE)?;
        area.fill(0);
        self.platform.save_xstate(area);
        area[xsave::MXCSR..xsave::MXCSR + 4].copy_from_slice(&registers.mxcsr.to_le_bytes());
        area[xsave::XMM..xsave::XMM + 256].copy_from_slice(registers.xmm.as_bytes());
        let size = u32::try_from(XSTATE_SIZE).expect("a small constant");
        let software: [u32; 5] = [xsave::MAGIC1, size + 4, XSTATE_MASK, 0, size];
        area[xsave::SOFTWARE..xsave::SOFTWARE + 20].copy_from_slice(software.as_bytes());
        area[xsave::PRESENT] |= 3;
        self.mm.write(at + XSTATE_SIZE as u64, &xsave::MAGIC2)
    }

    /// rt_sigreturn(2): takes the registers back from the frame. The program dies if it is gone.
    pub fn pop_frame(&mut self, registers: &mut Registers) {
        if self.restore_frame(registers).is_err() {
            self.end_by_signal(linux::SIGSEGV, registers.rsp, registers.rip);
        }
    }

    fn restore_frame(&mut self, registers: &mut Registers) -> Result<()> {
        let frame: Frame = self.mm.read(registers.rsp.wrapping_sub(8))?;
        let saved = &frame.context;
        let mut restored = Registers {
            rax: saved.rax,
            rbx: saved.rbx,
            rcx: saved.rcx,
            rdx: saved.rdx,
            rsi: saved.rsi,
            rdi: saved.rdi,
            rbp: saved.rbp,
            rsp: saved.rsp,
            r8_15: saved.r8_15,
            rip: saved.rip,
            rflags: saved.rflags & USER_FLAGS | registers.rflags & !USER_FLAGS,
            ..*registers
        };
        if saved.xstate != 0 {
            self.restore_xstate(&mut restored, saved.xstate)?;
        }
        *registers = restored;
        self.process.signals.set_blocked(frame.mask);
        if frame.stack.flags & !linux::SS_AUTODISARM == 0 || frame.stack.flags == linux::SS_DISABLE {
            self.process.signals.own.alt_stack = frame.stack;
        }
        Ok(())
    }

    /// The vector state is what programs and handlers start with.
    pub(crate) fn reset_xstate(&self) {
        let mut area = Xstate([0; XSTATE_SIZE]);
        area.0[xsave::MXCSR..xsave::MXCSR + 4].copy_from_slice(&xsave::MXCSR_INITIAL.to_le_bytes());
        self.platform.restore_xstate(&area.0);
    }

    /// Takes the vector state back. The program may have changed it: what would fault is made harmless.
    fn restore_xstate(&self, registers: &mut Registers, at: u64) -> Result<()> {
        let mut area = Xstate([0; XSTATE_SIZE]);
        area.0.copy_from_slice(self.mm.slice(at, XSTATE_SIZE)?);
        let present = u64::read_from_prefix(&area.0[xsave::PRESENT..]).map_or(0, |(bits, _)| bits);
        area.0[xsave::PRESENT..xsave::HEADER_END].fill(0);
        area.0[xsave::PRESENT..xsave::PRESENT + 8]
            .copy_from_slice(&(present & u64::from(XSTATE_MASK)).to_le_bytes());
        let mxcsr = u32::read_from_prefix(&area.0[xsave::MXCSR..]).map_or(0, |(bits, _)| bits);
        registers.mxcsr = mxcsr & xsave::MXCSR_MASK;
        area.0[xsave::MXCSR..xsave::MXCSR + 4].copy_from_slice(&registers.mxcsr.to_le_bytes());
        registers.xmm.as_mut_bytes().copy_from_slice(&area.0[xsave::XMM..xsave::XMM + 256]);
        self.platform.restore_xstate(&area.0);
        Ok(())
    }
}

/// An xsave area as the processor wants it.
#[repr(C, align(64))]
struct Xstate([u8; XSTATE_SIZE]);

fn context(registers: &Registers, fault: Option<&Fault>, mask: u64, xstate: u64) -> Context {
    Context {
        r8_15: registers.r8_15,
        rdi: registers.rdi,
        rsi: registers.rsi,
        rbp: registers.rbp,
        rbx: registers.rbx,
        rdx: registers.rdx,
        rax: registers.rax,
        rcx: registers.rcx,
        rsp: registers.rsp,
        rip: registers.rip,
        rflags: registers.rflags,
        cs_gs_fs_ss: [selector::USER_CODE, 0, 0, selector::USER_DATA],
        error: fault.map_or(0, |fault| fault.error),
        vector: fault.map_or(0, |fault| fault.vector),
        old_mask: mask,
        cr2: fault.map_or(0, |fault| fault.address),
        xstate,
        reserved: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::areas::Kind;
    use crate::mm::{DATA, Mapping, Placement};
    use crate::platform::fake::{Fake, X87, X87_INITIAL};
    use crate::process::fault_signal;
    use alloc::rc::Rc;

    const RIP: u64 = 0x40_0000;

    /// A kernel whose program has a stack and handles `signal`.
    fn kernel(signal: u32) -> (Kernel, Rc<Fake>, Registers) {
        let (mut kernel, fake) = Kernel::for_tests();
        let (placement, len, kind) = (Placement::Hint(0), 64 << 10, Kind::Anonymous);
        let stack = kernel.mm.map(Mapping { placement, len, prot: DATA, kind, file: None }).unwrap();
        let flags = u64::from(linux::SA_SIGINFO | linux::SA_RESTORER);
        let action = Action { handler: 0x1234_5678, flags, restorer: 0x8765_4321, mask: 0 };
        kernel.process.signals.set_action(signal, action).unwrap();
        let xmm = core::array::from_fn(|i| i as u128 + 100);
        let rsp = stack + (64 << 10) - 8;
        (kernel, fake, Registers { rsp, rip: RIP, rflags: 0x246, mxcsr: 0x5f80, xmm, ..Registers::default() })
    }

    /// Code and address the handler of `vector` is told, and `cr2` of its context.
    fn told(vector: u64, mxcsr: u32, x87: X87) -> (u32, u64, u64) {
        let fault = fault_signal(vector, 0, 0x77);
        let (mut kernel, fake, mut registers) = kernel(fault.signal);
        fake.x87.set(x87);
        registers.mxcsr = mxcsr;
        kernel.fault(&mut registers, &fault);
        let info: Info = kernel.mm.read(registers.rsi).unwrap();
        assert_eq!(info.signal, fault.signal);
        let frame: Frame = kernel.mm.read(registers.rsp).unwrap();
        (info.code.cast_unsigned(), info.fields[0], frame.context.cr2)
    }

    #[test]
    fn faults_of_instructions_are_told_with_their_address() {
        let cases = [
            (0, linux::FPE_INTDIV, RIP),
            (1, linux::TRAP_TRACE, RIP),
            (3, 0x80, 0),
            (6, linux::ILL_ILLOPN, RIP),
            (12, 0x80, 0),
            (13, 0x80, 0),
            (17, linux::BUS_ADRALN, 0),
        ];
        for (vector, code, address) in cases {
            assert_eq!(told(vector, 0x1f80, X87_INITIAL), (code, address, 0), "vector {vector}");
        }
        assert_eq!(told(14, 0x1f80, X87_INITIAL), (linux::SEGV_MAPERR, 0x77, 0x77));
    }

    #[test]
    fn floating_point_exceptions_are_told_as_on_linux() {
        let cases = [
            (0x01, linux::FPE_FLTINV),
            (0x02, linux::FPE_FLTUND),
            (0x04, linux::FPE_FLTDIV),
            (0x08, linux::FPE_FLTOVF),
            (0x10, linux::FPE_FLTUND),
            (0x20, linux::FPE_FLTRES),
            (0x3f, linux::FPE_FLTINV),
            (0x2c, linux::FPE_FLTDIV),
            (0x38, linux::FPE_FLTOVF),
            (0x30, linux::FPE_FLTUND),
        ];
        for (bits, code) in cases {
            // What is masked does not count, though it has happened.
            let mxcsr = 0x1f80 & !(bits << 7) | 0x3f;
            assert_eq!(told(19, mxcsr, X87_INITIAL), (code, RIP, 0), "{bits:#x}");
            let bits = u16::try_from(bits).unwrap();
            let x87 = X87 { control: 0x37f & !bits, status: 0xb8bf };
            assert_eq!(told(16, 0x1f80, x87), (code, RIP, 0), "{bits:#x}");
        }
        assert_eq!(told(19, 0x1f80, X87_INITIAL), (linux::FPE_FLTINV, RIP, 0), "none at all");
    }

    #[test]
    fn handlers_start_with_a_vector_state_of_their_own_and_the_programs_comes_back() {
        let (mut kernel, fake, before) = kernel(linux::SIGUSR1);
        let x87 = X87 { control: 0xf7f, status: 0x3800 };
        fake.x87.set(x87);
        kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
        let mut registers = before;
        assert!(kernel.deliver_signals(&mut registers));
        assert_eq!((registers.mxcsr, registers.xmm), (0x1f80, [0; 16]));
        assert_eq!(fake.x87.get(), X87_INITIAL);
        registers.rsp += 8;
        kernel.pop_frame(&mut registers);
        assert_eq!((registers.mxcsr, registers.xmm), (before.mxcsr, before.xmm));
        assert_eq!(fake.x87.get(), x87);
    }

    #[test]
    fn without_room_for_a_frame_the_vector_state_stays() {
        let (mut kernel, fake, mut registers) = kernel(linux::SIGUSR1);
        let x87 = X87 { control: 0xf7f, status: 0x3800 };
        fake.x87.set(x87);
        registers.rsp = 64;
        let before = registers;
        kernel.process.signals.send(Info::sent(linux::SIGUSR1, 0)).unwrap();
        kernel.deliver_signals(&mut registers);
        assert_eq!((registers, fake.x87.get()), (before, x87));
    }
}
