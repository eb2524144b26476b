//! Turns unpacked Debian packages into the directory tree of a root image.

use crate::image::error::{Context, ImageError};
use crate::image::index::Deb;
use crate::image::recipe::{Recipe, Source};
use crate::image::run::{Failure, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Top-level directories that are links into `/usr`, as on every Debian 12 system.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];
/// Directories that must exist because something is mounted or made there.
pub(crate) const DIRECTORIES: &[&str] = &[
    "dev/shm", "etc", "home", "mnt", "opt", "proc", "root", "run", "sys", "tmp", "var/log", "var/task",
    "var/tmp",
];
/// Directories anyone can write to, with the sticky bit.
pub(crate) const SHARED_DIRECTORIES: &[&str] = &["tmp", "var/tmp", "dev/shm"];
/// Small configuration files that no package brings.
pub(crate) const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("etc/hostname", "localhost\n"),
    (
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\nnetworks: files\nprotocols: files\nservices: files\n",
    ),
    ("etc/resolv.conf", "# A function has no name server.\n"),
    (
        "etc/os-release",
        "PRETTY_NAME=\"Spore runtime (Debian 12 packages)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n",
    ),
];
/// Links every system has.
const LINKS: &[(&str, &str)] =
    &[("var/run", "/run"), ("var/lock", "/run/lock"), ("etc/mtab", "/proc/self/mounts")];

/// Unpacks the packages into `root` and the tools into `tools`.
pub(crate) fn unpack(recipe: &Recipe, debs: &[Deb], root: &Path, tools: &Path) -> Result<(), ImageError> {
    for deb in debs {
        let target = if recipe.tools.contains(&deb.package) { tools } else { root };
        let mut command = Command::new("dpkg-deb");
        command.env("LC_ALL", "C").arg("-x").arg(deb.path()).arg(target);
        run(&mut command).map_err(|failure| match failure {
            Failure::Missing => ImageError::NoTool { tool: "dpkg-deb", remedy: "install the package dpkg" },
            Failure::NotRun(source) => ImageError::io("run", Path::new("dpkg-deb"), source),
            Failure::Status { detail } if detail.contains("No space left on device") => {
                ImageError::NoSpace { path: target.to_owned() }
            }
            Failure::Status { detail } => {
                // The digest was right, so a second download would be the same: keep the file, name the reason.
                ImageError::Layout(format!("{} cannot be unpacked: {detail}", deb.file))
            }
        })?;
    }
    Ok(())
}

/// Makes the unpacked tree in `root` a complete system.
pub(crate) fn complete(
    recipe: &Recipe,
    source: &Source,
    root: &Path,
    tools: &Path,
) -> Result<(), ImageError> {
    for name in MERGED {
        merge(root, name)?;
    }
    for pattern in &recipe.prune {
        for path in matching(root, pattern)? {
            remove(&path)?;
        }
    }
    for directory in DIRECTORIES {
        create_dir(&root.join(directory))?;
    }
    for (path, text) in FILES {
        write(&root.join(path), text)?;
    }
    for (path, name) in &recipe.files {
        let missing = || ImageError::Recipe(format!("there is no file {name}"));
        write(&root.join(path), source.file(name).ok_or_else(missing)?)?;
    }
    let own = recipe.links.iter().map(|(path, target)| (path.as_str(), target.as_str()));
    for (path, target) in LINKS.iter().copied().chain(own) {
        link(&root.join(path), target)?;
    }
    cache_libraries(root, tools)?;
    for path in &recipe.from_tools {
        let (from, to) = (tools.join(path), root.join(path));
        create_dir(&to)?;
        move_into(&from, &to)?;
    }
    for path in &recipe.expect {
        if !root.join(path).exists() && resolve(root, path).is_none() {
            return Err(ImageError::Layout(format!("/{path} is missing")));
        }
    }
    Ok(())
}

/// Moves the contents of `/name` to `/usr/name` and leaves a link.
fn merge(root: &Path, name: &str) -> Result<(), ImageError> {
    let (from, to) = (root.join(name), root.join("usr").join(name));
    create_dir(&to)?;
    if from.is_dir() {
        move_into(&from, &to)?;
    }
    link(&from, &format!("usr/{name}"))
}

