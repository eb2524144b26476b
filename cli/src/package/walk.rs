//! Which files belong to a package.

use super::ENTRIES_MAX;
use crate::failure::{Exit, Failure};
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

/// Directories that never belong to a function.
const SKIPPED: [&str; 2] = [".git", "__pycache__"];

/// One file, directory or link of a package.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Path inside the package.
    pub(crate) name: PathBuf,
    /// Where it is on this machine.
    pub(crate) source: PathBuf,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Bytes.
        size: u64,
        /// Whether it can be run.
        executable: bool,
    },
    /// A symbolic link with its target, which is inside the package.
    Link(PathBuf),
}

/// Everything a file or directory consists of, sorted by path.
pub(crate) fn walk(path: &Path) -> Result<Vec<Entry>, Failure> {
    let metadata = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    if metadata.is_dir() {
        let mut entries = Vec::new();
        directory(path, Path::new(""), &mut entries)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if !entries.iter().any(|e| matches!(e.kind, Kind::File { .. })) {
            return Err(Failure::new(format!("{} holds no files", path.display())));
        }
        return Ok(entries);
    }
    let name = path.file_name().ok_or_else(|| Failure::new(format!("{} has no name", path.display())))?;
    Ok(vec![regular(path, PathBuf::from(name), &metadata)?])
}

/// A directory and everything in it, sorted by path, as `name` in the package.
pub(crate) fn below(source: &Path, name: &Path) -> Result<Vec<Entry>, Failure> {
    let mut entries = vec![Entry { name: name.to_owned(), source: source.to_owned(), kind: Kind::Directory }];
    directory(source, name, &mut entries)?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn directory(source: &Path, name: &Path, entries: &mut Vec<Entry>) -> Result<(), Failure> {
    for item in fs::read_dir(source).map_err(|e| unreadable(source, &e))? {
        let item = item.map_err(|e| unreadable(source, &e))?;
        let (source, file_name) = (item.path(), item.file_name());
        if SKIPPED.iter().any(|s| *s == file_name) {
            continue;
        }
        if entries.len() >= ENTRIES_MAX {
            return Err(Failure::new(format!("a package can hold {ENTRIES_MAX} files and directories"))
                .hint("deploy a directory that holds the function only"));
        }
        let name = name.join(&file_name);
        let metadata = fs::symlink_metadata(&source).map_err(|e| unreadable(&source, &e))?;
        if metadata.is_dir() {
            entries.push(Entry { name: name.clone(), source: source.clone(), kind: Kind::Directory });
            directory(&source, &name, entries)?;
        } else if metadata.is_symlink() {
            entries.push(link(source, name)?);
        } else {
            entries.push(regular(&source, name, &metadata)?);
        }
    }
    Ok(())
}

fn link(source: PathBuf, name: PathBuf) -> Result<Entry, Failure> {
    let target = fs::read_link(&source).map_err(|e| unreadable(&source, &e))?;
    if stays_inside(&name, &target) {
        return Ok(Entry { name, source, kind: Kind::Link(target) });
    }
    Err(Failure::new(format!(
        "the link {} points out of the package, to {}",
        source.display(),
        target.display()
    ))
    .hint("put a copy of the file in its place, or remove the link"))
}

fn regular(source: &Path, name: PathBuf, metadata: &Metadata) -> Result<Entry, Failure> {
    if !metadata.is_file() {
        return Err(Failure::new(format!("{} is not a file, a directory or a link", source.display()))
            .hint("a package cannot hold sockets, pipes and devices; remove it"));
    }
    let executable = metadata.permissions().mode() & 0o111 != 0 || is_elf(source)?;
    Ok(Entry { name, source: source.to_owned(), kind: Kind::File { size: metadata.len(), executable } })
}

/// Programs copied about often lose their mode bits; what they are is plain.
fn is_elf(path: &Path) -> Result<bool, Failure> {
    let mut magic = Vec::with_capacity(4);
    let mut file = fs::File::open(path).map_err(|e| unreadable(path, &e))?;
    file.by_ref().take(4).read_to_end(&mut magic).map_err(|e| unreadable(path, &e))?;
    Ok(magic == b"\x7fELF")
}

/// Whether a link's target, followed from the link's place, is inside the package at every step.
fn stays_inside(name: &Path, target: &Path) -> bool {
    let mut depth = name.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::new(format!("cannot read {}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::NotFound { failure.exit(Exit::NotFound) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn links_may_not_leave_the_package() {
        for (name, target, inside) in [
            ("a", "b", true),
            ("d/a", "../b", true),
            ("d/a", "./x/../../b", true),
            ("a", "../b", false),
            ("d/a", "../../b", false),
            ("a", "/etc/passwd", false),
            ("a", "b/../../c", false),
        ] {
            assert_eq!(stays_inside(Path::new(name), Path::new(target)), inside, "{name} -> {target}");
        }
    }

    #[test]
    fn a_link_out_of_the_package_is_named() {
        let dir = tempfile::tempdir().expect("temporary directory");
        symlink("/usr/bin/python3", dir.path().join("python")).expect("symlink");
        let failure = walk(dir.path()).expect_err("refused");
        assert!(failure.message.contains("points out of the package, to /usr/bin/python3"));
    }

    #[test]
    fn caches_and_history_are_left_out() {
        let dir = tempfile::tempdir().expect("temporary directory");
        for skipped in [".git", "__pycache__", "pkg", "pkg/__pycache__"] {
            fs::create_dir(dir.path().join(skipped)).expect("mkdir");
            fs::write(dir.path().join(skipped).join("x"), "x").expect("write");
        }
        let names: Vec<_> = walk(dir.path()).expect("walk").into_iter().map(|e| e.name).collect();
        assert_eq!(names, [PathBuf::from("pkg"), PathBuf::from("pkg/x")]);
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        assert!(walk(dir.path()).expect_err("empty").message.contains("holds no files"));
        let _socket = UnixListener::bind(dir.path().join("s")).expect("bind");
        assert!(walk(dir.path()).expect_err("socket").message.contains("is not a file"));
        assert_eq!(walk(&dir.path().join("absent")).expect_err("absent").exit, Exit::NotFound);
    }

    #[test]
    fn programs_are_executable_whatever_their_mode() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("p"), b"\x7fELF...").expect("write");
        let entries = walk(&dir.path().join("p")).expect("walk");
        assert!(matches!(entries[0].kind, Kind::File { size: 7, executable: true }));
    }
}
