use super::*;
use crate::host::pressure::Memory;
use crate::host::totals::Totals;
use std::os::fd::OwnedFd;

/// A pool with `count` idle shells, and the other ends of their sockets.
fn pool(fleet: &Arc<Fleet>, totals: &Arc<Totals>, count: usize) -> (Arc<Shells>, Vec<OwnedFd>) {
    let shells = Arc::new(Shells::new(totals.clone(), fleet.clone()));
    let ends = (0..count).map(|_| idle(&shells)).collect();
    (shells, ends)
}

fn idle(shells: &Arc<Shells>) -> OwnedFd {
    let (shell, _, end) = shells.add(false).unwrap();
    shells.put_back(shell);
    end
}

struct Figures(Memory);

impl Source for Figures {
    fn memory(&mut self) -> std::io::Result<Memory> {
        Ok(self.0)
    }
}

#[tokio::test]
async fn the_longest_idle_are_ended_first_whosever_they_are() {
    let (fleet, totals) = (Arc::new(Fleet::new(100)), Arc::new(Totals::default()));
    let (one, _one) = pool(&fleet, &totals, 2);
    let (two, _two) = pool(&fleet, &totals, 3);
    let _latest = idle(&one);
    assert_eq!(trim_half(&[&*two, &*one]), 3);
    assert_eq!((one.count(), two.count()), (1, 2));
    assert_eq!(trim_half(&[&*two, &*one]), 2);
    assert_eq!((one.count(), two.count()), (1, 0), "the last one came last");
    assert_eq!(trim_oldest(&[&*two, &*one], 5, Trim::Room), 1);
    let stats = totals.snapshot();
    assert_eq!((stats.trimmed_pressure, stats.trimmed_room, stats.shells), (5, 1, 0));
    assert_eq!(fleet.vms.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_machine_short_of_memory_gets_no_spares() {
    let (fleet, totals) = (Arc::new(Fleet::new(2)), Arc::new(Totals::default()));
    let plenty = Memory { stalled_percent: 0.0, total: 1 << 30, available: 1 << 29 };
    assert!(fleet.has_room());
    fleet.relieve(&mut Figures(Memory { stalled_percent: 50.0, ..plenty }));
    assert!(!fleet.has_room());
    fleet.relieve(&mut Figures(plenty));
    assert!(fleet.has_room());
    let (_pool, _ends) = pool(&fleet, &totals, 2);
    assert!(!fleet.has_room(), "as many VMs as there may be");
}

#[test]
fn the_limit_follows_descriptors_and_memory() {
    assert_eq!(max_vms(20_000, 24 << 30), 10_000);
    assert_eq!(max_vms(1 << 20, 4 << 30), 3072);
    assert_eq!((max_vms(0, 1 << 40), max_vms(u64::MAX, u64::MAX)), (16, 20_000));
}
