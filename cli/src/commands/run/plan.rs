//! From the options of `spore run` to images, arguments and environment.

use super::{RunArgs, failed};
use crate::failure::{Exit, Failure};
use crate::print;
use runtimes::image::{self, local};
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where what was copied lies.
const TASK: &str = "/var/task";
/// Where an EROFS image has its magic number.
const SUPERBLOCK: u64 = 1024;

/// What the VM is made of.
pub(super) struct Plan {
    pub(super) root: File,
    pub(super) package: Option<File>,
    pub(super) args: Vec<Vec<u8>>,
    pub(super) env: Vec<Vec<u8>>,
}

impl Plan {
    pub(super) fn make(args: &RunArgs) -> Result<Self, Failure> {
        let mut command: Vec<Vec<u8>> = args.command.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut path = PATH.to_owned();
        let root = match (&args.runtime, &args.image) {
            (Some(runtime), _) => runtime_image(runtime)?,
            (None, Some(image)) => root_image(image)?,
            (None, None) => {
                let program = find_program(&args.command[0])?;
                if args.command[0].as_bytes().contains(&b'/') {
                    command[0] = local::place_of_program(&program).into_os_string().into_vec();
                } else if let Some(directory) = local::place_of_program(&program).parent() {
                    path = format!("{PATH}:{}", directory.display());
                }
                local::of_program(&program)
                    .map_err(|e| failed("the image of the program cannot be made", &e))?
            }
        };
        let package = (!args.copy.is_empty()).then(|| local::of_files(&args.copy)).transpose();
        let package =
            package.map_err(|error| failed("the image of what is copied cannot be made", &error))?;
        let start = if package.is_some() { TASK } else { "/" };
        let directory = args.workdir.as_deref().unwrap_or(start);
        let env = environment(&args.env, &path, directory)?;
        Ok(Self { root, package, args: command, env })
    }
}

fn runtime_image(runtime: &str) -> Result<File, Failure> {
    let what = format!("the image of runtime {runtime} cannot be prepared");
    let known = image::names();
    if !known.contains(&runtime) {
        let text = format!("there is no runtime `{runtime}`; the runtimes are {}", known.join(" and "));
        return Err(Failure::new(text).exit(Exit::Run));
    }
    let prepared = image::prepare(runtime, &runtimes::cache_dir(), &print::note);
    let prepared = prepared.map_err(|error| failed(&what, &error))?;
    File::open(&prepared.path).map_err(|error| failed(&what, &error))
}

/// A directory becomes an image; a file has to be one.
fn root_image(path: &Path) -> Result<File, Failure> {
    let what = format!("{} cannot be used as an image", path.display());
    let metadata = path.metadata().map_err(|error| failed(&what, &error))?;
    if metadata.is_dir() {
        return local::of_directory(path).map_err(|error| failed(&what, &error));
    }
    let file = File::open(path).map_err(|error| failed(&what, &error))?;
    let mut magic = [0; 4];
    let found = metadata.is_file() && file.read_exact_at(&mut magic, SUPERBLOCK).is_ok();
    if !found || u32::from_le_bytes(magic) != abi::erofs::MAGIC {
        let text = format!("{what}: it is neither a directory nor an EROFS image");
        return Err(Failure::new(text).exit(Exit::Run));
    }
    Ok(file)
}

/// The program of this machine that `name` means, as a shell would find it.
fn find_program(name: &OsStr) -> Result<PathBuf, Failure> {
    let shown = name.display();
    let candidates: Vec<PathBuf> = if name.as_bytes().contains(&b'/') {
        std::path::absolute(name).into_iter().collect()
    } else {
        let path = env::var_os("PATH").unwrap_or_else(|| PATH.into());
        env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).collect()
    };
    let is_executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if let Some(found) = candidates.iter().find(|path| is_executable(path)) {
        return Ok(without_dots(found));
    }
    let Some(found) = candidates.iter().find(|path| path.is_file()) else {
        return Err(Failure::new(format!("there is no program {shown} on this machine"))
            .hint("--runtime and --image take the program from an image")
            .exit(Exit::NoProgram));
    };
    Err(Failure::new(format!("{} is not executable", found.display())).exit(Exit::NotExecutable))
}

