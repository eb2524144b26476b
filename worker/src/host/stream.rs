//! An answer that comes in parts: from the VM to whoever reads it, at the pace of the slower one.

use super::function::{Busy, Function};
use super::run::{Next, Ran, Run};
use crate::api::{InvokeError, Parts, Piece, Timing};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout_at;

/// What follows the first part of an answer.
pub(super) fn follow(
    function: &Arc<Function>,
    run: Run,
    busy: Busy,
    queue: Duration,
    request_id: String,
) -> Parts {
    let (sender, parts) = Parts::channel(run.deadline());
    let function = function.clone();
    tokio::spawn(async move {
        let ended = pass_on(&function, run, queue, &sender).await;
        drop(busy);
        let Some(ended) = ended else { return };
        if let Err(error) = &ended {
            function.note_broken_off(&request_id, error);
        }
        // Whoever does not want to know has gone away.
        let _ = sender.send(Piece::End(ended)).await;
    });
    parts
}

/// Passes parts on until the answer ends; nothing if the reader has gone away. The VM is given back or destroyed by then.
async fn pass_on(
    function: &Function,
    mut run: Run,
    queue: Duration,
    sender: &Sender<Piece>,
) -> Option<Result<Timing, InvokeError>> {
    let timed_out = || Some(Err(InvokeError::Timeout(function.spec.timeout)));
    let deadline = run.deadline();
    let ran = loop {
        let next = tokio::select! {
            next = run.go_on() => next,
            () = sender.closed() => return None,
        };
        match next {
            Next::End(ran) => break ran,
            // The next part is read when this one is taken; until then the VM waits. Its time goes on.
            Next::Part(bytes) => match timeout_at(deadline, sender.send(Piece::Part(bytes))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return timed_out(),
            },
        }
    };
    drop(run);
    match ran {
        Ran::Done(done, payload) => match function.reply(done, payload, queue) {
            Ok(reply) => last(sender, reply.payload).await.then_some(Ok(reply.timing)),
            Err(error) => Some(Err(error)),
        },
        Ran::TimedOut => timed_out(),
        Ran::Starved => Some(Err(InvokeError::BodyTimeout(function.spec.timeout))),
        Ran::Refused(why) => Some(Err(InvokeError::BodyRefused(why))),
        Ran::Lost(reason) | Ran::NotBegun(reason) | Ran::NotTaken(reason) => {
            Some(Err(InvokeError::Platform(reason)))
        }
        Ran::Begun(..) => Some(Err(InvokeError::Platform("an answer began twice".to_owned()))),
    }
}

/// Passes the last part on; whether it was taken.
async fn last(sender: &Sender<Piece>, bytes: Bytes) -> bool {
    bytes.is_empty() || sender.send(Piece::Part(bytes)).await.is_ok()
}
