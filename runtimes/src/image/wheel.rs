//! Files out of wheels: fetched with the machine's own pip into the cache, pinned by digest in the recipe.

use crate::image::error::{Context, ImageError};
use crate::image::index::sha256_of_file;
use crate::image::recipe::Wheel;
use crate::image::run::{Failure, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Interpreters to look for, best first.
const INTERPRETERS: [&str; 3] = ["python3", "python3.11", "python"];
/// Writes members of a zip archive to files: ARCHIVE, then MEMBER FILE pairs.
const EXTRACT: &str = "
import os, shutil, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
for member, path in zip(sys.argv[2::2], sys.argv[3::2]):
    with archive.open(member) as source, open(path, 'wb') as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.chmod(path, 0o755)
";
const REMEDY: &str = "install the packages python3 and python3-pip";

/// Fetches `wheel` into the cache, unless it is there, and returns where it is.
pub(crate) fn fetch(wheel: &Wheel, cache: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf, ImageError> {
    let directory = cache.join("packages");
    fs::create_dir_all(&directory).on("create", &directory)?;
    let path = directory.join(&wheel.file);
    if sha256_of_file(&path).is_ok_and(|digest| digest == wheel.sha256) {
        return Ok(path);
    }
    progress(&format!("{}: fetching {} with pip", wheel.name, wheel.file));
    let landing = tempfile::Builder::new().prefix(".fetch-").tempdir_in(&directory);
    let landing = landing.on("create a directory in", &directory)?;
    let wanted = landing.path().join("requirements.txt");
    let line = format!("{}=={} --hash=sha256:{}\n", wheel.name, wheel.version, wheel.sha256);
    fs::write(&wanted, line).on("write", &wanted)?;
    download(wheel, landing.path(), &wanted)?;
    let fetched = landing.path().join(&wheel.file);
    if sha256_of_file(&fetched).on("read", &fetched)? != wheel.sha256 {
        let detail = "its SHA-256 digest is not the one in the recipe".to_owned();
        return Err(ImageError::Damaged { file: wheel.file.clone(), detail });
    }
    fs::rename(&fetched, &path).on("move a fetched wheel to", &path)?;
    Ok(path)
}

fn download(wheel: &Wheel, landing: &Path, wanted: &Path) -> Result<(), ImageError> {
    for interpreter in INTERPRETERS {
        let mut command = Command::new(interpreter);
        command.args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]);
        command.args(["--no-deps", "--only-binary=:all:", "--require-hashes", "--python-version=3.11"]);
        command.arg(format!("--platform={}", wheel.platform)).arg("--dest").arg(landing);
        match run(command.arg("--requirement").arg(wanted)) {
            Ok(_) => return Ok(()),
            Err(Failure::NotRun(source)) => {
                return Err(ImageError::io("run", Path::new(interpreter), source));
            }
            Err(Failure::Status { detail }) if detail.contains("No space left on device") => {
                return Err(ImageError::NoSpace { path: landing.to_owned() });
            }
            // Perhaps another one has it.
            Err(Failure::Status { detail }) if detail.contains("No module named pip") => {}
            Err(Failure::Missing) => {}
            Err(Failure::Status { detail }) => {
                return Err(ImageError::Pip { wheel: wheel.file.clone(), detail });
            }
        }
    }
    Err(ImageError::NoTool { tool: "pip", remedy: REMEDY })
}

/// Puts the files of `wheel` that the recipe takes into `root`.
pub(crate) fn unpack(wheel: &Wheel, archive: &Path, root: &Path) -> Result<(), ImageError> {
    let mut arguments = Vec::new();
    for (member, path) in &wheel.take {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).on("create", parent)?;
        }
        arguments.extend([PathBuf::from(member), path]);
    }
    for interpreter in INTERPRETERS {
        let mut command = Command::new(interpreter);
        match run(command.args(["-c", EXTRACT]).arg(archive).args(&arguments)) {
            Ok(_) => return Ok(()),
            Err(Failure::Missing) => {}
            Err(Failure::NotRun(source)) => {
                return Err(ImageError::io("run", Path::new(interpreter), source));
            }
            Err(Failure::Status { detail }) if detail.contains("No space left on device") => {
                return Err(ImageError::NoSpace { path: root.to_owned() });
            }
            Err(Failure::Status { detail }) => {
                return Err(ImageError::Layout(format!("{} cannot be unpacked: {detail}", wheel.file)));
            }
        }
    }
    Err(ImageError::NoTool { tool: "python3", remedy: REMEDY })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> Wheel {
        Wheel {
            name: "no-such-wheel".to_owned(),
            version: "1".to_owned(),
            platform: "any".to_owned(),
            file: "no_such_wheel-1-py3-none-any.whl".to_owned(),
            sha256: "00".repeat(32),
            take: [("inside/x".to_owned(), "usr/bin/x".to_owned())].into(),
        }
    }

    #[test]
    fn what_is_in_the_cache_is_not_fetched() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join("packages").join(wheel().file);
        fs::create_dir(cache.path().join("packages")).unwrap();
        fs::write(&path, "contents").unwrap();
        let known = Wheel { sha256: sha256_of_file(&path).unwrap(), ..wheel() };
        assert_eq!(fetch(&known, cache.path(), &|line| panic!("{line}")).unwrap(), path);
    }

    #[test]
    fn the_files_that_are_named_are_taken() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.whl");
        let make =
            "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1], 'w'); z.writestr('inside/x', 'text')";
        run(Command::new("python3").args(["-c", make]).arg(&archive)).unwrap();
        unpack(&wheel(), &archive, directory.path()).unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("usr/bin/x")).unwrap(), "text");
        let other = Wheel { take: [("inside/y".to_owned(), "y".to_owned())].into(), ..wheel() };
        let error = unpack(&other, &archive, directory.path()).unwrap_err().to_string();
        assert!(error.contains("inside/y"), "{error}");
    }
}
