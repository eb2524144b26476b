//! What processes hold, as the kernel says.

use rustix::fs::{Advice, fadvise};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// A process and all that descend from it, at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Processes.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub open_files: u64,
    /// Resident memory of their own, in bytes.
    pub anonymous_bytes: u64,
    /// Their parts of all resident memory (PSS), in bytes.
    pub pss_bytes: u64,
}

impl Sample {
    /// Of the process `root` and its descendants. What has ended meanwhile counts nothing.
    pub fn of_tree(root: u32) -> Sample {
        let mut sample = Sample::default();
        for pid in tree(root) {
            sample.add(pid);
        }
        sample
    }

    fn add(&mut self, pid: u32) {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let (status, rollup) = (read("status"), read("smaps_rollup"));
        self.processes += u64::from(!status.is_empty());
        self.threads += number(&status, "Threads:").unwrap_or(0);
        self.open_files += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |files| files.count() as u64);
        self.anonymous_bytes += number(&status, "RssAnon:").unwrap_or(0) * 1024;
        self.pss_bytes += number(&rollup, "Pss:").unwrap_or(0) * 1024;
    }
}

/// Whether a process runs. What has ended has no memory, also while nobody has waited for it.
pub fn runs(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    number(&status, "RssAnon:").is_some()
}

/// The number in a line that begins with `name`.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A process and its descendants.
pub fn tree(root: u32) -> BTreeSet<u32> {
    let (mut found, mut next) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = next.pop() {
        if found.insert(pid) {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
            let pids = children.flat_map(|line| {
                line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
            });
            next.extend(pids);
        }
    }
    found
}

/// Bytes that the files below a directory take on disk.
pub fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, data)| if data.is_dir() { disk_bytes(&path) } else { data.blocks() * 512 })
        .sum()
}

/// Has the kernel forget the contents of all files below a directory, as far as nobody has them mapped. What somebody removes
/// meanwhile is not there to be forgotten.
pub fn forget_files(directory: &Path) -> io::Result<()> {
    let Some(entries) = if_there(fs::read_dir(directory))? else { return Ok(()) };
    for entry in entries {
        let Some(entry) = if_there(entry)? else { continue };
        let Some(kind) = if_there(entry.file_type())? else { continue };
        if kind.is_dir() {
            forget_files(&entry.path())?;
        } else if kind.is_file() {
            let Some(file) = if_there(File::open(entry.path()))? else { continue };
            // What is not written yet stays.
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Nothing, if it failed because there is no such file.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Bytes of memory that programs of this machine could still have.
pub fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    number(&text, "MemAvailable:").unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_is_this_process_and_its_children() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let me = std::process::id();
        assert!(tree(me).is_superset(&BTreeSet::from([me, child.id()])));
        let (both, one) = (Sample::of_tree(me), Sample::of_tree(child.id()));
        assert_eq!((one.processes, one.threads), (1, 1));
        assert!(both.processes >= 2 && both.threads > 1 && both.open_files > one.open_files);
        assert!(both.anonymous_bytes > one.anonymous_bytes && one.pss_bytes > 0);
        assert!(runs(me) && runs(child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(Sample::of_tree(child.id()), Sample::default());
        assert!(!runs(child.id()));
    }

    #[test]
    fn files_are_forgotten_and_stay_and_a_missing_one_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), "content").unwrap();
        forget_files(directory.path()).unwrap();
        assert_eq!(fs::read(directory.path().join("a/b")).unwrap(), b"content");
        forget_files(Path::new("/nonexistent")).unwrap();
        assert!(forget_files(&directory.path().join("a/b")).is_err());
        assert!(if_there(File::open("/nonexistent")).unwrap().is_none());
    }

    #[test]
    fn disk_is_what_files_take() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/b"), vec![1; 100_000]).unwrap();
        let blocks = || fs::metadata(directory.path().join("a/b")).unwrap().blocks() * 512;
        // Some file systems decide later how much that is.
        let (before, found, after) = (blocks(), disk_bytes(directory.path()), blocks());
        assert!((before.min(after)..=before.max(after)).contains(&found), "{before} {found} {after}");
        assert_eq!(disk_bytes(Path::new("/nonexistent")), 0);
        assert!(available_bytes() > 0);
    }
}
