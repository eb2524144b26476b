//! The workloads' files, inside the program.

/// Path from the top of the repository, and content.
pub(super) type File = (&'static str, &'static [u8]);

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../../../", $path)))),*]
    };
}

/// All of them. A test sees that none is missing.
pub(super) const FILES: &[File] = files![
    "examples/rust-hello/Cargo.toml",
    "examples/rust-hello/src/lib.rs",
    "examples/rust-hello/src/main.rs",
    "examples/rust-hello/src/request.rs",
    "loadtest/workloads/node/hello/index.mjs",
    "loadtest/workloads/node/json/index.mjs",
    "loadtest/workloads/node/ssr/index.mjs",
    "loadtest/workloads/node/workload.mjs",
    "loadtest/workloads/python/compression/app.py",
    "loadtest/workloads/python/dynamic-html/app.py",
    "loadtest/workloads/python/dynamic-html/requirements.txt",
    "loadtest/workloads/python/float/app.py",
    "loadtest/workloads/python/graph-bfs/app.py",
    "loadtest/workloads/python/graph-pagerank/app.py",
    "loadtest/workloads/python/hello/app.py",
    "loadtest/workloads/python/json/app.py",
    "loadtest/workloads/python/markdown/app.py",
    "loadtest/workloads/python/markdown/requirements.txt",
    "loadtest/workloads/python/matmul/app.py",
    "loadtest/workloads/python/matmul/requirements.txt",
    "loadtest/workloads/python/pyaes/aes.py",
    "loadtest/workloads/python/pyaes/app.py",
    "loadtest/workloads/python/sleep/app.py",
    "loadtest/workloads/python/sqlite/app.py",
    "loadtest/workloads/python/thumbnailer/app.py",
    "loadtest/workloads/python/thumbnailer/requirements.txt",
    "loadtest/workloads/python/workload.py",
    "loadtest/workloads/rust/Cargo.toml",
    "loadtest/workloads/rust/src/bin/fibonacci-rust.rs",
    "loadtest/workloads/rust/src/bin/hashing-rust.rs",
    "loadtest/workloads/rust/src/bin/hello-rust.rs",
    "loadtest/workloads/rust/src/lib.rs",
    "loadtest/workloads/rust/src/parameters.rs",
    "loadtest/workloads/rust/src/sha256.rs",
    "loadtest/workloads/rust/src/text.rs",
    "loadtest/workloads/rust/workspace.toml",
];
