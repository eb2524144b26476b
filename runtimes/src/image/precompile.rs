//! Byte-compiles the standard library with the image's own interpreter, run through the image's own program
//! loader, so that nothing of the machine's Python gets in. The result depends on the sources only: the hash
//! seed is fixed and each of the two processes compiles a fixed list in a fixed order.

use crate::image::error::{Context, ImageError};
use crate::image::recipe::Precompile;
use crate::image::run::{Failure, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Processes that compile at the same time.
const JOBS: usize = 2;
/// The program loader of the image.
const LOADER: &str = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
/// Where the loader looks for libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Compiles the files listed in argv[1] (one a line, relative to argv[2]), under the names they have in the image.
/// Unchecked hashes: the image is read-only, so nothing has to look at the source again.
const SCRIPT: &str = "\
import py_compile, sys
root = sys.argv[2]
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
for line in open(sys.argv[1], encoding='utf-8'):
    path = line.rstrip('\\n')
    py_compile.compile(root + '/' + path, dfile='/' + path, doraise=True, invalidation_mode=mode)
";

/// A command that runs a program of the image on this machine, with the image's loader and libraries.
pub(crate) fn image_program(root: &Path, program: &str) -> Command {
    let mut command = Command::new(root.join(LOADER));
    command.env_clear().env("LC_ALL", "C.UTF-8").arg("--inhibit-cache").arg("--library-path");
    command.arg(root.join(LIBRARIES)).arg(root.join(program));
    command
}

/// Compiles what `what` says below `root`; returns the number of modules.
pub(crate) fn precompile(what: &Precompile, root: &Path, scratch: &Path) -> Result<usize, ImageError> {
    let mut files = Vec::new();
    for directory in &what.directories {
        collect(root, &root.join(directory), &root.join(directory), &what.skip, &mut files)?;
    }
    files.sort();
    let lists: Vec<PathBuf> = (0..JOBS)
        .map(|job| {
            let list = scratch.join(format!("modules-{job}"));
            let lines: String =
                files.iter().skip(job).step_by(JOBS).map(|file| format!("{file}\n")).collect();
            fs::write(&list, lines).on("write", &list).map(|()| list)
        })
        .collect::<Result<_, _>>()?;
    std::thread::scope(|scope| {
        let jobs: Vec<_> = lists.iter().map(|list| scope.spawn(|| compile(what, root, list))).collect();
        jobs.into_iter().try_for_each(|job| {
            job.join()
                .unwrap_or_else(|_| Err(ImageError::Precompile("a compiling thread panicked".to_owned())))
        })
    })?;
    Ok(files.len())
}

fn compile(what: &Precompile, root: &Path, list: &Path) -> Result<(), ImageError> {
    let mut command = image_program(root, &what.interpreter);
    command.env("PYTHONHASHSEED", "0").args(["-s", "-S", "-P", "-c", SCRIPT]).arg(list).arg(root);
    run(&mut command).map(drop).map_err(|failure| match failure {
        Failure::Missing => ImageError::Layout(format!("/{LOADER} is missing")),
        Failure::NotRun(source) => ImageError::io("run", &root.join(LOADER), source),
        Failure::Status { detail } if detail.contains("No space left on device") => {
            ImageError::NoSpace { path: root.to_owned() }
        }
        Failure::Status { detail } => ImageError::Precompile(detail),
    })
}

fn collect(
    root: &Path,
    top: &Path,
    directory: &Path,
    skip: &[String],
    files: &mut Vec<String>,
) -> Result<(), ImageError> {
    for entry in fs::read_dir(directory).on("list", directory)? {
        let path = entry.on("list", directory)?.path();
        let below = path.strip_prefix(top).unwrap_or(&path);
        if skip.iter().any(|skipped| below == Path::new(skipped)) {
            continue;
        }
        let kind = path.symlink_metadata().on("look at", &path)?;
        if kind.is_dir() {
            collect(root, top, &path, skip, files)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            files.push(inside.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
