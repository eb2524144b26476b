//! A function's files as a tar archive: the same bytes for the same files, wherever and whenever it is made.

mod config;
mod requirements;
mod walk;

pub(crate) use config::{Manifest, name_of, parse_manifest};
pub(crate) use requirements::install;

use walk::{Entry, Kind, below, walk};

use crate::failure::Failure;
use crate::units::bytes;
use gateway::PACKAGE_MAX_BYTES;
use std::fs;
use std::io::Read;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// Most files, directories and links in a package.
const ENTRIES_MAX: usize = 100_000;

/// Archives a file (under its own name) or the contents of a directory, with the Python packages that were
/// [installed](install) for it.
pub(crate) fn archive(path: &Path, installed: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut entries = walk(path)?;
    if let Some(installed) = installed {
        entries.extend(below(installed, Path::new(requirements::DIRECTORY))?);
    }
    check_size(path, &entries)?;
    let mut builder = Builder::new(Vec::new());
    for entry in &entries {
        append(&mut builder, entry)
            .map_err(|e| Failure::new(format!("cannot read {}: {e}", entry.source.display())))?;
    }
    let package = builder.into_inner().map_err(|e| Failure::new(format!("cannot build the package: {e}")))?;
    // Names and padding count as well.
    if package.len() as u64 > PACKAGE_MAX_BYTES {
        Err(too_large(path, package.len() as u64))
    } else {
        Ok(package)
    }
}

/// Archives files that are already in memory; used for the examples inside the binary.
pub(crate) fn archive_memory(files: &[(&str, bool, &[u8])]) -> Result<Vec<u8>, Failure> {
    let mut builder = Builder::new(Vec::new());
    for (name, executable, content) in files {
        let mut header = header(EntryType::Regular, *executable);
        header.set_size(content.len() as u64);
        builder
            .append_data(&mut header, name, *content)
            .map_err(|e| Failure::new(format!("cannot package {name}: {e}")))?;
    }
    builder.into_inner().map_err(|e| Failure::new(format!("cannot build the package: {e}")))
}

fn append(builder: &mut Builder<Vec<u8>>, entry: &Entry) -> std::io::Result<()> {
    match &entry.kind {
        Kind::Directory => {
            let mut header = header(EntryType::Directory, true);
            builder.append_data(&mut header, &entry.name, std::io::empty())
        }
        Kind::Link(target) => {
            let mut header = header(EntryType::Symlink, true);
            builder.append_link(&mut header, &entry.name, target)
        }
        Kind::File { size, executable } => {
            let mut header = header(EntryType::Regular, *executable);
            header.set_size(*size);
            // A file that changes while it is read must not tear the archive: exactly `size` bytes or an error.
            let mut content = Vec::with_capacity(usize::try_from(*size).unwrap_or(0));
            fs::File::open(&entry.source)?.take(size + 1).read_to_end(&mut content)?;
            if content.len() as u64 != *size {
                return Err(std::io::Error::other("the file changed while it was read; try again"));
            }
            builder.append_data(&mut header, &entry.name, content.as_slice())
        }
    }
}

/// A header without anything that depends on the machine: owner, time and the finer mode bits.
fn header(kind: EntryType, executable: bool) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if executable { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

fn check_size(path: &Path, entries: &[Entry]) -> Result<(), Failure> {
    let size = |e: &Entry| if let Kind::File { size, .. } = e.kind { size } else { 0 };
    let total: u64 = entries.iter().map(size).fold(0, u64::saturating_add);
    if total <= PACKAGE_MAX_BYTES {
        return Ok(());
    }
    let largest = entries.iter().max_by_key(|e| size(e));
    let hint = largest.map(|e| format!("the largest file is {} ({})", e.name.display(), bytes(size(e))));
    Err(too_large(path, total).hint(hint.unwrap_or_default()))
}

fn too_large(path: &Path, size: u64) -> Failure {
    let (path, size, limit) = (path.display(), bytes(size), bytes(PACKAGE_MAX_BYTES));
    Failure::new(format!("the package of {path} has {size}; it can have {limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(archive: &[u8]) -> Vec<(String, u32, u64)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().expect("tar");
        entries
            .map(|e| {
                let e = e.expect("entry");
                let h = e.header();
                let path = e.path().expect("path").display().to_string();
                (path, h.mode().expect("mode"), h.mtime().expect("mtime"))
            })
            .collect()
    }

    fn sample(order: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::create_dir(dir.path().join("lib")).expect("mkdir");
        for name in order {
            fs::write(dir.path().join(name), name.as_bytes()).expect("write");
        }
        fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o4711)).expect("chmod");
        std::os::unix::fs::symlink("lib/b.py", dir.path().join("link")).expect("symlink");
        dir
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let one = sample(&["app.py", "lib/b.py", "lib/a.py", "run"]);
        let two = sample(&["run", "lib/a.py", "lib/b.py", "app.py"]);
        let bytes = archive(one.path(), None).expect("archive");
        assert_eq!(bytes, archive(two.path(), None).expect("archive"));
        assert_eq!(
            names(&bytes),
            [
                ("app.py".to_owned(), 0o644, 0),
                ("lib".to_owned(), 0o755, 0),
                ("lib/a.py".to_owned(), 0o644, 0),
                ("lib/b.py".to_owned(), 0o644, 0),
                ("link".to_owned(), 0o755, 0),
                ("run".to_owned(), 0o755, 0),
            ]
        );
    }

    #[test]
    fn a_file_is_archived_under_its_name() {
        let dir = sample(&["run", "app.py"]);
        let bytes = archive(&dir.path().join("app.py"), None).expect("archive");
        assert_eq!(names(&bytes), [("app.py".to_owned(), 0o644, 0)]);
    }

    #[test]
    fn python_packages_have_a_place_of_their_own() {
        let (dir, installed) = (sample(&["app.py", "run"]), sample(&["six.py", "run"]));
        let bytes = archive(dir.path(), Some(installed.path())).expect("archive");
        let names = names(&bytes).into_iter().map(|(name, ..)| name);
        let below = [".python_packages", ".python_packages/lib", ".python_packages/six.py"];
        assert_eq!(names.filter(|name| below.contains(&name.as_str())).count(), 3);
    }

    #[test]
    fn a_package_over_the_limit_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = fs::File::create(dir.path().join("big")).expect("create");
        file.set_len(PACKAGE_MAX_BYTES + 1).expect("sparse file");
        let failure = archive(dir.path(), None).expect_err("too large");
        assert!(failure.message.contains("it can have 256.0 MiB"), "{}", failure.message);
        assert!(failure.hint.contains("big"), "{}", failure.hint);
    }

    #[test]
    fn files_in_memory_are_archived_too() {
        let bytes = archive_memory(&[("server", true, b"x"), ("app.py", false, b"y")]).expect("archive");
        assert_eq!(names(&bytes), [("server".to_owned(), 0o755, 0), ("app.py".to_owned(), 0o644, 0)]);
    }
}
