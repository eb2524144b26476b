//! Images of what lies on this machine: a directory, files, or one program with what it is linked against. They are
//! written anew each time, into files without a name.

use super::error::{Context, ImageError};
use super::{image_error, stage};
use crate::elf;
use snapshotter::erofs::{Content, Options, Tree, build};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Bytes of a script in which its first line ends.
const FIRST_LINE_MAX: usize = 256;
/// The dynamic loaders that are run here, to find a program's libraries: glibc's and musl's. What else a program may name
/// is a file like any other, and nobody asked to run it on this machine.
const LOADERS: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"];
/// Where a loader looks up libraries in directories of this machine's own.
const LOADER_CACHE: &str = "/etc/ld.so.cache";

/// An image of the directory `directory` as `/`. Owners become root, modes 0755 or 0644, times one constant.
pub fn of_directory(directory: &Path) -> Result<File, ImageError> {
    let mut tree = Tree::new();
    tree.add_host_dir("", directory).map_err(failed(directory))?;
    write(&tree)
}

/// An image of files and directories, side by side under their own names.
pub fn of_files(paths: &[PathBuf]) -> Result<File, ImageError> {
    let mut tree = Tree::new();
    for path in paths {
        let whole = fs::canonicalize(path).on("find", path)?;
        let name = path.file_name().or_else(|| whole.file_name()).unwrap_or_default().as_bytes();
        if whole.is_dir() {
            tree.add_host_dir(name, &whole).map_err(failed(path))?;
        } else {
            add_file(&mut tree, name, &whole)?;
        }
    }
    write(&tree)
}

/// The locale C.UTF-8, which is what LANG says.
const LOCALE: &str = "/usr/lib/locale/C.utf8";
/// Where memory and generated files hide what an image has there.
const HIDDEN: &[&str] = &["/tmp", "/var/tmp", "/run", "/dev", "/proc", "/sys", "/var/task"];

/// Where the program at `path` (absolute) is in its image: there, or in `/usr/local/bin` if it could not be seen there.
pub fn place_of_program(path: &Path) -> PathBuf {
    let hidden = HIDDEN.iter().any(|directory| path.starts_with(directory));
    let name = path.file_name().filter(|_| hidden);
    name.map_or_else(|| path.to_owned(), |name| Path::new("/usr/local/bin").join(name))
}

/// An image with the program at `path` (absolute) and what it cannot start without: its interpreter if it is a script,
/// its loader and its libraries, each where it is on this machine ([`place_of_program`]); and the few files in `/etc` that every system has.
pub fn of_program(path: &Path) -> Result<File, ImageError> {
    let mut tree = Tree::new();
    for directory in stage::DIRECTORIES {
        tree.add_dir(directory, 0o755).map_err(failed(path))?;
    }
    for directory in stage::SHARED_DIRECTORIES {
        tree.add_dir(directory, 0o1777).map_err(failed(path))?;
    }
    for (name, text) in stage::FILES {
        tree.add_file(name, text.as_bytes(), 0o644).map_err(failed(path))?;
    }
    add_program(&mut tree, path, &place_of_program(path))?;
    if let Some(interpreter) = interpreter_of_script(path)? {
        add_program(&mut tree, &interpreter, &interpreter)?;
    }
    if Path::new(LOCALE).is_dir() {
        tree.add_host_dir(LOCALE, Path::new(LOCALE)).map_err(failed(path))?;
    }
    if Path::new(LOADER_CACHE).exists() {
        add_file(&mut tree, LOADER_CACHE.as_bytes(), Path::new(LOADER_CACHE))?;
    }
    write(&tree)
}

/// Adds a program as `place`, with its loader and libraries.
fn add_program(tree: &mut Tree, path: &Path, place: &Path) -> Result<(), ImageError> {
    add_file(tree, place.as_os_str().as_bytes(), path)?;
    let bytes = fs::read(path).on("read", path)?;
    let Some(loader) = elf::inspect(&bytes).filter(elf::Elf::is_native).and_then(|elf| elf.interpreter)
    else {
        return Ok(());
    };
    let libraries = libraries(path, &loader)?;
    add_file(tree, loader.as_bytes(), Path::new(&loader))?;
    for library in libraries {
        add_file(tree, plain(&library).as_os_str().as_bytes(), &library)?;
    }
    Ok(())
}

/// The libraries `program` is linked against, as its loader finds them on this machine. The program itself is not run.
fn libraries(program: &Path, loader: &str) -> Result<Vec<PathBuf>, ImageError> {
    if !LOADERS.contains(&loader) {
        let detail = format!(
            "it asks for the loader {loader}, which is none of {}; put the program and its files into a directory for --image",
            LOADERS.join(", ")
        );
        return Err(ImageError::Libraries { path: program.to_owned(), detail });
    }
    let output = Command::new(loader).arg("--list").arg(program).env("LC_ALL", "C").output();
    let output = output.on("run", Path::new(loader))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<&str> = text.lines().filter(|line| line.contains("not found")).map(str::trim).collect();
    if !output.status.success() || !missing.is_empty() {
        let said = String::from_utf8_lossy(&output.stderr);
        let detail = if missing.is_empty() { said.trim().to_owned() } else { missing.join(", ") };
        return Err(ImageError::Libraries { path: program.to_owned(), detail });
    }
    Ok(text.lines().filter_map(library).collect())
}

