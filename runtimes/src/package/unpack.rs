//! A tar of unknown origin becomes a tree that is safe to use, or an error. Nothing touches the disk.

use super::error::PackageError;
use super::path;
use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::EntryType;

/// Most bytes of all files together.
pub const UNPACKED_MAX_BYTES: u64 = 256 << 20;
/// Most files, directories and links.
pub const ENTRIES_MAX: usize = 20_000;
/// Longest name of one file or directory.
pub const NAME_MAX_BYTES: usize = 255;
/// Longest path.
pub const PATH_MAX_BYTES: usize = 2048;
/// Most directories in each other.
pub const DEPTH_MAX: usize = 64;

const BLOCK: u64 = 512;
/// Most bytes of a tar: the files, and for each entry its headers (with long names) and padding.
const TAR_MAX_BYTES: u64 = UNPACKED_MAX_BYTES + ENTRIES_MAX as u64 * (8 * BLOCK) + (1 << 20);

/// One thing in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Whether it can be executed.
        executable: bool,
        /// Its bytes.
        data: Vec<u8>,
    },
    /// A symbolic link that stays inside the package.
    Symlink {
        /// Where it leads.
        target: String,
    },
}

/// A checked package: paths `a/b/c`, every parent of an entry a directory of the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageTree {
    entries: BTreeMap<String, Entry>,
}

impl PackageTree {
    /// Everything in it, sorted by path.
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Gives everything in it away.
    pub fn into_entries(self) -> BTreeMap<String, Entry> {
        self.entries
    }

    /// Number of files.
    pub fn files(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry, Entry::File { .. })).count()
    }

    fn insert(&mut self, path: String, entry: Entry) -> Result<(), PackageError> {
        for parent in path::parents(&path) {
            match self.entries.get(parent) {
                Some(Entry::Directory) => {}
                Some(_) => return Err(PackageError::NotADirectory { path: path.clone() }),
                None => {
                    self.entries.insert(parent.to_owned(), Entry::Directory);
                }
            }
        }
        match (self.entries.get(&path), &entry) {
            (Some(Entry::Directory), Entry::Directory) => {}
            (Some(_), _) => return Err(PackageError::Duplicate { path }),
            (None, _) => {
                self.entries.insert(path, entry);
            }
        }
        if self.entries.len() > ENTRIES_MAX {
            return Err(PackageError::TooManyEntries);
        }
        Ok(())
    }
}

/// Reads an uncompressed tar.
pub fn unpack(tar: impl Read) -> Result<PackageTree, PackageError> {
    let mut archive = tar::Archive::new(Watched::new(tar));
    let mut tree = PackageTree::default();
    let mut bytes = 0;
    let mut seen = 0_usize;
    for entry in archive.entries().map_err(|e| unreadable(e, 0))? {
        let mut entry = entry.map_err(|e| unreadable(e, seen))?;
        seen += 1;
        // Directories can repeat without growing the tree: count what is read, too.
        if seen > 2 * ENTRIES_MAX {
            return Err(PackageError::TooManyEntries);
        }
        if entry.header().entry_type() == EntryType::XGlobalHeader {
            continue; // comments, as `git archive` writes them
        }
        let path = path::clean(&entry.path_bytes())?;
        let Some(content) = read_entry(&mut entry, &path, &mut bytes)? else { continue };
        tree.insert(path, content)?;
    }
    let watched = archive.into_inner();
    if watched.over_limit() {
        return Err(PackageError::TooLarge);
    }
    if watched.trailing_zeros < BLOCK {
        return Err(PackageError::Truncated("its end mark is missing".to_owned()));
    }
    if tree.files() == 0 {
        return Err(PackageError::Empty);
    }
    Ok(tree)
}

/// What the entry is; `None` for the root directory itself.
fn read_entry<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &str,
    bytes: &mut u64,
) -> Result<Option<Entry>, PackageError> {
    let kind = entry.header().entry_type();
    let not_a_file = |what: &str| PackageError::NotAFile { path: path.to_owned(), what: what.to_owned() };
    if path.is_empty() && kind != EntryType::Directory {
        return Err(PackageError::BadPath {
            path: ".".to_owned(),
            why: "the root of a package is a directory",
        });
    }
    Ok(Some(match kind {
        EntryType::Directory if path.is_empty() => return Ok(None),
        EntryType::Directory => Entry::Directory,
        EntryType::Regular | EntryType::Continuous => {
            let data = read_file(entry, path, bytes)?;
            let marked = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
            Entry::File {
                executable: marked || data.starts_with(b"\x7fELF") || data.starts_with(b"#!"),
                data,
            }
        }
        EntryType::Symlink => {
            let target = entry.link_name_bytes().unwrap_or_default();
            Entry::Symlink { target: path::check_link(path, &target)? }
        }
        EntryType::Link => return Err(not_a_file("a hard link")),
        EntryType::Char => return Err(not_a_file("a character device")),
        EntryType::Block => return Err(not_a_file("a block device")),
        EntryType::Fifo => return Err(not_a_file("a named pipe")),
        EntryType::GNUSparse => return Err(not_a_file("a sparse file")),
        other => {
            let letter = char::from(other.as_byte()).escape_default();
            return Err(not_a_file(&format!("an entry of type '{letter}'")));
        }
    }))
}

fn read_file<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &str,
    bytes: &mut u64,
) -> Result<Vec<u8>, PackageError> {
    let size = entry.size();
    *bytes =
        bytes.checked_add(size).filter(|total| *total <= UNPACKED_MAX_BYTES).ok_or(PackageError::TooLarge)?;
    let mut data = Vec::new();
    entry.read_to_end(&mut data).map_err(|e| unreadable(e, 1))?;
    if data.len() as u64 != size {
        return Err(PackageError::Truncated(format!("{path:?} has {} of its {size} bytes", data.len())));
    }
    Ok(data)
}

/// Sorts an error of the tar reader, which reports everything as I/O.
fn unreadable(error: io::Error, seen: usize) -> PackageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => PackageError::Truncated(error.to_string()),
        io::ErrorKind::FileTooLarge => PackageError::TooLarge,
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            let text = error.to_string();
            if text.contains("unexpected EOF") || text.contains("failed to read entire block") {
                PackageError::Truncated(text)
            } else if text.contains("size overflow") {
                PackageError::TooLarge
            } else {
                PackageError::NotATar(format!("{text} (after {seen} entries)"))
            }
        }
        _ => PackageError::Receive(error),
    }
}

/// Counts what is read, stops at the limit, and remembers how many zero bytes came last.
struct Watched<R> {
    inner: R,
    read: u64,
    trailing_zeros: u64,
}

impl<R: Read> Watched<R> {
    fn new(inner: R) -> Self {
        Self { inner, read: 0, trailing_zeros: 0 }
    }

    fn over_limit(&self) -> bool {
        self.read > TAR_MAX_BYTES
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.over_limit() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        let zeros = buffer[..count].iter().rev().take_while(|byte| **byte == 0).count();
        self.trailing_zeros = if zeros == count { self.trailing_zeros + zeros as u64 } else { zeros as u64 };
        Ok(count)
    }
}
