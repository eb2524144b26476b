//! The process dies, or an operation fails, at every single step of storing a snapshot. Afterwards there is the old
//! snapshot or the new one, whole, and nothing else.

use super::super::disk::Step;
use super::*;
use std::collections::HashMap;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Tells the child where the store is, at which step to die, and how.
const ORDER: &str = "SPORE_TEST_CRASH";
/// More steps than any put takes.
const STEPS_MAX: usize = 200;

fn new_memory() -> FileMemory {
    memory_with(RAM, used().into_iter().skip(5), 9)
}

/// What a power cut takes away: writes that were not synced, renames whose directory was not.
#[derive(Default)]
struct PowerCut {
    unsynced: Vec<PathBuf>,
    /// To where, and what was there.
    renames: Vec<(PathBuf, Option<Vec<u8>>)>,
}

impl PowerCut {
    fn watch(&mut self, step: Step<'_>) {
        match step {
            Step::Write(path) => self.unsynced.push(path.to_owned()),
            Step::Sync(path) => self.unsynced.retain(|unsynced| unsynced != path),
            Step::Rename(to) => self.renames.push((to.to_owned(), std::fs::read(to).ok())),
            Step::SyncDirectory(directory) => {
                self.renames.retain(|(to, _)| to.parent() != Some(directory));
            }
            Step::Create(_) | Step::Remove(_) => {}
        }
    }

    fn strike(self) {
        for path in self.unsynced {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }
        for (to, before) in self.renames.into_iter().rev() {
            std::fs::rename(&to, to.with_file_name(".new-again")).unwrap();
            if let Some(bytes) = before {
                std::fs::write(to, bytes).unwrap();
            }
        }
    }
}

/// Opens a store whose gate calls `act` at step `at`, counted from the first put on.
fn open(dir: &Path, at: usize, act: impl Fn(PowerCut) -> io::Result<()> + Send + Sync + 'static) -> Store {
    let count = AtomicUsize::new(0);
    let power = Mutex::new(PowerCut::default());
    let gate = move |step: Step<'_>| {
        let mut power = power.lock().unwrap();
        if count.fetch_add(1, Ordering::Relaxed) == at {
            return act(std::mem::take(&mut power));
        }
        power.watch(step);
        Ok(())
    };
    Store::open_with(dir, Box::new(gate)).unwrap()
}

/// Runs in a process of its own, started by the tests below; without an order it has nothing to do.
#[test]
fn child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let [dir, at, how] = order.split('|').collect::<Vec<_>>().try_into().unwrap();
    let power_cut = how == "power cut";
    let store = open(Path::new(dir), at.parse().unwrap(), move |power| {
        if power_cut {
            power.strike();
        }
        std::process::abort()
    });
    store.put(&draft(), &new_memory()).unwrap();
}

/// Whether the child came to its end.
fn run_child(dir: &Path, at: usize, how: &str) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "snapshot::tests::crash::child"])
        .env(ORDER, format!("{}|{at}|{how}", dir.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(rustix::process::Signal::ABORT.as_raw()), "{status}");
    status.success()
}

/// Names of all files of a store but its lock.
fn files(dir: &Path) -> Vec<String> {
    let list = |sub: &str| std::fs::read_dir(dir.join(sub)).unwrap();
    let entries = list("manifests").chain(list("packs"));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Checks a store after the worst and returns the id of the snapshot it has.
fn check(dir: &Path) -> Option<Digest> {
    let store = Store::open(dir).unwrap();
    let found = match store.load(&host(), &wanted()) {
        Ok(snapshot) => {
            store.verify(&snapshot).unwrap();
            Some(snapshot.id)
        }
        Err(LoadError::Absent { .. }) => None,
        Err(error) => panic!("torn: {error:?}"),
    };
    let left = files(dir);
    assert_eq!(left.len(), if found.is_some() { 2 } else { 0 }, "{left:?}");
    found
}

/// Lets `ruin` do its worst at step after step, in a store with an old snapshot or without one.
fn at_every_step(replacing: bool, ruin: impl Fn(&Path, usize) -> bool) {
    let mut seen: HashMap<Option<Digest>, usize> = HashMap::new();
    for at in 0..STEPS_MAX {
        let dir = tempfile::tempdir().unwrap();
        let mut possible = vec![None];
        if replacing {
            possible = vec![Some(Store::open(dir.path()).unwrap().put(&draft(), &memory()).unwrap().id)];
        }
        let whole = ruin(dir.path(), at);
        let found = check(dir.path());
        *seen.entry(found).or_default() += 1;
        let fresh = tempfile::tempdir().unwrap();
        possible.push(Some(Store::open(fresh.path()).unwrap().put(&draft(), &new_memory()).unwrap().id));
        assert!(possible.contains(&found), "step {at}: neither the old nor the new snapshot");
        if whole {
            assert_eq!(found, possible[1], "step {at}");
            assert!(at > 10 && seen.len() == 2, "{at} steps, {seen:?}");
            return;
        }
    }
    panic!("a put of more than {STEPS_MAX} steps");
}

#[test]
fn killed_at_every_step_of_the_first_put() {
    at_every_step(false, |dir, at| run_child(dir, at, "kill"));
}

#[test]
fn killed_at_every_step_of_a_replacing_put() {
    at_every_step(true, |dir, at| run_child(dir, at, "kill"));
}

#[test]
fn power_cut_at_every_step_of_the_first_put() {
    at_every_step(false, |dir, at| run_child(dir, at, "power cut"));
}

#[test]
fn power_cut_at_every_step_of_a_replacing_put() {
    at_every_step(true, |dir, at| run_child(dir, at, "power cut"));
}

/// Every operation fails once, in turn: the error is of the right kind, and nothing is left behind even before the
/// store is opened again.
fn failing(kind: io::ErrorKind, expected: fn(&StoreError) -> bool) {
    for replacing in [false, true] {
        at_every_step(replacing, |dir, at| {
            let reached = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&reached);
            let store = open(dir, at, move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
                Err(kind.into())
            });
            match store.put(&draft(), &new_memory()) {
                Ok(_) => {}
                Err(error) => assert!(expected(&error), "step {at}: {error:?}"),
            }
            let left = files(dir);
            assert!(!left.iter().any(|name| name.starts_with('.')), "{left:?}");
            reached.load(Ordering::Relaxed) == 0
        });
    }
}

#[test]
fn a_full_disk_at_every_step() {
    failing(io::ErrorKind::StorageFull, |error| matches!(error, StoreError::Full { .. }));
}

#[test]
fn an_unwritable_disk_at_every_step() {
    failing(io::ErrorKind::ReadOnlyFilesystem, |error| matches!(error, StoreError::ReadOnly { .. }));
}

#[test]
fn a_broken_disk_at_every_step() {
    failing(io::ErrorKind::Other, |error| matches!(error, StoreError::Io { .. }));
}

#[test]
fn left_overs_of_a_crash_are_swept_at_open() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Store::open(dir.path()).unwrap().put(&draft(), &memory()).unwrap();
    for name in ["packs/.new-1-0", "manifests/.new-1-1"] {
        std::fs::write(dir.path().join(name), b"half").unwrap();
    }
    std::fs::write(dir.path().join(format!("packs/{}.pack", digest("orphan"))), b"x").unwrap();
    assert_eq!(files(dir.path()).len(), 5);
    assert_eq!(check(dir.path()), Some(snapshot.id));
}
