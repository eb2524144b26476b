//! Runs one program in a VM of its own, with the caller's standard streams. No platform, no cell: the VM is this
//! process's, and is gone when the program ends.
//!
//! ```text
//!  control: signals, timeout ---- kick, wake ----.
//!                                                v
//!  stdin --> input when it is asked for --> [ VM thread: run the VM ] --> stdout, stderr at once
//! ```

mod control;
mod report;
mod streams;
mod terminal;

pub use control::Control;
pub use report::{Counters, End, Outcome, Refused, signal_name};
pub use streams::Streams;
pub use terminal::restore_terminal;

use crate::cell::fresh_identity;
use abi::boot::Contract;
use abi::console::INPUT_NONE;
use abi::layout::KERNEL_SIZE;
use abi::mailbox::{DETAIL_MAX, Doorbell, Header, LOG_SIZE};
use report::end_of_exit;
use snapshotter::drive::monotonic_ns;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vmm::{BootSpec, Exit, Image, Images, KernelImage, Kvm, Machine, MapError};

/// Bytes of an image that is copied into memory whole; a larger one is read as the program touches it.
const LOADED_MAX: u64 = 256 << 20;

/// What continues a stopped process.
const SIGCONT: u32 = 18;

/// Why a program was not run. What it did itself is in [`Outcome`].
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RunError {
    what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RunError {
    fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl Fn(E) -> RunError {
        move |error| RunError { what, source: error.into() }
    }
}

/// What is run.
#[derive(Debug)]
pub struct Program<'a> {
    /// The image that is `/`.
    pub root: &'a File,
    /// The image at `/var/task`, if there is one.
    pub package: Option<&'a File>,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// The program, looked up in `PATH` if it has no slash, and its arguments.
    pub args: Vec<Vec<u8>>,
    /// The environment, `K=V` each. `PWD` is the directory it starts in.
    pub env: Vec<Vec<u8>>,
}

/// Runs `program` to its end.
pub fn run(
    kvm: &Path,
    program: &Program<'_>,
    streams: &mut Streams,
    control: &Control,
) -> Result<Outcome, RunError> {
    let begun = Instant::now();
    let kvm = Kvm::open(kvm).map_err(RunError::of("KVM cannot be used"))?;
    let kernel =
        KernelImage::parse(runtimes::PICO).map_err(RunError::of("the guest kernel cannot be read"))?;
    let ram_bytes = KERNEL_SIZE + program.memory_bytes;
    let spec = BootSpec {
        ram_bytes,
        contract: Contract::Program,
        port: 0,
        args: program.args.clone(),
        env: program.env.clone(),
        awaits_function: false,
    };
    let mut machine = Machine::boot_alone(&kvm, &kernel, &images(program)?, &spec)
        .map_err(RunError::of("the VM cannot be made"))?;
    let mut identity = fresh_identity(0);
    identity.tsc_khz = machine.tsc_khz();
    machine.mailbox().set_identity(&identity);
    let (rows, columns) = streams.size();
    machine.mailbox().set_terminals(streams.terminals(), rows, columns);
    control.attach(machine.kicker());
    let made = begun.elapsed();
    let mut session = Session { machine, streams, control, doorbells: 0 };
    let end = session.until_end();
    restore_terminal();
    let end = end?;
    Ok(session.outcome(end, made, begun.elapsed()))
}

fn images(program: &Program<'_>) -> Result<Images, RunError> {
    let open = |file| image(file).map(Arc::new).map_err(RunError::of("an image cannot be used"));
    Ok(Images { root: open(program.root)?, package: program.package.map(open).transpose()? })
}

fn image(file: &File) -> Result<Image, MapError> {
    if file.metadata()?.len() <= LOADED_MAX { Image::load(file) } else { Image::map(file) }
}

/// A VM that runs.
struct Session<'a> {
    machine: Machine,
    streams: &'a mut Streams,
    control: &'a Control,
    doorbells: u64,
}

