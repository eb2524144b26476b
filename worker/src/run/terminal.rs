//! The caller's terminal: set as the program wants it, and as it was again in the end.
//!
//! Nothing here waits for the output to be seen: while somebody has stopped the terminal (Ctrl-S) that takes for ever, and neither
//! a signal nor the end of the program's time would be noticed. What was written before is not changed by settings made after it.

use abi::console::{SETTINGS_FLUSH, SETTINGS_GET, Settings, SettingsRequest};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, QueueSelector, SpecialCodeIndex,
    Termios, tcflush, tcgetattr, tcsetattr,
};
use std::sync::{Mutex, PoisonError};

/// Special characters in the order of Linux.
const CODES: [SpecialCodeIndex; 17] = [
    SpecialCodeIndex::VINTR,
    SpecialCodeIndex::VQUIT,
    SpecialCodeIndex::VERASE,
    SpecialCodeIndex::VKILL,
    SpecialCodeIndex::VEOF,
    SpecialCodeIndex::VTIME,
    SpecialCodeIndex::VMIN,
    SpecialCodeIndex::VSWTC,
    SpecialCodeIndex::VSTART,
    SpecialCodeIndex::VSTOP,
    SpecialCodeIndex::VSUSP,
    SpecialCodeIndex::VEOL,
    SpecialCodeIndex::VREPRINT,
    SpecialCodeIndex::VDISCARD,
    SpecialCodeIndex::VWERASE,
    SpecialCodeIndex::VLNEXT,
    SpecialCodeIndex::VEOL2,
];

/// The terminal a program has changed, and how it was. One of the process: whatever ends it has to find this.
static CHANGED: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// Makes the terminal what it was before a program changed it. To be called when a run is over, and from a panic hook.
pub fn restore_terminal() {
    // Who panics while holding the lock has not changed anything yet.
    let changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((terminal, before)) = changed {
        // It may be gone: then nobody sees it.
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}

/// The settings that the program has made, to be made again when the process is continued.
#[derive(Default)]
pub(super) struct Wanted(Option<Termios>);

impl Wanted {
    /// Does what the program asks for; its terminal is `terminal`.
    pub(super) fn serve(
        &mut self,
        terminal: Option<BorrowedFd<'_>>,
        args: [u64; 4],
    ) -> Result<Settings, u32> {
        let request = SettingsRequest::decode(args);
        let terminal = terminal.ok_or(Errno::NOTTY);
        let result = terminal.and_then(|terminal| self.change(terminal, &request));
        result.map_err(|error| error.raw_os_error().unsigned_abs())
    }

    fn change(&mut self, terminal: BorrowedFd<'_>, request: &SettingsRequest) -> Result<Settings, Errno> {
        let mut termios = tcgetattr(terminal)?;
        if request.action != SETTINGS_GET {
            keep(terminal, &termios)?;
            apply(&mut termios, request);
            if request.action == SETTINGS_FLUSH {
                tcflush(terminal, QueueSelector::IFlush)?;
            }
            tcsetattr(terminal, OptionalActions::Now, &termios)?;
            self.0 = Some(termios.clone());
        }
        Ok(settings(&termios))
    }

    /// Makes the program's settings again: a shell has made its own while this process was stopped.
    pub(super) fn renew(&self, terminal: Option<BorrowedFd<'_>>) {
        if let (Some(terminal), Some(wanted)) = (terminal, &self.0) {
            // If it is gone, the program finds out.
            let _ = tcsetattr(terminal, OptionalActions::Now, wanted);
        }
    }
}

/// Keeps how `terminal` is, unless that is known.
fn keep(terminal: BorrowedFd<'_>, termios: &Termios) -> Result<(), Errno> {
    let mut changed = CHANGED.lock().unwrap_or_else(PoisonError::into_inner);
    if changed.is_none() {
        let copy = terminal.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        *changed = Some((copy, termios.clone()));
    }
    Ok(())
}

fn apply(termios: &mut Termios, request: &SettingsRequest) {
    termios.input_modes = InputModes::from_bits_retain(request.input);
    termios.output_modes = OutputModes::from_bits_retain(request.output);
    termios.local_modes = LocalModes::from_bits_retain(request.local);
    for (code, byte) in CODES.into_iter().zip(request.characters) {
        termios.special_codes[code] = byte;
    }
}

fn settings(termios: &Termios) -> Settings {
    let mut characters = [0; 19];
    for (byte, code) in characters.iter_mut().zip(CODES) {
        *byte = termios.special_codes[code];
    }
    Settings {
        input: termios.input_modes.bits(),
        output: termios.output_modes.bits(),
        control: (termios.control_modes & (ControlModes::CSIZE | ControlModes::CREAD)).bits(),
        local: termios.local_modes.bits(),
        discipline: 0,
        characters,
    }
}
