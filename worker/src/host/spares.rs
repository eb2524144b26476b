//! Shells made ahead of demand: as many as were in use at once within the last minute, ready and with their page
//! faults behind them, so that a burst of that size pays for nothing.
//!
//! They are made one at a time for each function, and only while a processor is free of requests.

use super::fleet::Fleet;
use super::function::Function;
use super::make;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// After a failure, how long until the next attempt.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// Whether spares are being made for a function.
#[derive(Default)]
pub(super) struct Making(AtomicBool);

/// Sees to it that a function gets the spares it should have. Returns at once.
pub(crate) fn replenish(function: &Arc<Function>) {
    if function.missing_spares() == 0 || function.making_spares.0.swap(true, Ordering::SeqCst) {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(make_all(Arc::downgrade(function), function.fleet.clone()));
}

async fn make_all(function: Weak<Function>, fleet: Arc<Fleet>) {
    loop {
        fleet.quiet().await;
        let Some(function) = function.upgrade() else { return };
        if function.missing_spares() == 0 {
            function.making_spares.0.store(false, Ordering::SeqCst);
            return;
        }
        let Some(cell) = function.cell() else { continue };
        if make::spare(&cell).await {
            function.count_spare();
        } else {
            drop(function);
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
}
