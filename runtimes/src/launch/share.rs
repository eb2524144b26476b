//! Which functions can be made out of their runtime's parent instead of being started from nothing.

use super::environment::{common_env, default};
use super::{BOOTSTRAP, INTERPRETER, NODE, PYTHON, node};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the parents of a runtime have in common.
struct Kind {
    interpreter: &'static str,
    bootstrap: &'static str,
    /// Memory of a runtime parent's program, in bytes. A function with less is started by itself.
    memory: u64,
    /// Variables that a program only looks at while it starts, by the beginning of their names. A function that sets
    /// one differently from the runtime parent is started by itself.
    at_start: &'static [&'static str],
}

const PYTHON_KIND: Kind = Kind {
    interpreter: INTERPRETER,
    bootstrap: BOOTSTRAP,
    memory: 64 << 20,
    at_start: &["PYTHON", "LD_", "GLIBC_", "MALLOC_", "LC_", "LANG", "LANGUAGE"],
};
const NODE_KIND: Kind = Kind {
    interpreter: node::INTERPRETER,
    bootstrap: node::BOOTSTRAP,
    memory: node::LEAST_MIB << 20,
    at_start: &[
        "NODE_",
        "UV_",
        "OPENSSL_",
        "SSL_CERT_",
        "LD_",
        "GLIBC_",
        "MALLOC_",
        "LC_",
        "LANG",
        "LANGUAGE",
    ],
};

/// A runtime parent, and what turns a fork of it into a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Program and arguments of the runtime parent.
    pub command: Vec<String>,
    /// Its environment, complete.
    pub env: BTreeMap<String, String>,
    /// Its memory in bytes.
    pub memory_bytes: u64,
    /// What its fork is told: one line of JSON, as the bootstrap of the runtime reads it.
    pub document: Vec<u8>,
}

#[derive(Serialize)]
struct Document<'a> {
    handler: &'a str,
    env: &'a BTreeMap<String, String>,
}

/// How the function that [`super::plan`] would start with `command` and `env` is made out of the parent of `runtime`;
/// `None` if it must be started by itself.
pub fn share(
    runtime: &str,
    command: &[String],
    env: &BTreeMap<String, String>,
    memory_bytes: u64,
) -> Option<Shared> {
    let [interpreter, .., bootstrap, handler] = command else { return None };
    let kind = match runtime {
        PYTHON => PYTHON_KIND,
        NODE => NODE_KIND,
        _ => return None,
    };
    let is_bootstrap = interpreter == kind.interpreter && bootstrap == kind.bootstrap;
    if !is_bootstrap || memory_bytes < kind.memory {
        return None;
    }
    let runtime_env = runtime_env(runtime);
    let at_start = |name: &&String| kind.at_start.iter().any(|start| name.starts_with(start));
    let names = env.keys().chain(runtime_env.keys());
    if names.filter(at_start).any(|name| env.get(name) != runtime_env.get(name)) {
        return None;
    }
    let mut document = serde_json::to_vec(&Document { handler, env }).ok()?;
    document.push(b'\n');
    let mut command = command.to_vec();
    *command.last_mut()? = "--await-function".to_owned();
    Some(Shared { command, env: runtime_env, memory_bytes: kind.memory, document })
}

/// What every function of a runtime has, unless it says otherwise.
fn runtime_env(runtime: &str) -> BTreeMap<String, String> {
    let own = (runtime == PYTHON).then(|| default("PYTHONDONTWRITEBYTECODE", "1"));
    let all = common_env().into_iter().chain(own);
    all.map(|variable| (variable.name.to_owned(), variable.value)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{with, with_memory};
    use super::super::{Launch, NATIVE};
    use super::*;

    const RUNTIME_MEMORY: u64 = PYTHON_KIND.memory;

    fn shared(launch: &Launch, memory: u64) -> Option<Shared> {
        share(launch.root, &launch.command, &launch.env, memory)
    }

    #[test]
    fn a_python_function_is_told_its_handler_and_its_environment() {
        let launch = with(PYTHON, "web.api.run", &[("COLOUR", "green"), ("TZ", "Europe/Berlin")]).unwrap();
        let shared = shared(&launch, RUNTIME_MEMORY).unwrap();
        assert_eq!(shared.command[1..], ["-s", "-P", BOOTSTRAP, "--await-function"]);
        assert!(shared.document.ends_with(b"}\n"));
        let told: serde_json::Value = serde_json::from_slice(&shared.document).unwrap();
        assert_eq!(told["handler"], "web.api.run");
        assert_eq!(told["env"], serde_json::to_value(&launch.env).unwrap());
        assert!(!shared.env.contains_key("_HANDLER") && shared.env.contains_key("PATH"));
    }

    #[test]
    fn a_node_function_keeps_the_limit_of_its_heap() {
        let launch = with_memory(NODE, "index.handler", &[], 512).unwrap();
        let shared = shared(&launch, 512 << 20).unwrap();
        assert_eq!(shared.command[5..], ["--max-old-space-size=368", node::BOOTSTRAP, "--await-function"]);
        assert_eq!(shared.memory_bytes, node::LEAST_MIB << 20);
        let options = with_memory(NODE, "index.handler", &[("NODE_OPTIONS", "--no-warnings")], 512).unwrap();
        assert_eq!(share(options.root, &options.command, &options.env, 512 << 20), None);
    }

    #[test]
    fn all_functions_of_a_runtime_share_one_parent() {
        let launches = [("app.handler", "1"), ("web.run", "2")].map(|(handler, value)| {
            shared(&with(PYTHON, handler, &[("A", value)]).unwrap(), 128 << 20).unwrap()
        });
        assert_eq!(
            (&launches[0].command, &launches[0].env, launches[0].memory_bytes),
            (&launches[1].command, &launches[1].env, launches[1].memory_bytes)
        );
    }

    #[test]
    fn what_only_a_start_can_do_is_done_by_a_start() {
        for variable in [("PYTHONHASHSEED", "0"), ("LC_ALL", "C"), ("LANG", "C"), ("LD_PRELOAD", "x.so")] {
            let launch = with(PYTHON, "app.handler", &[variable]).unwrap();
            assert_eq!(shared(&launch, 128 << 20), None, "{variable:?}");
        }
        let same = with(PYTHON, "app.handler", &[("LANG", "C.UTF-8")]).unwrap();
        assert!(shared(&same, 128 << 20).is_some());
        assert_eq!(shared(&same, RUNTIME_MEMORY - 1), None);
        assert_eq!(shared(&with(NATIVE, "server", &[]).unwrap(), 128 << 20), None);
    }
}
