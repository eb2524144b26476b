//! Starting a program: ELF files (static, position independent, or with an interpreter such as `ld.so`) and
//! scripts that begin with `#!`.

mod elf;
mod load;
mod plan;
mod replace;
mod stack;
#[cfg(test)]
mod tests;

use crate::errno::Errno;
use crate::file::File;
use crate::kernel::Kernel;
use crate::process::Registers;
use abi::mailbox::Doorbell;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;

use plan::Plan;
pub use replace::{Request, replace};
pub(crate) use stack::TICKS;

/// Why a program cannot be started.
#[derive(Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It cannot be opened or read.
    Io(Errno),
    /// It is neither ELF nor a script.
    NotAProgram,
    /// It ends early.
    Truncated,
    /// It is for another machine.
    Machine {
        /// `e_machine`.
        machine: u16,
        /// 32 or 64.
        bits: u8,
    },
    /// Its headers make no sense.
    Malformed(&'static str),
    /// It wants to be at an address that is not there.
    Address(u64),
    /// It does not fit into the function's memory.
    NoMemory,
    /// Something is wrong with its interpreter.
    Interpreter(String, Rc<LoadError>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(Errno::ENOENT) => f.write_str("not found"),
            Self::Io(Errno::EACCES) => f.write_str("permission denied: it is not executable"),
            Self::Io(Errno::EISDIR) => f.write_str("it is a directory"),
            Self::Io(errno) => write!(f, "it cannot be read (error {})", errno.0),
            Self::NotAProgram => {
                f.write_str("exec format error: neither an ELF program nor a script with #!")
            }
            Self::Truncated => f.write_str("exec format error: the file is cut off"),
            Self::Machine { machine, bits } => write!(
                f,
                "exec format error: built for {} ({bits} bit), this is x86-64 (64 bit); build it for x86_64 Linux",
                elf::machine_name(*machine)
            ),
            Self::Malformed(what) => write!(f, "exec format error: {what}"),
            Self::Address(at) => write!(
                f,
                "it is linked at {at:#x}, outside of the function's memory; build it position independent or give it more memory"
            ),
            Self::NoMemory => f.write_str("it does not fit into the function's memory; give it more"),
            Self::Interpreter(path, why) => write!(f, "its interpreter {path}: {why}"),
        }
    }
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOMEM => Self::NoMemory,
            errno => Self::Io(errno),
        }
    }
}

impl LoadError {
    /// The exit status a shell would give: 127 if there is no such program, 126 if it cannot run.
    fn exit_status(&self) -> u64 {
        if *self == Self::Io(Errno::ENOENT) { 127 } else { 126 }
    }
}

/// How programs are found: the tree in the guest, a table in tests.
pub type Opener<'a> = dyn FnMut(&mut Kernel, &str) -> Result<Rc<dyn File>, Errno> + 'a;

/// Loads the program `args[0]` names. `None`: it cannot be started; that is logged and the host knows.
pub fn start(kernel: &mut Kernel, args: &[&[u8]], env: &[&[u8]], open: &mut Opener<'_>) -> Option<Registers> {
    let path = find(kernel, args.first().copied().unwrap_or_default(), env, open);
    match load(kernel, &path, args, env, open) {
        Ok(registers) => Some(registers),
        Err(error) => {
            kernel.platform.log(3, format!("{path}: {error}\n").as_bytes());
            kernel.ring(Doorbell::Exit, [error.exit_status(), 0, 0, 0]);
            None
        }
    }
}

/// The path of the program `name`: as it is if it has a slash, else looked for in `PATH`.
fn find(kernel: &mut Kernel, name: &[u8], env: &[&[u8]], open: &mut Opener<'_>) -> String {
    let name = String::from_utf8_lossy(name).into_owned();
    let path = env.iter().find_map(|entry| entry.strip_prefix(b"PATH=")).unwrap_or_default();
    let candidates = path.split(|&byte| byte == b':').filter(|directory| directory.starts_with(b"/"));
    let mut candidates = candidates.map(|directory| format!("{}/{name}", String::from_utf8_lossy(directory)));
    let found = if name.contains('/') { None } else { candidates.find(|path| open(kernel, path).is_ok()) };
    found.unwrap_or(name)
}

/// Takes the program to where it starts: the directory the variable `PWD` names. False: it is not there; that is logged
/// and the host knows.
pub fn enter_directory(kernel: &mut Kernel, env: &[&[u8]]) -> bool {
    let Some(path) = env.iter().find_map(|entry| entry.strip_prefix(b"PWD=")) else { return true };
    let Err(errno) = kernel.change_dir(path) else { return true };
    let why = if errno == Errno::ENOTDIR { "not a directory" } else { "no such directory" };
    let text = format!("{}: {why}\n", String::from_utf8_lossy(path));
    kernel.platform.log(3, text.as_bytes());
    kernel.ring(Doorbell::Exit, [LoadError::Io(Errno::ENOENT).exit_status(), 0, 0, 0]);
    false
}

/// Loads a program or, for a script, its interpreter, and builds the stack.
pub fn load(
    kernel: &mut Kernel,
    path: &str,
    args: &[&[u8]],
    env: &[&[u8]],
    open: &mut Opener<'_>,
) -> Result<Registers, LoadError> {
    let file = open(kernel, path)?;
    Plan::new(kernel, path, file, args, open)?.load(kernel, env)
}

/// The interpreter of a script and its one argument, from the script's first bytes.
fn script_interpreter(head: &[u8]) -> Result<(&str, Option<&[u8]>), LoadError> {
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    if line.len() == load::HEAD {
        return Err(LoadError::Malformed("its first line is too long"));
    }
    let line = line[2..].trim_ascii();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let name =
        core::str::from_utf8(name).map_err(|_| LoadError::Malformed("its interpreter has no UTF-8 name"))?;
    if name.is_empty() {
        return Err(LoadError::Malformed("there is no interpreter behind #!"));
    }
    let rest = rest.trim_ascii();
    Ok((name, (!rest.is_empty()).then_some(rest)))
}

/// Strings, each ended by a NUL, as `/proc` shows them.
fn terminated(strings: &[&[u8]]) -> Rc<[u8]> {
    strings.iter().flat_map(|string| string.iter().copied().chain([0])).collect()
}
