//! Debian's unmodified CPython as a guest.

use super::Guest;
use std::path::Path;

/// The interpreter.
pub(crate) const PYTHON: &str = "/usr/bin/python3.11";

/// A guest with the host's Python 3.11, its standard library and the shared libraries its modules need.
pub(crate) fn python() -> Guest {
    let mut guest = Guest::new().with_memory(128).with_file(PYTHON, Path::new(PYTHON));
    guest = guest.with_libraries_of(Path::new(PYTHON));
    let library = Path::new("/usr/lib/python3.11");
    let modules = std::fs::read_dir(library.join("lib-dynload")).expect("Debian's Python has modules");
    for module in modules.map(|entry| entry.expect("a readable directory").path()) {
        guest = guest.with_libraries_of(&module);
    }
    guest.tree.add_host_dir("usr/lib/python3.11", library).expect("a readable tree");
    guest.env =
        vec!["PATH=/usr/bin".into(), "LANG=C.UTF-8".into(), "PYTHONHASHSEED=0".into(), "PYTHONUTF8=1".into()];
    guest
}
