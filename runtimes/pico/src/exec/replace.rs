//! A process begins another program: execve(2).

use super::{LoadError, Plan};
use crate::errno::{Errno, Result};
use crate::file::File;
use crate::kernel::Kernel;
use crate::process::{AltStack, Return};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::SIGCHLD;

/// What a process is to become.
pub struct Request {
    /// The program as it was named.
    pub name: String,
    /// Its path.
    pub exe: Vec<u8>,
    /// Its file.
    pub file: Rc<dyn File>,
    /// Arguments.
    pub arguments: Vec<Vec<u8>>,
    /// Environment.
    pub environment: Vec<Vec<u8>>,
}

impl LoadError {
    /// What execve(2) says.
    fn errno(&self) -> Errno {
        match self {
            Self::Io(errno) => *errno,
            Self::NotAProgram | Self::Truncated | Self::Machine { .. } | Self::Malformed(_) => Errno::ENOEXEC,
            Self::Address(_) | Self::NoMemory => Errno::ENOMEM,
            Self::Interpreter(_, why) => match **why {
                // As Linux: there is an interpreter, but it is none.
                Self::NotAProgram | Self::Truncated | Self::Malformed(_) => Errno::ELIBBAD,
                ref why => why.errno(),
            },
        }
    }
}

/// The current process goes on as another program. On failure it goes on as it was, but for threads it had.
pub fn replace(kernel: &mut Kernel, request: Request) -> Result<()> {
    let Request { name, exe, file, arguments, environment } = request;
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let environment: Vec<&[u8]> = environment.iter().map(Vec::as_slice).collect();
    let mut open = |kernel: &mut Kernel, path: &str| kernel.open_for_exec(path.as_bytes());
    let plan = Plan::new(kernel, &name, file, &arguments, &mut open).map_err(|error| error.errno())?;
    let strings = arguments.iter().chain(&environment).map(|string| string.len() + 1).sum::<usize>();
    kernel.processes.recharge(kernel.fds.own_bytes() + exe.len() + strings)?;
    let mm = kernel.mm.empty()?;
    if let Err(errno) = kernel.end_other_threads() {
        mm.release();
        return Err(errno);
    }
    kernel.leave_memory();
    let old = kernel.move_to_space(mm);
    match plan.load(kernel, &environment) {
        Ok(registers) => {
            kernel.leave_space(old);
            kernel.vfs.place.program.exe = exe;
            become_program(kernel);
            kernel.process.returning = Some(Return::Program(Box::new(registers)));
            Ok(())
        }
        Err(error) => {
            kernel.move_back_to_space(old);
            Err(error.errno())
        }
    }
}

/// What a process keeps and loses when it becomes another program.
fn become_program(kernel: &mut Kernel) {
    let closed = kernel.fds.close_on_exec();
    kernel.closed(closed);
    kernel.reclaim_files();
    kernel.process.signals.reset_handlers();
    kernel.process.timers.clear();
    kernel.process.signals.own.alt_stack = AltStack::none();
    kernel.process.dumpable = true;
    kernel.process.ids.execute();
    kernel.process.keeps_capabilities = false;
    kernel.platform.set_fs_base(0);
    kernel.platform.set_gs_base(0);
    kernel.reset_xstate();
    let pid = kernel.pid();
    let record = kernel.processes.own_mut();
    record.has_execed = true;
    record.exit_signal = SIGCHLD;
    kernel.return_loan(pid);
}