/// The file in a line like `libc.so.6 => /lib/libc.so.6 (0x00007f...)`; nothing if it names none.
fn library(line: &str) -> Option<PathBuf> {
    let line = line.trim();
    let line = line.rsplit_once(" (0x").map_or(line, |(file, _)| file);
    let file = line.split_once(" => ").map_or(line, |(_, file)| file);
    file.starts_with('/').then(|| PathBuf::from(file))
}

/// `path` without `..`: an image has directories, and no links among them.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            component => plain.push(component),
        }
    }
    plain
}

/// The interpreter that the script at `path` names; nothing if it is no script.
fn interpreter_of_script(path: &Path) -> Result<Option<PathBuf>, ImageError> {
    let mut line = Vec::new();
    let file = File::open(path).on("open", path)?;
    file.take(FIRST_LINE_MAX as u64).read_to_end(&mut line).on("read", path)?;
    let Some(line) = line.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let name = line.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    Ok(Some(PathBuf::from(std::ffi::OsStr::from_bytes(name))))
}

/// Adds the host's file `from` as `to`.
fn add_file(tree: &mut Tree, to: &[u8], from: &Path) -> Result<(), ImageError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = from.metadata().on("look at", from)?.permissions().mode();
    let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
    let content = Content::of_host_file(from).map_err(failed(from))?;
    tree.add_file(to, content, mode).map_err(failed(from))
}

fn failed(path: &Path) -> impl Fn(snapshotter::erofs::Error) -> ImageError {
    move |error| image_error(path, error)
}

fn write(tree: &Tree) -> Result<File, ImageError> {
    let place = std::env::temp_dir();
    let file = tempfile::tempfile_in(&place).on("create a file in", &place)?;
    let mut writer = BufWriter::new(file.try_clone().on("open", &place)?);
    build(tree, &mut writer, &Options::default()).map_err(failed(&place))?;
    writer.flush().on("write to", &place)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(mut image: File) -> Vec<u8> {
        use std::io::Seek;
        image.rewind().unwrap();
        let mut bytes = Vec::new();
        image.read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn holds(image: &[u8], text: &[u8]) -> bool {
        image.windows(text.len()).any(|window| window == text)
    }

    #[test]
    fn a_directory_and_single_files_become_images() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("hello.txt");
        fs::write(&file, "some contents").unwrap();
        for image in [of_directory(directory.path()).unwrap(), of_files(&[file]).unwrap()] {
            let image = contents(image);
            assert!(holds(&image, b"hello.txt") && holds(&image, b"some contents"));
        }
        let missing = directory.path().join("missing");
        assert!(of_directory(&missing).unwrap_err().to_string().contains("missing"));
        assert!(of_files(&[missing]).unwrap_err().to_string().contains("missing"));
    }

    #[test]
    fn only_loaders_of_the_system_are_run() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        let mut bytes = fs::read("/bin/cat").unwrap();
        let at = bytes.windows(LOADERS[0].len()).position(|window| window == LOADERS[0].as_bytes()).unwrap();
        let name = b"/proc/self/cwd/x\0";
        bytes[at..at + name.len()].copy_from_slice(name);
        fs::write(&program, bytes).unwrap();
        let error = of_program(&program).unwrap_err();
        assert!(error.to_string().contains("the loader /proc/self/cwd/x"), "{error}");
    }

    #[test]
    fn what_a_loader_lists_is_understood() {
        let listed = |line| library(line).map(|path| plain(&path));
        assert_eq!(listed("\tlinux-vdso.so.1 (0x00007ffd)"), None);
        assert_eq!(
            listed("\t/lib64/ld-linux-x86-64.so.2 (0x00007f1)"),
            Some("/lib64/ld-linux-x86-64.so.2".into())
        );
        assert_eq!(
            listed("\tlibm.so.6 => /a b/bin/../lib/libm.so.6 (0x00007f1)"),
            Some("/a b/lib/libm.so.6".into())
        );
        assert_eq!(listed("\tstatically linked"), None);
    }

    #[test]
    fn a_program_brings_its_libraries_and_a_script_its_interpreter() {
        let image = contents(of_program(Path::new("/bin/cat")).unwrap());
        assert!(
            holds(&image, b"libc.so.6") && holds(&image, b"ld-linux-x86-64.so.2") && holds(&image, b"passwd")
        );
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        fs::write(&script, "#! /bin/cat -n\ntext\n").unwrap();
        assert_eq!(interpreter_of_script(&script).unwrap(), Some(PathBuf::from("/bin/cat")));
        assert!(holds(&contents(of_program(&script).unwrap()), b"libc.so.6"));
        fs::write(&script, "text\n").unwrap();
        assert_eq!(interpreter_of_script(&script).unwrap(), None);
    }
}