impl Session<'_> {
    fn until_end(&mut self) -> Result<End, RunError> {
        loop {
            let exit = self.machine.run().map_err(RunError::of("the VM cannot be run"))?;
            let header = self.machine.mailbox().header();
            self.control.untaken(header.console.signals);
            let end = match exit {
                Exit::Doorbell => self.doorbell(&header),
                // The log is not looked at: the guest may be in the middle of writing to it.
                Exit::Kicked => None,
                exit => Some(end_of_exit(exit)),
            };
            // First the signals: what comes after they were taken kicks the VM out of its next run.
            self.send_signals();
            if let Some(end) = end.or_else(|| self.control.end()) {
                return Ok(end);
            }
        }
    }

    /// Does what the guest asks for. Something: that was the end.
    fn doorbell(&mut self, header: &Header) -> Option<End> {
        self.doorbells += 1;
        self.take_output(header);
        match Doorbell::from_u32(header.doorbell) {
            Some(Doorbell::Log) => {}
            Some(Doorbell::Sleep) => self.sleep(header),
            Some(Doorbell::Terminal) => {
                let settings = self.streams.serve_terminal(header.args);
                self.machine.mailbox().set_settings(settings);
            }
            Some(Doorbell::Exit) => return Some(End::Exit(header.args[0].to_le_bytes()[0])),
            Some(Doorbell::Signal) => {
                let [number, address, instruction, _] = header.args;
                return Some(End::Signal { number: number.to_le_bytes()[0], address, instruction });
            }
            Some(Doorbell::Panic) => {
                let len = usize::try_from(header.detail_len).unwrap_or(DETAIL_MAX).min(DETAIL_MAX);
                let text = String::from_utf8_lossy(&header.detail[..len]).replace(char::is_control, " ");
                return Some(End::Fault(format!("the guest kernel failed: {text}")));
            }
            Some(Doorbell::Ready | Doorbell::Response | Doorbell::ResponseTooLarge | Doorbell::Part)
            | None => {
                let reason = header.doorbell;
                return Some(End::Fault(format!("the guest kernel rang for no reason there is ({reason})")));
            }
        }
        None
    }

    /// Passes on what was written since the last doorbell.
    fn take_output(&mut self, header: &Header) {
        let len = header.log_len.min(LOG_SIZE);
        if len == 0 {
            return;
        }
        // It cannot fail: the length has just been cut to the area's.
        let records = self.machine.mailbox().log(len).unwrap_or_default();
        self.machine.mailbox().clear_log();
        self.streams.write_records(&records, self.control);
        self.machine.mailbox().set_output_errors(self.streams.errors());
    }

    /// Waits for what the guest waits for: a time, input if it wants some, a signal.
    fn sleep(&mut self, header: &Header) {
        let [until, wants_input, ..] = header.args;
        let left = (until != u64::MAX).then(|| Duration::from_nanos(until.saturating_sub(monotonic_ns())));
        if wants_input == 0 {
            self.control.wait(left, None);
        } else if header.console.input == INPUT_NONE
            && let Some(input) = self.streams.input(left, self.control)
        {
            self.machine.mailbox().set_input(input);
        }
    }

    fn send_signals(&mut self) {
        let (signals, resized) = self.control.take();
        if resized {
            let (rows, columns) = self.streams.size();
            self.machine.mailbox().set_terminals(self.streams.terminals(), rows, columns);
        }
        if signals & 1 << (SIGCONT - 1) != 0 {
            self.streams.renew_terminal();
        }
        if signals != 0 {
            self.machine.mailbox().send_signals(signals);
        }
    }

    fn outcome(&mut self, end: End, made: Duration, total: Duration) -> Outcome {
        let counters = Counters::read(&self.machine);
        let header = self.machine.mailbox().header();
        Outcome {
            end,
            memory_refused: header.memory_refused != 0,
            memory_used: header.memory_used,
            refused: Refused::of(&self.machine.mailbox().refusals()),
            start_ms: made.as_secs_f64() * 1000.0,
            total_ms: total.as_secs_f64() * 1000.0,
            doorbells: self.doorbells,
            counters,
        }
    }
}