fn move_into(from: &Path, to: &Path) -> Result<(), ImageError> {
    for entry in fs::read_dir(from).on("list", from)? {
        let entry = entry.on("list", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let is_dir = entry.file_type().on("look at", &source)?.is_dir();
        if is_dir && target.is_dir() {
            move_into(&source, &target)?;
        } else {
            fs::rename(&source, &target).on("move", &source)?;
        }
    }
    fs::remove_dir(from).on("remove", from)
}

/// Paths below `root` that match `pattern`, where `*` stands for any part of one name.
fn matching(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, ImageError> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for directory in found {
            let Some((before, after)) = part.split_once('*') else {
                next.push(directory.join(part));
                continue;
            };
            if !directory.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&directory).on("list", &directory)? {
                let entry = entry.on("list", &directory)?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.len() >= before.len() + after.len()
                    && name.starts_with(before)
                    && name.ends_with(after)
                {
                    next.push(entry.path());
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    Ok(found)
}

fn remove(path: &Path) -> Result<(), ImageError> {
    if path.symlink_metadata().on("look at", path)?.is_dir() {
        fs::remove_dir_all(path).on("remove", path)
    } else {
        fs::remove_file(path).on("remove", path)
    }
}

fn create_dir(path: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(path).on("create", path)
}

fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), ImageError> {
    if let Some(parent) = path.parent() {
        create_dir(parent)?;
    }
    fs::write(path, content).on("write", path)
}

fn link(path: &Path, target: &str) -> Result<(), ImageError> {
    if path.symlink_metadata().is_ok() {
        remove(path)?;
    }
    symlink(target, path).on("link", path)
}

/// Writes `/etc/ld.so.cache`, which saves the program loader most of its searching.
fn cache_libraries(root: &Path, tools: &Path) -> Result<(), ImageError> {
    let ldconfig = tools.join("sbin/ldconfig");
    let mut command = Command::new(&ldconfig);
    let configuration = root.join("etc/ld.so.conf");
    if !configuration.exists() {
        write(&configuration, "/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n")?;
    }
    command.arg("-X").arg("-r").arg(root);
    run(&mut command).map_err(|failure| match failure {
        Failure::Missing => ImageError::Layout("no ldconfig among the tools".to_owned()),
        Failure::NotRun(source) => ImageError::io("run", &ldconfig, source),
        Failure::Status { detail } => ImageError::Layout(format!("ldconfig: {detail}")),
    })?;
    let scratch = root.join("var/cache");
    if scratch.exists() { remove(&scratch) } else { Ok(()) }
}

/// Where `path` leads inside `root`, all links followed as inside the image; `None` if nowhere.
pub(crate) fn resolve(root: &Path, path: &str) -> Option<PathBuf> {
    const LINKS_MAX: usize = 40;
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut at = PathBuf::new();
    let mut links = 0;
    while let Some(name) = left.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(&name),
        }
        let metadata = root.join(&at).symlink_metadata().ok()?;
        if metadata.is_symlink() {
            links += 1;
            let target = fs::read_link(root.join(&at)).ok().filter(|_| links <= LINKS_MAX)?;
            at = if target.is_absolute() { PathBuf::new() } else { at.parent()?.to_owned() };
            left.extend(target.to_str()?.split('/').rev().map(str::to_owned));
        }
    }
    Some(root.join(at))
}

/// Symbolic links below `root` that lead nowhere, except into directories that pico fills.
pub(crate) fn dangling(root: &Path) -> Result<Vec<String>, ImageError> {
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).on("list", &directory)? {
            let path = entry.on("list", &directory)?.path();
            let metadata = path.symlink_metadata().on("look at", &path)?;
            if metadata.is_dir() {
                directories.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).on("read the link", &path)?;
                let inside = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                let runtime = target.starts_with("/proc") || target.starts_with("/run");
                if !runtime && resolve(root, &inside).is_none() {
                    found.push(format!("/{inside} -> {}", target.display()));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}
