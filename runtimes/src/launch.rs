//! How a function is started: program, arguments, environment.

mod share;

pub use share::{Shared, share};

use crate::elf::{Elf, ElfKind};
use crate::package::{FileKind, PackageView};
use abi::boot::{Contract, PACKAGE_DIR, STRINGS_MAX};
use std::collections::BTreeMap;

/// The runtime for Python handlers.
pub const PYTHON: &str = "python3.11";
/// The runtime for programs that are HTTP servers.
pub const NATIVE: &str = "native";

const INTERPRETER: &str = "/usr/bin/python3.11";
const BOOTSTRAP: &str = "/opt/spore/bootstrap.py";
/// The only program loader in the root images.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Most arguments of a native program.
const ARGUMENTS_MAX: usize = 256;

/// What a function is started from.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Function name.
    pub name: &'a str,
    /// Runtime.
    pub runtime: &'a str,
    /// Entry point: `module.function`, or the path of a program with arguments after spaces.
    pub handler: &'a str,
    /// The files.
    pub package: &'a PackageView,
    /// Port a native program is to listen on.
    pub port: u16,
    /// Memory limit in bytes.
    pub memory_bytes: u64,
    /// The user's environment.
    pub env: &'a BTreeMap<String, String>,
}

/// How a function is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// How it takes requests.
    pub contract: Contract,
    /// Program and arguments inside the VM. The working directory is [`PACKAGE_DIR`].
    pub command: Vec<String>,
    /// Environment, complete.
    pub env: BTreeMap<String, String>,
    /// Name of the root image, for [`crate::image::prepare`].
    pub root: &'static str,
}

/// Why a function cannot be started; always something the user can change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no such runtime.
    #[error("there is no runtime `{name}`; the runtimes are {PYTHON} and {NATIVE}")]
    UnknownRuntime {
        /// What was asked for.
        name: String,
    },
    /// The handler is not a handler.
    #[error("the handler {handler:?} is not of the form {form}")]
    BadHandler {
        /// The handler.
        handler: String,
        /// What it should look like.
        form: &'static str,
    },
    /// The handler's module is not there.
    #[error("the package has no module `{module}` (looked for {module_path}.py and {module_path}/__init__.py)", module_path = module.replace('.', "/"))]
    NoModule {
        /// The module.
        module: String,
    },
    /// The program is not there.
    #[error("the package has no file {path:?}; --handler takes the path of the program inside the package")]
    NoProgram {
        /// The path.
        path: String,
    },
    /// The file is no program.
    #[error("{path:?} is {what}; the runtime native starts Linux x86-64 ELF programs")]
    NotAProgram {
        /// The path.
        path: String,
        /// What it is.
        what: String,
    },
    /// The program is for another machine.
    #[error(
        "{path:?} is built for {machine}; Spore runs x86-64: build it with the target x86_64-unknown-linux-gnu or -musl (GOARCH=amd64, gcc -m64)"
    )]
    ForeignMachine {
        /// The path.
        path: String,
        /// What it is for.
        machine: String,
    },
    /// The program is damaged.
    #[error("{path:?} is damaged: {defect}")]
    Damaged {
        /// The path.
        path: String,
        /// How.
        defect: String,
    },
    /// The program's loader is not in the image.
    #[error(
        "{path:?} needs the program loader {loader}, which is not in the root image (it has {LOADER}, of glibc 2.36); link the program statically or against glibc"
    )]
    NoLoader {
        /// The path.
        path: String,
        /// What it needs.
        loader: String,
    },
    /// A variable that cannot be.
    #[error("the environment variable {name:?} {why}")]
    BadVariable {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Too much.
    #[error("arguments and environment together have {bytes} bytes; at most {STRINGS_MAX} fit")]
    TooLong {
        /// What they have.
        bytes: usize,
    },
}

/// Works out how to start a function.
pub fn plan(wanted: &Wanted<'_>) -> Result<Launch, PlanError> {
    let (contract, command, root, own) = match wanted.runtime {
        PYTHON => (Contract::Handler, python_command(wanted)?, PYTHON, python_env(wanted)),
        NATIVE => (Contract::Http, native_command(wanted)?, NATIVE, native_env(wanted)),
        other => return Err(PlanError::UnknownRuntime { name: other.to_owned() }),
    };
    let mut env = BTreeMap::new();
    for (name, value) in wanted.env {
        check_variable(name, value, &own)?;
        env.insert(name.clone(), value.clone());
    }
    for variable in own.into_iter().chain(common_env()) {
        env.entry(variable.name.to_owned()).or_insert(variable.value);
    }
    let bytes = command.iter().map(|argument| argument.len() + 1).sum::<usize>()
        + env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
    if bytes > STRINGS_MAX {
        return Err(PlanError::TooLong { bytes });
    }
    Ok(Launch { contract, command, env, root })
}

