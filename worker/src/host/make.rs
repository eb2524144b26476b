//! Making shells: for a request that waits, or ahead of demand.

use super::cell::Cell;
use super::run::{Frames, KILL_PATIENCE};
use super::shells::Shell;
use crate::protocol::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a shell has to be made or mapped anew, its page faults included.
const READY_MAX: Duration = Duration::from_secs(30);

/// Makes a shell for whoever waits longest when it is there.
pub(super) async fn for_waiting(cell: Arc<Cell>) {
    match make(&cell, false).await {
        Ok(shell) => cell.shells.made(shell),
        Err(why) => cell.shells.not_made(&why),
    }
}

/// Makes a shell with its page faults behind it; whether that worked.
pub(super) async fn spare(cell: &Arc<Cell>) -> bool {
    match make(cell, true).await {
        Ok(shell) => {
            cell.shells.offer(shell);
            true
        }
        Err(why) => {
            tracing::warn!(pid = cell.pid, why, "a spare VM could not be made");
            false
        }
    }
}

/// Waits until a shell that is being mapped anew can be used again.
pub(super) async fn take_ready(cell: Arc<Cell>, shell: Shell, frames: Frames) {
    match ready(&cell, shell, frames).await {
        Ok(shell) => cell.shells.offer(shell),
        Err(why) => tracing::debug!(pid = cell.pid, why, "a VM could not be mapped anew"),
    }
}

async fn make(cell: &Arc<Cell>, touched: bool) -> Result<Shell, String> {
    let (shell, command, socket) =
        cell.shells.add(touched).map_err(|error| format!("could not make a socket for a VM: {error}"))?;
    cell.command(command, vec![socket]);
    ready(cell, shell, Frames::default()).await
}

async fn ready(cell: &Cell, mut shell: Shell, mut frames: Frames) -> Result<Shell, String> {
    match timeout(READY_MAX, frames.ready(&mut shell.socket)).await {
        Ok(Ok(Ok(()))) => Ok(shell),
        Ok(Ok(Err(why))) => Err(why),
        Ok(Err(error)) => {
            cell.ending().await;
            Err(error.to_string())
        }
        Err(_) => {
            end(cell, shell).await;
            Err(format!("it was not ready within {READY_MAX:?}"))
        }
    }
}

/// Ends a shell that is at work without a request.
async fn end(cell: &Cell, mut shell: Shell) {
    cell.command(Command::Kill { id: shell.id }, Vec::new());
    // It closes its socket when it has ended, with or without a last word.
    let mut rest = tokio::io::sink();
    let closed = tokio::io::copy(&mut shell.socket, &mut rest);
    if timeout(KILL_PATIENCE, closed).await.is_err() {
        tracing::error!(pid = cell.pid, shell = shell.id, "a VM could not be ended; its cell is killed");
        cell.kill_process();
    }
}
