//! One shell: a VM and the thread that serves requests with it.
//!
//! ```text
//! new VM --> touch pages, if asked to --> Ready --> wait for a request --> enter the fork --> run --> answer
//!                  ^                                       ^                                            |
//!                  |                                       +------- restore in place (off the path) <---+ Response
//!                  +------------------------- map anew <--- Exit, Signal, ResponseTooLarge -------------+
//! anything else: the shell ends, and its VM with it
//! ```

use super::downstream::Downstream;
use super::upstream::Upstream;
use super::{Cell, ShellHandle, fresh_identity};
use crate::api::StartKind;
use crate::chain;
use crate::message::Kind;
use crate::protocol::{Done, Frame, Outcome, write_frame};
use abi::console::{INPUT_BODY, INPUT_CONNECTION, INPUT_NONE};
use snapshotter::drive::{Interrupt, Stop, Stopped, drive};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use vmm::{Discard, Machine, MachineError};

/// Serves requests from `socket` until it closes or the VM cannot be used again.
pub(super) fn serve(cell: &Arc<Cell>, socket: &UnixStream, handle: &ShellHandle, touched: bool) {
    let Err(reason) = try_serve(cell, socket, handle, touched) else { return };
    handle.address.store(0, Ordering::Release);
    // The worker may have closed its end already.
    let _ = write_frame(&mut &*socket, &Frame::Gone(reason), &[], &[]);
}

/// What becomes of the VM after a request.
enum After {
    Restore,
    Remap,
    /// It ends, but shows what requests touch.
    Look,
    End,
}

fn try_serve(
    cell: &Arc<Cell>,
    socket: &UnixStream,
    handle: &ShellHandle,
    touched: bool,
) -> Result<(), String> {
    let parent = cell.parent.get().ok_or("there is no parent yet")?;
    let mut machine = Machine::fork(&cell.kvm, parent, &cell.images).map_err(|error| chain(&error))?;
    handle.interrupt.attach(machine.kicker());
    handle.address.store(machine.memory_address(), Ordering::Release);
    // As long as nobody knows what a request touches, the first one shows it.
    if touched && parent.working_set().touched.is_some() {
        machine.prefault().map_err(|discard| discard.to_string())?;
    }
    let ready = || write_frame(&mut &*socket, &Frame::Ready, &[], &[]).map_err(|error| error.to_string());
    ready()?;
    let mut downstream = Downstream::new(socket);
    let mut start = StartKind::New;
    while let Some((kind, request)) = downstream.request().map_err(|error| error.to_string())? {
        let ways = (socket, &mut downstream);
        let after = answer(cell, ways, &mut machine, (kind, &request), start, &handle.interrupt)
            .map_err(|error| error.to_string())?;
        start = match after {
            After::Restore => {
                let recycled = recycle(&mut machine);
                // Also what a request touched whose VM is not used again.
                cell.tell_learnt(parent);
                recycled.map_err(|discard| discard.to_string())?
            }
            After::Remap => {
                machine.remap().map_err(|discard| discard.to_string())?;
                machine.prefault().map_err(|discard| discard.to_string())?;
                ready()?;
                StartKind::Remapped
            }
            After::Look => {
                if parent.working_set().touched.is_none() {
                    // It cannot succeed.
                    let _ = machine.restore();
                    cell.tell_learnt(parent);
                }
                return Ok(());
            }
            After::End => return Ok(()),
        };
    }
    Ok(())
}

/// Puts the VM back after a response, while the next request may already be on its way.
fn recycle(machine: &mut Machine) -> Result<StartKind, Discard> {
    match machine.restore() {
        Ok(_) => Ok(StartKind::Recycled),
        Err(Discard::TooManyPages { .. }) => machine.remap().map(|()| StartKind::Remapped),
        Err(discard) => Err(discard),
    }
}

/// Runs one request and sends its outcome.
fn answer<'a>(
    cell: &Cell,
    (socket, downstream): (&'a UnixStream, &mut Downstream<'a>),
    machine: &mut Machine,
    (kind, request): (Kind, &[u8]),
    start: StartKind,
    interrupt: &Interrupt,
) -> io::Result<After> {
    let arrived = Instant::now();
    let entered = enter(cell, machine, kind, request);
    let instance = entered.as_ref().map_or([0; 16], |id| *id);
    let mut upstream = Upstream::new((socket, downstream), start, arrived, instance);
    let stopped = entered.and_then(|_| drive(machine, interrupt, true, &mut upstream).map_err(Outcome::from));
    let begun = upstream.begun();
    let mut payload = Vec::new();
    let (outcome, memory_refused) = match stopped {
        Ok(Stopped { stop, memory_refused, .. }) => (outcome(machine, stop, &mut payload), memory_refused),
        Err(outcome) => (outcome, false),
    };
    let after = match outcome {
        Outcome::Response if machine.is_restorable() => After::Restore,
        Outcome::Response => After::Look,
        Outcome::Exit(_) | Outcome::Signal { .. } | Outcome::ResponseTooLarge => After::Remap,
        Outcome::Killed | Outcome::Fault(_) | Outcome::RequestTooLarge | Outcome::Platform(_) => After::End,
    };
    let (log, log_dropped) = upstream.into_log();
    let done = Frame::Done(Done {
        outcome,
        begun,
        kept: matches!(after, After::Restore),
        again: matches!(after, After::Remap),
        memory_refused,
        refusals: machine.mailbox().refusals().into_iter().map(Into::into).collect(),
        log_dropped,
    });
    write_frame(&mut &*socket, &done, &payload, &log)?;
    Ok(after)
}

fn enter(cell: &Cell, machine: &mut Machine, kind: Kind, request: &[u8]) -> Result<[u8; 16], Outcome> {
    let mut identity = fresh_identity(1 + cell.forks.fetch_add(1, Ordering::Relaxed));
    identity.tsc_khz = machine.tsc_khz();
    machine.mailbox().set_request(request).map_err(|_| Outcome::RequestTooLarge)?;
    machine.mailbox().open_input(match kind {
        Kind::Body => INPUT_BODY,
        Kind::Connection => INPUT_CONNECTION,
        Kind::Request | Kind::Input | Kind::Gone => INPUT_NONE,
    });
    machine.mailbox().set_identity(&identity);
    machine.enter()?;
    Ok(identity.instance)
}

fn outcome(machine: &mut Machine, stop: Stop, payload: &mut Vec<u8>) -> Outcome {
    match stop {
        Stop::Response(len) => match machine.mailbox().response(len) {
            Ok(bytes) => {
                *payload = bytes;
                Outcome::Response
            }
            Err(_) => Outcome::ResponseTooLarge,
        },
        Stop::ResponseTooLarge => Outcome::ResponseTooLarge,
        Stop::Exit(status) => Outcome::Exit(status),
        Stop::Signal { number, address, .. } => Outcome::Signal { number, address },
        Stop::Interrupted => Outcome::Killed,
        Stop::PageLost(what) => Outcome::Platform(what),
        Stop::Fault(what) => Outcome::Fault(what),
        Stop::Ready => Outcome::Fault("it asked for another request before it answered this one".to_owned()),
    }
}

impl From<MachineError> for Outcome {
    fn from(error: MachineError) -> Self {
        Outcome::Platform(chain(&error))
    }
}
