//! Servers, databases, shells with jobs, compilers and other large programs: a script that starts them, uses them and stops them must say in a VM what it
//! says on this machine.
//!
//! Natively a script runs with the image's tree as its root, in namespaces of its own (`unshare`, `chroot`): the same
//! paths, ports and users as in a VM.

#[path = "../common/cargo.rs"]
mod cargo;
#[path = "../common/mod.rs"]
mod common;

mod build;
mod numpy;
mod packages;
mod programs;
mod rig;
mod tools;

use rig::{Contents, Rig};
use std::sync::LazyLock;

/// Made once for all tests.
static SERVERS: LazyLock<Rig> =
    LazyLock::new(|| Rig::new(&Contents { packages: packages::SERVERS, add: |_, _| {}, memory: "768MiB" }));

#[test]
fn redis_serves_saves_and_is_measured_by_its_benchmark() {
    SERVERS.agrees(include_str!("scripts/redis.sh"));
}

#[test]
fn nginx_serves_as_master_and_worker() {
    SERVERS.agrees(include_str!("scripts/nginx.sh"));
}

#[test]
fn postgresql_makes_and_uses_a_database() {
    SERVERS.agrees(include_str!("scripts/postgres.sh"));
}

#[test]
fn openssl_talks_to_itself() {
    SERVERS.agrees(include_str!("scripts/openssl.sh"));
}

#[test]
fn shells_run_jobs_and_pipes() {
    SERVERS.agrees(include_str!("scripts/shells.sh"));
}

#[test]
fn sqlite_and_lua_do_their_work() {
    SERVERS.agrees(include_str!("scripts/databases.sh"));
}

#[test]
fn php_serves_and_asks_itself() {
    SERVERS.agrees(include_str!("scripts/php.sh"));
}
