//! An initial RAM file system: a cpio archive in the `newc` format, uncompressed (unpacking would be emulated).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

/// Files by their path, directories included.
#[derive(Default)]
pub(super) struct Archive {
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    Directory,
    Text(String, u32),
    File(PathBuf, u32),
}

impl Archive {
    /// Adds a file with this text.
    pub(super) fn text(&mut self, name: &str, text: &str, mode: u32) {
        self.insert(name, Entry::Text(text.to_owned(), REGULAR | mode));
    }

    /// Adds a file of this machine.
    pub(super) fn file(&mut self, name: &str, path: &Path) -> Result<(), String> {
        let metadata = fs::metadata(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        self.insert(name, Entry::File(path.to_owned(), REGULAR | mode));
        Ok(())
    }

    fn insert(&mut self, name: &str, entry: Entry) {
        for (at, _) in name.match_indices('/') {
            self.entries.entry(name[..at].to_owned()).or_insert(Entry::Directory);
        }
        self.entries.insert(name.to_owned(), entry);
    }

    /// Writes the archive. Sorted order puts a directory before what is in it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(fs::File::create(path)?);
        let mut inode = 0;
        for (name, entry) in &self.entries {
            inode += 1;
            match entry {
                Entry::Directory => record(&mut out, inode, name, DIRECTORY, &[])?,
                Entry::Text(text, mode) => record(&mut out, inode, name, *mode, text.as_bytes())?,
                Entry::File(source, mode) => record(&mut out, inode, name, *mode, &fs::read(source)?)?,
            }
        }
        record(&mut out, 0, "TRAILER!!!", 0, &[])?;
        out.flush()
    }
}

fn record(out: &mut impl Write, inode: u32, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let size = u32::try_from(content.len()).map_err(|_| io::Error::other(format!("{name} is too large")))?;
    let name_size = u32::try_from(name.len() + 1).map_err(|_| io::Error::other("a name is too long"))?;
    let mut head = String::from("070701");
    for field in [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0] {
        head.push_str(&format!("{field:08X}"));
    }
    out.write_all(head.as_bytes())?;
    out.write_all(name.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, head.len() + name.len() + 1)?;
    out.write_all(content)?;
    pad(out, content.len())
}

/// Zeroes up to a multiple of 4.
fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_padded_and_in_order() {
        let mut bytes = Vec::new();
        record(&mut bytes, 1, "a/b", REGULAR | 0o644, b"hello").expect("in memory");
        assert_eq!(bytes.len(), 116 + 8);
        assert!(bytes.starts_with(b"07070100000001000081A4"));
        assert_eq!(&bytes[110..124], b"a/b\0\0\0hello\0\0\0");
    }

    #[test]
    fn parents_come_before_their_children() {
        let mut archive = Archive::default();
        archive.text("x/y/z", "", 0o644);
        archive.text("init", "", 0o755);
        assert_eq!(archive.entries.keys().collect::<Vec<_>>(), ["init", "x", "x/y", "x/y/z"]);
    }
}
