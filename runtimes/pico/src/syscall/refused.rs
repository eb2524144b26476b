//! What the host is told about calls that failed because pico lacks something: which flag, command or option it was.
//! One table says what pico knows of each argument. It decides nothing: the handlers do.

use super::Args;
use crate::errno::Errno;
use crate::kernel::Kernel;
use abi::refusal::{Kind, Refusal};
use rules::RULES;

mod rules;
#[cfg(test)]
mod tests;

/// One argument of a system call that can ask for something pico lacks.
struct Rule {
    number: u32,
    argument: u32,
    known: Known,
}

/// What pico knows.
#[derive(Clone, Copy)]
enum Known {
    /// These flags; the argument is an `unsigned int`.
    Flags(u32),
    /// These flags of 64 bits, in the program's memory, so many bytes behind the address in the argument.
    FlagsAt(u32, u64),
    /// These values, of which no error but Linux's own comes. The bits of the mask are looked at.
    Values(u32, &'static [u32]),
    /// An option of a socket: its level, with the option in the argument that follows.
    Option,
}

/// Whether an error may mean that pico lacks something.
fn may_be_lacking(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINVAL
            | Errno::ENOSYS
            | Errno::EOPNOTSUPP
            | Errno::ENOTTY
            | Errno::ENOPROTOOPT
            | Errno::EAFNOSUPPORT
            | Errno::EPROTONOSUPPORT
            | Errno::ESOCKTNOSUPPORT
    )
}

/// What was refused, if it was for lack of something.
pub(super) fn refusal(kernel: &Kernel, number: u64, args: &Args, errno: Errno) -> Option<Refusal> {
    if !may_be_lacking(errno) {
        return None;
    }
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let rules = RULES.iter().filter(|rule| rule.number == number);
    let call = (errno == Errno::ENOSYS).then(|| Refusal::new(Kind::Call, number, 0, 0));
    rules.filter_map(|rule| rule.refusal(kernel, args, errno)).next().or(call)
}

impl Rule {
    fn refusal(&self, kernel: &Kernel, args: &Args, errno: Errno) -> Option<Refusal> {
        let given = args.uint(self.argument as usize);
        let field = if let Known::FlagsAt(offset, _) = self.known { offset << 8 } else { 0 };
        let (kind, value) = match self.known {
            Known::Flags(known) => (Kind::Flags, u64::from(given & !known)),
            Known::FlagsAt(offset, known) => {
                let at = args.raw(self.argument as usize).checked_add(offset.into())?;
                (Kind::Flags, kernel.mm.read::<u64>(at).ok()? & !known)
            }
            Known::Values(mask, known) if known.contains(&(given & mask)) => return None,
            Known::Values(mask, _) => (Kind::Value, u64::from(given & mask)),
            Known::Option if errno == Errno::EINVAL => return None,
            Known::Option => {
                (Kind::Value, u64::from(given) << 32 | u64::from(args.uint(self.argument as usize + 1)))
            }
        };
        let refused = kind == Kind::Value || value != 0;
        refused.then(|| Refusal::new(kind, self.number, self.argument | field, value))
    }
}
