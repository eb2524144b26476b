use super::*;
use crate::host::pressure::Memory;
use crate::host::totals::Totals;
use std::os::fd::OwnedFd;

/// A pool with `count` idle shells, and the other ends of their sockets.
fn pool(fleet: &Arc<Fleet>, totals: &Arc<Totals>, count: usize) -> (Arc<Shells>, Vec<OwnedFd>) {
    let shells = Shells::new(totals.clone(), fleet.clone());
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

const PLENTY: Memory = Memory { stalled_percent: 0.0, total: 1 << 30, available: 1 << 29 };
const SHORT: Memory = Memory { stalled_percent: 50.0, ..PLENTY };

#[tokio::test]
async fn short_of_memory_the_longest_idle_are_ended_whosever_they_are() {
    let (fleet, totals) = (Arc::new(Fleet::new(100)), Arc::new(Totals::default()));
    let (one, _one) = pool(&fleet, &totals, 2);
    let (two, _two) = pool(&fleet, &totals, 3);
    let _latest = idle(&one);
    fleet.relieve(&mut Figures(PLENTY));
    assert_eq!((one.count(), two.count()), (3, 3));
    fleet.relieve(&mut Figures(SHORT));
    assert_eq!((one.count(), two.count()), (1, 2));
    fleet.relieve(&mut Figures(SHORT));
    assert_eq!((one.count(), two.count()), (1, 0), "the last one came last");
    fleet.relieve(&mut Figures(PLENTY));
    assert_eq!(one.count(), 1);
    let stats = totals.snapshot();
    assert_eq!((stats.trimmed_pressure, stats.shells), (5, 1));
    assert_eq!(fleet.vms.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn room_is_made_from_the_longest_idle() {
    let (fleet, totals) = (Arc::new(Fleet::new(4)), Arc::new(Totals::default()));
    let (one, _one) = pool(&fleet, &totals, 2);
    fleet.make_room();
    assert_eq!(one.count(), 2, "there is room");
    let (two, _two) = pool(&fleet, &totals, 2);
    fleet.make_room();
    assert_eq!((one.count(), two.count()), (1, 2));
    // Those that came past the limit at one time go as well.
    let _more: Vec<_> = (0..3).map(|_| idle(&two)).collect();
    fleet.make_room();
    assert_eq!((one.count(), two.count()), (0, 3));
    assert_eq!(totals.snapshot().trimmed_room, 4);
}

#[tokio::test]
async fn a_machine_short_of_memory_or_room_gets_no_spares() {
    let (fleet, totals) = (Arc::new(Fleet::new(2)), Arc::new(Totals::default()));
    assert!(fleet.has_room());
    fleet.relieve(&mut Figures(SHORT));
    assert!(!fleet.has_room());
    fleet.relieve(&mut Figures(PLENTY));
    assert!(fleet.has_room());
    let (_pool, _ends) = pool(&fleet, &totals, 2);
    assert!(!fleet.has_room(), "as many VMs as there may be");
}

#[test]
fn the_limit_follows_descriptors_and_memory() {
    assert_eq!(max_vms(20_000, 24 << 30), 9216);
    assert_eq!(max_vms(20_000, 48 << 30), 10_000);
    assert_eq!(max_vms(1 << 20, 4 << 30), 1536);
    assert_eq!((max_vms(0, 1 << 40), max_vms(u64::MAX, u64::MAX)), (16, 20_000));
}
