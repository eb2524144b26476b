//! Why a VM stopped.

use abi::layout::DOORBELL_PORT;
use kvm_ioctls::VcpuExit;

/// Why [`crate::Machine::run`] returned. Only after [`Exit::Doorbell`] can the VM go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest rang the doorbell; the mailbox header says why.
    Doorbell,
    /// Somebody kicked the VM.
    Kicked,
    /// The guest destroyed its own exception handling.
    TripleFault,
    /// The guest touched a physical address where there is no memory, or wrote to a read-only image.
    Stray {
        /// Guest-physical address.
        gpa: u64,
        /// Whether it was a write.
        write: bool,
    },
    /// The guest used a port other than the doorbell, or the doorbell in another way than by one `out` of a byte.
    Port {
        /// The port.
        port: u16,
    },
    /// A page of the parent could not be had, and why. What the guest did with it does not count.
    PageLost(String),
    /// KVM could not go on, in words.
    Other(String),
}

/// Translates an exit. `None`: nothing for the caller, run again.
pub(crate) fn decode(exit: VcpuExit<'_>) -> Option<Exit> {
    Some(match exit {
        VcpuExit::IoOut(port, [_]) if port == u16::from(DOORBELL_PORT) => Exit::Doorbell,
        VcpuExit::IoOut(port, _) | VcpuExit::IoIn(port, _) => Exit::Port { port },
        VcpuExit::MmioRead(gpa, _) => Exit::Stray { gpa, write: false },
        VcpuExit::MmioWrite(gpa, _) => Exit::Stray { gpa, write: true },
        VcpuExit::Shutdown => Exit::TripleFault,
        VcpuExit::Intr | VcpuExit::IrqWindowOpen => return None,
        VcpuExit::Hlt => Exit::Other("the guest halted its CPU".to_owned()),
        VcpuExit::FailEntry(reason, _) => {
            Exit::Other(format!("the CPU refused the guest's state ({reason:#x})"))
        }
        VcpuExit::InternalError => Exit::Other("KVM could not emulate an instruction".to_owned()),
        VcpuExit::MemoryFault { gpa, .. } => Exit::Other(format!("memory at {gpa:#x} could not be had")),
        other => Exit::Other(format!("unexpected exit {other:?}")),
    })
}
