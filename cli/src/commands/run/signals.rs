//! Signals to `spore run`, and its timeout.

use super::failed;
use crate::failure::Failure;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker::run::Control;

/// What is passed on.
const PASSED_ON: [SignalKind; 8] = [
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::hangup(),
    SignalKind::quit(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    SignalKind::window_change(),
    SignalKind::from_raw(SIGCONT),
];

/// What continues a stopped program, as a shell's `fg` does.
const SIGCONT: i32 = 18;

/// How long a program that was told to end may take to notice: it does at the next tick, unless nobody reads what it writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Passes signals on from now on, and ends the run after `timeout`.
pub(super) fn watch(control: Control, timeout: Option<Duration>) -> Result<(), Failure> {
    let runtime = crate::runtime(Builder::new_current_thread())?;
    let listen = || PASSED_ON.into_iter().map(|kind| Ok((kind, signal(kind)?))).collect();
    let signals: std::io::Result<Vec<(SignalKind, Signal)>> = {
        let _inside = runtime.enter();
        listen()
    };
    let signals = signals.map_err(|error| failed("signals cannot be watched", &error))?;
    let watch = move || {
        for (kind, mut signal) in signals {
            let control = control.clone();
            runtime.spawn(async move {
                while signal.recv().await.is_some() {
                    let Some(number) = control.signal(kind.as_raw_value().unsigned_abs()) else { continue };
                    let control = control.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(PATIENCE).await;
                        control.insist(number);
                    });
                }
            });
        }
        runtime.block_on(async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
            control.time_out();
            std::future::pending::<()>().await;
        });
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(watch);
    thread.map(drop).map_err(|error| failed("signals cannot be watched", &error))
}
