//! Runs a VM until its program has something final to say.
//!
//! ```text
//!            +--- Log: hand the text on ---+
//!            +--- Part: hand it on --------+
//!            v                             |
//!   run -> doorbell ---- Sleep: wait ------+   (or until there is more of the request)
//!            |
//!            +--> Ready | Response | Exit | Signal | Panic | ResponseTooLarge
//!   run -> kicked ------> Interrupted
//!   run -> anything else > Fault
//! ```

use abi::mailbox::{DETAIL_MAX, Doorbell, Header, LOG_SIZE, RESPONSE_MAX};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use vmm::{Exit, Kicker, Machine, MachineError};

/// Why [`drive`] returned. Everything but `Ready` and `Response` ends the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program waits for its next request.
    Ready,
    /// The response is in the mailbox, this many bytes.
    Response(u64),
    /// The program exited with this status.
    Exit(u8),
    /// A signal killed the program.
    Signal {
        /// Signal number.
        number: u8,
        /// Address of the access that faulted; 0 if none did.
        address: u64,
        /// Address of the instruction.
        instruction: u64,
    },
    /// The response does not fit.
    ResponseTooLarge,
    /// Somebody called [`Interrupt::fire`].
    Interrupted,
    /// A page of the parent's memory could not be had: the platform's fault.
    PageLost(String),
    /// The guest broke its kernel or the contract.
    Fault(String),
}

/// A [`Stop`] and what the guest said of itself at that moment.
#[derive(Clone, Debug)]
pub struct Stopped {
    /// Why it stopped.
    pub stop: Stop,
    /// Whether memory was refused to the program since it was resumed.
    pub memory_refused: bool,
    /// Bytes of memory the program has mapped. The guest's own word.
    pub memory_used: u64,
}

/// Ends a [`drive`] from another thread, whether the VM runs or sleeps.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<InterruptState>);

#[derive(Default)]
struct InterruptState {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    fired: bool,
    kicker: Option<Kicker>,
}

impl Interrupt {
    /// Makes the current and every later [`drive`] that uses this return [`Stop::Interrupted`].
    pub fn fire(&self) {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.fired = true;
        if let Some(kicker) = &inner.kicker {
            kicker.kick();
        }
        self.0.changed.notify_all();
    }

    /// Connects this to the VM it ends. If it fired before, the VM is kicked at once.
    pub fn attach(&self, kicker: Kicker) {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.fired {
            kicker.kick();
        }
        inner.kicker = Some(kicker);
    }

