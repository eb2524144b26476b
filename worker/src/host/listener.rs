//! What a cell says, heard and passed on.

use super::cell::Build;
use super::control::Control;
use super::paging::Asked;
use crate::api::ParentInfo;
use crate::logs::LogWriter;
use crate::protocol::{Event, ShellUsage};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use vmm::WorkingSet;

/// Most shells of a cell that are reported.
const USAGES_MAX: usize = 16 << 10;

/// Whoever waits for the memory of a cell's shells.
pub(super) type UsageWaiters = Arc<Mutex<Vec<oneshot::Sender<Vec<ShellUsage>>>>>;

/// Hears one cell out.
pub(super) struct Listener {
    pub(super) control: Arc<Control>,
    pub(super) usage_waiters: UsageWaiters,
    pub(super) asked: Asked,
    pub(super) learnt: watch::Sender<Option<WorkingSet>>,
    pub(super) gone: watch::Sender<bool>,
    pub(super) log: LogWriter,
    pub(super) built: Option<oneshot::Sender<Build>>,
}

impl Listener {
    /// Listens until the cell is gone, or says what cannot be.
    pub(super) async fn listen(mut self) {
        let mut usage = Vec::new();
        let wrong = loop {
            match self.control.receive().await {
                Ok(Some((event, descriptors))) => {
                    if let Err(wrong) = self.hear(event, descriptors, &mut usage) {
                        break Some(wrong.to_owned());
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        if let Some(wrong) = wrong {
            tracing::error!(wrong, "a cell sent what cannot be understood; it is ended");
            self.control.close();
        }
        self.gone.send_replace(true);
    }

    fn hear(
        &mut self,
        event: Event,
        descriptors: Vec<OwnedFd>,
        usage: &mut Vec<ShellUsage>,
    ) -> Result<(), &'static str> {
        match event {
            Event::BootLog(records) => self.log.write(&records),
            Event::Built { entry, resident_bytes, runtime_resident_bytes, refusals } => {
                let info = ParentInfo { build: Duration::ZERO, resident_bytes, runtime_resident_bytes };
                let parent = descriptors.into_iter().next().map(|memory| (memory, entry, info));
                self.tell(Build::Built { parent, refusals });
            }
            Event::Failed { program, reason } => self.tell(Build::Failed { program, reason }),
            Event::Page { chunk } if self.asked.ask(chunk) => {}
            Event::Page { .. } => return Err("it asked for a page its parent does not have"),
            Event::Learnt(learnt) => drop(self.learnt.send_replace(Some(learnt))),
            Event::Usage(part) => {
                usage.extend(part);
                usage.truncate(USAGES_MAX);
            }
            Event::UsageEnd => self.report(std::mem::take(usage)),
        }
        Ok(())
    }

    fn tell(&mut self, build: Build) {
        self.log.finish();
        if let Some(built) = self.built.take() {
            // Nobody waits any more if the deploy was cancelled.
            let _ = built.send(build);
        }
    }

    fn report(&self, usage: Vec<ShellUsage>) {
        let waiters = std::mem::take(&mut *self.usage_waiters.lock().unwrap_or_else(PoisonError::into_inner));
        for waiter in waiters {
            // It may have lost patience.
            let _ = waiter.send(usage.clone());
        }
    }
}
