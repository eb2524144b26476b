//! Runs a plan with live progress, until its end or Ctrl-C.

use crate::failure::{Exit, Failure};
use crate::print;
use crate::units::millis;
use loadtest::engine::{Outcome, Plan, PlanError, Run, Stop};
use loadtest::report::Second;
use std::future::poll_fn;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs plans, one after the other. The first Ctrl-C ends the run under way, and no other begins.
pub(super) struct Driver {
    stop: Stop,
    terminal: bool,
}

impl Driver {
    /// Catches Ctrl-C and its like from now on. The second one ends the program at once.
    pub(super) fn new() -> Result<Driver, Failure> {
        let stop = Stop::default();
        let mine = stop.clone();
        let (sender, receiver) = channel();
        let caught = thread::Builder::new().name("signals".to_owned()).spawn(move || catch(&mine, &sender));
        caught.map_err(|error| no_thread(&error))?;
        match receiver.recv_timeout(Duration::from_secs(60)) {
            Ok(Ok(())) => Ok(Driver { stop, terminal: io::stderr().is_terminal() }),
            Ok(Err(failure)) => Err(failure),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(Failure::new("cannot catch Ctrl-C"))
            }
        }
    }

    /// What Ctrl-C sets.
    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Whether somebody pressed Ctrl-C.
    pub(super) fn stopped(&self) -> bool {
        self.stop.is_set()
    }

    /// Runs a plan to its end, or until somebody stops it; `label` stands before its progress.
    pub(super) fn run(&self, label: &str, plan: Plan) -> Result<Outcome, Failure> {
        self.run_until(label, plan, &self.stop)
    }

    /// The same; `stop`, a part of [`Driver::stop`], ends it too.
    pub(super) fn run_until(&self, label: &str, plan: Plan, stop: &Stop) -> Result<Outcome, Failure> {
        self.follow(label, plan.start(stop).map_err(refused)?)
    }

    /// The same, and records each of the first `most` requests.
    pub(super) fn run_recorded(&self, label: &str, plan: Plan, most: usize) -> Result<Outcome, Failure> {
        self.follow(label, plan.start_recorded(&self.stop, most).map_err(refused)?)
    }

    fn follow(&self, label: &str, run: Run) -> Result<Outcome, Failure> {
        let outcome = run.watch(|second, total| self.show(&line(label, second, total.answered)));
        if self.terminal {
            self.show("");
        }
        outcome.map_err(|error| Failure::new(format!("the load generator failed: {error}")))
    }

    fn show(&self, text: &str) {
        if self.terminal {
            // Losing progress is no reason to fail.
            let _ = write!(io::stderr(), "\r\x1b[K{}", crate::output::one_line(text));
        } else {
            print::note(text);
        }
    }
}

/// Waits for Ctrl-C and its like, and sets `stop`; `ready` is told when it does, or why it cannot.
fn catch(stop: &Stop, ready: &Sender<Result<(), Failure>>) {
    let runtime = match crate::runtime(Builder::new_current_thread()) {
        Ok(runtime) => runtime,
        Err(failure) => return drop(ready.send(Err(failure))),
    };
    runtime.block_on(async {
        let Ok(mut signals) = caught() else {
            return drop(ready.send(Err(Failure::new("cannot catch Ctrl-C"))));
        };
        drop(ready.send(Ok(())));
        for _ in 0..2 {
            poll_fn(|context| any(&mut signals, context)).await;
            if stop.is_set() {
                std::process::exit(Exit::Interrupted as i32);
            }
            stop.stop();
        }
    });
}

/// What ends a run. A terminal that closes does, unless it was said to be ignored (nohup).
fn caught() -> io::Result<Vec<Signal>> {
    let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if !hangup_ignored(&status) {
        kinds.push(SignalKind::hangup());
    }
    kinds.into_iter().map(signal).collect()
}

/// Whether a process ignores SIGHUP, by its `/proc/PID/status`.
fn hangup_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is the first signal.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Ready when one of the signals has come.
fn any(signals: &mut [Signal], context: &mut Context<'_>) -> Poll<()> {
    let came = signals.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
    if came { Poll::Ready(()) } else { Poll::Pending }
}

/// Numbers of the plan are the user's; the machine's refusals are not.
pub(super) fn refused(error: PlanError) -> Failure {
    match error {
        PlanError::Thread(why) => no_thread(&why),
        _ => Failure::new(print::chain(&error)).exit(Exit::Usage),
    }
}

/// A thread that the machine refused.
pub(super) fn no_thread(why: &io::Error) -> Failure {
    Failure::new(format!("cannot start a thread: {why}")).hint(
        "allow more threads (`ulimit -u`, TasksMax= of systemd, pids.max of the control group), or end some that run",
    )
}

fn line(label: &str, second: &Second, total: u64) -> String {
    let ms = |us: f64| millis(us / 1000.0);
    let mut text = format!(
        "{label} {:>4} s  {:>7}/s  p50 {:>9}  p99 {:>9}  answers {total}",
        second.second + 1,
        second.answered,
        ms(second.p50_us),
        ms(second.p99_us)
    );
    for (count, what) in [(second.failed, "failed"), (second.dropped, "dropped")] {
        if count > 0 {
            text.push_str(&format!("  {what} {count}/s"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hangup_that_is_ignored_stays_so() {
        assert!(hangup_ignored("Name:\tspore\nSigIgn:\t0000000000001001\n"));
        assert!(!hangup_ignored("SigIgn:\t0000000000001000\n") && !hangup_ignored(""));
    }

    #[test]
    fn a_thread_that_is_refused_is_an_ordinary_failure_with_advice() {
        let failure = refused(PlanError::Thread(io::Error::other("try again")));
        assert_eq!((failure.exit, &failure.message[..]), (Exit::Failure, "cannot start a thread: try again"));
        assert!(failure.hint.contains("ulimit -u"));
        assert_eq!(refused(PlanError::WarmUp).exit, Exit::Usage);
    }
}