/// `path` without `..`; its last part stays as it is, even if it is a link.
fn without_dots(path: &Path) -> PathBuf {
    let has_dots = path.components().any(|component| component == Component::ParentDir);
    let real = path.parent().filter(|_| has_dots).and_then(|directory| directory.canonicalize().ok());
    real.zip(path.file_name()).map_or_else(|| path.to_owned(), |(directory, name)| directory.join(name))
}

/// The environment: a few defaults, and what the caller says.
fn environment(wanted: &[String], path: &str, directory: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let mut env = vec![
        format!("PATH={path}").into_bytes(),
        b"HOME=/tmp".to_vec(),
        b"LANG=C.UTF-8".to_vec(),
        format!("PWD={directory}").into_bytes(),
    ];
    if std::io::stdout().is_terminal() {
        env.extend(env::var_os("TERM").map(|term| [b"TERM=", term.as_bytes()].concat()));
    }
    for entry in wanted {
        let (name, entry) = match entry.split_once('=') {
            Some((name, _)) => (name, Some(entry.clone().into_bytes())),
            None => {
                let value = env::var_os(entry);
                (entry.as_str(), value.map(|value| [entry.as_bytes(), b"=", value.as_bytes()].concat()))
            }
        };
        if name.is_empty() {
            let text = "an environment variable (--env) has no name";
            return Err(Failure::new(text).exit(Exit::Usage));
        }
        if name == "PWD" {
            let text = "PWD is the directory the program starts in: say it with --workdir";
            return Err(Failure::new(text).exit(Exit::Usage));
        }
        let start = [name.as_bytes(), b"="].concat();
        env.retain(|there| !there.starts_with(&start));
        env.extend(entry);
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(wanted: &[&str]) -> Result<Vec<String>, Failure> {
        let wanted: Vec<String> = wanted.iter().map(|&entry| entry.to_owned()).collect();
        let env = environment(&wanted, "/bin", "/")?;
        Ok(env.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect())
    }

    #[test]
    fn the_environment_is_defaults_and_what_the_caller_says() {
        let env = texts(&["A=1", "HOME=/x", "A=2", "B=", "CARGO_PKG_NAME", "NO_SUCH_VARIABLE"]).unwrap();
        for entry in ["PATH=/bin", "PWD=/", "A=2", "B=", "HOME=/x", "CARGO_PKG_NAME=cli"] {
            assert!(env.iter().any(|there| there == entry), "{entry}: {env:?}");
        }
        for gone in ["A=1", "HOME=/tmp", "NO_SUCH_VARIABLE="] {
            assert!(!env.iter().any(|there| there == gone), "{gone}: {env:?}");
        }
        for bad in ["=x", "", "PWD=/tmp"] {
            assert_eq!(texts(&[bad]).unwrap_err().exit, Exit::Usage, "{bad:?}");
        }
    }

    #[test]
    fn programs_of_this_machine_are_found_as_a_shell_finds_them() {
        assert!(find_program(OsStr::new("cat")).unwrap().ends_with("cat"));
        assert_eq!(find_program(OsStr::new("/bin/cat")).unwrap(), Path::new("/bin/cat"));
        let missing = find_program(OsStr::new("no-such-program")).unwrap_err();
        assert_eq!(missing.exit, Exit::NoProgram);
        assert_eq!(find_program(OsStr::new("/etc/passwd")).unwrap_err().exit, Exit::NotExecutable);
        assert_eq!(
            find_program(OsStr::new("/etc/../bin/./cat")).unwrap(),
            Path::new("/bin/cat").canonicalize().unwrap()
        );
    }
}