fn python_command(wanted: &Wanted<'_>) -> Result<Vec<String>, PlanError> {
    let malformed = || PlanError::BadHandler {
        handler: wanted.handler.to_owned(),
        form: "MODULE.FUNCTION, as in app.handler",
    };
    let handler = wanted.handler.trim();
    let dotted = handler.replace('/', ".");
    let (module, function) = dotted.rsplit_once('.').ok_or_else(malformed)?;
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c == '_' || c.is_alphanumeric())
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    if !is_name(function)
        || !module.split('.').all(|part| !part.is_empty() && !part.contains(['\0', ' ', '\\']))
    {
        return Err(malformed());
    }
    if !wanted.package.has_module(module) {
        return Err(PlanError::NoModule { module: module.to_owned() });
    }
    // -s: no per-user site directory; -P: the bootstrap's own directory is not on the module path.
    Ok([INTERPRETER, "-s", "-P", BOOTSTRAP, handler].map(str::to_owned).to_vec())
}

fn native_command(wanted: &Wanted<'_>) -> Result<Vec<String>, PlanError> {
    let mut words = wanted.handler.split_whitespace().map(str::to_owned);
    let malformed = || PlanError::BadHandler {
        handler: wanted.handler.to_owned(),
        form: "PATH [ARGUMENT]..., as in server",
    };
    let program = words.next().ok_or_else(malformed)?;
    let path = relative(&program);
    let file =
        wanted.package.files.get(path).ok_or_else(|| PlanError::NoProgram { path: path.to_owned() })?;
    let not = |what: &str| PlanError::NotAProgram { path: path.to_owned(), what: what.to_owned() };
    match &file.kind {
        FileKind::Elf(elf) => check_elf(path, elf)?,
        FileKind::Python { .. } => return Err(not("a Python file (use --runtime python3.11)")),
        FileKind::Script => return Err(not("a script, and its interpreter is not in the root image")),
        FileKind::Symlink => return Err(not("a symbolic link; name the program itself")),
        FileKind::Data => return Err(not("not a program")),
    }
    let arguments: Vec<String> = words.collect();
    if arguments.len() > ARGUMENTS_MAX || wanted.handler.contains('\0') {
        return Err(malformed());
    }
    Ok(std::iter::once(format!("{PACKAGE_DIR}/{path}")).chain(arguments).collect())
}

fn check_elf(path: &str, elf: &Elf) -> Result<(), PlanError> {
    let path = path.to_owned();
    if !elf.is_native() {
        return Err(PlanError::ForeignMachine { path, machine: elf.machine.clone() });
    }
    if let Some(defect) = &elf.defect {
        return Err(PlanError::Damaged { path, defect: defect.clone() });
    }
    match elf.kind {
        ElfKind::Program => {}
        ElfKind::Library => return Err(PlanError::NotAProgram { path, what: "a shared library".to_owned() }),
        ElfKind::Other => {
            return Err(PlanError::NotAProgram {
                path,
                what: "an object file, not linked into a program".to_owned(),
            });
        }
    }
    match &elf.interpreter {
        Some(loader) if loader != LOADER => Err(PlanError::NoLoader { path, loader: loader.clone() }),
        _ => Ok(()),
    }
}

/// A program's path inside the package, however the user wrote it: `server`, `./server`, `/var/task/server`.
pub(crate) fn relative(path: &str) -> &str {
    let inside = path.strip_prefix(PACKAGE_DIR).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path);
    inside.strip_prefix("./").unwrap_or(inside)
}

/// A variable the platform sets.
struct Variable {
    name: &'static str,
    value: String,
    /// The user cannot set it: it says what is so, not what is wished.
    reserved: bool,
}

fn fixed(name: &'static str, value: impl Into<String>) -> Variable {
    Variable { name, value: value.into(), reserved: true }
}

fn default(name: &'static str, value: impl Into<String>) -> Variable {
    Variable { name, value: value.into(), reserved: false }
}

fn common_env() -> Vec<Variable> {
    vec![
        default("PATH", "/usr/local/bin:/usr/bin:/bin:/var/task"),
        default("HOME", "/tmp"),
        default("LANG", "C.UTF-8"),
        default("TZ", ":UTC"),
    ]
}

fn python_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    vec![
        fixed("_HANDLER", wanted.handler),
        fixed("LAMBDA_TASK_ROOT", PACKAGE_DIR),
        fixed("LAMBDA_RUNTIME_DIR", "/opt/spore"),
        fixed("AWS_LAMBDA_FUNCTION_NAME", wanted.name),
        fixed("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        fixed("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", (wanted.memory_bytes >> 20).to_string()),
        fixed("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
        fixed("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", wanted.name)),
        fixed("AWS_EXECUTION_ENV", "Spore_python3.11"),
        // The package is read-only: looking for a place to write compiled modules would only cost time.
        default("PYTHONDONTWRITEBYTECODE", "1"),
    ]
}

fn native_env(wanted: &Wanted<'_>) -> Vec<Variable> {
    vec![
        fixed("PORT", wanted.port.to_string()),
        fixed("K_SERVICE", wanted.name),
        fixed("LAMBDA_TASK_ROOT", PACKAGE_DIR),
    ]
}

fn check_variable(name: &str, value: &str, own: &[Variable]) -> Result<(), PlanError> {
    let bad = |why| Err(PlanError::BadVariable { name: name.to_owned(), why });
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
        return bad("has an impossible name: letters, digits and `_` only, not a digit first");
    }
    if value.contains('\0') {
        return bad("has a NUL byte in its value");
    }
    if own.iter().any(|variable| variable.reserved && variable.name == name) {
        return bad("is set by the platform and cannot be changed");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
