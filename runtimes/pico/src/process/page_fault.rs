//! Page faults of the program: memory it was promised, or a signal.

use super::{Fault, Registers};
use crate::kernel::Kernel;
use crate::mm::PageFault;
use linux_raw_sys::general as linux;

/// Exception vector of page faults.
pub const PAGE_FAULT: u64 = 14;

impl Kernel {
    /// The program touched `address` and the processor refused; `error` is its reason. A program that touches more
    /// than there is ends as if by Linux when memory runs out.
    pub fn page_fault(&mut self, registers: &mut Registers, error: u64, address: u64) {
        match self.mm.page_fault(address, error) {
            PageFault::Resolved => {}
            PageFault::Refused(code) => {
                let (signal, code) = (linux::SIGSEGV, code.cast_signed());
                self.fault(registers, &Fault { signal, code, vector: PAGE_FAULT, error, address });
            }
            PageFault::Beyond => {
                let (signal, code) = (linux::SIGBUS, linux::BUS_ADRERR.cast_signed());
                self.fault(registers, &Fault { signal, code, vector: PAGE_FAULT, error, address });
            }
            PageFault::OutOfMemory => {
                self.platform.memory_refused();
                self.end_by_signal(linux::SIGKILL, address, registers.rip);
            }
        }
    }
}