    /// Waits until `until` or until fired; `None`: only until fired.
    fn sleep(&self, until: Option<Instant>) {
        let mut inner = self.0.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while !inner.fired {
            let Some(until) = until else {
                inner = self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            inner = self.0.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What there is of a request that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing can come.
    Never,
    /// Nothing has come yet.
    NotYet,
    /// The next bytes, not empty.
    Data(Vec<u8>),
    /// The end.
    End,
    /// It cannot be had: an error number for the program.
    Error(u32),
}

/// What takes a VM's output while it runs, and has more of its request. A function is one for log records only.
pub trait Output {
    /// Takes raw log records ([`abi::mailbox::LogRecord`]), unchecked.
    fn log(&mut self, records: Vec<u8>);

    /// Takes the next part of a response, and the VM waits until it has. What it says otherwise ends the VM.
    fn part(&mut self, _bytes: Vec<u8>) -> Result<(), Stop> {
        Err(Stop::Fault("it answered in parts where nobody takes them".to_owned()))
    }

    /// Waits for more of the request, at most until `until`. What it says otherwise ends the VM.
    fn input(&mut self, _until: Option<Instant>) -> Result<Input, Stop> {
        Ok(Input::Never)
    }
}

impl<F: FnMut(Vec<u8>)> Output for F {
    fn log(&mut self, records: Vec<u8>) {
        self(records);
    }
}

/// Host `CLOCK_MONOTONIC` in nanoseconds, the time base of `Doorbell::Sleep`.
pub fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Runs `machine` until it stops. `output` gets what it says on the way.
/// `endless_sleep`: whether sleeping for ever is waited out (until interrupted) or is itself a stop.
pub fn drive(
    machine: &mut Machine,
    interrupt: &Interrupt,
    endless_sleep: bool,
    output: &mut dyn Output,
) -> Result<Stopped, MachineError> {
    loop {
        let exit = machine.run()?;
        if exit != Exit::Doorbell {
            drain_log(machine, output);
            return Ok(stopped(stop_of_exit(exit), &machine.mailbox().header()));
        }
        let header = machine.mailbox().header();
        match Doorbell::from_u32(header.doorbell) {
            Some(Doorbell::Log) => {
                drain_log(machine, output);
            }
            Some(Doorbell::Sleep) if header.args[0] == u64::MAX && !endless_sleep => {
                drain_log(machine, output);
                let text = "it waits for something that can never happen";
                return Ok(stopped(Stop::Fault(text.to_owned()), &header));
            }
            Some(Doorbell::Part) => {
                drain_log(machine, output);
                if let Err(stop) = hand_on(machine, &header, output) {
                    return Ok(stopped(stop, &header));
                }
            }
            Some(Doorbell::Sleep) => {
                if let Err(stop) = sleep(machine, &header, interrupt, output) {
                    return Ok(stopped(stop, &header));
                }
            }
            doorbell => {
                drain_log(machine, output);
                return Ok(stopped(stop_of_doorbell(doorbell, &header), &header));
            }
        }
    }
}

/// Hands on a part of the response; an empty one says that only the end can follow.
fn hand_on(machine: &mut Machine, header: &Header, output: &mut dyn Output) -> Result<(), Stop> {
    match machine.mailbox().response(header.response_len) {
        Ok(bytes) if bytes.is_empty() => {}
        Ok(bytes) => output.part(bytes)?,
        Err(_) => return Err(Stop::ResponseTooLarge),
    }
    if header.args[0] == 0 { Ok(()) } else { output.part(Vec::new()) }
}

/// Waits until it is time, or there is more of the request if the guest wants that.
fn sleep(
    machine: &mut Machine,
    header: &Header,
    interrupt: &Interrupt,
    output: &mut dyn Output,
) -> Result<(), Stop> {
    let until = wake_time(header.args[0]);
    let input = if header.args[1] == 0 { Input::Never } else { output.input(until)? };
    match input {
        Input::Never => interrupt.sleep(until),
        Input::NotYet => {}
        Input::Data(bytes) => machine.mailbox().set_input(Ok(&bytes)),
        Input::End => machine.mailbox().set_input(Ok(&[])),
        Input::Error(number) => machine.mailbox().set_input(Err(number)),
    }
    Ok(())
}

fn wake_time(until_ns: u64) -> Option<Instant> {
    let left = Duration::from_nanos(until_ns.saturating_sub(monotonic_ns()));
    // A time that cannot be represented is as good as never.
    if until_ns == u64::MAX { None } else { Instant::now().checked_add(left) }
}

fn drain_log(machine: &mut Machine, output: &mut dyn Output) {
    let len = machine.mailbox().header().log_len.min(LOG_SIZE);
    if len > 0 {
        // It cannot fail: the length has just been cut to the area's.
        let bytes = machine.mailbox().log(len).unwrap_or_default();
        machine.mailbox().clear_log();
        output.log(bytes);
    }
}

fn stopped(stop: Stop, header: &Header) -> Stopped {
    Stopped { stop, memory_refused: header.memory_refused != 0, memory_used: header.memory_used }
}

fn stop_of_exit(exit: Exit) -> Stop {
    match exit {
        Exit::Kicked => Stop::Interrupted,
        Exit::Doorbell => Stop::Fault("unexpected doorbell".to_owned()),
        Exit::TripleFault => Stop::Fault("the CPU shut down (triple fault)".to_owned()),
        Exit::Stray { gpa, write } => {
            let what = if write { "wrote to" } else { "read from" };
            Stop::Fault(format!("it {what} physical address {gpa:#x}, where it has no memory"))
        }
        Exit::Port { port } => Stop::Fault(format!("it used I/O port {port:#x}, which it may not")),
        Exit::PageLost(what) => Stop::PageLost(what),
        Exit::Other(what) => Stop::Fault(what),
    }
}

fn stop_of_doorbell(doorbell: Option<Doorbell>, header: &Header) -> Stop {
    let byte = |value: u64| value.to_le_bytes()[0];
    match doorbell {
        Some(Doorbell::Ready) => Stop::Ready,
        Some(Doorbell::Response) if header.response_len <= RESPONSE_MAX => {
            Stop::Response(header.response_len)
        }
        Some(Doorbell::Response | Doorbell::ResponseTooLarge) => Stop::ResponseTooLarge,
        Some(Doorbell::Exit) => Stop::Exit(byte(header.args[0])),
        Some(Doorbell::Signal) => Stop::Signal {
            number: byte(header.args[0]),
            address: header.args[1],
            instruction: header.args[2],
        },
        Some(Doorbell::Panic) => Stop::Fault(format!("guest kernel: {}", detail(header))),
        Some(Doorbell::Log | Doorbell::Sleep | Doorbell::Part | Doorbell::Terminal) | None => {
            Stop::Fault(format!("it rang the doorbell with an unknown reason, {}", header.doorbell))
        }
    }
}

fn detail(header: &Header) -> String {
    let len = usize::try_from(header.detail_len).unwrap_or(usize::MAX).min(DETAIL_MAX);
    String::from_utf8_lossy(&header.detail[..len]).replace(char::is_control, " ")
}
