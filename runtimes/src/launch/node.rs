//! How a JavaScript function is started.

use super::{NODE, PlanError, Wanted, relative};

pub(super) const INTERPRETER: &str = "/usr/bin/node";
pub(super) const BOOTSTRAP: &str = "/opt/spore/bootstrap.cjs";
/// What node takes without any script: its program is copied into the memory of the VM.
const PROGRAM_MIB: u64 = 144;
/// Least memory of a function.
pub(super) const LEAST_MIB: u64 = 192;

/// Options of node and V8 that do not depend on the function.
const OPTIONS: [&str; 4] = [
    // One virtual processor: helper threads would only take turns with the main thread.
    "--single-threaded",
    // The bootstrap collects garbage before the capture.
    "--expose-gc",
    // What is compiled stays, though it was not run for a while: a fork would compile it again.
    "--no-flush-bytecode",
    // No thread that waits for a debugger.
    "--disable-sigusr1",
];

/// The module's path without ending, and the function's path in it: `dir/app.a.b` is `a.b` of `dir/app`.
pub(crate) fn script_of(handler: &str) -> Option<(&str, &str)> {
    let handler = relative(handler.trim());
    let name_at = handler.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name_at + handler[name_at..].find('.')?;
    let (module, function) = (&handler[..dot], &handler[dot + 1..]);
    let whole = dot > name_at && function.split('.').all(|part| !part.is_empty());
    (whole && !handler.contains(['\0', ' ', '\\'])).then_some((module, function))
}

/// Program and arguments.
pub(super) fn command(wanted: &Wanted<'_>) -> Result<Vec<String>, PlanError> {
    let (module, function) = script_of(wanted.handler).ok_or_else(|| PlanError::BadHandler {
        handler: wanted.handler.to_owned(),
        form: "MODULE.FUNCTION, as in index.handler",
    })?;
    if !wanted.package.has_script(module) {
        return Err(PlanError::NoScript { module: module.to_owned() });
    }
    let memory = wanted.memory_bytes >> 20;
    if memory < LEAST_MIB {
        return Err(PlanError::LittleMemory { runtime: NODE, least_mib: LEAST_MIB });
    }
    let heap = format!("--max-old-space-size={}", heap_mib(memory));
    let mut command = vec![INTERPRETER.to_owned()];
    command.extend(OPTIONS.map(str::to_owned));
    command.extend([heap, BOOTSTRAP.to_owned(), format!("{module}.{function}")]);
    Ok(command)
}

/// Limit of V8's heap for a function with `memory` MiB. V8 takes it at its start, which is that of the runtime's
/// parent: functions of about the same size have the same, so that they share a parent.
fn heap_mib(memory: u64) -> u64 {
    let size = if memory < 256 { LEAST_MIB } else { 1 << memory.ilog2() };
    size - PROGRAM_MIB
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_a_module_and_a_path_of_names() {
        assert_eq!(script_of("index.handler"), Some(("index", "handler")));
        assert_eq!(script_of("./dist.v2/app.routes.get"), Some(("dist.v2/app", "routes.get")));
        for bad in ["index", "index.", ".handler", "a/.b", "a b.c", "a..b", ""] {
            assert_eq!(script_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn functions_of_about_the_same_size_have_the_same_heap() {
        assert_eq!([192, 255].map(heap_mib), [48; 2]);
        assert_eq!([256, 300, 511].map(heap_mib), [112; 3]);
        assert_eq!([512, 1024].map(heap_mib), [368, 880]);
    }
}
