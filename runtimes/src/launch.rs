//! How a function is started: program, arguments, environment.

mod environment;
mod node;
mod share;

pub(crate) use node::script_of;
pub use share::{Shared, share};

use crate::elf::{Elf, ElfKind};
use crate::package::{FileKind, PackageView};
use abi::boot::{Contract, PACKAGE_DIR, STRINGS_MAX};
use environment::{check_variable, common_env, native_env, node_env, provided_env, python_env};
use std::collections::BTreeMap;

/// The runtime for Python handlers.
pub const PYTHON: &str = "python3.11";
/// The runtime for JavaScript handlers.
pub const NODE: &str = "node24";
/// The runtime for programs that are HTTP servers.
pub const NATIVE: &str = "native";
/// The runtime for programs that ask AWS Lambda's Runtime API for events.
pub const PROVIDED: &str = "provided";
/// All runtimes.
pub const RUNTIMES: [&str; 4] = [PYTHON, NODE, NATIVE, PROVIDED];
/// The names by which AWS Lambda knows some of them.
const ALIASES: [(&str, &str); 3] =
    [("nodejs24.x", NODE), ("provided.al2023", PROVIDED), ("provided.al2", PROVIDED)];

const INTERPRETER: &str = "/usr/bin/python3.11";
const BOOTSTRAP: &str = "/opt/spore/bootstrap.py";
/// The only program loader in the root images.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// Most arguments of a native program.
const ARGUMENTS_MAX: usize = 256;

/// The runtime called `name`, by this or by another name.
pub fn runtime(name: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map(|(_, runtime)| *runtime).or_else(|| RUNTIMES.into_iter().find(|known| *known == name))
}

/// Name of the root image of a runtime, for [`crate::image::prepare`].
pub fn root_image(runtime: &str) -> &str {
    // The same libraries; one image is shared by more VMs than two would be.
    if runtime == PROVIDED { NATIVE } else { runtime }
}

/// Memory of a function that does not say how much it needs, in bytes.
pub fn default_memory(name: &str) -> u64 {
    if runtime(name) == Some(NODE) { 256 << 20 } else { 128 << 20 }
}

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
    /// Port it listens on, or finds the Runtime API at.
    pub port: u16,
    /// Name of the root image, for [`crate::image::prepare`].
    pub root: &'static str,
}

/// Why a function cannot be started; always something the user can change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no such runtime.
    #[error("there is no runtime `{name}`; the runtimes are {PYTHON}, {NODE}, {NATIVE} and {PROVIDED}")]
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
    /// The handler's module is not there.
    #[error("the package has no module `{module}` (looked for {module}.js, {module}.mjs and {module}.cjs)")]
    NoScript {
        /// The module.
        module: String,
    },
    /// The runtime takes more memory.
    #[error("{runtime} needs at least {least_mib} MiB of memory; set it with --memory")]
    LittleMemory {
        /// The runtime.
        runtime: &'static str,
        /// What it needs.
        least_mib: u64,
    },
    /// The program is not there.
    #[error("the package has no file {path:?}; --handler takes the path of the program inside the package")]
    NoProgram {
        /// The path.
        path: String,
    },
    /// The file is no program.
    #[error("{path:?} is {what}; only Linux x86-64 ELF programs can be started")]
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
    let unknown = || PlanError::UnknownRuntime { name: wanted.runtime.to_owned() };
    let runtime = runtime(wanted.runtime).ok_or_else(unknown)?;
    let (contract, command, own, port) = match runtime {
        PYTHON => (Contract::Handler, python_command(wanted)?, python_env(wanted), wanted.port),
        NODE => (Contract::Handler, node::command(wanted)?, node_env(wanted), wanted.port),
        PROVIDED => {
            (Contract::RuntimeApi, native_command(wanted)?, provided_env(wanted), abi::runtime_api::PORT)
        }
        _ => (Contract::Http, native_command(wanted)?, native_env(wanted), wanted.port),
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
    Ok(Launch { contract, command, env, port, root: root_image(runtime) })
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
        FileKind::JavaScript { .. } => return Err(not("a JavaScript file (use --runtime node24)")),
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

#[cfg(test)]
mod tests;
